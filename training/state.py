"""The state of a training run: random numbers of a step, learning rate, averaged weights, stopping."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.presets import SCHEDULES

BELOW_ONE = 1 - 2**-24  # the largest float32 below 1


def step_generator(seed: int, step: int, *, stream: int = 0, sample: int = -1) -> torch.Generator:
    """A CPU generator for one training step, from its arguments alone: resuming needs no saved random state.

    Args:
        stream: tells apart what must not use the same numbers.
        sample: position in the step's batch, for numbers that belong to one sample; -1 for those of the whole step.
    """
    # Multiplying by large odd constants keeps neighbouring (seed, step) pairs from sharing Mersenne Twister states.
    mixed = seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + stream * 0x94D049BB133111EB
    return torch.Generator().manual_seed((mixed + (sample + 1) * 0xD6E8FEB86659FD93) % 2**63)


@dataclass(frozen=True)
class StepSamples:
    """Random numbers of some neighbouring samples of a step's batch, each of which has a generator of its own.

    However a batch is divided, among processes or to be added up, its samples are the same.
    """

    generators: list[torch.Generator]
    first: int  # position of the first of them in the whole batch
    total: int  # samples in the whole batch

    @classmethod
    def of(cls, seed: int, step: int, *, stream: int, first: int, count: int, total: int) -> StepSamples:
        """The samples ``first ... first + count - 1`` of a step."""
        generators = [
            step_generator(seed, step, stream=stream, sample=sample) for sample in range(first, first + count)
        ]
        return cls(generators, first, total)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers ``[b, *shape]``."""
        return torch.stack([torch.randn(*shape, generator=generator) for generator in self.generators])

    def uniform(self) -> Tensor:
        """One number in [0, 1) a sample, ``[b]``."""
        return torch.stack([torch.rand((), generator=generator) for generator in self.generators])

    def strata(self) -> Tensor:
        """One number in [0, 1) a sample, ``[b]``: the whole batch has one in each of ``total`` equal intervals."""
        places = (self.first + torch.arange(len(self.generators)) + self.uniform()) / self.total
        return places.clamp(max=BELOW_ONE)  # 15 and nearly 1 make 16 in float32


def learning_rate_at(step: int, base: float, *, max_steps: int, schedule: str = "cosine", warmup: int = 0) -> float:
    """Learning rate of a step: linear warm-up, then constant or a cosine to zero at ``max_steps``."""
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown learning rate schedule {schedule!r}, expected one of {', '.join(SCHEDULES)}")
    if step < warmup:
        return base * (step + 1) / warmup
    if schedule == "constant":
        return base
    progress = min(1.0, (step - warmup) / max(1, max_steps - warmup))
    return base * 0.5 * (1 + math.cos(math.pi * progress))


class ExponentialMovingAverage:
    """Moving average of a model's trainable parameters, ``s <- d s + (1 - d) p``.

    The decay warms up as ``(1 + n) / (10 + n)``, so that a short run is not an average with its initialisation.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's parameters after an optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        parameters = dict(model.named_parameters())
        # All in one call, which on a GPU is a few kernels rather than one for each parameter.
        averages, values = list(self.shadow.values()), [parameters[name].detach() for name in self.shadow]
        torch._foreach_lerp_(averages, values, 1 - decay)

    @contextlib.contextmanager
    def applied_to(self, model: nn.Module):
        """Within this context the model carries the averaged parameters."""
        parameters = dict(model.named_parameters())
        backup = {name: parameters[name].detach().clone() for name in self.shadow}
        self._copy(self.shadow, parameters)
        try:
            yield model
        finally:
            self._copy(backup, parameters)

    @staticmethod
    @torch.no_grad()
    def _copy(values: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            parameters[name].copy_(value)


@contextlib.contextmanager
def stop_between_steps(repeated_after: float = 1.0) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C (or SIGTERM) into an event that the loop looks at; a second Ctrl-C stops at once.

    Args:
        repeated_after: seconds after the first signal from which on a Ctrl-C counts as the second: launchers repeat
            signals right away.
    """
    stop, first = threading.Event(), 0.0
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread alone
        return

    def request(number: int, frame: object) -> None:
        nonlocal first
        if not stop.is_set():
            first = time.monotonic()
            stop.set()
        elif number == signal.SIGINT and time.monotonic() - first >= repeated_after:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
