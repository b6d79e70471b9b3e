"""The paper's autoencoder of spectral slices, as far as its supplement describes it, from our own layers.

The supplement gives 4 latent channels, a base width of 128 and multipliers 1, 2, 4; the rest follows latent diffusion's
autoencoder (Rombach et al. 2022): two residual blocks a level, one more in the decoder, attention in the middle.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from common.plain import Depth, Multipliers, Width
from models.motion.blocks import ResidualBlock, SpatialAttention, group_norm
from models.motion.slice_autoencoder import SLICE_CHANNELS, GaussianAutoencoder


@dataclass(frozen=True)
class KLAutoencoderConfig:
    """Shape of a :class:`KLAutoencoder`."""

    latent_channels: Width = 4
    channels: Width = 128  # width at the slice's own size
    multipliers: Multipliers = (1, 2, 4)  # width of each level, halving the resolution in between
    blocks: Depth = 2  # residual blocks a level; the decoder has one more
    head_channels: Width = 64  # width of the heads of the attention in the middle
    picture_channels: ClassVar[None] = None  # it encodes no photos

    def to_dict(self) -> dict:
        """Primitives for a checkpoint."""
        return asdict(self)

    def build(self, num_frequencies: int) -> KLAutoencoder:
        """The untrained autoencoder."""
        return KLAutoencoder(self, num_frequencies)


class Upsample(nn.Module):
    """Twice the resolution: nearest neighbours, then a 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in, h, w] -> [N, out, 2h, 2w]``."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class KLAutoencoder(GaussianAutoencoder):
    """Encodes normalised slices ``[N, 4, H, W]`` as a Gaussian over ``[N, C, H/f, W/f]``, f = 2^(levels - 1).

    Its widest layers run at the slice's own size, so slices are encoded and decoded a few at a time.
    """

    stages = ("autoencoder",)
    slices_at_once = 4
    gradient_slices = 1

    def __init__(self, config: KLAutoencoderConfig, num_frequencies: int) -> None:
        super().__init__(config.latent_channels, num_frequencies)
        self.config = config
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        self.downsampling = 2 ** (len(widths) - 1)
        deepest = widths[-1]

        encoder: list[nn.Module] = [nn.Conv2d(SLICE_CHANNELS, widths[0], 3, padding=1)]
        for level, width in enumerate(widths):
            if level:
                encoder.append(nn.Conv2d(widths[level - 1], width, 3, stride=2, padding=1))
            encoder += [ResidualBlock(width, width) for _ in range(config.blocks)]
        encoder += [*self._middle(deepest), group_norm(deepest), nn.SiLU()]
        self.encode_layers = nn.Sequential(*encoder, nn.Conv2d(deepest, 2 * config.latent_channels, 3, padding=1))

        decoder: list[nn.Module] = [nn.Conv2d(config.latent_channels, deepest, 3, padding=1), *self._middle(deepest)]
        for level in reversed(range(len(widths))):
            decoder += [ResidualBlock(widths[level], widths[level]) for _ in range(config.blocks + 1)]
            if level:
                decoder.append(Upsample(widths[level], widths[level - 1]))
        decoder += [group_norm(widths[0]), nn.SiLU()]
        self.decode_layers = nn.Sequential(*decoder, nn.Conv2d(widths[0], SLICE_CHANNELS, 3, padding=1))

    def _middle(self, channels: int) -> list[nn.Module]:
        attention = SpatialAttention(channels, self.config.head_channels)
        return [ResidualBlock(channels, channels), attention, ResidualBlock(channels, channels)]

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Parameters of the decoder."""
        return list(self.decode_layers.parameters())

    def encode_distribution(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, 4, H, W]`` normalised -> mean and log variance, each ``[N, C, H/f, W/f]``, not whitened."""
        self.check_size(slices)
        mean, log_variance = self.encode_layers(slices).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def decode_latent(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        """Latents ``[N, C, h, w]``, not whitened -> ``[N, 4, f h, f w]``; it looks at no photo."""
        return self.decode_layers(latent).float()
