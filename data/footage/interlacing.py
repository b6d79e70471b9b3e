"""Detecting interlaced video, whose frames are woven from even and odd lines taken at different times.

Moving edges then look like combs, which would mislead the optical flow. Headers are often wrong about interlacing, so
the pixels decide. In progressive video the odd lines of a frame fit the even lines of the frame before and of the frame
after equally well. In interlaced video the odd lines were taken half a frame later (or earlier), so they fit one of the
two neighbours better than the other.
"""

from __future__ import annotations

from collections import deque

import numpy as np

MAX_COLUMNS = 80  # columns of a frame that are examined, at most
MOVING = 6.0  # gray levels by which a moving pixel differs from the frames before and after
FEWEST_MOVING = 300  # moving pixels, over all frames, that a verdict needs
INTERLACED = 0.2  # combing() above which a video counts as interlaced


class CombingDetector:
    """Examines a video whose frames are given one by one; memory holds a few columns of three frames."""

    def __init__(self) -> None:
        self._frames: deque[np.ndarray] = deque(maxlen=3)
        self._fits = np.zeros(2)  # misfit of odd lines to the even lines of the frame before, and of the next one
        self._motion = 0.0
        self._pixels = 0

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, uint8 ``[H, W, 3]`` BGR; all are of one size."""
        import cv2

        if len(frame) < 8:
            return
        step = max(1, frame.shape[1] // MAX_COLUMNS)
        columns = np.ascontiguousarray(frame[: len(frame) // 2 * 2, ::step])
        self._frames.append(cv2.cvtColor(columns, cv2.COLOR_BGR2GRAY).astype(np.float32))
        if len(self._frames) == 3:
            self._examine(*self._frames)

    def _examine(self, before: np.ndarray, frame: np.ndarray, after: np.ndarray) -> None:
        # Pixels that differ from both neighbours. A cut or a flash is a difference to one of them only.
        odd = frame[1:-1:2]
        even_motion = np.minimum(np.abs(frame - before)[:-2:2], np.abs(after - frame)[2::2])
        odd_motion = np.minimum(np.abs(odd - before[1:-1:2]), np.abs(after[1:-1:2] - odd))
        moving = (even_motion > MOVING) & (odd_motion > MOVING)
        fits = [np.abs((other[:-2:2] + other[2::2]) / 2 - odd)[moving].sum() for other in (before, after)]
        self._fits += np.asarray(fits, np.float64)
        self._motion += float(odd_motion[moving].sum())
        self._pixels += int(moving.sum())

    def combing(self) -> float:
        """About 0 for progressive video, about 1 for interlaced video; 0 where next to nothing moves.

        It is the difference between the misfits of the odd lines to the two neighbouring frames, over the motion from
        frame to frame. All frames are added up: dropped frames make single frames of progressive video fit one side
        worse, but each gap is before one frame and after another, so these differences cancel.
        """
        if self._pixels < FEWEST_MOVING:
            return 0.0
        before, after = self._fits
        return float(abs(before - after)) / self._motion

    def interlaced(self) -> bool:
        """Whether the video is interlaced."""
        return self.combing() > INTERLACED


def keep_one_field(frame: np.ndarray) -> np.ndarray:
    """A frame ``[H, W, 3]`` of interlaced video whose odd lines are the means of the even lines beside them."""
    import cv2

    result = frame.copy()
    even = frame[::2]
    between = cv2.addWeighted(np.ascontiguousarray(even[:-1]), 0.5, np.ascontiguousarray(even[1:]), 0.5, 0)
    result[1 : 2 * len(between) : 2] = between
    if len(frame) % 2 == 0:
        result[-1] = frame[-2]
    return result
