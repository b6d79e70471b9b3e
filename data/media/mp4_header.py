"""What the header of an MP4 or QuickTime file says and OpenCV does not: edit lists, and pictures that are mirrored.

The boxes are those of ISO/IEC 14496-12: `moov/mvhd`, and of the first video track `tkhd`, `edts/elst` and `mdia/hdlr`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MOST_BOXES = 100_000  # of a file; damaged ones may have as many as they have bytes
CONTAINERS = (b"moov", b"trak", b"edts", b"mdia")
Matrix = tuple[int, int, int, int]  # a, b, c, d of a display matrix, in units of 1/65536


@dataclass(frozen=True)
class Mp4Header:
    """What is known before decoding; of another kind of file, or a damaged header, nothing."""

    seconds: float | None = None  # that the edit list shows: a clip cut without encoding it again hides its beginning
    flip: int | None = None  # axis of ``[H, W, 3]`` along which what OpenCV turned upright is still mirrored


def read_mp4_header(path: Path) -> Mp4Header:
    """The header of a video file."""
    try:
        with path.open("rb") as file:
            if file.read(12)[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return Mp4Header()
            return _of_boxes(list(_boxes(file)))
    except (OSError, struct.error, ZeroDivisionError):
        return Mp4Header()


def _of_boxes(boxes: list[tuple[bytes, bytes]]) -> Mp4Header:
    timescale, whole = 0, (1, 0, 0, 1)
    tracks: list[dict[bytes, bytes]] = []
    for kind, body in boxes:
        if kind == b"mvhd":
            timescale = _number(body, 20 if body[0] else 12)
            whole = _matrix(body, 48 if body[0] else 36)
        elif kind == b"trak":
            tracks.append({})
        elif tracks:
            tracks[-1].setdefault(kind, body)
    for boxed in tracks:
        if boxed.get(b"hdlr", b"")[8:12] == b"vide":
            header = boxed.get(b"tkhd", b"")
            turn = _product(_matrix(header, 52 if header[:1] == b"\1" else 40), whole)
            return Mp4Header(_shown(boxed.get(b"elst", b""), timescale), _flip(turn))
    return Mp4Header()


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of the boxes that matter, those that hold others with an empty body before what they hold."""
    place, end = 0, file.seek(0, 2)
    for _ in range(MOST_BOXES):
        if place + 8 > end:
            return
        file.seek(place)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", file.read(8))[0], 16
        if kind in CONTAINERS:
            yield kind, b""
            place += head
            continue
        if kind in (b"mvhd", b"tkhd", b"elst", b"hdlr") and head <= size <= 2**20:
            yield kind, file.read(size - head)
        if size < head:  # 0: to the end of the file
            return
        place += size


def _number(body: bytes, place: int) -> int:
    return struct.unpack_from(">I", body, place)[0]


def _matrix(body: bytes, place: int) -> Matrix:
    a, b, _, c, d = struct.unpack_from(">5i", body, place)
    return a, b, c, d


def _product(first: Matrix, second: Matrix) -> Matrix:
    (a, b, c, d), (e, f, g, h) = first, second
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def _flip(turn: Matrix) -> int | None:
    """OpenCV turns by the angle of the matrix's first row alone, as if nothing was mirrored."""
    a, b, c, d = turn
    if a * d - b * c >= 0:
        return None
    return 0 if abs(a) > abs(b) else 1


def _shown(edits: bytes, timescale: int) -> float | None:
    """Seconds of an edit list, without what it leaves empty; None where there is no list or it does not say."""
    if len(edits) < 8:
        return None
    entry = ">Qq4x" if edits[0] else ">Ii4x"
    count = min(_number(edits, 4), (len(edits) - 8) // struct.calcsize(entry))
    listed = [struct.unpack_from(entry, edits, 8 + number * struct.calcsize(entry)) for number in range(count)]
    return sum(duration for duration, start in listed if start >= 0) / timescale or None
