"""Reading video: how many frames a file really has and when they are shown, and the frames themselves."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.files import expect_content
from common.option_types import MAX_FPS
from data.media.images import resize_and_crop
from data.media.mp4_header import Mp4Header, read_mp4_header

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".gif"),
    *(".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp", ".ogv", ".vob"),
)


@dataclass(frozen=True)
class VideoInfo:
    """What decoding a video showed; containers are often wrong about it.

    The last four are what :func:`data.footage.scan.scan_footage` finds in the pictures.
    """

    num_frames: int  # frames that decode
    fps: float
    width: int  # upright, after the rotation that phones store
    height: int
    times: tuple[float, ...] | None  # seconds of each frame where the frame rate varies, else None
    shots: tuple[int, ...] = (0,)  # first frame of each shot
    interlaced: bool = False  # even and odd lines were taken at different times
    hashes: tuple[int, ...] = ()  # see data.footage.duplicates.Fingerprint
    course: str = ""

    def resample(self, fps: float | None, shot: int | None = None) -> tuple[np.ndarray, float]:
        """Frame indices (int64) that play the video at a constant rate, nearest frame in time, and that rate.

        A constant rate within 10 % of ``fps``, or ``fps=None``, keeps every frame at the video's own rate: dropping or
        doubling single frames would show as a jerk, and would break a clip that loops.

        Args:
            shot: its number, to take that alone; all frames by default.
        """
        target = fps or self.fps
        first, end = (0, self.num_frames) if shot is None else (*self.shots, self.num_frames)[shot : shot + 2]
        if self.times is None and abs(self.fps - target) <= 0.1 * target:
            return np.arange(first, end), self.fps
        times = np.arange(end - first) / self.fps if self.times is None else np.asarray(self.times[first:end])
        wanted = np.arange(max(1, round((times[-1] - times[0] + 1 / self.fps) * target))) / target + times[0]
        after = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1))
        after = np.minimum(after, len(times) - 1)
        before = np.maximum(after - 1, 0)
        return first + np.where(wanted - times[before] <= times[after] - wanted, before, after), target


def scan_video(
    path: str | Path, *, max_frames: int | None = None, look: Callable[[np.ndarray, float], None] | None = None
) -> VideoInfo:
    """Decode a video once to learn how many frames it really has and when they are shown.

    Args:
        look: called with each frame, uint8 BGR ``[H, W, 3]``, and its time in seconds from the first on.

    Raises:
        ValueError: missing or empty file, not a video, or a file that ends well before its own header says.
    """
    import cv2

    path = Path(path)
    with _open_video(path) as video:
        capture = video.capture
        declared, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        times: list[float] = []
        before = 0.0  # frames between time 0 and the first one
        while (max_frames is None or len(times) < max_frames) and capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            if len(times) == 1 and _counts_from_zero(path):
                before = max(0.0, capture.get(getattr(cv2, "CAP_PROP_PTS", -1)))
            if look is not None:
                look(video.retrieve(len(times) - 1), times[-1] - times[0])
    if not times:
        raise ValueError(f"{path}: no frame can be decoded, the file is damaged")
    seconds = np.asarray(times) - times[0]
    increasing = len(times) > 1 and bool((np.diff(seconds) > 0).all())
    if not (math.isfinite(fps) and 1 <= fps <= MAX_FPS):
        if not increasing:
            raise ValueError(f"{path}: the file does not say its frame rate, convert it to mp4 first")
        fps = (len(times) - 1) / seconds[-1]
    # Files that repeat frames by leaving them out declare more frames than they hold, so the time reached counts too.
    declared -= before
    if video.header.seconds is not None:  # what an edit list hides is declared too
        declared = min(declared, video.header.seconds * fps)
    missing = max_frames is None and max(len(times), seconds[-1] * fps) < 0.9 * declared < math.inf
    if missing:
        raise ValueError(f"{path}: damaged, only {len(times)} of {declared:.0f} frames can be decoded")
    drift = np.abs(seconds - np.arange(len(times)) / fps).max()
    return VideoInfo(len(times), fps, width, height, tuple(seconds) if increasing and drift > 0.75 / fps else None)


def _counts_from_zero(path: Path) -> bool:
    """Whether a file's duration counts from time 0, whenever its first frame is shown: Matroska's and WebM's does."""
    with path.open("rb") as file:
        return file.read(4) == b"\x1aE\xdf\xa3"


