"""What is in a loop's file: decoded once more and measured, because coding has a say in how a loop looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PICTURES = (".gif", ".webp", ".png", ".apng")  # which Pillow reads as browsers do
LEAST_STEP = 0.5  # gray levels of 255 in the mean, between frames; a smaller one is the noise of coding


@dataclass(frozen=True)
class WrittenLoop:
    """Measures of a decoded file."""

    size: tuple[int, int]  # (W, H); H.264 and VP9 make odd sides even
    num_frames: int
    num_bytes: int
    seam: float | None  # last step over the median step; None below LEAST_STEP, and for a lone frame
    sharpness: float | None  # of frame 0 over that of the median frame; None of frames without any detail

    def report(self) -> dict:
        """For a report."""
        return {
            "num_frames": self.num_frames,
            "bytes": self.num_bytes,
            "seam_ratio": self.seam,
            "sharpness": self.sharpness,
        }


def measure_written(path: Path) -> WrittenLoop:
    """Decode a loop's file and measure it.

    Raises:
        ValueError: it can't be decoded.
    """
    import torch

    from common.images import sharpness
    from models.dynamics.seam import SeamMeter

    meter, levels, shapes = SeamMeter(), [], set()

    def look(frame: np.ndarray) -> None:
        tensor = torch.from_numpy(frame.copy())
        meter.add(tensor.float())
        levels.append(float(sharpness(tensor.permute(2, 0, 1)[None])))
        shapes.add(frame.shape[:2])

    show_frames(path, look)
    ((height, width),) = shapes
    level = median(levels)
    return WrittenLoop(
        size=(width, height),
        num_frames=len(levels),
        num_bytes=path.stat().st_size,
        seam=meter.ratio() if meter.usual_step >= LEAST_STEP else None,
        sharpness=levels[0] / level if level > 0 else None,
    )


def show_frames(path: Path, look: Callable[[np.ndarray], None]) -> None:
    """Decode a file of frames and show each, uint8 RGB ``[H, W, 3]``; the array is used again for the next one.

    Raises:
        ValueError: it can't be decoded.
    """
    if path.suffix.lower() not in PICTURES:
        from data.media.read_video import scan_video

        scan_video(path, look=lambda frame, _: look(frame))
        return
    import numpy as np
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            look(np.asarray(frame.convert("RGB")))
