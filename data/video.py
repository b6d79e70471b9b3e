"""Reading and writing video and images: the one place that knows about codecs, suffixes and colour modes.

Pixels are uint8 RGB everywhere, one image ``[H, W, 3]``, several ``[N, H, W, 3]``;
tensors are ``[B, 3, H, W]`` in [-1, 1].
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.temporary_files import temporary_path

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".gif"),
    *(".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp", ".ogv", ".vob"),
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
OUTPUT_SUFFIXES = (".mp4", ".gif", ".webp", ".png", ".apng")
MAX_FPS = 1000  # a file that says more, or less than 1, is not believed
MIN_SIDE = 16  # pixels; below it there is nothing that could move, and the models' strides do not fit


# Images ---------------------------------------------------------------------------------------------------------------


def read_image(path: str | Path, formats: tuple[str, ...] | None = None) -> np.ndarray:
    """Read a photo as uint8 RGB ``[H, W, 3]``, upright (EXIF orientation applied), transparency over white.

    Palette, gray, 16-bit, CMYK and floating-point pictures are converted; of an animation the first picture is taken.

    Args:
        formats: Pillow's names of the formats that are tried; all that it knows by default.

    Raises:
        ValueError: missing, empty, truncated or huge file, something that is not a picture, or a side under 16 pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    _expect_content(path, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the error at twice the size is enough
            with Image.open(path, formats=formats) as image:
                width, height = image.size
                if min(width, height) < MIN_SIDE:
                    raise ValueError(f"{path}: {width}x{height} is too small, {MIN_SIDE} pixels a side are needed")
                image.load()
                return np.array(_to_rgb(ImageOps.exif_transpose(image), path))
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: more pixels than is safe to decode, shrink the picture first") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not an image that can be read (known: {' '.join(IMAGE_SUFFIXES)})") from error
    except (OSError, SyntaxError) as error:  # Pillow's PNG reader raises SyntaxError for broken chunks
        raise ValueError(f"{path}: damaged image, save it again ({' '.join(str(error).split())})") from error


def _to_rgb(image: Any, path: Path) -> Any:
    """8-bit RGB of a Pillow image in any mode."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image), path)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray, path: Path) -> np.ndarray:
    """Gray values of 16 or 32 bits, or floating point in [0, 1] or [0, 255], as uint8."""
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0:
        raise ValueError(f"{path}: gray values from {low:g} to {high:g} are not a photo, save it with 8 or 16 bits")
    if values.dtype.kind == "f":
        white = 1.0 if high <= 1 else max(255.0, high)
    else:
        white = 65535.0 if high <= 65535 else 2.0**32 - 1
    return np.rint(values * (255 / white)).astype(np.uint8)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 RGB ``[H, W, 3]`` in the format of the suffix (one of ``IMAGE_SUFFIXES``)."""
    from PIL import Image

    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{path}: unknown suffix for an image, use one of {' '.join(IMAGE_SUFFIXES)}")
    _expect_folder(path)
    with temporary_path(path) as temporary:
        Image.fromarray(_expect_frame(image, path)).save(temporary, quality=95)


