"""What the motion model asks of its networks and their configurations.

A network of a new kind derives from :class:`Denoiser` or `models.motion.autoencoder.SliceAutoencoder`, brings a
configuration that fits the protocol below, and gets a name in `models.motion.config`. Nothing else has to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from models.motion.slice_autoencoder import SliceAutoencoder


class Denoiser(nn.Module):
    """Predicts the diffusion target of noisy latent slices, given timestep, frequency and photo."""

    @property
    def downsampling(self) -> int:
        """Both sides of the latents must be multiples of this."""
        raise NotImplementedError

    @property
    def image_encoder(self) -> nn.Module | None:
        """A pretrained, frozen encoder of photos inside the network, where it has one."""
        return None

    def forward(
        self,
        latents: Tensor,  # [B, K, C, h, w] noisy
        timestep: Tensor,  # [B], the same for all frequencies of a photo
        frequency_index: Tensor,  # [B, K] whole numbers
        condition: Tensor,  # [B, c, h, w] from encode_condition, or zeros for no photo
        frequency_attention: bool,  # whether the frequencies of a photo hear of each other, where the network can do so
        strength: Tensor | None = None,  # [B] in pixels; given to networks whose configuration has ``wind`` alone
    ) -> Tensor:
        """The prediction, ``[B, K, C, h, w]``."""
        raise NotImplementedError

    def encode_condition(self, image: Tensor, *, encode_image: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What the network sees of photos: ``[B, 3, H, W]`` -> ``[B, c, h, w]``.

        Args:
            encode_image: the autoencoder's latents of photos, for networks that look at these.
        """
        raise NotImplementedError

    def frequency_parameters(self) -> list[nn.Parameter]:
        """Parameters of the layers in which the frequencies of a photo hear of each other; none by default."""
        return []

    def load_reference(self, source: str | Path | Mapping[str, Tensor]) -> None:
        """Load weights that were trained elsewhere, strictly; `ValueError` where the network takes none."""
        raise ValueError(f"a {type(self).__name__} takes no weights that were trained elsewhere")


class AutoencoderConfiguration(Protocol):
    """The configuration of an autoencoder: a frozen dataclass of primitives."""

    @property
    def latent_channels(self) -> int:
        """Channels of a slice's latent map."""

    @property
    def picture_channels(self) -> int | None:
        """Channels of a photo's latent map; None where the autoencoder encodes slices alone."""

    def build(self, num_frequencies: int) -> SliceAutoencoder:
        """The untrained autoencoder."""


class DenoiserConfiguration(Protocol):
    """The configuration of a denoiser: a frozen dataclass of primitives."""

    def check(self, *, joint: bool, autoencoder: AutoencoderConfiguration) -> None:
        """Raise `ValueError` where the network can't work beside this autoencoder, or in a joint model."""

    def build(
        self,
        *,
        num_frequencies: int,
        latent_channels: int,
        joint: bool,  # the latents of all frequencies are one tensor
        image_downsampling: int,  # side of a photo over side of its latents
    ) -> Denoiser:
        """The untrained network."""
