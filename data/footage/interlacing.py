"""Interlaced video: pictures whose even and odd lines were taken at different times, woven into one frame.

It shows as combs along whatever moves, which optical flow follows. Headers are often wrong about it, so the pixels are
asked: in progressive video the odd lines of a frame fit its own even lines best and those of the frames before and
after equally well. Where odd lines were taken half a frame later, they fit the next frame as well as their own.
"""

from __future__ import annotations

from collections import deque

import numpy as np

MAX_COLUMNS = 80  # that are looked at
MOVING = 6.0  # gray levels of difference between the same lines of neighbouring frames
FEWEST_MOVING = 300  # pixels in all, to say anything
INTERLACED = 0.2  # of what progressive (0) and interlaced (1) motion amounts to


class CombingDetector:
    """Takes the frames of a video one by one; memory holds a few columns of three frames."""

    def __init__(self) -> None:
        self._frames: deque[np.ndarray] = deque(maxlen=3)
        self._fits = np.zeros(2)  # of odd lines to the even lines of the frame before, and to those of the next one
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
        # Moving in all fields, so that a cut or a flash, which is a difference to one side, does not count.
        odd = frame[1:-1:2]
        even_motion = np.minimum(np.abs(frame - before)[:-2:2], np.abs(after - frame)[2::2])
        odd_motion = np.minimum(np.abs(odd - before[1:-1:2]), np.abs(after[1:-1:2] - odd))
        moving = (even_motion > MOVING) & (odd_motion > MOVING)
        fits = [np.abs((other[:-2:2] + other[2::2]) / 2 - odd)[moving].sum() for other in (before, after)]
        self._fits += np.asarray(fits, np.float64)
        self._motion += float(odd_motion[moving].sum())
        self._pixels += int(moving.sum())

    def combing(self) -> float:
        """How much of the motion lies between the fields: about 0 for progressive video, 1 for interlaced; 0 if still.

        By how much worse odd lines fit the one neighbouring frame than the other, over the motion from frame to frame.
        Every frame counts, so that gaps between the frames of progressive video cancel: each follows one and precedes
        another.
        """
        if self._pixels < FEWEST_MOVING:
            return 0.0
        before, after = self._fits
        return float(abs(before - after)) / self._motion

    def interlaced(self) -> bool:
        """Whether the video is interlaced."""
        return self.combing() > INTERLACED


def keep_one_field(frame: np.ndarray) -> np.ndarray:
    """A frame ``[H, W, 3]`` of interlaced video with its even lines alone, the odd ones interpolated between them."""
    import cv2

    result = frame.copy()
    even = frame[::2]
    between = cv2.addWeighted(np.ascontiguousarray(even[:-1]), 0.5, np.ascontiguousarray(even[1:]), 0.5, 0)
    result[1 : 2 * len(between) : 2] = between
    if len(frame) % 2 == 0:
        result[-1] = frame[-2]
    return result
