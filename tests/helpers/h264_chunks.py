"""What a browser's H.264 encoder hands out, made by ffmpeg, for tests in browsers that come without one."""

from __future__ import annotations

import base64
import struct
import subprocess

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

SEQUENCE, PICTURE, FRAME, KEY_FRAME = 7, 8, 1, 5  # types of NAL units


def h264_chunks(frames: np.ndarray, fps: int) -> dict:
    """Frames, uint8 ``[T, H, W, 3]``, as ``{chunks, description}`` of WebCodecs, bytes as base64."""
    height, width = frames.shape[1:3]
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    made = ["-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p", "-x264-params", "slices=1", "-f", "h264", "-"]
    command = [get_ffmpeg_exe(), "-v", "error", *given, *made]
    stream = subprocess.run(command, input=frames.tobytes(), capture_output=True, check=True).stdout
    units = [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1")[1:]]
    sequence, picture = (next(unit for unit in units if unit[0] & 31 == kind) for kind in (SEQUENCE, PICTURE))
    description = bytes([1, *sequence[1:4], 0xFF, 0xE1]) + struct.pack(">H", len(sequence)) + sequence
    description += b"\1" + struct.pack(">H", len(picture)) + picture
    shown = [unit for unit in units if unit[0] & 31 in (FRAME, KEY_FRAME)]
    chunks = [
        {
            "time": round(1000 * index / fps),
            "key": unit[0] & 31 == KEY_FRAME,
            "data": base64.b64encode(struct.pack(">I", len(unit)) + unit).decode(),
        }
        for index, unit in enumerate(shown)
    ]
    return {"chunks": chunks, "description": base64.b64encode(description).decode()}
