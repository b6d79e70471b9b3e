"""Steps a second of both training scripts, waiting for data included, on generated sequences.

Each runs its own loop: `train_unet.py` its stages `slice` and `frequency_attention` with the preset `default`,
`train_frame_synthesis.py` its default preset.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu.made_dataset import make_dataset
from benchmarks.gpu.part import CPU, run_part
from benchmarks.gpu.results import Results
from training.log import read_csv

PART = "training rates"
PRETRAINED_MOTION = Path(__file__).parents[2] / "models" / "pretrained" / "motion"
STAGES = ("slice", "frequency_attention")
STEPS, CPU_STEPS, WARM_UP = 40, 3, 10  # the first steps choose kernels and take longer
WORKERS = min(12, os.cpu_count() or 1)


def main(argv: list[str] | None = None) -> int:
    """Measure and return the exit status."""
    return run_part("training_rates", __doc__ or "", body=measure, argv=argv)


def measure(options: argparse.Namespace, device: torch.device, *, results: Results) -> None:
    """The device's rates first, then those of the processor beside them."""
    steps = 3 if options.rehearse else STEPS
    with tempfile.TemporaryDirectory() as folder:
        dataset = dataset_of(Path(folder) / "dataset", options.rehearse, seed=options.seed)
        found = {}
        for kind in (*STAGES, "renderer"):
            found[kind] = rate(
                kind, dataset, output=Path(folder) / kind, device=device, steps=steps, rehearse=options.rehearse
            )
            results.add(PART, case(kind), value=found[kind], unit="steps/s", note=f"{WORKERS} threads draw the data")
        if device.type == "cpu" and not options.rehearse:
            return
        for kind in (*STAGES, "renderer"):
            cpu = rate(
                kind,
                dataset,
                output=Path(folder) / f"{kind}-cpu",
                device=CPU,
                steps=CPU_STEPS,
                rehearse=options.rehearse,
            )
            note = f"{WORKERS} threads draw the data"
            results.add(PART, case(kind), value=found[kind], unit="steps/s", cpu=cpu, note=note)


def case(kind: str) -> str:
    """What a row is called."""
    if kind == "renderer":
        return "train_frame_synthesis.py, a batch of 4"
    return f"train_unet.py, stage {kind}, its batch"


def dataset_of(folder: Path, rehearse: bool, *, seed: int) -> Path:
    """Generated sequences of the size that the presets train at."""
    if rehearse:
        return make_dataset(folder, 2, size=(64, 32), frequencies=4, num_frames=20, stored_frames=2, seed=seed)
    return make_dataset(folder, 8, size=(256, 160), frequencies=16, num_frames=150, stored_frames=4, seed=seed)


def rate(kind: str, dataset: Path, *, output: Path, device: torch.device, steps: int, rehearse: bool) -> float:
    """Steps a second: the inverse of the median step after the first ones."""
    train = train_the_renderer if kind == "renderer" else train_stage
    log = train(kind, dataset, output=output, device=device, steps=steps, rehearse=rehearse)
    seconds = [float(row["seconds"]) for row in read_csv(log)]
    settled = seconds[min(WARM_UP, len(seconds) - 2) :]
    return 1 / statistics.median(settled)


def train_stage(kind: str, dataset: Path, *, output: Path, device: torch.device, steps: int, rehearse: bool) -> Path:
    """Train a stage of the motion model for some steps; returns its log."""
    from data.dataset.manifest import load_statistics
    from training.batches.augmentation import AugmentationConfig
    from training.batches.motion import load_batches
    from training.loop import train
    from training.motion.stage import MotionStage
    from training.presets import TRAINING_PRESETS
    from training.processes import Processes
    from training.task import RunOptions

    model = motion_model(load_statistics(dataset), rehearse).to(device)
    batches = load_batches(
        [dataset],
        shares=None,
        all_splits=False,
        num_frequencies=model.config.num_frequencies,
        size=model.config.size,
        multiple=model.size_multiple,
        augmentation=AugmentationConfig(),
    )
    config = TRAINING_PRESETS["tiny" if rehearse else "default"].with_stages(steps={kind: steps})
    run = RunOptions(output=output, workers=WORKERS, precision="bfloat16")
    task = MotionStage(
        model, kind, training=config, seed=run.seed, batches=batches, validation=no_figures, provenance={}
    )
    train(task, run, Processes(device))
    return output / task.plan.log


def no_figures(model: object, stage: str, step: int) -> tuple[dict[str, float], None]:
    """In the place of a validation, whose time is not that of a step."""
    return {}, None


def motion_model(statistics_of_data: dict, rehearse: bool):
    """The weights that come with the repository, or a tiny network."""
    from models.motion.model import PRESETS, MotionModel
    from training.motion.model import untrained_model

    if not rehearse:
        return MotionModel.from_pretrained(PRETRAINED_MOTION)
    config = replace(PRESETS["tiny"], num_frames=statistics_of_data["num_frames"])
    return untrained_model(config, statistics_of_data, seed=0, image_encoder=PRETRAINED_MOTION)


def train_the_renderer(
    kind: str, dataset: Path, *, output: Path, device: torch.device, steps: int, rehearse: bool
) -> Path:
    """Train the renderer for some steps; returns its log."""
    from training.batches.options import DataOptions
    from training.presets import RendererConfig
    from training.renderer.run import RendererRun, train_renderer
    from training.task import RunOptions

    config = RendererConfig(steps=steps, crop=(48, 32)) if rehearse else RendererConfig(steps=steps)
    run = RunOptions(output=output, evaluate_every=steps + 1)
    train_renderer(RendererRun(data=DataOptions((dataset,)), training=config, run=run), device)
    return output / "log.csv"


if __name__ == "__main__":
    sys.exit(main())
