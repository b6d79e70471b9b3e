import math
from statistics import fmean

import numpy as np
import pytest
import torch

from evaluation.metrics.distances import (
    KernelSums,
    bootstrap_interval,
    bootstrap_statistic,
    deal_groups,
    fit_gaussian,
    frechet_distance,
    gaussian_distance,
    jackknife_interval,
    kernel_distance,
    small_sample_warning,
    values_by_source,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def correlated(samples, dimension, seed):
    """Features as networks give them: correlated, of falling variance, not centred."""
    mixing = normal(dimension, dimension, seed=100 + seed) * torch.logspace(0, -2, dimension, dtype=torch.float64)
    return normal(samples, dimension, seed=seed) @ mixing.T / math.sqrt(dimension) + normal(dimension, seed=200 + seed)


def with_exact_moments(mean, root):
    """Samples whose mean is exactly ``mean [D]`` and whose unbiased covariance is exactly ``root root^T``."""
    dimension = len(mean)
    count = dimension + 20
    whitened, _ = torch.linalg.qr((lambda x: x - x.mean(dim=0))(normal(count, dimension, seed=7)))
    return math.sqrt(count - 1) * whitened @ root.T + mean


@pytest.mark.parametrize(("samples", "dimension"), [(200, 32), (12, 64), (30, 2048), (2, 5)])
def test_identical_sets_have_no_distance(samples, dimension):
    features = 10 * correlated(samples, dimension, seed=1)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(features, features.flip(0)) == pytest.approx(0, abs=1e-6)


def test_identical_sets_of_repeated_samples_have_no_distance():
    features = correlated(20, 64, seed=1).repeat(10, 1)  # N > D, but the covariance has rank 19
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)


def test_a_small_shift_is_not_lost_in_directions_without_variance():
    features = correlated(20, 200, seed=1).repeat(8, 1)  # N < D, and the covariance has rank 19
    shift = torch.full((200,), 1e-4, dtype=torch.float64)  # its square is 2e-6 in all
    assert frechet_distance(features, features + shift) == pytest.approx(2e-6, rel=1e-5)


def test_diagonal_gaussians_against_the_closed_form():
    generator = torch.Generator().manual_seed(0)
    means, deviations = torch.rand(2, 2, 300, dtype=torch.float64, generator=generator)
    a, b = (with_exact_moments(mean, torch.diag(s)) for mean, s in zip(means, deviations, strict=True))
    expected = (means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum()
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-9)


def test_covariances_that_do_not_commute_against_the_closed_form_in_the_plane():
    roots = normal(2, 2, 2, seed=3)
    a, b = (with_exact_moments(torch.zeros(2, dtype=torch.float64), root) for root in roots)
    first, second = (root @ root.T for root in roots)
    # The root of a 2x2 matrix of eigenvalues p, q has trace sqrt(p) + sqrt(q) = sqrt(p + q + 2 sqrt(p q)).
    cross = ((first @ second).trace() + 2 * (first @ second).det().sqrt()).sqrt()
    assert frechet_distance(a, b) == pytest.approx((first.trace() + second.trace() - 2 * cross).item(), rel=1e-9)


def test_covariances_are_unbiased():
    a = torch.tensor([[0.0], [2.0]])  # variance 2 with N - 1, 1 with N
    b = torch.tensor([[0.0], [0.0], [0.0]])
    assert frechet_distance(a, b) == pytest.approx(1 + 2)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 200), (200, 20), (200, 300)])
def test_every_shape_takes_the_same_distance(n, m):
    """Few samples are compared by their products, many by triangular factors: dimension 64 lies between."""
    a, b = correlated(n, 64, seed=1), correlated(m, 64, seed=2)
    first, second = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-5)
    assert gaussian_distance(fit_gaussian(a), fit_gaussian(b), exact=False) == pytest.approx(expected.item(), rel=1e-5)


class Identity(torch.nn.Module):
    num_features = 64

    def forward(self, features):
        return features


