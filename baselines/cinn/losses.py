"""The losses of the video autoencoder and its two discriminators (section 3 of the paper), in the order of a step.

A step changes the temporal discriminator, then the spatial one, then the autoencoder. All three see the same noise, the
same window of time and the same frames, and both discriminators the same generated clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.cinn.config import DiscriminatorConfig, LossConfig
from baselines.cinn.data.clips import ClipBatch
from baselines.cinn.networks.decoder import VideoDecoder
from baselines.cinn.networks.patches import PatchDiscriminator, frame_choice
from baselines.cinn.networks.resnet import TemporalDiscriminator, VideoEncoder
from training.state import StepSamples

Portions = tuple[Tensor, Tensor]  # a loss and [parts, 2]: sum and number of terms of each of its parts


class VideoAutoencoder(nn.Module):
    """Video encoder and decoder."""

    def __init__(self, encoder: VideoEncoder, decoder: VideoDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder


@dataclass
class Draws:
    """What all updates of a step see of a part of its batch."""

    noise: Tensor  # [B, code]
    start: int  # of the window of time that the temporal discriminator judges
    frames: Tensor  # int64, which of the B * T frames the spatial one judges
    fake: Tensor | None = None  # [B, T, 3, H, W], what the discriminators are shown as generated


class Player(nn.Module):
    """One update's view of the game: the networks, and the draws that it shares with the others."""

    def __init__(
        self,
        autoencoder: VideoAutoencoder,
        config: LossConfig,
        discriminators: DiscriminatorConfig,
        kept: dict[int, tuple[StepSamples, Draws]],
    ) -> None:
        super().__init__()
        self.autoencoder, self.config, self.discriminators, self.kept = autoencoder, config, discriminators, kept

    def draws(self, batch: ClipBatch, samples: StepSamples) -> Draws:
        """The same for all players of a step; ``samples`` is one object for all of them."""
        known = self.kept.get(samples.first)
        if known is None or known[0] is not samples:
            count, frames = batch.clip.shape[:2]
            late = max(0, frames - self.discriminators.temporal_frames)
            start = int(samples.uniform()[0] * (late + 1))
            chosen = frame_choice(count * frames, self.discriminators.spatial_frames, samples.generators[0])
            code = self.autoencoder.decoder.config.code
            known = samples, Draws(samples.normal((code,)).to(batch.frames), start, chosen.to(batch.frames.device))
            self.kept[samples.first] = known
        return known[1]

    def reconstruct(self, batch: ClipBatch, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """``G(x0, z)`` with z of q(z | X), mean and log-variance of q."""
        mean, log_variance = (part.float() for part in self.autoencoder.encoder(batch.clip, batch.photo))
        code = mean + (0.5 * log_variance).exp() * draws.noise
        return self.autoencoder.decoder(batch.photo, code), mean, log_variance

    def fake(self, batch: ClipBatch, draws: Draws) -> Tensor:
        """The generated clip that both discriminators are shown, made once for both."""
        if draws.fake is None:
            with torch.no_grad():
                draws.fake = self.reconstruct(batch, draws)[0]
        return draws.fake

    def window(self, clip: Tensor, draws: Draws) -> Tensor:
        """The neighbouring frames that the temporal discriminator judges."""
        return clip[:, draws.start : draws.start + self.discriminators.temporal_frames]

    def stills(self, clip: Tensor, draws: Draws) -> Tensor:
        """The frames that the spatial discriminator judges, ``[N, 3, H, W]``."""
        return clip.flatten(0, 1)[draws.frames]


class TemporalLoss(Player):
    """Hinge loss of the temporal discriminator and the penalty on its gradient at real clips."""

    parts = ("temporal_loss", "penalty")

    def __init__(self, discriminator: TemporalDiscriminator, *shared) -> None:
        super().__init__(*shared)
        self.discriminator = discriminator

    def forward(self, batch: ClipBatch, samples: StepSamples) -> Portions:
        draws = self.draws(batch, samples)
        real = self.window(batch.clip, draws).detach().requires_grad_(self.config.penalty > 0)
        logits, _ = self.discriminator(real)
        fake_logits, _ = self.discriminator(self.window(self.fake(batch, draws), draws))
        loss, penalty = hinge(logits, fake_logits), logits.new_zeros(())
        if self.config.penalty > 0:
            penalty = gradient_penalty(logits, real, of=self.config.penalty_of)
        loss = loss + self.config.penalty * penalty
        return loss, portions([loss, penalty], len(batch.ids))


class SpatialLoss(Player):
    """Hinge loss of the spatial discriminator."""

    parts = ("spatial_loss",)

    def __init__(self, discriminator: PatchDiscriminator, *shared) -> None:
        super().__init__(*shared)
        self.discriminator = discriminator

    def forward(self, batch: ClipBatch, samples: StepSamples) -> Portions:
        draws = self.draws(batch, samples)
        real, fake = (self.stills(clip, draws) for clip in (batch.clip, self.fake(batch, draws)))
        loss = hinge(self.discriminator(real), self.discriminator(fake))
        return loss, portions([loss], len(batch.ids))


class AutoencoderLoss(Player):
    """Perceptual and L1 distance, divergence, and, from a given epoch on, what the discriminators make of it.

    Args:
        perceptual: a distance of frames ``[N, 3, H, W]``, a scalar.
        temporal, spatial: the discriminators, None to train without them.
    """

    parts = ("loss", "perceptual", "l1", "divergence", "adversarial", "features")

    def __init__(
        self,
        perceptual: nn.Module | None,
        temporal: TemporalDiscriminator | None,
        spatial: PatchDiscriminator | None,
        *shared,
    ) -> None:
        super().__init__(*shared)
        self.perceptual, self.temporal, self.spatial = perceptual, temporal, spatial

    def forward(self, batch: ClipBatch, samples: StepSamples) -> Portions:
        draws, config = self.draws(batch, samples), self.config
        made, mean, log_variance = self.reconstruct(batch, draws)
        difference = batch.clip - made
        l1 = difference.abs().mean()
        reconstruction = l1 if config.error == "absolute" else difference.square().mean()
        divergence = kl_divergence(mean, log_variance)
        perceptual = adversarial = features = made.new_zeros(())
        if self.perceptual is not None and config.perceptual:
            chosen = self._judged(made, samples)
            perceptual = self.perceptual(made.flatten(0, 1)[chosen], batch.clip.flatten(0, 1)[chosen])
        if self.temporal is not None and self.spatial is not None and batch.adversarial:
            window = self.window(made, draws)
            logits, found = self.temporal(window)
            with torch.no_grad():
                _, wanted = self.temporal(self.window(batch.clip, draws))
            adversarial = -logits.mean() - self.spatial(self.stills(made, draws)).mean()
            features = feature_distance(found, wanted)
        loss = config.perceptual * perceptual + config.reconstruction * reconstruction + config.divergence * divergence
        loss = loss + config.adversarial * adversarial + config.features * features
        return loss, portions([loss, perceptual, l1, divergence, adversarial, features], len(batch.ids))

    def _judged(self, made: Tensor, samples: StepSamples) -> Tensor:
        """Which frames the perceptual distance is taken of: all, or so many of each clip."""
        count, frames = made.shape[:2]
        each = self.config.perceptual_frames or frames
        if each >= frames:
            return torch.arange(count * frames, device=made.device)
        places = [n * frames + frame_choice(frames, each, g) for n, g in enumerate(samples.generators)]
        return torch.cat(places).to(made.device)


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Half the sum of ``mean relu(1 - D(real))`` and ``mean relu(1 + D(fake))``."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def gradient_penalty(logits: Tensor, real: Tensor, *, of: str) -> Tensor:
    """Mean squared norm of the discriminator's gradient at real clips.

    Args:
        logits: ``[B]``, of ``real`` alone.
        of: ``samples``: the gradient of each clip's own logit; ``batch_mean``: that of the batch's mean, as in the
            published code, 1 / B^2 of the former.
    """
    value = logits.sum() if of == "samples" else logits.mean()
    (gradient,) = torch.autograd.grad(value, real, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of N(mean, variance) from the standard normal distribution, the mean over the batch."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


def feature_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """L1 distance of a discriminator's features, the mean over its stages."""
    return torch.stack([(a - b).abs().mean() for a, b in zip(found, wanted, strict=True)]).mean()


def portions(values: Sequence[Tensor], count: int) -> Tensor:
    """Means over ``count`` samples as the sums and numbers that the loop adds up, ``[parts, 2]``."""
    return torch.tensor([[float(value.detach()) * count, count] for value in values], dtype=torch.float64)
