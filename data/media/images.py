"""Reading and writing pictures: the one place that knows about suffixes and colour modes; resizing and cropping."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from common.command_line import MIN_SIDE
from common.files import expect_content, temporary_path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


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
    expect_content(path, "image")
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
    expect_folder(path)
    with temporary_path(path) as temporary:
        Image.fromarray(expect_frame(image, path)).save(temporary, quality=95)


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


def expect_frame(frame: np.ndarray, path: Path) -> np.ndarray:
    """The frame, if it is uint8 ``[H, W, 3]``; else a ValueError that names the file."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"{path}: expected uint8 RGB [H, W, 3], got {frame.dtype} {tuple(frame.shape)}")
    return frame


def expect_folder(path: Path) -> None:
    """Raise a ValueError in one line unless a file can be written under this path."""
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist, make it first")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, name a file in it")
