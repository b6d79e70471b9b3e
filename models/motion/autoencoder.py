"""Autoencoders of spectral slices: one frequency's four channels to a small latent map and back.

What all of them offer is in `models.motion.slice_autoencoder`. :class:`SpectralAutoencoder` is the default KL
autoencoder; the paper's is in `models.motion.kl_autoencoder`, the pretrained one of the reference implementation in
`models.motion.vq_autoencoder`.

Motion is smooth inside objects and breaks at their edges. The latent map carries the smooth part; where the edges fall
can be read off the photo, so the decoder may look at it (``image_guided``), which the paper's does not: a slice is
decoded at a quarter of its size, and every pixel of the full size is a convex combination of the nine values around
it, with weights that a small network takes from the photo (RAFT's upsampling, Teed and Deng 2020, section 3.3).
All frequencies of a photo share the weights, so that an object's edge is the same edge in each of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.plain import Depth, Width
from models.motion.blocks import ResidualBlock, group_norm
from models.motion.slice_autoencoder import SLICE_CHANNELS, GaussianAutoencoder, SliceAutoencoder

PATCH = 4  # the first layer folds 4x4 patches and the last step undoes it: no convolution runs at full size


@dataclass(frozen=True)
class AutoencoderConfig:
    """Shape of a :class:`SpectralAutoencoder`."""

    latent_channels: Width = 4  # channels of the latent map
    channels: Width = 32  # width at 1/4 of the slice's size
    deep_channels: Width = 64  # width at 1/8
    blocks: Depth = 2  # residual blocks a level
    image_guided: bool = True  # whether the decoder sees the photo
    picture_channels: ClassVar[None] = None  # it encodes no photos

    def to_dict(self) -> dict:
        """Primitives for a checkpoint."""
        return asdict(self)

    def build(self, num_frequencies: int) -> SpectralAutoencoder:
        """The untrained autoencoder."""
        return SpectralAutoencoder(self, num_frequencies)


class SpectralAutoencoder(GaussianAutoencoder):
    """Encodes normalised slices ``[N, 4, H, W]`` as a Gaussian over ``[N, C, H/8, W/8]``, H and W multiples of 8."""

    downsampling = 8
    stages = ("autoencoder", "decoder")

    def __init__(self, config: AutoencoderConfig, num_frequencies: int) -> None:
        super().__init__(config.latent_channels, num_frequencies)
        self.config = config
        c, d = config.channels, config.deep_channels
        patch_channels = SLICE_CHANNELS * PATCH**2
        self.encode_in = nn.Conv2d(patch_channels, c, 3, padding=1)
        self.encode_fine = nn.ModuleList(ResidualBlock(c, c) for _ in range(config.blocks))
        self.encode_down = nn.Conv2d(c, d, 3, stride=2, padding=1)
        self.encode_deep = nn.ModuleList(ResidualBlock(d, d) for _ in range(config.blocks))
        self.encode_out = nn.Sequential(group_norm(d), nn.SiLU(), nn.Conv2d(d, 2 * config.latent_channels, 1))
        self.decode_in = nn.Conv2d(config.latent_channels, d, 3, padding=1)
        self.decode_deep = nn.ModuleList(ResidualBlock(d, d) for _ in range(config.blocks))
        self.decode_up = nn.Conv2d(d, c, 3, padding=1)
        self.decode_fine = nn.ModuleList(ResidualBlock(c, c) for _ in range(config.blocks))
        self.decode_out = nn.Sequential(group_norm(c), nn.SiLU(), nn.Conv2d(c, SLICE_CHANNELS, 3, padding=1))
        self.guide: nn.Module | None = None
        self.guide_weights: nn.Module | None = None
        if config.image_guided:
            self.guide = nn.Sequential(
                nn.Conv2d(3 * PATCH**2, d, 3, padding=1), *(ResidualBlock(d, d) for _ in range(3)), nn.Conv2d(d, c, 1)
            )
            self.guide_weights = nn.Sequential(group_norm(c), nn.SiLU(), nn.Conv2d(c, 9 * PATCH**2, 3, padding=1))

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Parameters of the decoder and of what it takes from the photo."""
        parts = [self.decode_in, self.decode_deep, self.decode_up, self.decode_fine, self.decode_out]
        guides = [part for part in (self.guide, self.guide_weights) if part is not None]
        return [parameter for part in (*parts, *guides) for parameter in part.parameters()]

    def encode_distribution(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, 4, H, W]`` normalised -> mean and log variance, each ``[N, C, H/8, W/8]``, not whitened."""
        self.check_size(slices)
        h = self.encode_in(F.pixel_unshuffle(slices, PATCH))
        for block in self.encode_fine:
            h = block(h)
        h = self.encode_down(h)
        for block in self.encode_deep:
            h = block(h)
        mean, log_variance = self.encode_out(h).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def guide_features(self, image: Tensor) -> Tensor | None:
        """What the decoder takes from photos ``[B, 3, H, W]``: ``[B, c, H/4, W/4]``, or None without guidance."""
        return None if self.guide is None else self.guide(F.pixel_unshuffle(image, PATCH))

    def decode_latent(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        """Latents ``[N, C, h, w]``, not whitened, and guide features ``[B, c, 2h, 2w]`` -> ``[N, 4, 8h, 8w]``.

        N is a multiple of B: slices of one photo lie together.
        """
        count = 1 if guide is None else latent.shape[0] // guide.shape[0]
        h = self.decode_in(latent)
        for block in self.decode_deep:
            h = block(h)
        h = self.decode_up(F.interpolate(h, scale_factor=2, mode="nearest"))
        if guide is not None:
            h = h + guide.repeat_interleave(count, dim=0)
        for block in self.decode_fine:
            h = block(h)
        coarse = self.decode_out(h).float()
        if guide is None or self.guide_weights is None:
            return F.interpolate(coarse, scale_factor=PATCH, mode="bilinear", align_corners=False)
        return convex_upsample(coarse, self.guide_weights(guide).float(), PATCH)


def convex_upsample(coarse: Tensor, weights: Tensor, factor: int) -> Tensor:
    """Enlarge maps so that every new pixel is a convex combination of the 3x3 old ones around it.

    Args:
        coarse: ``[N, C, h, w]``; edges are repeated.
        weights: logits ``[B, 9 factor^2, h, w]``, one set for the N / B maps of each group in ``coarse``.
        factor: whole number.

    Returns:
        ``[N, C, factor h, factor w]``, within the range of ``coarse``.
    """
    n, channels, height, width = coarse.shape
    groups = weights.shape[0]
    shares = weights.view(groups, 9, factor * factor, height * width).softmax(dim=1)
    padded = F.pad(coarse, (1, 1, 1, 1), mode="replicate").reshape(groups, -1, height + 2, width + 2)
    fine = padded.new_zeros(groups, padded.shape[1], factor * factor, height * width)
    for index in range(9):
        top, left = divmod(index, 3)
        shifted = padded[:, :, top : top + height, left : left + width].reshape(groups, -1, 1, height * width)
        fine = torch.addcmul(fine, shifted, shares[:, None, index])
    return F.pixel_shuffle(fine.reshape(n, channels * factor * factor, height, width), factor)


def autoencoder_loss(
    autoencoder: SliceAutoencoder,  # a trainable one
    slices: Tensor,  # [N, 4, H, W] normalised
    image: Tensor,  # [B, 3, H, W], N a multiple of B; slices of one photo lie together
    *,
    noise: Tensor,  # standard normal, like the latents [N, C, h, w]
    gradient_weight: float = 0.2,
    kl_weight: float = 1e-6,
) -> dict[str, Tensor]:
    """L1 + 0.2 multi-scale gradient + 1e-6 KL (the paper's supplement): the total and its parts as scalars."""
    if not isinstance(autoencoder, GaussianAutoencoder):
        raise ValueError(f"a {type(autoencoder).__name__} is pretrained and frozen: there is nothing to train")
    mean, log_variance = autoencoder.encode_distribution(slices)
    latent = mean + noise * (0.5 * log_variance).exp()
    decoded = autoencoder.decode_latent(latent, autoencoder.guide_features(image))
    l1 = (decoded - slices).abs().mean()
    gradient = multiscale_gradient_loss(decoded, slices)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return {"loss": l1 + gradient_weight * gradient + kl_weight * kl, "l1": l1, "gradient": gradient, "kl": kl}


def multiscale_gradient_loss(prediction: Tensor, target: Tensor, scales: int = 4) -> Tensor:
    """Mean absolute difference of the spatial gradients of ``[N, C, H, W]`` at ``scales`` octaves."""
    difference = prediction - target
    total = difference.new_zeros(())
    for scale in range(scales):
        if scale:
            difference = F.avg_pool2d(difference, 2)
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return total / scales
