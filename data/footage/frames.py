"""The frames of a sequence as the models see them: from the source video, cropped, of one size, perhaps steadied."""

from __future__ import annotations

from contextlib import closing
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
    """The part of a :class:`data.dataset.sequence.SequenceJob` that its frames depend on."""

    @property
    def path(self) -> str: ...
    @property
    def source_indices(self) -> tuple[int, ...]: ...
    @property
    def fps(self) -> float: ...
    @property
    def interlaced(self) -> bool: ...


class SequenceReader:
    """Reads the frames of one sequence after the other; the video that was read last stays open until `close`.

    A video's sequences come one after the other, so each of its frames is decoded once. Every process that may fork
    has to close its readers first: in the child Python would close what other threads keep open, and the decoder waits
    for threads that the child does not have.
    """

    def __init__(self) -> None:
        self._reader: FrameReader | None = None
        self._key: tuple = ()  # what the open reader is good for

    def read(self, sequence: FrameSource, view: View) -> np.ndarray:
        """Frames uint8 ``[T, H, W, 3]`` of a sequence, always the same for the same video.

        Raises:
            ValueError: frames are missing, or the camera moves too much to be steadied.
        """
        from data.footage.stabilization import WORKING_SCALE, stabilize

        scale = WORKING_SCALE if view.stabilize else 1
        size = (view.size[0] * scale, view.size[1] * scale)
        frames = self._reader_of(sequence, view.crop, size).read(sequence.source_indices)
        return stabilize(frames, sequence.fps, view.size) if view.stabilize else frames

    def close(self) -> None:
        """Close the video that is open, if any."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._key = None, ()

    def _reader_of(self, sequence: FrameSource, crop: Crop, size: tuple[int, int]) -> FrameReader:
        try:
            status = Path(sequence.path).stat()
            version = status.st_mtime_ns, status.st_size
        except OSError:
            version = 0, 0  # reading says what is wrong
        key = sequence.path, version, size, crop, sequence.interlaced
        if self._reader is None or self._key != key:
            self.close()
            interlaced = sequence.interlaced

            def edit(frame: np.ndarray) -> np.ndarray:
                return crop_picture(keep_one_field(frame) if interlaced else frame, crop)

            self._key, self._reader = key, FrameReader(sequence.path, size=size, edit=edit)
        return self._reader


def read_sequence_frames(sequence: FrameSource, view: View) -> np.ndarray:
    """The frames of a single sequence, see :meth:`SequenceReader.read`."""
    with closing(SequenceReader()) as reader:
        return reader.read(sequence, view)


def crop_picture(frame: np.ndarray, crop: Crop) -> np.ndarray:
    """The part of a picture ``[H, W, 3]`` that is left when these shares of its sides are cut off."""
    left, top, right, bottom = crop_box(frame.shape[1], frame.shape[0], crop)
    return frame[top:bottom, left:right]


def crop_box(width: int, height: int, crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels, the last two exclusive, of what :func:`crop_picture` leaves."""
    left, top = round(crop[0] * width), round(crop[1] * height)
    return left, top, width - round(crop[2] * width), height - round(crop[3] * height)
