"""DPM-Solver++ of second order, DDIM and noise schedules, without diffusers.

The solver is that of Lu et al. 2022, algorithm 2: multistep, data prediction, trailing timesteps, a last step of first
order that ends without noise. Of first order throughout it is DDIM without noise (Song et al. 2020), as they show.
Tests compare both with diffusers' schedulers. GPU images often lack diffusers, and importing it takes two seconds.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_BETA = 0.999  # of the cosine schedule, whose last step would otherwise leave nothing of the signal


def noise_schedule(kind: str, train_steps: int, beta_start: float, beta_end: float) -> Tensor:
    """Cumulative products of ``1 - beta``, float32 ``[train_steps]``.

    Args:
        kind: ``squaredcos_cap_v2`` (Nichol and Dhariwal 2021), ``scaled_linear`` (linear in the square root of beta,
            as latent diffusion has it) or ``linear`` (Ho et al. 2020): diffusers' names.
        beta_start: beta at the first step, for both linear ones; ``beta_end`` at the last.

    Raises:
        ValueError: another kind.
    """
    if kind == "squaredcos_cap_v2":
        levels = [_cosine_level(step / train_steps) for step in range(train_steps + 1)]
        betas = torch.tensor([min(1 - after / before, LARGEST_BETA) for before, after in pairwise(levels)])
    elif kind == "scaled_linear":
        betas = torch.linspace(beta_start**0.5, beta_end**0.5, train_steps, dtype=torch.float32) ** 2
    elif kind == "linear":
        betas = torch.linspace(beta_start, beta_end, train_steps, dtype=torch.float32)
    else:
        raise ValueError(f"unknown noise schedule {kind!r}, expected squaredcos_cap_v2, scaled_linear or linear")
    return torch.cumprod(1.0 - betas, dim=0)


def _cosine_level(time: float) -> float:
    """Share of the signal's power that is left at a time from 0 to 1."""
    return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2


class Step(NamedTuple):
    """What a step returns, by the name that diffusers gives it."""

    prev_sample: Tensor


class DPMSolver:
    """A scheduler as `models.motion.diffusion.sample_latents` uses one.

    Args:
        alphas_cumprod: of :func:`noise_schedule`.
        prediction: what the network predicts, ``epsilon`` or ``v_prediction``.
        order: 2 for DPM-Solver++, 1 for DDIM.
    """

    def __init__(self, alphas_cumprod: Tensor, prediction: str, *, order: int) -> None:
        self.alphas_cumprod = alphas_cumprod
        self.prediction = prediction
        self.order = order
        self.timesteps = torch.empty(0, dtype=torch.int64)
        self._clean_before: Tensor | None = None  # clean latents predicted at the step before
        self._levels: list[tuple[float, float]] = []  # (alpha, sigma) of each timestep, and of none
        self._index = 0

    def set_timesteps(self, steps: int) -> None:
        """Begin anew with so many steps, from the noisiest timestep on and evenly down from there."""
        count = len(self.alphas_cumprod)
        times = torch.arange(count, 0, -count / steps, dtype=torch.float64)[:steps]
        self.timesteps = times.round().long() - 1
        products = self.alphas_cumprod.double()[self.timesteps].tolist()
        self._levels = [(product**0.5, (1 - product) ** 0.5) for product in products] + [(1.0, 0.0)]
        self.begin_at(0)

    def begin_at(self, index: int) -> None:
        """Go on at a step, which knows nothing of those before."""
        self._clean_before = None
        self._index = index

    def step(self, output: Tensor, timestep: Tensor, sample: Tensor) -> Step:
        """From the noise level of a timestep to that of the next one.

        Args:
            output: what the network predicts for ``sample``.
            timestep: the one that is due; steps are taken in order.
            sample: noisy latents.
        """
        (alpha, sigma), (next_alpha, next_sigma) = self._levels[self._index : self._index + 2]
        noisy = sample.float()
        epsilon = self.prediction == "epsilon"
        clean = (noisy - sigma * output) / alpha if epsilon else alpha * noisy - sigma * output
        last = self._index == len(self.timesteps) - 1
        shrink = next_sigma / sigma
        # e^-h with h the growth of log(alpha / sigma): 0 at the end, where no noise is left.
        decay = shrink * alpha / next_alpha
        direction = clean
        if self.order == 2 and self._clean_before is not None and not last:
            growth = -math.log(decay)
            ratio = self._growth_before() / growth
            direction = clean + (clean - self._clean_before) / (2 * ratio)
        self._clean_before = clean
        self._index += 1
        return Step((shrink * noisy + next_alpha * (1 - decay) * direction).to(output.dtype))

    def _growth_before(self) -> float:
        """Of log(alpha / sigma) in the step before."""
        (alpha, sigma), (next_alpha, next_sigma) = self._levels[self._index - 1 : self._index + 1]
        return math.log(next_alpha / next_sigma) - math.log(alpha / sigma)
