"""Interactive dynamics: events act on the modes of a photo, and a motion texture follows (paper section 5, Eq. 6).

:class:`~models.dynamics.basis.ModalBasis` says how the photo bends,
:class:`~models.dynamics.oscillators.DampedOscillators` how it swings, and :mod:`models.dynamics.events` what is done to
it. Between events every step is exact, so the coordinates at some time do not depend on the frame rate that they are
looked at with.

**A held point follows the pointer at every instant.** The modes ring on by themselves, and to their coordinates the
least ``q`` is added that puts the point where the pointer is (:meth:`ModalBasis.pull`). On release the sum and its
velocity go over to the modes: nothing jumps, a flung point keeps its speed, and one that was held still is let go from
rest. :class:`~models.dynamics.events.Pluck` is the paper's instant release instead, without the way there.

**Limits.** A pull is shortened so that it moves no point of the picture by more than 6 % of the longer side
(:data:`~models.dynamics.basis.LARGEST_DISPLACEMENT`); where several events add up beyond that, the whole motion is made
smaller by one factor, which leaves its shape as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from models.dynamics.basis import ModalBasis
from models.dynamics.events import WIND_STEP, Drag, Event, Impulse, Pluck, Wind, shortened
from models.dynamics.motion_file import MotionFile
from models.dynamics.oscillators import Complex, DampedOscillators, Damping, Real

FRAMES_AT_ONCE = 4  # displaced together where only their largest displacement is wanted


class ModalRig:
    """The modes of a photo at rest, then under events, going forward in time."""

    def __init__(self, basis: ModalBasis, damping: Damping) -> None:
        self.basis = basis
        self.modes = DampedOscillators(basis.angular_frequencies, damping)  # without what holds them
        self.time = 0.0
        self._held: list[Drag] = []
        self._origin: Real = np.zeros(0)  # [2 n], where n held points were, less their pointers' offsets
        self._shapes: Complex = np.zeros((0, len(self.modes.q)), np.complex128)  # [2 n, M], of the held points

    def advance(self, time: float, force: Complex | float = 0.0) -> None:
        """Go on to a time under a constant force on all modes."""
        self.modes.advance(time - self.time, force)
        self.time = time

    def coordinates(self) -> Complex:
        """``q_j`` as they show now, ``[M]``."""
        return self._constrained(self.modes.q, self._origin + self._of_pointers(Drag.offset))

    def velocities(self) -> Complex:
        """Their velocities in 1/s."""
        return self._constrained(self.modes.v, self._of_pointers(Drag.velocity))

    def grab(self, drag: Drag) -> None:
        """Take hold of a point where it is now."""
        self._hold([*self._held, drag])

    def let_go(self, drag: Drag) -> None:
        """Leave a point to itself."""
        self._hold([held for held in self._held if held is not drag])

    def pluck(self, event: Pluck) -> None:
        """Displace a point at once."""
        pulled = self.basis.pull([event.point], np.array(event.pull))
        self.modes.q = self.modes.q + pulled
        self.modes.v = self.modes.v + self.modes.turning_rates() * pulled

    def tap(self, event: Impulse) -> None:
        """Push a point for a moment."""
        self.modes.v = self.modes.v + self.basis.impulse(event.point, np.array(event.impulse))

    def _hold(self, drags: list[Drag]) -> None:
        self.modes.q, self.modes.v = self.coordinates(), self.velocities()
        self._held = drags
        self._shapes = self.basis.shapes_at([drag.point for drag in drags]) if drags else self._shapes[:0]
        self._origin = (self._shapes @ self.modes.q).real - self._of_pointers(Drag.offset)

    def _of_pointers(self, what: Callable[[Drag, float], Real]) -> Real:
        return np.concatenate([np.zeros(0), *(what(drag, self.time) for drag in self._held)])

    def _constrained(self, values: Complex, targets: Real) -> Complex:
        """``values`` with the least change that brings the held points to their targets."""
        if not self._held:
            return values
        return values + self.basis.pull([drag.point for drag in self._held], targets - (self._shapes @ values).real)


def modal_coordinates(
    basis: ModalBasis, events: Iterable[Event], times: Sequence[float], damping: Damping | None = None
) -> Complex:
    """Coordinates ``q_j`` at rising times from 0 on, ``[N, M]``, of a photo at rest under events.

    What happens at some time is seen at that time. Pulls are shortened (:func:`~models.dynamics.events.shortened`).
    """
    moments = [float(time) for time in times]
    if not moments or not all(a <= b for a, b in pairwise([0.0, *moments])):
        raise ValueError("motion is simulated at one time or more, rising from 0 on")
    events = [shortened(basis, event)[0] for event in events]
    winds = [(wind, wind.force(basis)) for wind in events if isinstance(wind, Wind)]
    rig = ModalRig(basis, damping or Damping())
    actions = sorted(_actions(rig, events), key=lambda item: item[0])
    marks = {*moments, *(time for time, _ in actions)}
    if winds:
        marks |= {index * WIND_STEP for index in range(int(moments[-1] / WIND_STEP) + 1)}
        marks |= {time for wind, _ in winds for time in (wind.start, wind.end)}
    calm = np.zeros(len(rig.modes.q), np.complex128)
    seen: list[Complex] = []
    for mark in sorted(mark for mark in marks if mark <= moments[-1]):
        middle = (rig.time + mark) / 2
        rig.advance(mark, sum((wind.factor(middle) * force for wind, force in winds), calm))
        while actions and actions[0][0] <= mark:
            actions.pop(0)[1]()
        while len(seen) < len(moments) and moments[len(seen)] <= mark:
            seen.append(rig.coordinates())
    return np.stack(seen)


def _actions(rig: ModalRig, events: Iterable[Event]) -> list[tuple[float, Callable[[], None]]]:
    """What is to be done to the modes and when; at the same time, points are let go first."""
    actions: list[tuple[float, Callable[[], None]]] = []
    for event in events:
        if isinstance(event, Drag):
            actions = [(event.end, partial(rig.let_go, event)), *actions, (event.start, partial(rig.grab, event))]
        elif isinstance(event, Pluck):
            actions.append((event.time, partial(rig.pluck, event)))
        elif isinstance(event, Impulse):
            actions.append((event.time, partial(rig.tap, event)))
    return actions


class ModalMotion:
    """Motion of a photo under events at the basis' own resolution, a few frames at a time.

    What :meth:`models.pipeline.ImageDynamicsPipeline.render_motion` renders; ``times`` are numbers of frames.
    """

    def __init__(self, basis: ModalBasis, coordinates: Complex) -> None:
        """Motion of coordinates ``[N, M]``, one row a frame."""
        self.basis = basis
        self.coordinates = coordinates
        self.times = tuple(range(len(coordinates)))

    @classmethod
    def simulate(
        cls,
        basis: ModalBasis,
        events: Iterable[Event],
        *,
        num_frames: int,
        fps: float,
        damping: Damping | None = None,
        magnify: float = 1.0,
    ) -> ModalMotion:
        """Frames of a photo at rest under events, made smaller where they would go beyond the basis' limit.

        Args:
            basis: the photo's modes.
            events: what is done to it.
            num_frames: how many frames.
            fps: frames a second.
            damping: the paper's by default.
            magnify: factor on the displacement, before the limit.
        """
        if num_frames < 1 or not fps > 0:
            raise ValueError(f"a simulation needs a frame and a positive frame rate, got {num_frames} and {fps:g}")
        times = [index / fps for index in range(num_frames)]
        motion = cls(basis, modal_coordinates(basis, events, times, damping) * magnify)
        largest = motion.largest_displacement()
        return motion if largest <= basis.limit else cls(basis, motion.coordinates * (basis.limit / largest))

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the motion."""
        return self.basis.size

    def to(self, device: torch.device) -> ModalMotion:
        """The same motion on a device."""
        return ModalMotion(self.basis.to(device), self.coordinates)

    def at(self, times: Sequence[float]) -> Tensor:
        """Displacements ``[1, N, 2, h, w]`` in some of the frames."""
        return self.basis.displacement(self.coordinates[[int(time) for time in times]])

    def importance(self) -> Tensor:
        """That of the measured motion, ``[1, 1, h, w]``: this one comes to rest, which leaves no order."""
        return self.basis.importance()

    def largest_displacement(self) -> float:
        """Largest ``|F_t|`` of any pixel in any frame, in pixels of the basis."""
        batches = (self.times[start : start + FRAMES_AT_ONCE] for start in range(0, len(self.times), FRAMES_AT_ONCE))
        return max(float(self.at(batch).square().sum(2).max().sqrt()) for batch in batches)


def simulate(
    motion: MotionFile, events: Iterable[Event], *, num_frames: int, fps: float, damping: Damping | None = None
) -> Tensor:
    """Motion texture ``[1, T, 2, H, W]`` of a photo at rest under events, in pixels of the motion's own resolution.

    All of it at once; :class:`ModalMotion` has it a few frames at a time.
    """
    frames = ModalMotion.simulate(ModalBasis.of_motion(motion), events, num_frames=num_frames, fps=fps, damping=damping)
    return frames.at(frames.times)
