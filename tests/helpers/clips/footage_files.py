"""Raw footage of every awkward kind, made with the ffmpeg that imageio-ffmpeg brings along."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

WIDTH, HEIGHT = 64, 48


def scene_frames(seed: int, num_frames: int, size: tuple[int, int] = (WIDTH, HEIGHT), speed: float = 1.0) -> list:
    """Frames uint8 [H, W, 3] of a texture in which a large patch swings, by 3 pixels in 64 and once in 20 frames."""
    width, height = size
    coarse = np.random.default_rng(seed).integers(20, 230, (12, 16, 3), dtype=np.uint8)
    still = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    frames = []
    for t in range(num_frames):
        shift = 3 * width / WIDTH * np.sin(2 * np.pi * speed * t / 20)
        moved = cv2.warpAffine(
            still, np.float32([[1, 0, shift], [0, 1, 0]]), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        frame = still.copy()
        frame[height // 4 : -height // 4, width // 5 : -width // 5] = moved[
            height // 4 : -height // 4, width // 5 : -width // 5
        ]
        frames.append(frame)
    return frames


def encode(path: Path, frames: list, *options: str, rate: int | str = 30) -> Path:
    """Write frames with ffmpeg; ``options`` are those of its output, by default nearly lossless H.264."""
    height, width = frames[0].shape[:2]
    start = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
    usual = ["-c:v", "libx264", "-crf", "12", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    run(*start, *(options or usual), str(path), given=b"".join(frame.tobytes() for frame in frames))
    return path


def transcode(source: Path, path: Path, *options: str, before: tuple[str, ...] = ()) -> Path:
    """Convert a video; ``before`` are options of the input."""
    run(*before, "-i", str(source), *options, str(path))
    return path


def decoded_by_ffmpeg(path: Path, size: tuple[int, int]) -> np.ndarray:
    """All frames that ffmpeg shows, upright, uint8 ``[T, *size, 3]``."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    shown = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(shown, np.uint8).reshape(-1, *size, 3)


def run(*arguments: str, given: bytes = b"") -> None:
    """Run ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *arguments]
    subprocess.run(command, input=given, check=True, capture_output=True)
