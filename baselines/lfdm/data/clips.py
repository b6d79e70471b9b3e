"""Clips of frames with a label and a subject: which frames are taken, and how they come to a size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

CACHE_LIMIT = 2e9  # bytes of frames that are kept in memory

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class Clip(Protocol):
    """Frames that follow each other."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def label(self) -> str | None:
        """What happens in it."""

    @property
    def subject(self) -> str | None:
        """Whom it shows."""

    def __len__(self) -> int:
        """Number of frames."""

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames, uint8 ``[N, H, W, 3]``."""


@dataclass(frozen=True)
class PictureClip:
    """A folder of pictures, one a frame."""

    folder: Path
    paths: tuple[Path, ...]  # in order
    label: str | None = None
    subject: str | None = None
    box: Box | None = None  # what is cut out of each frame

    @property
    def name(self) -> str:
        return str(self.folder)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        from data.media.images import read_image

        frames = [read_image(self.paths[index]) for index in indices]
        wrong = next(
            (index for index, frame in zip(indices, frames, strict=True) if frame.shape != frames[0].shape), None
        )
        if wrong is not None:
            raise ValueError(f"{self.paths[wrong]}: another size than the frames beside it; remove it or resize it")
        return _cut(np.stack(frames), self.box, self.name)


@dataclass(frozen=True)
class VideoClip:
    """A video file; it is decoded once to count its frames."""

    path: Path
    label: str | None = None
    subject: str | None = None
    box: Box | None = None
    _count: list[int] = field(default_factory=list, compare=False, repr=False)

    @property
    def name(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        from data.media.read_video import scan_video

        if not self._count:
            self._count.append(scan_video(self.path).num_frames)
        return self._count[0]

    def read(self, indices: Sequence[int]) -> np.ndarray:
        from data.media.read_video import read_frames

        return _cut(read_frames(self.path, list(indices)), self.box, self.name)


@dataclass(frozen=True)
class SequenceClip:
    """A sequence of a dataset folder.

    Args:
        row: of the manifest.
        whole: all frames, decoded again from the source video where the file holds a sample; the sample otherwise.
    """

    folder: Path
    row: dict
    whole: bool
    label: str | None = None

    @property
    def name(self) -> str:
        return self.row["id"]

    @property
    def subject(self) -> str | None:
        return self.row["source"]

    def __len__(self) -> int:
        return self.row["num_frames"] if self.whole else 1 + self.row["stored_frames"]

    def read(self, indices: Sequence[int]) -> np.ndarray:
        from data.dataset.full import load_full_sequence
        from data.dataset.sequence_file import read_sequence, sequence_path

        if self.whole:
            frames = load_full_sequence(self.folder, self.row, flows=False).frames
        else:
            tensors = read_sequence(sequence_path(self.folder, self.row["id"]), ["first_frame", "frames"])
            frames = torch.cat([tensors["first_frame"][None], tensors["frames"]])
        return frames[list(indices)].permute(0, 2, 3, 1).contiguous().numpy()


def _cut(frames: np.ndarray, box: Box | None, name: str) -> np.ndarray:
    if box is None:
        return frames
    left, top, right, bottom = box
    height, width = frames.shape[1:3]
    if right > width or bottom > height:
        raise ValueError(
            f"{name}: frames of {width}x{height}, too small to cut {left},{top} to {right},{bottom} out of"
        )
    return frames[:, top:bottom, left:right]


class ClipFrames:
    """Frames of clips at one size, kept in memory where all of them fit there.

    Args:
        clips: at least one, with two frames or more each.
        size: (W, H).
        fit: ``letterbox`` or ``crop``, see :func:`fit_frames`.
        limit: bytes of memory.

    Raises:
        ValueError: a clip of a single frame.
    """

    def __init__(self, clips: Sequence[Clip], size: tuple[int, int], *, fit: str, limit: float = CACHE_LIMIT) -> None:
        self.clips, self.size, self.fit = list(clips), size, fit
        short = next((clip for clip in self.clips if len(clip) < 2), None)
        if short is not None:
            raise ValueError(f"{short.name}: a single frame; a clip needs two or more")
        frames = sum(len(clip) for clip in self.clips)
        self._cache: dict[int, np.ndarray] | None = {} if 3 * size[0] * size[1] * frames <= limit else None

    def read(self, number: int, indices: Sequence[int]) -> Tensor:
        """Frames of a clip, float ``[N, 3, H, W]`` in [0, 1]."""
        if self._cache is None:
            frames = fit_frames(self.clips[number].read(indices), self.size, how=self.fit)
        else:
            if number not in self._cache:
                clip = self.clips[number]
                self._cache[number] = fit_frames(clip.read(range(len(clip))), self.size, how=self.fit)
            frames = self._cache[number][list(indices)]
        return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def fit_frames(frames: np.ndarray, size: tuple[int, int], *, how: str) -> np.ndarray:
    """Bring frames uint8 ``[N, H, W, 3]`` to a size (W, H), area averaging when shrinking.

    ``letterbox`` shows all of them on black, centred; ``crop`` fills the size and cuts what is over.
    """
    from data.media.images import resize_and_crop

    if how == "crop":
        return resize_and_crop(frames, size)
    height, width = frames.shape[1:3]
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    result = np.zeros((len(frames), size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    result[:, top : top + inner[1], left : left + inner[0]] = resize_and_crop(frames, inner)
    return result


def frame_indices(available: int, count: int, *, sampling: str, generator: torch.Generator) -> list[int]:
    """Which ``count`` frames of a clip are taken, in order; a clip that is too short repeats its last frame.

    Args:
        sampling: ``contiguous``, neighbours from a random start; ``uniform``, evenly spaced over the clip; ``random``,
            the same, each but the first and last moved at random between its neighbours; ``very_random``, any frames
            after the first one, which destroys the frame rate.
    """
    if available <= count:
        return [min(index, available - 1) for index in range(count)]
    if sampling == "contiguous":
        start = int(torch.randint(available - count + 1, (), generator=generator))
        return list(range(start, start + count))
    if sampling == "very_random":
        return [0, *sorted(torch.randint(available, (count,), generator=generator).tolist())[1:]]
    even = np.linspace(0, available - 1, count).astype(int).tolist()
    if sampling == "uniform":
        return even
    moved = [even[0]]
    for before, here, after in zip(even, even[1:], even[2:], strict=False):
        low, high = before + 1, after - 1
        moved.append(low + int(torch.randint(max(1, high - low + 1), (), generator=generator)) if low <= high else here)
    return sorted([*moved, even[-1]])
