"""Gaussian means around each pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_mean(values: Tensor, sigma: float, *, radius: int) -> Tensor:
    """Gaussian mean around each pixel but the outer ``radius``: sums of shifted images, one axis at a time.

    Args:
        values: ``[..., H, W]``, padded by ``radius`` on each side.
        sigma: standard deviation in pixels.
        radius: pixels; the window has ``2 * radius + 1`` on each side.

    Returns:
        ``[..., H - 2 * radius, W - 2 * radius]``.
    """
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma).square())
    taps = (weights / weights.sum()).tolist()
    for axis in (-1, -2):
        size = values.shape[axis] - 2 * radius
        blurred = values.narrow(axis, radius, size) * taps[radius]
        for shift in range(radius):
            pair = values.narrow(axis, shift, size) + values.narrow(axis, 2 * radius - shift, size)
            blurred.add_(pair, alpha=taps[shift])
        values = blurred
    return values
