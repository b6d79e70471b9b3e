"""What all autoencoders of spectral slices offer: latents of one frequency's four channels and back, in parts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

SLICE_CHANNELS = 4  # Re x, Re y, Im x, Im y


class SliceAutoencoder(nn.Module):
    """What every autoencoder of normalised slices offers: volumes to whitened latents and back, in bounded memory.

    Latents are whitened with ``latent_mean`` and ``latent_std``, one value a frequency and channel, measured on the
    training set after the autoencoder is trained (:meth:`set_latent_statistics`); until then whitening does nothing.
    A subclass gives :meth:`encode_slices`, :meth:`decode_latent` and, where its decoder looks at the photo,
    :meth:`guide_features`.
    """

    downsampling: int  # side of a slice over side of its latent map
    stages: tuple[str, ...] = ()  # stages of training that it has of its own; none: it is pretrained and frozen
    slices_at_once: int | None = None  # encoded or decoded together; None: all
    gradient_slices = 4  # decoded together while gradients are recorded: see decode_for_gradient

    def __init__(self, latent_channels: int, num_frequencies: int) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.register_buffer("latent_mean", torch.zeros(num_frequencies, latent_channels))
        self.register_buffer("latent_std", torch.ones(num_frequencies, latent_channels))
        self.latent_mean: Tensor
        self.latent_std: Tensor

    @property
    def trainable(self) -> bool:
        """Whether training has a stage for it."""
        return bool(self.stages)

    def encode_slices(self, slices: Tensor) -> Tensor:
        """Normalised slices ``[N, 4, H, W]`` -> latents ``[N, C, h, w]``, not whitened."""
        raise NotImplementedError

    def guide_features(self, image: Tensor) -> Tensor | None:
        """What the decoder takes from photos ``[B, 3, H, W]``: a map each, or None where it sees none."""
        return None

    def decode_latent(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        """Latents ``[N, C, h, w]``, not whitened, and the guide of B photos -> ``[N, 4, H, W]``.

        N is a multiple of B: slices of one photo lie together.
        """
        raise NotImplementedError

    def encode_image(self, image: Tensor) -> Tensor:
        """Photos ``[B, 3, H, W]`` in [-1, 1] -> latents ``[B, c, h, w]``, where an autoencoder takes pictures."""
        raise ValueError(f"a {type(self).__name__} encodes spectral slices, not pictures; a VQAutoencoder does both")

    def load_frozen_weights(self) -> None:
        """Fetch pretrained weights; only an autoencoder that training never touches has any."""

    def decoder_parameters(self) -> list[nn.Parameter]:
        """What the decoder's own stage of training changes: everything that the latents do not depend on."""
        raise NotImplementedError

    def encode(self, normalized: Tensor, frequency_index: Tensor | None = None) -> Tensor:
        """Normalised volume ``[B, K, 4, H, W]`` -> whitened latents ``[B, K, C, h, w]``.

        Args:
            frequency_index: [B, K] which frequency each slice is; by default slice k is frequency k.
        """
        batch, count = normalized.shape[:2]
        parts = normalized.flatten(0, 1).split(self.slices_at_once or batch * count)
        latents = torch.cat([self.encode_slices(part) for part in parts])
        center, spread = self._statistics(batch, count, frequency_index)
        return (latents.unflatten(0, (batch, count)) - center) / spread

    def decode(self, latents: Tensor, image: Tensor | None = None) -> Tensor:
        """Whitened latents ``[B, K, C, h, w]`` and photos ``[B, 3, H, W]`` -> ``[B, K, 4, H, W]``."""
        batch, count = latents.shape[:2]
        guide = None if image is None else self.guide_features(image)
        colored = self._colored(latents)
        if self.slices_at_once is None:
            return self.decode_latent(colored.flatten(0, 1), guide).unflatten(0, (batch, count))
        return self._decode_in_parts(colored, guide, self.slices_at_once, self.decode_latent)

    def decode_for_gradient(self, latents: Tensor, image: Tensor | None = None) -> Tensor:
        """:meth:`decode`, for gradients with respect to the latents (not the weights) in bounded memory.

        Photos are decoded one by one, ``gradient_slices`` frequencies at a time. Of each part only its latents are
        kept; the backward pass decodes it again. So memory holds the intermediate values of one part, however many
        frequencies and photos there are, at the price of decoding twice.
        """
        with torch.no_grad():
            guide = None if image is None else self.guide_features(image)

        def run(latent: Tensor, guide: Tensor | None) -> Tensor:
            return checkpoint(self.decode_latent, latent, guide, use_reentrant=False, preserve_rng_state=False)

        return self._decode_in_parts(self._colored(latents), guide, self.gradient_slices, run)

    def set_latent_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Fix the whitening, ``[K, C]`` each."""
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std.clamp_min(1e-4))

    def _colored(self, latents: Tensor) -> Tensor:
        """Undo the whitening of all K frequencies."""
        center, spread = self._statistics(latents.shape[0], latents.shape[1], None)
        return latents * spread + center

    def _decode_in_parts(
        self, latents: Tensor, guide: Tensor | None, size: int, run: Callable[[Tensor, Tensor | None], Tensor]
    ) -> Tensor:
        """Decode ``[B, K, C, h, w]`` photo by photo, ``size`` slices at a time, by ``run(latent, guide)``."""
        volumes = []
        for index, latent in enumerate(latents):
            own = None if guide is None else guide[index : index + 1]
            volumes.append(torch.cat([run(part, own) for part in latent.split(size)]))
        return torch.stack(volumes)

    def _statistics(self, batch: int, count: int, frequency_index: Tensor | None) -> tuple[Tensor, Tensor]:
        if frequency_index is None:
            frequency_index = torch.arange(count, device=self.latent_mean.device).expand(batch, count)
        return self.latent_mean[frequency_index][..., None, None], self.latent_std[frequency_index][..., None, None]


class GaussianAutoencoder(SliceAutoencoder):
    """An autoencoder that is trained on slices: its encoder gives a Gaussian, whose mean is the latent."""

    def encode_distribution(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised slices ``[N, 4, H, W]`` -> mean and log variance, each ``[N, C, h, w]``, not whitened."""
        raise NotImplementedError

    def encode_slices(self, slices: Tensor) -> Tensor:
        """The distribution's mean."""
        return self.encode_distribution(slices)[0]

    def check_size(self, slices: Tensor) -> None:
        """Refuse sides that the latent map can't represent."""
        height, width = slices.shape[-2:]
        factor = self.downsampling
        if height % factor or width % factor:
            raise ValueError(f"slices of {width}x{height} can't be encoded: both sides must be multiples of {factor}")
