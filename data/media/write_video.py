"""Writing video and animated pictures: MP4, MOV, WebM, GIF, WebP and APNG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from common.command_line import MachineFailure
from common.files import temporary_path
from common.option_types import MAX_FPS
from data.media.codecs import h264_options, vp9_options
from data.media.encode import EncodingError, encode
from data.media.images import expect_folder, expect_frame

OUTPUT_SUFFIXES = (".mp4", ".mov", ".webm", ".gif", ".webp", ".png", ".apng")
# Without key frames on the way, each of which looks a little different: by default it is every fifth frame or so.
WEBP = {"quality": 85, "method": 4, "kmin": 10**6 - 1, "kmax": 10**6}
MEETING = 8  # frames at the end of a WebP loop that come to look as the coded first frame does
MOVING_LEVELS = 3.0  # gray levels from the first frame, beyond which a pixel moves
MIN_FPS = 0.02  # a frame of an animated PNG lasts a minute at most


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float, *, loop_frames: int | None = None) -> None:
    """Write frames, uint8 ``[H, W, 3]`` of one size, in the format of the suffix: one of ``OUTPUT_SUFFIXES``.

    ``.mp4`` and ``.mov`` are H.264, ``.webm`` is VP9 (an odd side grows by one repeated pixel); they are written while
    the frames arrive. ``.gif``, ``.webp`` and ``.png``/``.apng`` (lossless) repeat forever. Formats with coarse time
    steps get uneven delays that add up to the right duration.

    Args:
        path: the file.
        frames: of any number.
        fps: frames a second.
        loop_frames: their number, where they are a loop, whose end is to meet its start in the file as well.

    Raises:
        ValueError: unknown suffix, missing folder, no frames, frames of the wrong type or of different sizes.
        OSError: a full disk among others; what was there before stays.
        MachineFailure: the encoder failed.
    """
    path = Path(path)
    check_output_suffix(path)
    if not MIN_FPS <= fps <= MAX_FPS:
        raise ValueError(f"{path}: a frame rate from {MIN_FPS} to {MAX_FPS} is needed, got {fps}")
    expect_folder(path)
    checked = _checked_frames(frames, path)
    with temporary_path(path) as temporary:
        try:
            OUTPUT_WRITERS[path.suffix.lower()](temporary, checked, fps, loop_frames)
        except EncodingError as error:
            raise MachineFailure(f"{path}: {error}") from None


def check_output_suffix(path: str | Path) -> None:
    """Raise ValueError unless :func:`write_video` knows the suffix; call it before the work whose result is written."""
    path = Path(path)
    if path.suffix.lower() not in OUTPUT_WRITERS:
        raise ValueError(f"{path}: unknown suffix for a video, use one of {' '.join(OUTPUT_SUFFIXES)}")


def _write_h264(path: Path, frames: Iterator[np.ndarray], fps: float, loop_frames: int | None) -> None:
    even = _even(frames)
    first = next(even)
    encode(path, chain([first], even), fps, h264_options(loop_frames, fps, max(first.shape[:2])))


def _write_vp9(path: Path, frames: Iterator[np.ndarray], fps: float, loop_frames: int | None) -> None:
    encode(path, _even(frames), fps, vp9_options(loop_frames))


def _even(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames with sides that are even, as colours at half the size need them."""
    return (np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge") for frame in frames)


def _write_gif(path: Path, frames: Iterator[np.ndarray], fps: float, _: int | None) -> None:
    # A GIF counts centiseconds and browsers slow down delays under 2: above 50 frames a second frames are left out.
    rate = "fps=50," if fps > 50 else ""
    begin = list(islice(frames, ceil(fps / 50) + 1))
    if len(begin) <= fps / 50:  # all of them are shorter than one that is left
        frames, fps, rate = iter(begin[:1]), 50, ""
    else:
        frames = chain(begin, frames)
    palette = (
        f"{rate}split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=sierra2_4a:diff_mode=rectangle"
    )
    encode(path, frames, fps, ["-vcodec", "gif", "-pix_fmt", "pal8", "-filter_complex", palette, "-loop", "0"])


def _write_with_pillow(path: Path, frames: Iterator[np.ndarray], fps: float, loop_frames: int | None) -> None:
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames]
    ends = np.rint(np.arange(len(images) + 1) * 1000 / fps).astype(int)  # milliseconds
    webp = path.suffix.lower() == ".webp"
    options: dict[str, Any] = WEBP if webp else {}
    if len(images) > 1 and all(image.tobytes() == images[0].tobytes() for image in images[1:]):
        images, ends = _two_pictures(images[0], webp), ends[[0, len(images) // 2, -1]]
        options = {"lossless": True} if webp else {"blend": [0, 1]}  # what is blended otherwise is not joined
    elif webp and loop_frames:
        images[1:] = _meeting_the_first(images)
    images[0].save(
        path,
        format="WEBP" if webp else "PNG",
        save_all=True,
        append_images=images[1:],
        loop=0,
        duration=np.diff(ends).tolist(),
        **options,
    )


def _meeting_the_first(images: list[Any]) -> list[Any]:
    """All but the first frame of a loop, the last of them with more and more of the noise of the coded first frame.

    The first frame alone is coded without regard to others, so its noise is another than that of those before it. That
    is seen where the picture stands still, and only there the noise is added.
    """
    from PIL import Image

    file = io.BytesIO()
    images[0].save(file, format="WEBP", quality=WEBP["quality"], method=WEBP["method"])
    first = np.asarray(images[0], np.float32)
    noise = np.asarray(Image.open(file).convert("RGB"), np.float32) - first
    later = images[1:]
    for before in range(min(MEETING, len(later))):
        frame = np.asarray(later[-1 - before], np.float32)
        still = (1 - np.abs(frame - first).max(axis=2, keepdims=True) / MOVING_LEVELS).clip(0)
        frame = frame + (1 - before / MEETING) * still * noise
        later[-1 - before] = Image.fromarray(np.rint(frame).clip(0, 255).astype(np.uint8))
    return later


def _two_pictures(image: Any, webp: bool) -> list[Any]:
    """The frames of an animation that stands still: encoders join equal ones into a picture without a duration.

    In the second picture of a WebP one blue value differs by 1.
    """
    other = image.copy()
    if webp:
        red, green, blue = other.getpixel((0, 0))
        other.putpixel((0, 0), (red, green, blue ^ 1))
    return [image, other]


# suffix -> writer
OUTPUT_WRITERS = {
    ".mp4": _write_h264,
    ".mov": _write_h264,
    ".webm": _write_vp9,
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
    shape = expect_frame(first, path).shape

    def check() -> Iterator[np.ndarray]:
        yield np.ascontiguousarray(first)
        for frame in iterator:
            if expect_frame(frame, path).shape != shape:
                raise ValueError(f"{path}: frames of one size are needed, got {shape} and {frame.shape}")
            yield np.ascontiguousarray(frame)

    return check()
