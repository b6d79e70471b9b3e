"""The rows of the ablation (paper Table 2) and the training of their models, each in a folder of its own.

A row is trained by `train_unet.py`, in a process of its own, which resumes where it was stopped. Rows whose weights are
the same up to some stage train that stage once: the full model is the independent one with frequency attention on top,
and the joint model takes over its autoencoder.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.command_line import write_json
from common.files import locked
from common.hashing import file_sha256
from common.plain import read_json

ROOT = Path(__file__).resolve().parents[2]  # where the scripts are
COMMAND_FILE = "command.json"  # in a row's folder: what its training rests on, written before it starts
REPORT_FILE = "training.json"  # in a row's folder: the training's report, written when it is done


@dataclass(frozen=True)
class Row:
    """One row of the table: how its model is trained and used."""

    options: tuple[str, ...] = ()  # of train_unet.py
    base: str | None = None  # the row from whose weights training starts
    weights_of: str | None = None  # the row whose weights are used as they are, without training
    num_frequencies: int | None = None  # K, where it differs from the full model's
    renderer: str | None = None  # in place of the renderer chosen for the table
    method: str = "model"  # of baselines.simple


FULL_FREQUENCIES = 16  # K of the full model, whatever the preset's; fewer where the data have fewer

# In the order of the paper's Table 2.
ROWS = {
    "repeat": Row(method="repeat"),
    "K=4": Row(num_frequencies=4),
    "K=8": Row(num_frequencies=8),
    "K=24": Row(num_frequencies=24),
    "no-adaptive-normalisation": Row(("--normalization", "size")),
    "independent-frequencies": Row(("--independent",)),
    # The decoder was trained on the same latents already, so that the U-Net's stage is all that is left.
    "joint-volume": Row(("--joint", "--stage", "slice"), base="independent-frequencies"),
    "image-splatting": Row(weights_of="full", renderer="softmax"),
    "full": Row(("--stage", "coordinate"), base="independent-frequencies"),
}


def train_unet(options: list[str], lock: int | None) -> int:
    """Run `train_unet.py` in a process that inherits the lock (a descriptor); returns its exit status."""
    command = [sys.executable, str(ROOT / "train_unet.py"), *options]
    return subprocess.run(command, check=False, pass_fds=() if lock is None else (lock,)).returncode


@dataclass(frozen=True)
class Ablation:
    """What all rows of one ablation share."""

    output: Path
    data: Path
    preset: str
    max_steps: int | None
    seed: int
    device: str
    given: Mapping[str, Path]  # row -> motion checkpoint that is scored in place of training one
    stored_frequencies: int  # how many the dataset holds
    lock: int | None = None  # held by the trainings as well, so that none runs unnoticed after this process was killed
    train_unet: Callable[[list[str], int | None], int] = train_unet

    def missing_frequencies(self, name: str) -> str | None:
        """Why a row can't be computed on these data, or None if it can."""
        row = ROWS[name]
        if row.method != "model" or (row.weights_of or name) in self.given:
            return None
        stored = self.stored_frequencies
        return f"not computed: the dataset has {stored} frequencies" if self._frequencies(row) > stored else None

    def _frequencies(self, row: Row) -> int:
        return row.num_frequencies or min(FULL_FREQUENCIES, self.stored_frequencies)

    def train(self, name: str) -> Path:
        """The row's motion checkpoint: given, trained before, or trained now, after the one it starts from."""
        row = ROWS[name]
        if row.weights_of:
            return self.train(row.weights_of)
        if name in self.given:
            return self.given[name]
        base = self.train(row.base) if row.base else None
        folder = self.output / name
        self._check_command(folder, row, base)
        if not (folder / REPORT_FILE).is_file():
            self._run(name, row, base)
        return folder / "run"

    def training_options(self, row: Row) -> list[str]:
        """What train_unet.py is told of a row, but for the paths and the device."""
        steps = [] if self.max_steps is None else ["--max-steps", str(self.max_steps)]
        count = ["--num-frequencies", str(self._frequencies(row))]
        return ["--preset", self.preset, *count, *row.options, *steps, "--seed", str(self.seed)]

    def _check_command(self, folder: Path, row: Row, base: Path | None) -> None:
        """Write down what a row's training rests on; another training in its folder is an error."""
        command = {
            "options": self.training_options(row),
            "data": {name: file_sha256(self.data / name) for name in ("manifest.csv", "stats.json")},
            "base": None if base is None else file_sha256(base / "model.safetensors"),
        }
        path = folder / COMMAND_FILE
        if not path.is_file():
            write_json(path, command)
            return
        before = read_json(path)
        changed = [name for name in command if command[name] != before.get(name)]
        if changed:
            told = {"options": "with " + " ".join(map(str, before.get("options") or [])), "data": "on other data"}
            reasons = [told.get(name, "from other weights") for name in changed]
            raise ValueError(f"{folder}: was trained {', '.join(reasons)}; remove it or name another --output")

    def _run(self, name: str, row: Row, base: Path | None) -> None:
        folder = self.output / name
        paths = ["--data", self.data, "--output", folder / "run", "--report", folder / REPORT_FILE]
        paths += ["--init", base] if base else []
        options = [*map(str, paths), *self.training_options(row), "--device", self.device]
        status = self.train_unet(options, self.lock)
        if status in (130, -2):
            raise KeyboardInterrupt
        if status:
            raise ValueError(
                f"{folder}: training ended with exit status {status} for the reason above; the same command resumes "
                "there, --rows leaves the row out"
            )


def stored_frequencies(data: Path) -> int:
    """How many frequencies a dataset folder holds."""
    from data.dataset.manifest import load_statistics

    return load_statistics(data)["num_frequencies"]


def motion_checkpoint(path: Path) -> Path:
    """The motion checkpoint that a folder is or, as a pipeline's folder, holds."""
    from common.checkpoint import load_config

    folder = path / "motion" if (path / "motion").is_dir() else path
    load_config(folder, "motion")
    return folder


@contextmanager
def exclusive(folder: Path) -> Iterator[int | None]:
    """Hold a folder's lock file; `ValueError` while another process does. What :func:`common.files.locked` yields."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / ".lock") as lock:
            yield lock
    except BlockingIOError:
        raise ValueError(f"{folder}: an ablation or one of its trainings is running there; wait or stop it") from None
