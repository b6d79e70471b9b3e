"""How far the generated videos of a method are, taken together, from the real ones: FID, KID, FVD, DTFVD (section 7).

Videos come one by one and only their features are kept: 82 sequences of 150 frames at 256x128 are 1.2 GB a method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from evaluation.metrics.distances import (
    Gaussian,
    KernelSums,
    deal_groups,
    fit_gaussian,
    gaussian_distance,
    jackknife_interval,
    small_sample_warning,
)
from evaluation.metrics.features import FeatureCache, checked_frames, clip_features, frame_features, windows
from evaluation.networks.feature_networks import FeatureNetwork, load_feature_network
from evaluation.networks.weights import MissingWeightsError

REAL = "real"  # the name of the real videos among the methods


class FeatureSet(NamedTuple):
    """Which features a metric compares: a network's, of single frames or of windows of ``length`` frames."""

    network: str
    length: int | None = None
    unit: str = "frames"  # what one sample is, where it is no window of frames

    @property
    def samples(self) -> str:
        return self.unit if self.length is None else f"{self.length}-frame windows"


METRICS = {
    "fid": FeatureSet("inception"),
    "kid": FeatureSet("inception"),
    "fvd": FeatureSet("i3d", 16),
    "fvd32": FeatureSet("i3d", 32),
    "dtfvd": FeatureSet("dti3d_16", 16),
    "dtfvd32": FeatureSet("dti3d_32", 32),
}
KID_SCALE = 100  # KID is given times 100
CURVES = {"fid_window30": "fid", "fvd_window16": "fvd", "dtfvd_window16": "dtfvd"}  # distance against time: metric
CURVE_FRAMES = 30  # frames of each video in a point of the sliding-window FID
CURVE_STEP = 10  # frames from a point of it to the next; clips go by the windows that there are anyway
EXACT_SIZE = 512  # points of curves are computed by singular values up to this many rows, by eigenvalues beyond


def load_networks(
    metrics: Iterable[str], weights: Path | None, device: torch.device | str
) -> tuple[dict[str, FeatureNetwork], dict[str, str]]:
    """The networks that the metrics need, by name, and for each metric without weights the note that says so.

    Raises:
        ValueError: weights that are there and are not what they should be.
    """
    networks: dict[str, FeatureNetwork] = {}
    missing: dict[str, str] = {}
    notes = {}
    for metric in metrics:
        name = METRICS[metric].network
        if name not in networks and name not in missing:
            try:
                networks[name] = load_feature_network(name, weights, device)
            except MissingWeightsError as error:
                missing[name] = f"not computed: {error}"
        if name in missing:
            notes[metric] = missing[name]
    return networks, notes


@dataclass(frozen=True)
class VideoFeatures:
    """What is kept of a video."""

    sequence: str
    source: str
    num_frames: int
    features: dict[FeatureSet, Tensor]  # float32 [T, D] or [windows, D]


@dataclass
class FeatureCollector:
    """Takes in videos and keeps their features.

    Args:
        networks: by name, from `load_networks`.
        metrics: which of `METRICS` will be asked for; by default all that the networks allow.
        real: name of the real videos among the methods. Only their features are cached, for only they come again.
        cache: None for the default folder.
    """

    networks: Mapping[str, FeatureNetwork]
    metrics: Sequence[str] = tuple(METRICS)
    real: str = REAL
    cache: FeatureCache | None = None
    videos: dict[str, list[VideoFeatures]] = field(default_factory=dict)  # method -> its videos in order
    size: tuple[int, int] | None = None  # (H, W) of all of them

    def __post_init__(self) -> None:
        self.metrics = [metric for metric in self.metrics if METRICS[metric].network in self.networks]
        if self.cache is None and self.metrics:
            self.cache = FeatureCache()

    def add(self, method: str, sequence: str, source: str, frames: Tensor) -> None:
        """Take in one video of a method.

        Args:
            method: its name, or that of the real videos.
            sequence: id of the sequence.
            source: the video that the sequence is a part of; sequences of one source are not independent.
            frames: uint8 ``[T, 3, H, W]``, cropped; any T.

        Raises:
            ValueError: frames or features that are not finite, or a size unlike the videos before.
        """
        name = f"{method}, sequence {sequence}"
        checked_frames(frames, name)
        size = (frames.shape[2], frames.shape[3])
        self.size = self.size or size
        if size != self.size:
            expected, got = (f"{width}x{height}" for height, width in (self.size, size))
            raise ValueError(f"{name}: {got} pixels, the videos before it have {expected}; make all of one size")
        features = {
            feature_set: self._features(feature_set, frames, self.cache if method == self.real else None, name)
            for feature_set in dict.fromkeys(METRICS[metric] for metric in self.metrics)
        }
        self.videos.setdefault(method, []).append(VideoFeatures(sequence, source, len(frames), features))

    def _features(self, feature_set: FeatureSet, frames: Tensor, cache: FeatureCache | None, name: str) -> Tensor:
        network, length = self.networks[feature_set.network], feature_set.length
        if length is not None and len(frames) < length:
            return torch.zeros(0, network.dimension)
        if length is None:
            features = frame_features(network, frames, cache)
        else:
            features = clip_features(network, windows(frames, length), cache)
        if not bool(features.isfinite().all()):
            raise ValueError(f"{name}: the {network.name} network's features are not finite; look at the video")
        return features


