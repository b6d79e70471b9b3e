"""Small clips and quick options for tests of `data.prepare`, and how to look at a dataset folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from data.media.write_video import write_video
from data.prepare import main

# Small and fast; DIS keeps each run below a second.
QUICK = [
    *("--flow", "dis", "--size", "64x48", "--num-frames", "20", "--stride", "10", "--num-frequencies", "6"),
    *("--stored-frames", "4", "--workers", "1"),
]


def make_clip(path: Path, num_frames: int = 40, seed: int = 0, shift: float = 3.0, everything: bool = False) -> Path:
    """64x48 clip: a textured patch (or the whole picture) swings by ``shift`` pixels, twice in 40 frames."""
    import cv2  # here, because `conftest` imports this module and GPU machines may lack OpenCV

    coarse = np.random.default_rng(seed).integers(30, 220, (12, 16, 3), dtype=np.uint8)
    still = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)
    frames = []
    for t in range(num_frames):
        move = np.float32([[1, 0, shift * np.sin(4 * np.pi * t / 40)], [0, 1, 0]])
        moved = cv2.warpAffine(still, move, (64, 48), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        frame = moved.copy() if everything else still.copy()
        frame[16:32, 20:44] = moved[16:32, 20:44]
        frames.append(frame)
    write_video(path, frames, 30)
    return path


def two_clips(folder: Path, num_frames: int) -> Path:
    """The folder, with two different clips in it."""
    for seed in range(2):
        make_clip(folder / f"clip_{seed}.mp4", num_frames=num_frames, seed=seed)
    return folder


def undisturbed(videos: Path, dataset: Path) -> dict[str, bytes]:
    """What one run in one process makes of videos, as :func:`contents`."""
    assert main([str(videos), "--output", str(dataset), *QUICK]) == 0
    return contents(dataset)


def rows_of(dataset: Path) -> list[dict[str, str]]:
    """The manifest's rows."""
    with (dataset / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(dataset: Path) -> dict[str, bytes]:
    """The bytes of every file of a dataset folder, hidden ones too."""
    return {
        path.relative_to(dataset).as_posix(): path.read_bytes()
        for path in sorted(dataset.rglob("*"))
        if path.is_file() or path.is_symlink()
    }