def image_to_tensor(image: np.ndarray) -> Tensor:
    """uint8 ``[H, W, 3]`` -> float32 ``[1, 3, H, W]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def tensor_to_image(tensor: Tensor) -> np.ndarray:
    """Float ``[3, H, W]`` or ``[1, 3, H, W]`` in [-1, 1] -> uint8 ``[H, W, 3]``, rounded and clamped."""
    if tensor.ndim == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or len(tensor) != 3:
        raise ValueError(f"expected one image [3, H, W], got shape {tuple(tensor.shape)}")
    values = ((tensor.detach().float() + 1) * 127.5).round().clamp(0, 255)
    return values.to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def resize_and_crop(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize so that the picture covers ``size``, then crop its centre.

    Args:
        frames: uint8 ``[H, W, 3]`` or ``[N, H, W, 3]``.
        size: (width, height) in pixels. Area averaging when shrinking, cubic when enlarging.
    """
    import cv2

    if frames.ndim == 4:
        return np.stack([resize_and_crop(frame, size) for frame in frames])
    height, width = frames.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    covering = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    if covering != (width, height):
        frames = cv2.resize(frames, covering, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    return np.ascontiguousarray(frames[top : top + size[1], left : left + size[0]])


# Reading video --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VideoInfo:
    """What decoding a video showed; containers are often wrong about it.

    The last four are what :func:`data.footage.scan_footage` finds in the pictures.
    """

    num_frames: int  # frames that decode
    fps: float
    width: int  # upright, after the rotation that phones store
    height: int
    times: tuple[float, ...] | None  # seconds of each frame where the frame rate varies, else None
    shots: tuple[int, ...] = (0,)  # first frame of each shot
    interlaced: bool = False  # even and odd lines were taken at different times
    hashes: tuple[int, ...] = ()  # see data.duplicates.Fingerprint
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
    path: str | Path, max_frames: int | None = None, look: Callable[[np.ndarray, float], None] | None = None
) -> VideoInfo:
    """Decode a video once to learn how many frames it really has and when they are shown.

    Args:
        look: called with each frame, uint8 BGR ``[H, W, 3]``, and its time in seconds from the first on.

    Raises:
        ValueError: missing or empty file, not a video, or a file that ends well before its own header says.
    """
    import cv2

    path = Path(path)
    with _open_video(path) as capture:
        declared, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        times: list[float] = []
        while (max_frames is None or len(times) < max_frames) and capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            if look is not None:
                look(_retrieve(capture, path, len(times) - 1), times[-1] - times[0])
    if not times:
        raise ValueError(f"{path}: no frame can be decoded, the file is damaged")
    seconds = np.asarray(times) - times[0]
    increasing = len(times) > 1 and bool((np.diff(seconds) > 0).all())
    if not (math.isfinite(fps) and 1 <= fps <= MAX_FPS):
        if not increasing:
            raise ValueError(f"{path}: the file does not say its frame rate, convert it to mp4 first")
        fps = (len(times) - 1) / seconds[-1]
    # Files that repeat frames by leaving them out declare more frames than they hold, so the time reached counts too.
    missing = max_frames is None and max(len(times), seconds[-1] * fps) < 0.9 * declared < math.inf
    if missing:
        raise ValueError(f"{path}: damaged, only {len(times)} of {declared:.0f} frames can be decoded")
    drift = np.abs(seconds - np.arange(len(times)) / fps).max()
    return VideoInfo(len(times), fps, width, height, tuple(seconds) if increasing and drift > 0.75 / fps else None)


def _retrieve(capture: Any, path: Path, index: int) -> np.ndarray:
    """The picture that was grabbed last, uint8 BGR ``[H, W, 3]``."""
    there, frame = capture.retrieve()
    if not there:
        raise ValueError(f"{path}: frame {index} can't be converted to RGB, convert the file to mp4 first")
    return frame


class FrameReader:
    """Frames of one video, for calls that mostly want later frames than the call before.

    Decoding goes on where it stopped, and frames that the last call gave are kept for the next: sequences that overlap
    decode each frame once instead of the whole beginning of the video each. Every frame is decoded in order, because
    seeking in compressed video lands on wrong frames with some codecs, so what comes out does not depend on the calls.

    Args:
        path: the video.
        size: (width, height) to resize and crop each frame to while reading, so that memory holds only that.
        edit: applied to each frame, uint8 RGB ``[H, W, 3]``, before that.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int] | None = None,
        edit: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.path = Path(path)
        self._size, self._edit = size, edit
        self._stack = ExitStack()
        self._capture: Any = None
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
        if self._capture is None or any(i < self._next and i not in self._frames for i in wanted):
            self.close()
            self._capture = self._stack.enter_context(_open_video(self.path))
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
        if not self._capture.grab():
            raise ValueError(f"{self.path}: has {index} frames, frame {max(wanted)} was asked for")
        if index in wanted:
            frame = np.ascontiguousarray(_retrieve(self._capture, self.path, index)[:, :, ::-1])
            frame = self._edit(frame) if self._edit else frame
            self._frames[index] = resize_and_crop(frame, self._size) if self._size else frame

    def close(self) -> None:
        """Close the file and forget the frames; the next call begins anew."""
        self._stack.close()
        self._capture, self._next, self._frames = None, 0, {}


def read_frames(
    path: str | Path,
    indices: Sequence[int] | np.ndarray,
    size: tuple[int, int] | None = None,
    edit: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """The frames of a video with these indices, see :class:`FrameReader`."""
    with closing(FrameReader(path, size, edit)) as reader:
        return reader.read(indices)


def read_video(
    path: str | Path, fps: float | None = None, max_frames: int | None = None, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, float]:
    """Read a video as uint8 RGB ``[N, H, W, 3]`` with its frame rate.

    Args:
        fps: resample to this constant rate (see :meth:`VideoInfo.resample`); the video's own by default.
        max_frames: read only the first so many frames (after resampling).
        size: (width, height) to resize and crop to; the video's own by default.
    """
    indices, rate = scan_video(path).resample(fps)
    return read_frames(path, indices[:max_frames], size), rate


@contextmanager
def _open_video(path: Path) -> Iterator[Any]:
    # FFmpeg inside OpenCV otherwise prints its own lines about damaged files; the setting is read at the first use.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    _expect_content(path, "video")
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)
    # Naming the backend keeps OpenCV from taking "img_001.mp4" for the first of a series of pictures.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise ValueError(f"{path}: not a video that can be decoded")
        yield capture
    finally:
        capture.release()
        cv2.setLogLevel(level)


# Writing video --------------------------------------------------------------------------------------------------------


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames, uint8 ``[H, W, 3]`` of one size, in the format of the suffix: one of ``OUTPUT_SUFFIXES``.

    ``.mp4`` is H.264 (crf 18, an odd side grows by one repeated pixel) and is written while the frames arrive;
    ``.gif``, ``.webp`` and ``.png``/``.apng`` (lossless) repeat forever. Formats with coarse time steps get uneven
    delays that add up to the right duration.

    Raises:
        ValueError: unknown suffix, missing folder, no frames, frames of the wrong type or of different sizes.
    """
    path = Path(path)
    check_output_suffix(path)
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"{path}: the frame rate must be positive, got {fps}")
    _expect_folder(path)
    checked = _checked_frames(frames, path)
    with temporary_path(path) as temporary:
        OUTPUT_WRITERS[path.suffix.lower()](temporary, checked, fps)


