"""8-bit pictures to tensors in [-1, 1] and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def from_8_bits(images: Tensor) -> Tensor:
    """uint8 of any shape -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_8_bits(images: Tensor) -> Tensor:
    """Float of any shape in [-1, 1] -> uint8, rounded and clamped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def image_to_tensor(image: np.ndarray) -> Tensor:
    """uint8 ``[H, W, 3]`` -> float32 ``[1, 3, H, W]`` in [-1, 1]."""
    return from_8_bits(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None])


def to_uint8(frames: Tensor) -> np.ndarray:
    """Float ``[N, 3, H, W]`` in [-1, 1] -> uint8 ``[N, H, W, 3]``, rounded and clamped."""
    return to_8_bits(frames.detach()).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def tensor_to_image(tensor: Tensor) -> np.ndarray:
    """Float ``[3, H, W]`` or ``[1, 3, H, W]`` in [-1, 1] -> uint8 ``[H, W, 3]``, rounded and clamped."""
    if tensor.ndim == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or len(tensor) != 3:
        raise ValueError(f"expected one image [3, H, W], got shape {tuple(tensor.shape)}")
    return to_uint8(tensor[None])[0]


def sharpness(frames: Tensor) -> Tensor:
    """Standard deviation of the Laplacian of each grey frame, in 8-bit values: uint8 ``[N, 3, H, W]`` -> ``[N]``.

    Blur lowers it at once, and PSNR hardly.
    """
    return laplacian(frames.sum(dim=1, dtype=torch.float32) / 3).flatten(1).std(dim=1)


def laplacian(grey: Tensor) -> Tensor:
    """The four neighbours less four times the pixel, without the border: ``[..., H, W] -> [..., H - 2, W - 2]``."""
    around = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1] + grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
    return around - 4 * grey[..., 1:-1, 1:-1]
