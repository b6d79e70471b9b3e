"""The reconstruction loss of the flow autoencoder: features of VGG at several scales, or gradients without VGG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.lfdm.networks.geometry import AntiAliasDownsample
from common.tensor_files import read_published, read_tensors
from evaluation.networks.weights import MissingWeightsError, load_metric_weights


@dataclass(frozen=True)
class _Shape:
    """A VGG up to relu5_1, numbered as torchvision does."""

    layers: tuple[int, ...]  # output channels; 0 is a pooling
    taps: tuple[int, ...]  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
    torchvision_file: str


_VGG16 = _Shape((64, 64, 0, 128, 128, 0, *[256] * 3, 0, *[512] * 3, 0, 512), (1, 6, 11, 18, 25), "vgg16-397923af.pth")
_VGG19 = _Shape((64, 64, 0, 128, 128, 0, *[256] * 4, 0, *[512] * 4, 0, 512), (1, 6, 11, 20, 29), "vgg19-dcbb9e9d.pth")
_ONLY_IN_VGG19 = "features.34.weight"


class VGGFeatures(nn.Module):
    """Frames ``[B, 3, H, W]`` in [0, 1] -> activations after the first convolution of each of VGG's five stages.

    Stages whose input has a side of fewer than 2 pixels are left out.

    Args:
        weights: tensors by torchvision's names; those of VGG19 are told by their number.
        source: what to name in an error.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Mapping[str, Tensor], source: str) -> None:
        super().__init__()
        shape = _VGG19 if _ONLY_IN_VGG19 in weights else _VGG16
        self.name = "VGG19" if shape is _VGG19 else "VGG16"
        self.taps = shape.taps
        layers: list[nn.Module] = []
        channels = 3
        for width in shape.layers:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            channels = width or channels
        self.features = nn.Sequential(*layers)
        expected = self.state_dict()
        for name, tensor in expected.items():
            if name not in weights or weights[name].shape != tensor.shape:
                found = tuple(weights[name].shape) if name in weights else "missing"
                raise ValueError(
                    f"{source}: not weights of VGG19 or VGG16, {name} is {found} instead of {tuple(tensor.shape)}"
                )
        self.load_state_dict({name: weights[name].float() for name in expected})
        self.requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> list[Tensor]:
        x, found = (frames - self.mean) / self.deviation, []
        for index, layer in enumerate(self.features):
            if isinstance(layer, nn.MaxPool2d) and min(x.shape[-2:]) < 2:
                break
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


class GradientFeatures(nn.Module):
    """What stands in without VGG: the frames themselves and their differences along x and y."""

    name = "pixels and gradients"

    def forward(self, frames: Tensor) -> list[Tensor]:
        return [frames, frames.diff(dim=3), frames.diff(dim=2)]


class PyramidLoss(nn.Module):
    """Mean absolute difference of features, added up over the layers and over frames of several scales.

    Args:
        features: :class:`VGGFeatures` or :class:`GradientFeatures`.
        scales: 1 / whole numbers.
    """

    def __init__(self, features: nn.Module, scales: Sequence[float]) -> None:
        super().__init__()
        self.features = features
        self.scales = nn.ModuleList(AntiAliasDownsample(round(1 / scale)) for scale in scales)

    def forward(self, frames: Tensor, target: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [0, 1], twice -> ``[B]``."""
        total = frames.new_zeros(len(frames))
        for scale in self.scales:
            with torch.no_grad():
                wanted = self.features(scale(target))
            for a, b in zip(self.features(scale(frames)), wanted, strict=True):
                total = total + (a - b).abs().flatten(1).mean(dim=1)
        return total


def load_features(path: Path | None = None, folder: Path | None = None) -> VGGFeatures | GradientFeatures:
    """VGG19 (as published) or VGG16 from a file; without one VGG19 of torchvision's cache, or the metrics' VGG16.

    Nothing is downloaded. Where none of them is there, gradients stand in. ``name`` says which it is.

    Args:
        path: a safetensors file with torchvision's tensor names.
        folder: of the metrics' weights, searched for ``lpips_vgg16`` before the cache.

    Raises:
        ValueError: one line, for a file that is missing, damaged or holds other tensors.
    """
    if path is not None:
        advice = "give --vgg-weights a safetensors file of torchvision's VGG19 or VGG16"
        return VGGFeatures(read_tensors(path, only="features.", advice=advice)[0], str(path))
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    if (cache / _VGG19.torchvision_file).is_file():
        return _of_torchvision(cache / _VGG19.torchvision_file)
    try:
        return VGGFeatures(load_metric_weights("lpips_vgg16", folder)[0], "lpips_vgg16.safetensors")
    except MissingWeightsError:
        pass
    cached = cache / _VGG16.torchvision_file
    return _of_torchvision(cached) if cached.is_file() else GradientFeatures()


def _of_torchvision(path: Path) -> VGGFeatures:
    return VGGFeatures(read_published(path, advice="delete it"), str(path))
