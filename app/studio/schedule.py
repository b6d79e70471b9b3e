"""A sampler's steps as numbers, so that the page needs no schedulers.

A deterministic solver's step is linear in the noisy latents and the network's predictions, of this step and of those
before. Its coefficients are read off the very scheduler that Python samples with: it is run once on unit vectors, one
for each value that goes into it.
"""

from __future__ import annotations

import torch

from models.motion.config import MotionConfig
from models.motion.diffusion import ORDERS, make_scheduler


def sampler_steps(config: MotionConfig) -> list[dict]:
    """What each of the configuration's steps is made of.

    ``timestep``; ``noisy`` and ``prediction``, the factors on the latents and on what the network predicts of them;
    ``before``, the factors on both of the step before.

    Raises:
        ValueError: a sampler that draws noise, or that looks further back.
    """
    if config.sampler not in ORDERS:
        raise ValueError(f"sampler {config.sampler}: the page has {' and '.join(ORDERS)}")
    scheduler = make_scheduler(config, config.sampler)
    scheduler.set_timesteps(config.steps)
    count = len(scheduler.timesteps)
    steps = []
    for index, timestep in enumerate(scheduler.timesteps):
        noisy, prediction = torch.eye(2 * count)[2 * index : 2 * index + 2]
        following = scheduler.step(prediction, timestep, noisy).prev_sample.view(count, 2).tolist()
        if any(value for pair in following[: max(0, index - 1)] for value in pair):
            raise ValueError(f"sampler {config.sampler}: a step depends on more than the one before it")
        factors = dict(zip(("noisy", "prediction"), following[index], strict=True))
        before = following[index - 1] if index else [0.0, 0.0]
        steps.append({"timestep": int(timestep), **factors, "before": before})
    return steps
