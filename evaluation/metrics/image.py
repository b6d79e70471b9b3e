"""Measures of single frames."""

from __future__ import annotations

import torch
from torch import Tensor


def psnr(frames: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame, after rounding to the 8 bits that a viewer gets.

    Args:
        frames: ``[N, 3, H, W]`` in [-1, 1], clamped to it.
        targets: the same.

    Returns:
        ``[N]`` in dB. The mean squared error is taken to be at least 1e-3 (of 255^2), or a perfect frame would be
        infinitely good: 78.13 dB is the most there is.
    """
    error = (_to_8_bits(frames) - _to_8_bits(targets)).square().mean(dim=(1, 2, 3)).clamp_min(1e-3)
    return 10 * torch.log10(255.0**2 / error)


def _to_8_bits(images: Tensor) -> Tensor:
    return ((images.clamp(-1, 1) + 1) * 127.5).round()
