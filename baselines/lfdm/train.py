"""Training both stages: what is trained on what, and where it is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from baselines.lfdm.conditions import encode_texts
from baselines.lfdm.config import STAGES, AutoencoderConfig, DiffusionConfig, Preset, StageTraining
from baselines.lfdm.data.batches import ClipBatches, PairBatches
from baselines.lfdm.data.clips import Clip, ClipFrames
from baselines.lfdm.data.datasets import find_clips, labels_of
from baselines.lfdm.diffusion import FlowCodec, LatentFlowDiffusion
from baselines.lfdm.networks.autoencoder import FlowAutoencoder
from baselines.lfdm.perceptual import PyramidLoss, load_features
from baselines.lfdm.pipeline import latent_channels, load_autoencoder, load_diffusion
from baselines.lfdm.tasks import AutoencoderTask, DiffusionTask, flow_volumes
from baselines.lfdm.validation import ReconstructionValidation, SampleValidation
from common.command_line import package_versions
from training.batches.options import DataOptions
from training.log import summary_writer
from training.loop import Outcome
from training.loop import train as run_loop
from training.processes import Processes
from training.saved_state import STATE_FILE
from training.state import step_generator
from training.task import RunOptions

CALIBRATION_CLIPS = 16  # on which the scale of residual flow is measured
CALIBRATION_STREAM = 9


@dataclass(frozen=True)
class LFDMRun:
    """Everything that a training of LFDM is told."""

    data: DataOptions
    preset: Preset
    run: RunOptions  # its output holds a folder for each stage
    stages: tuple[str, ...] = STAGES
    layout: str = "dataset"
    init: Path | None = None  # a folder with an autoencoder to start from
    decoder_only: bool = False  # train the decoder of the autoencoder alone
    vgg_weights: Path | None = None
    weights: Path | None = None  # folder with the metrics' weights


def train_lfdm(
    run: LFDMRun, device: torch.device, *, watch: Callable[[str, int], None] | None = None
) -> dict[str, dict[str, dict]] | None:
    """Train the stages one after the other; each run folder then is a checkpoint.

    Returns:
        ``stages``: the results of each stage for a report; None in processes that are not the main one.
    """
    if run.run.tensorboard:
        summary_writer()  # whether there is one is said before anything else happens
    check_run(run)
    run = replace(run, run=run.run.on(device))
    processes = Processes(device)
    results = {}
    for stage in run.stages:
        task: AutoencoderTask | DiffusionTask
        if stage == "autoencoder":
            task, found = build_autoencoder_task(run, processes)
        else:
            task, found = build_diffusion_task(run, processes)
        processes.copy_from_main(task.model)
        processes.wait()  # until all have read what the main process will write again
        outcome: Outcome = run_loop(task, stage_options(run.run, stage), processes, watch=watch)
        processes.wait()
        parameters = sum(parameter.numel() for parameter in task.model.parameters())
        results[stage] = {"parameters": parameters, **found, "validation": outcome.figures, "best": outcome.best}
    processes.close()
    return {"stages": results} if processes.is_main else None


def stage_options(run: RunOptions, stage: str) -> RunOptions:
    """A stage's folder and precision."""
    # Positions of regions need more digits than bfloat16 has: it would round them by a quarter of a pixel.
    precision = "float32" if stage == "autoencoder" else run.precision
    return replace(run, output=run.output / stage, precision=precision)


def check_run(run: LFDMRun) -> None:
    """Find out before the first stage what would stop the second: sizes, clips, labels, the text encoder."""
    if "diffusion" not in run.stages:
        return
    config = run.preset.diffusion
    config.check_size(run.preset.autoencoder.size)
    found = training_clips(run, whole=True)
    clips = [clip for group in found for clip in group]
    for clip in (*(group[0] for group in found), *validation_clips(run, whole=True)[:1]):
        clip.read([0])  # the first stage takes stored frames; the videos that the second one decodes may have moved
    if config.condition != "none":
        labels = labels_of(clips)
    if config.condition == "text":
        encode_texts(labels[:1], config.text_encoder)


def training_clips(run: LFDMRun, *, whole: bool = False) -> list[list[Clip]]:
    """The training clips of each folder; arguments and errors as of :func:`find_clips`."""
    return [find_clips(folder, "train", layout=run.layout, whole=whole) for folder in run.data.folders]


def validation_clips(run: LFDMRun, *, whole: bool = False) -> list[Clip]:
    """Clips held out in all folders that are validated on, by default those trained on."""
    folders = run.data.validation or run.data.folders
    return [clip for folder in folders for clip in find_clips(folder, "validation", layout=run.layout, whole=whole)]


def clip_weights(run: LFDMRun, groups: list[list[Clip]]) -> list[float] | None:
    """How often each clip is drawn for the folders' shares; None for alike, as the clips of a single folder are."""
    return run.data.item_weights([len(group) for group in groups]) if len(groups) > 1 else None


