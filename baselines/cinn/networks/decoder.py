"""The video decoder: a photo and a code become the frames that follow the photo."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from baselines.cinn.config import VideoConfig
from baselines.cinn.networks.resnet import group_norm
from models.rendering.warping import resample

SLOPE = 0.2  # of the leaky rectifiers
PIXELS, BRIGHTNESS = 1.0, 0.2  # of displacement and correction in one unit of the last layer's output
PHOTO_CHANNELS = 128  # of the features from which scale and shift of each place are made


class SpatialNorm(nn.Module):
    """Group normalisation whose scale and shift come from the photo, place by place (SPADE; the same at all times)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, affine=False)
        self.conv = nn.Conv2d(3, PHOTO_CHANNELS, 3, padding=1)
        self.gamma = nn.Conv2d(PHOTO_CHANNELS, channels, 3, padding=1)
        self.beta = nn.Conv2d(PHOTO_CHANNELS, channels, 3, padding=1)
        for convolution in (self.conv, self.gamma, self.beta):
            nn.init.xavier_uniform_(convolution.weight, gain=0.02)

    def forward(self, x: Tensor, photo: Tensor) -> Tensor:
        """``[B, C, T, h, w]`` and the photo ``[B, 3, H, W]`` -> ``[B, C, T, h, w]``."""
        small = F.interpolate(photo, size=x.shape[-2:], mode="bilinear", align_corners=False)
        features = F.leaky_relu(self.conv(small), SLOPE)
        return self.norm(x) * (1 + self.gamma(features)).unsqueeze(2) + self.beta(features).unsqueeze(2)


class CodeNorm(nn.Module):
    """Instance normalisation whose scale and shift are linear in the code (AdaIN)."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm3d(channels)
        self.linear = nn.Linear(code, 2 * channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """``[B, C, T, h, w]`` and ``[B, code]`` -> ``[B, C, T, h, w]``."""
        gamma, beta = self.linear(code)[..., None, None, None].chunk(2, dim=1)
        return gamma * self.norm(x) + beta


class DecoderBlock(nn.Module):
    """``skip(x) + conv(lrelu(AdaIN(conv(lrelu(SPADE(x))))))`` with spectral normalisation of the convolutions."""

    def __init__(self, before: int, after: int, code: int) -> None:
        super().__init__()
        middle = min(before, after)
        self.norm_0 = SpatialNorm(before)
        self.conv_0 = spectral_norm(nn.Conv3d(before, middle, 3, padding=1))
        self.norm_1 = CodeNorm(middle, code)
        self.conv_1 = spectral_norm(nn.Conv3d(middle, after, 3, padding=1))
        self.skip: nn.Module = nn.Identity()
        if before != after:
            self.skip = nn.Sequential(group_norm(before), spectral_norm(nn.Conv3d(before, after, 1, bias=False)))

    def forward(self, x: Tensor, photo: Tensor, code: Tensor) -> Tensor:
        """``[B, before, T, h, w]`` -> ``[B, after, T, h, w]``."""
        y = self.conv_0(F.leaky_relu(self.norm_0(x, photo), SLOPE))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, code), SLOPE))
        return self.skip(x) + y


class VideoDecoder(nn.Module):
    """G(x0, z): a small map made of the code grows through blocks that are told of photo and code."""

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.config = config
        channels = tuple(factor * config.width for factor in (16, 16, 8, 4, 2, 1))
        height, width = config.base
        self.fc = nn.Linear(config.code, channels[0] * height * width)
        self.head = DecoderBlock(channels[0], channels[0], config.code)
        self.blocks = nn.ModuleList(DecoderBlock(before, after, config.code) for before, after in pairwise(channels))
        self.out = nn.Conv3d(channels[-1], 3 if config.start == "noise" else 5, 3, padding=1)
        if config.start == "photo":
            for parameter in self.out.parameters():
                nn.init.zeros_(parameter)

    def forward(self, photo: Tensor, code: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in [-1, 1] and ``[B, code]`` -> the T frames that follow, ``[B, T, 3, H, W]``.

        Raises:
            ValueError: a photo of another size than the configuration's.
        """
        if photo.shape[-2:] != self.config.size[::-1]:
            width, height = self.config.size
            raise ValueError(
                f"the decoder is made for photos of {width}x{height}, got {photo.shape[-1]}x{photo.shape[-2]}"
            )
        x = self.fc(code).view(len(code), -1, 1, *self.config.base)
        x = self.head(x, photo, code)
        for block, space, time in zip(self.blocks, self.config.decoder_space, self.config.decoder_time, strict=True):
            if space * time > 1:
                x = F.interpolate(x, scale_factor=(time, space, space), mode="nearest")
            x = block(x, photo, code)
        drawn = self.out(F.leaky_relu(x, SLOPE)).transpose(1, 2)
        if self.config.start == "noise":
            return drawn.tanh()
        displacement, correction = drawn.split((2, 3), dim=2)
        frames = moved(photo, PIXELS * displacement) + BRIGHTNESS * correction
        # In training the sum is left as it is: cut off, what is too bright or too dark would have no gradient.
        return frames if self.training else frames.clamp(-1, 1)


def moved(photo: Tensor, displacement: Tensor) -> Tensor:
    """The photo ``[B, 3, H, W]`` seen at each pixel as it is ``displacement [B, T, 2, H, W]`` away, (x, y) in pixels.

    Returns ``[B, T, 3, H, W]``; outside the photo its border goes on.
    """
    batch, frames = displacement.shape[:2]
    photos = photo[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
    return resample(photos, -displacement.flatten(0, 1), "bilinear").unflatten(0, (batch, frames))
