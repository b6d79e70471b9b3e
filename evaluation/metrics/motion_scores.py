"""Measures of one method's motion, and of its video's seam, on one sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from evaluation.metrics.metric import Metric
from evaluation.metrics.registry import METRICS, of_kind
from evaluation.prediction import Prediction
from models.dynamics.seam import SeamMeter, motion_seam_ratio
from models.spectral_volume import spectral_volume_to_motion

STARTS = 8  # moments a period of the highest frequency that two motions are laid over each other at
Scores = dict[str, float]


def motion_scores(prediction: Prediction, true: Tensor, *, metrics: Mapping[str, Metric] = METRICS) -> Scores:
    """Measures of the motion itself, means over the samples.

    Of a map of where things move there are only the metrics that a map has, and where nothing moves in the measured
    motion the relative ones are left out.

    Args:
        prediction: with volumes ``[1, K, 4, H, W]`` in pixels, or a map ``[1, 1, H, W]``.
        true: the measured motion, ``[1, K, 4, H, W]``.
        metrics: those to compute, of any kinds; only "motion" and "samples" count.
    """
    if not prediction.motion:
        return {}
    moves = bool(true[:, 1:].any())
    is_map = prediction.motion[0].ndim == 4
    volumes = [motion if is_map else match_frequencies(motion, true.shape[1]) for motion in prediction.motion]
    scores: Scores = {}
    for name, metric in of_kind("motion", metrics).items():
        if (metric.of_map or not is_map) and (moves or not metric.relative):
            measure = metric.function()
            scores[name] = sum(measure(volume, true) for volume in volumes) / len(volumes)
    for name, metric in of_kind("samples", metrics).items():
        if (value := metric.function()(prediction.motion)) is not None:
            scores[name] = value
    return scores


def motion_diversity(volumes: Sequence[Tensor]) -> float | None:
    """How differently several samples of one photo move: the mean over pairs of :func:`motion_difference`.

    None for fewer than two samples, and where a sample does not move at all.
    """
    if len(volumes) < 2 or not all(volume.ndim == 5 and volume[:, 1:].any() for volume in volumes):
        return None
    differences = [motion_difference(first, second) for first, second in combinations(volumes, 2)]
    return sum(differences) / len(differences)


def motion_difference(first: Tensor, second: Tensor) -> float:
    """``min_t E|A - B_t|^2 / (E|A|^2 + E|B|^2)`` of two volumes ``[1, K, 4, H, W]``, B played from its moment t on.

    0 is the same motion, whatever moment it starts at; 1 is motion that has nothing in common. The mean frequency takes
    no part. In the frequency domain a later start turns the phase of frequency k by 2 pi k t / T.
    """
    a, b = (_complex(volume) for volume in (first, second))
    products = (a.conj() * b).flatten(1).sum(1)  # [K - 1]
    frequencies = torch.arange(1, len(products) + 1, dtype=torch.float64, device=products.device)
    moments = torch.arange(STARTS * (len(products) + 1), device=products.device) / (STARTS * (len(products) + 1))
    turns = torch.exp(2j * torch.pi * moments.double()[:, None] * frequencies)
    alike = (turns * products).real.sum(1).max()
    return float(1 - 2 * alike / (a.abs().square().sum() + b.abs().square().sum()))


def _complex(volume: Tensor) -> Tensor:
    """``[1, K, 4, H, W]`` -> complex128 ``[K - 1, 2, H, W]`` without the mean frequency."""
    oscillation = volume[0, 1:].double()
    return torch.complex(oscillation[:, :2], oscillation[:, 2:])


def match_frequencies(volume: Tensor, count: int) -> Tensor:
    """``[1, K, 4, H, W]`` with ``count`` frequencies: further ones are cut off, missing ones do not move."""
    volume = volume[:, :count]
    missing = volume.new_zeros(1, count - volume.shape[1], *volume.shape[2:])
    return torch.cat([volume, missing], dim=1)


def seam(frames: Tensor) -> float:
    """Seam ratio of a video, uint8 ``[T, 3, H, W]``."""
    meter = SeamMeter()
    for frame in frames:
        meter.add(frame.float())
    return meter.ratio()


def motion_seam(volume: Tensor, num_frames: int) -> float:
    """Seam ratio of a volume's motion ``[1, K, 4, H, W]`` over one period of so many frames."""
    return motion_seam_ratio(spectral_volume_to_motion(volume, num_frames))
