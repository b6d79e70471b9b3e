"""The training loop, one for all models: batches, steps, averages, logs, validation, saving and resuming.

What is trained is a `training.task.Task`. The loop gives every task gradient accumulation, several processes, bfloat16,
averaged weights, CSV and TensorBoard logs, the best checkpoint, an exact resumption, and an end between two steps on
Ctrl-C. Adversarial trainings are tasks with several :class:`Update` a step.

A step's batch and all its random numbers follow from (seed, step, stream, position in the batch), so that a resumed
run, and one on another number of processes or with its batches divided, sees the same ones.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common import checkpoint
from common.files import remove_stale_files
from training import saved_state
from training import state as run_state
from training.best import FOLDER, BestCheckpoint
from training.log import CsvLog, TensorBoardLog, plot_log
from training.processes import Processes
from training.state import StepSamples
from training.task import STEP_TIMES, Batch, RunOptions, Task, Update, part_size


@dataclass(frozen=True)
class Outcome:
    """What a finished training leaves, beside the averaged weights that its model then has."""

    figures: dict[str, float]  # found by the last validation
    best: dict | None  # metric, score and step of the best checkpoint


def train(
    task: Task,
    options: RunOptions,
    processes: Processes,
    *,
    watch: Callable[[str, int], None] | None = None,
) -> Outcome:
    """Carry out a task from its first or its last saved step to its end.

    Args:
        watch: called with the task's name and the step before each step.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the step has ended and its state is saved.
        FloatingPointError: naming the batch's samples, where a loss or a gradient is not finite.
        ValueError: where the batch can't be divided as asked for, or the saved state is of something else.
    """
    return _Training(task, options, processes, watch=watch).run()


class _Training:
    """One call of :func:`train`."""

    def __init__(
        self,
        task: Task,
        options: RunOptions,
        processes: Processes,
        *,
        watch: Callable[[str, int], None] | None,
    ) -> None:
        self.task, self.plan, self.updates = task, task.plan, task.updates
        self.options, self.processes = options, processes
        self.watch = watch or (lambda name, step: None)
        self.part_size = part_size(
            self.plan.batch_size,
            processes=processes.count,
            accumulation=options.accumulation,
            together=self.plan.together,
        )
        self.ema = run_state.ExponentialMovingAverage(task.averaged, self.plan.ema_decay)
        self.first = self._resume()
        self.losses = []
        for update in self.updates:
            with self._alone(update):
                self.losses.append(processes.wrap(update.loss.to(processes.device)))
        self.figures: dict[str, float] = {}
        self.best = BestCheckpoint(
            options.output, goal=options.keep_best, goals=self.plan.goals, step=self.first, identity=self.plan.identity
        )
        self._open_logs()

    def _resume(self) -> int:
        """Load the saved state if it is of this task, and return its step."""
        output, plan = self.options.output, self.plan
        state = saved_state.read_training_state(output)
        if state is None or any(state.get(key) != value for key, value in plan.identity.items()):
            return 0
        optimizers = [update.optimizer for update in self.updates]
        first = saved_state.load_training_state(output, model=self.task.model, optimizers=optimizers, ema=self.ema)
        if self.processes.is_main:
            print(f"{plan.name}: resuming at step {first} of {plan.steps}")
        return first

    def _open_logs(self) -> None:
        self.log: CsvLog | None = None
        self.board: TensorBoardLog | None = None
        if not self.processes.is_main:
            return
        for name in (".", "samples", saved_state.STATE_FILE.parent, FOLDER):
            remove_stale_files(self.options.output / name)  # which a killed process leaves
        self.log = CsvLog(self.options.output / self.plan.log, self.plan.columns, self.first)
        if self.options.tensorboard:
            self.board = TensorBoardLog(self.options.output / "tensorboard" / self.plan.name, self.first)

    def run(self) -> Outcome:
        with (
            run_state.stop_between_steps() as stop,
            ThreadPoolExecutor(1) as ahead,
            ThreadPoolExecutor(self.options.workers) as workers,
        ):
            self._loop(stop.is_set, ahead, workers)
        if self.first >= self.plan.steps:
            # It ended after its last step, perhaps before all was written: what it found is found and written again.
            self._validate(self.first, print)
            self._save(self.first)
        if self.board is not None:
            self.board.close()
        self.processes.unwrap()
        averaged = self.task.averaged
        checkpoint.load_weights(averaged, dict(averaged.state_dict()) | self.ema.shadow, "average")
        self.task.model.eval()
        return Outcome(figures=self.figures, best=self.best.found)

    def _loop(self, stopping: Callable[[], bool], ahead: Executor, workers: Executor) -> None:
        from tqdm import tqdm

        last, saved = self.plan.steps, time.monotonic()
        bar = {"desc": self.plan.name, "mininterval": 1, "disable": not self.processes.is_main}
        steps = tqdm(range(self.first, last), initial=self.first, total=last, **bar)
        drawn: Future = ahead.submit(self._draw, self.first, workers.map)
        for step in steps:
            self.watch(self.plan.name, step)
            began, done = _times(), step + 1
            parts = drawn.result()
            if done < last:
                drawn = ahead.submit(self._draw, done, workers.map)  # while this step computes
            values, stop = self._take_step(step, parts, stopping)
            values |= {name: now - then for name, now, then in zip(STEP_TIMES, _times(), began, strict=True)}
            if done % self.options.evaluate_every == 0 or done == last:
                values |= self._validate(done, steps.write)
            self._write_logs(done, values)
            steps.set_postfix(loss=f"{values[self.updates[0].parts[0]]:.4f}")
            if done == last or stop or time.monotonic() - saved > 60 * self.options.save_every:
                self._save(done)
                saved = time.monotonic()
            if stop:
                self.processes.wait()  # until the main process has saved
                raise KeyboardInterrupt

    def _draw(self, step: int, map_samples: Callable) -> list[tuple[Batch, StepSamples]]:
        """This process's parts of a step's batch, with the random numbers of their samples."""
        parts = []
        for part in range(self.options.accumulation):
            first = (self.processes.index * self.options.accumulation + part) * self.part_size
            place = {"stream": self.plan.stream, "first": first, "count": self.part_size}
            parts.append(StepSamples.of(self.options.seed, step, total=self.plan.batch_size, **place))
        batches = self.task.draw(step, parts, map_samples)
        if self.processes.device.type == "cuda":
            # This runs while another step computes: here the copy to page-locked memory costs no time.
            batches = [batch.pinned() for batch in batches]
        return list(zip(batches, parts, strict=True))

    def _take_step(
        self, step: int, parts: list[tuple[Batch, StepSamples]], stopping: Callable[[], bool]
    ) -> tuple[dict[str, float], bool]:
        """One step; returns the whole batch's losses, and whether any process was told to stop."""
        self.task.model.train()
        values: dict[str, float] = {}
        stop = False
        for update, loss in zip(self.updates, self.losses, strict=True):
            with self._alone(update):
                found, told = self._update(update, loss, step=step, parts=parts, stopping=stopping)
            values |= found
            stop |= told
        self.ema.update(self.task.averaged)
        return values, stop

    def _update(
        self,
        update: Update,
        loss: nn.Module,  # the update's, wrapped
        *,
        step: int,
        parts: list[tuple[Batch, StepSamples]],
        stopping: Callable[[], bool],
    ) -> tuple[dict[str, float], bool]:
        """One change of an optimizer's parameters."""
        update.optimizer.zero_grad(set_to_none=True)
        portions, finite = [], []
        for position, (batch, samples) in enumerate(parts):
            with self.processes.gathering(loss, position == len(parts) - 1):
                value, portion = self._forward(loss, batch.to(self.processes.device), step=step, samples=samples)
                (value / len(parts)).backward()
            portions.append(portion)
            finite.append(torch.isfinite(value.detach()))
        gradient_norm = torch.nn.utils.clip_grad_norm_(update.parameters, self.plan.gradient_clip)
        # Only now is anything read: until here a GPU is given work without a pause.
        sums = torch.stack(portions).cpu().double().sum(dim=0)
        good = torch.stack(finite).tolist()
        bad = [name for (batch, _), fine in zip(parts, good, strict=True) if not fine for name in batch.ids]
        *totals, stop = self.processes.sum([*sums.flatten().tolist(), float(stopping())])
        means = zip(update.parts, torch.tensor(totals).view(-1, 2).tolist(), strict=True)
        losses = {name: total / count for name, (total, count) in means if count}
        whole = losses[update.parts[0]]
        self._check(whole, f"the loss is {whole}", step=step, ids=bad)
        norm = float(gradient_norm)
        self._check(norm, "a gradient is not finite", step=step, ids=[name for batch, _ in parts for name in batch.ids])
        rate = update.learning_rate(step)
        for group in update.optimizer.param_groups:
            group["lr"] = rate
        update.optimizer.step()
        own = {"learning_rate": rate, "gradient_norm": norm}
        return losses | {update.prefix + name: value for name, value in own.items()}, stop > 0

    def _forward(self, loss: nn.Module, batch: Batch, *, step: int, samples: StepSamples) -> tuple[Tensor, Tensor]:
        # Dropout's randomness is the one that belongs to a part of the batch and not to its samples.
        seed, stream = self.options.seed, self.plan.dropout_stream
        generator = run_state.step_generator(seed, step, stream=stream, sample=samples.first)
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        reduced = self.options.precision == "bfloat16"
        with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=reduced):
            return loss(batch, samples)

    @contextlib.contextmanager
    def _alone(self, update: Update) -> Iterator[None]:
        """While one update is at work, the parameters of the others take no gradients."""
        own = {id(parameter) for parameter in update.parameters}
        others = [p for other in self.updates for p in other.parameters if id(p) not in own]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _check(self, value: float, problem: str, *, step: int, ids: list[str]) -> None:
        """Stop all processes with the samples' ids where a value, which is the same in all, is not finite."""
        if torch.isfinite(torch.tensor(value)):
            return
        ids = self.processes.collect(ids)
        if not self.processes.is_main:
            raise SystemExit(1)
        raise FloatingPointError(f"{problem} at step {step} of {self.plan.title} on {', '.join(ids)}")

    def _validate(self, step: int, say: Callable[[str], None]) -> dict[str, float]:
        """Figures of the averaged weights, by the main process, which keeps the best."""
        if not self.processes.is_main:
            return {}
        with self.ema.applied_to(self.task.averaged):
            self.task.model.eval()
            findings = self.task.validate(step)
            if findings is None:
                return {}
            say(findings.text)
            if self.best.improves(findings.figures, step):
                self.task.save(self.best.folder, step, {"best": self.best.found})
        if self.board is not None and findings.picture is not None:
            self.board.picture(step, "samples", findings.picture)
        self.figures = findings.figures
        return self.figures

    def _write_logs(self, step: int, values: dict[str, float]) -> None:
        if self.log is not None:
            self.log.append(step, values)
        if self.board is not None:
            self.board.append(step, values)

    def _save(self, step: int) -> None:
        """Write the state that resuming needs, a checkpoint with averaged weights to be used at once, and the plot."""
        if self.log is None:  # not the main process
            return
        output, optimizers = self.options.output, [update.optimizer for update in self.updates]
        saved_state.save_training_state(
            output, step, model=self.task.model, optimizers=optimizers, ema=self.ema, extra=self.plan.identity
        )
        with self.ema.applied_to(self.task.averaged):
            self.task.save(output, step, {})
        plot_log(self.log.path, output / self.plan.plot, self.plan.plotted)


def _times() -> tuple[float, float]:
    """What :data:`STEP_TIMES` are differences of."""
    return time.monotonic(), time.process_time()
