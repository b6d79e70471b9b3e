"""Training the networks of a fold, each by its own command and for as many steps as fit its share of the budget."""

from __future__ import annotations

import contextlib
import csv
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.command_line import select_device
from evaluation.options import BenchmarkOptions
from evaluation.report.report import folder_provenance
from evaluation.tables.ablation import read_json
from evaluation.tables.ablation_training import ROOT
from evaluation.tables.benchmark.folds import Fold
from evaluation.tables.benchmark.ledger import STEP_FILE, Ledger
from evaluation.tables.benchmark.networks import NETWORKS

PILOT_STEPS = 64  # of each stage, by which a step is timed
WARM_UP_STEPS = 32  # of them, in which what is read for the first time is kept: they are counted by themselves
FEWEST_STEPS = 2  # of a stage, however small the budget
TIMES = ("processor_seconds", "seconds")  # of a step, columns of every training's log
RUN = "run"  # the run folder in a training's folder

Call = Callable[[list[str], int | None], int]  # (arguments of Python, lock to inherit) -> exit status


def call_python(arguments: list[str], lock: int | None) -> int:
    """Run Python with these arguments in a process that inherits the lock (a descriptor); returns its exit status."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, pass_fds=() if lock is None else (lock,)).returncode


class TrainingFailure(Exception):  # noqa: N818 - other rows go on
    """A network could not be trained; the message is one line."""


@dataclass(frozen=True)
class Trainer:
    """Trains networks, each in a step of the ledger."""

    options: BenchmarkOptions
    ledger: Ledger
    lock: int | None = None  # held by the trainings as well, so that none runs unnoticed after this process was killed
    call: Call = call_python

    def train(self, name: str, fold: Fold) -> Path:
        """The run folder of a network that is trained on the train split of a fold, now if need be.

        Args:
            name: of :data:`evaluation.tables.benchmark.networks.NETWORKS`.
            fold: whose folder it goes to.

        Raises:
            TrainingFailure: the training has ended with an error, which it has told.
        """
        step = self._step(name, fold)
        steps = self.steps(name, fold.data)
        rests_on = {"steps": steps, **self.settings(name), "manifest": fold.manifest}
        self.ledger.do(
            step, lambda folder: self._train(name, folder, data=fold.data, steps=steps), rests_on=rests_on, anew=False
        )
        return self.ledger.output / step / RUN

    def timing(self, name: str, fold: Fold) -> dict[str, Any] | None:
        """Steps of a training that is done, and what they took, by :data:`TIMES`."""
        values = read_json(self.ledger.output / self._step(name, fold) / STEP_FILE)
        if "result" not in values:
            return None
        return {"steps": values["rests_on"]["steps"], **{key: values["result"][key] for key in TIMES}}

    def _step(self, name: str, fold: Fold) -> str:
        return f"{fold.place}/networks/{name}"

    def settings(self, name: str) -> dict[str, Any]:
        """What a training is told beside its data and its numbers of steps."""
        network = NETWORKS[name]
        count = ["--num-frequencies", str(network.num_frequencies)] if network.num_frequencies else []
        more = [word for known, words in self.options.train if known == name for word in shlex.split(words)]
        options = [*network.presets[self.options.preset], *network.options, *count, *more]
        return {"options": options, "seed": self.options.seed}

    def time(self, names: Iterable[str], data: Path) -> None:
        """Run the pilots of networks one after the other, so that all of them meet the machine in the same state."""
        for name in names:
            with contextlib.suppress(TrainingFailure):  # which is told when the network is to be trained
                self.steps(name, data)

    def steps(self, name: str, data: Path) -> dict[str, int]:
        """Steps of each stage: as asked for, or as many as fit, by what they took in the pilot."""
        network = NETWORKS[name]
        if self.options.max_steps is not None:
            return {stage.name: self.options.max_steps for stage in network.stages}
        rests_on = {**self.settings(name), "pilot": {"steps": PILOT_STEPS, "warm_up": WARM_UP_STEPS}}
        found = self.ledger.do(f"pilot/{name}", lambda path: self._pilot(name, path, data), rests_on=rests_on)
        budget = 60 * self.options.budget * network.share
        return {stage.name: fitting_steps(budget * stage.share, **found[stage.name]) for stage in network.stages}

    # Calls ------------------------------------------------------------------------------------------------------------

    def _pilot(self, name: str, folder: Path, data: Path) -> dict[str, Any]:
        """Seconds of the steps of each stage, by :func:`step_costs`."""
        network = NETWORKS[name]
        shutil.rmtree(folder / RUN, ignore_errors=True)  # of a pilot that was stopped: a resumed one is not timed right
        self._run(name, folder, data=data, steps={stage.name: PILOT_STEPS for stage in network.stages})
        # On a processor its own time counts, whatever else runs there.
        clock = "processor_seconds" if select_device(self.options.device).type == "cpu" else "seconds"
        return {stage.name: step_costs(folder / RUN / stage.log, clock) for stage in network.stages}

    def _train(self, name: str, folder: Path, *, data: Path, steps: Mapping[str, int]) -> dict[str, Any]:
        self._run(name, folder, data=data, steps=steps)
        logs = [folder / RUN / stage.log for stage in NETWORKS[name].stages]
        return {**whole_times(logs), "files": folder_provenance(folder / RUN)["files"]}

    def _run(self, name: str, folder: Path, *, data: Path, steps: Mapping[str, int]) -> None:
        """Call the network's commands."""
        settings = self.settings(name)
        paths = ["--data", str(data.resolve()), "--output", str((folder / RUN).resolve())]
        same = [*settings["options"], "--seed", str(settings["seed"]), "--device", self.options.device]
        if self.options.weights is not None and NETWORKS[name].weights:
            same += ["--weights", str(self.options.weights.resolve())]
        for call in NETWORKS[name].calls(steps):
            status = self.call([*call, *paths, *same], self.lock)
            if status in (130, -2):
                raise KeyboardInterrupt
            if status:
                raise TrainingFailure(
                    f"{folder}: the training of {name} ended with exit status {status}, for the reason above"
                )


def step_costs(log: Path, clock: str) -> dict[str, float]:
    """Seconds of a pilot's steps by a column of its log: of the ``warm_up`` together, and of each one after it.

    Raises:
        TrainingFailure: the log has no steps after the warm-up.
    """
    seconds = [float(row[clock]) for row in _rows(log)]
    if len(seconds) <= WARM_UP_STEPS:
        raise TrainingFailure(f"{log}: no steps to time; remove the folder and run the same command again")
    return {"warm_up": sum(seconds[:WARM_UP_STEPS]), "each": max(statistics.mean(seconds[WARM_UP_STEPS:]), 1e-6)}


def fitting_steps(budget: float, *, warm_up: float, each: float) -> int:
    """How many steps so many seconds are enough for, by what :func:`step_costs` found."""
    if budget < warm_up:
        return max(FEWEST_STEPS, int(WARM_UP_STEPS * budget / warm_up))
    return WARM_UP_STEPS + int((budget - warm_up) / each)


def whole_times(logs: Sequence[Path]) -> dict[str, float | None]:
    """Sums of :data:`TIMES` over all steps of a training; None where the logs don't tell."""
    rows = [row for log in logs if log.is_file() for row in _rows(log)]
    known = all(row.get(name) for row in rows for name in TIMES) and bool(rows)
    return {name: round(sum(float(row[name]) for row in rows), 1) if known else None for name in TIMES}


def _rows(log: Path) -> list[dict[str, str]]:
    with log.open(newline="") as file:
        return list(csv.DictReader(file))
