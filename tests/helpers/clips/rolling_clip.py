"""A picture and a clip of it in which each frame can be told from the next."""

from __future__ import annotations

import cv2
import numpy as np


def smooth_picture() -> np.ndarray:
    """uint8 [48, 64, 3], smooth, different in each channel and without symmetry."""
    coarse = np.random.default_rng(0).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)


def rolling_clip() -> np.ndarray:
    """40 frames uint8 [40, 48, 64, 3]: the picture moves 1 pixel a frame."""
    return np.stack([np.roll(smooth_picture(), shift, axis=1) for shift in range(40)])


def nearest(frames: np.ndarray, clip: np.ndarray) -> list[int]:
    """For each frame, which frame of the clip it looks like."""
    differences = np.abs(frames[:, None].astype(int) - clip[None]).mean(axis=(2, 3, 4))
    return differences.argmin(axis=1).tolist()
