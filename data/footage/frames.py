"""The frames of a sequence as the models see them: from the source video, cropped, of one size, perhaps steadied."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from data.footage.interlacing import keep_one_field
from data.media.read_video import FrameReader

Crop = tuple[float, float, float, float]
WHOLE: Crop = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class View:
    """What is made of each source picture: the same for all sequences of a dataset folder."""

    size: tuple[int, int]  # width, height
    crop: Crop = WHOLE  # shares of the source picture cut off on the left, at the top, on the right, at the bottom
    stabilize: bool = False  # see data.footage.stabilization


class FrameSource(Protocol):
    """Of a :class:`data.dataset.sequence.SequenceJob`, what the frames depend on."""

    @property
    def path(self) -> str: ...
    @property
    def source_indices(self) -> tuple[int, ...]: ...
    @property
    def fps(self) -> float: ...
    @property
    def interlaced(self) -> bool: ...


def read_sequence_frames(sequence: FrameSource, view: View, keep_open: bool = False) -> np.ndarray:
    """Frames uint8 ``[T, H, W, 3]`` of a sequence, always the same for the same video.

    Args:
        keep_open: go on where this thread's last call stopped, if that kept the same video open, and keep it open in
            turn, until :func:`close_kept`: a video's sequences come one after the other.

    Raises:
        ValueError: frames are missing, or the camera moves too much to be steadied.
    """
    from data.footage.stabilization import WORKING_SCALE, stabilize

    scale = WORKING_SCALE if view.stabilize else 1
    reader = _reader(sequence, view, (view.size[0] * scale, view.size[1] * scale))
    try:
        frames = reader.read(sequence.source_indices)
    finally:
        if not keep_open:
            close_kept()
    return stabilize(frames, sequence.fps, view.size) if view.stabilize else frames


_kept = threading.local()  # .reader of the video that this thread read last, and .key: what it suits


def close_kept() -> None:
    """Close the video that this thread keeps open, if any.

    Every process that may fork has to: in the child Python would close what other threads keep open, and the decoder
    waits for threads that the child does not have.
    """
    if hasattr(_kept, "reader"):
        _kept.reader.close()
        del _kept.reader, _kept.key


def _reader(sequence: FrameSource, view: View, size: tuple[int, int]) -> FrameReader:
    try:
        status = Path(sequence.path).stat()
        version = status.st_mtime_ns, status.st_size
    except OSError:
        version = 0, 0  # reading says what is wrong
    key = sequence.path, version, size, view.crop, sequence.interlaced
    if getattr(_kept, "key", None) != key:
        close_kept()

        def edit(frame: np.ndarray) -> np.ndarray:
            return crop_picture(keep_one_field(frame) if sequence.interlaced else frame, view.crop)

        _kept.key, _kept.reader = key, FrameReader(sequence.path, size, edit)
    return _kept.reader


def crop_picture(frame: np.ndarray, crop: Crop) -> np.ndarray:
    """The part of a picture ``[H, W, 3]`` that is left when these shares of its sides are cut off."""
    left, top, right, bottom = crop_box(frame.shape[1], frame.shape[0], crop)
    return frame[top:bottom, left:right]


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels, the last two exclusive, of what :func:`crop_picture` leaves."""
    left, top = round(crop[0] * width), round(crop[1] * height)
    return left, top, width - round(crop[2] * width), height - round(crop[3] * height)
