"""The conditioning encoder e(x0): what the invertible network is told of the photo, and the decoder it learns with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.cinn.config import ConditionConfig
from baselines.cinn.networks.resnet import group_norm

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOG_VARIANCE = (-30.0, 10.0)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a skip; tensors have torchvision's names (He et al. 2016)."""

    def __init__(self, before: int, width: int, stride: int, norm: type[nn.Module]) -> None:
        super().__init__()
        after = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(before, width, 1, bias=False), norm(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False), norm(width)
        self.conv3, self.bn3 = nn.Conv2d(width, after, 1, bias=False), norm(after)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), norm(after))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """A residual network of bottlenecks up to the average over the picture: ``[B, 3, H, W]`` -> ``[B, 32 width]``."""

    def __init__(self, layers: Sequence[int], width: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), norm(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        before = width
        for number, blocks in enumerate(layers):
            inner = width * 2**number
            stage = []
            for block in range(blocks):
                stage.append(Bottleneck(before, inner, 2 if number and not block else 1, norm))
                before = 4 * inner
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
        self.features = before
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for name, stage in self.named_children():
            if name.startswith("layer"):
                x = stage(x)
        return x.mean(dim=(2, 3))


class ConditionEncoder(nn.Module):
    """ResNet-50, average over the picture, a linear map: a normal distribution whose mode is the embedding."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ConditionConfig) -> None:
        super().__init__()
        norm: type[nn.Module] = nn.BatchNorm2d if config.norm == "batch" else nn.InstanceNorm2d
        self.network = ResNet(config.layers, config.width, norm)
        self.head = nn.Linear(self.network.features, 2 * config.size)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def distribution(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, 3, H, W]`` in [-1, 1] -> mean and log-variance, ``[B, size]`` each."""
        mean, log_variance = self.head(self.network(((photo + 1) / 2 - self.mean) / self.std)).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE)

    def forward(self, photo: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [-1, 1] -> embeddings ``[B, size]``: the mode, as it is used everywhere but here."""
        return self.distribution(photo)[0]


class ConditionDecoder(nn.Module):
    """A small convolutional decoder that makes the encoder keep what the photo shows; it is not used afterwards.

    In place of the published BigGAN generator of 80 M parameters, whose pretrained weights were never available.
    """

    def __init__(self, config: ConditionConfig, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        # Four doublings from here are enough for a picture of that size; what is too much is cut off.
        self.base = -(-size[1] // 16), -(-size[0] // 16)
        widths = [config.decoder_width * factor for factor in (8, 8, 4, 2, 1)]
        self.fc = nn.Linear(config.size, widths[0] * self.base[0] * self.base[1])
        self.blocks = nn.ModuleList(
            nn.Sequential(group_norm(before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
            for before, after in pairwise(widths)
        )
        self.out = nn.Sequential(group_norm(widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, embedding: Tensor) -> Tensor:
        """``[B, size]`` -> pictures ``[B, 3, H, W]`` in [-1, 1]."""
        x = self.fc(embedding).view(len(embedding), -1, *self.base)
        for block in self.blocks:
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"))
        width, height = self.size
        return self.out(x)[..., :height, :width].tanh()
