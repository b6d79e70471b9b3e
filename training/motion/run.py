"""Training of the motion model: its stages as tasks of the loop, and what happens between and after them.

The checkpoint in the run folder holds the figures of all stages that have ended, and each stage's beginning follows
from the one before. So a run that was stopped or killed at any moment ends, when it is called again, with the folder
that an undisturbed run leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from common.checkpoint import load_config
from common.hashing import content_hash
from data.dataset.manifest import load_statistics
from data.dataset.reading import SpectralVolumeDataset
from models.motion.model import KIND, MotionModel
from models.motion.stages import AUTOENCODER_STAGES, STAGES
from training.batches.augmentation import AugmentationConfig
from training.batches.latents import LatentBatches, LatentSource, open_cache, remove_others
from training.batches.motion import MotionBatches, load_batches
from training.batches.options import DataOptions
from training.best import FOLDER as BEST
from training.log import summary_writer
from training.loop import train
from training.motion.calibration import (
    calibrate_amplitude,
    limit_amplitude,
    measure_latent_statistics,
    measure_relative_statistics,
)
from training.motion.folder import adopt_former_names, figures_of_earlier_stages, is_run_folder, recorded_versions
from training.motion.model import ModelOptions, build_model, wanted_stages
from training.motion.stage import MotionStage, stage_plan
from training.motion.validation import MotionValidation
from training.presets import TrainingConfig
from training.processes import Processes
from training.saved_state import read_training_state
from training.state import step_generator
from training.task import RunOptions, part_size

MOST_MEASURED = 400  # sequences of each dataset folder that statistics of relative motion are taken of
CACHE_STREAM = 2 * len(STAGES)  # stream of random numbers beyond the stages' own and their dropout's


@dataclass(frozen=True)
class MotionRun:
    """Everything that a training of the motion model is told."""

    data: DataOptions
    model: ModelOptions
    training: TrainingConfig
    run: RunOptions
    stage: str = "all"  # or one of STAGES
    cache_latents: int | None = None  # augmented pictures of each sequence that are encoded once
    latents: Path | None = None  # where these are kept; None: in the run folder


def train_motion(
    run: MotionRun, device: torch.device, *, watch: Callable[[str, int], None] | None = None
) -> dict | None:
    """Run the stages that are left, calibrate, and write the final checkpoint.

    Args:
        watch: called with the stage and the step before each step.

    Returns:
        The results for a report, or None in processes that are not the main one.
    """
    if run.run.tensorboard:
        summary_writer()  # whether there is one is said before anything else happens
    run = replace(run, run=run.run.on(device))
    processes = Processes(device)
    training = MotionTraining(run, processes)
    for stage in training.stages_left():
        training.train_stage(stage, watch)
    results = training.finish() if processes.is_main else None
    processes.wait()
    processes.close()
    return results


class MotionTraining:
    """One call of :func:`train_motion`: the model, its data, and the figures of the stages that have ended."""

    def __init__(self, run: MotionRun, processes: Processes) -> None:
        self.run, self.processes, self.output = run, processes, run.run.output
        folders = run.data.folders
        self.model = build_model(
            run.model, self.output, statistics=load_statistics(folders[0]), data=folders[0], seed=run.run.seed
        )
        self.teacher: MotionModel | None = None
        if run.model.distill is not None:
            self.teacher = MotionModel.from_pretrained(run.model.distill).to(processes.device)
            self.teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stages = wanted_stages(run.model, self.model, stage=run.stage)
        for stage in self.stages:
            size = run.training.stage(stage).batch_size
            part_size(size, processes=processes.count, accumulation=run.run.accumulation)
        self._check_goal()
        self.batches = load_batches(
            folders,
            shares=run.data.shares,
            all_splits=run.data.all_splits,
            num_frequencies=self.model.config.num_frequencies,
            size=self.model.config.size,
            multiple=self.model.size_multiple,
            augmentation=AugmentationConfig(),
            relative=self.model.config.wind,
        )
        if self.model.config.wind and not self.model.usual_strength:
            self._measure_wind()
        self.validation, self.validation_split = self._validation()
        self.figures = figures_of_earlier_stages(self.output)
        if processes.is_main:
            adopt_former_names(self.output)
        processes.copy_from_main(self.model.to(processes.device))
        processes.wait()  # until all have read what the main process will write again

    def _measure_wind(self) -> None:
        """The scales of relative motion, and of its latents where the autoencoder is trained already."""
        measured = self.batches.volumes_with_strengths(MOST_MEASURED)
        measure_relative_statistics(self.model, measured, size=self.model.config.size)
        if self.run.model.init is not None:
            measure_latent_statistics(self.model, self.batches.volumes(MOST_MEASURED))
            self.model.amplitude_gain.fill_(1.0)

    def stages_left(self) -> list[str]:
        """The stages from the one on that a stopped run was in."""
        state, stages = read_training_state(self.output), self.stages
        return stages[stages.index(state["stage"]) :] if state is not None and state["stage"] in stages else stages

    def train_stage(self, stage: str, watch: Callable[[str, int], None] | None = None) -> None:
        """Train a stage, whiten the latents after the autoencoder's, and write what the next stage starts from."""
        earlier = STAGES[: STAGES.index(stage)]
        self.figures = {name: figures for name, figures in self.figures.items() if name in earlier}
        task = MotionStage(
            self.model,
            stage,
            training=self.run.training,
            seed=self.run.run.seed,
            batches=self._stage_batches(stage),
            validation=self.validation,
            teacher=self.teacher,
            teacher_steps=self.run.model.teacher_steps,
            provenance=self._provenance(),
        )
        goal = self.run.run.keep_best if self.run.run.keep_best in task.plan.goals else None
        self.figures[stage] = train(task, replace(self.run.run, keep_best=goal), self.processes, watch=watch).figures
        if self.processes.is_main:
            if stage == "autoencoder":
                volumes = (volume.to(self.processes.device) for volume in self.batches.volumes())
                measure_latent_statistics(self.model, volumes)
            self._save({"stage": stage, "step": task.plan.steps})
        self.processes.copy_from_main(self.model)

    def finish(self) -> dict:
        """Bound and calibrate the amplitude of the last checkpoint, and of the best one; gives a report's results."""
        found = {} if self.stages[-1] == "autoencoder" else self._calibrate(self.model)
        self._save({"stage": self.stages[-1], **found})
        results = {name: value for name, value in self._provenance().items() if name not in ("figures", "versions")}
        results = {"stage": self.stages[-1], **results, **self.figures, **found}
        return results if self.run.run.keep_best is None else {**results, "best": self._finish_best()}

    def _finish_best(self) -> dict | None:
        """Calibrate the best checkpoint as the last one is; gives its metric, score, step and stage."""
        folder = self.output / BEST
        if not is_run_folder(folder):  # asked for when the stages it is kept of had ended
            return None
        training = load_config(folder, KIND)["training"]
        if training["stage"] != "autoencoder":
            best = MotionModel.from_pretrained(folder).to(self.processes.device)
            best.save_pretrained(folder, {**training, **self._calibrate(best)})
        return {**training["best"], "stage": training["stage"]}

    def _calibrate(self, model: MotionModel) -> dict[str, object]:
        """Bound a model's amplitude by the training set and calibrate it on validation scenes."""
        steps = self.run.training.sampling_steps
        return {
            "amplitude_limit": limit_amplitude(model, self.batches.volumes()),
            "amplitude_gain": calibrate_amplitude(model, self.validation.photos, samples=2, steps=steps),
            "amplitude_gain_from": self.validation_split,
        }

    def _check_goal(self) -> None:
        """Raise ValueError unless a stage that is trained is judged by what the best checkpoint is chosen by."""
        goal = self.run.run.keep_best
        goals = {name: stage_plan(name, self.run.training).goals for name in self.stages}
        if goal is not None and not any(goal in known for known in goals.values()):
            known = sorted({name for names in goals.values() for name in names})
            raise ValueError(f"--keep-best {goal}: the stages trained here are judged by {', '.join(known)}")

    def _save(self, more: Mapping[str, object]) -> None:
        self.model.save_pretrained(self.output, {**self._provenance(), **more})

    def _provenance(self) -> dict[str, object]:
        """How the weights came about, for the checkpoint."""
        return {
            "data": self.run.data.names,
            "shares": self.batches.mixture.shares,
            "splits": "all" if self.run.data.all_splits else "train",
            "seed": self.run.run.seed,
            "training": asdict(self.run.training),
            "precision": self.run.run.precision,
            "processes": self.processes.count,
            "accumulation": self.run.run.accumulation,
            "figures": dict(self.figures),
            "versions": recorded_versions(),
        }

    def _validation(self) -> tuple[MotionValidation, str]:
        """Scenes to evaluate on and the split they are of: training scenes where there are no validation sequences."""
        folders, count = self.run.data.validation_folders(), self.model.config.num_frequencies
        split = "validation" if folders else "train"
        datasets = [
            SpectralVolumeDataset(folder, split, num_frequencies=count) for folder in folders or self.run.data.folders
        ]
        validation = MotionValidation(
            datasets,
            self.output,
            device=self.processes.device,
            multiple=self.model.size_multiple,
            precision=self.run.run.precision,
            steps=self.run.training.sampling_steps,
        )
        return validation, split

    def _stage_batches(self, stage: str) -> MotionBatches | LatentBatches:
        """What a stage's batches are drawn from: a cache of latents where one is asked for and of use."""
        if self.run.cache_latents is None or stage in AUTOENCODER_STAGES:
            return self.batches
        model, seed, processes = self.model, self.run.run.seed, self.processes
        source = LatentSource(
            encode=lambda volume: model.eval().encode_volume(volume.to(processes.device)),
            description={
                "autoencoder": content_hash(model.autoencoder.state_dict()),
                "normalizer": model.normalizer.to_dict(),
                "seed": seed,
            },
            generator_of=lambda picture: step_generator(seed, picture, stream=CACHE_STREAM),
        )
        cache = open_cache(
            self.run.latents or self.output / "latents",
            self.batches,
            variants=self.run.cache_latents,
            source=source,
            process=processes.index,
            processes=processes.count,
        )
        processes.wait()
        if processes.is_main and self.run.latents is None:
            remove_others(cache.folder)
        return cache
