"""Training: the stages asked for, each with its data, from where it was stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.cinn.config import STAGES, Preset
from baselines.cinn.data.clips import Clips
from baselines.cinn.data.layouts import LAYOUTS, load_videos
from baselines.cinn.model import StochasticImageToVideo
from baselines.cinn.stages import ConditionStage, FlowStage, StageTask, VideoStage
from baselines.cinn.validation import VIDEO_METRICS, Validation
from baselines.clips import Video
from common.command_line import package_versions
from evaluation.networks.feature_networks import lpips_network
from evaluation.networks.weights import MissingWeightsError
from training.batches.options import DataOptions
from training.log import summary_writer
from training.loop import train
from training.processes import Processes
from training.renderer.perceptual_loss import StructureLoss
from training.task import RunOptions


@dataclass(frozen=True)
class CinnRun:
    """Everything that a training is told."""

    data: DataOptions
    layout: str  # of data.layouts.LAYOUTS
    preset: Preset
    run: RunOptions  # its output is the run folder, below which each stage has its own
    stages: Sequence[str] = STAGES
    control: bool = False  # of the last frame by positions that the data has
    steps: int | None = None  # of each stage, in place of the preset's epochs
    metric: str | None = None  # psnr, or one of VIDEO_METRICS, that chooses the best autoencoder
    weights: Path | None = None  # folder with the metrics' weights, searched before the cache


class Perceptual(nn.Module):
    """LPIPS (VGG16) as a loss, the mean over frames; its weights are frozen."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, target: Tensor) -> Tensor:
        """``[N, 3, H, W]`` in [-1, 1], twice -> scalar."""
        return self.network(frames, target).mean()


def load_perceptual(weights: Path | None) -> nn.Module:
    """LPIPS, or gradients and SSIM with a warning where its weights are missing."""
    try:
        return Perceptual(lpips_network("vgg", weights))
    except MissingWeightsError as error:
        print(f"WARNING: {error}; training with L1, gradients and SSIM, frames come out softer", file=sys.stderr)
        return StructureLoss()


def train_stages(
    run: CinnRun, device: torch.device, *, watch: Callable[[str, int], None] | None = None
) -> dict[str, dict[str, dict]] | None:
    """Train the stages one after the other; the run folder then is the model's checkpoint.

    Args:
        watch: called with the stage and the step before each step.

    Returns:
        ``stages``: the figures of each stage's last validation; None in processes that are not the main one.
    """
    if run.run.tensorboard:
        summary_writer()  # whether there is one is said before anything else happens
    run = replace(run, run=run.run.on(device))
    processes = Processes(device)
    results = {}
    for stage in run.stages:
        task = build_stage(run, stage, processes.device)
        processes.copy_from_main(task.model)
        processes.wait()
        outcome = train(task, stage_options(run, task), processes, watch=watch)
        processes.wait()
        results[stage] = {"figures": outcome.figures, "best": outcome.best}
    processes.close()
    return {"stages": results} if processes.is_main else None


def stage_options(run: CinnRun, task: StageTask) -> RunOptions:
    """A stage's folder and precision, and what its best checkpoint is chosen by; without validation none is."""
    chosen = {"vae": run.metric, "condition": "l1", "flow": "nll"}[task.stage]
    if task.validation is None and chosen == run.metric and chosen is not None:
        raise ValueError(f"--keep-best {chosen}: {', '.join(map(str, run.data.folders))}: no validation split there")
    goal = chosen if task.validation is not None else None
    # The likelihood of a code is exact, and its network small.
    precision = "float32" if task.stage == "flow" else run.run.precision
    return replace(run.run, output=run.run.output / task.stage, keep_best=goal, precision=precision)


