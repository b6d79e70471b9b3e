"""The denoiser: a 2D U-Net over latent slices with frequency embedding, image condition and frequency attention.

Each slice passes the 2D layers alone (the batch is B x K); frequency attention after each of them lets the K slices of
one photo agree (paper section 4.2). Its output layers start at zero, so adding it to a U-Net trained on single
slices changes nothing until it is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.plain import Depth, Multipliers, Share, Width
from models.motion.blocks import Attention, ResidualBlock, SpatialAttention, group_norm, sinusoidal_embedding
from models.motion.denoiser import AutoencoderConfiguration, Denoiser
from models.motion.image_encoder import EfficientNetLite0

IMAGE_ENCODERS = ("efficientnet_lite0", "resnet", "none")
CONDITION_ENTRIES = ("levels", "input")
LEAST_TOLD = 0.01  # pixels; weaker motion is told apart by no network
PIXEL_PATCH = 8  # photos are folded to the latents' resolution


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a :class:`SpectralUNet`."""

    channels: Width = 48  # width at the latents' resolution
    multipliers: Multipliers = (1, 2, 3)  # width of each level, halving the resolution in between
    blocks: Depth = 2  # residual blocks a level
    attention_levels: tuple[Depth, ...] = (1, 2)  # levels with attention over positions
    head_channels: Width = 24
    condition_channels: Width = 96  # channels of the image condition
    image_encoder: str = "efficientnet_lite0"  # one of IMAGE_ENCODERS; resnet is trained, the others add pixels
    condition_entry: str = "levels"  # added at each level on the way down, or concatenated to the input
    dropout: Share = 0.1  # probability of dropping a whole channel of the image condition
    wind: bool = False  # the motion's strength is divided out of what is learned, and told to the network

    def __post_init__(self) -> None:
        if self.image_encoder not in IMAGE_ENCODERS:
            raise ValueError(
                f"unknown image encoder {self.image_encoder!r}, expected one of {', '.join(IMAGE_ENCODERS)}"
            )
        if self.condition_entry not in CONDITION_ENTRIES:
            expected = ", ".join(CONDITION_ENTRIES)
            raise ValueError(f"unknown condition entry {self.condition_entry!r}, expected one of {expected}")

    def to_dict(self) -> dict:
        """Primitives for a checkpoint."""
        return asdict(self)

    def check(self, *, joint: bool, autoencoder: AutoencoderConfiguration) -> None:
        """Nothing is refused: the network takes any latents, joint or not."""

    def build(
        self, *, num_frequencies: int, latent_channels: int, joint: bool, image_downsampling: int
    ) -> SpectralUNet:
        """The untrained network."""
        return SpectralUNet(
            self, num_frequencies, latent_channels=latent_channels, joint=joint, image_downsampling=image_downsampling
        )


class ImageCondition(nn.Module):
    """Photo -> condition map at the latents' resolution, computed once however many slices and steps follow."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        channels = config.condition_channels
        self.pixels = nn.Conv2d(3 * PIXEL_PATCH**2, channels // 2, 1)
        self.encoder: EfficientNetLite0 | None = None
        widths: tuple[int, ...] = ()
        if config.image_encoder == "efficientnet_lite0":
            self.encoder = EfficientNetLite0()
            widths = EfficientNetLite0.feature_channels
        self.projections = nn.ModuleList(nn.Conv2d(width, channels // 2, 1) for width in widths)
        joined = channels // 2 * (1 + len(widths))
        self.join = nn.Sequential(
            nn.Conv2d(joined, channels, 1),
            ResidualBlock(channels, channels, dropout=config.dropout),
            ResidualBlock(channels, channels, dropout=config.dropout),
        )

    def forward(self, image: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [-1, 1], sides multiples of 8 -> ``[B, condition_channels, H/8, W/8]``."""
        maps = [self.pixels(F.pixel_unshuffle(image, PIXEL_PATCH))]
        size = maps[0].shape[-2:]
        if self.encoder is not None:
            for projection, feature in zip(self.projections, self.encoder(image), strict=True):
                # Each position's features to unit scale: the layers of the encoder differ tenfold.
                feature = F.layer_norm(feature.movedim(1, -1), feature.shape[1:2]).movedim(-1, 1)
                maps.append(_resample(projection(feature), size))
        return self.join(torch.cat(maps, dim=1))


