"""Losses of the motion model's training stages, with their parts by frequency band and by noise level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from models.motion.autoencoder import autoencoder_loss
from models.motion.model import MotionModel, alphas_cumprod, diffusion_loss
from models.motion.stages import AUTOENCODER_STAGES
from models.precision import widened
from training.state import StepSamples

THIRDS = ("low", "middle", "high")
AUTOENCODER_PARTS = ("loss", "l1", "gradient", "kl")
DIFFUSION_PARTS = ("loss", *(f"{kind}_{third}" for kind in ("band", "noise") for third in THIRDS))


def loss_parts(stage: str) -> tuple[str, ...]:
    """Names of the values that a stage's loss is reported as.

    ``band_low`` … are the slices' errors by thirds of the frequencies, ``noise_low`` … by thirds of the noise levels.
    """
    return AUTOENCODER_PARTS if stage in AUTOENCODER_STAGES else DIFFUSION_PARTS


class MotionBatch(Protocol):
    """What is used of a `training.batches.motion.MotionBatch`, which describes it."""

    @property
    def image(self) -> Tensor: ...
    @property
    def slices(self) -> Tensor: ...
    @property
    def frequency_index(self) -> Tensor: ...
    @property
    def strength(self) -> Tensor | None: ...


class StageLoss(nn.Module):
    """The loss of a stage as a module, which is what several processes average the gradients of."""

    def __init__(
        self,
        model: MotionModel,
        stage: str,
        *,
        condition_dropout: float,  # share of photos dropped, for classifier-free guidance
        encoded: bool,  # whether the slices given are latents already
    ) -> None:
        super().__init__()
        self.model = model
        self.stage = stage
        self.condition_dropout = condition_dropout
        self.encoded = encoded
        self.register_buffer("schedule", alphas_cumprod(model.config), persistent=False)
        self.schedule: Tensor

    def forward(self, batch: MotionBatch, samples: StepSamples) -> tuple[Tensor, Tensor]:
        """Mean loss of a batch, and its parts in the order of :func:`loss_parts`.

        Args:
            batch: its slices are latents ``[B, k, C, h, w]`` if ``encoded``.
            samples: the random numbers of its samples.

        Returns:
            A scalar, and ``[parts, 2]``: sum and number of terms of each, so that parts of batches can be added up.
        """
        image, index = batch.image, batch.frequency_index
        if self.stage in AUTOENCODER_STAGES:
            losses = autoencoder_losses(self.model, image, volume=batch.slices, index=index, samples=samples)
            return losses["loss"], _equal_parts(losses, len(image))
        latents = batch.slices if self.encoded else self.model.encode_volume(batch.slices, index)
        timestep = (samples.strata() * self.model.config.train_steps).long().to(image.device)
        noise = samples.normal(latents.shape[1:]).to(latents)
        errors = diffusion_loss(
            self.model,
            latents,
            frequency_index=index,
            image=image,
            keep_condition=samples.uniform() >= self.condition_dropout,
            timestep=timestep,
            noise=noise,
            schedule=self.schedule,
            strength=batch.strength,
        )
        return errors.mean(), diffusion_parts(self.model, errors.detach(), index=index, timestep=timestep)


def autoencoder_losses(
    model: MotionModel, image: Tensor, *, volume: Tensor, index: Tensor, samples: StepSamples
) -> dict[str, Tensor]:
    """Means of the loss and its parts over ``[B, 3, H, W]``, ``[B, k, 4, H, W]`` in pixels and ``[B, k]``."""
    slices = model.normalizer.normalize(volume, index)
    factor, channels = model.autoencoder.downsampling, model.config.autoencoder.latent_channels
    height, width = slices.shape[-2] // factor, slices.shape[-1] // factor
    noise = samples.normal((slices.shape[1], channels, height, width)).to(slices)
    return autoencoder_loss(model.autoencoder, slices.flatten(0, 1), image, noise=noise.flatten(0, 1))


def diffusion_parts(model: MotionModel, errors: Tensor, *, index: Tensor, timestep: Tensor) -> Tensor:
    """Sums and numbers of the errors ``[B, k]`` of slices by frequency band and noise level: ``[7, 2]``.

    Computed where the errors are, so that nobody waits for a GPU here.

    Args:
        index: ``[B, k]`` frequencies; timestep: ``[B]``.
    """
    band = index * 3 // model.config.num_frequencies
    level = (timestep * 3 // model.config.train_steps)[:, None].expand(band.shape)
    parts = [torch.ones_like(band, dtype=torch.bool)]
    parts += [thirds == third for thirds in (band, level) for third in range(3)]
    masks = torch.stack(parts)
    sums = widened(errors).where(masks, 0).sum(dim=(1, 2))
    return torch.stack([sums, masks.sum(dim=(1, 2)).to(sums)], dim=1)


def _equal_parts(losses: Mapping[str, Tensor], count: int) -> Tensor:
    """Means over ``count`` samples as sums and numbers, ``[4, 2]``."""
    means = torch.stack([losses[name].detach().float() for name in AUTOENCODER_PARTS])
    return torch.stack([means * count, torch.full_like(means, count)], dim=1)
