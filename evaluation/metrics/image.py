"""Measures of single frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from common.images import sharpness, to_8_bits
from evaluation.metrics.structural_similarity import StructuralSimilarity

Distance = Callable[[Tensor, Tensor], Tensor]  # LPIPS of [N, 3, H, W] twice, in [-1, 1] -> [N]
# Frames [N, 3, H, W] of each row of a table and the real ones, all in [-1, 1] -> [N] of each row
FrameMeasure = Callable[[Sequence[Tensor], Tensor], Sequence[Tensor]]


def psnr(frames: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame, after rounding to the 8 bits that a viewer gets.

    Args:
        frames: ``[N, 3, H, W]`` in [-1, 1], clamped to it.
        targets: the same.

    Returns:
        ``[N]`` in dB. The mean squared error is taken to be at least 1e-3 (of 255^2), or a perfect frame would be
        infinitely good: 78.13 dB is the most there is.
    """
    error = (to_8_bits(frames).float() - to_8_bits(targets).float()).square().mean(dim=(1, 2, 3)).clamp_min(1e-3)
    return 10 * torch.log10(255.0**2 / error)


def psnr_of_rows(rows: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
    """:func:`psnr` of each row's frames."""
    return [psnr(frames, targets) for frames in rows]


def sharpness_of_rows(rows: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
    """:func:`sharpness` of each row's frames over that of the real ones; below 1 they are softer."""
    real = sharpness(to_8_bits(targets)).clamp_min(1e-3)
    return [sharpness(to_8_bits(frames)) / real for frames in rows]


def ssim_of_rows(rows: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
    """SSIM of each row's frames; what depends on the targets alone is computed once."""
    similarity = StructuralSimilarity(targets)
    return [similarity(frames) for frames in rows]


def lpips_of_rows(distance: Distance) -> FrameMeasure:
    """LPIPS of each row's frames: the features of a target are computed once for all rows."""

    def measure(rows: Sequence[Tensor], targets: Tensor) -> Sequence[Tensor]:
        stacked = torch.stack(list(rows), dim=1)
        pairs = ((_by_pixel(f), _by_pixel(t[None])) for f, t in zip(stacked, targets, strict=True))
        columns = [distance(*pair) for pair in pairs]
        return torch.stack(columns, dim=1).unbind()

    return measure


def load_lpips_of_rows(weights: Path | None, device: torch.device | str) -> FrameMeasure:
    """:func:`lpips_of_rows` with AlexNet.

    Raises:
        MissingWeightsError: its weights are neither in the folder nor in the cache.
    """
    from evaluation.networks.feature_networks import load_lpips

    return lpips_of_rows(load_lpips("alex", weights, device))


def _by_pixel(images: Tensor) -> Tensor:
    """In the order in memory in which convolutions run faster on a CPU."""
    return images.contiguous(memory_format=torch.channels_last)
