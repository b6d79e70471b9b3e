"""Batches of both stages: pairs of frames, and clips. A sample depends on its own generator alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from baselines.lfdm.data.clips import ClipFrames, frame_indices

# Ranges of the published colour changes: factors 1 +- the first three, and a share of the hue circle.
PAIR_JITTER = (0.1, 0.1, 0.1, 0.1)
CLIP_JITTER = (64 / 255, 0.25, 0.25, 0.04)


class VideoBatch(NamedTuple):
    """Frames of some clips."""

    frames: Tensor  # [B, T, 3, H, W] in [0, 1]; T is 2 for pairs, source first
    conditions: list[str | None]  # labels
    ids: list[str]

    def to(self, device: torch.device) -> VideoBatch:
        """The same batch on a device."""
        return self._replace(frames=self.frames.to(device, non_blocking=device.type == "cuda"))

    def pinned(self) -> VideoBatch:
        """The same batch in memory that a GPU copies from by itself."""
        return self._replace(frames=self.frames.pin_memory())


class PairBatches:
    """Two frames of a clip, augmented alike.

    Args:
        by_subject: draw a subject first, then one of its clips, so that subjects count alike.
        jitter: factor on the ranges of the colour changes.
        weights: how often each clip is drawn, in proportion to each other, whatever its subject; alike by default.
    """

    def __init__(
        self,
        frames: ClipFrames,
        *,
        by_subject: bool = False,
        jitter: float = 1.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.frames, self.jitter = frames, jitter
        subjects: dict[str | None, list[int]] = {}
        for number, clip in enumerate(frames.clips):
            subjects.setdefault(clip.subject if by_subject and weights is None else str(number), []).append(number)
        self._groups = list(subjects.values())
        self._weights = weights

    def draw(self, generators: Sequence[torch.Generator], map_samples: Callable = map) -> VideoBatch:
        """One pair for each generator."""
        return _batch(list(map_samples(self._sample, generators)))

    def _sample(self, generator: torch.Generator) -> tuple[Tensor, str | None, str]:
        group = self._groups[_chosen(len(self._groups), self._weights, generator)]
        number = group[_below(len(group), generator)]
        clip = self.frames.clips[number]
        indices = sorted(_below(len(clip), generator) for _ in range(2))
        frames = self.frames.read(number, indices)
        if _uniform(generator) < 0.5:
            frames = frames.flip(0)  # in time
        elif _uniform(generator) < 0.5:
            frames = frames.flip(3)
        order = torch.randperm(4, generator=generator).tolist()
        return jitter_color(frames, PAIR_JITTER, scale=self.jitter, order=order, generator=generator), None, clip.name


class ClipBatches:
    """``count`` frames of a clip with its label, the first of them the photo; arguments as of :class:`PairBatches`."""

    def __init__(
        self,
        frames: ClipFrames,
        count: int,
        *,
        sampling: str,
        jitter: float = 1.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.frames, self.count, self.sampling, self.jitter = frames, count, sampling, jitter
        self._weights = weights

    def draw(self, generators: Sequence[torch.Generator], map_samples: Callable = map) -> VideoBatch:
        """One clip for each generator."""
        return _batch(list(map_samples(self._sample, generators)))

    def _sample(self, generator: torch.Generator) -> tuple[Tensor, str | None, str]:
        number = _chosen(len(self.frames.clips), self._weights, generator)
        clip = self.frames.clips[number]
        indices = frame_indices(len(clip), self.count, sampling=self.sampling, generator=generator)
        frames = self.frames.read(number, indices)
        order = list(range(4))
        return (
            jitter_color(frames, CLIP_JITTER, scale=self.jitter, order=order, generator=generator),
            clip.label,
            clip.name,
        )


def jitter_color(
    frames: Tensor, ranges: tuple[float, ...], *, scale: float, order: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Change brightness, contrast, saturation and hue of all frames ``[N, 3, H, W]`` in [0, 1] alike.

    Args:
        ranges: of the four.
        scale: factor on them; 0 changes nothing.
        order: in which they are applied.
    """
    if not scale:
        return frames
    for index in order:
        change = scale * ranges[index] * (2 * _uniform(generator) - 1)
        frames = _CHANGES[index](frames, change)
    return frames


def _brightness(frames: Tensor, change: float) -> Tensor:
    return ((1 + change) * frames).clamp(0, 1)


def _contrast(frames: Tensor, change: float) -> Tensor:
    mean = _gray(frames).mean(dim=(1, 2, 3), keepdim=True)
    return (mean + (1 + change) * (frames - mean)).clamp(0, 1)


def _saturation(frames: Tensor, change: float) -> Tensor:
    gray = _gray(frames)
    return (gray + (1 + change) * (frames - gray)).clamp(0, 1)


def _hue(frames: Tensor, change: float) -> Tensor:
    """Turned about the axis of grays by a share of the circle (Rodrigues' formula), rather than in HSV."""
    cos, sin = math.cos(2 * math.pi * change), math.sin(2 * math.pi * change) / math.sqrt(3)
    red, green, blue = frames.unbind(dim=1)
    mean = (1 - cos) * (red + green + blue) / 3
    turned = ((red, green, blue), (blue, red, green), (green, blue, red))
    return torch.stack([mean + cos * a + sin * (b - c) for a, b, c in turned], dim=1).clamp(0, 1)


_CHANGES = (_brightness, _contrast, _saturation, _hue)


def _gray(frames: Tensor) -> Tensor:
    weights = frames.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (weights * frames).sum(dim=1, keepdim=True)


def _batch(samples: list[tuple[Tensor, str | None, str]]) -> VideoBatch:
    frames, conditions, ids = zip(*samples, strict=True)
    return VideoBatch(torch.stack(frames), list(conditions), list(ids))


def _chosen(count: int, weights: Sequence[float] | None, generator: torch.Generator) -> int:
    if weights is None:
        return _below(count, generator)
    return int(torch.multinomial(torch.tensor(weights), 1, generator=generator))


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
