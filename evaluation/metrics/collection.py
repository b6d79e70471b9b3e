"""The features of videos that metrics of sets compare: the networks that give them, and what is kept of each video.

Videos come one by one and only their features are kept: 82 sequences of 150 frames at 256x128 are 1.2 GB a method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from evaluation.metrics.features import FeatureCache, checked_frames, clip_features, frame_features, windows
from evaluation.metrics.metric import FeatureSet, Metric
from evaluation.metrics.registry import of_kind, of_table
from evaluation.networks.feature_networks import FeatureNetwork, load_feature_network
from evaluation.networks.weights import MissingWeightsError

REAL = "real"  # the name of the real videos among the methods


def load_networks(
    metrics: Mapping[str, Metric], *, weights: Path | None, device: torch.device | str
) -> tuple[dict[str, FeatureNetwork], dict[str, str]]:
    """The networks that metrics of sets need, by name, and for each metric without weights the note that says so.

    Raises:
        ValueError: weights that are there and are not what they should be.
    """
    networks: dict[str, FeatureNetwork] = {}
    missing: dict[str, str] = {}
    notes = {}
    for metric, feature_set in feature_sets(metrics).items():
        name = feature_set.network
        if name not in networks and name not in missing:
            try:
                networks[name] = load_feature_network(name, weights, device)
            except MissingWeightsError as error:
                missing[name] = f"not computed: {error}"
        if name in missing:
            notes[metric] = missing[name]
    return networks, notes


def feature_sets(metrics: Mapping[str, Metric]) -> dict[str, FeatureSet]:
    """What each metric of sets compares, by the metric's name."""
    return {name: metric.features for name, metric in metrics.items() if metric.features is not None}


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
        networks: by name, from :func:`load_networks`.
        metrics: those of sets that will be asked for; the ones whose network is missing are left out.
        real: name of the real videos among the methods. Only their features are cached, because only they come again.
        cache: None for the default folder.
    """

    networks: Mapping[str, FeatureNetwork]
    metrics: Mapping[str, Metric] = field(default_factory=lambda: of_kind("sets", of_table("motion")))
    real: str = REAL
    cache: FeatureCache | None = None
    videos: dict[str, list[VideoFeatures]] = field(default_factory=dict)  # method -> its videos in order
    size: tuple[int, int] | None = None  # (H, W) of all of them

    def __post_init__(self) -> None:
        sets = feature_sets(self.metrics)
        self.metrics = {name: self.metrics[name] for name, used in sets.items() if used.network in self.networks}
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
            for feature_set in dict.fromkeys(feature_sets(self.metrics).values())
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
