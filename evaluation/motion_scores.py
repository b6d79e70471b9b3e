"""Measures of one method's motion, and of its video's seam, on one sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from evaluation.methods import Prediction
from models.loop_motion import SeamMeter
from models.metrics import amplitude_ratio, localisation, spatial_coherence, spectrum_distance

MOTION_METRICS = ("localisation", "amplitude_ratio", "spectrum_distance", "coherence")
RELATIVE_METRICS = ("localisation", "amplitude_ratio")  # without a meaning where nothing moves in truth
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
        rows.append(dict(zip(MOTION_METRICS, [*measured, spatial_coherence(volume)], strict=True)))
    left_out = () if true[:, 1:].any() else RELATIVE_METRICS
    names = [name for name in (rows[0] if rows else ()) if name not in left_out]
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}


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