@pytest.mark.parametrize(("n", "m"), [(300, 300), (300, 200)])
def test_torchmetrics_computes_the_same_fid(n, m):
    from torchmetrics.image.fid import FrechetInceptionDistance

    a, b = correlated(n, 64, seed=1), correlated(m, 64, seed=2)
    metric = FrechetInceptionDistance(feature=Identity()).set_dtype(torch.float64)
    metric.update(a, real=True)
    metric.update(b, real=False)
    assert frechet_distance(a, b) == pytest.approx(metric.compute().item(), rel=1e-5)


def test_torchmetrics_computes_the_same_kid():
    from torchmetrics.image.kid import KernelInceptionDistance

    a, b = correlated(150, 64, seed=1), correlated(150, 64, seed=2)
    metric = KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=150).set_dtype(torch.float64)
    metric.update(a, real=True)
    metric.update(b, real=False)
    assert kernel_distance(a, b) == pytest.approx(metric.compute()[0].item(), rel=1e-5)


def test_kernel_distance_against_loops():
    a, b = correlated(7, 5, seed=1), correlated(4, 5, seed=2)

    def mean(x, y, own):
        pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if not own or i != j]
        return sum((float(x[i] @ y[j]) / 5 + 1) ** 3 for i, j in pairs) / len(pairs)

    expected = mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased():
    distances = [kernel_distance(normal(20, 8, seed=s), normal(20, 8, seed=1000 + s)) for s in range(200)]
    mean, error = np.mean(distances), np.std(distances) / math.sqrt(len(distances))
    assert abs(mean) < 3 * error  # the biased estimate has a mean of many of these errors
    assert min(distances) < 0


@pytest.mark.parametrize("block", [1, 7, 50, 64, 1000])
def test_kernel_distance_does_not_depend_on_the_block_size(block):
    a, b = correlated(64, 16, seed=1), correlated(50, 16, seed=2)
    assert kernel_distance(a, b, block=block) == pytest.approx(kernel_distance(a, b), rel=1e-10)


def test_kernel_sums_of_some_groups_are_the_distance_of_their_samples():
    a, b = correlated(30, 16, seed=1), correlated(21, 16, seed=2)
    labels_a, labels_b = torch.arange(30) % 3, torch.arange(21) // 7
    sums = KernelSums.of(a, b, labels_a, labels_b, groups=3, block=8)
    expected = kernel_distance(a[labels_a != 1], b[labels_b != 1])
    assert sums.distance([0, 2]) == pytest.approx(expected, rel=1e-10)


def test_a_shift_grows_both_distances():
    a, b = correlated(100, 16, seed=1), correlated(100, 16, seed=1) + 0.5
    assert frechet_distance(a, b) == pytest.approx(16 * 0.25)
    assert kernel_distance(a, b) > kernel_distance(a, a)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_bad_features_are_refused_in_one_line(distance):
    features = normal(10, 4)
    with pytest.raises(ValueError, match="dimension 4 and 3"):
        distance(features, features[:, :3])
    with pytest.raises(ValueError, match="not finite"):
        distance(features, features.clone().index_fill(0, torch.tensor(2), math.nan))
    with pytest.raises(ValueError, match="at least 2 samples"):
        distance(features, features[:1])
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        distance(features, features[0])


def test_few_samples_are_warned_about():
    assert small_sample_warning(2048, 2048, "fid") is None
    assert "fvd of model: 90 samples for features of dimension 400" in small_sample_warning(90, 400, "fvd of model")


def test_bootstrap_interval_covers_the_mean():
    random = np.random.default_rng(0)
    intervals = [bootstrap_interval(random.normal(3, 2, size=40), resamples=500, seed=s) for s in range(300)]
    covered = np.mean([low <= 3 <= high for low, high in intervals])
    assert 0.91 < covered < 0.98
    width = np.mean([high - low for low, high in intervals])
    assert width == pytest.approx(2 * 1.96 * 2 / math.sqrt(40), rel=0.05)


