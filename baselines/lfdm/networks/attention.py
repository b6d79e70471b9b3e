"""Attention over frames and over pixels of a video's features ``[B, C, T, h, w]``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ROTARY_BASE = 10_000.0
BUCKETS = 32  # of distances in time
MOST_DISTANT = 32  # frames from which on distances share the last bucket


class ChannelNorm(nn.Module):
    """Normalisation over the channels of each pixel, with a gain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=1, unbiased=False, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.gain.view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Positions:
    """What attention among T frames is told of time."""

    bias: Tensor  # [heads, T, T], added to the logits
    angles: Tensor  # [T, head_dim / 2], by which pairs of channels of queries and keys are turned


class TimePositions(nn.Module):
    """Positions in time, shared by all temporal attention of a network.

    A learned number for each distance and head (T5, both directions), and rotary frequencies, which are not trained.
    """

    def __init__(self, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(BUCKETS, heads)
        channels = torch.arange(0, head_dim, 2, dtype=torch.float32)
        self.frequencies = nn.Parameter(ROTARY_BASE ** (-channels / head_dim), requires_grad=False)

    def forward(self, frames: int) -> Positions:
        times = torch.arange(frames, device=self.frequencies.device)
        bias = self.table(distance_buckets(times[:, None] - times[None, :])).permute(2, 0, 1)
        return Positions(bias, times[:, None] * self.frequencies)


def distance_buckets(distances: Tensor) -> Tensor:
    """Bucket of each distance "query minus key": exact up to 7 frames, then logarithmic; the future in its own half."""
    half = BUCKETS // 2
    exact = half // 2
    size = distances.abs()
    growth = torch.log(size.clamp_min(1) / exact) / math.log(MOST_DISTANT / exact)
    logarithmic = exact + (growth * (half - exact)).long().clamp(max=half - exact - 1)
    return torch.where(size < exact, size, logarithmic) + half * (distances < 0)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary position embedding of ``[..., T, D]``: neighbouring channels are turned by ``angles [T, D / 2]``."""
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


class Attention(nn.Module):
    """Multi-head attention over the middle axis of ``[N, L, C]``."""

    def __init__(self, channels: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_dim**-0.5
        self.to_qkv = nn.Linear(channels, 3 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, channels, bias=False)

    def forward(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        q = q * self.scale
        if positions is not None:
            q, k = rotate(q, positions.angles), rotate(k, positions.angles)
        # Plain products: on a CPU the fused kernel's backward pass is slower for sequences this short.
        logits = q @ k.transpose(-1, -2)
        logits = logits if positions is None else logits + positions.bias
        out = logits.softmax(dim=-1) @ v
        return self.to_out(out.transpose(1, 2).flatten(2))


class TemporalAttention(nn.Module):
    """Residual attention among the frames at each pixel, told of their :class:`Positions`."""

    def __init__(self, channels: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.attention = Attention(channels, heads=heads, head_dim=head_dim)

    def forward(self, x: Tensor, positions: Positions) -> Tensor:
        batch, _, _, height, width = x.shape
        sequences = self.norm(x).permute(0, 3, 4, 2, 1).flatten(0, 2)
        out = self.attention(sequences, positions).unflatten(0, (batch, height, width))
        return x + out.permute(0, 4, 3, 1, 2)


class SpatialAttention(nn.Module):
    """Residual attention among the pixels of each frame."""

    def __init__(self, channels: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.attention = Attention(channels, heads=heads, head_dim=head_dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, frames, height, width = x.shape
        sequences = self.norm(x).permute(0, 2, 3, 4, 1).flatten(2, 3).flatten(0, 1)
        out = self.attention(sequences).unflatten(0, (batch, frames)).unflatten(2, (height, width))
        return x + out.permute(0, 4, 1, 2, 3)


class LinearSpatialAttention(nn.Module):
    """Residual attention among the pixels of each frame at linear cost: keys are summed up before queries look."""

    def __init__(self, channels: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_dim**-0.5
        self.norm = ChannelNorm(channels)
        self.to_qkv = nn.Conv3d(channels, 3 * heads * head_dim, 1, bias=False)
        self.to_out = nn.Conv3d(heads * head_dim, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        qkv = self.to_qkv(self.norm(x)).unflatten(1, (3, self.heads, -1)).flatten(-2)
        q, k, v = qkv.permute(1, 0, 4, 2, 3, 5).unbind()  # [B, T, heads, D, pixels]
        q, k = q.softmax(dim=-2) * self.scale, k.softmax(dim=-1)
        out = (k @ v.transpose(-1, -2)).transpose(-1, -2) @ q
        out = out.flatten(2, 3).transpose(1, 2).unflatten(-1, (height, width))
        return x + self.to_out(out)
