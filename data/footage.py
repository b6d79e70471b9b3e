"""Raw footage, looked at once: what a decoding pass shows of a video beside its frames' number and times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from data.duplicates import FingerprintCollector
from data.interlacing import CombingDetector
from data.shots import ShotDetector, small_picture
from data.video import VideoInfo, scan_video


def scan_footage(path: str | Path) -> VideoInfo:
    """As :func:`data.video.scan_video`, with shots, fingerprint and interlacing, in one decoding pass.

    Memory holds a few pictures whatever the video's length.

    Raises:
        ValueError: as there, or pictures that change their size.
    """
    shots, fingerprint, combing = ShotDetector(), FingerprintCollector(), CombingDetector()
    sizes: set[tuple[int, ...]] = set()

    def look(frame: np.ndarray, seconds: float) -> None:
        sizes.add((frame.shape[1], frame.shape[0]))
        if len(sizes) > 1:
            both = " and ".join(f"{width}x{height}" for width, height in sorted(sizes))
            raise ValueError(f"{path}: its pictures change their size, {both}; convert it first")
        shots.add(small_picture(frame))
        fingerprint.add(frame, seconds)
        combing.add(frame)

    info = scan_video(path, look=look)
    found = fingerprint.fingerprint()
    return replace(info, shots=shots.shots(), interlaced=combing.interlaced(), hashes=found.hashes, course=found.course)
