"""The three stages as tasks of the training loop: video autoencoder, conditioning encoder, invertible network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from baselines.cinn.data.clips import ClipBatch
from baselines.cinn.data.codes import Encoded, KeptCodes, PlaceBatch, encode
from baselines.cinn.losses import (
    AutoencoderLoss,
    Portions,
    SpatialLoss,
    TemporalLoss,
    VideoAutoencoder,
    kl_divergence,
    portions,
)
from baselines.cinn.model import StochasticImageToVideo
from baselines.cinn.networks.condition import ConditionDecoder, ConditionEncoder
from baselines.cinn.networks.flow import negative_log_likelihood
from baselines.cinn.networks.patches import PatchDiscriminator
from baselines.cinn.networks.resnet import TemporalDiscriminator
from baselines.cinn.stage import StageTask
from baselines.cinn.validation import VIDEO_METRICS, Validation
from training.best import Goal
from training.state import StepSamples
from training.task import Batch, Findings

FIRST_CODES = 50  # that the flow's are initialised with, as many as a published batch: of a few the spread is not known
RECONSTRUCTION_FIGURES = ("psnr", "psnr_repeat", "l1_validation", "l1_repeat")
PHOTO_FIGURES = ("l1_validation", "l1_mean_photo")
LIKELIHOOD_FIGURES = ("nll_validation", "code_spread", "sample_spread", "mean_distance")


class VideoStage(StageTask):
    """Stage 1: encoder and decoder, against two discriminators where the preset's epochs reach their beginning.

    Args:
        perceptual: distance of frames in the loss, or None.
    """

    def __init__(self, *shared, perceptual: nn.Module | None, **named) -> None:
        super().__init__("vae", *shared, **named)
        networks, training = self.networks, self.preset.training
        self.averaged = VideoAutoencoder(networks.encoder, networks.decoder)
        if training.adversarial_from >= training.vae.epochs:
            self.model = nn.ModuleDict({"autoencoder": self.averaged})
            self.updates = [self.update(self._loss(perceptual, None, None), self.averaged)]
            return
        device = next(networks.parameters()).device
        temporal = TemporalDiscriminator(self.preset.discriminators).to(device)
        spatial = PatchDiscriminator(self.preset.discriminators.spatial_width).to(device)
        first = next(self.first_batches(1))
        spatial(first.clip.flatten(0, 1)[: self.preset.discriminators.spatial_frames])
        self.model = nn.ModuleDict({"autoencoder": self.averaged, "temporal": temporal, "spatial": spatial})
        shared = self._shared()
        late = training.adversarial_from
        self.updates = [
            self.update(TemporalLoss(temporal, *shared), temporal, prefix="temporal_", late=late),
            self.update(SpatialLoss(spatial, *shared), spatial, prefix="spatial_", late=late),
            self.update(AutoencoderLoss(perceptual, temporal, spatial, *shared), self.averaged),
        ]

    def _shared(self) -> tuple:
        return self.averaged, self.preset.training.losses, self.preset.discriminators, {}

    def _loss(self, *networks) -> AutoencoderLoss:
        return AutoencoderLoss(*networks, *self._shared())

    def figures(self) -> tuple[str, ...]:
        """See :meth:`StageTask.figures`."""
        metric = self.validation.metric if self.validation else None
        return (*RECONSTRUCTION_FIGURES, *([metric] if metric else []))

    def goals(self) -> dict[str, Goal]:
        """Distances of videos as published, or PSNR."""
        metric = self.validation.metric if self.validation else None
        return {"psnr": Goal("psnr", 1)} | ({metric: Goal(metric, -1)} if metric in VIDEO_METRICS else {})

    def judge(self, validation: Validation) -> Findings:
        """Reconstructions of held-out clips beside the repeated photo."""
        return validation.reconstruction(self.networks)


class ConditionStage(StageTask):
    """Stage 2a: the photo's embedding, learned by making the photo again from it."""

    def __init__(self, *shared, perceptual: nn.Module | None, **named) -> None:
        super().__init__("condition", *shared, **named)
        networks = self.networks
        decoder = ConditionDecoder(networks.config.condition, networks.config.video.size)
        self.decoder = decoder.to(next(networks.parameters()).device)
        self.model = self.averaged = nn.ModuleDict({"encoder": networks.condition, "decoder": self.decoder})
        loss = ConditionLoss(networks.condition, self.decoder, perceptual, self.preset.training.condition_divergence)
        self.updates = [self.update(loss, self.model)]

    def figures(self) -> tuple[str, ...]:
        """See :meth:`StageTask.figures`."""
        return PHOTO_FIGURES

    def goals(self) -> dict[str, Goal]:
        """See :meth:`StageTask.goals`."""
        return {"l1": Goal("l1_validation", -1)}

    def judge(self, validation: Validation) -> Findings:
        """Photos made from their embeddings, beside the mean photo."""
        return validation.photos(self.networks, self.decoder)


