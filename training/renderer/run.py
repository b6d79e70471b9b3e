"""Training of the renderer: one task of the loop, on pairs of frames and the flow between them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from common.command_line import package_versions
from data.dataset.manifest import load_manifest
from data.dataset.reading import FramePairDataset
from evaluation.networks.feature_networks import load_lpips
from evaluation.networks.weights import MissingWeightsError
from models.precision import has_fast_bfloat16
from models.rendering.config import PRESETS, FrameSynthesisConfig
from models.rendering.model import FrameSynthesisModel
from training.batches.options import CACHE_LIMIT, DataOptions
from training.batches.pairs import CUT_MARGIN, FramePairBatch, FramePairBatches, PairAugmentation
from training.best import Goal
from training.log import summary_writer
from training.loop import train
from training.presets import RendererConfig
from training.processes import Processes
from training.renderer.losses import LossWeights, RendererLoss, loss_names
from training.renderer.perceptual_loss import StructureLoss, load_perceptual_loss
from training.renderer.validation import ROWS, RendererValidation, Table, format_table
from training.saved_state import STATE_FILE
from training.state import StepSamples, learning_rate_at, step_generator
from training.task import STEP_TIMES, Findings, Plan, RunOptions, Update

LOGGED = ("psnr", "ssim", "lpips")  # measures of a validation that the log keeps
GOALS = {"lpips": Goal("lpips_model", -1), "psnr": Goal("psnr_model", 1)}
PAINTED_IDENTITY = 0.05  # share of pairs without motion for models that paint frames from features alone
SMALLEST_CROP = 4 * CUT_MARGIN  # pixels; of smaller ones cut on all sides next to nothing is judged
PAIR_BYTES = 7  # a pixel of a stored frame (3) and its flow in float16 (4)


@dataclass(frozen=True)
class RendererRun:
    """Everything that a training of the renderer is told."""

    data: DataOptions
    training: RendererConfig
    run: RunOptions
    preset: str | None = None  # model's shape; None takes the default, or that of the checkpoint
    init: Path | None = None  # frame_synthesis checkpoint to start from
    vgg_weights: Path | None = None  # VGG16 for the perceptual loss
    weights: Path | None = None  # folder with the metrics' weights


class RendererTask:
    """The renderer's training as a task of the loop."""

    def __init__(
        self,
        model: FrameSynthesisModel,
        config: RendererConfig,
        *,
        seed: int,
        batches: FramePairBatches,
        validation: RendererValidation | None,
        distance: nn.Module,
        output: Path,
        provenance: Mapping[str, object],
    ) -> None:
        self.model, self.averaged, self.config, self.seed = model, model, config, seed
        self.batches, self.validation, self.output, self.provenance = batches, validation, output, provenance
        self.table: Table = {}
        loss = RendererLoss(model, distance, loss_weights(config))
        self.plan = renderer_plan(config, validated=validation is not None)
        self.updates = [
            Update(
                loss=loss,
                parts=loss.parts,
                optimizer=torch.optim.AdamW(
                    model.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
                ),
                learning_rate=partial(
                    learning_rate_at, base=config.learning_rate, max_steps=config.steps, warmup=config.warmup
                ),
            )
        ]

    def draw(self, step: int, parts: Sequence[StepSamples], map_samples: Callable = map) -> list[FramePairBatch]:
        """See `training.task.Task.draw`. The samples of a batch share a generator, so the whole batch is drawn."""
        batch = self.batches.draw(self.config.batch_size, step_generator(self.seed, step))
        return [batch.part(part.first, len(part.generators)) for part in parts]

    def validate(self, step: int) -> Findings | None:
        """The rendering table; picture and video of it go to the run folder."""
        if self.validation is None:
            return None
        self.table, last = self.validation.table(self.model), step == self.config.steps
        name, folder = f"step_{step:06d}", self.output / "samples"
        self.validation.write_picture(folder / f"{name}.png", self.model)
        self.validation.write_video(folder, name, self.model, whole=last)
        figures = {
            f"{metric}_{row}": values[metric]
            for row, values in self.table.items()
            for metric in LOGGED
            if metric in values
        }
        title = f"step {step}, {self.validation.frames} validation frames"
        return Findings(figures=figures, text=f"{title}\n{format_table(self.table)}")

    def save(self, folder: Path, step: int, more: Mapping[str, object]) -> None:
        """See `training.task.Task.save`."""
        self.model.save_pretrained(folder, {"step": step, **self.provenance, **more})


def loss_weights(config: RendererConfig) -> LossWeights:
    """What the losses beside L1 count for."""
    return LossWeights(
        perceptual=config.perceptual_weight,
        perceptual_share=config.perceptual_share,
        sharpness=config.sharpness_weight,
        temporal=config.temporal,
    )


def renderer_plan(config: RendererConfig, *, validated: bool) -> Plan:
    """What the loop has to know of the training."""
    parts = loss_names(loss_weights(config))
    figures = tuple(f"{metric}_{row}" for metric in LOGGED for row in ROWS) if validated else ()
    columns = (*parts[:3], "learning_rate", "gradient_norm", *STEP_TIMES, *parts[3:], *figures)
    return Plan(
        name="renderer",
        title="the renderer",
        steps=config.steps,
        batch_size=config.batch_size,
        columns=columns,
        plotted=parts,
        goals=GOALS if validated else {},
        together=2 if config.temporal else 1,
        ema_decay=config.ema_decay,
        gradient_clip=config.gradient_clip,
    )


