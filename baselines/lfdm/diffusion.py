"""Diffusion of flow volumes: what a volume holds, the noise schedule, samplers, and the conditional denoiser.

Schedules and samplers are pure functions in float64; a network predicts the noise of ``sqrt(a) x + sqrt(1 - a) noise``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from baselines.lfdm.conditions import encode_texts
from baselines.lfdm.config import DiffusionConfig
from baselines.lfdm.networks.geometry import identity_grid
from baselines.lfdm.networks.motion import LatentFlow
from baselines.lfdm.networks.unet import FlowUNet

SHIFT = 0.008  # of the cosine schedule
MOST_NOISE = 0.9999  # of one step's variance


def cosine_alphas(steps: int) -> Tensor:
    """Shares of the signal's variance after each step, ``[steps]`` in float64 (Nichol and Dhariwal 2021)."""
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    signal = torch.cos((times + SHIFT) / (1 + SHIFT) * math.pi / 2).square()
    betas = (1 - signal[1:] / signal[:-1]).clamp(max=MOST_NOISE)
    return torch.cumprod(1 - betas, dim=0)


def add_noise(clean: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """``sqrt(a) x + sqrt(1 - a) noise`` with one share ``a`` a sample, ``[B]``."""
    alphas = alphas.view(-1, *[1] * (clean.ndim - 1))
    return alphas.sqrt().to(clean) * clean + (1 - alphas).sqrt().to(clean) * noise


def threshold(clean: Tensor, quantile: float) -> Tensor:
    """Clamp each sample to the quantile of its magnitudes, at least 1, and divide by it (Imagen's threshold)."""
    limit = torch.quantile(clean.abs().flatten(1), quantile, dim=1).clamp_min(1)
    limit = limit.view(-1, *[1] * (clean.ndim - 1))
    return clean.clamp(-limit, limit) / limit


def sampling_times(steps: int, count: int) -> list[int]:
    """``count`` evenly spaced steps from the noisiest one down, then -1 for no noise at all."""
    if not 1 <= count <= steps:
        raise ValueError(f"{count} sampling steps: between 1 and the {steps} of training are possible")
    return torch.linspace(steps - 1, -1, count + 1, dtype=torch.float64).round().long().tolist()


def sample(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    *,
    alphas: Tensor,
    count: int,
    sampler: str,
    eta: float,
    quantile: float,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """From noise to a clean volume in ``count`` steps.

    DDIM (Song et al. 2021, equation 12) keeps the predicted noise; ``eta`` 0 adds no new noise, 1 as much as DDPM does.
    DDPM (Ho et al. 2020, equation 7, with the smaller variance) draws from the posterior of the thresholded volume.

    Args:
        denoise: noisy volume ``[B, ...]`` and step ``[B]`` -> predicted noise.
        noise: ``[B, ...]``, standard normal.
        alphas: of :func:`cosine_alphas`.
        sampler: ``ddpm`` or ``ddim``.
        generators: one a sample, on the CPU, so that a sample does not depend on those beside it.
    """
    if sampler not in ("ddpm", "ddim"):
        raise ValueError(f"unknown sampler {sampler!r}, expected ddpm or ddim")
    eta = 1.0 if sampler == "ddpm" else eta
    times = sampling_times(len(alphas), count)
    x = noise
    for time, later in pairwise(times):
        share, next_share = float(alphas[time]), float(alphas[later]) if later >= 0 else 1.0
        predicted = denoise(x, torch.full((len(x),), time, device=x.device))
        clean = threshold((x - math.sqrt(1 - share) * predicted) / math.sqrt(share), quantile)
        if later < 0:
            return clean
        if sampler == "ddpm":
            predicted = (x - math.sqrt(share) * clean) / math.sqrt(1 - share)
        sigma = eta * math.sqrt((1 - next_share) / (1 - share) * (1 - share / next_share))
        x = math.sqrt(next_share) * clean + math.sqrt(max(0.0, 1 - next_share - sigma**2)) * predicted
        if sigma:
            x = x + sigma * torch.stack([torch.randn(x.shape[1:], generator=g) for g in generators]).to(x)
    return x


class FlowCodec:
    """Latent flow to what is denoised and back.

    ``absolute`` is the published choice: grid x and y and ``2 occlusion - 1``. ``residual`` subtracts the identity grid
    and multiplies by a scale: of small motion the absolute grid holds little but a ramp.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        self.residual, self.scale = config.flow_target == "residual", config.flow_scale

    def encode(self, flow: LatentFlow, frames: int) -> Tensor:
        """Flows of B clips, ``[B * T, ...]`` -> volumes ``[B, 3, T, h, w]``."""
        grid = flow.grid
        if self.residual:
            grid = (grid - identity_grid(grid.shape[1], grid.shape[2], grid)) * self.scale
        volume = torch.cat([grid.permute(0, 3, 1, 2), 2 * flow.occlusion - 1], dim=1)
        return volume.unflatten(0, (-1, frames)).transpose(1, 2)

    def decode(self, volume: Tensor) -> LatentFlow:
        """Volumes ``[B, 3, T, h, w]`` -> flows ``[B * T, ...]``."""
        values = volume.transpose(1, 2).flatten(0, 1)
        grid = values[:, :2].permute(0, 2, 3, 1)
        if self.residual:
            grid = grid / self.scale + identity_grid(grid.shape[1], grid.shape[2], grid)
        return LatentFlow(grid, ((values[:, 2:] + 1) / 2).clamp(0, 1))


class LatentFlowDiffusion(nn.Module):
    """The second stage: the U-Net and what it is told of the condition.

    Args:
        latent_channels: of the photo's features.
    """

    no_condition: Tensor

    def __init__(self, config: DiffusionConfig, latent_channels: int) -> None:
        super().__init__()
        self.config, self.codec = config, FlowCodec(config)
        self.unet = FlowUNet(config, latent_channels)
        self.alphas = cosine_alphas(config.steps)  # on the CPU: not every device has float64
        if config.condition == "label":
            if not config.labels:
                raise ValueError("the condition label needs labels; the data has none")
            self.label_embedding = nn.Embedding(len(config.labels), config.condition_dim)
        if config.condition != "none":
            null = torch.randn(config.condition_dim) if config.learn_null else torch.zeros(config.condition_dim)
            self.no_condition = nn.Parameter(null, requires_grad=config.learn_null)

    def embed(self, conditions: Sequence[str | None]) -> Tensor | None:
        """Vectors ``[B, D]`` of labels or texts, None being the null condition; None without conditions.

        Raises:
            ValueError: a label that the model was not trained with.
        """
        if self.config.condition == "none":
            given = next((c for c in conditions if c is not None), None)
            if given is not None:
                raise ValueError(f"condition {given!r}: this model was trained without conditions")
            return None
        device = self.no_condition.device
        known = torch.tensor([c is not None for c in conditions], device=device)[:, None]
        if self.config.condition == "label":
            indices = [0 if c is None else self._index(c) for c in conditions]
            vectors = self.label_embedding(torch.tensor(indices, device=device))
        else:
            encoded = encode_texts([c or "" for c in conditions], self.config.text_encoder)
            if encoded.shape[1] != self.config.condition_dim:
                raise ValueError(
                    f"{self.config.text_encoder}: gives {encoded.shape[1]} numbers a text, the model takes "
                    f"{self.config.condition_dim}"
                )
            vectors = encoded.to(device)
        return torch.where(known, vectors, self.no_condition)

    def _index(self, label: str) -> int:
        if label not in self.config.labels:
            raise ValueError(f"condition {label!r}: the model knows {', '.join(self.config.labels)}")
        return self.config.labels.index(label)

    def denoiser(
        self, latent: Tensor, conditions: Sequence[str | None], guidance: float
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Noise of a volume under classifier-free guidance: ``null + guidance (conditional - null)``.

        Guidance 1 is the conditional prediction, 0 the unconditional one; both cost one call of the network.
        """
        vectors = self.embed(conditions)
        if vectors is None or guidance == 1:
            return lambda x, times: self.unet(x, times, latent=latent, condition=vectors)
        null = self.embed([None] * len(latent))

        def denoise(x: Tensor, times: Tensor) -> Tensor:
            without = self.unet(x, times, latent=latent, condition=null)
            if guidance == 0:
                return without
            return without + guidance * (self.unet(x, times, latent=latent, condition=vectors) - without)

        return denoise

    @torch.no_grad()
    def sample(
        self,
        latent: Tensor,
        *,
        generators: Sequence[torch.Generator],
        conditions: Sequence[str | None] | None = None,
        frames: int | None = None,
        count: int | None = None,
        sampler: str | None = None,
        eta: float | None = None,
        guidance: float | None = None,
    ) -> LatentFlow:
        """Flows of clips of photos with these latents ``[B, C, h, w]``: ``[B * frames, ...]``.

        What is None is the configuration's; the first flow of each clip is that of the photo to itself.
        """
        config, frames = self.config, frames or self.config.frames
        sampler = sampler or config.sampler
        count = count or (config.sampling_steps if sampler == config.sampler else min(50, config.steps))
        shape = (3, frames, latent.shape[2], latent.shape[3])
        noise = torch.stack([torch.randn(shape, generator=g) for g in generators]).to(latent)
        volume = sample(
            self.denoiser(
                latent, conditions or [None] * len(latent), config.guidance if guidance is None else guidance
            ),
            noise,
            alphas=self.alphas,
            count=count,
            sampler=sampler,
            eta=config.eta if eta is None else eta,
            quantile=config.threshold,
            generators=generators,
        )
        return self.codec.decode(volume)
