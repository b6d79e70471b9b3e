"""Distances between two sets of feature vectors, and how far a figure can be trusted.

FID, FVD and DTFVD are Fréchet distances, KID is a kernel distance; only the features differ. All of it in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch
from torch import Tensor

MAX_GROUPS = 10  # a jackknife leaves out at most this many groups in turn
MIN_GROUPS = 3  # with fewer its variance means nothing
KERNEL_BLOCK = 1024  # rows of the kernel matrix at a time: 8 MB of float64


@dataclass(frozen=True)
class Gaussian:
    """The normal distribution fitted to N samples: ``mean [D]``, covariance ``factor^T factor``, ``factor [R, D]``.

    The factor has R = min(N, D) rows, so that neither many samples nor a high dimension alone is expensive.
    """

    mean: Tensor
    factor: Tensor


def fit_gaussian(samples: Tensor | np.ndarray) -> Gaussian:
    """Mean and unbiased covariance (divided by N - 1) of ``[N, D]`` samples.

    Raises:
        ValueError: fewer than two samples, or values that are not finite.
    """
    samples = _checked(samples)
    if len(samples) < 2:
        raise ValueError(f"a covariance needs at least 2 samples, this set has {len(samples)}")
    mean = samples.mean(dim=0)
    factor = (samples - mean) / math.sqrt(len(samples) - 1)
    if len(samples) > samples.shape[1]:
        factor = torch.linalg.qr(factor, mode="r").R
    return Gaussian(mean, factor)


def gaussian_distance(first: Gaussian, second: Gaussian, exact: bool = True) -> float:
    """Squared Fréchet distance ``|m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)`` of two normal distributions.

    The eigenvalues of ``S_a S_b`` are the squared singular values of ``A B^T``, A and B being the factors, so the last
    trace is a sum of singular values. Taking roots of eigenvalues instead turns a rounding error of 1e-16 in each of
    the many that should be zero into one of 1e-8.

    Args:
        exact: False takes that faster road, good to about 1e-5 of the traces: enough for resampling and for plots.
    """
    product = first.factor @ second.factor.T
    if exact:
        cross = torch.linalg.svdvals(product).sum()
    else:
        square = product @ product.T if len(product) <= product.shape[1] else product.T @ product
        cross = torch.linalg.eigvalsh(square).clamp_min(0).sqrt().sum()
    traces = first.factor.square().sum() + second.factor.square().sum()
    return max(0.0, float((first.mean - second.mean).square().sum() + traces - 2 * cross))  # rounding may go below


def frechet_distance(a: Tensor | np.ndarray, b: Tensor | np.ndarray) -> float:
    """Squared Fréchet distance of the normal distributions fitted to features ``[N, D]`` and ``[M, D]``.

    FID of Inception features, FVD of I3D features (Heusel et al. 2017, Eq. 6; Unterthiner et al. 2018). Identical sets
    give 0 up to rounding, whatever N and D.

    Raises:
        ValueError: dimensions that differ, fewer than two samples, or values that are not finite.
    """
    a, b = _checked_pair(a, b)
    return gaussian_distance(fit_gaussian(a), fit_gaussian(b))


def kernel_distance(a: Tensor | np.ndarray, b: Tensor | np.ndarray, block: int = KERNEL_BLOCK) -> float:
    """Unbiased squared maximum mean discrepancy of features ``[N, D]`` and ``[M, D]`` under ``(x.y / D + 1)^3``.

    KID of Inception features (Binkowski et al. 2018, Eq. 4) over the whole sets, not over random subsets, and not times
    100. May be slightly negative. Memory is that of one ``[block, block]`` matrix.

    Raises:
        ValueError: dimensions that differ, fewer than two samples, or values that are not finite.
    """
    a, b = _checked_pair(a, b)
    one_group = [torch.zeros(len(samples), dtype=torch.long) for samples in (a, b)]
    return KernelSums.of(a, b, one_group[0], one_group[1], groups=1, block=block).distance([0])


@dataclass(frozen=True)
class KernelSums:
    """Sums of the kernel over pairs of groups, each ``[G, G]``: any choice of groups then costs nothing to compare."""

    within_a: Tensor  # pairs of a sample with itself left out
    within_b: Tensor
    between: Tensor
    sizes_a: Tensor  # [G] samples of each group
    sizes_b: Tensor

    @classmethod
    def of(
        cls, a: Tensor, b: Tensor, labels_a: Tensor, labels_b: Tensor, groups: int, block: int = KERNEL_BLOCK
    ) -> KernelSums:
        """Of features ``[N, D]``, ``[M, D]`` whose group indices are ``labels [N]``, ``[M]``."""
        a, b = _checked_pair(a, b)
        one_hot = [torch.nn.functional.one_hot(labels, groups).to(a) for labels in (labels_a, labels_b)]
        return cls(
            _own_pair_sums(a, one_hot[0], block),
            _own_pair_sums(b, one_hot[1], block),
            _pair_sums(a, b, one_hot[0], one_hot[1], block),
            one_hot[0].sum(dim=0),
            one_hot[1].sum(dim=0),
        )

    def distance(self, kept: Sequence[int]) -> float:
        """Unbiased squared discrepancy of the samples of the groups ``kept``."""
        chosen = torch.tensor(list(kept))
        n, m = float(self.sizes_a[chosen].sum()), float(self.sizes_b[chosen].sum())
        if min(n, m) < 2:
            raise ValueError(f"a kernel distance needs at least 2 samples of each set, got {n:.0f} and {m:.0f}")
        within_a, within_b, between = (
            float(sums[chosen][:, chosen].sum()) for sums in (self.within_a, self.within_b, self.between)
        )
        return within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * between / (n * m)


def _polynomial_kernel(products: Tensor, dimension: int) -> Tensor:
    return (products / dimension + 1) ** 3


def _pair_sums(a: Tensor, b: Tensor, one_hot_a: Tensor, one_hot_b: Tensor, block: int) -> Tensor:
    sums = a.new_zeros(one_hot_a.shape[1], one_hot_b.shape[1])
    for i in range(0, len(a), block):
        for j in range(0, len(b), block):
            kernel = _polynomial_kernel(a[i : i + block] @ b[j : j + block].T, a.shape[1])
            sums += one_hot_a[i : i + block].T @ kernel @ one_hot_b[j : j + block]
    return sums


def _own_pair_sums(samples: Tensor, one_hot: Tensor, block: int) -> Tensor:
    """`_pair_sums` of a set with itself, without the pairs of a sample with itself; half the work, by symmetry."""
    diagonal = _polynomial_kernel(samples.square().sum(dim=1), samples.shape[1])
    sums = -torch.diag(diagonal @ one_hot)
    for i in range(0, len(samples), block):
        rows, labels = samples[i : i + block], one_hot[i : i + block]
        sums += _pair_sums(rows, rows, labels, labels, block)
        later = _pair_sums(rows, samples[i + block :], labels, one_hot[i + block :], block)
        sums += later + later.T
    return sums


def small_sample_warning(samples: int, dimension: int, what: str) -> str | None:
    """One line if ``samples`` of ``what`` are fewer than the features' dimension, else None."""
    if samples >= dimension:
        return None
    return (
        f"{what}: {samples} samples for features of dimension {dimension}: the covariance is singular and the Fréchet "
        "distance biased; compare only figures with the same number of samples"
    )