def build_autoencoder_task(run: LFDMRun, processes: Processes) -> tuple[AutoencoderTask, dict]:
    """The first stage: of the run that is resumed, of ``run.init``, or fresh."""
    folder, training = run.run.output / "autoencoder", run.preset.autoencoder_training
    config = run.preset.autoencoder
    if (folder / "config.json").is_file():
        model = load_autoencoder(_resumable(folder))
        _expect_same(model.config, config, folder)
    elif run.init is not None:
        model = load_autoencoder(run.init / "autoencoder")
        _expect_same(model.config, config, run.init / "autoencoder")
    elif run.decoder_only:
        raise ValueError("--trainable decoder: needs an autoencoder to start from, give --init RUN")
    else:
        torch.manual_seed(run.run.seed)
        model = FlowAutoencoder(config)
    if run.decoder_only:
        model.fix_all_but_decoder()
    model.to(processes.device)
    if processes.count > 1 and processes.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    groups = training_clips(run)
    frames = ClipFrames([clip for group in groups for clip in group], config.size, fit=config.fit)
    features = load_features(run.vgg_weights, run.weights).to(processes.device)
    if features.name != "VGG19" and processes.is_main:
        print(f"reconstruction is compared by {features.name} in place of VGG19", file=sys.stderr)
    checked = validation_clips(run)
    validation = None
    if checked:
        validation = ReconstructionValidation(ClipFrames(checked, config.size, fit=config.fit), device=processes.device)
    task = AutoencoderTask(
        model,
        training,
        batches=PairBatches(
            frames,
            by_subject=training.by_subject,
            jitter=training.color_jitter,
            weights=clip_weights(run, groups),
        ),
        distance=PyramidLoss(features, training.perceptual_scales),
        validation=validation,
        output=folder,
        provenance=provenance(run, training, processes=processes.count)
        | {"features": features.name, "decoder_only": run.decoder_only},
    )
    return task, {"clips": len(frames.clips), "features": features.name}


def build_diffusion_task(run: LFDMRun, processes: Processes) -> tuple[DiffusionTask, dict]:
    """The second stage, on the autoencoder in the run folder or in that of ``run.init``."""
    folder, training = run.run.output / "diffusion", run.preset.diffusion_training
    place = run.run.output if (run.run.output / "autoencoder" / "config.json").is_file() else run.init
    if place is None:
        raise ValueError(f"{run.run.output}: no autoencoder there yet; train --stage autoencoder first, or give --init")
    autoencoder = load_autoencoder(place / "autoencoder").to(processes.device)
    shape = autoencoder.config
    _expect_same(shape, run.preset.autoencoder, place / "autoencoder")
    groups = training_clips(run, whole=True)
    clips = [clip for group in groups for clip in group]
    config = run.preset.diffusion
    if config.condition != "none":
        config = replace(config, labels=labels_of(clips))
    frames = ClipFrames(clips, shape.size, fit=shape.fit)
    batches = ClipBatches(
        frames,
        config.frames,
        sampling=training.frame_sampling,
        jitter=training.color_jitter,
        weights=clip_weights(run, groups),
    )
    if (folder / "config.json").is_file():
        model = load_diffusion(_resumable(folder), autoencoder=autoencoder)
        _expect_same(model.config, replace(config, flow_scale=model.config.flow_scale), folder)
        model.to(processes.device)
    else:
        torch.manual_seed(run.run.seed)
        config = calibrate(config, autoencoder, batches, seed=run.run.seed, device=processes.device)
        model = LatentFlowDiffusion(config, latent_channels(shape)).to(processes.device)
    checked = validation_clips(run, whole=True)
    validation = None
    if checked:
        validation = SampleValidation(
            ClipFrames(checked, shape.size, fit=shape.fit), config.frames, device=processes.device
        )
    task = DiffusionTask(
        model,
        training,
        autoencoder=autoencoder,
        batches=batches,
        validation=validation,
        output=folder,
        provenance=provenance(run, training, processes=processes.count),
    )
    return task, {"clips": len(clips), "flow_scale": model.config.flow_scale}


def calibrate(
    config: DiffusionConfig,
    autoencoder: FlowAutoencoder,
    batches: ClipBatches,
    *,
    seed: int,
    device: torch.device,
) -> DiffusionConfig:
    """The configuration with the scale of its residual flow: 1 / 99th percentile of the magnitude in training clips."""
    if config.flow_target != "residual":
        return config
    codec, lengths = FlowCodec(replace(config, flow_scale=1.0)), []
    for number in range(CALIBRATION_CLIPS):
        generator = step_generator(seed, 0, stream=CALIBRATION_STREAM, sample=number)
        volume, _ = flow_volumes(codec, autoencoder, batches.draw([generator]).frames.to(device))
        lengths.append(torch.quantile(volume[:, :2].abs().flatten(), 0.99))
    largest = float(torch.stack(lengths).mean())
    if largest < 1e-5:
        raise ValueError("the autoencoder finds no motion in the training clips; train it longer, or on other clips")
    return replace(config, flow_scale=1 / largest)


def provenance(run: LFDMRun, training: StageTraining, *, processes: int) -> dict[str, object]:
    """How the weights come about, for the checkpoint."""
    values = asdict(training)
    if values["gradient_clip"] == float("inf"):
        values["gradient_clip"] = None  # JSON has no infinity
    return {
        "data": run.data.names,
        "shares": run.data.shares,
        "layout": run.layout,
        "seed": run.run.seed,
        **values,
        "init": None if run.init is None else run.init.name,
        "processes": processes,
        "accumulation": run.run.accumulation,
        "versions": {name: version for name, version in package_versions().items() if name != "machine"},
    }


def _resumable(folder: Path) -> Path:
    if not (folder / STATE_FILE).is_file():
        raise ValueError(f"{folder}: a checkpoint without training state; use --init with it and another --output")
    return folder


def _expect_same(
    found: AutoencoderConfig | DiffusionConfig, wanted: AutoencoderConfig | DiffusionConfig, folder: Path
) -> None:
    mine, asked = (json.loads(json.dumps(asdict(config))) for config in (found, wanted))
    other = [name for name in mine if mine[name] != asked[name]]
    if other:
        listing = ", ".join(f"{name} is {mine[name]}, {asked[name]} was asked for" for name in other[:3])
        raise ValueError(f"{folder}: was trained with another configuration: {listing}; choose another --output")
