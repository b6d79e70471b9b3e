"""The distance between the features of real videos and those of each method, with its interval over videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from evaluation.metrics.collection import REAL, VideoFeatures
from evaluation.metrics.distances import (
    Gaussian,
    KernelSums,
    deal_groups,
    fit_gaussian,
    gaussian_distance,
    jackknife_interval,
    small_sample_warning,
)
from evaluation.metrics.metric import Metric


class SetDistance:
    """One metric of sets between the real videos and those of each method.

    Args:
        name: of the metric, for warnings.
        metric: how the sets are compared; it has ``features``.
        videos: the features of each method's videos.
        dimension: of these features.
        real: name of the real videos among the methods.
    """

    def __init__(
        self,
        name: str,
        metric: Metric,
        *,
        videos: Mapping[str, Sequence[VideoFeatures]],
        dimension: int,
        real: str = REAL,
    ) -> None:
        if metric.features is None:
            raise ValueError(f"{name} is no metric of sets")
        self.name, self.metric, self.real = name, metric, real
        self.feature_set, self.dimension, self.videos = metric.features, dimension, videos
        # The real videos come first and decide how the sources are dealt; a method may have others.
        names = [real, *(method for method in self.videos if method != real)]
        sources = [video.source for method in names for video in self.videos.get(method, [])]
        self.group_of = dict(zip(sources, deal_groups(sources), strict=True))
        self.groups = len(set(self.group_of.values()))
        self._fitted: dict[tuple[int, ...], Gaussian] = {}  # groups -> their real samples; the same for every method
        self._sums: dict[str, KernelSums] = {}

    def obstacle(self, method: str) -> str | None:
        """Why there is no figure, or None."""
        if not self.videos.get(self.real):
            return "not computed: there are no real videos"
        shortest = min(video.num_frames for name in (self.real, method) for video in self.videos[name])
        if shortest < (self.feature_set.length or 1):
            return f"not computed: {shortest}-frame videos have no {self.feature_set.length}-frame window"
        if min(self.count(self.real), self.count(method)) < 2:
            return f"not computed: a distance needs at least two {self.feature_set.samples}"
        return None

    def count(self, method: str) -> int:
        """Number of samples."""
        return sum(len(video.features[self.feature_set]) for video in self.videos[method])

    def distance(self, method: str) -> float:
        """The table's figure."""
        everything = range(self.groups)
        if self.metric.kernel:
            return self.metric.scale * self._kernel_sums(method).distance(everything)
        return self.metric.scale * gaussian_distance(
            self._real_gaussian(tuple(everything)), fit_gaussian(self._samples(method)[0])
        )

    def interval(self, method: str, value: float) -> tuple[float, float] | None:
        """Its jackknife interval over groups of sequences; None where groups are too few."""
        samples, labels = self._samples(method)
        if any(len(held) - int(held.bincount().max()) < 2 for held in (labels, self._samples(self.real)[1])):
            return None  # one group holds nearly all
        scale = self.metric.scale
        if self.metric.kernel:
            sums = self._kernel_sums(method)
            return jackknife_interval(lambda kept: scale * sums.distance(kept), self.groups, value)

        def statistic(kept: list[int]) -> float:
            chosen = samples[torch.isin(labels, torch.tensor(kept))]
            return scale * gaussian_distance(self._real_gaussian(tuple(kept)), fit_gaussian(chosen), exact=False)

        return jackknife_interval(statistic, self.groups, value)

    def warnings(self, methods: Sequence[str]) -> list[str]:
        """Lines about samples too few for their dimension; methods with equally many share one."""
        if self.metric.kernel:  # unbiased however few there are
            return []
        methods_of: dict[int, list[str]] = {}
        for method in methods:
            if not self.obstacle(method):
                methods_of.setdefault(min(self.count(method), self.count(self.real)), []).append(method)
        lines = (
            small_sample_warning(count, self.dimension, f"{self.name} of {', '.join(names)}")
            for count, names in methods_of.items()
        )
        return [line for line in lines if line]

    def _samples(self, method: str) -> tuple[Tensor, Tensor]:
        """Features ``[N, D]`` of all videos of a method, and the group ``[N]`` that each belongs to."""
        videos = self.videos[method]
        features = [video.features[self.feature_set] for video in videos]
        groups = torch.tensor([self.group_of[video.source] for video in videos])
        return torch.cat(features), groups.repeat_interleave(torch.tensor([len(part) for part in features]))

    def _kernel_sums(self, method: str) -> KernelSums:
        if method not in self._sums:
            (real, real_labels), (samples, labels) = self._samples(self.real), self._samples(method)
            self._sums[method] = KernelSums.of(real, samples, real_labels, labels, self.groups)
        return self._sums[method]

    def _real_gaussian(self, groups: tuple[int, ...]) -> Gaussian:
        if groups not in self._fitted:
            samples, labels = self._samples(self.real)
            self._fitted[groups] = fit_gaussian(samples[torch.isin(labels, torch.tensor(groups))])
        return self._fitted[groups]