def test_bootstrap_interval_is_reproducible_and_needs_two_values():
    values = np.random.default_rng(0).normal(size=30).tolist()
    assert bootstrap_interval(values) == bootstrap_interval(values, seed=0) != bootstrap_interval(values, seed=1)
    assert bootstrap_interval([5.0, 5.0]) == (5.0, 5.0)
    assert bootstrap_interval([5.0]) is None
    assert bootstrap_interval([]) is None
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_interval([1.0, math.nan])


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=10)
    low, high = jackknife_interval(lambda kept: float(values[kept].mean()), 10)
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(2.262157 * values.std(ddof=1) / math.sqrt(10), rel=1e-5)


@pytest.mark.slow
def test_jackknife_covers_the_distance_of_two_gaussians():
    """Two unit Gaussians of the plane 0.7 apart along both axes: distance 0.98, held in 95 %."""
    generator, labels = torch.Generator().manual_seed(0), torch.arange(200) % 10
    covered = []
    for _ in range(400):
        a, b = torch.randn(2, 200, 2, dtype=torch.float64, generator=generator)

        def statistic(kept, a=a, b=b + 0.7):
            chosen = torch.isin(labels, torch.tensor(kept))
            return frechet_distance(a[chosen], b[chosen])

        low, high = jackknife_interval(statistic, 10)
        covered.append(low <= 0.98 <= high)
    assert 0.93 < np.mean(covered) < 0.97


def test_jackknife_needs_three_groups():
    assert jackknife_interval(lambda kept: 1.0, 2) is None
    assert jackknife_interval(lambda kept: 1.0, 3, value=2.0) == (2.0, 2.0)


def test_a_video_stays_in_one_group():
    sources = ["a"] * 5 + ["b"] * 2 + ["c", "d", "c", "a"]
    groups = deal_groups(sources, limit=3)
    assert all(len({g for s, g in zip(sources, groups, strict=True) if s == source}) == 1 for source in "abcd")
    assert sorted(groups.count(g) for g in range(3)) == [2, 3, 6]
    assert deal_groups(["x", "y"]) == [0, 1]
    assert max(deal_groups([str(i) for i in range(82)])) == 9
    assert deal_groups([]) == []


def test_values_by_source_keep_the_mean_over_sequences() -> None:
    values, sources = [1.0, 2.0, 3.0, 10.0], ["a", "a", "a", "b"]
    assert fmean(values_by_source(values, sources)) == pytest.approx(4.0)
    assert values_by_source([1.0, 3.0, 5.0, 9.0], ["a", "a", "b", "b"]) == pytest.approx([2.0, 7.0])


def test_the_bootstrap_resamples_videos_where_they_are_given() -> None:
    values = [1.0, 1.0, 1.0, 5.0, 5.0, 5.0]
    low, high = bootstrap_interval(values, sources=["a", "a", "a", "b", "b", "b"])
    assert (low, high) == (1.0, 5.0)
    narrow = bootstrap_interval(values)
    assert narrow[0] > low
    assert bootstrap_interval(values, sources=["a"] * 6) is None


def test_what_belongs_to_one_thing_is_drawn_together() -> None:
    """Half of each plant's motion: the ratio of medians is a half in every draw of photos."""
    plants = np.random.default_rng(0).uniform(0.1, 9, 20)

    def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        return np.nanmedian(above, axis=-1) / np.nanmedian(below, axis=-1)

    assert bootstrap_statistic(ratio, [plants / 2, plants], together=True) == (0.5, (0.5, 0.5))
    _, (low, high) = bootstrap_statistic(ratio, [plants / 2, plants])
    assert low < 0.4
    assert high > 0.6
    gaps = np.where(np.arange(20) < 18, plants, np.nan)
    assert np.isfinite(bootstrap_statistic(ratio, [gaps, plants], together=True)[1]).all()
    lone = np.where(np.arange(20) == 3, plants, np.nan)
    assert bootstrap_statistic(ratio, [lone, plants], together=True)[1] is None
