"""Training the networks of a fold, each by its own command and for as many steps as fit its share of the budget."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.options import BenchmarkOptions
from evaluation.report.report import folder_provenance
from evaluation.tables.ablation import read_json
from evaluation.tables.ablation_training import ROOT
from evaluation.tables.benchmark.folds import Fold
from evaluation.tables.benchmark.ledger import STEP_FILE, Ledger
from evaluation.tables.benchmark.networks import NETWORKS

PILOT_STEPS = 4  # of each stage, by which a step is timed; the first one is left out
FEWEST_STEPS = 2  # of a stage, however small the budget
TIMES = ("processor_seconds", "seconds")  # of a training; None where it was stopped and resumed
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
        """Steps and seconds of a training that is done."""
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

    def steps(self, name: str, data: Path) -> dict[str, int]:
        """Steps of each stage: as asked for, or as many as fit, by what a step took in the pilot."""
        network = NETWORKS[name]
        if self.options.max_steps is not None:
            return {stage.name: self.options.max_steps for stage in network.stages}
        settings = self.settings(name)
        found = self.ledger.do(f"pilot/{name}", lambda path: self._pilot(name, path, data), rests_on=settings)
        budget = 60 * self.options.budget * network.share
        return {
            stage.name: max(FEWEST_STEPS, int(budget * stage.share / found["seconds"][stage.name]))
            for stage in network.stages
        }

    # Calls ------------------------------------------------------------------------------------------------------------

    def _pilot(self, name: str, folder: Path, data: Path) -> dict[str, Any]:
        """Seconds of a step of each stage: of the processor, so that what else runs does not count; on a GPU by the
        clock."""
        network = NETWORKS[name]
        shutil.rmtree(folder / RUN, ignore_errors=True)  # of a pilot that was stopped: a resumed one is not timed right
        names = [stage.name for stage in network.stages]
        used, passed = self._run(name, folder, data=data, steps=dict.fromkeys(names, PILOT_STEPS))
        busy = used / passed if used and self.options.device in ("auto", "cpu") and not _has_gpu() else 1.0
        return {
            "seconds": {stage.name: busy * step_seconds(folder / RUN / stage.log) for stage in network.stages},
            "processor_share": busy,
        }

    def _train(self, name: str, folder: Path, *, data: Path, steps: Mapping[str, int]) -> dict[str, Any]:
        resumed = (folder / RUN).exists()
        times = self._run(name, folder, data=data, steps=steps)
        files = folder_provenance(folder / RUN)["files"]
        # The call that ends a training knows nothing of the time of those before.
        told = (None if resumed else round(seconds, 1) for seconds in times)
        return {**dict(zip(TIMES, told, strict=True)), "files": files}

    def _run(self, name: str, folder: Path, *, data: Path, steps: Mapping[str, int]) -> tuple[float, float]:
        """Call the network's commands; returns :data:`TIMES`, of this call alone."""
        began, before = time.monotonic(), _children_seconds()
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
        return _children_seconds() - before, time.monotonic() - began


def step_seconds(log: Path) -> float:
    """Median of the seconds that a training's log gives for its steps after the first.

    Raises:
        TrainingFailure: the log has no such steps.
    """
    with log.open(newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    if len(seconds) < 2:
        raise TrainingFailure(f"{log}: no steps to time; remove the folder and run the same command again")
    return max(statistics.median(seconds[1:]), 1e-6)


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
