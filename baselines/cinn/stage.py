"""What the three stages have in common as tasks of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import nn

from baselines.cinn.config import STAGES, Preset, StageConfig
from baselines.cinn.data.clips import ClipBatch, Clips
from baselines.cinn.model import StochasticImageToVideo
from baselines.cinn.validation import Validation
from training.best import Goal
from training.state import StepSamples, step_generator
from training.task import STEP_TIMES, Batch, Findings, Plan, Update

FIRST_BATCHES = 100  # stream of the random numbers that normalisations are initialised with


class StageTask:
    """What the stages have in common: drawing clips, the plan, and the checkpoint."""

    model: nn.Module
    averaged: nn.Module
    updates: Sequence[Update]

    def __init__(
        self,
        stage: str,
        networks: StochasticImageToVideo,
        preset: Preset,
        *,
        clips: Clips,
        steps: int,
        epoch: int,
        seed: int,
        validation: Validation | None,
        provenance: Mapping[str, object],
        pictures: Path | None = None,  # folder for a contact sheet of each validation
    ) -> None:
        self.stage, self.networks, self.preset, self.clips, self.seed = stage, networks, preset, clips, seed
        self.config: StageConfig = preset.training.stage(stage)
        self.steps, self.epoch = steps, epoch
        self.validation, self.provenance, self.pictures = validation, provenance, pictures

    @property
    def plan(self) -> Plan:
        """See `training.task.Task.plan`."""
        own = [
            (*update.parts, update.prefix + "learning_rate", update.prefix + "gradient_norm") for update in self.updates
        ]
        parts = [name for names in own for name in names]
        checked = self.validation is not None
        return Plan(
            name=self.stage,
            title=f"the stage {self.stage}",
            steps=self.steps,
            batch_size=self.config.batch_size,
            columns=(*parts, *STEP_TIMES, *(self.figures() if checked else ())),
            plotted=tuple(name for update in self.updates for name in update.parts[:1]),
            identity={"stage": self.stage},
            goals=self.goals() if checked else {},
            stream=2 * STAGES.index(self.stage),
            dropout_stream=2 * STAGES.index(self.stage) + 1,
            ema_decay=self.config.ema_decay,
            gradient_clip=self.config.gradient_clip,
        )

    def figures(self) -> tuple[str, ...]:
        """What validation gives."""
        raise NotImplementedError

    def goals(self) -> dict[str, Goal]:
        """What the best checkpoint can be chosen by."""
        raise NotImplementedError

    def validate(self, step: int) -> Findings | None:
        """See `training.task.Task.validate`; the contact sheet goes to the folder of pictures."""
        if self.validation is None:
            return None
        findings = self.judge(self.validation)
        if self.pictures is not None and findings.picture is not None:
            from data.media.images import write_image

            self.pictures.mkdir(parents=True, exist_ok=True)
            write_image(self.pictures / f"step_{step:06d}.png", findings.picture)
        return findings

    def judge(self, validation: Validation) -> Findings:
        """What the stage's networks make of held-out clips."""
        raise NotImplementedError

    def learning_rate(self, step: int, *, late: int = 0) -> float:
        """Learning rate of a step; its decay begins ``late`` epochs later."""
        epochs = max(0, step // self.epoch - late)
        return self.config.learning_rate * self.config.decay ** (epochs // self.config.decay_epochs)

    def update(self, loss: nn.Module, trained: nn.Module, *, prefix: str = "", late: int = 0) -> Update:
        """One player's part of a step: Adam with the stage's settings on a module's parameters."""
        config = self.config
        optimizer = torch.optim.Adam(
            trained.parameters(),
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            amsgrad=config.amsgrad,
        )
        parts: tuple[str, ...] = loss.parts  # type: ignore[assignment]
        return Update(
            loss=loss,
            parts=parts,
            optimizer=optimizer,
            learning_rate=partial(self.learning_rate, late=late),
            prefix=prefix,
        )

    def draw(self, step: int, parts: Sequence[StepSamples], map_samples: Callable) -> Sequence[Batch]:
        """See `training.task.Task.draw`."""
        adversarial = step // self.epoch >= self.preset.training.adversarial_from
        draw = partial(self.clips.draw, augmentation=self.config.augmentation)
        joined = [ClipBatch.joined(list(map_samples(draw, part.generators))) for part in parts]
        return [batch._replace(adversarial=adversarial) for batch in joined]

    def first_batches(self, count: int) -> Iterator[ClipBatch]:
        """At least ``count`` clips by which normalisations are initialised, the same in all processes."""
        device = next(self.networks.parameters()).device
        for first in range(0, count, self.config.batch_size):
            places = range(first, first + self.config.batch_size)
            generators = [step_generator(self.seed, 0, stream=FIRST_BATCHES, sample=place) for place in places]
            clips = [self.clips.draw(generator, self.config.augmentation) for generator in generators]
            yield ClipBatch.joined(clips).to(device)

    def save(self, folder: Path, step: int, more: Mapping[str, object]) -> None:
        """See `training.task.Task.save`."""
        training = {"stage": self.stage, "step": step, **self.provenance, **asdict(self.config), **more}
        training["gradient_clip"] = str(self.config.gradient_clip)  # JSON has no infinity
        self.networks.save_stage(folder, self.stage, training=training)