def check_output_suffix(path: str | Path) -> None:
    """Raise ValueError unless :func:`write_video` knows the suffix; call it before the work whose result is written."""
    path = Path(path)
    if path.suffix.lower() not in OUTPUT_WRITERS:
        raise ValueError(f"{path}: unknown suffix for a video, use one of {' '.join(OUTPUT_SUFFIXES)}")


def _write_mp4(path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    # OpenCV decodes with the BT.601 matrix whatever the file says, browsers believe the tag: tagged BT.601 suits both.
    options = ["-crf", "18", "-preset", "medium", "-movflags", "+faststart", "-colorspace", "smpte170m"]
    options += ["-color_primaries", "bt709", "-color_trc", "bt709"]
    even = (np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge") for frame in frames)
    _run_ffmpeg(path, even, fps, "libx264", "yuv420p", options)


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    # A GIF counts centiseconds and browsers slow down delays under 2: above 50 frames a second frames are left out.
    rate = "fps=50," if fps > 50 else ""
    palette = (
        f"{rate}split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=sierra2_4a:diff_mode=rectangle"
    )
    _run_ffmpeg(path, frames, fps, "gif", "pal8", ["-filter_complex", palette, "-loop", "0"])


def _run_ffmpeg(
    path: Path, frames: Iterator[np.ndarray], fps: float, codec: str, pixels: str, options: list[str]
) -> None:
    import imageio_ffmpeg

    first = next(frames)
    height, width = first.shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, codec=codec, pix_fmt_in="rgb24", pix_fmt_out=pixels, quality=None,
        macro_block_size=1, ffmpeg_log_level="error", output_params=options,
    )  # fmt: skip
    try:
        writer.send(None)
        writer.send(first.tobytes())
        for frame in frames:
            writer.send(frame.tobytes())
    finally:
        writer.close()
    if not path.is_file() or path.stat().st_size == 0:
        raise OSError(f"{path}: ffmpeg could not write the video, is the disk full?")


def _write_with_pillow(path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames]
    ends = np.rint(np.arange(len(images) + 1) * 1000 / fps).astype(int)  # milliseconds
    webp = path.suffix.lower() == ".webp"
    options: dict[str, Any] = {"quality": 80, "method": 4} if webp else {}
    images[0].save(
        path, format="WEBP" if webp else "PNG", save_all=True, append_images=images[1:], loop=0,
        duration=np.diff(ends).tolist(), **options,
    )  # fmt: skip


# suffix -> writer
OUTPUT_WRITERS = {
    ".mp4": _write_mp4,
    ".gif": _write_gif,
    ".webp": _write_with_pillow,
    ".png": _write_with_pillow,
    ".apng": _write_with_pillow,
}


def _checked_frames(frames: Iterable[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    """The frames, each checked; the first is looked at now so that nothing is started for no frames."""
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write")
    shape = _expect_frame(first, path).shape

    def check() -> Iterator[np.ndarray]:
        yield np.ascontiguousarray(first)
        for frame in iterator:
            if _expect_frame(frame, path).shape != shape:
                raise ValueError(f"{path}: frames of one size are needed, got {shape} and {frame.shape}")
            yield np.ascontiguousarray(frame)

    return check()


def _expect_frame(frame: np.ndarray, path: Path) -> np.ndarray:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"{path}: expected uint8 RGB [H, W, 3], got {frame.dtype} {tuple(frame.shape)}")
    return frame


def _expect_content(path: Path, what: str) -> None:
    if not path.exists():
        raise ValueError(f"{path}: no such {what} file")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected {'an' if what == 'image' else 'a'} {what} file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")


def _expect_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist, make it first")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, name a file in it")
