"""Parameters of the coarse-to-fine flow, sizes of its pyramid, and checks of its images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[Any] | Sequence[NDArray[Any]]
Progress = Callable[[int], object] | None


@dataclass(frozen=True)
class Parameters:
    """What the algorithm does; a ValueError names a parameter that is out of range."""

    alpha: float = 0.012  # weight of the smoothness term
    ratio: float = 0.75  # size of a pyramid level over that of the next finer one, between 0 and 1
    min_width: int = 20  # width in pixels at which the pyramid ends
    num_outer: int = 7  # warps at the finest level; each coarser level has one more
    num_inner: int = 1  # re-weightings between warps
    num_sor: int = 30  # relaxation sweeps at the finest level; each coarser level has three more
    color_type: int = 0  # 0 matches brightness, its gradient and two colour differences; 1 brightness and gradient only

    def __post_init__(self) -> None:
        if not 0.0 < self.ratio < 1.0:
            raise ValueError(f"ratio must lie between 0 and 1, got {self.ratio}")
        if not (self.alpha > 0.0 and math.isfinite(self.alpha)):
            raise ValueError(f"alpha must be a positive number, got {self.alpha}")
        for name in ("min_width", "num_outer", "num_inner", "num_sor"):
            expect_count(name, getattr(self, name))
        if self.color_type not in (0, 1):
            raise ValueError(f"color_type must be 0 (RGB) or 1 (gray), got {self.color_type}")

    @property
    def channels(self) -> int:
        """Channels of a picture's features: brightness, its derivatives and for RGB two colour differences."""
        return 5 if self.color_type == 0 else 3


def pyramid_sizes(width: int, height: int, ratio: float = 0.75, min_width: int = 20) -> list[tuple[int, int]]:
    """``(width, height)`` of each pyramid level, finest first; there is always at least one level."""
    num_levels = max(int(math.log(min_width / width) / math.log(ratio)), 1)
    sizes = [(width, height)]
    for level in range(1, num_levels):
        parent, rate, _ = level_origin(level, [size[0] for size in sizes], ratio)
        size = (int(sizes[parent][0] * rate), int(sizes[parent][1] * rate))
        if min(size) < 1:
            break
        sizes.append(size)
    return sizes


def level_origin(level: int, widths: Sequence[int], ratio: float) -> tuple[int, float, float]:
    """Which level a level is made of, by what rate, and after a blur of which sigma (specification step 1)."""
    step = int(math.log(0.25) / math.log(ratio))
    base = 1.0 / ratio - 1.0
    if level <= step:
        return 0, ratio**level, base * level
    return level - step, ratio**level * widths[0] / widths[level - step], base * step


def blur_taps(sigma: float) -> NDArray[np.float32]:
    """Taps 0 .. radius of a normalised Gaussian whose radius is ``int(3 sigma)``."""
    taps = np.exp(-(np.arange(int(sigma * 3) + 1.0) ** 2) / (2 * sigma * sigma))
    return (taps / (taps[0] + 2 * taps[1:].sum())).astype(np.float32)


def expect_images(source: Any, targets: Any, color_type: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both as float32 with a channel axis, or a ValueError that says what is wrong."""
    first, others = np.asarray(source, np.float32), np.asarray(targets, np.float32)
    if others.shape[1:] != first.shape or others.ndim != first.ndim + 1:
        raise ValueError(f"targets must be [N, *source shape], got {others.shape} for a source of {first.shape}")
    if color_type == 1 and first.ndim == 2:
        first, others = first[..., None], others[..., None]
    channels = (3,) if color_type == 0 else (1, 3)
    if first.ndim != 3 or first.shape[2] not in channels or 0 in first.shape:
        raise ValueError(f"an image for color_type {color_type} has {channels} channels, [H, W, C], got {first.shape}")
    if not np.isfinite(first).all() or not np.isfinite(others).all():
        raise ValueError("images hold values that are not finite; pass floats in [0, 1]")
    return first, others


def expect_pairs(sources: Any, targets: Any, color_type: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `expect_images`, for as many sources as targets."""
    if np.shape(sources) != np.shape(targets) or np.ndim(sources) < 3:
        raise ValueError(f"sources and targets must both be [N, H, W, 3], got {np.shape(sources)}, {np.shape(targets)}")
    blank = np.zeros(np.shape(sources)[1:], np.float32)
    first, second = (expect_images(blank, images, color_type)[1] for images in (sources, targets))
    return first, second


def expect_count(name: str, value: int) -> None:
    """Raise a ValueError unless a value is a whole number of at least 1."""
    if value < 1 or value != int(value):
        raise ValueError(f"{name} must be a whole number of at least 1, got {value}")