class ResNetCondition(nn.Module):
    """Photo -> condition map at the latents' resolution by a small ResNet trained with the U-Net (the paper's)."""

    encoder = None  # no pretrained one

    def __init__(self, config: UNetConfig, downsampling: int) -> None:
        super().__init__()
        width = config.channels // 4
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), ResidualBlock(width, width)]
        for _ in range(downsampling.bit_length() - 1):
            layers.append(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1))
            width *= 2
            layers.append(ResidualBlock(width, width, dropout=config.dropout))
        self.layers = nn.Sequential(*layers, group_norm(width), nn.SiLU())
        self.project = nn.Conv2d(width, config.condition_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [-1, 1] -> ``[B, condition_channels, H/f, W/f]``, f the autoencoder's downsampling."""
        return self.project(self.layers(image))


class FrequencyAttention(nn.Module):
    """Self-attention across the K frequencies at each position, added to its input."""

    def __init__(self, channels: int, num_frequencies: int, head_channels: int) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        # Without scale and shift: the projection that follows has its own, and in the second stage, where nothing
        # before the first of these layers trains, torch 2.11's channels-last backward for them alone crashes on a CPU.
        self.norm = group_norm(channels, affine=False)
        self.position = nn.Parameter(torch.zeros(num_frequencies, channels))
        self.attention = Attention(channels, head_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[B K, C, h, w] -> [B K, C, h, w]``."""
        n, channels, height, width = x.shape
        tokens = self.norm(x).view(-1, self.num_frequencies, channels, height * width)
        tokens = tokens.permute(0, 3, 1, 2).reshape(-1, self.num_frequencies, channels) + self.position
        out = self.attention(tokens).view(-1, height * width, self.num_frequencies, channels)
        return x + out.permute(0, 2, 3, 1).reshape(n, channels, height, width)


class UNetBlock(nn.Module):
    """One residual block with its level's attention over positions and, unless the model is joint, frequencies."""

    def __init__(
        self,
        config: UNetConfig,
        *,
        num_frequencies: int,
        in_channels: int,
        level: int,
        embedding_channels: int,
        joint: bool,
    ) -> None:
        super().__init__()
        channels = config.channels * config.multipliers[level]
        self.residual = ResidualBlock(in_channels, channels, embedding_channels)
        has_attention = level in config.attention_levels
        self.spatial = SpatialAttention(channels, config.head_channels) if has_attention else None
        self.frequency = None if joint else FrequencyAttention(channels, num_frequencies, config.head_channels)

    def forward(self, x: Tensor, embedding: Tensor, frequency_attention: bool) -> Tensor:
        """``[N, in, h, w]``, ``[N, E]`` -> ``[N, out, h, w]``, with or without frequency attention."""
        x = self.residual(x, embedding)
        if self.spatial is not None:
            x = self.spatial(x)
        return self.frequency(x) if frequency_attention and self.frequency is not None else x


class SpectralUNet(Denoiser):
    """Predicts the diffusion target of noisy latent slices, given timestep, frequency and photo.

    With ``joint`` the slices of a photo are one tensor of K C channels instead, which passes the 2D layers at
    once: without frequency embedding and frequency attention, the "4K-channel" row of the paper's Table 2.
    """

    def __init__(
        self,
        config: UNetConfig,
        num_frequencies: int,
        *,
        latent_channels: int,
        joint: bool = False,
        image_downsampling: int = PIXEL_PATCH,  # side of a photo over side of its latents
    ) -> None:
        super().__init__()
        self.config = config
        self.num_frequencies = num_frequencies
        self.joint = joint
        embedding = 4 * config.channels
        self.time_embedding = nn.Sequential(
            nn.Linear(config.channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.frequency_embedding: nn.Module | None = None
        if not joint:
            self.frequency_embedding = nn.Sequential(
                nn.Linear(config.channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
            )
        self.strength_embedding: nn.Sequential | None = None
        if config.wind:
            self.strength_embedding = nn.Sequential(nn.Linear(1, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
            for parameter in self.strength_embedding[-1].parameters():
                nn.init.zeros_(parameter)  # a network trained without it is not changed by it
        self.condition: ImageCondition | ResNetCondition
        if config.image_encoder == "resnet":
            self.condition = ResNetCondition(config, image_downsampling)
        else:
            self.condition = ImageCondition(config)
        widths = [config.channels * m for m in config.multipliers]
        levels = range(len(widths))

        def block(in_channels: int, level: int) -> UNetBlock:
            return UNetBlock(
                config,
                num_frequencies=num_frequencies,
                in_channels=in_channels,
                level=level,
                embedding_channels=embedding,
                joint=joint,
            )

        channels = latent_channels * num_frequencies if joint else latent_channels
        self.condition_in: nn.ModuleList | None = None
        if config.condition_entry == "levels":
            self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
            # The photo enters each level of the way down at that level's resolution.
            self.condition_in = nn.ModuleList(nn.Conv2d(config.condition_channels, width, 1) for width in widths)
        else:
            self.conv_in = nn.Conv2d(channels + config.condition_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.ModuleList(block(widths[level], level) for _ in range(config.blocks)) for level in levels
        )
        self.downsample = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 3, stride=2, padding=1) for level in levels[:-1]
        )
        self.middle = nn.ModuleList(block(widths[-1], levels[-1]) for _ in range(2))
        self.up = nn.ModuleList(
            nn.ModuleList(block(2 * widths[level], level) for _ in range(config.blocks)) for level in levels
        )
        self.upsample = nn.ModuleList(
            nn.Conv2d(widths[level + 1], widths[level], 3, padding=1) for level in levels[:-1]
        )
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)

    @property
    def downsampling(self) -> int:
        """Both sides of the latents must be multiples of this."""
        return 2 ** (len(self.config.multipliers) - 1)

    @property
    def image_encoder(self) -> EfficientNetLite0 | None:
        """The pretrained, frozen encoder inside the condition, where the configuration has one."""
        return self.condition.encoder

    def encode_condition(self, image: Tensor, *, encode_image: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Condition map of photos, ``[B, 3, H, W] -> [B, C, h, w]``; zeros mean no photo."""
        return self.condition(image)

    def forward(
        self,
        latents: Tensor,  # [B, K, C, h, w] noisy
        timestep: Tensor,  # [B], the same for all frequencies of a photo
        frequency_index: Tensor,  # [B, K] whole numbers
        condition: Tensor,  # [B, condition_channels, h, w] from encode_condition, or zeros
        frequency_attention: bool = True,  # whether it takes part; K must then be all frequencies in order
        strength: Tensor | None = None,  # [B] in pixels, for a network that is told it
    ) -> Tensor:
        """The prediction, ``[B, K, C, h, w]``; a joint network too wants all K frequencies in order."""
        shape = latents.shape[:3]
        if (frequency_attention or self.joint) and shape[1] != self.num_frequencies:
            what = "a joint network" if self.joint else "frequency attention"
            raise ValueError(f"{what} needs all {self.num_frequencies} frequencies, got {shape[1]}")
        count = 1 if self.joint else shape[1]  # pictures of each photo that pass the 2D layers
        embedding = self._embedding(timestep, frequency_index, count)
        if self.strength_embedding is not None:
            if strength is None:
                raise ValueError("this network needs the strength of the motion")
            told = self.strength_embedding(strength.clamp_min(LEAST_TOLD).log()[:, None].to(embedding.dtype))
            embedding = embedding + told.repeat_interleave(count, dim=0)

        x = latents.reshape(shape[0] * count, -1, *latents.shape[3:])
        if self.condition_in is None:
            entering = _resample(condition, x.shape[-2:]).to(x.dtype)
            x = torch.cat([x, entering.repeat_interleave(count, dim=0)], dim=1)
        x = self.conv_in(x)
        skips: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            if level:
                x = self.downsample[level - 1](x)
            if self.condition_in is not None:
                entering = self.condition_in[level](_resample(condition, x.shape[-2:]))
                x = x + entering.repeat_interleave(count, dim=0)
            for block in cast(nn.ModuleList, blocks):
                x = block(x, embedding, frequency_attention)
                skips.append(x)
        for block in self.middle:
            x = block(x, embedding, frequency_attention)
        for level in reversed(range(len(self.up))):
            if level < len(self.up) - 1:
                x = F.interpolate(x, size=skips[-1].shape[-2:], mode="nearest")
                x = self.upsample[level](x)
            for block in cast(nn.ModuleList, self.up[level]):
                x = block(torch.cat([x, skips.pop()], dim=1), embedding, frequency_attention)
        output = self.conv_out(F.silu(self.norm_out(x))).float()
        return output.reshape(*shape, *output.shape[2:])

    def _embedding(self, timestep: Tensor, frequency_index: Tensor, count: int) -> Tensor:
        """Embedding of timestep and frequency, ``[B] and [B, K] -> [B K, E]``; of the timestep alone ``[B, E]``."""
        time = self.time_embedding(sinusoidal_embedding(timestep, self.config.channels))
        if self.frequency_embedding is None:
            return time
        # Indices are spread over the range for which the sinusoids are made.
        scaled_index = frequency_index.flatten() * (1000.0 / self.num_frequencies)
        frequency = self.frequency_embedding(sinusoidal_embedding(scaled_index, self.config.channels))
        return time.repeat_interleave(count, dim=0) + frequency

    def frequency_parameters(self) -> list[nn.Parameter]:
        """Parameters of the frequency attention layers: what the stage ``frequency_attention`` trains."""
        layers = [module for module in self.modules() if isinstance(module, FrequencyAttention)]
        return [parameter for layer in layers for parameter in layer.parameters()]


def _resample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bring a feature map to a size: averaged when it shrinks, bilinear when it grows."""
    height, width = size
    if x.shape[-2:] == (height, width):
        return x
    if x.shape[-2] > height:
        return F.adaptive_avg_pool2d(x, (height, width))
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)
