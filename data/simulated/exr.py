"""Reading the OpenEXR files that Blender's worker writes: one part, scan lines, 32-bit floats, not compressed.

https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

MAGIC = b"\x76\x2f\x31\x01"
FLOAT = 2  # the pixel type
OTHER_LAYOUTS = 0x1A  # flags of tiles, deep data and several parts


def read_exr(path: Path) -> dict[str, np.ndarray]:
    """Channels float32 [H, W] by name, such as ``ViewLayer.Combined.R``.

    Raises:
        ValueError: another kind of file, or one that is cut off.
    """
    data = path.read_bytes()
    if data[:4] != MAGIC or data[5] & OTHER_LAYOUTS:
        raise ValueError(f"{path}: not a single-part OpenEXR file of scan lines")
    attributes, position = _attributes(data, 8)
    names = _channel_names(attributes["channels"], path)
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    if attributes["compression"] != b"\x00":
        raise ValueError(f"{path}: is compressed")
    width, height = right - left + 1, bottom - top + 1
    line = 8 + 4 * width * len(names)
    start = position + 8 * height
    if len(data) < start + line * height:
        raise ValueError(f"{path}: is cut off")
    lines = np.frombuffer(data, np.uint8, line * height, start).reshape(height, line)
    rows = lines[:, :4].copy().view(np.int32)[:, 0] - top
    values = lines[:, 8:].copy().view(np.float32).reshape(height, len(names), width)
    ordered = np.empty_like(values)
    ordered[rows] = values
    return {name: ordered[:, number] for number, name in enumerate(names)}


def _attributes(data: bytes, position: int) -> tuple[dict[str, bytes], int]:
    """The header: values by name, and where it ends."""
    values = {}
    while data[position]:
        name, _, rest = data[position : position + 512].partition(b"\0")
        kind = rest.partition(b"\0")[0]
        position += len(name) + len(kind) + 2
        size = struct.unpack_from("<i", data, position)[0]
        values[name.decode()] = data[position + 4 : position + 4 + size]
        position += 4 + size
    return values, position + 1


def _channel_names(listed: bytes, path: Path) -> list[str]:
    names, position = [], 0
    while listed[position]:
        end = listed.index(b"\0", position)
        if struct.unpack_from("<i", listed, end + 1)[0] != FLOAT:
            raise ValueError(f"{path}: holds something other than 32-bit floats")
        names.append(listed[position:end].decode())
        position = end + 17
    return names
