"""Statistics of a sequence's motion, by which it is kept or dropped, and of the spectral volumes of a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from data.dataset.sequence import SequenceOptions
from data.dataset.sequence_file import read_sequence
from data.flow.consistency import consistent_share, measured_frames
from data.flow.estimators import estimate_flow_pairs
from models.spectral_volume import REFERENCE_WIDTH

TOP = 0.005  # share of the pixels that move most, which decide whether there is motion
MOVING = 1.0  # pixels; a pixel whose mean displacement is larger counts as moving (paper section 7)
CAMERA_MOTION = 0.95  # share of moving pixels above which it is the camera that moves


def motion_statistics(motion: np.ndarray) -> dict[str, float]:
    """Numbers that describe how much moves, from a motion texture ``[T, H, W, 2]``, in pixels.

    Magnitudes are over all pixels and all frames after the first; the amplitude is the root mean square displacement
    about each pixel's mean position; ``moving_fraction`` is the share of pixels with a mean magnitude above 1 pixel;
    ``top_magnitude`` is the mean magnitude that 0.5 % of the pixels exceed, so that a flame counts that fills little.
    """
    magnitude = np.hypot(motion[1:, ..., 0], motion[1:, ..., 1])
    variance = motion.var(axis=0, dtype=np.float64).sum(axis=-1)
    of_pixels = magnitude.mean(axis=0)
    values = {
        "mean_magnitude": magnitude.mean(dtype=np.float64),
        "median_magnitude": np.median(magnitude),
        "p95_magnitude": np.percentile(magnitude, 95),
        "rms_amplitude": np.sqrt(variance.mean()),
        "moving_fraction": (of_pixels > MOVING).mean(),
        "top_magnitude": np.percentile(of_pixels, 100 * (1 - TOP)),
    }
    return {name: round(float(value), 5) for name, value in values.items()}


def motion_consistency(frames: np.ndarray, motion: np.ndarray, *, count: int, estimator: str) -> dict[str, float]:
    """``consistency`` of a motion texture: share of pixels whose flow agrees with the flow back.

    Args:
        frames: uint8 ``[T, H, W, 3]``.
        motion: ``[T, H, W, 2]`` in pixels, by ``estimator``.
        count: frames in which it is measured; for 0 the result is empty.
    """
    measured = measured_frames(len(frames), count)
    if not len(measured):
        return {}
    first = np.broadcast_to(frames[0], frames[measured].shape)
    backward = estimate_flow_pairs(frames[measured], np.ascontiguousarray(first), estimator=estimator)
    return {"consistency": round(consistent_share(motion[measured], backward), 5)}


def drop_reason(statistics: Mapping[str, float], options: SequenceOptions) -> str | None:
    """Why a sequence is not worth training on, or None.

    The filters are those of paper section 7, the reference implementation's by the median, and one by consistency.
    """
    if options.keep_all:
        return None
    median = statistics["median_magnitude"]
    # In pixels of one width, so that the same clip is kept at any size. Files made before it was measured lack it: what
    # they hold is kept, and what they dropped is computed again.
    top = statistics.get("top_magnitude", math.inf) * REFERENCE_WIDTH / options.size[0]
    consistency = statistics.get("consistency", 1.0)
    if statistics["moving_fraction"] > CAMERA_MOTION:
        return f"camera motion: {statistics['moving_fraction']:.1%} of the pixels move by more than {MOVING:g} px"
    if top < options.min_motion:
        return f"no motion: {top:.3f} px where most moves (at a width of 256), under {options.min_motion:g} px"
    if median < options.min_median_motion:
        return f"little motion: {median:.3f} px in the median, under {options.min_median_motion:g} px"
    if 0 < options.max_median_motion < median:
        return f"much motion: {median:.3f} px in the median, over {options.max_median_motion:g} px"
    if consistency < options.min_consistency:
        return f"inconsistent flow: it agrees in {consistency:.1%} of the pixels, under {options.min_consistency:.1%}"
    return None


def volume_statistics(paths: Iterable[Path], *, progress: Callable[[], object] | None = None) -> dict[str, list[float]]:
    """Exact per-frequency statistics of the spectral volumes in these files, in pixels: ``p95`` and ``rms`` about zero.

    The absolute values of the four real channels are pooled over pixels and sequences. float16 has only 32768 values
    without sign, so counting each of them gives exact quantiles of any number of files in one pass.
    """
    counts: np.ndarray | None = None
    for path in paths:
        volume = read_sequence(path, ["spectral_volume"])["spectral_volume"].numpy()
        bits = volume.view(np.uint16) & 0x7FFF  # drops the sign; the order of the bits is the order of the values
        if counts is None:
            counts = np.zeros((len(volume), 1 << 15), np.int64)
        for total, values in zip(counts, bits, strict=True):
            total += np.bincount(values.ravel(), minlength=1 << 15)
        if progress:
            progress()
    if counts is None:
        raise ValueError("there are no sequences to take statistics of")
    values = np.arange(1 << 15, dtype=np.uint16).view(np.float16).astype(np.float64)
    values[~np.isfinite(values)] = 0  # bit patterns of infinity and NaN, which no file holds
    rms = np.sqrt((counts * values**2).sum(axis=1) / counts.sum(axis=1))
    return {"p95": [_quantile(row, values, 0.95) for row in counts], "rms": rms.tolist()}


def _quantile(counts: np.ndarray, values: np.ndarray, fraction: float) -> float:
    """Quantile of a sample given by counts of sorted values, with numpy's linear interpolation."""
    cumulative = counts.cumsum()
    position = fraction * (cumulative[-1] - 1)
    low, high = np.searchsorted(cumulative, [np.floor(position), np.ceil(position)], side="right")
    return float(values[low] + (values[high] - values[low]) * (position - np.floor(position)))
