"""The loop on tasks of a few numbers: with one optimizer, and with a discriminator beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from helpers.motion_training import untimed
from safetensors.torch import load_file
from torch import Tensor, nn

from common import checkpoint
from common.files import temporary_name
from training.best import Goal
from training.log import read_csv
from training.loop import train
from training.processes import Processes
from training.saved_state import read_training_state
from training.state import StepSamples
from training.task import STEP_TIMES, Findings, Plan, RunOptions, Update, part_size

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


class Numbers(NamedTuple):
    values: Tensor  # [B, 2]
    ids: list[str]

    def to(self, device: torch.device) -> Numbers:
        return self._replace(values=self.values.to(device))


class Loss(nn.Module):
    """Mean over the samples of ``score(batch, samples)``, ``[B]``."""

    def __init__(self, networks: nn.ModuleDict, score: Callable) -> None:
        super().__init__()
        self.networks, self.score = networks, score

    def forward(self, batch: Numbers, samples: StepSamples) -> tuple[Tensor, Tensor]:
        errors = self.score(self.networks, batch, samples)
        return errors.mean(), torch.tensor([[errors.detach().sum().double(), len(errors)]])


def squares(networks: nn.ModuleDict, batch: Numbers, samples: StepSamples) -> Tensor:
    """A generator's error on what it should give, with noise of its own for each sample and dropout."""
    noisy = batch.values + 0.1 * samples.normal((2,))
    return (networks["generator"](noisy)[:, 0] - batch.values.sum(dim=1)).square()


def deceived(networks: nn.ModuleDict, batch: Numbers, samples: StepSamples) -> Tensor:
    return nn.functional.softplus(-networks["critic"](networks["generator"](batch.values)))[:, 0]


def told_apart(networks: nn.ModuleDict, batch: Numbers, samples: StepSamples) -> Tensor:
    real, made = batch.values.sum(dim=1, keepdim=True), networks["generator"](batch.values).detach()
    critic = networks["critic"]
    return (nn.functional.softplus(-critic(real)) + nn.functional.softplus(critic(made)))[:, 0]


class Toy:
    """A task; ``scores`` are the losses of its updates, by what each trains."""

    def __init__(self, scores: Mapping[str, Callable], steps: int = 6, seed: int = 0) -> None:
        torch.manual_seed(seed)
        generator = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.3), nn.Tanh(), nn.Linear(4, 1))
        self.model = nn.ModuleDict({"generator": generator, "critic": nn.Linear(1, 1)})
        self.averaged = self.model["generator"]
        self.updates = [
            Update(
                loss=Loss(self.model, score),
                parts=("loss",) if number == 0 else (f"{name}_loss",),
                optimizer=torch.optim.AdamW(self.model[name].parameters(), lr=0.05),
                learning_rate=lambda step: 0.05 / (1 + step),
                prefix="" if number == 0 else f"{name}_",
            )
            for number, (name, score) in enumerate(scores.items())
        ]
        parts = [part for update in self.updates for part in update.parts]
        rates = [f"{update.prefix}{name}" for update in self.updates for name in ("learning_rate", "gradient_norm")]
        self.plan = Plan(
            name="toy",
            title="the toy",
            steps=steps,
            batch_size=4,
            columns=(*parts, *rates, *STEP_TIMES, "size"),
            plotted=("loss",),
            identity={"stage": "toy"},
            goals={"size": Goal("size", -1)},
        )
        self.scores: dict[int, float] = {}  # by step, in place of measured ones

    def draw(self, step: int, parts: Sequence[StepSamples], map_samples: Callable = map) -> list[Numbers]:
        return [
            Numbers(part.normal((2,)), [f"s{part.first + i}" for i in range(len(part.generators))]) for part in parts
        ]

    def validate(self, step: int) -> Findings:
        assert not self.model.training
        size = self.scores.get(step, float(self.averaged[0].weight.detach().abs().sum()))
        return Findings(figures={"size": size}, text=f"size {size}")

    def save(self, folder: Path, step: int, more: Mapping[str, object]) -> None:
        training = {"step": step, "stage": "toy", **more}
        checkpoint.save_checkpoint(
            folder, "toy", model_config={}, tensors=self.averaged.state_dict(), training=training
        )


ALONE = {"generator": squares}
ADVERSARIAL = {"generator": deceived, "critic": told_apart}


def run(task: Toy, output: Path, watch: Callable | None = None, **options):
    return train(task, RunOptions(output, evaluate_every=2, **options), Processes(CPU), watch=watch)


def weights(folder: Path) -> dict[str, Tensor]:
    return checkpoint.load_checkpoint(folder, "toy")[1]


