"""How far a method's videos, taken together, are from the real ones: FID, KID, FVD, DTFVD (paper section 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from evaluation.metrics.collection import REAL, FeatureCollector, VideoFeatures
from evaluation.metrics.distances import fit_gaussian, gaussian_distance, small_sample_warning
from evaluation.metrics.metric import FeatureSet, Metric
from evaluation.metrics.set_distance import SetDistance

CURVE_FRAMES = 30  # frames of each video in a point of the curve of a metric of single frames; clips have their own
CURVE_STEP = 10  # frames from a point of it to the next; clips go by the windows that there are anyway
EXACT_SIZE = 512  # points of curves are computed by singular values up to this many rows, by eigenvalues beyond


def distribution_metrics(
    collector: FeatureCollector,
    methods: Sequence[str],
    *,
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
        notes: metric -> why it cannot be computed, from :func:`evaluation.metrics.collection.load_networks`.
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
    for metric in collector.metrics:
        distance = set_distance(collector, metric, real=real)
        for method in rows:
            if progress:
                progress(f"{metric} of {method}")
            _fill_cell(result, distance, method, intervals)
        result["warnings"] += distance.warnings(rows)
    for metric, note in (notes or {}).items():
        for method in rows:
            _leave_cell(result, method, metric, note)
    for metric in [name for name, known in collector.metrics.items() if known.curve]:
        curve = f"{metric}_window{curve_length(collector.metrics[metric])}"
        if progress:
            progress(curve)
        points, warnings = distance_curves(collector, rows, metric, real=real, step=step)
        result["curves"] |= {curve: points} if points else {}
        result["warnings"] += [f"{curve}: {warning}" for warning in warnings]
    if collector.cache is not None and collector.cache.problem:
        result["warnings"].append(collector.cache.problem)
    return result


def set_distance(collector: FeatureCollector, metric: str, *, real: str = REAL) -> SetDistance:
    """The distance of collected videos by one of the collector's metrics."""
    known = collector.metrics[metric]
    assert known.features is not None
    dimension = collector.networks[known.features.network].dimension
    return SetDistance(metric, known, videos=collector.videos, dimension=dimension, real=real)


def curve_length(metric: Metric) -> int:
    """Frames of each video in a point of a metric's curve."""
    return (metric.features.length if metric.features else None) or CURVE_FRAMES


def _fill_cell(result: dict, distance: SetDistance, method: str, intervals: bool) -> None:
    metric, obstacle = distance.name, distance.obstacle(method)
    if obstacle:
        _leave_cell(result, method, metric, obstacle)
        return
    value = distance.distance(method)
    result["table"][method][metric] = value
    result["intervals"][method][metric] = distance.interval(method, value) if intervals else None
    result["counts"][method][metric] = distance.count(method)
    result["counts"][distance.real][metric] = distance.count(distance.real)


def _leave_cell(result: dict, method: str, metric: str, note: str) -> None:
    result["table"][method][metric] = result["intervals"][method][metric] = None
    result["notes"][method][metric] = note


def distance_curves(
    collector: FeatureCollector, methods: Sequence[str], metric: str, *, real: str = REAL, step: int = CURVE_STEP
) -> tuple[dict[str, list[list[float]]], list[str]]:
    """Fréchet distance against time: windows that start at the same frame in all videos, real and generated.

    Frames are compared in windows of 30 from every ``step``-th frame on, clips window by window.

    Returns:
        ``{method: [[first frame of the window, distance], ...]}`` as far as the shortest of the videos goes, without
        methods that have no point; and warnings.
    """
    feature_set = collector.metrics[metric].features
    assert feature_set is not None
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
