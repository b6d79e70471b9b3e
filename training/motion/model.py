"""The motion model that a training starts with: fresh, or from a checkpoint, and what trains of it in each stage.

Stages (paper sections 4.1 and 4.2): ``autoencoder``; ``slice``, the 2D U-Net on single slices; ``frequency_attention``,
which trains on all slices of a photo with the 2D layers frozen; and ``decoder``, which sharpens the autoencoder's
decoder alone, so that the latents, and with them the U-Net, stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from common.checkpoint import load_weights
from models.motion.denoiser import DenoiserConfiguration
from models.motion.model import MotionConfig, MotionModel
from models.motion.stages import AUTOENCODER_STAGES
from models.motion.unet import UNetConfig
from models.motion.vq_autoencoder import VQAutoencoderConfig
from models.spectral_volume import SpectralNormalizer
from training.motion.distillation import make_student
from training.presets import StageConfig


@dataclass(frozen=True)
class ModelOptions:
    """Which motion model is trained."""

    preset: MotionConfig  # what a fresh model is like, but for what the options below and the dataset say
    image_encoder: Path  # weights of the image encoder: a motion checkpoint, or the published file
    init: Path | None = None  # motion checkpoint to start from
    num_frequencies: int | None = None  # these three: None takes the preset's
    normalization: str | None = None
    vqvae: str | None = None  # folder or hub id of the pretrained autoencoder, for presets that have one
    independent: bool = False  # frequency attention takes no part and has no stage
    joint: bool = False  # the latents of all frequencies are denoised as one tensor
    distill: Path | None = None  # motion checkpoint that the model learns from, and starts as unless there is init
    student_steps: int = 4  # in which it then samples
    teacher_steps: int = 2  # of the checkpoint's, learned as one
    wind: bool = False  # how far things move is divided out and told to the network
    still_below: float | None = None  # these two: see MotionConfig; None leaves it as it is
    even_out: float | None = None


def build_model(options: ModelOptions, output: Path, *, statistics: dict, data: Path, seed: int) -> MotionModel:
    """A fresh model, or the one of the output folder or of ``options.init``, which brings its own statistics.

    Args:
        statistics: ``stats.json`` of the dataset folder ``data``.
    """
    model = _built(options, output, statistics=statistics, data=data, seed=seed)
    if options.still_below is not None:
        if not model.config.wind:
            raise ValueError("--still-below is a share of the wind's strength: give --wind as well")
        model.config = replace(model.config, still_below=options.still_below)
    if options.even_out is not None:
        model.config = replace(model.config, even_out=options.even_out)
    return model


def _built(options: ModelOptions, output: Path, *, statistics: dict, data: Path, seed: int) -> MotionModel:
    if options.distill is not None and (options.joint or options.wind):
        raise ValueError("--distill: the student is what its teacher is; leave out --joint and --wind")
    there = output if (output / "config.json").is_file() else None
    if options.distill is not None and there is None:
        teacher = MotionModel.from_pretrained(options.distill)
        student = make_student(teacher, options.student_steps, teacher_steps=options.teacher_steps)
        if options.init is not None:  # an earlier student of such a teacher
            load_weights(student.unet, MotionModel.from_pretrained(options.init).unet.state_dict(), options.init)
        return student
    source = there or options.init
    if source is None:
        config = fresh_configuration(options, statistics, data=data)
        return untrained_model(config, statistics, seed=seed, image_encoder=options.image_encoder)
    model = MotionModel.from_pretrained(source)  # a later stage starts from the checkpoint of an earlier one
    for option in ("num_frequencies", "normalization"):
        asked, found = getattr(options, option), getattr(model.config, option)
        if asked not in (None, found):
            name = f"--{option.replace('_', '-')}"
            raise ValueError(f"{source}: trained with {name} {found}, not {asked}; give a model trained so, or none")
    if options.joint and not model.config.joint:
        if there:
            raise ValueError(f"{there}: holds a model that is not joint; name another folder as --output")
        return with_joint_unet(model, seed=seed, image_encoder=options.image_encoder)
    if options.wind and not model.config.wind:
        if there:
            raise ValueError(f"{there}: holds a model without wind; name another folder as --output")
        model = with_wind(model)
    if options.independent:
        model.frequency_attention = False
    return model


def fresh_configuration(options: ModelOptions, statistics: dict, *, data: Path) -> MotionConfig:
    """Configuration of an untrained model: the preset, what overrides it, and the dataset's size, length and rate."""
    preset = options.preset
    config = replace(
        preset,
        num_frequencies=preset.num_frequencies if options.num_frequencies is None else options.num_frequencies,
        size=tuple(statistics["size"]),
        num_frames=statistics["num_frames"],
        fps=statistics["fps"],
        normalization=options.normalization or preset.normalization,
        joint=options.joint,
        unet=told_the_wind(preset.unet) if options.wind else preset.unet,
    )
    if options.vqvae:
        if preset.autoencoder.picture_channels is None:
            raise ValueError("--vqvae: this preset trains its own autoencoder; leave it out")
        config = replace(config, autoencoder=VQAutoencoderConfig.from_source(options.vqvae))
    stored = statistics["num_frequencies"]
    if not 2 <= config.num_frequencies <= stored:
        raise ValueError(
            f"{data}: holds {stored} frequencies, a model of {config.num_frequencies} can't be trained; "
            f"choose --num-frequencies between 2 and {stored}, or prepare the data again with more"
        )
    return config


