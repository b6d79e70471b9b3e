"""The training loop of one stage of the motion model: batches, steps, logs, saving and resuming.

A step's batch and all its random numbers follow from (seed, step, stage, position in the batch), so that a resumed run,
and one on another number of processes or with its batches divided, sees the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from common import checkpoint
from models.motion.model import STAGES, MotionModel
from training import state as run_state
from training.log import CsvLog, TensorBoardLog, plot_log
from training.losses import AUTOENCODER_STAGES, StageLoss, loss_parts
from training.motion import StageConfig, TrainingConfig, prepare_stage, slices_a_photograph
from training.processes import Processes

# What a validation returns, for the columns of the log.
SAMPLE_FIGURES = ("localisation", "amplitude_ratio", "coherence")
AUTOENCODER_FIGURES = ("relative_error",)


class Batch(Protocol):
    """What is used of a `training.batches.motion.MotionBatch`, which describes it."""

    @property
    def image(self) -> Tensor: ...
    @property
    def slices(self) -> Tensor: ...
    @property
    def frequency_index(self) -> Tensor: ...
    @property
    def ids(self) -> list[str]: ...
    def to(self, device: torch.device) -> Batch: ...


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
    ) -> Batch: ...


class Validation(Protocol):
    """What is used of `training.motion_validation.MotionValidation`."""

    def __call__(self, model: MotionModel, stage: str, step: int) -> tuple[dict[str, float], Any]: ...


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out, beside its `TrainingConfig`."""

    output: Path
    seed: int = 0
    accumulation: int = 1  # parts of a process's share of a batch whose gradients are added up
    precision: str = "bfloat16"  # or float32, of the forward pass
    workers: int = 1  # threads that draw samples while a step computes
    save_every: float = 3.0  # minutes
    evaluate_every: int = 500  # steps
    tensorboard: bool = False
    data: tuple[str, ...] = ()  # names of the dataset folders, for the checkpoint


