"""Measures of one method's motion, and of its video's seam, on one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from evaluation.metrics.motion import amplitude_ratio, localisation, spatial_coherence, spectrum_distance
from evaluation.prediction import Prediction
from models.dynamics.seam import SeamMeter

MOTION_METRICS = ("localisation", "amplitude_ratio", "spectrum_distance", "coherence", "diversity_motion")
RELATIVE_METRICS = ("localisation", "amplitude_ratio")  # without a meaning where nothing moves in truth
STARTS = 8  # moments a period of the highest frequency that two motions are laid over each other at
Scores = dict[str, float]


def motion_scores(prediction: Prediction, true: Tensor) -> Scores:
    """Measures of the motion itself, means over the samples; a map of where things move has a localisation alone.

    Where nothing moves in the measured motion, :data:`RELATIVE_METRICS` are left out.
    """
    rows = []
    for motion in prediction.motion:
        if motion.ndim == 4:
            rows.append({"localisation": localisation(motion, true)})
            continue
        volume = match_frequencies(motion, true.shape[1])
        measured = [measure(volume, true) for measure in (localisation, amplitude_ratio, spectrum_distance)]
        rows.append(dict(zip(MOTION_METRICS[:4], [*measured, spatial_coherence(volume)], strict=True)))
    left_out = () if true[:, 1:].any() else RELATIVE_METRICS
    names = [name for name in (rows[0] if rows else ()) if name not in left_out]
    scores = {name: sum(row[name] for row in rows) / len(rows) for name in names}
    diversity = motion_diversity(prediction.motion)
    return scores if diversity is None else scores | {"diversity_motion": diversity}


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
