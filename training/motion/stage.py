"""One stage of the motion model's training as a task of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from models.motion.model import MotionModel
from models.motion.stages import AUTOENCODER_STAGES, STAGES
from training.batches.motion import MotionBatch
from training.best import Goal
from training.motion.distillation import DistillationLoss
from training.motion.losses import StageLoss, loss_parts
from training.motion.model import prepare_stage, slices_a_photo
from training.presets import TrainingConfig
from training.state import StepSamples, learning_rate_at, step_generator
from training.task import STEP_TIMES, Findings, Plan, Update

# Figures of a validation, as columns of the log.
SAMPLE_FIGURES = ("localisation", "amplitude_ratio", "coherence")
AUTOENCODER_FIGURES = ("relative_error",)
SAMPLE_GOALS = {"localisation": Goal("localisation", 1), "coherence": Goal("coherence", 1)}
AUTOENCODER_GOALS = {"relative_error": Goal("relative_error", -1)}


class Batches(Protocol):
    """What is used of `training.batches.motion.MotionBatches` or `training.batches.latents.LatentBatches`."""

    @property
    def encoded(self) -> bool: ...
    def draw(
        self,
        frequencies: int,
        step: torch.Generator,
        samples: Sequence[torch.Generator],
        map_samples: Callable = map,
    ) -> MotionBatch: ...


class MotionStage:
    """One stage of the motion model as a task of the loop."""

    def __init__(
        self,
        model: MotionModel,
        stage: str,
        *,
        training: TrainingConfig,
        seed: int,
        batches: Batches,
        validation: Callable[[MotionModel, str, int], tuple[dict[str, float], Any]],
        teacher: MotionModel | None = None,  # distilled into the model, in place of learning from the data alone
        teacher_steps: int = 2,  # of the teacher's to one of the model's
        provenance: Mapping[str, object],  # kept in the checkpoint beside stage and step
    ) -> None:
        self.model, self.stage, self.seed = model, stage, seed
        self.batches, self.validation, self.provenance = batches, validation, provenance
        self.teacher = teacher
        self.teacher_steps = teacher_steps
        self.config = training.stage(stage)
        self.averaged = prepare_stage(model, stage)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.plan = stage_plan(stage, training)
        self.updates = [self._update(training)]

    def _update(self, training: TrainingConfig) -> Update:
        parameters = [parameter for parameter in self.averaged.parameters() if parameter.requires_grad]
        rate = self.config.learning_rate
        return Update(
            loss=self._loss(training.condition_dropout),
            parts=loss_parts(self.stage),
            optimizer=torch.optim.AdamW(parameters, lr=rate, weight_decay=training.weight_decay),
            learning_rate=partial(
                learning_rate_at,
                base=rate,
                max_steps=self.config.steps,
                schedule=training.schedule,
                warmup=training.warmup,
            ),
        )

    def _loss(self, condition_dropout: float) -> nn.Module:
        encoded = self.batches.encoded
        if self.teacher is not None:
            return DistillationLoss(self.model, self.teacher, encoded=encoded, teacher_steps=self.teacher_steps)
        return StageLoss(self.model, self.stage, condition_dropout=condition_dropout, encoded=encoded)

    def draw(self, step: int, parts: Sequence[StepSamples], map_samples: Callable = map) -> list[MotionBatch]:
        """See `training.task.Task.draw`."""
        count = slices_a_photo(self.model, self.stage, config=self.config)
        # All samples of a step have their shape in common, so each part draws it with the same numbers.
        numbers = partial(step_generator, self.seed, step, stream=self.plan.stream)
        return [self.batches.draw(count, numbers(), part.generators, map_samples) for part in parts]

    def validate(self, step: int) -> Findings:
        """See `training.task.Task.validate`."""
        figures, picture = self.validation(self.model, self.stage, step)
        text = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        text = text or "no figures, because nothing moves in the validation scenes"
        return Findings(figures=figures, text=f"{self.stage} step {step}: {text}", picture=picture)

    def save(self, folder: Path, step: int, more: Mapping[str, object]) -> None:
        """See `training.task.Task.save`."""
        self.model.save_pretrained(folder, {"stage": self.stage, "step": step, **self.provenance, **more})


def stage_plan(stage: str, training: TrainingConfig) -> Plan:
    """What the loop has to know of a stage."""
    parts, config = loss_parts(stage), training.stage(stage)
    figures = AUTOENCODER_FIGURES if stage in AUTOENCODER_STAGES else SAMPLE_FIGURES
    return Plan(
        name=stage,
        title=f"the {stage} stage",
        steps=config.steps,
        batch_size=config.batch_size,
        columns=(*parts, "learning_rate", "gradient_norm", *STEP_TIMES, *figures),
        plotted=tuple(part for part in parts if not part.startswith("noise")),
        log=f"log_{stage}.csv",
        plot=f"loss_{stage}.png",
        identity={"stage": stage},
        goals=AUTOENCODER_GOALS if stage in AUTOENCODER_STAGES else SAMPLE_GOALS,
        stream=STAGES.index(stage),
        dropout_stream=STAGES.index(stage) + len(STAGES),
        ema_decay=config.ema_decay,
        gradient_clip=training.gradient_clip,
    )