def bootstrap_interval(
    values: Sequence[float],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    sources: Sequence[Hashable] | None = None,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval (low, high) of the mean of ``values``, one a sequence; None for fewer than two.

    Args:
        sources: the video that each sequence is a part of. Sequences of one video are not independent, so videos are
            resampled then; None for fewer than two of them.

    Raises:
        ValueError: values that are not finite.
    """
    numbers = np.asarray(values if sources is None else values_by_source(values, sources), dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a bootstrap interval was asked of values that are not finite")
    if len(numbers) < 2:
        return None
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for part in np.array_split(means, math.ceil(resamples / 100)):  # all at once would fill the memory
        part[:] = numbers[random.integers(len(numbers), size=(len(part), len(numbers)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap_statistic(
    statistic: Callable[..., np.ndarray],
    samples: Sequence[Sequence[float]],
    *,
    together: bool = False,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, tuple[float, float] | None]:
    """A statistic of one or several samples, and its percentile bootstrap interval; None for fewer than two values.

    Args:
        statistic: takes the samples as arrays ``[..., N]`` and works along their last axis. Where a draw leaves it
            without a value, it gives NaN, and the draw does not count.
        samples: each is resampled on its own.
        together: the samples are of the same things, in the same order, and are drawn together; NaN where one has no
            value.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    value = float(statistic(*arrays))
    if min(np.isfinite(array).sum() for array in arrays) < 2:
        return value, None
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(math.ceil(resamples / 100)):  # all at once would fill the memory
        picks = [random.integers(len(array), size=(100, len(array))) for array in arrays[: 1 if together else None]]
        drawn.append(statistic(*(array[pick] for array, pick in zip(arrays, cycle(picks), strict=False))))
    low, high = np.nanquantile(np.concatenate(drawn), [(1 - confidence) / 2, (1 + confidence) / 2])
    return value, (float(low), float(high))


def values_by_source(values: Sequence[float], sources: Sequence[Hashable]) -> list[float]:
    """One value a video such that their mean is the mean over sequences: what a bootstrap over videos resamples.

    ``mean + S / n * sum(value - mean)`` over a video's sequences, of n sequences from S videos: the mean's
    linearisation, in which longer videos weigh more. With equally many sequences each it is the mean of a video's.
    """
    if not values:
        return []
    mean = math.fsum(values) / len(values)
    sums: dict[Hashable, float] = {}
    for value, source in zip(values, sources, strict=True):
        sums[source] = sums.get(source, 0.0) + value - mean
    return [mean + len(sums) / len(values) * total for total in sums.values()]


def deal_groups(sources: Sequence[Hashable], limit: int = MAX_GROUPS) -> list[int]:
    """Group index of each sequence, given the video that it comes from.

    All sequences of a video are in one group, because they are not independent; each video in turn, those with most
    sequences first, goes to the group that has fewest.

    Returns:
        Indices 0 .. G - 1 in the order of ``sources``, G = min(limit, number of videos).
    """
    sequences = {source: sources.count(source) for source in dict.fromkeys(sources)}
    sizes = [0] * min(limit, len(sequences))
    group_of = {}
    for source in sorted(sequences, key=lambda source: -sequences[source]):  # a stable sort: the order given decides
        group_of[source] = sizes.index(min(sizes))
        sizes[group_of[source]] += sequences[source]
    return [group_of[source] for source in sources]


def jackknife_interval(
    statistic: Callable[[list[int]], float], groups: int, value: float | None = None, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Interval (low, high) around the statistic of all samples by the delete-a-group jackknife.

    The variance is ``(G - 1) / G sum_g (s_g - mean s)^2`` with s_g the statistic without group g. The bootstrap will
    not do here: samples drawn twice make the sets look alike, and a Fréchet distance falls with N. The quantile is
    Student's t with G - 1 degrees of freedom: the normal one covers 92 % in place of 95 % with ten groups.

    Args:
        statistic: figure of the samples of the groups whose indices it is given.
        groups: how many there are, see `deal_groups`.
        value: the statistic of all of them, where it is known.

    Returns:
        None when there are fewer than three groups.
    """
    from scipy.stats import t as student_t

    if groups < MIN_GROUPS:
        return None
    if value is None:
        value = statistic(list(range(groups)))
    without = np.array([statistic([g for g in range(groups) if g != left_out]) for left_out in range(groups)])
    deviation = math.sqrt((groups - 1) / groups * np.square(without - without.mean()).sum())
    reach = float(student_t.ppf((1 + confidence) / 2, groups - 1)) * deviation
    return value - reach, value + reach


def _checked(samples: Tensor | np.ndarray) -> Tensor:
    """As float64 ``[N, D]``."""
    samples = torch.as_tensor(samples).double()
    if samples.ndim != 2:
        raise ValueError(f"features must be [N, D], got shape {list(samples.shape)}")
    if not bool(samples.isfinite().all()):
        raise ValueError("features hold values that are not finite")
    return samples


def _checked_pair(a: Tensor | np.ndarray, b: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
    a, b = _checked(a), _checked(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of dimension {a.shape[1]} and {b.shape[1]} cannot be compared")
    return a, b
