"""The renderer's training loss: L1 with VGG16 features, or with gradients and SSIM where no VGG weights are at hand."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.tensor_files import read_published, read_tensors
from evaluation.metrics.structural_similarity import WindowMoments
from evaluation.networks.weights import MissingWeightsError, load_metric_weights

# Output channels of VGG16's convolutions up to relu4_3, a pooling as 0; torchvision numbers layers as built from it.
_VGG16_LAYERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512)
_VGG16_TAPS = {3: "relu1_2", 8: "relu2_2", 15: "relu3_3", 22: "relu4_3"}
TORCHVISION_FILE = "vgg16-397923af.pth"
_METRIC_WEIGHTS = "lpips_vgg16"  # a metric's file that holds the same VGG16
BOX = 7  # pixels of the windows of SSIM, which here are boxes


class VGG16Loss(nn.Module):
    """Relative L1 distance of VGG16 features, the mean over relu1_2, relu2_2, relu3_3 and relu4_3.

    Each layer's difference is divided by its mean activation on the target, so that layers count alike.

    Args:
        weights: tensors by torchvision's names, ``features.0.weight`` and so on.
        source: what to name in an error.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: dict[str, Tensor], source: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _VGG16_LAYERS:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        expected = self.state_dict()
        for name, tensor in expected.items():
            if name not in weights or weights[name].shape != tensor.shape:
                found = tuple(weights[name].shape) if name in weights else "missing"
                raise ValueError(f"{source}: not VGG16 weights, {name} is {found} instead of {tuple(tensor.shape)}")
        self.load_state_dict({name: weights[name].float() for name in expected})
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def reduce_precision(self) -> VGG16Loss:
        """Keep the weights, and compute, in bfloat16: converted once, where autocast would at every step."""
        self.features.to(torch.bfloat16)
        return self

    def forward(self, frame: Tensor, target: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [-1, 1], twice -> scalar."""
        with torch.no_grad():
            wanted = self.activations(target)
        found = self.activations(frame)
        terms = [
            (a - b).abs().mean(dtype=torch.float32) / b.mean(dtype=torch.float32).clamp_min(1e-3)
            for a, b in zip(found, wanted, strict=True)
        ]
        return torch.stack(terms).mean()

    def activations(self, image: Tensor) -> list[Tensor]:
        """Features of ``[B, 3, H, W]`` in [-1, 1] after relu1_2, relu2_2, relu3_3 and relu4_3."""
        values = ((image + 1) / 2 - self.mean) / self.std
        values = values.to(next(self.features.parameters()).dtype, memory_format=torch.channels_last)
        taps = []
        for index, layer in enumerate(self.features):
            values = layer(values)
            if index in _VGG16_TAPS:
                taps.append(values)
        return taps


class StructureLoss(nn.Module):
    """L1 distance of image gradients plus ``1 - SSIM`` (box windows), for training without VGG weights."""

    def forward(self, frame: Tensor, target: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [-1, 1], twice -> scalar."""
        horizontal = (frame.diff(dim=3) - target.diff(dim=3)).abs().mean()
        vertical = (frame.diff(dim=2) - target.diff(dim=2)).abs().mean()
        moments = [WindowMoments((images + 1) / 2, _box_mean) for images in (frame, target)]
        return horizontal + vertical + 1 - moments[0].similarity(moments[1]).mean()


def _box_mean(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, BOX, stride=1)


def load_perceptual_loss(path: Path | None, folder: Path | None = None) -> VGG16Loss | None:
    """VGG16 loss with weights from a safetensors file or, without one, from where metrics or torchvision keep theirs.

    Nothing is ever downloaded: returns None where none is there.

    Args:
        path: a safetensors file with torchvision's tensor names.
        folder: of metric weights, searched for ``lpips_vgg16`` before the cache.

    Raises:
        ValueError: one line, for a file that is missing, damaged or holds other tensors.
    """
    if path is not None:
        advice = "give --vgg-weights a safetensors file of torchvision's VGG16"
        return VGG16Loss(read_tensors(path, only="features.", advice=advice)[0], str(path))
    try:
        return VGG16Loss(load_metric_weights(_METRIC_WEIGHTS, folder)[0], f"{_METRIC_WEIGHTS}.safetensors")
    except MissingWeightsError:
        pass
    cached = Path(torch.hub.get_dir()) / "checkpoints" / TORCHVISION_FILE
    if not cached.is_file():
        return None
    return VGG16Loss(read_published(cached, advice="delete it"), str(cached))
