"""The stages of training a motion model: what each trains and for how long, and how its samples are judged.

Stages (paper sections 4.1 and 4.2): ``autoencoder``; ``slice``, the 2D U-Net on single slices; ``coordinate``,
frequency attention on all slices of a photograph with the 2D layers frozen; and ``decoder``, which sharpens the
autoencoder's decoder alone, so that the latents, and with them the U-Net, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from evaluation.metrics.motion import amplitude_ratio, localisation, spatial_coherence
from models.motion.image_encoder import load_encoder_weights
from models.motion.model import MotionConfig, MotionModel
from models.spectral_volume import SpectralNormalizer, rms_amplitude
from training.losses import AUTOENCODER_STAGES

DECODER_LAYERS = ("decode_", "guide")  # what the decoder's parameters are called


@dataclass(frozen=True)
class StageConfig:
    """How one stage is trained."""

    steps: int
    batch_size: int  # photographs
    frequencies: int  # slices of each photograph; 0 takes all
    learning_rate: float
    ema_decay: float = 0.998


@dataclass(frozen=True)
class TrainingConfig:
    """How a motion model is trained."""

    autoencoder: StageConfig
    slice: StageConfig
    coordinate: StageConfig
    decoder: StageConfig
    condition_dropout: float = 0.1  # share of photographs dropped, for classifier-free guidance
    schedule: str = "cosine"  # or constant
    warmup: int = 100  # steps over which the learning rate rises
    gradient_clip: float = 1.0
    weight_decay: float = 0.01


REFERENCE_STAGE = StageConfig(368_000, batch_size=1, frequencies=1, learning_rate=1e-5, ema_decay=0.9999)
TRAINING_PRESETS = {
    "default": TrainingConfig(
        autoencoder=StageConfig(steps=2500, batch_size=8, frequencies=4, learning_rate=2e-3),
        slice=StageConfig(steps=6000, batch_size=16, frequencies=4, learning_rate=5e-4),
        coordinate=StageConfig(steps=2000, batch_size=4, frequencies=0, learning_rate=5e-4),
        decoder=StageConfig(steps=2500, batch_size=8, frequencies=4, learning_rate=1e-3),
    ),
    "tiny": TrainingConfig(
        autoencoder=StageConfig(steps=4, batch_size=2, frequencies=2, learning_rate=1e-3),
        slice=StageConfig(steps=4, batch_size=2, frequencies=2, learning_rate=1e-3),
        coordinate=StageConfig(steps=4, batch_size=2, frequencies=0, learning_rate=1e-3),
        decoder=StageConfig(steps=4, batch_size=2, frequencies=2, learning_rate=1e-3),
        warmup=1,
    ),
    # One random slice a step, and Adam at 1e-5, as the reference implementation trains; only its U-Net is trained.
    "reference": TrainingConfig(
        autoencoder=REFERENCE_STAGE,
        slice=REFERENCE_STAGE,
        coordinate=REFERENCE_STAGE,
        decoder=REFERENCE_STAGE,
        condition_dropout=0.0,
        schedule="constant",
        weight_decay=0.0,
    ),
    # 96 slices a step and 5e-5 with Adam over 750,000 steps. How these divide into the two stages of the U-Net, and
    # how long the autoencoder trains, the paper doesn't say. It has no decoder stage.
    "paper": TrainingConfig(
        autoencoder=StageConfig(200_000, batch_size=96, frequencies=1, learning_rate=5e-5, ema_decay=0.9999),
        slice=StageConfig(500_000, batch_size=96, frequencies=1, learning_rate=5e-5, ema_decay=0.9999),
        coordinate=StageConfig(250_000, batch_size=6, frequencies=0, learning_rate=5e-5, ema_decay=0.9999),
        decoder=StageConfig(200_000, batch_size=96, frequencies=1, learning_rate=5e-5, ema_decay=0.9999),
        schedule="constant",
        weight_decay=0.0,
    ),
}


def untrained_model(
    config: MotionConfig,
    statistics: dict,  # of the dataset: see SpectralNormalizer.from_statistics
    seed: int,
    image_encoder: Path,  # weights of the image encoder, where the configuration has one
) -> MotionModel:
    """A model with random weights, the statistics of a dataset and a pretrained image encoder."""
    normalizer = SpectralNormalizer.from_statistics(config.normalization, statistics, config.num_frequencies)
    torch.manual_seed(seed)
    model = MotionModel(config, normalizer)
    load_pretrained_parts(model, image_encoder)
    return model


def load_pretrained_parts(model: MotionModel, image_encoder: Path) -> None:
    """Give a new model the weights that never train: of its image encoder, and of its autoencoder if that is frozen."""
    if model.image_encoder is not None:
        load_encoder_weights(model.image_encoder, image_encoder)
    model.autoencoder.load_frozen_weights()


def with_joint_unet(model: MotionModel, seed: int, image_encoder: Path) -> MotionModel:
    """A joint model (see `MotionConfig.joint`) with the autoencoder of ``model`` and an untrained U-Net."""
    torch.manual_seed(seed)
    joint = MotionModel(replace(model.config, joint=True), model.normalizer)
    if joint.image_encoder is not None:
        load_encoder_weights(joint.image_encoder, image_encoder)
    joint.autoencoder.load_state_dict(model.autoencoder.state_dict())
    return joint


def prepare_stage(model: MotionModel, stage: str) -> nn.Module:
    """Set which parameters train in a stage and return the module that holds them.

    Frequency attention takes part in sampling from its own stage on; the decoder's stage leaves that as it is.
    """
    if stage not in model.stages:
        what = "frequency attention" if stage == "coordinate" else stage
        raise ValueError(f"this model has no {what} to train; its stages are {', '.join(model.stages)}")
    model.requires_grad_(False)
    if stage != "decoder":
        model.coordinate = stage == "coordinate"
    frequency = set(model.unet.frequency_parameters())
    if stage in AUTOENCODER_STAGES:
        for name, parameter in model.autoencoder.named_parameters():
            parameter.requires_grad_(stage == "autoencoder" or name.startswith(DECODER_LAYERS))
        return model.autoencoder
    pretrained = set() if model.image_encoder is None else set(model.image_encoder.parameters())
    for parameter in model.unet.parameters():
        parameter.requires_grad_(parameter not in pretrained and (parameter in frequency) == (stage == "coordinate"))
    return model.unet


def slices_a_photograph(model: MotionModel, stage: str, options: StageConfig) -> int:
    """How many slices of each photograph a step draws, 0 for all: a joint U-Net knows no single ones."""
    return 0 if model.config.joint and stage == "slice" else options.frequencies


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


def judge_samples(
    model: MotionModel,
    scenes: dict[str, list[tuple[Tensor, Tensor]]],  # scene -> (image [1, 3, H, W], true volume [1, K, 4, H, W])
    samples: int,
    sample: Callable[[MotionModel, Tensor, int], Tensor] | None = None,  # (model, image, seed) -> volume
) -> dict[str, dict[str, float]]:
    """Localisation, amplitude ratio and coherence of samples for each scene, means over its photographs and samples."""
    sample = sample or (lambda model, image, seed: model.sample(image, [seed]))
    table: dict[str, dict[str, float]] = {}
    for scene, photographs in scenes.items():
        rows = []
        for image, true in photographs:
            for seed in range(samples):
                volume = sample(model, image, seed)
                rows.append((localisation(volume, true), amplitude_ratio(volume, true), spatial_coherence(volume)))
        means = torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()
        table[scene] = dict(zip(("localisation", "amplitude_ratio", "coherence"), means, strict=True))
    return table


def mean_over_scenes(table: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean of each measure over the scenes of :func:`judge_samples`."""
    names = next(iter(table.values()))
    return {name: sum(row[name] for row in table.values()) / len(table) for name in names}


