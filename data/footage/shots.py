"""Hard cuts between shots, found while a video is decoded: memory holds a few small pictures, whatever its length.

The difference in content between neighbouring frames is compared with that of the frames around, as the adaptive
detectors of PySceneDetect do, so that what moves fast raises the bar for itself, even where frames are doubled. Two
things more tell a cut from light: a flash passes, so that frames after it look like frames before it again, and a
change of light leaves the structure of the picture as it was.
"""

from __future__ import annotations

from collections import deque

import numpy as np

SMALL = (64, 36)  # width, height of the pictures that are compared
WINDOW = 4  # frames on either side; a flash may last so long less one
MIN_DIFFERENCE = 12.0  # levels of 255, summed over luma and the two chroma planes
MIN_RATIO = 2.5  # to the second largest of the differences around: the largest may be another cut
PERSISTENT = 0.5  # of the difference at the cut is left between all frames before and all frames after it
SAME_STRUCTURE = 0.85  # correlation of luma above which the light changed and not the scene


def small_picture(frame: np.ndarray) -> np.ndarray:
    """What shots are told apart by: float32 ``[36, 64, 3]``, slightly blurred luma, Cr and Cb of a frame.

    Args:
        frame: uint8 ``[H, W, 3]``, BGR as OpenCV decodes it.
    """
    import cv2

    # Not hue and saturation, which are noise where a picture is dark or gray.
    small = cv2.cvtColor(cv2.resize(frame, SMALL, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2YCrCb)
    return cv2.GaussianBlur(small, (0, 0), 1).astype(np.float32)


class ShotDetector:
    """Takes the frames of a video one by one; :meth:`shots` then says where shots begin."""

    def __init__(self) -> None:
        self._pictures: deque[np.ndarray] = deque(maxlen=2 * WINDOW)
        self._differences: deque[float] = deque(maxlen=2 * WINDOW)  # of each of these pictures to the one before it
        self._count = 0
        self._cuts: list[int] = []

    def add(self, picture: np.ndarray) -> None:
        """Take the next frame as :func:`small_picture` makes it."""
        self._differences.append(content_difference(self._pictures[-1], picture) if self._pictures else 0.0)
        self._pictures.append(picture)
        self._count += 1
        self._examine(self._count - WINDOW, len(self._pictures) - WINDOW)

    def shots(self) -> tuple[int, ...]:
        """First frame of each shot, from 0 on; to be called once, after the last frame."""
        held = len(self._pictures)
        for place in range(max(1, held - WINDOW + 1), held):
            self._examine(self._count - held + place, place)
        return (0, *self._cuts)

    def _examine(self, frame: int, place: int) -> None:
        """Whether a shot begins at ``frame``, which is the picture number ``place`` of those held."""
        if place < 1 or frame < 1:
            return
        difference = self._differences[place]
        first = max(place - WINDOW, 0)
        pictures = list(self._pictures)
        before, after = pictures[first:place], pictures[place : place + WINDOW]
        held = list(self._differences)
        # The difference of the very first frame is to no other.
        start = first + (1 if self._count - len(pictures) + first == 0 else 0)
        around = held[start:place] + held[place + 1 : place + WINDOW]
        usual = sorted(around)[-2] if len(around) > 1 else 0.0
        if difference < max(MIN_DIFFERENCE, MIN_RATIO * usual):
            return
        nearest = min(content_difference(one, other) for one in before for other in after)
        if nearest >= PERSISTENT * difference and structure_correlation(before[-1], after[0]) < SAME_STRUCTURE:
            self._cuts.append(frame)


def content_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two small pictures, summed over the three planes."""
    return float(np.abs(first - second).mean(axis=(0, 1)).sum())


def structure_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of the luma of two small pictures over pixels, in [-1, 1]; 0 where one of them has no structure."""
    one, other = (picture[..., 0] - picture[..., 0].mean() for picture in (first, second))
    scale = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / scale if scale > 1.0 else 0.0
