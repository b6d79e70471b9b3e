"""SSIM of many frames against the same ones: the value of torchmetrics, an order of magnitude sooner on a CPU.

Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity" (2004).
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.gaussian import gaussian_mean

RADIUS = 5  # pixels; windows of 11 x 11
SIGMA = 1.5  # pixels
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # the constants that keep dark and flat regions stable, at a data range of 1


class WindowMoments:
    """Mean and variance of images around each pixel.

    Args:
        values: ``[N, 3, H, W]`` in [0, 1].
        window: weighted mean of images around each pixel, for all pixels or for those inside the border.
    """

    def __init__(self, values: Tensor, window: Callable[[Tensor], Tensor]) -> None:
        self.values, self.window = values, window
        self.mean = window(values)
        self.mean_square = self.mean.square()
        self.variance = window(values.square()) - self.mean_square

    def similarity(self, other: WindowMoments) -> Tensor:
        """SSIM around each pixel with images whose moments were taken by the same window."""
        product = self.mean * other.mean
        covariance = self.window(self.values * other.values) - product
        luminance = (2 * product + LUMINANCE) / (self.mean_square + other.mean_square + LUMINANCE)
        return luminance * (2 * covariance + CONTRAST) / (self.variance + other.variance + CONTRAST)


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
        self._targets = _moments(targets)

    def __call__(self, frames: Tensor) -> Tensor:
        """SSIM ``[N]`` of frames ``[N, 3, H, W]`` in [-1, 1]."""
        return _moments(frames).similarity(self._targets).mean(dim=(1, 2, 3))


def _moments(images: Tensor) -> WindowMoments:
    padded = F.pad((images.float() + 1) / 2, (RADIUS, RADIUS, RADIUS, RADIUS), mode="reflect")
    return WindowMoments(padded, lambda values: gaussian_mean(values, SIGMA, radius=RADIUS))
