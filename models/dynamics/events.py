"""What can be done to a photo's modes: pluck, tap, drag, wind.

Times are seconds from 0 on, points and displacements pixels of the motion's own resolution, x right and y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from models.dynamics.basis import ModalBasis, Point
from models.dynamics.oscillators import Complex, Real

WIND_STEP = 1 / 120  # seconds for which a wind's force is constant
GUST_HERTZ = (0.1, 1.2)  # between these the speed of wind varies
GUST_WAVES = 12


@dataclass(frozen=True)
class Pluck:
    """Drag and release in one instant, as in the paper: the point is displaced at once and swings from there.

    ``|q_j(0)| = |f . S_j(p)|``, phase ``-arg(f . S_j(p))``, added to what the modes do already. Each mode starts to
    turn as measured motion turns, so that a pixel goes round its own ellipse.
    """

    point: Point
    pull: Point  # (x, y)
    time: float = 0.0

    def __post_init__(self) -> None:
        _expect_numbers(self.time, *self.point, *self.pull)


@dataclass(frozen=True)
class Impulse:
    """A tap: the force of a pull times its short duration (see :meth:`ModalBasis.impulse`)."""

    point: Point
    impulse: Point  # (x, y) in pixel seconds
    time: float = 0.0

    def __post_init__(self) -> None:
        _expect_numbers(self.time, *self.point, *self.impulse)


@dataclass(frozen=True)
class Drag:
    """A point held by a pointer, from the first time of its path to the last; then it is let go."""

    point: Point
    path: tuple[tuple[float, float, float], ...]  # (time, x, y): offset from where the point was when it was taken

    def __post_init__(self) -> None:
        times = [time for time, _, _ in self.path]
        if len(times) < 2 or any(after <= before for before, after in pairwise(times)):
            raise ValueError(f"a drag's path needs two or more rising times, got {times}")
        _expect_numbers(self.start, *self.point, *(number for row in self.path for number in row))

    @classmethod
    def pull(cls, point: Point, pull: Point, time: float = 0.0, seconds: float = 0.4, hold: float = 0.1) -> Drag:
        """Pull smoothly for some seconds, hold still, and let go from rest."""
        x, y = pull
        steps = np.linspace(0, 1, 17)
        smooth = [(time + step * seconds, step**2 * (3 - 2 * step)) for step in steps.tolist()]
        path = [(at, share * x, share * y) for at, share in smooth]
        return cls(point, (*path, (time + seconds + hold, x, y)))

    @property
    def start(self) -> float:
        """When the point is taken."""
        return self.path[0][0]

    @property
    def end(self) -> float:
        """When it is let go."""
        return self.path[-1][0]

    def offset(self, time: float) -> Real:
        """Where the pointer is, ``[2]``; straight between the path's points."""
        times, *axes = zip(*self.path, strict=True)
        return np.array([np.interp(time, times, axis) for axis in axes])

    def velocity(self, time: float) -> Real:
        """The pointer's velocity, ``[2]`` in pixels a second; at a point of the path, that before it."""
        times = np.array([row[0] for row in self.path])
        after = min(max(int(np.searchsorted(times, time)), 1), len(times) - 1)
        (t0, *before), (t1, *here) = self.path[after - 1], self.path[after]
        return (np.array(here) - np.array(before)) / (t1 - t0)


@dataclass(frozen=True)
class Wind:
    """The same force on the whole picture: steady, or in gusts that vary smoothly and that the seed determines."""

    strength: float  # 1: a lasting wind bends the photo by the root mean square of its measured motion
    direction: Point = (1.0, 0.0)
    gusts: float = 0.0  # 0 steady; at 1 from calm to about four times the strength
    start: float = 0.0
    end: float = math.inf
    seed: int = 0

    def __post_init__(self) -> None:
        _expect_numbers(self.start, self.strength, *self.direction, self.gusts)
        if self.direction == (0, 0) or self.gusts < 0 or not self.end > self.start:
            raise ValueError(f"wind needs a direction, gusts of 0 or more and an end after its start, got {self}")

    def force(self, basis: ModalBasis) -> Complex:
        """Displacement of the modes by a lasting wind of this strength, ``[M]``.

        A force u on every pixel acts on mode j with ``sum_p conj(u . S_j(p))``.
        """
        x, y = np.array(self.direction) / math.hypot(*self.direction)
        real_x, real_y, imag_x, imag_y = basis.modes[0].sum(dim=(2, 3), dtype=torch.float64).cpu().numpy().T
        force = (x * real_x + y * real_y) - 1j * (x * imag_x + y * imag_y)
        bent = float(basis.displacement(force[None]).square().sum(2).mean().sqrt())
        # A wind that the modes average out, as that on two halves that swing against each other, has no effect.
        return force * (self.strength * basis.rms_amplitude / bent if bent > 0 else 0.0)

    def factor(self, time: float) -> float:
        """Factor on the force at a time, constant for :data:`WIND_STEP`.

        ``(1 + gusts n(t) / 2)^2`` with smooth noise n of root mean square 1, as pressure goes with the speed's square.
        """
        if not self.start <= time < self.end:
            return 0.0
        hertz, phases = self._waves
        middle = (math.floor(time / WIND_STEP) + 0.5) * WIND_STEP
        noise = np.sin(2 * np.pi * (hertz * middle + phases)).sum() * math.sqrt(2 / GUST_WAVES)
        return float((1 + self.gusts * noise / 2) ** 2)

    @cached_property
    def _waves(self) -> tuple[Real, Real]:
        """Frequencies in Hz and phases in turns of the noise."""
        random = np.random.default_rng(self.seed)
        low, high = GUST_HERTZ
        return low * (high / low) ** random.random(GUST_WAVES), random.random(GUST_WAVES)


Event = Pluck | Impulse | Drag | Wind


def shortened(basis: ModalBasis, event: Event) -> tuple[Event, float]:
    """An event whose pull the picture bears (:meth:`ModalBasis.longest_pull`), and by what factor it was shortened."""
    if isinstance(event, Pluck):
        length = math.hypot(*event.pull)
    elif isinstance(event, Drag):
        length = max(math.hypot(x, y) for _, x, y in event.path)
    else:
        return event, 1.0
    factor = min(1.0, basis.longest_pull(event.point) / length) if length > 0 else 1.0
    if factor == 1.0:
        return event, factor
    if isinstance(event, Pluck):
        return replace(event, pull=(event.pull[0] * factor, event.pull[1] * factor)), factor
    return replace(event, path=tuple((time, x * factor, y * factor) for time, x, y in event.path)), factor


def _expect_numbers(time: float, *numbers: float) -> None:
    if not (math.isfinite(time) and time >= 0 and all(map(math.isfinite, numbers))):
        raise ValueError(f"events need times from 0 on and finite numbers, got time {time} and {numbers}")