def training_videos(run: CinnRun) -> list[Video]:
    """The videos of all folders, weighed by the folders' shares where there are several."""
    groups = [load_videos(folder, "train", layout=run.layout) for folder in run.data.folders]
    videos = [video for group in groups for video in group]
    if len(groups) == 1:
        return videos
    weights = run.data.item_weights([len(group) for group in groups])
    return [replace(video, weight=video.weight * weight) for video, weight in zip(videos, weights, strict=True)]


def validation_videos(run: CinnRun) -> list[Video]:
    """Videos held out in all folders that are validated on: those asked for, or those trained on that have some.

    Raises:
        ValueError: there are none.
    """
    found: list[Video] = []
    missing: list[ValueError] = []
    for folder in run.data.validation or run.data.folders:
        try:
            found += load_videos(folder, "validation", layout=run.layout)
        except ValueError as error:
            missing.append(error)
    if missing and (run.data.validation or not found):
        raise missing[0]
    return found


def build_stage(run: CinnRun, stage: str, device: torch.device) -> StageTask:
    """A stage's task: networks, of which those of earlier stages are loaded, and clips."""
    config = run.preset.model
    length = 1 if stage == "condition" else config.video.frames + 1
    own = run.preset.training.stage(stage)
    control = run.control and stage == "flow"
    clips = Clips(
        training_videos(run),
        config.video.size,
        length=length,
        control=control,
        margin=own.augmentation.margin,
    )
    if control:
        low, high = clips.positions()
        flow = replace(config.flow, control=len(low), control_minimum=low, control_maximum=high)
        config = replace(config, flow=flow)
        # A mirrored picture would contradict the arm's position.
        own = replace(own, augmentation=replace(own.augmentation, flip=False))
    config = replace(config, fps=clips.fps)
    training = replace(run.preset.training, **{stage: own})  # type: ignore[arg-type]
    torch.manual_seed(run.run.seed)
    networks = StochasticImageToVideo(config).to(device)
    more: dict[str, object] = {}
    if stage == "flow":
        more = {f"{name}_sha256": networks.load_stage(run.run.output, name) for name in STAGES[:2]}
        more |= {"kept_codes": training.kept_codes}
    epoch = own.steps_per_epoch or ceil(len(clips.videos) * LAYOUTS[run.layout].per_video / own.batch_size)
    named: dict[str, Any] = {
        "clips": clips,
        "steps": run.steps or own.epochs * epoch,
        "epoch": epoch,
        "seed": run.run.seed,
        "validation": build_validation(run, stage, device, length=length, control=control),
        "provenance": provenance(run) | more,
        "pictures": run.run.output / stage / "samples",
    }
    shared = networks, replace(run.preset, model=config, training=training)
    if stage == "flow":
        return FlowStage(*shared, **named)
    perceptual = load_perceptual(run.weights).to(device) if training.losses.perceptual else None
    kind = VideoStage if stage == "vae" else ConditionStage
    return kind(*shared, perceptual=perceptual, **named)


def build_validation(
    run: CinnRun, stage: str, device: torch.device, *, length: int, control: bool
) -> Validation | None:
    """Held-out clips, or None where the data has no validation split."""
    try:
        videos = validation_videos(run)
    except ValueError as error:
        print(f"warning: nothing is validated: {error}", file=sys.stderr)
        return None
    clips = Clips(videos, run.preset.model.video.size, length=length, control=control)
    metric = run.metric if stage == "vae" and run.metric in VIDEO_METRICS else None
    return Validation(
        clips.fixed(LAYOUTS[run.layout].test_clips),
        batch_size=run.preset.training.stage(stage).batch_size,
        device=device,
        metric=metric,
        weights=run.weights,
    )


def provenance(run: CinnRun) -> dict[str, object]:
    """How the weights come about, for the checkpoints, beside the stage's own configuration."""
    return {
        "data": run.data.names,
        "shares": run.data.shares,
        "layout": run.layout,
        "seed": run.run.seed,
        "accumulation": run.run.accumulation,
        "versions": {name: version for name, version in package_versions().items() if name != "machine"},
    }