def train_renderer(
    run: RendererRun, device: torch.device, *, watch: Callable[[str, int], None] | None = None
) -> dict | None:
    """Train to the last step; the run folder then is a checkpoint.

    Args:
        watch: called with the task's name and the step before each step.

    Returns:
        The results for a report, or None in processes that are not the main one.
    """
    if run.run.tensorboard:
        summary_writer()  # whether there is one is said before anything else happens
    processes = Processes(device)
    model = build_model(run).to(processes.device)
    config = complete(run.training, model.config)
    batches = training_batches(run.data, config)
    validation = build_validation(run, processes.device)
    distance, loss_name = build_distance(run, processes.device)
    task = RendererTask(
        model,
        config,
        seed=run.run.seed,
        batches=batches,
        validation=validation,
        distance=distance,
        output=run.run.output,
        provenance=provenance(run, config, loss=loss_name, processes=processes.count),
    )
    processes.copy_from_main(model)
    processes.wait()  # until all have read what the main process will write again
    outcome = train(task, run.run, processes, watch=watch)
    processes.wait()
    processes.close()
    if not processes.is_main:
        return None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    results = {"loss": loss_name, "parameters": parameters, "train_pairs": batches.sizes, "validation": task.table}
    return results | {"validation_frames": validation.frames if validation else 0, "best": outcome.best}


def build_model(run: RendererRun) -> FrameSynthesisModel:
    """The model of the run that is resumed, of ``run.init``, or a fresh one."""
    output = run.run.output
    preset = PRESETS[run.preset] if run.preset else None
    origin = run.init
    if (output / "config.json").is_file():
        origin = output
        if not (output / STATE_FILE).is_file():
            raise ValueError(f"{origin}: a checkpoint without training state; use --init with it and another --output")
    if origin is None:
        torch.manual_seed(run.run.seed)
        return FrameSynthesisModel(preset or PRESETS["default"])
    model = FrameSynthesisModel.from_pretrained(origin)
    if preset is not None and preset != model.config:
        raise ValueError(f"{origin}: its model is not of the preset {run.preset!r}; leave --preset out")
    return model


def complete(config: RendererConfig, model: FrameSynthesisConfig) -> RendererConfig:
    """The configuration with what is left to the kind of model: the share of pairs in which nothing moves.

    A model that paints frames from features alone has to learn what the others do by construction: that a region
    without motion stays as it is.
    """
    if config.identity is not None:
        return config
    return replace(config, identity=PAINTED_IDENTITY if model.output == "direct" else 0.0)


def training_batches(data: DataOptions, config: RendererConfig) -> FramePairBatches:
    """What batches are drawn from."""
    cache = keeps_in_memory(data)
    datasets = [FramePairDataset(folder, "train", cache=cache) for folder in data.folders]
    if min(config.crop) < SMALLEST_CROP:
        crop = "{}x{}".format(*config.crop)
        raise ValueError(
            f"--crop {crop}: sides of {SMALLEST_CROP} at least are needed; what lies at a cut is not judged"
        )
    for width, height in {(row["width"], row["height"]) for dataset in datasets for row in dataset.rows}:
        if config.crop[0] > width or config.crop[1] > height:
            crop = "{}x{}".format(*config.crop)
            raise ValueError(f"--crop {crop}: a crop of {crop} is larger than the frames, {width}x{height}")
    augmentation = PairAugmentation(
        color=config.color_jitter, flow_noise=config.flow_noise, identity=config.identity or 0.0
    )
    return FramePairBatches(
        datasets, config.crop, shares=data.shares, augmentation=augmentation, neighbours=config.temporal > 0
    )


def keeps_in_memory(data: DataOptions, *, limit: float = CACHE_LIMIT) -> bool:
    """Whether the stored frames and flows of the train splits take no more than ``limit`` bytes."""
    rows = [row for folder in data.folders for row in load_manifest(folder, "train")]
    return sum(PAIR_BYTES * row["stored_frames"] * row["width"] * row["height"] for row in rows) <= limit


def build_validation(run: RendererRun, device: torch.device) -> RendererValidation | None:
    """The frames to evaluate on, or None where no folder has any."""
    folders, goal = run.data.validation_folders(), run.run.keep_best
    try:
        distance = load_lpips("alex", run.weights, device)
    except MissingWeightsError as error:
        if goal == "lpips":
            raise ValueError(f"--keep-best lpips: {error}") from None
        distance = None
    if folders:
        return RendererValidation(folders, distance, device=device)
    if goal:
        raise ValueError("--keep-best: no folder of --data has a validation split; name one with --validation")
    print("warning: no dataset has a validation split, so nothing is validated", file=sys.stderr)
    return None


def build_distance(run: RendererRun, device: torch.device) -> tuple[nn.Module, str]:
    """The perceptual distance of the loss, and what the loss is called."""
    distance = load_perceptual_loss(run.vgg_weights, run.weights)
    if distance is None:
        name = "L1 + gradients + SSIM, for want of VGG16 weights"
        print(f"WARNING: training with {name}; frames are sharper with --vgg-weights FILE", file=sys.stderr)
        return StructureLoss(), name
    if has_fast_bfloat16(device):
        distance.reduce_precision()
    return distance.to(device), "L1 + VGG16"


def provenance(run: RendererRun, config: RendererConfig, *, loss: str, processes: int) -> dict[str, object]:
    """How the weights come about, for the checkpoint: everything that shapes them but the step."""
    validation = None if run.data.validation is None else [folder.name for folder in run.data.validation]
    return {
        "data": run.data.names,
        "shares": run.data.shares,
        "validation": validation,
        "seed": run.run.seed,
        "loss": loss,
        **asdict(config),
        "init": None if run.init is None else run.init.name,
        "processes": processes,
        "accumulation": run.run.accumulation,
        "versions": {name: version for name, version in package_versions().items() if name != "machine"},
    }
