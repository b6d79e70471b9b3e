"""Pictures that are damaged, odd or something else, made byte by byte."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from common.image_kinds import PNG_SIGNATURE, png_bytes


def png_of(
    picture: np.ndarray,
    *,
    size: tuple[int, int] | None = None,
    rows: int | None = None,
    wrong: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """A PNG of uint8 ``[H, W, 3]`` that may say another size, hold fewer rows, or have a chunk with a wrong checksum.

    An interlaced one is black.
    """
    height, width = picture.shape[:2]
    pixels = b"".join(b"\0" + row.tobytes() for row in picture[:rows])
    if interlaced:
        pixels = bytes(png_bytes(width, height, 8, 2, 1))
    header = struct.pack(">IIBBBBB", *(size or (width, height)), 8, 2, 0, 0, int(interlaced))
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(chunk(kind, data, wrong=kind == wrong) for kind, data in chunks)


def png_with_text(picture: np.ndarray, compressed: bytes) -> bytes:
    """A PNG with a compressed text before its pixels."""
    png = png_of(picture)
    place = png.index(b"IDAT") - 4
    return png[:place] + chunk(b"zTXt", b"Comment\0\0" + compressed) + png[place:]


def chunk(kind: bytes, data: bytes, *, wrong: bool = False) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)


def jpeg_with_more_rows(picture: np.ndarray, height: int) -> bytes:
    """A JPEG whose header says more rows than there are."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=95)
    data = bytearray(buffer.getvalue())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 2] = struct.pack(">H", height)
    return bytes(data)


def eps_file() -> bytes:
    """A PostScript drawing that never ends."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n{} loop\n%%EOF\n"


def wide_gamut_profile() -> bytes:
    """An ICC profile with the primaries of Display P3 and the exponent 2.2."""
    # Columns adapted from D65 to D50 by Bradford's matrix, as profiles hold them.
    columns = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189)}
    columns |= {b"bXYZ": (0.15710, 0.06657, 0.78407), b"wtpt": (0.96420, 1.0, 0.82491)}
    tags = {
        name: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in xyz)) for name, xyz in columns.items()
    }
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 11) + b"Wide gamut\0" + bytes(78 + 3)
    tags[b"cprt"] = b"text\0\0\0\0nobody\0\0"
    start, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