@dataclass(frozen=True)
class _Video:
    """An opened video."""

    path: Path
    capture: Any  # OpenCV's
    header: Mp4Header

    def retrieve(self, index: int) -> np.ndarray:
        """The picture that was grabbed last, upright, uint8 BGR ``[H, W, 3]``."""
        there, frame = self.capture.retrieve()
        if not there:
            raise ValueError(f"{self.path}: frame {index} can't be converted to RGB, convert the file to mp4 first")
        return frame if self.header.flip is None else np.flip(frame, self.header.flip)


class FrameReader:
    """Frames of one video, for calls that mostly want later frames than the call before.

    Decoding continues where it stopped, and frames that the last call gave are kept for the next: sequences that
    overlap decode each frame once, rather than the whole beginning of the video each time. Every frame is decoded in
    order, because seeking in compressed video lands on wrong frames with some codecs, so the frames do not depend on
    the calls.

    Args:
        path: the video.
        size: (width, height) to resize and crop each frame to while reading, so that memory holds only that.
        edit: applied to each frame, uint8 RGB ``[H, W, 3]``, before that.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: tuple[int, int] | None = None,
        edit: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.path = Path(path)
        self._size, self._edit = size, edit
        self._stack = ExitStack()
        self._video: _Video | None = None
        self._next = 0  # frame that is decoded next
        self._frames: dict[int, np.ndarray] = {}  # those of the last call

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames with these indices, in any order and repeated at will, as uint8 ``[N, H, W, 3]``.

        Args:
            indices: frame numbers as :func:`scan_video` counts them.

        Raises:
            ValueError: not a video, or it has fewer frames.
        """
        order = np.asarray(indices).tolist()
        wanted = set(order)
        if self._video is None or any(i < self._next and i not in self._frames for i in wanted):
            self.close()
            self._video = self._stack.enter_context(_open_video(self.path))
        self._frames = {i: self._frames[i] for i in wanted if i in self._frames}
        try:
            while self._next <= max(wanted):
                self._advance(wanted)
        except BaseException:
            self.close()
            raise
        return np.stack([self._frames[i] for i in order])

    def _advance(self, wanted: set[int]) -> None:
        index, self._next = self._next, self._next + 1
        assert self._video is not None
        if not self._video.capture.grab():
            raise ValueError(f"{self.path}: has {index} frames, frame {max(wanted)} was asked for")
        if index in wanted:
            frame = np.ascontiguousarray(self._video.retrieve(index)[:, :, ::-1])
            frame = self._edit(frame) if self._edit else frame
            self._frames[index] = resize_and_crop(frame, self._size) if self._size else frame

    def close(self) -> None:
        """Close the file and forget the frames; the next call begins anew."""
        self._stack.close()
        self._video, self._next, self._frames = None, 0, {}


def read_frames(
    path: str | Path,
    indices: Sequence[int] | np.ndarray,
    *,
    size: tuple[int, int] | None = None,
    edit: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """The frames of a video with these indices, see :class:`FrameReader`."""
    with closing(FrameReader(path, size=size, edit=edit)) as reader:
        return reader.read(indices)


def read_video(
    path: str | Path,
    *,
    fps: float | None = None,
    max_frames: int | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[np.ndarray, float]:
    """Read a video as uint8 RGB ``[N, H, W, 3]`` with its frame rate.

    Args:
        fps: resample to this constant rate (see :meth:`VideoInfo.resample`); the video's own by default.
        max_frames: read only the first frames, up to this many (after resampling).
        size: (width, height) to resize and crop to; the video's own by default.
    """
    indices, rate = scan_video(path).resample(fps)
    return read_frames(path, indices[:max_frames], size=size), rate


@contextmanager
def _open_video(path: Path) -> Iterator[_Video]:
    # FFmpeg inside OpenCV otherwise prints its own lines about damaged files; the setting is read at the first use.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    expect_content(path, "video")
    level = cv2.getLogLevel()
    with _utf8_name(path) as name:
        cv2.setLogLevel(0)
        # Naming the backend keeps OpenCV from taking "img_001.mp4" for the first of a series of pictures.
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise ValueError(f"{path}: not a video that can be decoded")
            yield _Video(path, capture, read_mp4_header(path))
        finally:
            capture.release()
            cv2.setLogLevel(level)


@contextmanager
def _utf8_name(path: Path) -> Iterator[str]:
    """The file under a name in UTF-8: OpenCV crashes on others, which old archives and disks have."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / "video"
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield str(path)
