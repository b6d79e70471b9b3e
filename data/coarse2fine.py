"""Coarse-to-fine variational optical flow: Brox et al. (2004) as in Ce Liu, "Beyond Pixels" (2009).

This is the project's own implementation, in float32 with numba, of the algorithm that the widely used `pyflow`
computes, with the same update order. Sixteen pairs that share their source are solved together, one a SIMD lane, so a
pair of a batch costs far less than a lone pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]  # planar [C, H, W]


def coarse2fine_flow(
    im1: NDArray[Any],
    im2: NDArray[Any],
    alpha: float = 0.012,
    ratio: float = 0.75,
    min_width: int = 20,
    num_outer: int = 7,
    num_inner: int = 1,
    num_sor: int = 30,
    color_type: int = 0,
) -> NDArray[np.float32]:
    """Flow from one image to another; for many targets of one image, `coarse2fine_flow_batch` is much faster.

    Args:
        im1: ``[H, W, 3]`` (or ``[H, W]``, ``[H, W, 1]`` with ``color_type`` 1) float in [0, 1].
        im2: the same shape.
        alpha: weight of the smoothness term.
        ratio: size of a pyramid level over that of the next finer one, between 0 and 1.
        min_width: width in pixels at which the pyramid ends.
        num_outer: warps at the finest level; each coarser level has one more.
        num_inner: re-weightings between warps.
        num_sor: relaxation sweeps at the finest level; each coarser level has three more.
        color_type: 0 matches brightness, its gradient and two colour differences; 1 brightness and gradient only.

    Returns:
        ``[H, W, 2]`` float32 in pixels, x right and y down: ``im2[y + v, x + u]`` looks like ``im1[y, x]``.

    Raises:
        ValueError: images of different or unusable shape, values that are not finite, parameters out of range.
    """
    if np.shape(im1) != np.shape(im2):
        raise ValueError(f"both images must have one shape, got {np.shape(im1)} and {np.shape(im2)}")
    targets = np.asarray(im2)[None]
    return coarse2fine_flow_batch(im1, targets, alpha, ratio, min_width, num_outer, num_inner, num_sor, color_type)[0]


def coarse2fine_flow_batch(
    source: NDArray[Any],
    targets: NDArray[Any] | Sequence[NDArray[Any]],
    alpha: float = 0.012,
    ratio: float = 0.75,
    min_width: int = 20,
    num_outer: int = 7,
    num_inner: int = 1,
    num_sor: int = 30,
    color_type: int = 0,
    num_threads: int = 1,
    progress: Callable[[int], object] | None = None,
) -> NDArray[np.float32]:
    """Flow from one image to each of N others: what `coarse2fine_flow` gives for each, whatever N and the threads.

    Args:
        source: ``[H, W, 3]`` float in [0, 1]; other parameters as in `coarse2fine_flow`.
        targets: ``[N, H, W, 3]``.
        num_threads: groups of 16 targets solved at once. A group needs about 1.5 KB a pixel: 60 MB at 256x160.
        progress: called after each group with the number of targets it finished (for example `tqdm.update`).

    Returns:
        ``[N, H, W, 2]`` float32 in pixels.

    Raises:
        ValueError: as in `coarse2fine_flow`.
    """
    _check_parameters(alpha, ratio, min_width, num_outer, num_inner, num_sor, color_type, num_threads)
    first, others = _check_images(source, targets, color_type)
    from data import coarse2fine_kernels, coarse2fine_pyramid

    channels = 5 if color_type == 0 else 3
    sizes = pyramid_sizes(first.shape[1], first.shape[0], ratio, min_width)
    terms = []
    for picture in _pyramid(_planar(first, color_type), sizes, ratio):
        height, width = picture.shape[1:]
        features = np.empty((height + 1, width + coarse2fine_pyramid.PADDING, coarse2fine_pyramid.PIXEL), np.float32)
        coarse2fine_pyramid.features(picture, features)
        terms.append(coarse2fine_pyramid.source_terms(features, height, width))
    flows = np.empty((len(others), *first.shape[:2], 2), np.float32)

    def solve(begin: int) -> int:
        group = [
            _pyramid(_planar(image, color_type), sizes, ratio)
            for image in others[begin : begin + coarse2fine_pyramid.LANES]
        ]
        flow = None
        for level in reversed(range(len(sizes))):
            width, height = sizes[level]
            targets_features = np.zeros(
                (coarse2fine_pyramid.LANES, height + 1, width + coarse2fine_pyramid.PADDING, coarse2fine_pyramid.PIXEL),
                np.float32,
            )
            for lane, pictures in enumerate(group):
                coarse2fine_pyramid.features(pictures[level], targets_features[lane])
            if flow is None:
                flow = np.zeros((height, width, 2, coarse2fine_pyramid.LANES), np.float32)
            else:
                flow = coarse2fine_pyramid.upsample_flow(flow, height, width, 1.0 / ratio)
            coarse2fine_kernels.solve_level(
                targets_features, terms[level], flow, channels, np.float32(alpha), num_outer + level, num_inner,
                num_sor + 3 * level,
            )  # fmt: skip
        assert flow is not None
        flows[begin : begin + len(group)] = np.moveaxis(flow, 3, 0)[: len(group)]
        return len(group)

    begins = range(0, len(others), coarse2fine_pyramid.LANES)
    with ThreadPoolExecutor(max_workers=num_threads) as pool:
        for count in pool.map(solve, begins):
            if progress is not None:
                progress(count)
    return flows


def pyramid_sizes(width: int, height: int, ratio: float = 0.75, min_width: int = 20) -> list[tuple[int, int]]:
    """``(width, height)`` of each pyramid level, finest first; there is always at least one level."""
    num_levels = max(int(math.log(min_width / width) / math.log(ratio)), 1)
    sizes = [(width, height)]
    for level in range(1, num_levels):
        parent, rate, _ = _level_origin(level, [size[0] for size in sizes], ratio)
        size = (int(sizes[parent][0] * rate), int(sizes[parent][1] * rate))
        if min(size) < 1:
            break
        sizes.append(size)
    return sizes


def _level_origin(level: int, widths: Sequence[int], ratio: float) -> tuple[int, float, float]:
    """Which level a level is made of, by what rate, and after a blur of which sigma (specification step 1)."""
    step = int(math.log(0.25) / math.log(ratio))
    base = 1.0 / ratio - 1.0
    if level <= step:
        return 0, ratio**level, base * level
    return level - step, ratio**level * widths[0] / widths[level - step], base * step


def _pyramid(picture: Picture, sizes: Sequence[tuple[int, int]], ratio: float) -> list[Picture]:
    from data import coarse2fine_pyramid

    widths = [size[0] for size in sizes]
    pictures = [picture]
    for level in range(1, len(sizes)):
        parent, rate, sigma = _level_origin(level, widths, ratio)
        radius = int(sigma * 3)
        taps = np.exp(-(np.arange(radius + 1.0) ** 2) / (2 * sigma * sigma))
        taps /= taps[0] + 2 * taps[1:].sum()
        blurred = coarse2fine_pyramid.blur(pictures[parent], taps.astype(np.float32)) if radius else pictures[parent]
        pictures.append(coarse2fine_pyramid.resize(blurred, rate, sizes[level][1], sizes[level][0]))
    return pictures


def _planar(image: NDArray[np.float32], color_type: int) -> Picture:
    """``[C, H, W]``: RGB, or with ``color_type`` 1 one channel of brightness."""
    if color_type == 0:
        return np.ascontiguousarray(np.moveaxis(image, 2, 0))
    if image.shape[2] == 3:
        return np.ascontiguousarray((image @ np.array([0.299, 0.587, 0.114], np.float32))[None])
    return np.ascontiguousarray(image[None, :, :, 0])


def _check_images(source: Any, targets: Any, color_type: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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


def _check_parameters(
    alpha: float, ratio: float, min_width: int, num_outer: int, num_inner: int, num_sor: int, color_type: int,
    num_threads: int,
) -> None:  # fmt: skip
    if not 0.0 < ratio < 1.0:
        raise ValueError(f"ratio must lie between 0 and 1, got {ratio}")
    if not (alpha > 0.0 and math.isfinite(alpha)):
        raise ValueError(f"alpha must be a positive number, got {alpha}")
    counts = {"min_width": min_width, "num_outer": num_outer, "num_inner": num_inner, "num_sor": num_sor}
    for name, value in {**counts, "num_threads": num_threads}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if color_type not in (0, 1):
        raise ValueError(f"color_type must be 0 (RGB) or 1 (gray), got {color_type}")
