"""Photos as the pipeline takes them: a file, a PIL image, an array or a tensor; and the sizes that they are seen at."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.hashing import file_sha256
from common.image_files import read_image, upright_rgb
from common.images import image_to_tensor
from common.option_types import MIN_SIDE

if TYPE_CHECKING:
    from PIL import Image

    PhotoLike: TypeAlias = "str | Path | Image.Image | np.ndarray | Tensor | Photo"

TOLERANCE = 1e-3  # beyond [-1, 1], for the rounding of whoever resized the photo


@dataclass(frozen=True)
class Photo:
    """One photo, decoded."""

    image: Tensor  # [1, 3, H, W] in [-1, 1]
    sha256: str = ""  # of its file; empty for a photo that was given as pixels

    def __post_init__(self) -> None:
        if self.image.ndim != 4 or self.image.shape[:2] != (1, 3):
            raise ValueError(f"expected one photo [1, 3, H, W], got shape {tuple(self.image.shape)}")
        width, height = self.size
        if min(width, height) < MIN_SIDE:
            raise ValueError(f"a photo of {width}x{height} is too small, {MIN_SIDE} pixels a side are needed")

    @property
    def size(self) -> tuple[int, int]:
        """(W, H)."""
        return self.image.shape[3], self.image.shape[2]


def as_photo(given: PhotoLike, warn: Callable[[str], None] = warnings.warn) -> Photo:
    """A photo in any of these forms:

    - a path: a picture of one of `common.image_files.FORMATS`, turned upright by its EXIF orientation, in sRGB;
    - a PIL image, likewise;
    - a numpy array ``[H, W, 3]``: uint8, or floating point in [0, 1];
    - a tensor ``[3, H, W]`` or ``[1, 3, H, W]``: uint8, or floating point in [-1, 1].

    A tensor without a single value below 0 is refused: it is far more often one in [0, 1], which would come out washed
    out, than a photo with no dark spot. Wrap such a photo as ``Photo(tensor)``, which is taken as it is.

    Args:
        given: the photo.
        warn: told in one line of a file that is damaged, though a picture could be made of it.

    Raises:
        ValueError: one line that says what was given and what is expected.
    """
    if isinstance(given, Photo):
        return given
    if isinstance(given, str | Path):
        return Photo(image_to_tensor(read_image(given, warn=warn)), file_sha256(given))
    if isinstance(given, np.ndarray):
        return Photo(_of_array(given))
    if isinstance(given, Tensor):
        return Photo(_of_tensor(given))
    if hasattr(given, "getexif") and hasattr(given, "convert"):  # a PIL image, whose class need not be imported
        return Photo(image_to_tensor(upright_rgb(given, "PIL image")))
    raise ValueError(f"a photo is a path, a PIL image, an array or a tensor, got {type(given).__name__}")


def _of_array(array: np.ndarray) -> Tensor:
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"a photo as an array is [H, W, 3], got shape {array.shape}")
    if array.dtype == np.uint8:
        return image_to_tensor(array)
    if array.dtype.kind != "f":
        raise ValueError(f"a photo as an array is uint8, or floating point in [0, 1]; got {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise ValueError(f"a photo as a floating-point array is in [0, 1], got values from {low:g} to {high:g}")
    values = torch.from_numpy(np.ascontiguousarray(array, np.float32)).permute(2, 0, 1)[None]
    return (2 * values - 1).clamp(-1, 1)


def _of_tensor(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    image = tensor[None] if tensor.ndim == 3 else tensor
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        shape = tuple(tensor.shape)
        raise ValueError(f"a photo as a tensor is [3, H, W] or [1, 3, H, W], got {shape}; give several as a list")
    if image.dtype == torch.uint8:
        return image.float() / 127.5 - 1
    if not image.is_floating_point():
        raise ValueError(f"a photo as a tensor is uint8, or floating point in [-1, 1]; got {image.dtype}")
    low, high = float(image.min()), float(image.max())
    expected = "a photo as a floating-point tensor is in [-1, 1]"
    if not (low >= -1 - TOLERANCE and high <= 1 + TOLERANCE):
        raise ValueError(f"{expected}, got values from {low:g} to {high:g}")
    if low >= 0:
        raise ValueError(f"{expected}, this one looks like [0, 1] ({low:g} to {high:g}); give 2 * photo - 1")
    return image.float().clamp(-1, 1)


# Sizes ----------------------------------------------------------------------------------------------------------------


def model_size(photo_size: tuple[int, int], training_size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(W, H) at which the motion model sees a photo of ``photo_size`` (W, H).

    Both sides are multiples of ``multiple``; the aspect ratio is as close to the photo's, and the area as close to the
    training size's, as that grid allows. Shape counts twice as much as area.
    """
    target_ratio = np.log(photo_size[0] / photo_size[1])
    target_area = np.log(training_size[0] * training_size[1])
    # Within half and twice the trained area; a panorama beyond the grid gets its thinnest shape.
    longest = max(2, int(2 * training_size[0] * training_size[1] / multiple**2))
    sides = np.log(np.arange(1, longest + 1) * multiple)
    width, height = sides[:, None], sides[None]
    cost = 2 * np.abs(width - height - target_ratio) + np.abs(width + height - target_area)
    column, row = np.unravel_index(int(cost.argmin()), cost.shape)
    return (int(column) + 1) * multiple, (int(row) + 1) * multiple


def covering_size(photo_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Size (W, H) at which a photo covers ``size``; ``size`` itself where the aspect ratios agree up to rounding."""
    scale = max(size[0] / photo_size[0], size[1] / photo_size[1])
    width, height = max(size[0], round(photo_size[0] * scale)), max(size[1], round(photo_size[1] * scale))
    return size if width - size[0] <= 2 and height - size[1] <= 2 else (width, height)


def resize_photo(image: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, 3, H, W]`` in [-1, 1] -> ``[B, 3, *size]``, antialiased."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)
