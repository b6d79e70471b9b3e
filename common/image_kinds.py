"""What can be told of a picture's file by its bytes: what else it is, and what is missing of it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mrw", ".nef", ".nrw", ".orf", ".pef"),
    *(".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".3gp", ".wmv", ".flv")
DRAWING_SUFFIXES = (".svg", ".svgz", ".eps", ".ps", ".ai", ".wmf", ".emf", ".psd", ".psb", ".xcf", ".kra")

RAW = "a camera's raw file; develop it, or take the JPEG that the camera saved beside it"
DRAWING = "a drawing or a project of layers; export it as PNG or JPEG"
PDF = "a PDF; save its picture as PNG or JPEG"
VIDEO = "a video; save one of its frames as PNG or JPEG"
HEIC = "a HEIC photo, for which a package is missing: pip install pillow-heif, or save it as JPEG"
DAMAGED = "damaged image, save it again"

# First bytes, with what they say; a second entry stands at that place.
SIGNATURES = (
    (0, b"%PDF", PDF),
    (0, b"%!PS", DRAWING),
    (0, b"\xc5\xd0\xd3\xc6", DRAWING),  # EPS with a preview
    (0, b"8BPS", DRAWING),
    (0, b"gimp xcf", DRAWING),
    (0, b"<svg", DRAWING),
    (0, b"<?xml", DRAWING),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIRO", RAW),
    (0, b"MMOR", RAW),
    (0, b"IIU\0", RAW),
    (8, b"CR\x02", RAW),
    (4, b"ftypcrx", RAW),
    *((4, b"ftyp" + brand, HEIC) for brand in (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")),
    (4, b"ftypavi", DAMAGED),
    (4, b"ftyp", VIDEO),
    (4, b"moov", VIDEO),
    (0, b"\x1aE\xdf\xa3", VIDEO),
    (8, b"AVI ", VIDEO),
    (8, b"WEBP", DAMAGED),
    *((0, start, DAMAGED) for start in (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")),
    *((4, start, DAMAGED) for start in (b"jP  ",)),
)
DNG_VERSION = 0xC612  # a tag that every DNG file has
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by PNG's colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
MISSING_GRAY = 128  # libjpeg fills with it what a file doesn't hold
FEWEST_ROWS = 16  # a picture's own edge may be as gray


def raw_file(path: Path, name: str) -> str | None:
    """:data:`RAW` for the raw file of a camera, many of which are TIFF files whose first picture is a thumbnail.

    Args:
        path: the file.
        name: what it was called where it comes from, whose suffix counts.
    """
    if Path(name).suffix.lower() in RAW_SUFFIXES:
        return RAW
    with path.open("rb") as file:
        head = file.read(4096)
    return RAW if head[8:11] == b"CR\x02" or _is_dng(head) else None


def advice(path: Path, name: str) -> str | None:
    """What a file is that can't be read as a picture, and what to do with it; arguments as of :func:`raw_file`."""
    if raw_file(path, name):
        return RAW
    with path.open("rb") as file:
        head = file.read(64)
    for place, signature, meaning in SIGNATURES:
        if (head[place:] if place else head.lstrip(b"\xef\xbb\xbf \t\r\n")).startswith(signature):
            return meaning
    suffix = Path(name).suffix.lower()
    for suffixes, meaning in ((DRAWING_SUFFIXES, DRAWING), (VIDEO_SUFFIXES, VIDEO), ((".pdf",), PDF)):
        if suffix in suffixes:
            return meaning
    return None


def _is_dng(head: bytes) -> bool:
    """Whether the first directory of a TIFF file has the tag of a DNG."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None or len(head) < 8:
        return False
    start = struct.unpack(order + "I", head[4:8])[0]
    if start + 2 > len(head):
        return False
    count = struct.unpack_from(order + "H", head, start)[0]
    places = range(start + 2, min(start + 2 + 12 * count, len(head) - 1), 12)
    return any(struct.unpack_from(order + "H", head, place)[0] == DNG_VERSION for place in places)


def damage(path: Path, image: Any) -> str | None:
    """What is wrong with a file that decodes all the same; None where nothing is known to be.

    Args:
        image: the Pillow image made of it, loaded and not changed.
    """
    if image.format == "PNG":
        return _png_damage(path)
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        return _jpeg_damage(np.asarray(image))
    return None


def _jpeg_damage(pixels: np.ndarray) -> str | None:
    """Rows at the bottom that libjpeg had no data for."""
    rows = pixels.reshape(len(pixels), -1)
    filled = 0
    while filled < len(rows) and (rows[-1 - filled] == MISSING_GRAY).all():
        filled += 1
    return f"the lowest {filled} of {len(rows)} rows are missing" if filled >= FEWEST_ROWS else None


def _png_damage(path: Path) -> str | None:
    """A checksum that is wrong, or fewer rows than the header says: Pillow looks at neither."""
    inflate, found, needed = zlib.decompressobj(), 0, 0
    with path.open("rb") as file:
        file.seek(len(PNG_SIGNATURE))
        while True:
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                break
            length, kind = struct.unpack(">I", head[:4])[0], head[4:]
            data, checksum = file.read(length), file.read(4)
            if kind in (b"IHDR", b"PLTE", b"IDAT") and zlib.crc32(kind + data) != int.from_bytes(checksum, "big"):
                return f"a checksum of its {kind.decode()} part is wrong"
            if kind == b"IHDR":
                needed = png_bytes(*struct.unpack(">IIBBxxB", data[:13]))
            elif kind == b"IDAT":
                found += _inflated(inflate, data, needed - found)
    return f"{100 * (1 - found / needed):.0f} % of its pixels are missing" if found < needed else None


def png_bytes(width: int, height: int, depth: int, color: int, interlace: int) -> int:
    """Bytes of a PNG's pixels before they are compressed, each row with the byte that tells its filter."""
    bits = depth * SAMPLES.get(color, 0)
    passes = ADAM7 if interlace else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // right), -(-(height - y) // down)) for x, y, right, down in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _inflated(inflate: Any, data: bytes, most: int) -> int:
    """Bytes that a part of a stream inflates to, up to ``most``, a block at a time."""
    count = 0
    try:
        while data and count < most and not inflate.eof:
            count += len(inflate.decompress(data, min(1 << 20, most - count)))
            data = inflate.unconsumed_tail
    except zlib.error:
        pass
    return count
