"""Raw footage, looked at once: what a decoding pass shows of a video, kept in the user's cache for runs that resume."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from common.files import cache_folder, temporary_path
from common.hashing import file_sha256, text_sha256
from common.plain import from_plain, read_json
from data.footage.duplicates import FingerprintCollector
from data.footage.interlacing import CombingDetector
from data.footage.shots import ShotDetector, small_picture
from data.media.read_video import VideoInfo, scan_video


def scan_footage(path: str | Path) -> VideoInfo:
    """As :func:`data.media.read_video.scan_video`, with shots, fingerprint and interlacing, in one decoding pass.

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


VERSION = 2  # to be raised with every change of what data.footage.scan finds
VARIABLE = "SCAN_CACHE"  # of the environment: the folder, or nothing for none


def look_at(path: Path, *, scan: Callable[[Path], VideoInfo] | None = None) -> tuple[str, VideoInfo]:
    """SHA-256 of a video and what :func:`data.footage.scan.scan_footage` finds in it.

    A file that this user's cache knows under its path, size and time of change is not opened; what can't be read is not
    kept.

    Args:
        scan: in place of `scan_footage`.

    Raises:
        ValueError, OSError: as reading the file and `scan_footage` do.
    """
    kept = _place(path)
    known = _read(kept) if kept else None
    if known:
        return known
    result = file_sha256(path), (scan or scan_footage)(path)
    if kept:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with temporary_path(kept) as temporary:
                temporary.write_text(json.dumps({"sha256": result[0], "info": asdict(result[1])}), encoding="utf-8")
        except OSError:
            pass  # without a cache it only takes longer
    return result


def _place(path: Path) -> Path | None:
    """Where a video as it is now would be kept; None without a cache."""
    import cv2

    named = os.environ.get(VARIABLE)
    if named == "":
        return None
    folder = cache_folder("scans") if named is None else Path(named)
    status = path.stat()
    # Another version of the decoder may count or show frames differently.
    key = json.dumps([VERSION, cv2.__version__, str(path.absolute()), status.st_size, status.st_mtime_ns])
    return folder / f"{text_sha256(key)[:32]}.json"


def _read(kept: Path) -> tuple[str, VideoInfo] | None:
    try:
        values = read_json(kept)
        return str(values["sha256"]), from_plain(VideoInfo, values["info"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # not there, or damaged
