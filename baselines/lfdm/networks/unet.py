"""The denoiser of latent flow: a U-Net over space whose frames meet in temporal attention."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.lfdm.config import DiffusionConfig
from baselines.lfdm.networks.attention import (
    LinearSpatialAttention,
    Positions,
    SpatialAttention,
    TemporalAttention,
    TimePositions,
)

GROUPS = 8  # of group normalisation
FLOW_CHANNELS = 3  # x, y and occlusion


def _conv(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, mode: Literal["zeros", "reflect"] = "zeros"
) -> nn.Conv3d:
    """A convolution within each frame."""
    padding = (kernel - 1) // 2
    return nn.Conv3d(
        channels_in, channels_out, (1, kernel, kernel), (1, stride, stride), (0, padding, padding), padding_mode=mode
    )


class ResNetBlock(nn.Module):
    """Two convolutions with group normalisation; scale and shift after the first come from the embedding.

    Args:
        embedding: its number of channels; 0 for a block without.
    """

    def __init__(self, channels_in: int, channels_out: int, embedding: int = 0) -> None:
        super().__init__()
        self.to_scale_shift = nn.Linear(embedding, 2 * channels_out) if embedding else None
        self.conv1, self.norm1 = _conv(channels_in, channels_out, 3), nn.GroupNorm(GROUPS, channels_out)
        self.conv2, self.norm2 = _conv(channels_out, channels_out, 3), nn.GroupNorm(GROUPS, channels_out)
        same = channels_in == channels_out
        self.shortcut: nn.Module = nn.Identity() if same else _conv(channels_in, channels_out, 1)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """``[B, C, T, h, w]`` and ``[B, embedding]`` -> ``[B, C', T, h, w]``."""
        y = self.norm1(self.conv1(x))
        if self.to_scale_shift is not None:
            assert embedding is not None
            scale, shift = self.to_scale_shift(F.silu(embedding))[:, :, None, None, None].chunk(2, dim=1)
            y = y * (1 + scale) + shift
        y = F.silu(self.norm2(self.conv2(F.silu(y))))
        return y + self.shortcut(x)


class UpsampleNearest(nn.Module):
    """Each pixel repeated 2x2 times, then a convolution that mirrors the border."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels, 3, mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=(1.0, 2.0, 2.0)))


def _upsample(channels: int, kind: str) -> nn.Module:
    if kind == "nearest":
        return UpsampleNearest(channels)
    return nn.ConvTranspose3d(channels, channels, (1, 4, 4), (1, 2, 2), (0, 1, 1))


class Level(nn.Module):
    """One resolution: two blocks, attention within and among frames, then the change of resolution, if any."""

    def __init__(
        self, channels_in: int, channels_out: int, config: DiffusionConfig, *, embedding: int, resample: nn.Module
    ) -> None:
        super().__init__()
        attention = {"heads": config.heads, "head_dim": config.head_dim}
        self.block1 = ResNetBlock(channels_in, channels_out, embedding)
        self.block2 = ResNetBlock(channels_out, channels_out, embedding)
        self.spatial = LinearSpatialAttention(channels_out, **attention)
        self.temporal = TemporalAttention(channels_out, **attention)
        self.resample = resample

    def forward(self, x: Tensor, embedding: Tensor, positions: Positions) -> tuple[Tensor, Tensor]:
        """Returns the features before and after the change of resolution."""
        x = self.block2(self.block1(x, embedding), embedding)
        x = self.temporal(self.spatial(x), positions)
        return x, self.resample(x)


class FlowUNet(nn.Module):
    """Noise in a flow volume, given the photo's latent, the time step and a condition vector.

    Args:
        config: of the diffusion.
        latent_channels: of the photo's features, which are joined to every frame of the volume.
    """

    def __init__(self, config: DiffusionConfig, latent_channels: int) -> None:
        super().__init__()
        dim, self.dim = config.dim, config.dim
        widths = [dim, *(dim * multiplier for multiplier in config.multipliers)]
        embedding = 4 * dim + (0 if config.condition == "none" else config.condition_dim)
        attention = {"heads": config.heads, "head_dim": config.head_dim}
        last = len(config.multipliers) - 1
        level = partial(Level, config=config, embedding=embedding)
        self.positions = TimePositions(**attention)
        self.stem = _conv(FLOW_CHANNELS + latent_channels, dim, 7)
        self.stem_attention = TemporalAttention(dim, **attention)
        self.embed_time = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, 4 * dim))
        pairs = list(enumerate(pairwise(widths)))
        self.down = nn.ModuleList(
            level(a, b, resample=nn.Identity() if n == last else _conv(b, b, 4, stride=2)) for n, (a, b) in pairs
        )
        deepest = widths[-1]
        self.middle1 = ResNetBlock(deepest, deepest, embedding)
        self.middle_spatial = SpatialAttention(deepest, **attention)
        self.middle_temporal = TemporalAttention(deepest, **attention)
        self.middle2 = ResNetBlock(deepest, deepest, embedding)
        self.up = nn.ModuleList(
            level(2 * b, a, resample=nn.Identity() if n == 0 else _upsample(a, config.upsampling))
            for n, (a, b) in reversed(pairs)
        )
        self.flow_head = nn.Sequential(ResNetBlock(2 * dim, dim), _conv(dim, 2, 1))
        self.occlusion_head = nn.Sequential(ResNetBlock(2 * dim, dim), _conv(dim, 1, 1))

    def forward(self, volume: Tensor, times: Tensor, *, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        """Noisy volume ``[B, 3, T, h, w]``, steps ``[B]``, latent ``[B, C, h, w]``, condition ``[B, D]`` -> noise."""
        frames = volume.shape[2]
        positions = self.positions(frames)
        embedding = self.embed_time(sinusoids(times, self.dim).to(volume.dtype))
        if condition is not None:
            embedding = torch.cat([embedding, condition.to(embedding.dtype)], dim=1)
        x = stem = self.stem_attention(self._joined(volume, latent), positions)
        skips = []
        for level in self.down:
            skip, x = level(x, embedding, positions)
            skips.append(skip)
        x = self.middle_spatial(self.middle1(x, embedding))
        x = self.middle2(self.middle_temporal(x, positions), embedding)
        for level in self.up:
            _, x = level(torch.cat([x, skips.pop()], dim=1), embedding, positions)
        x = torch.cat([x, stem], dim=1)
        return torch.cat([self.flow_head(x), self.occlusion_head(x)], dim=1)

    def _joined(self, volume: Tensor, latent: Tensor) -> Tensor:
        """The stem of every frame joined with the latent, whose part of the sum is the same for all frames."""
        weight, padding = self.stem.weight, self.stem.padding
        still = F.conv3d(latent[:, :, None], weight[:, FLOW_CHANNELS:], padding=padding)
        return F.conv3d(volume, weight[:, :FLOW_CHANNELS], self.stem.bias, padding=padding) + still


def sinusoids(times: Tensor, channels: int) -> Tensor:
    """Sine and cosine of each step at frequencies from 1 to 1/10000: ``[B]`` -> ``[B, channels]``."""
    half = channels // 2
    frequencies = torch.exp(torch.arange(half, device=times.device) * (-math.log(10_000.0) / (half - 1)))
    angles = times.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
