"""Measures of motion: where it is, how strong, how it agrees from pixel to pixel, and its spectrum."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.gaussian import gaussian_mean
from models.spectral_volume import motion_amplitude, rms_amplitude

LEAST_POWER = 1e-6  # pixels squared
COMPARISON_WIDTH = 64  # amplitude maps are compared at this width, as the published trials were


def localisation(predicted: Tensor, true: Tensor) -> float:
    """Does the right part of the picture move? Spearman rank correlation of two amplitude maps.

    Args:
        predicted: volume ``[1, K, 4, H, W]``, or any map ``[1, 1, H, W]``.
        true: volume ``[1, K, 4, H, W]``.

    Returns:
        A correlation in [-1, 1], maps area-averaged to 64 pixels of width; the mean frequency takes no part.
    """
    first = _comparison_map(predicted if predicted.ndim == 4 else motion_amplitude(predicted))
    return spearman(first, _comparison_map(motion_amplitude(true)))


def spearman(first: Tensor, second: Tensor) -> float:
    """Rank correlation of two tensors of the same size; equal values share their mean rank."""
    from scipy.stats import rankdata

    ranks = [torch.from_numpy(rankdata(t.flatten().double().cpu().numpy())) for t in (first, second)]
    centered = [r - r.mean() for r in ranks]
    norm = centered[0].norm() * centered[1].norm()
    return float((centered[0] @ centered[1]) / norm) if norm > 0 else 0.0


def amplitude_ratio(predicted: Tensor, true: Tensor) -> float:
    """Root mean square displacement about the mean position of one volume over another's, each ``[1, K, 4, H, W]``."""
    return float(rms_amplitude(predicted).mean() / rms_amplitude(true).mean())


def gradient_magnitude(image: Tensor, blur: float = 0.0) -> Tensor:
    """What a network must beat: the image's gradient magnitude, Gaussian-blurred: ``[B, 3, H, W] -> [B, 1, H, W]``."""
    grey = image.mean(dim=1, keepdim=True)
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    magnitude = (dx.square() + dy.square()).sqrt()
    if blur <= 0:
        return magnitude
    radius = math.ceil(3 * blur)
    return gaussian_mean(F.pad(magnitude, (radius, radius, radius, radius), mode="replicate"), blur, radius=radius)


def spatial_coherence(volume: Tensor) -> float:
    """How alike neighbouring pixels move: ``1 - E|S(p) - S(q)|^2 / (2 E|S|^2)`` over neighbours four pixels apart.

    1 is one jelly, 0 is noise. Frequencies from 1 on; ``[B, K, 4, H, W]``.
    """
    oscillation = volume[:, 1:]
    power = oscillation.square().mean()
    difference = 0.5 * (
        (oscillation[..., 4:] - oscillation[..., :-4]).square().mean()
        + (oscillation[..., 4:, :] - oscillation[..., :-4, :]).square().mean()
    )
    return float(1 - difference / (2 * power)) if power > 0 else 1.0


def coherence(predicted: Tensor, _: Tensor) -> float:
    """:func:`spatial_coherence` of a predicted volume, as the tables call their measures."""
    return spatial_coherence(predicted)


def spectrum_distance(predicted: Tensor, true: Tensor) -> float:
    """Log-spectral distance in dB of two volumes' mean power spectra, each ``[1, K, 4, H, W]`` with the same K.

    The root mean square over frequencies from 1 on of ``10 log10(P_predicted / P_true)``, P the power averaged over the
    picture. Powers below (0.001 px)^2, less than a measurement can tell from none, count as that.
    """
    spectra = [volume[:, 1:].double().square().sum(dim=2).mean(dim=(0, 2, 3)) for volume in (predicted, true)]
    logs = [10 * spectrum.clamp_min(LEAST_POWER).log10() for spectrum in spectra]
    return float((logs[0] - logs[1]).square().mean().sqrt())


def _comparison_map(amplitude: Tensor) -> Tensor:
    height, width = amplitude.shape[-2:]
    return F.interpolate(amplitude, (max(1, round(height * COMPARISON_WIDTH / width)), COMPARISON_WIDTH), mode="area")
