"""`train_unet.py` on the small dataset: its command, runs that stop on the way, folders that are compared."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train_unet
from models.motion.config import MotionConfig
from training.log import read_csv
from training.motion.run import MotionRun, train_motion
from training.saved_state import read_training_state
from training.task import STEP_TIMES

CPU = torch.device("cpu")
TINY = ["--preset", "tiny", "--evaluate-every", "4", "--device", "cpu"]
EXACT = ["--precision", "float32"]


def command(dataset: Path, output: Path, *options: str) -> list[str]:
    return ["--data", str(dataset), "--output", str(output), *TINY, *options]


def run(dataset: Path, output: Path, *options: str) -> int:
    return train_unet.main(command(dataset, output, *options))


def asked_for(dataset: Path, output: Path, *options: str, network: MotionConfig | None = None) -> MotionRun:
    """The run that a command line means, with a smaller network in place of its preset's if one is given."""
    run = train_unet.read_options(train_unet.build_parser().parse_args(command(dataset, output, *options)))
    run = replace(run, training=replace(run.training, sampling_steps=2))
    return run if network is None else replace(run, model=replace(run.model, preset=network))


def stop(dataset: Path, output: Path, *options: str, at: tuple[str, int], number: int = signal.SIGINT) -> None:
    """Run until a signal comes during a step of a stage."""

    def watch(stage: str, step: int) -> None:
        if (stage, step) == at:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        train_motion(asked_for(dataset, output, *options), CPU, watch=watch)


def assert_same_weights(first: Path, second: Path) -> None:
    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def untimed(log: Path) -> list[dict[str, str]]:
    """The rows of a training's log without what its steps took."""
    return [row | dict.fromkeys(STEP_TIMES, "") for row in read_csv(log)]


def assert_same_folder(first: Path, second: Path) -> None:
    """All files are there, and say the same; only times may differ."""
    names = [{path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} for folder in (first, second)]
    assert names[0] ^ names[1] == set()
    assert_same_weights(first, second)
    states = [folder / "state" / "training.safetensors" for folder in (first, second)]
    assert read_training_state(first) == read_training_state(second)
    one, other = map(load_file, states)
    assert [name for name in one | other if not torch.equal(one[name], other[name])] == []
    for name in names[0] - {path for path in names[0] if path.suffix == ".safetensors"}:
        if name.suffix == ".csv":
            assert untimed(first / name) == untimed(second / name), name
        else:
            assert (first / name).read_bytes() == (second / name).read_bytes(), name
