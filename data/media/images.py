"""Writing pictures, the one place that knows about suffixes and colour modes; resizing and cropping.

Reading is :func:`common.image_files.read_image`, since the pipeline of the models reads photos as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.files import temporary_path
from common.image_files import IMAGE_SUFFIXES, read_image

__all__ = ["IMAGE_SUFFIXES", "read_image", "resize_and_crop", "write_image"]

OUTPUT_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 RGB ``[H, W, 3]`` in the format of the suffix (one of ``OUTPUT_SUFFIXES``)."""
    from PIL import Image

    path = Path(path)
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        raise ValueError(f"{path}: unknown suffix for an image, use one of {' '.join(OUTPUT_SUFFIXES)}")
    expect_folder(path)
    with temporary_path(path) as temporary:
        Image.fromarray(expect_frame(image, path)).save(temporary, quality=95)


def resize_and_crop(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize so that the picture covers ``size``, then crop its centre.

    Args:
        frames: uint8 ``[H, W, 3]`` or ``[N, H, W, 3]``.
        size: (width, height) in pixels. Area averaging when shrinking, cubic when enlarging.
    """
    import cv2

    if frames.ndim == 4:
        return np.stack([resize_and_crop(frame, size) for frame in frames])
    height, width = frames.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    covering = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    if covering != (width, height):
        frames = cv2.resize(frames, covering, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    return np.ascontiguousarray(frames[top : top + size[1], left : left + size[0]])


def expect_frame(frame: np.ndarray, path: Path) -> np.ndarray:
    """The frame, if it is uint8 ``[H, W, 3]``; else a ValueError that names the file."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"{path}: expected uint8 RGB [H, W, 3], got {frame.dtype} {tuple(frame.shape)}")
    return frame


def expect_folder(path: Path) -> None:
    """Raise a ValueError in one line unless a file can be written under this path."""
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist, make it first")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, name a file in it")
