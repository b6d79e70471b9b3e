"""Frames through the ffmpeg program to a file: what it says about its end is looked at, and it never outlives us."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np

NO_SPACE = ("No space left on device", "Disk quota exceeded", "File too large")
TOO_LARGE = "SIGXFSZ"  # by which the system ends a program whose file grows beyond what the user may write


class EncodingError(Exception):
    """ffmpeg failed; the message says why in one line."""


def encode(path: Path, frames: Iterable[np.ndarray], fps: float, options: Sequence[str]) -> None:
    """Write frames, uint8 ``[H, W, 3]`` of one size, while they come.

    Args:
        path: the file, whose suffix says the container; whatever is there is replaced.
        options: ffmpeg's for the output.

    Raises:
        OSError: the disk is full.
        EncodingError: ffmpeg failed in another way.
    """
    iterator = iter(frames)
    first = next(iterator)
    with tempfile.TemporaryFile() as messages:
        process = _start(path, first.shape, fps=fps, options=options, messages=messages)
        assert process.stdin is not None
        try:
            process.stdin.write(first.tobytes())
            for frame in iterator:
                process.stdin.write(frame.tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended before all frames were there, and says why
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait() != 0:
            messages.seek(0)
            raise _failure(path, process.returncode, messages.read().decode(errors="replace"))


def _start(
    path: Path, shape: tuple[int, ...], *, fps: float, options: Sequence[str], messages: IO[bytes]
) -> subprocess.Popen[bytes]:
    import imageio_ffmpeg

    height, width = shape[:2]
    rate = str(Fraction(fps).limit_denominator())
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-vcodec", "rawvideo"]
    command += ["-s", f"{width}x{height}", "-pix_fmt", "rgb24", "-r", rate, "-i", "-", "-an", *options]
    # With the protocol before it, a name with a colon is a file's; without Ctrl-C, which is ours to answer.
    command.append(f"file:{path.absolute()}")
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=messages, stderr=messages, start_new_session=os.name == "posix"
    )


def _failure(path: Path, status: int, messages: str) -> Exception:
    import signal

    if any(text in messages for text in NO_SPACE) or status == -getattr(signal, TOO_LARGE, 0):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    reason = lines[-1] if lines else f"status {status}"
    return EncodingError(f"ffmpeg could not write the video ({reason.removeprefix(f'file:{path.absolute()}: ')})")
