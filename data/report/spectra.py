"""Spectra and coefficients of many spectral volumes, for the paper's Fig. 2; one file is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.dataset.sequence_file import read_sequence, sequence_path
from models.spectral_volume import SpectralNormalizer

PATTERNS = 1 << 16  # number of bit patterns of float16


@dataclass(frozen=True)
class Spectra:
    """Spectra of N sequences with K frequencies each."""

    hertz: np.ndarray  # [K], the mean over the sequences, whose lengths may differ by a tenth
    spread: float  # largest relative difference between a sequence's frequencies and these
    amplitude: np.ndarray  # float32 [N, K, 2]: mean |S| over the picture of x and y, pixels
    counts: np.ndarray  # int64 [K, 65536]: how often each bit pattern of float16 occurs in the four real channels

    def coefficients(self) -> np.ndarray:
        """The value of each column of ``counts``, float64 [65536] in pixels; 0 for infinities and NaN."""
        values = np.arange(PATTERNS, dtype=np.uint16).view(np.float16).astype(np.float64)
        return np.where(np.isfinite(values), values, 0.0)


def measure_spectra(
    folder: str | Path,
    rows: Sequence[dict],
    *,
    num_frequencies: int,
    progress: Callable[[], object] | None = None,
) -> Spectra:
    """Read the spectral volumes of some sequences, one at a time.

    All coefficients count: float16 has only 65536 values, so that counting each is exact and takes no memory.

    Raises:
        ValueError: no sequences, a file is missing or damaged, or holds another number of frequencies.
    """
    if not rows:
        raise ValueError(f"{folder}: there are no sequences to take spectra of")
    counts = np.zeros((num_frequencies, PATTERNS), np.int64)
    # Filled in place: small arrays kept between large ones that come and go would leave holes in the memory.
    amplitude, steps = np.zeros((len(rows), num_frequencies, 2), np.float32), np.zeros(len(rows))
    for index, row in enumerate(rows):
        path = sequence_path(folder, row["id"])
        volume = read_sequence(path, ["spectral_volume"])["spectral_volume"]
        if volume.dtype != torch.float16 or volume.shape[:2] != (num_frequencies, 4):
            raise ValueError(
                f"{path}: spectral_volume is {volume.dtype} {list(volume.shape)}, stats.json says {num_frequencies} "
                "frequencies; run data.prepare again with the same output folder"
            )
        values = volume.float()
        amplitude[index] = torch.hypot(values[:, :2], values[:, 2:]).mean((2, 3)).numpy()
        steps[index] = row["fps"] / row["num_frames"]
        for total, patterns in zip(counts, volume.numpy().view(np.uint16), strict=True):
            total += np.bincount(patterns.ravel(), minlength=PATTERNS)
        if progress:
            progress()
    step = float(steps.mean())
    spread = float(np.abs(steps / step - 1).max())
    return Spectra(np.arange(num_frequencies) * step, spread, amplitude, counts)


def normalized_values(normalizer: SpectralNormalizer, values: np.ndarray, frequency: int) -> np.ndarray:
    """Normalised coefficients of one frequency: float64 [N] in pixels -> [N]."""
    volume = torch.from_numpy(values)[None, None, None, None].expand(1, 1, 4, 1, -1)
    return normalizer.normalize(volume, torch.tensor([[frequency]]))[0, 0, 0, 0].numpy()


def share_outside(values: np.ndarray, counts: np.ndarray) -> float:
    """Share of a counted sample outside [-1, 1]."""
    return float(counts[np.abs(values) > 1].sum() / max(1, counts.sum()))


def density(values: np.ndarray, counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Probability density of a counted sample in bins: [N], [N], [M + 1] -> [M]. What is outside counts as well."""
    inside, _ = np.histogram(values, edges, weights=counts)
    return inside / max(1, counts.sum()) / np.diff(edges)


def absolute_quantile(values: np.ndarray, counts: np.ndarray, fraction: float) -> float:
    """The least value that this share of a counted sample does not exceed in absolute value."""
    order = np.argsort(np.abs(values))
    place = np.searchsorted(counts[order].cumsum(), fraction * counts.sum())
    return float(np.abs(values)[order][min(place, len(order) - 1)])
