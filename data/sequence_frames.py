"""The frames of a sequence as the models see them: from the source video, cropped, of one size, perhaps steadied."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from data.interlacing import keep_one_field
from data.video import FrameReader

Crop = tuple[float, float, float, float]
WHOLE: Crop = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class View:
    """What is made of each source picture: the same for all sequences of a dataset folder."""

    size: tuple[int, int]  # width, height
    crop: Crop = WHOLE  # shares of the source picture cut off on the left, at the top, on the right, at the bottom
    stabilize: bool = False  # see data.stabilization


class FrameSource(Protocol):
    """Of a :class:`data.sequences.SequenceJob`, what the frames depend on."""

    @property
    def path(self) -> str: ...
    @property
    def source_indices(self) -> tuple[int, ...]: ...
    @property
    def fps(self) -> float: ...
    @property
    def interlaced(self) -> bool: ...


def read_sequence_frames(sequence: FrameSource, view: View) -> np.ndarray:
    """Frames uint8 ``[T, H, W, 3]`` of a sequence, always the same for the same video.

    Raises:
        ValueError: frames are missing, or the camera moves too much to be steadied.
    """
    if not view.stabilize:
        return _reader(sequence, view, view.size).read(sequence.source_indices)
    from data.stabilization import WORKING_SCALE, stabilize

    working = view.size[0] * WORKING_SCALE, view.size[1] * WORKING_SCALE
    return stabilize(_reader(sequence, view, working).read(sequence.source_indices), sequence.fps, view.size)


_last = threading.local()  # .reader of the video that this thread read last, and .key: what it suits


def _reader(sequence: FrameSource, view: View, size: tuple[int, int]) -> FrameReader:
    """A reader of the sequence's video, the last one if it suits: a video's sequences come one after the other."""
    try:
        status = Path(sequence.path).stat()
        version = status.st_mtime_ns, status.st_size
    except OSError:
        version = 0, 0  # reading says what is wrong
    key = sequence.path, version, size, view.crop, sequence.interlaced
    there: tuple | None = getattr(_last, "key", None)
    if there == key:
        return _last.reader
    if there is not None:
        _last.reader.close()

    def edit(frame: np.ndarray) -> np.ndarray:
        return crop_picture(keep_one_field(frame) if sequence.interlaced else frame, view.crop)

    _last.key, _last.reader = key, FrameReader(sequence.path, size, edit)
    return _last.reader


def crop_picture(frame: np.ndarray, crop: Crop) -> np.ndarray:
    """The part of a picture ``[H, W, 3]`` that is left when these shares of its sides are cut off."""
    left, top, right, bottom = crop_box(frame.shape[1], frame.shape[0], crop)
    return frame[top:bottom, left:right]


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels, the last two exclusive, of what :func:`crop_picture` leaves."""
    left, top = round(crop[0] * width), round(crop[1] * height)
    return left, top, width - round(crop[2] * width), height - round(crop[3] * height)
