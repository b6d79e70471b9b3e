"""Reading pictures, the one door for them: known formats alone, upright, in sRGB, as 8-bit RGB.

Formats are opened by name: Pillow knows dozens more, some of which start other programs.
"""

from __future__ import annotations

import ctypes
import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from common.files import expect_content
from common.image_kinds import DAMAGED, HEIC, advice, damage, raw_file
from common.option_types import MIN_SIDE

Warn = Callable[[str], None]


@dataclass(frozen=True)
class Format:
    """A format that is read."""

    name: str  # Pillow's
    suffixes: tuple[str, ...]
    media_type: str  # what browsers call it


FORMATS = (
    Format("JPEG", (".jpg", ".jpeg"), "image/jpeg"),
    Format("PNG", (".png",), "image/png"),
    Format("WEBP", (".webp",), "image/webp"),
    Format("HEIF", (".heic", ".heif"), "image/heic"),
    Format("AVIF", (".avif",), "image/avif"),
    Format("TIFF", (".tif", ".tiff"), "image/tiff"),
    Format("BMP", (".bmp",), "image/bmp"),
    Format("GIF", (".gif",), "image/gif"),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx"), "image/jp2"),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), "image/x-portable-anymap"),
    Format("ICO", (".ico",), "image/x-icon"),
    Format("TGA", (".tga",), "image/x-tga"),
)
IMAGE_SUFFIXES = tuple(suffix for form in FORMATS for suffix in form.suffixes)
WHITE = 255  # gray level
MOST_PIXELS = 178_956_970  # of a photo: half a gigabyte when it is decoded; Pillow's own limit as well
ORIENTATION = 0x0112  # EXIF's tag
# What makes a picture upright whose orientation has this number: names of Pillow's transpositions.
TURNS = {
    **{2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"},
    **{6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"},
}


def read_image(
    path: str | Path,
    *,
    most_pixels: int = MOST_PIXELS,
    name: str | None = None,
    warn: Warn | None = None,
    ground: int = WHITE,
) -> np.ndarray:
    """Read a photo as uint8 RGB ``[H, W, 3]``: upright (EXIF orientation applied), in sRGB, transparency over white.

    Palette, gray, 16-bit, CMYK and floating-point pictures are converted; of an animation the first picture is taken.

    Args:
        path: the picture's file.
        most_pixels: a larger one is refused before it is decoded.
        name: what messages call it, the path by default.
        warn: told in one line of a file that is damaged, though a picture could be made of it.
        ground: gray level that transparency lies over.

    Raises:
        ValueError: missing, empty, truncated or huge file, something that is not a picture, or a side under 16 pixels.
    """
    path, shown = Path(path), name or str(path)
    with _opened(path, most_pixels, shown) as image:
        with _in_one_line(shown):
            image.load()
        if warn is not None:
            problem = damage(path, image)
            if problem:
                warn(f"{shown}: {problem}; is the file whole?")
        return upright_rgb(image, shown, ground=ground)


def check_image(path: str | Path, *, most_pixels: int = MOST_PIXELS, name: str | None = None) -> None:
    """Look at a picture's header, without decoding its pixels; arguments and errors as of :func:`read_image`."""
    with _opened(Path(path), most_pixels, name or str(path)):
        pass


def upright_rgb(image: Any, name: str | Path, *, ground: int = WHITE) -> np.ndarray:
    """A Pillow image as uint8 RGB ``[H, W, 3]``: upright, in sRGB, transparency over a gray level, white by default.

    Raises:
        ValueError: naming ``name``, where its pixels can't be decoded or converted.
    """
    from PIL import Image

    with _in_one_line(str(name)):
        image.load()
        turn = TURNS.get(_orientation(image))
        turned = image if turn is None else image.transpose(getattr(Image.Transpose, turn))
        values = _gray_values(turned)
        if values is None:
            return np.array(_to_rgb(turned, ground))
    return np.dstack([_to_8_bits(values, name)] * 3)


# Opening --------------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path, most_pixels: int, name: str) -> Iterator[Any]:
    """A Pillow image whose header has been read and found fit."""
    from PIL import Image, UnidentifiedImageError

    expect_content(path, "image", name)
    _keep_libtiff_quiet()
    readable = heif_is_readable()
    known = [form.name for form in FORMATS if readable or form.name != "HEIF"]
    with _in_one_line(name):
        try:
            image = Image.open(path, formats=known)
        except UnidentifiedImageError:
            image = None
        except Image.DecompressionBombError:
            raise ValueError(f"{name}: more than {most_pixels // 10**6} megapixels; shrink the photo first") from None
    if image is None:
        hint = advice(path, name) or f"not an image that can be read (known: {' '.join(IMAGE_SUFFIXES)})"
        raise ValueError(f"{name}: {DAMAGED if hint == HEIC and readable else hint}")
    with image:
        if image.format == "TIFF" and raw_file(path, name):
            raise ValueError(f"{name}: {raw_file(path, name)}")
        width, height = image.size
        if width * height > most_pixels:
            most = f"at most {most_pixels // 10**6} megapixels are read"
            raise ValueError(f"{name}: {width}x{height} pixels, {most}; shrink the photo first")
        if min(width, height) < MIN_SIDE:
            raise ValueError(f"{name}: {width}x{height} pixels are too few, {MIN_SIDE} a side are needed")
        yield image


@contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    """Whatever Pillow raises for a file, told as a `ValueError` of one line.

    Its readers raise nearly everything for damaged files: struct.error, RuntimeError, ZeroDivisionError ... so the
    block holds calls of Pillow alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns with lines of its source; what matters is said by `damage`
            yield
    except MemoryError:
        raise ValueError(f"{name}: there is not enough memory to decode it; shrink the photo first") from None
    except Exception as error:
        reason = " ".join(str(error).split())
        if isinstance(error, ValueError) and reason.startswith(f"{name}: "):
            raise
        raise ValueError(f"{name}: damaged image, save it again ({reason or type(error).__name__})") from error


@cache
def heif_is_readable() -> bool:
    """Whether HEIC can be read: where the package for it is installed, Pillow is told of it."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


@cache
def _keep_libtiff_quiet() -> None:
    """libtiff, which Pillow carries, otherwise writes to the terminal what it thinks of damaged files."""
    from PIL import _imaging

    with suppress(OSError, AttributeError):  # where it can't be reached
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetWarningHandler(None)
        library.TIFFSetErrorHandler(None)


# Converting -----------------------------------------------------------------------------------------------------------


def _orientation(image: Any) -> int:
    """EXIF's number for it; 1, as it is, where the EXIF block is cut off or is none."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # as of `_in_one_line`
        return 1


def _to_rgb(image: Any, ground: int) -> Any:
    """8-bit RGB, in sRGB, of a Pillow image in any mode with 8 bits or fewer."""
    from PIL import Image

    profile = image.info.get("icc_profile")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        below = Image.new("RGBA", layered.size, (ground, ground, ground, 255))
        return _to_srgb(Image.alpha_composite(below, layered).convert("RGB"), profile)
    return _to_srgb(image, profile).convert("RGB")


def _to_srgb(image: Any, profile: bytes | None) -> Any:
    """The picture with its colours in sRGB; as it is without a profile, or with one that doesn't fit it."""
    from PIL import ImageCms

    if profile is None and image.mode != "LAB":
        return image
    if image.mode in ("P", "1", "YCbCr", "HSV", "RGBX"):
        image = image.convert("RGB")
    space = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}.get(image.mode)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile) if profile else ImageCms.createProfile("LAB"))
        same = "srgb" in ImageCms.getProfileDescription(source).lower()  # rounding would change it all the same
        if same or source.profile.xcolor_space != space:
            return image
        intent, target = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.createProfile("sRGB")
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        return ImageCms.profileToProfile(image, source, target, intent, outputMode="RGB", flags=flags) or image
    except Exception:  # as of `_in_one_line`: a damaged profile is none
        return image


def _gray_values(image: Any) -> np.ndarray | None:
    """The values of a gray picture with more than 8 bits, ``[H, W]``; None for other pictures."""
    return np.asarray(image) if image.mode.startswith("I") or image.mode == "F" else None


def _to_8_bits(values: np.ndarray, name: str | Path) -> np.ndarray:
    """Gray values of 16 or 32 bits, or floating point in [0, 1] or [0, 255], as uint8."""
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0:
        raise ValueError(f"{name}: gray values from {low:g} to {high:g} are not a photo, save it with 8 or 16 bits")
    if values.dtype.kind == "f":
        white = 1.0 if high <= 1 else max(255.0, high)
    else:
        white = 65535.0 if high <= 65535 else 2.0**32 - 1
    return np.rint(values * (255 / white)).astype(np.uint8)
