"""The rows of the sampling table, ways to sample with a motion model, and what each of them costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product

from baselines.registry import METHODS
from evaluation.prediction import Setting
from models.pipeline import ImageDynamicsPipeline


@dataclass(frozen=True)
class Row:
    """One way to sample."""

    sampler: str  # one of models.choices.SAMPLERS
    steps: int
    loop_guidance: float = 0.0  # u of Eq. 5
    recurrence: int = 0  # extra passes of each step under loop guidance

    def __str__(self) -> str:
        name = f"{self.sampler} {self.steps}"
        name += f" u={self.loop_guidance:g}" if self.loop_guidance else ""
        return name + (f" r={self.recurrence}" if self.recurrence else "")


@dataclass(frozen=True)
class Cost:
    """What a row takes for one sample: seconds and U-Net calls, measured with few steps."""

    seconds_before: float  # of what doesn't depend on the number of steps
    seconds_a_step: float
    calls_a_step: int

    def seconds(self, steps: int) -> float:
        return self.seconds_before + steps * self.seconds_a_step


@dataclass(frozen=True)
class PhotoCost:
    """What it took to sample one photo."""

    seconds: float
    calls: int  # of the U-Net
    samples: int


def seconds_a_sample(cost: PhotoCost) -> float:
    """Wall time of a sample."""
    return cost.seconds / cost.samples


def calls_a_sample(cost: PhotoCost) -> float:
    """U-Net calls of a sample."""
    return cost.calls / cost.samples


def make_rows(
    samplers: Sequence[tuple[str, int]], loop_guidance: Sequence[float], recurrence: Sequence[int]
) -> list[Row]:
    """Every combination once; without loop guidance there is nothing to repeat a step for.

    Raises:
        ValueError: repetitions, but no row with loop guidance.
    """
    if any(recurrence) and not any(loop_guidance):
        raise ValueError("--recurrence repeats steps under loop guidance; give --loop-guidance too, such as 0,15")
    rows = [
        Row(sampler, steps, u, r if u else 0) for (sampler, steps), u, r in product(samplers, loop_guidance, recurrence)
    ]
    return list(dict.fromkeys(rows))


def check_steps(rows: Sequence[Row], train_steps: int) -> None:
    """Refuse more steps than the noise schedule has, for they would repeat themselves."""
    for row in rows:
        if row.steps > train_steps:
            raise ValueError(
                f"--samplers {row.sampler}:{row.steps}: the model's noise schedule has {train_steps} steps, "
                f"ask for at most {train_steps}"
            )


def row_setting(setting: Setting, row: Row) -> Setting:
    """The table's setting with a row's way to sample."""
    return replace(setting, **asdict(row))


def estimate(rows: Sequence[Row], setting: Setting) -> dict[Row, Cost]:
    """What each row will cost a sample: each kind of row is timed with one step and with three on the first photo."""
    measured: dict[tuple, Cost] = {}
    METHODS["model"].make(row_setting(replace(setting, samples=1), Row(rows[0].sampler, 1)))(0, setting.sequences[0])
    costs = {}
    for row in rows:
        kind = (row.sampler, row.loop_guidance > 0, row.recurrence)
        if kind not in measured:
            few = [_timed(replace(row, steps=steps), setting) for steps in (1, 3)]
            (short, calls), (long, more) = few
            a_step = max(0.0, long - short) / 2
            measured[kind] = Cost(max(0.0, short - a_step), a_step, (more - calls) // 2)
        costs[row] = measured[kind]
    return costs


def _timed(row: Row, setting: Setting) -> tuple[float, int]:
    """Seconds and U-Net calls of one sample of the first photo."""
    with counted_calls(setting.pipeline) as calls:
        start = time.perf_counter()
        METHODS["model"].make(row_setting(replace(setting, samples=1), row))(0, setting.sequences[0])
        return time.perf_counter() - start, calls.count


def format_estimate(costs: Mapping[Row, Cost], samples: int) -> str:
    """One line a row, before anything is sampled."""
    width = max(len(str(row)) for row in costs)
    seconds = {row: samples * cost.seconds(row.steps) for row, cost in costs.items()}
    lines = [
        f"{row!s:<{width}}  {row.steps * cost.calls_a_step:5d} U-Net calls, about {cost.seconds(row.steps):.1f} s "
        f"a sample, {format_duration(seconds[row])} for {samples}"
        for row, cost in costs.items()
    ]
    return "\n".join([*lines, f"about {format_duration(sum(seconds.values()))} in all"])


def format_duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@dataclass
class Calls:
    """How often the U-Net was called."""

    count: int = 0


@contextmanager
def counted_calls(pipeline: ImageDynamicsPipeline, each: Callable[[], object] = lambda: None) -> Iterator[Calls]:
    """Count the calls of the motion model's U-Net inside of the context; ``each`` is called after every one."""
    calls = Calls()

    def count(*_) -> None:
        calls.count += 1
        each()

    assert pipeline.motion_model is not None
    handle = pipeline.motion_model.unet.register_forward_hook(count)
    try:
        yield calls
    finally:
        handle.remove()
