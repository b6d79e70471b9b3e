"""Pictures of 8 bits to tensors in [-1, 1] and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def image_to_tensor(image: np.ndarray) -> Tensor:
    """uint8 ``[H, W, 3]`` -> float32 ``[1, 3, H, W]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def tensor_to_image(tensor: Tensor) -> np.ndarray:
    """Float ``[3, H, W]`` or ``[1, 3, H, W]`` in [-1, 1] -> uint8 ``[H, W, 3]``, rounded and clamped."""
    if tensor.ndim == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or len(tensor) != 3:
        raise ValueError(f"expected one image [3, H, W], got shape {tuple(tensor.shape)}")
    values = ((tensor.detach().float() + 1) * 127.5).round().clamp(0, 255)
    return values.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