def assert_same_run(first: Path, second: Path) -> None:
    one, other = (load_file(folder / "state" / "training.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_training_state(first) == read_training_state(second)
    assert (first / "config.json").read_text() == (second / "config.json").read_text()
    logs = [read_csv(folder / "log.csv") for folder in (first, second)]
    assert all(float(row[name]) > 0 for log in logs for row in log for name in STEP_TIMES)
    assert untimed(first / "log.csv") == untimed(second / "log.csv")


@pytest.mark.parametrize("scores", [ALONE, ADVERSARIAL], ids=["alone", "adversarial"])
def test_a_stopped_run_is_resumed_to_the_last_bit(scores: dict, tmp_path: Path) -> None:
    whole = Toy(scores)
    run(whole, tmp_path / "whole")

    def stop(name: str, step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run(Toy(scores), tmp_path / "parts", watch=stop)
    assert read_training_state(tmp_path / "parts")["step"] == 4
    resumed = Toy(scores, seed=9)  # other weights, so that loading has to replace them
    run(resumed, tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    for name, value in whole.averaged.state_dict().items():  # the averages, once the run has ended
        assert torch.equal(value, resumed.averaged.state_dict()[name])
        assert torch.equal(value, weights(tmp_path / "whole")[name])


def test_what_a_killed_run_left_half_written_goes(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    name = temporary_name(Path("a.safetensors")).replace(f".{os.getpid()}.", f".{ended.pid}.")
    for folder in (".", "state", "samples", "best"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_bytes(b"half")
    run(Toy(ALONE), tmp_path)
    assert list(tmp_path.rglob(name)) == []


def test_both_players_of_an_adversarial_training_learn_and_are_logged(tmp_path: Path) -> None:
    task = Toy(ADVERSARIAL)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    run(task, tmp_path, tensorboard=False)
    assert all(not torch.equal(before[name], value) for name, value in task.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in task.model.parameters())
    rows = read_csv(tmp_path / "log.csv")
    for column in ("loss", "critic_loss", "gradient_norm", "critic_gradient_norm", "critic_learning_rate"):
        assert all(float(row[column]) > 0 for row in rows)


@pytest.mark.parametrize("scores", [ALONE, ADVERSARIAL], ids=["alone", "adversarial"])
def test_divided_batches_are_the_same_batches(scores: dict, tmp_path: Path) -> None:
    for name, accumulation in (("whole", 1), ("divided", 4)):
        task = Toy(scores)
        task.model["generator"][1].p = 0.0  # dropout belongs to a part of a batch
        run(task, tmp_path / name, accumulation=accumulation)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "divided")
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-5)


def test_the_best_checkpoint_is_kept_and_known_after_a_stop(tmp_path: Path) -> None:
    def stop(name: str, step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    first, second = Toy(ALONE), Toy(ALONE)
    first.scores = second.scores = {2: 3.0, 4: 2.0, 6: 2.5}
    with pytest.raises(KeyboardInterrupt):
        run(first, tmp_path, watch=stop, keep_best="size")
    outcome = run(second, tmp_path, keep_best="size")
    assert outcome.best == {"metric": "size", "score": 2.0, "step": 4}
    assert outcome.figures == {"size": 2.5}
    training = checkpoint.load_config(tmp_path / "best", "toy")["training"]
    assert training == {"step": 4, "stage": "toy", "best": outcome.best}
    assert any(not torch.equal(value, weights(tmp_path)[name]) for name, value in weights(tmp_path / "best").items())
    with pytest.raises(ValueError, match="--keep-best psnr: validation gives size to choose by"):
        run(Toy(ALONE), tmp_path / "other", keep_best="psnr")


def test_a_run_that_ended_after_its_last_step_finds_what_it_found(tmp_path: Path) -> None:
    figures = run(Toy(ALONE), tmp_path).figures
    assert figures
    assert run(Toy(ALONE, seed=5), tmp_path).figures == figures


def test_the_state_of_another_task_is_not_resumed(tmp_path: Path) -> None:
    run(Toy(ALONE), tmp_path)
    other, seen = Toy(ALONE), []
    other.plan = replace(other.plan, identity={"stage": "other"})
    run(other, tmp_path, watch=lambda name, step: seen.append(step))
    assert seen == list(range(6))
    both = Toy(ADVERSARIAL)
    both.plan = replace(both.plan, identity={"stage": "other"})
    with pytest.raises(ValueError, match="holds no state of optimizer 2"):
        run(both, tmp_path)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda n, b, s: squares(n, b, s) * torch.nan, "the loss is nan at step 0 of the toy on s0, s1, s2, s3"),
        # The square root's gradient at 0 is infinite, and times 0 not a number; the loss itself is finite.
        (
            lambda n, b, s: squares(n, b, s) + (0 * squares(n, b, s)).sqrt(),
            "a gradient is not finite at step 0 of the toy",
        ),
    ],
)
def test_what_is_not_finite_stops_with_the_samples(score: Callable, message: str, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=message):
        run(Toy({"generator": score}), tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_bfloat16_runs_the_forward_pass_under_autocast(tmp_path: Path) -> None:
    types: list[torch.dtype] = []

    def score(networks: nn.ModuleDict, batch: Numbers, samples: StepSamples) -> Tensor:
        out = networks["generator"](batch.values)
        types.append(out.dtype)
        return out.float().square()[:, 0]

    for precision in ("bfloat16", "float32"):
        run(Toy({"generator": score}, steps=1), tmp_path / precision, precision=precision)
    assert types == [torch.bfloat16, torch.float32]


def test_batches_are_divided_evenly_or_refused() -> None:
    assert part_size(24, processes=2, accumulation=3) == 4
    with pytest.raises(ValueError, match="a batch of 4 can't be divided evenly among 1 processes times 3 parts"):
        part_size(4, processes=1, accumulation=3)
    with pytest.raises(ValueError, match="among 1 processes times 4 parts of 2 each"):
        part_size(4, processes=1, accumulation=4, together=2)
