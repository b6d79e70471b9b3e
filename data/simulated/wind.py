"""Time series of everything that sways: damped oscillators that turbulence drives, gusts reaching one after the other.

The response of an oscillator of resonance f0 and damping z to a force of unit spectrum is 1 / (1 - r^2 + 2 i z r) with
r = f / f0; turbulence has a power law at low frequencies that falls off at high ones, as the spectra of film do (paper
section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Oscillators:
    """The oscillators of a scene, collected while it is built; number 0 never moves."""

    frequency: list[np.ndarray] = field(default_factory=lambda: [np.ones(1)])  # Hz
    damping: list[np.ndarray] = field(default_factory=lambda: [np.ones(1)])  # as a ratio to critical damping
    place: list[np.ndarray] = field(default_factory=lambda: [np.zeros((1, 3))])  # metres, where the wind reaches it
    strength: list[np.ndarray] = field(default_factory=lambda: [np.zeros(1)])  # root mean square, before scaling
    lead: list[np.ndarray] = field(default_factory=lambda: [np.zeros(1)])  # radians at every frequency
    source: list[np.ndarray] = field(default_factory=lambda: [np.zeros(1, int)])  # whose random numbers it shares
    count: int = 1

    def add(
        self, frequency: np.ndarray, damping: np.ndarray | float, place: np.ndarray, strength: np.ndarray | float = 1.0
    ) -> np.ndarray:
        """Numbers int [N] of N new oscillators; ``frequency`` [N] in Hz, ``place`` [N, 3]."""
        frequency = np.asarray(frequency, float)
        shape = frequency.shape
        self.frequency.append(frequency)
        self.damping.append(np.broadcast_to(damping, shape))
        self.place.append(np.broadcast_to(place, (*shape, 3)))
        self.strength.append(np.broadcast_to(strength, shape))
        self.lead.append(np.zeros(shape))
        numbers = np.arange(self.count, self.count + len(frequency))
        self.source.append(numbers)
        self.count += len(frequency)
        return numbers

    def quadrature(self, numbers: np.ndarray) -> np.ndarray:
        """Partners of oscillators [N], a quarter of a period behind: two such make a wave that travels."""
        for values in (self.frequency, self.damping, self.place, self.strength, self.source):
            values.append(np.concatenate(values)[numbers])
        self.lead.append(np.concatenate(self.lead)[numbers] - np.pi / 2)
        self.count += len(numbers)
        return np.arange(self.count - len(numbers), self.count)


@dataclass(frozen=True)
class Wind:
    """What drives the oscillators of a scene, in T frames."""

    num_frames: int
    fps: float
    direction: np.ndarray  # unit vector [3]
    slowness: float  # seconds that a gust needs for a metre
    coherence: float  # share of what all things feel together
    period: float  # seconds after which the motion repeats; longer than the sequence where it is not periodic
    highest: float  # Hz, above which nothing moves
    tilt: float  # exponent of turbulence at low frequencies

    def series(self, oscillators: Oscillators, random: np.random.Generator) -> np.ndarray:
        """Displacements float32 [M, T] of all oscillators, zero at t = 0, about ``strength`` in the mean square."""
        resonance = np.concatenate(oscillators.frequency)[:, None]
        damping = np.concatenate(oscillators.damping)[:, None]
        late = np.concatenate(oscillators.place) @ self.direction * self.slowness
        count = max(1, int(self.highest * self.period + 1e-9))  # a product of 15 may be just below it
        frequencies = np.arange(1, count + 1) / self.period
        turbulence = frequencies**-self.tilt * np.exp(-frequencies / 5.0)
        common = turbulence * complex_normal(random, (1, count))
        own = turbulence * complex_normal(random, (len(resonance), count))[np.concatenate(oscillators.source)]
        force = self.coherence * common * np.exp(-2j * np.pi * frequencies * late[:, None])
        force = force + np.sqrt(1 - self.coherence**2) * own
        ratio = frequencies / resonance
        response = force / (1 - ratio**2 + 2j * damping * ratio)
        response = response * np.exp(1j * np.concatenate(oscillators.lead))[:, None]
        seconds = np.arange(self.num_frames) / self.fps
        waves = np.exp(2j * np.pi * frequencies[:, None] * seconds)
        motion = response.real @ waves.real - response.imag @ waves.imag
        expected = np.sqrt(0.5 * (np.abs(turbulence / (1 - ratio**2 + 2j * damping * ratio)) ** 2).sum(axis=1))
        motion *= (np.concatenate(oscillators.strength) / expected)[:, None]
        return (motion - motion[:, :1]).astype(np.float32)


def draw_wind(random: np.random.Generator, *, num_frames: int, fps: float, num_frequencies: int, extent: float) -> Wind:
    """A wind whose gusts need from a moment to some seconds to cross ``extent`` metres; mostly periodic.

    Periodic motion has no frequency above ``num_frequencies - 1`` periods in the sequence, so that many coefficients
    describe it completely.
    """
    seconds = num_frames / fps
    periodic = random.uniform() < 0.7
    angle = random.uniform(0, 2 * np.pi)
    return Wind(
        num_frames=num_frames,
        fps=fps,
        direction=np.array([np.cos(angle), np.sin(angle), 0.0]),
        slowness=10 ** random.uniform(-0.7, 0.4) / extent,
        coherence=random.uniform(0.5, 0.95),
        period=seconds if periodic else seconds * random.uniform(1.5, 3.0),
        highest=min(num_frequencies - 1, (num_frames - 1) // 2) / seconds,
        tilt=random.uniform(0.2, 0.7),
    )


def complex_normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Circular complex Gaussian numbers of unit variance."""
    return (random.normal(size=shape) + 1j * random.normal(size=shape)) / np.sqrt(2)
