"""Renderers beside the original, to look at: videos of the worst, the median and the best sequence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from data.media.sheets import labelled_video
from evaluation.report.media import Media

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Comparison:
    """One sequence as several videos of the same length and size."""

    name: str  # of the file: worst, median, best
    caption: str
    cells: Mapping[str, Tensor]  # label -> uint8 [T, 3, H, W], side by side in this order
    fps: float
    slice_row: int  # the row of pixels that X-t slices show: where most moves


def extremes(quality: Mapping[str, float]) -> dict[str, str]:
    """Which one is ``worst``, ``median`` and ``best``, given how good each is; the same one where there are too few."""
    ordered = sorted(quality, key=lambda name: quality[name])
    return {"worst": ordered[0], "median": ordered[(len(ordered) - 1) // 2], "best": ordered[-1]}


def sheets(comparison: Comparison) -> Iterator[np.ndarray]:
    """Frames of the labelled video, uint8 ``[H', W', 3]``."""
    pictures = {label: frames.permute(0, 2, 3, 1).cpu().numpy() for label, frames in comparison.cells.items()}
    return labelled_video(pictures, len(pictures))


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write ``<name>.mp4`` into the folder."""
    from data.media.write_video import write_video

    write_video(folder / f"{comparison.name}.mp4", sheets(comparison), comparison.fps)


def add_comparison(media: Media, comparison: Comparison) -> None:
    """Add the same as a clip to what a report's page shows, and the X-t slices of its row."""
    frames = torch.stack([torch.from_numpy(sheet) for sheet in sheets(comparison)]).permute(0, 3, 1, 2)
    media.add_clip(comparison.caption, frames, fps=comparison.fps)
    media.add_slices(comparison.caption, comparison.cells, row=comparison.slice_row)
