"""Convolutional blocks of the flow autoencoder: 2D, batch normalisation, ReLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, ReLU; the size stays."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class DownBlock(ConvBlock):
    """A block, then the mean over 2x2 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward(x), 2)


class UpBlock(ConvBlock):
    """Each pixel repeated 2x2 times, then a block."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0))


class ResidualBlock(nn.Module):
    """Twice normalisation, ReLU and convolution, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class Hourglass(nn.Module):
    """Down ``blocks`` resolutions and up again, each joined with the activation of its size, the input at last.

    Args:
        channels_in: of the input, whose sides are multiples of ``2 ** blocks``.
        base: channels at full resolution; each block doubles them, up to ``most``.

    Attributes:
        channels_out: ``base + channels_in``.
    """

    def __init__(self, channels_in: int, base: int, *, blocks: int, most: int) -> None:
        super().__init__()
        widths = [min(most, base << level) for level in range(blocks + 1)]
        self.down = nn.ModuleList(
            DownBlock(channels_in if level == 0 else widths[level], widths[level + 1]) for level in range(blocks)
        )
        self.up = nn.ModuleList(  # the deepest first: it alone gets no activation joined
            UpBlock(widths[level + 1] * (1 if level == blocks - 1 else 2), widths[level])
            for level in reversed(range(blocks))
        )
        self.channels_out = base + channels_in

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, channels_out, H, W]``."""
        activations = [x]
        for block in self.down:
            activations.append(block(activations[-1]))
        x = activations.pop()
        for block in self.up:
            x = torch.cat([block(x), activations.pop()], dim=1)
        return x
