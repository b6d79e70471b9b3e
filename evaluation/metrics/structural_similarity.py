"""SSIM of many frames against the same ones: the value of torchmetrics, an order of magnitude sooner on a CPU.

Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity" (2004).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 5  # pixels; windows of 11 x 11
SIGMA = 1.5  # pixels
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # the constants that keep dark and flat regions stable, at a data range of 1


class StructuralSimilarity:
    """SSIM of frames with these targets; what depends on the targets alone is computed once, here.

    Gaussian windows (11 pixels, sigma 1.5) around every pixel, the border reflected, values in [0, 1] and a data range
    of 1, each colour by itself, the mean over pixels and colours: torchmetrics'
    ``structural_similarity_index_measure`` of [0, 1] images.

    Args:
        targets: ``[N, 3, H, W]`` in [-1, 1], sides of at least 6 pixels.
    """

    def __init__(self, targets: Tensor) -> None:
        if min(targets.shape[2:]) <= RADIUS:
            raise ValueError(f"SSIM needs sides of more than {RADIUS} pixels, got {tuple(targets.shape)}")
        self._values = _padded(targets)
        self._mean = _blur(self._values)
        self._mean_square = self._mean.square()
        self._variance = (_blur(self._values.square()) - self._mean_square).clamp_min(0)

    def __call__(self, frames: Tensor) -> Tensor:
        """SSIM ``[N]`` of frames ``[N, 3, H, W]`` in [-1, 1]."""
        values = _padded(frames)
        mean = _blur(values)
        mean_square, product = mean.square(), mean * self._mean
        variance = (_blur(values.square()) - mean_square).clamp_min(0)
        covariance = _blur(values * self._values) - product
        above = (2 * product + LUMINANCE) * (2 * covariance + CONTRAST)
        below = (mean_square + self._mean_square + LUMINANCE) * (variance + self._variance + CONTRAST)
        return (above / below).mean(dim=(1, 2, 3))


def _padded(images: Tensor) -> Tensor:
    return F.pad((images.float() + 1) / 2, (RADIUS, RADIUS, RADIUS, RADIUS), mode="reflect")


def _blur(values: Tensor) -> Tensor:
    """Gaussian mean around each pixel but the outer :data:`RADIUS`: sums of shifted images, one axis at a time."""
    weights = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64) / SIGMA).square())
    taps = (weights / weights.sum()).tolist()
    for axis in (3, 2):
        size = values.shape[axis] - 2 * RADIUS
        blurred = values.narrow(axis, RADIUS, size) * taps[RADIUS]
        for shift in range(RADIUS):
            pair = values.narrow(axis, shift, size) + values.narrow(axis, 2 * RADIUS - shift, size)
            blurred.add_(pair, alpha=taps[shift])
        values = blurred
    return values
