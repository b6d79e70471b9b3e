"""What a run of ``train_unet.py`` starts with by its command line: training configuration, stages and model."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from models.motion.model import PRESETS, STAGES, MotionConfig, MotionModel
from models.motion.vq_autoencoder import VQAutoencoderConfig
from training.motion import TRAINING_PRESETS, TrainingConfig, untrained_model, with_joint_unet
from training.state import read_training_state


def training_config(arguments: argparse.Namespace) -> TrainingConfig:
    """The preset with what the command line overrides."""
    config = TRAINING_PRESETS[arguments.preset]
    for stage in STAGES:
        values = {
            "steps": getattr(arguments, f"{stage}_steps") or arguments.max_steps,
            "batch_size": arguments.batch_size,
            "learning_rate": arguments.learning_rate,
        }
        changes = {name: value for name, value in values.items() if value is not None}
        config = replace(config, **{stage: replace(getattr(config, stage), **changes)})
    if arguments.schedule:
        config = replace(config, schedule=arguments.schedule)
    if arguments.condition_dropout is not None:
        if not 0 <= arguments.condition_dropout <= 1:
            raise ValueError(f"--condition-dropout {arguments.condition_dropout}: a share between 0 and 1 is needed")
        config = replace(config, condition_dropout=arguments.condition_dropout)
    return config


def wanted_stages(arguments: argparse.Namespace, model: MotionModel) -> list[str]:
    """The stages that the command line asks for, of those that this kind of model has."""
    kind = "--independent" if arguments.independent else "a joint model" if model.config.joint else "this preset"
    there = [stage for stage in model.stages if not (arguments.independent and stage == "coordinate")]
    if arguments.stage == "all":
        return there
    if arguments.stage not in there:
        what = "trains frequency attention" if arguments.stage == "coordinate" else "trains the autoencoder"
        raise ValueError(f"--stage {arguments.stage} {what}, which {kind} leaves out")
    return [arguments.stage]


def stages_left(output: Path, stages: list[str]) -> list[str]:
    """The stages from the one that a stopped run was in."""
    state = read_training_state(output)
    return stages[stages.index(state["stage"]) :] if state is not None and state["stage"] in stages else stages


def build_model(arguments: argparse.Namespace, statistics: dict) -> MotionModel:
    """A fresh model, or the one of the output folder or of ``--init``, which brings its own statistics.

    Args:
        statistics: ``stats.json`` of the first folder of ``--data``.
    """
    there = arguments.output if (arguments.output / "config.json").is_file() else None
    source = there or arguments.init
    if source is None:
        config = fresh_configuration(arguments, statistics)
        return untrained_model(config, statistics, arguments.seed, arguments.image_encoder)
    model = MotionModel.from_pretrained(source)  # a later stage goes on from the checkpoint of an earlier one
    for option in ("num_frequencies", "normalization"):
        asked, found = getattr(arguments, option), getattr(model.config, option)
        if asked not in (None, found):
            name = f"--{option.replace('_', '-')}"
            raise ValueError(f"{source}: trained with {name} {found}, not {asked}; give a model trained so, or none")
    if arguments.joint and not model.config.joint:
        if there:
            raise ValueError(f"{there}: holds a model that is not joint; name another folder as --output")
        return with_joint_unet(model, arguments.seed, arguments.image_encoder)
    if arguments.independent:
        model.coordinate = False
    return model


def fresh_configuration(arguments: argparse.Namespace, statistics: dict) -> MotionConfig:
    """Configuration of an untrained model: the preset, what overrides it, and the dataset's size, length and rate."""
    preset = PRESETS[arguments.preset]
    config = replace(
        preset,
        num_frequencies=preset.num_frequencies if arguments.num_frequencies is None else arguments.num_frequencies,
        size=tuple(statistics["size"]),
        num_frames=statistics["num_frames"],
        fps=statistics["fps"],
        normalization=arguments.normalization or preset.normalization,
        joint=arguments.joint,
    )
    if arguments.vqvae:
        if arguments.preset != "reference":
            raise ValueError(f"--vqvae: the preset {arguments.preset} trains its own autoencoder; leave it out")
        config = replace(config, autoencoder=VQAutoencoderConfig.from_source(arguments.vqvae))
    stored = statistics["num_frequencies"]
    if not 2 <= config.num_frequencies <= stored:
        raise ValueError(
            f"{arguments.data[0]}: holds {stored} frequencies, a model of {config.num_frequencies} can't be trained; "
            f"choose --num-frequencies between 2 and {stored}, or prepare the data again with more"
        )
    return config
