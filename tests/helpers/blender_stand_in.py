"""A worker that stands in for Blender's: it draws the vertices of a scene as points, the nearest in front.

Its pictures hold what the vertices carry, so that all but the rendering can be tested where bpy is not installed.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import sys
from pathlib import Path

import numpy as np

from helpers.places import ROOT

PASSES = 3  # channels of each


def install_stand_in(folder: Path, *, fails: str = "") -> Path:
    """An interpreter that runs this worker in place of Blender's.

    Args:
        fails: "never starts", "dies" at the first scene, or "refuses" each scene with an error.
    """
    script = folder / "python"
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]; "
    code += f"from helpers.blender_stand_in import main; main({fails!r})"
    lines = ["#!/bin/sh", 'case "$2" in *find_spec*) exit 0;; esac', f"exec {sys.executable} -c {code!r}"]
    script.write_text("\n".join(lines).replace(f"-c {code!r}", f'-c "{code}"') + "\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def main(fails: str = "") -> None:
    """Answer as `data.simulated.blender.worker` does."""
    if fails == "never starts":
        sys.exit(3)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if fails == "dies":
            os._exit(4)
        answer = {"error": "RuntimeError: no such node"}
        if fails != "refuses":
            draw(Path(line.strip()))
            answer = {"seconds": 0.5}
        print(json.dumps(answer), flush=True)


def draw(folder: Path) -> None:
    """Write the shots of a scene."""
    described = json.loads((folder / "scene.json").read_text())
    arrays = np.load(folder / "arrays.npz")
    for shot in described["shots"]:
        width, height = described["size"]
        picture = np.zeros((height, width, 3 + PASSES * shot["passes"]), np.float32)
        nearest = np.full((height, width), np.inf)
        for number in range(len(described["things"])):
            rest = arrays[f"{number}.vertices"]
            moved = f"{number}.{shot['name']}.vertices"
            vertices = arrays.get(moved, rest)
            channels = arrays[f"{number}.{shot['name']}.channels"]
            _splat(described["camera"], vertices, arrays[f"{number}.colors"], channels, picture, nearest)
        names = [f"ViewLayer.Combined.{c}" for c in "RGB"]
        names += [f"ViewLayer.c{number}.{c}" for number in range(shot["passes"]) for c in "RGB"]
        write_exr(folder / f"{shot['name']}.exr", dict(zip(names, np.moveaxis(picture, 2, 0), strict=True)))


def _splat(
    camera: dict,
    vertices: np.ndarray,
    colors: np.ndarray,
    channels: np.ndarray,
    picture: np.ndarray,
    nearest: np.ndarray,
) -> None:
    height, width = nearest.shape
    right, up, back = np.asarray(camera["axes"])
    offset = vertices - np.asarray(camera["position"])
    depth = -offset @ back
    focal = camera["lens"] / 36 * width
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.floor(width / 2 + focal * (offset @ right) / depth)
        y = np.floor(height / 2 - focal * (offset @ up) / depth)
    seen = (depth > 0.02) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    for vertex in np.flatnonzero(seen):
        row, column = int(y[vertex]), int(x[vertex])
        if depth[vertex] < nearest[row, column]:
            nearest[row, column] = depth[vertex]
            picture[row, column] = 0
            picture[row, column, :3] = colors[vertex]
            picture[row, column, 3 : 3 + channels.shape[1]] = channels[vertex]


def write_exr(path: Path, channels: dict[str, np.ndarray], *, compression: int = 0) -> None:
    """An OpenEXR file of 32-bit floats in scan lines."""
    names = sorted(channels)
    height, width = channels[names[0]].shape
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iBxxxii", 2, 0, 1, 1) for name in names) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = [
        ("channels", "chlist", listed),
        ("compression", "compression", bytes([compression])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
    ]
    header = b"\x76\x2f\x31\x01" + struct.pack("<i", 2)
    for name, kind, value in attributes:
        header += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
    header += b"\0"
    line = 8 + 4 * width * len(names)
    start = len(header) + 8 * height
    offsets = struct.pack(f"<{height}Q", *(start + line * row for row in range(height)))
    body = b"".join(
        struct.pack("<ii", row, line - 8) + b"".join(channels[name][row].astype("<f4").tobytes() for name in names)
        for row in range(height)
    )
    path.write_bytes(header + offsets + body)