def distribution_metrics(
    collector: FeatureCollector,
    methods: Sequence[str],
    real: str = REAL,
    notes: Mapping[str, str] | None = None,
    intervals: bool = True,
    step: int = CURVE_STEP,
    progress: Callable[[str], None] | None = None,
) -> dict:
    """Distances of each method's videos from the real ones, as they stand in a report.

    Args:
        collector: with the features of all videos.
        methods: rows of the table; one without videos gets empty cells without a note.
        real: name of the real videos.
        notes: metric -> why it cannot be computed, from `load_networks`.
        intervals: compute jackknife intervals (95 %, sequences of one source together); most of the time goes there.
        step: frames from one point of the sliding-window FID to the next.
        progress: called with the name of each figure before it is computed.

    Returns:
        ``table``, ``intervals``, ``counts`` and ``notes``, each ``{method: {metric: ...}}``, where ``counts`` has the
        number of the method's frames or windows and a further row ``real``; ``curves`` as
        ``{curve: {method: [[first frame of the window, distance], ...]}}``; ``warnings``, a list of lines.
    """
    rows = [method for method in methods if method in collector.videos]
    result: dict = {part: {method: {} for method in methods} for part in ("table", "intervals", "counts", "notes")}
    result["counts"][real] = {}
    result |= {"curves": {}, "warnings": []}
    for metric in METRICS:
        if metric in collector.metrics:
            comparison = Comparison.of(collector, metric, real)
            for method in rows:
                if progress:
                    progress(f"{metric} of {method}")
                _fill_cell(result, comparison, method, intervals)
            result["warnings"] += comparison.warnings(rows)
        elif notes and metric in notes:
            for method in rows:
                _leave_cell(result, method, metric, notes[metric])
    for curve, metric in CURVES.items():
        if metric in collector.metrics:
            if progress:
                progress(curve)
            points, warnings = distance_curves(collector, rows, real, metric, step)
            result["curves"] |= {curve: points} if points else {}
            result["warnings"] += [f"{curve}: {warning}" for warning in warnings]
    if collector.cache is not None and collector.cache.problem:
        result["warnings"].append(collector.cache.problem)
    return result


def _fill_cell(result: dict, comparison: Comparison, method: str, intervals: bool) -> None:
    metric, obstacle = comparison.metric, comparison.obstacle(method)
    if obstacle:
        _leave_cell(result, method, metric, obstacle)
        return
    value = comparison.distance(method)
    result["table"][method][metric] = value
    result["intervals"][method][metric] = comparison.interval(method, value) if intervals else None
    result["counts"][method][metric] = comparison.count(method)
    result["counts"][comparison.real][metric] = comparison.count(comparison.real)


def _leave_cell(result: dict, method: str, metric: str, note: str) -> None:
    result["table"][method][metric] = result["intervals"][method][metric] = None
    result["notes"][method][metric] = note


