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


@dataclass(frozen=True)
class WrittenLoop:
    """Measures of a decoded file."""

    size: tuple[int, int]  # (W, H); H.264 and VP9 make odd sides even
    num_frames: int
    num_bytes: int
    seam: float | None  # last step over the median step; None where hardly anything moves, and for a lone frame
    sharpness: float | None  # of frame 0 over that of the median frame; None of frames without any detail

    def report(self) -> dict:
        """For a report."""
        return {"bytes": self.num_bytes, "seam_ratio": self.seam, "sharpness": self.sharpness}


class _Meter:
    """Sees the frames, uint8 ``[H, W, 3]``, one after the other."""

    def __init__(self) -> None:
        self.sharpness: list[float] = []
        self.steps: list[float] = []
        self.first: np.ndarray | None = None
        self.last: np.ndarray | None = None

    def add(self, frame: np.ndarray) -> None:
        """Take in the next frame."""
        import numpy as np

        pixels = np.array(frame, np.int16)
        if self.last is None:
            self.first = pixels
        else:
            self.steps.append(float(np.abs(pixels - self.last).mean()))
        self.last = pixels
        self.sharpness.append(frame_sharpness(pixels))


def frame_sharpness(frame: np.ndarray) -> float:
    """Standard deviation of the Laplacian of the grey frame ``[H, W, 3]``, as `evaluate.py rendering` has it."""
    import numpy as np

    grey = frame.sum(axis=2, dtype=np.float32) / 3
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).std())


def measure_written(path: Path) -> WrittenLoop:
    """Decode a loop's file and measure it.

    Raises:
        ValueError: it can't be decoded.
    """
    import numpy as np

    meter = _Meter()
    _show_frames(path, meter.add)
    assert meter.first is not None
    assert meter.last is not None
    level, step = median(meter.sharpness), median(meter.steps) if meter.steps else 0.0
    last_step = float(np.abs(meter.first - meter.last).mean())
    height, width = meter.first.shape[:2]
    return WrittenLoop(
        size=(width, height),
        num_frames=len(meter.sharpness),
        num_bytes=path.stat().st_size,
        seam=last_step / step if step > 0 else None,
        sharpness=meter.sharpness[0] / level if level > 0 else None,
    )


def _show_frames(path: Path, look: Callable[[np.ndarray], None]) -> None:
    if path.suffix.lower() not in PICTURES:
        from data.media.read_video import scan_video

        scan_video(path, look=lambda frame, _: look(frame))
        return
    import numpy as np
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            look(np.asarray(frame.convert("RGB")))
