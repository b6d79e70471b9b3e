"""What training measures on true volumes: the whitening of latents, how good samples are, and their amplitude."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from evaluation.metrics.motion import amplitude_ratio, localisation, spatial_coherence
from models.motion.model import MotionModel
from models.spectral_volume import LEAST_STRENGTH, SpectralNormalizer, motion_strength, rms_amplitude

STATISTICS_STEP = 5  # every so many rows and columns of a volume tell the scales of all


@torch.no_grad()
def measure_latent_statistics(model: MotionModel, volumes: Iterable[Tensor]) -> None:
    """Whiten the latents: mean and standard deviation a frequency and channel over volumes ``[1, K, 4, H, W]``."""
    model.autoencoder.set_latent_statistics(
        torch.zeros_like(model.autoencoder.latent_mean), torch.ones_like(model.autoencoder.latent_std)
    )
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for volume in volumes:
        latents = model.encode_volume(volume)[0].double()  # [K, C, h, w]
        count += latents[0, 0].numel()
        total = total + latents.sum(dim=(2, 3))
        squares = squares + latents.square().sum(dim=(2, 3))
    if not count:
        raise ValueError("there are no volumes to take latent statistics of")
    mean = total / count
    model.autoencoder.set_latent_statistics(mean.float(), (squares / count - mean.square()).clamp_min(0).sqrt().float())


def moves(true: Tensor) -> bool:
    """Whether anything moves in a true volume ``[1, K, 4, H, W]``: what stands still has no scale to compare with."""
    return float(motion_strength(true)) >= LEAST_STRENGTH


def judge_samples(
    model: MotionModel,
    scenes: dict[str, list[tuple[Tensor, Tensor]]],  # scene -> (image [1, 3, H, W], true volume [1, K, 4, H, W])
    *,
    samples: int,
    sample: Callable[[MotionModel, Tensor, int], Tensor] | None = None,  # (model, image, seed) -> volume, if not ours
) -> dict[str, dict[str, float]]:
    """Localisation, amplitude ratio and coherence of samples for each scene in which something moves.

    Means over its photos and samples.
    """
    table: dict[str, dict[str, float]] = {}
    for scene, photos in scenes.items():
        moving = [photo for photo in photos if moves(photo[1])]
        if not moving:
            continue
        rows = []
        for image, true in moving:
            for seed in range(samples):
                volume = sample(model, image, seed) if sample else sample_like(model, image, true, seed)
                rows.append((localisation(volume, true), amplitude_ratio(volume, true), spatial_coherence(volume)))
        means = torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()
        table[scene] = dict(zip(("localisation", "amplitude_ratio", "coherence"), means, strict=True))
    return table


def mean_over_scenes(table: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean of each measure over the scenes of :func:`judge_samples`; none where there are no scenes."""
    names = next(iter(table.values()), {})
    return {name: sum(row[name] for row in table.values()) / len(table) for name in names}


def limit_amplitude(model: MotionModel, volumes: Iterable[Tensor]) -> float:
    """Set the largest amplitude of true volumes ``[1, K, 4, H, W]`` as the limit of sampled ones, and return it."""
    model.amplitude_limit.fill_(max(float(rms_amplitude(volume)) for volume in volumes))
    return float(model.amplitude_limit)


def sample_like(model: MotionModel, image: Tensor, true: Tensor, seed: int, *, steps: int | None = None) -> Tensor:
    """A sample of a photo ``[1, 3, H, W]``; a model that is told the wind hears that of the true volume."""
    if not model.config.wind:
        return model.sample(image, [seed], steps=steps)
    return model.sample(image, [seed], steps=steps, wind=max(float(motion_strength(true)), LEAST_STRENGTH))


@torch.no_grad()
def measure_relative_statistics(
    model: MotionModel, measured: Iterable[tuple[Tensor, float | None]], *, size: tuple[int, int]
) -> None:
    """Give a model that is told the wind the scales of motion divided by its strength.

    Args:
        measured: volumes ``[1, K, 4, H, W]`` divided by their strengths, and these in pixels, None where nothing
            moves; their median is the wind where none is given.
        size: (W, H) of the training pictures.
    """
    samples, strengths = [], []
    for volume, strength in measured:
        if strength is not None:
            samples.append(volume[0, ..., ::STATISTICS_STEP, ::STATISTICS_STEP].flatten(1))
            strengths.append(strength)
    if not samples:
        raise ValueError("nothing moves in the training data: there is no motion to learn")
    values = torch.cat(samples, dim=1).abs()
    statistics = {
        "p95": torch.stack([row.kthvalue(max(1, round(0.95 * len(row)))).values for row in values]).tolist(),
        "rms": values.square().mean(dim=1).sqrt().tolist(),
        "size": list(size),
    }
    config = model.config
    model.normalizer = SpectralNormalizer.from_statistics(config.normalization, statistics, config.num_frequencies)
    model.usual_strength.fill_(float(torch.tensor(strengths).median()))


@torch.no_grad()
def calibrate_amplitude(
    model: MotionModel,
    photos: list[tuple[Tensor, Tensor]],
    *,
    samples: int,
    steps: int | None = None,
    limit: float = 4.0,
) -> float:
    """Set the factor that brings sampled amplitudes to the true ones and return it.

    Samples of a network trained on few scenes move too little or too much on unseen ones. One factor for all
    frequencies, the median over photos of true over sampled amplitude, is all that few scenes can fix: a mean
    would follow the one scene whose motion the model misses altogether.

    Args:
        photos: image ``[1, 3, H, W]`` and true volume ``[1, K, 4, H, W]``; better ones not trained on. Those in which
            nothing moves tell nothing and are left out; without any other, the factor is 1.
        samples: of each photo.
        steps: of each sample.
        limit: largest factor, and the inverse of the smallest.
    """
    model.amplitude_gain.fill_(1.0)
    unscaled = copy.copy(model)  # the same tensors
    unscaled.config = replace(model.config, still_below=None)
    logs = []
    for image, true in ((image, true) for image, true in photos if moves(true)):
        for seed in range(samples):
            sampled = rms_amplitude(sample_like(unscaled, image, true, seed, steps=steps))[0]
            logs.append((rms_amplitude(true)[0] / sampled.clamp_min(1e-6)).log())
    if not logs:
        return 1.0
    gain = float(torch.stack(logs).quantile(0.5).exp().clamp(1 / limit, limit))
    model.amplitude_gain.fill_(gain)
    return gain
