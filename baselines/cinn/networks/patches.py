"""The spatial discriminator: judges patches of 70 pixels of single frames."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from baselines.cinn.networks.flow import ActNorm


class PatchDiscriminator(nn.Module):
    """Five 4x4 convolutions with spectral normalisation, ActNorm in place of batch normalisation between them."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels, 8 * channels, 1)
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(widths)):
            inner = 0 < number < 4
            # An ActNorm has its own shift.
            convolution = nn.Conv2d(before, after, 4, stride=2 if number < 3 else 1, padding=1, bias=not inner)
            nn.init.normal_(convolution.weight, std=0.02)
            layers.append(spectral_norm(convolution))
            if inner:
                layers.append(ActNorm(after))
            if number < 4:
                layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor) -> Tensor:
        """``[N, 3, H, W]`` in [-1, 1] -> logits of patches ``[N, 1, h, w]``: 14x14 for 128 pixels, 6x6 for 64."""
        x = frames
        for layer in self.layers:
            x = layer(x)[0] if isinstance(layer, ActNorm) else layer(x)
        return x


def frame_choice(frames: int, count: int, generator: torch.Generator) -> Tensor:
    """Indices of at most ``count`` different ones of so many frames, int64 ``[min(frames, count)]``."""
    return torch.randperm(frames, generator=generator)[:count]
