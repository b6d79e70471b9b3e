"""What the training loop trains: a task, its plan and its updates, and how a run is carried out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from models.precision import has_fast_bfloat16
from training.best import Goal
from training.state import StepSamples

# Fields of RunOptions -> what training commands call them; not every command has all.
TOLD = {name: name for name in ("output", "seed", "precision", "workers", "save_every", "evaluate_every")}
TOLD |= {"accumulation": "gradient_accumulation"}
# Columns of every log: a step by the clock, and of the processor by the main process and all its threads.
STEP_TIMES = ("seconds", "processor_seconds")


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out, whatever it trains."""

    output: Path
    seed: int = 0
    accumulation: int = 1  # parts of a process's share of a batch whose gradients are added up
    precision: str = "float32"  # bfloat16 runs the forward pass under autocast, "auto" where hardware is made for it
    workers: int = 1  # threads that draw samples while a step computes
    save_every: float = 3.0  # minutes
    evaluate_every: int = 500  # steps
    tensorboard: bool = False
    keep_best: str | None = None  # one of the task's goals: the best checkpoint is kept in output/best

    @classmethod
    def of(cls, arguments: argparse.Namespace, *, keep_best: str | None = None) -> RunOptions:
        """What a training command was told; what it has no option for stays as it is here."""
        given = vars(arguments)
        told = {name: given[option] for name, option in TOLD.items() if option in given}
        return cls(**told, tensorboard=given["log"] == "tensorboard", keep_best=keep_best)

    def on(self, device: torch.device) -> RunOptions:
        """The same with the precision decided that ``auto`` leaves to the hardware."""
        if self.precision != "auto":
            return self
        # Where bfloat16 is emulated it takes ten times as long as float32.
        return replace(self, precision="bfloat16" if has_fast_bfloat16(device) else "float32")


class Batch(Protocol):
    """One step's samples, or a process's part of them."""

    @property
    def ids(self) -> list[str]:
        """What the samples were made from, for messages."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""

    def pinned(self) -> Batch:
        """The same batch in page-locked memory, from which a GPU fetches it while the program goes on."""


@dataclass(frozen=True)
class Update:
    """One optimizer's part of a step; an adversarial training has one for each player.

    ``loss(batch, samples)`` gives a scalar and ``[parts, 2]``: sum and number of terms of each part of the loss, so
    that they can be added up over divided batches.
    """

    loss: nn.Module
    parts: tuple[str, ...]  # names of the loss's parts in the log; the first is the loss itself
    optimizer: torch.optim.Optimizer
    learning_rate: Callable[[int], float]  # by step
    prefix: str = ""  # prefix of its learning rate and its gradient norm in the log

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What it trains."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


@dataclass(frozen=True)
class Plan:
    """What the loop has to know of a task in advance."""

    name: str
    title: str  # as messages name it
    steps: int
    batch_size: int  # over all processes
    columns: tuple[str, ...]  # columns of the log, in order, beside the step
    plotted: tuple[str, ...]  # columns drawn in the plot
    log: str = "log.csv"
    plot: str = "loss.png"
    identity: Mapping[str, str] = field(default_factory=dict)  # what a saved state must say to be this task's
    goals: Mapping[str, Goal] = field(default_factory=dict)  # what the best checkpoint can be chosen by
    stream: int = 0  # tells the task's random numbers from those of other tasks of a run
    dropout_stream: int = 1
    together: int = 1  # neighbouring samples of a batch that can't be divided
    ema_decay: float = 0.999
    gradient_clip: float = 1.0


@dataclass(frozen=True)
class Findings:
    """What a validation found."""

    figures: dict[str, float]  # by column of the log
    text: str  # shown on the terminal
    picture: Any = None  # uint8 [H, W, 3] for TensorBoard


class Task(Protocol):
    """One training. Its networks are on their device before the loop begins."""

    @property
    def plan(self) -> Plan:
        """What is fixed in advance."""

    @property
    def model(self) -> nn.Module:
        """All weights and buffers that resuming needs."""

    @property
    def averaged(self) -> nn.Module:
        """The part of the model whose trainable parameters are averaged: the averages are validated and saved."""

    @property
    def updates(self) -> Sequence[Update]:
        """The parts of a step, in order."""

    def draw(self, step: int, parts: Sequence[StepSamples], map_samples: Callable) -> Sequence[Batch]:
        """The parts of a step's batch; ``map_samples`` is a `map` that may use several threads."""

    def validate(self, step: int) -> Findings | None:
        """Judge the model, in evaluation mode with averaged weights; None where there is nothing to judge on."""

    def save(self, folder: Path, step: int, more: Mapping[str, object]) -> None:
        """Write the model, which has its averaged weights, as a checkpoint; ``more`` belongs to its provenance."""


def part_size(batch_size: int, *, processes: int, accumulation: int, together: int = 1) -> int:
    """Samples that pass the network at once, where a batch is divided evenly.

    Args:
        together: neighbouring samples that have to stay in one part.
    """
    if batch_size % (processes * accumulation * together):
        among = f"{processes} processes times {accumulation} parts" + (f" of {together} each" if together > 1 else "")
        raise ValueError(
            f"a batch of {batch_size} can't be divided evenly among {among}; "
            "choose --batch-size as a multiple of their product"
        )
    return batch_size // (processes * accumulation)
