"""How much several samples of one photo differ: mean pairwise distance of features, as in Stochastic I2V (2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from evaluation.metrics.metric import Metric
from evaluation.networks.feature_networks import load_feature_network, load_vgg16_features
from evaluation.networks.weights import MissingWeightsError
from evaluation.sequences import centre_crop

DIVERSITY_FRAMES = 16  # the clip length of the published measure
DTI3D_UNIT = 1000.0  # the published figures of this one are a thousand times the distance

Distance = Callable[[Sequence[Tensor]], float]  # clips uint8 [T, 3, H, W] of one size -> their mean difference


class Diversity:
    """How much several samples of one photo differ, by every metric of the kind "clips"."""

    def __init__(self, metrics: Mapping[str, Metric], *, weights: Path | None, device: torch.device) -> None:
        """Load what the metrics need; what lacks its weights ends up in ``notes``."""
        self.notes: dict[str, str] = {}
        self._distances: dict[str, Distance] = {}
        for name, metric in metrics.items():
            try:
                self._distances[name] = metric.function(weights=weights, device=device)
            except MissingWeightsError as error:
                self.notes[name] = f"not computed: {error}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that can be computed."""
        return tuple(self._distances)

    def __call__(self, clips: Sequence[Tensor]) -> dict[str, float]:
        """Measures of two or more clips of one photo, each uint8 ``[T, 3, H, W]`` of the same size."""
        cropped = [centre_crop(clip) for clip in clips]
        return {name: distance(cropped) for name, distance in self._distances.items()}


def load_vgg16_distance(weights: Path | None, device: torch.device) -> Distance:
    """Distance of clips by VGG16."""
    return vgg16_distance(load_vgg16_features(weights, device))


def load_i3d_distance(weights: Path | None, device: torch.device) -> Distance:
    """Distance of clips by the Kinetics I3D's logits."""
    return clip_distance(load_feature_network("i3d", weights, device))


def load_dti3d_distance(weights: Path | None, device: torch.device) -> Distance:
    """Distance of clips by DTI3D's features, in the published unit."""
    return clip_distance(load_feature_network("dti3d_16", weights, device), DTI3D_UNIT)


def clip_distance(network: Callable[[Tensor], Tensor], unit: float = 1.0) -> Distance:
    """Distance of clips by one feature vector a clip."""
    return lambda clips: unit * mean_pairwise(network(torch.stack(list(clips))).double())


def vgg16_distance(features: Callable[[Tensor], list[Tensor]]) -> Distance:
    """Distance of clips by VGG16's five levels, the mean over levels and frames.

    Frame by frame: the first level of a whole clip would take 200 MB.
    """

    def distance(clips: Sequence[Tensor]) -> float:
        frames = [
            [mean_pairwise(level.flatten(1)) for level in features(torch.stack(list(moment)))]
            for moment in zip(*clips, strict=True)
        ]
        return float(torch.tensor(frames, dtype=torch.float64).mean())

    return distance


def mean_pairwise(features: Tensor) -> float:
    """Mean over pairs of different rows of their mean squared difference: ``[S, D]``, S at least 2."""
    pairs = [float((features[i] - features[j]).square().mean()) for i, j in combinations(range(len(features)), 2)]
    return sum(pairs) / len(pairs)
