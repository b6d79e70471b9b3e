"""Train the motion model on from the weights that come with the repository, for as long as there is time.

Two stages of `train_unet.py` follow each other, because a checkpoint samples with frequency attention only if that was
trained last. The checkpoint of the moment lies in the results, in pieces, after each time that the run saves it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from benchmarks.gpu import training_rates
from benchmarks.gpu.made_dataset import make_dataset
from benchmarks.gpu.part import run_part
from benchmarks.gpu.pieces import write_pieces
from benchmarks.gpu.results import Results, figure
from benchmarks.pack import pack, unpack
from training.log import read_csv

PART = "training"
SHARES = {"slice": 0.7, "frequency_attention": 0.3}  # of the time
SETTING_UP = 25.0  # seconds of each stage that are no steps: reading, validation, calibration, writing
SAFETY = 0.85  # of the steps that the measured rate promises
UNKNOWN_RATE = 4.0  # steps a second, where none was measured
KEPT = ("config.json", "model.safetensors", "log_slice.csv", "log_frequency_attention.csv")
NAME = "motion"  # of the pieces


def main(argv: list[str] | None = None) -> int:
    """Train and return the exit status."""
    return run_part("training", __doc__ or "", body=measure, argv=argv)


def measure(options: argparse.Namespace, device: torch.device, *, results: Results) -> None:
    """Both stages, as long as ``options.seconds`` last."""
    deadline = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as place:
        dataset = dataset_of(options, Path(place))
        output = Path(place) / "run"
        with Carrier(output, results.folder / NAME):
            for stage, share in SHARES.items():
                seconds = share * options.seconds if stage == "slice" else deadline - time.monotonic()
                steps = 2 if options.rehearse else steps_within(results, stage, seconds=seconds)
                began = time.monotonic()
                status = train(
                    command(options, stage, steps=steps, dataset=dataset, output=output, device=device), seconds
                )
                note(results, output, stage=stage, asked=steps, seconds=time.monotonic() - began, status=status)


def dataset_of(options: argparse.Namespace, place: Path) -> Path:
    """The packed dataset of the command line; in a rehearsal a generated one, packed and unpacked likewise."""
    packed = options.dataset
    if options.rehearse:
        made = make_dataset(
            place / "made",
            3,
            size=(64, 32),
            frequencies=4,
            num_frames=20,
            stored_frames=1,
            validation=1,
            seed=options.seed,
        )
        packed = place / "made.pack"
        pack(made, packed, limit=4_000_000)
    if packed is None:
        raise ValueError(
            "no packed dataset to train on: make one with python -m benchmarks.pack and name it by DATASET"
        )
    unpack(packed, place / "dataset")
    return place / "dataset"


def steps_within(results: Results, stage: str, *, seconds: float) -> int:
    """As many steps as the rate that this run measured allows."""
    rate = figure(results.folder, training_rates.PART, training_rates.case(stage)) or UNKNOWN_RATE
    return max(20, int(SAFETY * rate * (seconds - SETTING_UP)))


def command(
    options: argparse.Namespace, stage: str, *, steps: int, dataset: Path, output: Path, device: torch.device
) -> list[str]:
    """Of `train_unet.py`; the second stage finds the checkpoint of the first in the run folder."""
    given = ["--data", str(dataset), "--output", str(output), "--stage", stage.replace("_", "-")]
    given += ["--max-steps", str(steps)]
    given += ["--device", device.type, "--workers", str(training_rates.WORKERS), "--evaluate-every", str(10**6)]
    given += ["--save-every", "1", "--seed", str(options.seed)]
    if options.rehearse:
        return [*given, "--preset", "tiny"]
    return [*given, "--init", str(training_rates.PRETRAINED_MOTION), "--learning-rate", "1e-4"]


def train(arguments: list[str], seconds: float) -> int:
    """Run the script, told to stop in time: it then saves where it is. Returns its exit status, 130 if stopped."""
    import train_unet

    print("train_unet.py", *arguments, flush=True)
    # While steps are taken the script asks for the signal itself; before and after, it interrupts what is going on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        status = train_unet.main(arguments)
    finally:
        timer.cancel()
    if status not in (0, 130):
        raise RuntimeError(f"train_unet.py ended with status {status}; the log says why")
    return status


def note(results: Results, output: Path, *, stage: str, asked: int, seconds: float, status: int) -> None:
    """What a stage came to."""
    rows = read_csv(output / f"log_{stage}.csv")
    text = f"{len(rows)} of {asked} steps in {seconds:.0f} s{', stopped in time' if status else ''}"
    results.add(
        PART, f"stage {stage}, loss of the last tenth", value=_end(rows, "loss"), unit="", note=text, steps=len(rows)
    )
    first = sum(float(row["loss"]) for row in rows[: max(1, len(rows) // 10)]) / max(1, len(rows) // 10)
    results.add(PART, f"stage {stage}, loss of the first tenth", value=first, unit="")
    for name in ("localisation", "amplitude_ratio", "coherence"):
        values = [float(row[name]) for row in rows if row.get(name)]
        if values:
            results.add(PART, f"stage {stage}, {name} on validation scenes", value=values[-1], unit="")


def _end(rows: list[dict[str, str]], name: str) -> float:
    last = rows[-max(1, len(rows) // 10) :]
    return sum(float(row[name]) for row in last) / len(last)


class Carrier:
    """While it is open, the run's checkpoint is written into pieces whenever it is a new one, and once more at the end.

    Args:
        output: run folder.
        target: name of the pieces, see :func:`benchmarks.gpu.pieces.write_pieces`.
    """

    PAUSE = 5.0  # seconds between two looks

    def __init__(self, output: Path, target: Path) -> None:
        self._output, self._target = output, target
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._seen = 0.0

    def __enter__(self) -> Carrier:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._carry()

    def _watch(self) -> None:
        while not self._ended.wait(self.PAUSE):
            self._carry()

    def _carry(self) -> None:
        weights = self._output / "model.safetensors"
        if not weights.is_file() or weights.stat().st_mtime == self._seen:
            return
        self._seen = weights.stat().st_mtime
        write_pieces(self._output, KEPT, target=self._target)


if __name__ == "__main__":
    sys.exit(main())