class FlowStage(StageTask):
    """Stage 2b: the invertible network, on codes of the frozen video encoder and embeddings of the frozen one.

    Clips are drawn and encoded at each step, or as many as the preset keeps once, in the first.

    Args:
        first_codes: how many its normalisations are initialised with, at least.
    """

    def __init__(self, *shared, first_codes: int = FIRST_CODES, **named) -> None:
        super().__init__("flow", *shared, **named)
        networks = self.networks
        # The loop puts what is trained into training mode; the others stay as they are, batch statistics included.
        networks.eval().requires_grad_(False)
        networks.flow.requires_grad_(True)
        self.averaged = networks.flow
        self.model = nn.ModuleDict({"flow": networks.flow})
        count, see = self.preset.training.kept_codes, partial(encode, networks)
        self.kept = KeptCodes(lambda: map(see, self.first_batches(count)), count) if count else None
        loss = FlowLoss(networks, self.kept.at if self.kept else see)
        self.updates = [self.update(loss, networks.flow)]
        self.model.train()
        generator = torch.Generator().manual_seed(self.seed)
        size = self.config.batch_size, networks.config.video.code
        with torch.no_grad():
            first = [see(batch) for batch in self.first_batches(first_codes)]
            codes = [encoded.code(torch.randn(size, generator=generator)) for encoded in first]
            networks.flow(torch.cat(codes), torch.cat([encoded.about for encoded in first]))

    def draw(self, step: int, parts: Sequence[StepSamples], map_samples: Callable) -> Sequence[Batch]:
        """See `training.task.Task.draw`: clips, or places of kept codes."""
        if self.kept is None:
            return super().draw(step, parts, map_samples)
        return [self.kept.draw(part.generators) for part in parts]

    def figures(self) -> tuple[str, ...]:
        """See :meth:`StageTask.figures`."""
        return LIKELIHOOD_FIGURES

    def goals(self) -> dict[str, Goal]:
        """See :meth:`StageTask.goals`."""
        return {"nll": Goal("nll_validation", -1)}

    def judge(self, validation: Validation) -> Findings:
        """Likelihood of held-out codes, and sampled codes beside them."""
        return validation.likelihood(self.networks, seed=self.seed)


class ConditionLoss(nn.Module):
    """L1 and perceptual distance, summed over the photo's values, and a small divergence."""

    parts = ("loss", "l1", "perceptual", "divergence")

    def __init__(
        self, encoder: ConditionEncoder, decoder: ConditionDecoder, perceptual: nn.Module | None, weight: float
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.perceptual, self.weight = encoder, decoder, perceptual, weight

    def forward(self, batch: ClipBatch, samples: StepSamples) -> Portions:
        photo = batch.photo
        mean, log_variance = (part.float() for part in self.encoder.distribution(photo))
        noise = samples.normal(mean.shape[1:]).to(mean)
        made = self.decoder(mean + (0.5 * log_variance).exp() * noise)
        l1 = (made - photo).abs().mean()
        perceptual = l1.new_zeros(()) if self.perceptual is None else self.perceptual(made, photo)
        divergence = kl_divergence(mean, log_variance)
        loss = photo[0].numel() * (l1 + perceptual) + self.weight * divergence
        return loss, portions([loss, l1, perceptual, divergence], len(photo))


class FlowLoss(nn.Module):
    """Negative log-likelihood of codes, drawn from q(z | X), given their photos.

    Args:
        see: what a batch tells.
    """

    parts = ("loss", "residual_norm", "log_determinant")

    def __init__(self, networks: StochasticImageToVideo, see: Callable[[Any], Encoded]) -> None:
        super().__init__()
        self.networks, self.see = networks, see

    def forward(self, batch: ClipBatch | PlaceBatch, samples: StepSamples) -> Portions:
        seen = self.see(batch)
        code, about = seen.code(samples.normal((self.networks.config.video.code,))), seen.about
        residual, determinant = self.networks.flow(code, about)
        loss = negative_log_likelihood(residual, determinant).mean()
        norm = residual.square().sum(1).mean()
        return loss, portions([loss, norm, determinant.mean()], len(batch.ids))
