"""Sampling of diffusion models: DPM-Solver++, DDIM, DDPM, guidance and self-recurrence.

The first two are `models.motion.dpm_solver`; DDPM is diffusers', whose import alone takes longer than a sample in few
steps.

Nothing here knows a network. ``z = alpha x + sigma noise``; a network predicts the noise (``epsilon``) or the velocity
``v = alpha noise - sigma x``. Every sample of a batch has a random generator of its own, on the CPU, from which all of
its noise comes in a fixed order, so that it is the same alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.choices import SAMPLERS
from models.motion.config import MotionConfig
from models.motion.dpm_solver import DPMSolver, noise_schedule
from models.spectral_volume import motion_at_times

ORDERS = {"dpmsolver++": 2, "ddim": 1}  # of the samplers that draw no noise at their steps: they are one solver


def make_scheduler(config: MotionConfig, sampler: str):
    """The scheduler of a sampler's name for a model's noise schedule.

    Raises:
        ValueError: an unknown name, or DDPM where diffusers is not installed.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}, expected one of {', '.join(SAMPLERS)}")
    if sampler in ORDERS:
        return DPMSolver(alphas_cumprod(config), config.prediction, order=ORDERS[sampler])
    try:
        import diffusers
    except ImportError as error:
        raise ValueError(
            f"sampler {sampler}: needs diffusers, which can't be imported ({error}); pip install diffusers, or use "
            f"{' or '.join(ORDERS)}"
        ) from error
    return diffusers.DDPMScheduler(
        num_train_timesteps=config.train_steps,
        beta_schedule=config.beta_schedule,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        prediction_type=config.prediction,
        timestep_spacing="trailing",  # begins at the noisiest step, as training does
        clip_sample=False,
    )


def alphas_cumprod(config: MotionConfig) -> Tensor:
    """Cumulative products of ``1 - beta`` of a model's schedule, ``[train_steps]``, the one the samplers use."""
    return noise_schedule(config.beta_schedule, config.train_steps, config.beta_start, config.beta_end)


def sample_latents(
    denoise: Callable[[Tensor, Tensor], Tensor],  # (noisy latents, timestep) -> what the network predicts
    noise: Tensor,  # [B, ...] standard normal
    *,
    scheduler,  # from make_scheduler
    steps: int,
    generators: Sequence[torch.Generator],  # one a sample, on the CPU
    recurrence: int = 0,  # times that each step is repeated
    progress: Callable[[int, int], None] | None = None,  # called with (steps done, steps)
) -> Tensor:
    """Denoise from noise to clean latents.

    With ``recurrence`` n each step's result is n times noised again to the level that it came from and denoised once
    more (self-recurrence, Bansal et al. 2023, "Universal Guidance", algorithm 1). That lets guidance act n + 1 times
    at each level, and what it pushed off the data's distribution comes back to it in between.

    DPM-Solver++ extrapolates from the last step's prediction. After noising again that prediction belongs to another
    trajectory, so the solver starts afresh with a first-order step; the next level then extrapolates from this one.
    """
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps
    latents = noise
    for index, timestep in enumerate(timesteps):
        for repeat in range(recurrence + 1):
            if repeat:
                following = timesteps[index + 1] if index + 1 < len(timesteps) else None
                latents = noise_again(scheduler, latents, following, timestep, generators)
                if isinstance(scheduler, DPMSolver):
                    scheduler.begin_at(index)
            output = denoise(latents, timestep)
            extra = {} if isinstance(scheduler, DPMSolver) else {"generator": list(generators)}
            latents = scheduler.step(output, timestep, latents, **extra).prev_sample
        if progress is not None:
            progress(index + 1, len(timesteps))
    return latents


def noise_again(
    scheduler, latents: Tensor, from_step: Tensor | None, to_step: Tensor, generators: Sequence[torch.Generator]
) -> Tensor:
    """Take latents at ``from_step`` (None: clean) to the higher noise level of ``to_step``.

    ``z_t = r z_s + sqrt(1 - r^2) noise`` with ``r = alpha_t / alpha_s``: one step of the forward process.
    """
    alpha = noise_levels(scheduler, to_step)[0]
    ratio = alpha / (1.0 if from_step is None else noise_levels(scheduler, from_step)[0])
    return ratio * latents + (1 - ratio**2) ** 0.5 * draw_noise(latents.shape[1:], generators, latents)


def draw_noise(shape: Sequence[int], generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Standard normal ``[B, *shape]``, each sample's from its own generator, on the device of ``like``."""
    return torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators]).to(like)


def steer_output(
    prediction: str,
    output: Tensor,  # what the network predicts
    *,
    noisy: Tensor,
    alpha: float,
    sigma: float,
    strength: float,  # u
    gradient: Callable[[Tensor], Tensor],  # gradient of a loss by the clean latents
) -> Tensor:
    """A loss's term of Eq. 5, ``eps + u sigma grad_z L``, as a network output of the same kind.

    The loss is that of the clean latents x predicted at this step, and ``grad_z L = (dx / dz)^T grad_x L``. A backward
    pass through the network at every step would give its Jacobian; taken is that of the exact denoiser of latents
    that are independent with unit variance, as whitening makes them: ``dx / dz = alpha``. So x moves by
    ``-u sigma^2 grad_x L``, which is bounded. (``1 / alpha``, the Jacobian at a fixed noise estimate, is not: where
    there is almost only noise, it throws samples far out of the distribution.)
    """
    clean, _ = predicted_clean_and_noise(prediction, output, noisy, alpha, sigma)
    change = strength * sigma * gradient(clean)  # change of the velocity, since v = (eps - sigma z) / alpha
    return output + (alpha * change if prediction == "epsilon" else change)


def loop_loss(volume: Tensor, num_frames: int) -> Tensor:
    """Eq. 5's ``|F_T - F_1|_1 + |grad F_T - grad F_1|_1``: position and velocity at both ends, mean absolute values.

    A truncated inverse DFT repeats after T frames whatever the volume, so frame T + 1 is frame 1 at no cost; this asks
    in addition that the wrap-around be slow, which a volume measured on a clip that does not loop need not fulfil.

    ``[B, K, 4, H, W]`` in pixels -> ``[B]``.
    """
    ends = motion_at_times(volume, [0, 1, num_frames - 2, num_frames - 1], num_frames)
    first, second, before_last, last = ends.unbind(dim=1)
    position, velocity = last - first, (last - before_last) - (second - first)
    return position.abs().mean(dim=(1, 2, 3)) + velocity.abs().mean(dim=(1, 2, 3))


def noise_levels(scheduler, timestep: Tensor) -> tuple[float, float]:
    """(alpha, sigma) of ``z = alpha x + sigma noise`` at a timestep."""
    product = float(scheduler.alphas_cumprod[int(timestep)])
    return product**0.5, (1 - product) ** 0.5


def predicted_clean_and_noise(
    prediction: str, output: Tensor, noisy: Tensor, alpha: float | Tensor, sigma: float | Tensor
) -> tuple[Tensor, Tensor]:
    """The clean latents and the noise that a network output stands for, with ``v = alpha noise - sigma x``."""
    if prediction == "epsilon":
        return (noisy - sigma * output) / alpha, output
    return alpha * noisy - sigma * output, sigma * noisy + alpha * output