class Comparison:
    """One metric between the real videos and those of each method."""

    def __init__(
        self,
        videos: Mapping[str, Sequence[VideoFeatures]],  # by method
        metric: str,
        feature_set: FeatureSet,  # whose features are compared
        dimension: int,  # of these features
        real: str = REAL,
    ) -> None:
        self.metric, self.real = metric, real
        self.feature_set, self.dimension, self.videos = feature_set, dimension, videos
        # The real videos come first and decide how the sources are dealt; a method may have others.
        names = [real, *(method for method in self.videos if method != real)]
        sources = [video.source for method in names for video in self.videos.get(method, [])]
        self.group_of = dict(zip(sources, deal_groups(sources), strict=True))
        self.groups = len(set(self.group_of.values()))
        self._fitted: dict[tuple[int, ...], Gaussian] = {}  # groups -> their real samples; the same for every method
        self._sums: dict[str, KernelSums] = {}

    @classmethod
    def of(cls, collector: FeatureCollector, metric: str, real: str = REAL) -> Comparison:
        """One of :data:`METRICS` of collected videos."""
        feature_set = METRICS[metric]
        return cls(collector.videos, metric, feature_set, collector.networks[feature_set.network].dimension, real)

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
        if self.metric == "kid":
            return KID_SCALE * self._kernel_sums(method).distance(everything)
        return gaussian_distance(self._real_gaussian(tuple(everything)), fit_gaussian(self._samples(method)[0]))

    def interval(self, method: str, value: float) -> tuple[float, float] | None:
        """Its jackknife interval over groups of sequences; None where groups are too few."""
        samples, labels = self._samples(method)
        if any(len(held) - int(held.bincount().max()) < 2 for held in (labels, self._samples(self.real)[1])):
            return None  # one group holds nearly all
        if self.metric == "kid":
            sums = self._kernel_sums(method)
            return jackknife_interval(lambda kept: KID_SCALE * sums.distance(kept), self.groups, value)

        def statistic(kept: list[int]) -> float:
            chosen = samples[torch.isin(labels, torch.tensor(kept))]
            return gaussian_distance(self._real_gaussian(tuple(kept)), fit_gaussian(chosen), exact=False)

        return jackknife_interval(statistic, self.groups, value)

    def warnings(self, methods: Sequence[str]) -> list[str]:
        """Lines about samples too few for their dimension; methods with equally many share one."""
        if self.metric == "kid":  # unbiased however few there are
            return []
        methods_of: dict[int, list[str]] = {}
        for method in methods:
            if not self.obstacle(method):
                methods_of.setdefault(min(self.count(method), self.count(self.real)), []).append(method)
        lines = (
            small_sample_warning(count, self.dimension, f"{self.metric} of {', '.join(names)}")
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


def distance_curves(
    collector: FeatureCollector, methods: Sequence[str], real: str, metric: str, step: int = CURVE_STEP
) -> tuple[dict[str, list[list[float]]], list[str]]:
    """Fréchet distance against time: windows that start at the same frame in all videos, real and generated.

    Frames are compared in windows of 30 from every ``step``-th frame on, clips window by window.

    Returns:
        ``{method: [[first frame of the window, distance], ...]}`` as far as the shortest of the videos goes, without
        methods that have no point; and warnings.
    """
    feature_set = METRICS[metric]
    length, stride = feature_set.length or CURVE_FRAMES, feature_set.length or step
    ends = {
        method: min(video.num_frames for name in (real, method) for video in collector.videos[name])
        for method in methods
        if collector.videos.get(real)
    }
    points: dict[str, list[list[float]]] = {method: [] for method in ends}
    fewest = None
    for start in range(0, max(ends.values(), default=0) - length + 1, stride):
        going = [method for method, end in ends.items() if start + length <= end]
        samples = {name: _samples_at(collector.videos[name], feature_set, start) for name in (real, *going)}
        gaussians = {name: fit_gaussian(found) for name, found in samples.items() if len(found) > 1}
        for method in going:
            if real in gaussians and method in gaussians:
                exact = min(len(gaussians[name].factor) for name in (real, method)) <= EXACT_SIZE
                points[method].append([start, gaussian_distance(gaussians[real], gaussians[method], exact)])
                fewest = min(fewest or len(samples[real]), len(samples[real]), len(samples[method]))
    points = {method: line for method, line in points.items() if line}
    dimension = collector.networks[feature_set.network].dimension
    warning = small_sample_warning(fewest, dimension, "each point") if fewest else None
    return points, [warning] if warning else []


def _samples_at(videos: Sequence[VideoFeatures], feature_set: FeatureSet, start: int) -> Tensor:
    """Features ``[N, D]`` of every video's frames, or clip, in the window from frame ``start`` on."""
    if feature_set.length is None:
        kept = slice(start, start + CURVE_FRAMES)
    else:
        kept = slice(start // feature_set.length, start // feature_set.length + 1)
    return torch.cat([video.features[feature_set][kept] for video in videos])
