"""Videos that learned baselines train on, and the splits of dataset folders as such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.dataset.full import load_full_sequence
from data.dataset.manifest import load_manifest

Read = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class Video:
    """Frames that follow one another, read when asked for."""

    id: str
    num_frames: int
    read: Read  # (first frame, number of frames) -> uint8 [N, 3, H, W]
    fps: float = 0.0  # 0 where it isn't known
    positions: Callable[[], Tensor] | None = None  # what controls it, float32 [T, C]: positions of a robot's arm
    weight: float = 1  # how many times as often as others it is drawn
    source: str | None = None  # the file that it is a part of, of which others may be parts as well


def dataset_videos(folder: Path, split: str) -> list[Video]:
    """The sequences of a split (train, validation, test) of a folder that ``data.prepare`` made.

    Raises:
        ValueError: no dataset there, or the split is empty.
    """
    return [
        Video(
            id=row["id"],
            num_frames=row["num_frames"],
            read=partial(_read_sequence, folder, row),
            fps=row["fps"],
            source=row["source"],
        )
        for row in load_manifest(folder, split)
    ]


def _read_sequence(folder: Path, row: dict, first: int, count: int) -> Tensor:
    return load_full_sequence(folder, row, flows=False).frames[first : first + count]


def picture_video(name: str, files: Sequence[Path], *, weight: int = 1) -> Video:
    """A video whose frames are picture files, in this order."""
    return Video(id=name, num_frames=len(files), read=partial(_read_pictures, tuple(files)), weight=weight)


def _read_pictures(files: Sequence[Path], first: int, count: int) -> Tensor:
    from data.media.images import read_image

    frames = [read_image(path) for path in files[first : first + count]]
    for path, frame in zip(files[first:], frames, strict=False):
        if frame.shape != frames[0].shape:
            raise ValueError(f"{path}: its size differs from that of {files[first].name}; frames need one size")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