def wanted_stages(options: ModelOptions, model: MotionModel, *, stage: str) -> list[str]:
    """The stages that a run is asked for (``all``, or one), if this kind of model has them."""
    kind = "--independent" if options.independent else "a joint model" if model.config.joint else "this preset"
    if options.distill is not None and stage != "slice":
        raise ValueError("--distill trains the U-Net on single slices: give --stage slice")
    there = [name for name in model.stages if not (options.independent and name == "frequency_attention")]
    if stage == "all":
        return there
    if stage not in there:
        what = "trains frequency attention" if stage == "frequency_attention" else "trains the autoencoder"
        raise ValueError(f"--stage {stage.replace('_', '-')} {what}, which {kind} leaves out")
    return [stage]


def untrained_model(
    config: MotionConfig,
    statistics: dict,  # the dataset's: see SpectralNormalizer.from_statistics
    *,
    seed: int,
    image_encoder: Path,  # weights of the image encoder, where the configuration has one
) -> MotionModel:
    """A model with random weights, the statistics of a dataset and a pretrained image encoder."""
    normalizer = SpectralNormalizer.from_statistics(config.normalization, statistics, config.num_frequencies)
    torch.manual_seed(seed)
    model = MotionModel(config, normalizer)
    load_pretrained_parts(model, image_encoder)
    return unmeasured(model)


def load_pretrained_parts(model: MotionModel, image_encoder: Path) -> None:
    """Give a new model the weights that never train: of its image encoder, and of its autoencoder if that is frozen."""
    model.load_image_encoder(image_encoder)
    model.autoencoder.load_frozen_weights()


def with_joint_unet(model: MotionModel, *, seed: int, image_encoder: Path) -> MotionModel:
    """A joint model (see `MotionConfig.joint`) with the autoencoder of ``model`` and an untrained U-Net."""
    torch.manual_seed(seed)
    joint = MotionModel(replace(model.config, joint=True), model.normalizer)
    joint.load_image_encoder(image_encoder)
    joint.autoencoder.load_state_dict(model.autoencoder.state_dict())
    return joint


def told_the_wind(config: DenoiserConfiguration) -> UNetConfig:
    """The configuration of a U-Net that is told how far things move."""
    if not isinstance(config, UNetConfig):
        raise ValueError("--wind: the U-Net of this preset can't be told the wind; choose another preset")
    return replace(config, wind=True)


def with_wind(model: MotionModel) -> MotionModel:
    """The same networks, which now are told the wind; its statistics and the latents' have to be measured."""
    config = replace(model.config, unet=told_the_wind(model.config.unet))
    told = MotionModel(config, model.normalizer)
    fresh = {name: value for name, value in told.state_dict().items() if name not in model.state_dict()}
    told.load_state_dict({**model.state_dict(), **fresh})
    told.frequency_attention = model.frequency_attention
    return unmeasured(told)


def unmeasured(model: MotionModel) -> MotionModel:
    """The same model, marked as one whose usual wind has to be measured, where it is told any."""
    if model.config.wind:
        model.usual_strength.zero_()
    return model


def prepare_stage(model: MotionModel, stage: str) -> nn.Module:
    """Set which parameters train in a stage and return the module that holds them.

    Frequency attention takes part in sampling from its own stage on; the decoder's stage leaves that as it is.
    """
    if stage not in model.stages:
        what = stage.replace("_", " ")
        raise ValueError(f"this model has no {what} to train; its stages are {', '.join(model.stages)}")
    model.requires_grad_(False)
    if stage != "decoder":
        model.frequency_attention = stage == "frequency_attention"
    frequency = set(model.unet.frequency_parameters())
    if stage in AUTOENCODER_STAGES:
        decoder = stage == "decoder"
        for parameter in model.autoencoder.decoder_parameters() if decoder else model.autoencoder.parameters():
            parameter.requires_grad_(True)
        return model.autoencoder
    pretrained = set() if model.image_encoder is None else set(model.image_encoder.parameters())
    for parameter in model.unet.parameters():
        attends = parameter in frequency
        parameter.requires_grad_(parameter not in pretrained and attends == (stage == "frequency_attention"))
    return model.unet


def slices_a_photo(model: MotionModel, stage: str, *, config: StageConfig) -> int:
    """How many slices of each photo a step draws, 0 for all: a joint U-Net knows no single ones."""
    return 0 if model.config.joint and stage == "slice" else config.frequencies
