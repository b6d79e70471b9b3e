"""Damped oscillators with complex coordinates, advanced exactly by any time step.

Each mode j obeys ``q'' + gamma q' + omega^2 q = omega^2 g`` (the paper's section 5, after Davis et al. 2015). The
coefficients are real and q is complex, so real and imaginary part are two oscillators that don't know of each other.
Free and with ``gamma < 2 omega`` the solutions are ``q(t) = A exp(lambda t) + B exp(conj(lambda) t)`` with
``lambda = -gamma / 2 + i sqrt(omega^2 - gamma^2 / 4)``: B = 0 turns like ``exp(i omega t)``, as a mode of measured
motion does, and ``q'(0) = 0`` swings to and fro without turning.

The force is written as the displacement ``g`` that it leads to if it lasts: each mode has stiffness 1 and therefore
mass ``1 / omega^2``. :mod:`models.dynamics.basis` says why not mass 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Damping:
    """Rayleigh damping ``gamma_j = alpha + beta omega_j^2`` in 1/s; the defaults are the paper's."""

    alpha: float = 0.4  # 1/s
    beta: float = 0.08  # s

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) and value >= 0 for value in (self.alpha, self.beta)):
            raise ValueError(f"damping must be finite and not negative, got {self.alpha} and {self.beta}")

    def rates(self, angular_frequencies: Real) -> Real:
        """``gamma_j`` of each ``omega_j`` in rad/s."""
        return self.alpha + self.beta * angular_frequencies**2


@dataclass(frozen=True)
class Transition:
    """The linear map over one time step, ``q1 = qq q0 + qv v0`` and ``v1 = vq q0 + vv v0``, one value a mode."""

    qq: Real
    qv: Real
    vq: Real
    vv: Real

    @classmethod
    def over(cls, seconds: float, omega: Real, gamma: Real) -> Transition:
        """Exact for under-, critically and over-damped modes, and continuous between them.

        With ``a = gamma / 2``, ``r = sqrt(|omega^2 - a^2|)`` and ``t`` the step, under damping gives
        ``qv = exp(-a t) sin(r t) / r`` and over damping the same with sinh. The latter is written with
        ``mu = a - r = omega^2 / (a + r)``, the slow rate, so that nothing overflows or cancels:
        ``qv = exp(-mu t) (1 - exp(-2 r t)) / (2 r)``. Both tend to ``t exp(-a t)`` as r vanishes.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"a time step must be finite and not negative, got {seconds}")
        if not (np.isfinite(omega).all() and np.isfinite(gamma).all() and (omega > 0).all() and (gamma >= 0).all()):
            raise ValueError("oscillators need positive frequencies and damping that is finite and not negative")
        a = gamma / 2
        square = (omega - a) * (omega + a)
        r = np.sqrt(np.abs(square))
        over = square < 0
        decay = np.exp(-a * seconds)
        swing = np.where(over, 0, r) * seconds
        under_qv = decay * seconds * np.sinc(swing / np.pi)  # sin(r t) / r, also at r = 0
        under_cos = decay * np.cos(swing)

        r = np.where(over, r, 1.0)  # any number but zero where it is not used
        slow = omega**2 / (a + r)
        slow_decay = np.exp(-slow * seconds)
        over_qv = slow_decay * -np.expm1(-2 * r * seconds) / (2 * r)
        fast_decay = slow_decay * np.exp(-2 * r * seconds)

        qv = np.where(over, over_qv, under_qv)
        return cls(
            qq=np.where(over, slow_decay + slow * over_qv, under_cos + a * under_qv),
            qv=qv,
            vq=-(omega**2) * qv,
            vv=np.where(over, fast_decay - slow * over_qv, under_cos - a * under_qv),
        )


class DampedOscillators:
    """State of M modes: coordinates ``q`` and their velocities ``v`` (1/s), complex ``[M]``."""

    def __init__(self, angular_frequencies: Real, damping: Damping) -> None:
        """At rest.

        Args:
            angular_frequencies: ``omega_j`` in rad/s, ``[M]``, positive.
        """
        self.omega = np.asarray(angular_frequencies, np.float64)
        self.gamma = damping.rates(self.omega)
        self.q: Complex = np.zeros(len(self.omega), np.complex128)
        self.v: Complex = np.zeros(len(self.omega), np.complex128)

    def advance(self, seconds: float, force: Complex | float = 0.0) -> None:
        """Let time pass under a constant force, given as the displacement ``g`` (``[M]``) that it would lead to."""
        step = Transition.over(seconds, self.omega, self.gamma)
        away = self.q - force
        self.q, self.v = force + step.qq * away + step.qv * self.v, step.vq * away + step.vv * self.v

    def turning_rates(self) -> Complex:
        """``lambda_j`` of the solution that turns like ``exp(i omega t)``; of an over-damped mode, its slow decay."""
        a = self.gamma / 2
        square = (self.omega - a) * (self.omega + a)
        r = np.sqrt(np.abs(square))
        return np.where(square < 0, -(self.omega**2) / (a + r), -a + 1j * r)

    def energy(self) -> float:
        """``sum_j (|q_j|^2 + |v_j|^2 / omega_j^2) / 2``: stiffness 1, mass ``1 / omega^2``."""
        return 0.5 * float((np.abs(self.q) ** 2 + np.abs(self.v / self.omega) ** 2).sum())