class StageTraining:
    """One stage, from its first or its last saved step to its end."""

    def __init__(
        self,
        model: MotionModel,
        stage: str,
        config: TrainingConfig,
        options: RunOptions,
        batches: Batches,
        processes: Processes,
        validation: Validation,
    ) -> None:
        self.model, self.stage, self.config, self.options = model, stage, config, options
        self.batches, self.processes, self.validation = batches, processes, validation
        self.stage_config: StageConfig = getattr(config, stage)
        self.part_size = part_size(self.stage_config.batch_size, processes.count, options.accumulation)
        self.trained = prepare_stage(model, stage)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = [parameter for parameter in self.trained.parameters() if parameter.requires_grad]
        rate, decay = self.stage_config.learning_rate, config.weight_decay
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=decay)
        self.ema = run_state.ExponentialMovingAverage(self.trained, self.stage_config.ema_decay)
        self.first = self._resume()
        loss = StageLoss(model, stage, config.condition_dropout, options.precision, batches.encoded)
        self.loss = processes.wrap(loss.to(processes.device))
        self.figures: dict[str, float] = {}
        self._open_logs()

    def _resume(self) -> int:
        """Load the saved state if it is of this stage, and return its step."""
        state = run_state.read_training_state(self.options.output)
        if state is None or state["stage"] != self.stage:
            return 0
        first = run_state.load_training_state(self.options.output, self.model, self.optimizer, self.ema)
        if self.processes.is_main:
            print(f"{self.stage}: resuming at step {first} of {self.stage_config.steps}")
        return first

    def _open_logs(self) -> None:
        self.log: CsvLog | None = None
        self.board: TensorBoardLog | None = None
        if not self.processes.is_main:
            return
        figures = AUTOENCODER_FIGURES if self.stage in AUTOENCODER_STAGES else SAMPLE_FIGURES
        columns = (*loss_parts(self.stage), "learning_rate", "gradient_norm", "seconds", *figures)
        self.log = CsvLog(self.options.output / f"log_{self.stage}.csv", columns, self.first)
        if self.options.tensorboard:
            self.board = TensorBoardLog(self.options.output / "tensorboard" / self.stage, self.first)

    def run(self) -> dict[str, float]:
        """Train; returns the last validation figures. The model then has the averaged weights.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, when the step has ended and its state is saved.
            FloatingPointError: naming the batch's sequences, where the loss or the gradient is not finite.
        """
        with (
            run_state.stop_between_steps() as stop,
            ThreadPoolExecutor(1) as ahead,
            ThreadPoolExecutor(self.options.workers) as workers,
        ):
            self._loop(stop.is_set, ahead, workers)
        if self.board is not None:
            self.board.close()
        self.processes.unwrap()
        checkpoint.load_weights(self.trained, dict(self.trained.state_dict()) | self.ema.shadow, "average")
        self.model.eval()
        return self.figures

    def _loop(self, stopping: Callable[[], bool], ahead: Executor, workers: Executor) -> None:
        from tqdm import tqdm

        last, saved = self.stage_config.steps, time.monotonic()
        quiet = not self.processes.is_main
        steps = tqdm(
            range(self.first, last), initial=self.first, total=last, desc=self.stage, mininterval=1, disable=quiet
        )
        drawn: Future = ahead.submit(self.draw, self.first, workers.map)
        for step in steps:
            began, done = time.monotonic(), step + 1
            parts = drawn.result()
            if done < last:
                drawn = ahead.submit(self.draw, done, workers.map)  # while this step computes
            values, stop = self.take_step(step, parts, stopping)
            values["seconds"] = time.monotonic() - began
            if done % self.options.evaluate_every == 0 or done == last:
                values |= self._validate(done, steps.write)
            self._write_logs(done, values)
            steps.set_postfix(loss=f"{values['loss']:.4f}")
            if done == last or stop or time.monotonic() - saved > 60 * self.options.save_every:
                self.save(done)
                saved = time.monotonic()
            if stop:
                self.processes.wait()  # until the main process has saved
                raise KeyboardInterrupt

    def draw(self, step: int, map_samples: Callable = map) -> list[tuple[Batch, run_state.StepSamples]]:
        """This process's parts of a step's batch, with the random numbers of their samples."""
        total, size = self.stage_config.batch_size, self.part_size
        slices = slices_a_photograph(self.model, self.stage, self.stage_config)
        parts = []
        for part in range(self.options.accumulation):
            first = (self.processes.index * self.options.accumulation + part) * size
            seed, stream = self.options.seed, STAGES.index(self.stage)
            samples = run_state.StepSamples.of(seed, step, stream, first, size, total)
            common = run_state.step_generator(seed, step, stream)
            parts.append((self.batches.draw(slices, common, samples.generators, map_samples), samples))
        return parts

    def take_step(
        self, step: int, parts: list[tuple[Batch, run_state.StepSamples]], stopping: Callable[[], bool]
    ) -> tuple[dict[str, float], bool]:
        """One update of the weights; returns the whole batch's losses, and whether any process was told to stop."""
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums, bad = torch.zeros(len(loss_parts(self.stage)), 2, dtype=torch.float64), []
        for position, (batch, samples) in enumerate(parts):
            with self.processes.gathering(self.loss, position == len(parts) - 1):
                loss, portions = self._forward(step, batch.to(self.processes.device), samples)
                (loss / len(parts)).backward()
            sums += portions
            bad += [] if torch.isfinite(loss) else batch.ids
        *totals, stop = self.processes.sum([*sums.flatten().tolist(), float(stopping())])
        means = torch.tensor(totals).view(-1, 2)
        losses = {
            n: total / count for n, (total, count) in zip(loss_parts(self.stage), means.tolist(), strict=True) if count
        }
        self._check(losses["loss"], f"the loss is {losses['loss']}", step, bad)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip))
        self._check(norm, "a gradient is not finite", step, [name for batch, _ in parts for name in batch.ids])
        rate = self._learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.ema.update(self.trained)
        return losses | {"learning_rate": rate, "gradient_norm": norm}, stop > 0

    def _forward(self, step: int, batch: Batch, samples: run_state.StepSamples) -> tuple[Tensor, Tensor]:
        # Dropout's randomness is the one that belongs to a part of the batch and not to its samples.
        stream = STAGES.index(self.stage) + len(STAGES)
        generator = run_state.step_generator(self.options.seed, step, stream, samples.first)
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        return self.loss(batch.image, batch.slices, batch.frequency_index, samples)

    def _check(self, value: float, problem: str, step: int, ids: list[str]) -> None:
        """Stop all processes with the sequences' ids where a value, which is the same in all, is not finite."""
        if torch.isfinite(torch.tensor(value)):
            return
        ids = self.processes.collect(ids)
        if not self.processes.is_main:
            raise SystemExit(1)
        raise FloatingPointError(f"{problem} at step {step} of the {self.stage} stage on {', '.join(ids)}")

    def _learning_rate(self, step: int) -> float:
        stage = self.stage_config
        return run_state.learning_rate_at(
            step, stage.learning_rate, stage.steps, self.config.schedule, self.config.warmup
        )

    def _validate(self, step: int, say: Callable[[str], None]) -> dict[str, float]:
        """Figures of the averaged weights on validation scenes, by the main process."""
        if not self.processes.is_main:
            return {}
        with self.ema.applied_to(self.trained):
            self.figures, picture = self.validation(self.model, self.stage, step)
        say(f"{self.stage} step {step}: " + ", ".join(f"{name} {value:.3f}" for name, value in self.figures.items()))
        if self.board is not None:
            self.board.picture(step, "samples", picture)
        return self.figures

    def _write_logs(self, step: int, values: dict[str, float]) -> None:
        if self.log is not None:
            self.log.append(step, values)
        if self.board is not None:
            self.board.append(step, values)

    def save(self, step: int) -> None:
        """Write the state that resuming needs, a checkpoint with averaged weights to be used at once, and the plot."""
        if self.log is None:  # not the main process
            return
        output = self.options.output
        run_state.save_training_state(output, step, self.model, self.optimizer, self.ema, {"stage": self.stage})
        with self.ema.applied_to(self.trained):
            self.model.save_pretrained(output, self.provenance(step))
        shown = [part for part in loss_parts(self.stage) if not part.startswith("noise")]
        plot_log(self.log.path, output / f"loss_{self.stage}.png", shown)

    def provenance(self, step: int) -> dict:
        """How weights came about, for the checkpoint."""
        return {"stage": self.stage, "step": step, "data": list(self.options.data)}


def part_size(batch_size: int, processes: int, accumulation: int) -> int:
    """Samples that pass the network at once, where a batch is divided evenly."""
    if batch_size % (processes * accumulation):
        raise ValueError(
            f"a batch of {batch_size} can't be divided evenly among {processes} processes times {accumulation} parts; "
            "choose --batch-size as a multiple of their product"
        )
    return batch_size // (processes * accumulation)
