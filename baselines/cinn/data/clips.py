"""Clips of a photo and the frames that follow it, drawn from videos: resized, augmented, as batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import pi
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.cinn.config import Augmentation
from baselines.clips import Video
from common.images import from_8_bits
from training.batches.augmentation import AugmentationConfig, jitter_color

CACHE_BYTES = 2 * 1024**3  # videos that take no more than this are kept in memory, at the networks' size
POSITION_VIDEOS = 1000  # of which the range of positions is measured
NO_AUGMENTATION = Augmentation(flip=False, color=0.0)


class ClipBatch(NamedTuple):
    """Clips of one training step, or a part of them."""

    frames: Tensor  # [B, T + 1, 3, H, W] in [-1, 1]; the first is the photo
    control: Tensor  # [B, C] what controls the last frame; C is 0 without control
    ids: list[str]
    adversarial: bool = False  # whether the autoencoder hears of the discriminators

    @property
    def photo(self) -> Tensor:
        """``[B, 3, H, W]``."""
        return self.frames[:, 0]

    @property
    def clip(self) -> Tensor:
        """``[B, T, 3, H, W]``: the frames that follow the photo."""
        return self.frames[:, 1:]

    def pinned(self) -> ClipBatch:
        """See `training.task.Batch.pinned`."""
        return self._replace(frames=self.frames.pin_memory(), control=self.control.pin_memory())

    def to(self, device: torch.device) -> ClipBatch:
        """The same batch on a device."""
        return self._replace(
            frames=self.frames.to(device, non_blocking=True), control=self.control.to(device, non_blocking=True)
        )

    @classmethod
    def joined(cls, clips: Sequence[ClipBatch]) -> ClipBatch:
        """Several batches as one."""
        frames = torch.cat([clip.frames for clip in clips])
        return cls(frames, torch.cat([clip.control for clip in clips]), [name for clip in clips for name in clip.ids])


class Clips:
    """Draws clips from videos; a clip is a function of the generator alone.

    Args:
        videos: those that are too short are left out.
        size: width and height that frames are resized to, whatever their shape was, as published.
        length: frames of a clip, the photo among them.
        control: whether clips bring the positions at their last frames.

    Raises:
        ValueError: all videos are too short, or have no positions where control is asked for.
    """

    def __init__(
        self, videos: Sequence[Video], size: tuple[int, int], *, length: int, control: bool = False, margin: int = 0
    ) -> None:
        self.videos = [video for video in videos if video.num_frames >= length]
        if not self.videos:
            longest = max((video.num_frames for video in videos), default=0)
            raise ValueError(f"no video has the {length} frames of a clip; the longest of {len(videos)} has {longest}")
        if control and any(video.positions is None for video in self.videos):
            raise ValueError("control of the endpoint needs videos with positions, such as BAIR's")
        self.size, self.length, self.control, self.margin = size, length, control, margin
        self.fps = self.videos[0].fps
        self._weights = torch.tensor([float(video.weight) for video in self.videos])
        width, height = size[0] + margin, size[1] + margin
        whole = sum(video.num_frames for video in self.videos) * 3 * width * height
        self._cache: dict[int, Tensor] | None = {} if whole <= CACHE_BYTES else None

    def draw(self, generator: torch.Generator, augmentation: Augmentation) -> ClipBatch:
        """One clip of a random video at a random start, ``B = 1``."""
        index = int(torch.multinomial(self._weights, 1, generator=generator))
        start = int(torch.randint(self.videos[index].num_frames - self.length + 1, (), generator=generator))
        frames = augmented(self._frames(index, start), self.size, augmentation, generator)
        return self._batch(index, start, frames)

    def fixed(self, per_video: int) -> list[ClipBatch]:
        """``per_video`` clips of each video, their starts spread over it; a single one starts at its first frame."""
        chosen = []
        for index, video in enumerate(self.videos):
            last = video.num_frames - self.length
            for start in sorted({round(last * n / max(1, per_video - 1)) for n in range(per_video)}):
                frames = resized(from_8_bits(self._frames(index, start)), self.size)
                chosen.append(self._batch(index, start, frames))
        return chosen

    def positions(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Smallest and largest position along each axis, over at most so many videos spread over all."""
        chosen = self.videos[:: -(-len(self.videos) // POSITION_VIDEOS)]
        values = torch.cat([video.positions() for video in chosen if video.positions is not None])
        return tuple(values.amin(0).tolist()), tuple(values.amax(0).tolist())

    def _batch(self, index: int, start: int, frames: Tensor) -> ClipBatch:
        video, control = self.videos[index], torch.zeros(1, 0)
        if self.control and video.positions is not None:
            control = video.positions()[start + self.length - 1][None]
        return ClipBatch(frames[None], control, [f"{video.id}:{start}"])

    def _frames(self, index: int, start: int) -> Tensor:
        """uint8 ``[length, 3, h, w]``, already small where videos are kept in memory."""
        video = self.videos[index]
        if self._cache is None:
            return video.read(start, self.length)
        if index not in self._cache:
            size = self.size[0] + self.margin, self.size[1] + self.margin
            small = resized(from_8_bits(video.read(0, video.num_frames)), size)
            self._cache[index] = ((small + 1) * 127.5).round().to(torch.uint8)
        return self._cache[index][start : start + self.length]


def resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """``[T, 3, h, w]`` in [-1, 1] at (width, height): bilinear, averaging when shrinking; the shape isn't kept."""
    target = size[::-1]
    if frames.shape[-2:] == target:
        return frames
    small = F.interpolate(frames, size=target, mode="bilinear", align_corners=False, antialias=True)
    return small.clamp(-1, 1)


def augmented(frames: Tensor, size: tuple[int, int], options: Augmentation, generator: torch.Generator) -> Tensor:
    """uint8 ``[T, 3, h, w]`` -> float ``[T, 3, H, W]`` in [-1, 1], all frames changed alike."""
    width, height = size
    x = resized(from_8_bits(frames), (width + options.margin, height + options.margin))
    left, top = (int(torch.randint(options.margin + 1, (), generator=generator)) for _ in range(2))
    x = x[..., top : top + height, left : left + width]
    if options.flip and torch.rand((), generator=generator) < 0.5:
        x = x.flip(-1)
    if options.color or options.hue:
        strength = {"brightness": options.color, "contrast": options.color, "saturation": options.color}
        config = replace(AugmentationConfig(), hue=2 * pi * options.hue, **strength)
        x = jitter_color(x.transpose(0, 1).flatten(1, 2), config, generator)  # one tall picture [3, T * H, W]
        x = x.unflatten(1, (-1, height)).transpose(0, 1)
    return x.contiguous()