def limit_amplitude(model: MotionModel, volumes: Iterable[Tensor]) -> float:
    """Set the largest amplitude of true volumes ``[1, K, 4, H, W]`` as the limit of sampled ones, and return it."""
    model.amplitude_limit.fill_(max(float(rms_amplitude(volume)) for volume in volumes))
    return float(model.amplitude_limit)


@torch.no_grad()
def calibrate_amplitude(
    model: MotionModel, photographs: list[tuple[Tensor, Tensor]], samples: int, limit: float = 4.0
) -> float:
    """Set the factor that brings sampled amplitudes to the true ones and return it.

    Samples of a network trained on few scenes move too little or too much on unseen ones. One factor for all
    frequencies, the median over photographs of true over sampled amplitude, is all that few scenes can fix: a mean
    would follow the one scene whose motion the model misses altogether.

    Args:
        photographs: image ``[1, 3, H, W]`` and true volume ``[1, K, 4, H, W]``; better ones not trained on.
    """
    model.amplitude_gain.fill_(1.0)
    logs = []
    for image, true in photographs:
        for seed in range(samples):
            sampled = rms_amplitude(model.sample(image, [seed]))[0]
            logs.append((rms_amplitude(true)[0] / sampled.clamp_min(1e-6)).log())
    gain = float(torch.stack(logs).quantile(0.5).exp().clamp(1 / limit, limit))
    model.amplitude_gain.fill_(gain)
    return gain
