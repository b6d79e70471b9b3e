"""A spectral volume as a basis of modes in the image: how far a photo bends if one of its points is pulled.

Paper section 5, Eq. 6: ``F_t(p) = sum_j Re[S_j(p) q_j(t)]``, with the coefficients ``S_j(p)`` of frequency j as a
mode's shape (two complex numbers a pixel, x and y) and one complex coordinate ``q_j`` a mode. The measured motion
itself is ``q_j(t) = 2 exp(i omega_j t)``, and ``omega_j = 2 pi j fps / T``. The mean (j = 0) does not oscillate: it
only says at which phase of its motion the photo was taken. It is left out, so that the photo as taken is the place of
rest.

**How a pull is shared out.** The point p shall be displaced by d, and of all q that do it the least is taken, that of
``min sum_j |q_j|^2 / 2``. It is ``q_j = conj(f . S_j(p))``, the paper's magnitude ``|f . S_j(p)|`` and phase
``-arg(f . S_j(p))``, with the one force f (two numbers) that makes it fit: ``d = C(p) f``, where
``C(p) = sum_j Re[S_j(p) S_j(p)^H]`` is the point's compliance. Read statistically, it is the displacement to be
expected of the photo given that p is at d, if each mode is as strong as in the measured motion.

**Mass.** The energy above gives each mode stiffness 1 and mass ``1 / omega^2``; a lasting force then bends the photo to
the paper's initial state. With mass 1 the same pull would be weighted by ``1 / omega^2``: on a photo of a flower up to
90 % of it went into the slowest mode, and some other part of the picture moved six times as far. Ringing down is the
same for any mass.

**Regularisation.** ``f = (C + epsilon)^-1 d``, ``epsilon`` being :data:`SOFTNESS` of the compliance of the points that
move most. A point that moves less in the measured motion follows less: it gets ``c / (c + epsilon)`` of the pull, c
being its compliance in that direction. No other point goes further than ``sqrt(c' / epsilon) / 2`` times the pull, c'
its own compliance: five times for those that move most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from models.dynamics.loop import LoopMotion
from models.dynamics.motion_file import MotionFile
from models.dynamics.oscillators import Complex, Real
from models.spectral_volume import rms_amplitude, superpose

SOFTNESS = 0.01  # of the 99th percentile of the compliance over the picture
# Of the picture's longer side. At 0.1 edges of a poked flower broke up in rendered frames, at 0.06 they held.
LARGEST_DISPLACEMENT = 0.06

Point = tuple[float, float]


class ModalBasis:
    """Modes of a photo; points are (x, y) in pixels of the modes' own size, whose first pixel's centre is (0, 0)."""

    def __init__(self, volume: Tensor, period: float) -> None:
        """Modes of a spectral volume.

        Args:
            volume: ``[1, K, 4, H, W]`` in pixels, K at least 2.
            period: T / fps in seconds.
        """
        if volume.ndim != 5 or volume.shape[0] != 1 or volume.shape[1] < 2 or volume.shape[2] != 4:
            raise ValueError(f"expected a spectral volume [1, K, 4, H, W] with K >= 2, got {tuple(volume.shape)}")
        if not (math.isfinite(period) and period > 0):
            raise ValueError(f"a motion's period must be positive, got {period} s")
        self.volume = volume.float()
        self.angular_frequencies: Real = 2 * np.pi / period * np.arange(1, volume.shape[1], dtype=np.float64)
        if not self.modes.any():
            raise ValueError("this motion stands still, so nothing in it can be pulled; sample another one")

    @classmethod
    def of_motion(cls, motion: MotionFile) -> ModalBasis:
        """Modes of a saved or sampled motion."""
        return cls(motion.spectral_volume[None], motion.period)

    def to(self, device: torch.device) -> ModalBasis:
        """The same basis on a device; where it is pulled is still computed on the CPU, in float64."""
        moved = copy(self)
        moved.volume = self.volume.to(device)
        return moved

    @property
    def modes(self) -> Tensor:
        """``S_j`` from j = 1 on, ``[1, M, 4, H, W]``."""
        return self.volume[:, 1:]

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the modes."""
        return self.volume.shape[4], self.volume.shape[3]

    @property
    def limit(self) -> float:
        """The largest displacement of any point that is let through, in pixels."""
        return LARGEST_DISPLACEMENT * max(self.size)

    @cached_property
    def compliance(self) -> Tensor:
        """``C(p)`` of every pixel, float64 ``[3, H, W]``: xx, xy and yy, in square pixels."""
        total = torch.zeros(3, *self.volume.shape[3:], dtype=torch.float64)
        for mode in self.modes[0].cpu():  # one at a time: float64 of all would be large
            (x, y), (ix, iy) = mode[:2].double(), mode[2:].double()
            total += torch.stack([x * x + ix * ix, x * y + ix * iy, y * y + iy * iy])
        return total

    @cached_property
    def softness(self) -> float:
        """``epsilon`` of the regularisation, in square pixels."""
        trace = self.compliance[0] + self.compliance[2]
        # Where less than 1 % of the picture moves, that little is the measure.
        return SOFTNESS * (float(np.percentile(trace.numpy(), 99)) or float(trace.max()))

    @cached_property
    def rms_amplitude(self) -> float:
        """Root mean square displacement of the measured motion, over time and picture, in pixels."""
        return float(rms_amplitude(self.volume))

    def importance(self) -> Tensor:
        """Mean of ``|F_t|`` over the measured motion, ``[1, 1, H, W]``: what it moves more is in front."""
        return LoopMotion.of_period(self.volume).importance()

    def shapes_at(self, points: Sequence[Point]) -> Complex:
        """``S_j`` at n points, bilinear: ``[2 n, M]``, rows x and y of the first point, then of the next."""
        return np.concatenate([self._shape_at(x, y) for x, y in points])

    def pull(self, points: Sequence[Point], displacements: Real) -> Complex:
        """Least coordinates ``[M]`` that displace n points by ``[2 n]`` pixels, as nearly as the regularisation lets.

        Nothing limits the displacement here, see :meth:`longest_pull`.
        """
        shapes = self.shapes_at(points)
        return shapes.conj().T @ np.linalg.solve(self._softened(shapes), displacements)

    def impulse(self, point: Point, impulse: Real) -> Complex:
        """Change of the coordinates' velocities, in 1/s, by a short push of ``[2]`` pixel seconds on a point.

        A push is the force of a pull (the displacement that it would lead to if it lasted) times its short duration,
        ``omega_j^2 q_j`` with the q of :meth:`pull`: faster modes, being lighter, take more of it.
        """
        return self.angular_frequencies**2 * self.pull([point], impulse)

    def displacement(self, coordinates: Complex) -> Tensor:
        """``sum_j Re[S_j q_j]`` of N coordinates ``[N, M]``: ``[1, N, 2, H, W]`` in pixels."""
        return superpose(self.modes, torch.from_numpy(np.ascontiguousarray(coordinates)))

    def reach(self, direction: Point) -> Tensor:
        """Share of a pull in this direction that each pixel follows in it: float64 ``[H, W]``, 0 to 1.

        ``u^T C (C + epsilon)^-1 u`` with the unit vector u of the direction.
        """
        x, y = np.asarray(direction) / math.hypot(*direction)
        xx, xy, yy = self.compliance
        xx, yy = xx + self.softness, yy + self.softness
        return 1 - self.softness * (x * x * yy - 2 * x * y * xy + y * y * xx) / (xx * yy - xy * xy)

    def longest_pull(self, point: Point) -> float:
        """How far, in pixels, this point may be pulled in any direction before some point passes :attr:`limit`."""
        unit = np.stack([self.pull([point], axis) for axis in np.eye(2)])
        (xx, yx), (xy, yy) = self.displacement(unit)[0].double()  # pulls along x and y; their results' x and y
        # The larger singular value of each pixel's 2x2 matrix, from the trace and the difference of its square.
        first, mixed, second = xx**2 + yx**2, xx * xy + yx * yy, xy**2 + yy**2
        square = (first + second + ((first - second) ** 2 + 4 * mixed**2).sqrt()) / 2
        return self.limit / max(float(square.max().sqrt()), 1e-9)

    def _softened(self, shapes: Complex) -> Real:
        return (shapes @ shapes.conj().T).real + self.softness * np.eye(len(shapes))

    def _shape_at(self, x: float, y: float) -> Complex:
        width, height = self.size
        # Half a pixel beyond the outermost centres is still in the picture.
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise ValueError(f"the point {x:g},{y:g} is outside the motion, which is {width}x{height}")
        x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
        left, top = min(int(x), max(width - 2, 0)), min(int(y), max(height - 2, 0))
        corner = self.modes[0, :, :, top : top + 2, left : left + 2].double().cpu().numpy()
        across = np.array([1 - (x - left), x - left])[: corner.shape[3]]
        down = np.array([1 - (y - top), y - top])[: corner.shape[2]]
        values = np.einsum("jcyx,y,x->cj", corner, down, across)
        return values[:2] + 1j * values[2:]
