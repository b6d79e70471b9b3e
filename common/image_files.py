"""Reading pictures: every format and colour mode becomes upright 8-bit RGB."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from common.command_line import MIN_SIDE
from common.files import expect_content

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def read_image(path: str | Path, formats: tuple[str, ...] | None = None) -> np.ndarray:
    """Read a photo as uint8 RGB ``[H, W, 3]``, upright (EXIF orientation applied), transparency over white.

    Palette, gray, 16-bit, CMYK and floating-point pictures are converted; of an animation the first picture is taken.

    Args:
        path: the picture's file.
        formats: Pillow's names of the formats to try; by default all that it knows.

    Raises:
        ValueError: missing, empty, truncated or huge file, something that is not a picture, or a side under 16 pixels.
    """
    with _opened(Path(path), formats) as image:
        image.load()
        return upright_rgb(image, path)


def check_image(path: str | Path) -> None:
    """Look at a picture's header, without decoding its pixels; errors as of :func:`read_image`."""
    with _opened(Path(path), None):
        pass


@contextmanager
def _opened(path: Path, formats: tuple[str, ...] | None) -> Iterator[Any]:
    """A Pillow image whose header has been read; whatever goes wrong in the block is told in one line."""
    from PIL import Image, UnidentifiedImageError

    expect_content(path, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the error at twice the size is enough
            with Image.open(path, formats=formats) as image:
                width, height = image.size
                if min(width, height) < MIN_SIDE:
                    raise ValueError(f"{path}: {width}x{height} is too small, {MIN_SIDE} pixels a side are needed")
                yield image
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: more pixels than is safe to decode, shrink the picture first") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not an image that can be read (known: {' '.join(IMAGE_SUFFIXES)})") from error
    except (OSError, SyntaxError) as error:  # Pillow's PNG reader raises SyntaxError for broken chunks
        raise ValueError(f"{path}: damaged image, save it again ({' '.join(str(error).split())})") from error


def upright_rgb(image: Any, name: str | Path) -> np.ndarray:
    """A Pillow image as uint8 RGB ``[H, W, 3]``, EXIF orientation applied, transparency over white."""
    from PIL import ImageOps

    return np.array(_to_rgb(ImageOps.exif_transpose(image), name))


def _to_rgb(image: Any, path: str | Path) -> Any:
    """8-bit RGB of a Pillow image in any mode."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image), path)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray, path: str | Path) -> np.ndarray:
    """Gray values of 16 or 32 bits, or floating point in [0, 1] or [0, 255], as uint8."""
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0:
        raise ValueError(f"{path}: gray values from {low:g} to {high:g} are not a photo, save it with 8 or 16 bits")
    if values.dtype.kind == "f":
        white = 1.0 if high <= 1 else max(255.0, high)
    else:
        white = 65535.0 if high <= 65535 else 2.0**32 - 1
    return np.rint(values * (255 / white)).astype(np.uint8)
