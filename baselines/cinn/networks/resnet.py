"""3D residual networks of 18 layers: the video encoder and the temporal discriminator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from baselines.cinn.config import DiscriminatorConfig, VideoConfig

GROUPS = 16  # of group normalisation, fewer where they do not divide the channels

Wrap = Callable[[nn.Conv3d], nn.Module]


def group_norm(channels: int, *, affine: bool = True) -> nn.GroupNorm:
    """Group normalisation with as many of :data:`GROUPS` groups as divide the channels."""
    return nn.GroupNorm(gcd(GROUPS, channels), channels, affine=affine)


def convolution(before: int, after: int, stride: tuple[int, int, int] = (1, 1, 1)) -> nn.Conv3d:
    """3x3x3 convolution without bias that keeps the size but for its stride."""
    return nn.Conv3d(before, after, 3, stride=stride, padding=1, bias=False)


class ResidualBlock(nn.Module):
    """``relu(skip(x) + norm(conv(relu(norm(conv(x))))))``; the skip is a convolution where shape or width change."""

    def __init__(self, before: int, after: int, stride: tuple[int, int, int], wrap: Wrap) -> None:
        super().__init__()
        self.conv1, self.norm1 = wrap(convolution(before, after, stride)), group_norm(after)
        self.conv2, self.norm2 = wrap(convolution(after, after)), group_norm(after)
        self.skip: nn.Module = nn.Identity()
        if before != after or stride != (1, 1, 1):
            self.skip = nn.Sequential(wrap(convolution(before, after, stride)), group_norm(after))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.skip(x) + self.norm2(self.conv2(y)))


def residual_stages(
    channels: Sequence[int],
    *,
    space: Sequence[int],
    time: Sequence[int],
    wraps: tuple[Wrap, Wrap],
) -> nn.ModuleList:
    """Four stages of two blocks each.

    Args:
        channels: of the stem and of each stage.
        space: stride in space of each stage's first block.
        time: stride in time of each stage's first block.
        wraps: what is done to the convolutions of each stage's first and second block.
    """
    stages = nn.ModuleList()
    for before, after, s, t in zip(channels, channels[1:], space, time, strict=False):
        first = ResidualBlock(before, after, (t, s, s), wraps[0])
        stages.append(nn.Sequential(first, ResidualBlock(after, after, (1, 1, 1), wraps[1])))
    return stages


def fan_out(convolution: nn.Conv3d) -> nn.Module:
    """The convolution, initialised for rectifiers by its outputs."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def orthogonal(convolution: nn.Conv3d) -> nn.Module:
    """The convolution, initialised with an orthogonal matrix."""
    nn.init.orthogonal_(convolution.weight)
    return convolution


def normalised(convolution: nn.Conv3d) -> nn.Module:
    """The same with spectral normalisation."""
    return spectral_norm(orthogonal(convolution))


class VideoEncoder(nn.Module):
    """q(z | X): mean and logarithm of the variance of a clip's code (section 3.1 of the paper's supplement)."""

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.encoder_channels
        self.stem = fan_out(nn.Conv3d(3, channels[0], (3, 7, 7), stride=(2, 2, 2), padding=(1, 3, 3), bias=False))
        self.norm = group_norm(channels[0])
        self.stages = residual_stages(
            channels, space=config.encoder_space, time=config.encoder_time, wraps=(fan_out, fan_out)
        )
        self.mean = nn.Conv2d(channels[-1], config.code, config.base)
        self.log_variance = nn.Conv2d(channels[-1], config.code, config.base)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Frames that follow the photo, ``[B, T, 3, H, W]`` in [-1, 1] -> mean and log-variance, ``[B, code]`` each.

        Raises:
            ValueError: another number of frames or another size than the configuration's.
        """
        width, height = self.config.size
        expected = (self.config.frames, 3, height, width)
        if clip.ndim != 5 or clip.shape[1:] != expected:
            raise ValueError(f"the video encoder takes clips [B, {', '.join(map(str, expected))}], got {[*clip.shape]}")
        x = F.relu(self.norm(self.stem(clip.transpose(1, 2))))
        for stage in self.stages:
            x = stage(x)
        x = x.squeeze(2)  # [B, C, h, w]: one moment is left
        return self.mean(x).flatten(1), self.log_variance(x).flatten(1)


class TemporalDiscriminator(nn.Module):
    """Judges how neighbouring frames move; its stages' outputs serve feature matching as well."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        channels = config.temporal_channels
        # The published code normalises the first block of each stage alone, by mistake.
        wraps = (normalised, normalised if config.spectral == "all" else orthogonal)
        self.stem = wraps[1](nn.Conv3d(3, channels[0], (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False))
        self.norm = group_norm(channels[0])
        self.pool = nn.MaxPool3d(3, stride=(1, 2, 2), padding=1)
        self.stages = residual_stages(channels, space=config.temporal_space, time=config.temporal_time, wraps=wraps)
        self.head = nn.Linear(channels[-1], 1, bias=False)

    def forward(self, clip: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``[B, T, 3, H, W]`` -> logits ``[B]`` and the outputs of the four stages, ``[B, C, t, h, w]`` each."""
        x = self.pool(F.relu(self.norm(self.stem(clip.transpose(1, 2)))))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return self.head(x.mean(dim=(2, 3, 4))).squeeze(1), features
