"""How things sway: shapes of bending and time series of damped oscillators driven by wind.

A thing's displacement is a sum of modes, each a shape over the picture times a series over time. A stem bends like a
cantilever (Euler-Bernoulli: the axis moves sideways and its cross-sections turn), what hangs swings about its
suspension, wide foliage is many stems side by side that a gust reaches one after the other, a leaf turns about where it
is attached. The series are the response of damped oscillators to turbulence, so that power falls with frequency beyond
the resonance (paper section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data.synthetic.measured import COHERENCE, CROSSING, OVERTONE, TURBULENCE


@dataclass(frozen=True)
class Wind:
    """Turbulence that travels over the picture: one spectrum for all things in it, and a share of their own."""

    num_frames: int
    fps: float
    frequencies: np.ndarray  # float64 [F], Hz, above zero
    spectrum: np.ndarray  # complex128 [F]
    slowness: float  # seconds that a gust needs for one working pixel to the right
    coherence: float  # share of what all things feel together
    decay: bool = False  # a push at the beginning instead, after which everything comes to rest
    random: np.random.Generator = field(default_factory=np.random.default_rng, repr=False)

    def series(self, resonance: float, damping: float, x: float, *, overtone: float = 0.0) -> np.ndarray:
        """Displacement of a damped oscillator at column x: complex128 [T], about 1 at its largest.

        The imaginary part is the same motion a quarter of a period later; with it phases can vary over a thing.

        Args:
            resonance: Hz.
            damping: ratio to critical damping.
            x: column in working pixels.
            overtone: rms of a second, faster mode in that of the first.
        """
        seconds = np.arange(self.num_frames) / self.fps
        if self.decay:
            late = max(0.0, x * self.slowness)
            phase = 2 * np.pi * (resonance * (seconds - late) + 0.3 * self.random.uniform())
            motion = np.exp(1j * phase - damping * 2 * np.pi * resonance * np.maximum(seconds - late, 0))
            motion *= 1 / (1 + np.exp(-(seconds - late) * 12 * resonance))
            return motion / np.abs(motion.real).max()
        own = complex_normal(self.random, len(self.frequencies)) * np.abs(_turbulence(self.frequencies))
        force = self.coherence * self.spectrum * np.exp(-2j * np.pi * self.frequencies * self.slowness * x)
        force = force + np.sqrt(1 - self.coherence**2) * own
        response = _unit(force * _transfer(self.frequencies / resonance, damping))
        if overtone > 0:
            # A second mode feels gusts of its own: they are smaller than those that move the whole.
            force = complex_normal(self.random, len(self.frequencies)) * np.abs(_turbulence(self.frequencies))
            ratio = self.frequencies / (resonance * self.random.uniform(*OVERTONE))
            fast = self.frequencies / (self.frequencies + resonance)
            response = response + overtone * _unit(force * fast * _transfer(ratio, damping))
        motion = np.exp(2j * np.pi * seconds[:, None] * self.frequencies) @ response
        return motion / np.abs(motion.real).max()


def draw_wind(
    random: np.random.Generator, num_frames: int, fps: float, num_frequencies: int, periodic: bool, width: int
) -> Wind:
    """A random wind whose gusts need from a moment to some seconds to cross the picture.

    Args:
        num_frequencies: K; periodic motion has none above ``K - 1`` periods in T frames, so K coefficients describe it.
        periodic: whether frame T would be frame 0.
        width: of the working canvas in pixels.
    """
    seconds = num_frames / fps
    decay = not periodic and random.uniform() < 0.5
    period = seconds if periodic else seconds * random.uniform(1.5, 3.0)
    highest = max(1, min(num_frequencies - 1, (num_frames - 1) // 2))
    frequencies = np.arange(1, max(2, int(highest * period / seconds + 1e-9) + 1)) / period
    spectrum = complex_normal(random, len(frequencies)) * np.abs(_turbulence(frequencies))
    crossing = random.choice([-1, 1]) * float(np.exp(random.uniform(*np.log(CROSSING))))
    coherence = random.uniform(*COHERENCE)
    slowness = (abs(crossing) if decay else crossing) / width
    return Wind(num_frames, fps, frequencies, spectrum, slowness, coherence, decay, random)


def _turbulence(frequencies: np.ndarray) -> np.ndarray:
    """Amplitude of gusts by frequency in Hz: a power law at low ones, exponential at high ones."""
    power, decay = TURBULENCE
    return frequencies**power * np.exp(-frequencies / decay)


def _transfer(ratio: np.ndarray, damping: float) -> np.ndarray:
    """Response of a damped oscillator to a force, by frequency in resonances."""
    return 1 / (1 - ratio**2 + 2j * damping * ratio)


def _unit(spectrum: np.ndarray) -> np.ndarray:
    """A spectrum of power 1."""
    return spectrum / max(1e-12, float(np.sqrt(np.square(np.abs(spectrum)).sum())))


def complex_normal(random: np.random.Generator, count: int) -> np.ndarray:
    """Circular complex Gaussian numbers of unit variance."""
    return (random.normal(size=count) + 1j * random.normal(size=count)) / np.sqrt(2)


# Shapes ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hinge:
    """Where a thing is held and how far it reaches from there; positions in working pixels."""

    x: float
    y: float
    axis: tuple[float, float]  # unit vector from the hinge into the thing
    length: float  # along the axis
    exponent: float  # of the displacement along the axis: 1 swings, 2 bends
    wide: bool = False  # many stems side by side rather than one


def along_and_across(hinge: Hinge, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in units of the hinge's length: along its axis, not below zero, and to the right of it."""
    along = ((x - hinge.x) * hinge.axis[0] + (y - hinge.y) * hinge.axis[1]) / hinge.length
    across = ((y - hinge.y) * hinge.axis[0] - (x - hinge.x) * hinge.axis[1]) / hinge.length
    return np.maximum(along, 0), across


def bending(hinge: Hinge, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Displacement by bending sideways, 1 at the tip: float32 [H, W, 2] at positions x, y [H, W].

    ``w(s) n - r w'(s) a`` with the axis a, the normal n, and the coordinates s along and r across it. Of wide things
    the second term stays out: their stems turn each about an axis of their own.
    """
    along, across = along_and_across(hinge, x, y)
    sideways = along**hinge.exponent
    turning = hinge.exponent * along ** (hinge.exponent - 1) * np.tanh(across)
    normal = np.array([-hinge.axis[1], hinge.axis[0]])
    if hinge.wide:
        turning = 0.12 * sideways  # tips dip a little as they bend
    field_ = sideways[..., None] * normal - turning[..., None] * np.array(hinge.axis)
    return field_.astype(np.float32)


def travelling_phase(
    random: np.random.Generator, hinge: Hinge, x: np.ndarray, y: np.ndarray, radians: float
) -> np.ndarray:
    """A phase that changes evenly over positions x, y [H, W], by about so many radians from end to end."""
    along, _ = along_and_across(hinge, x, y)
    extent = max(hinge.length, float(np.ptp(x)))
    return radians * ((x - hinge.x) / extent * random.choice([-1, 1]) - 0.3 * along)


def smooth_noise(random: np.random.Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Smooth random vectors with features of about so many pixels, of size 1 in the mean: float32 [H, W, 2]."""
    import cv2

    height, width = (max(2, int(np.ceil(side / scale)) + 3) for side in shape)
    coarse = random.normal(size=(height, width, 2)).astype(np.float32)
    full = cv2.resize(coarse, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_CUBIC)
    offset = int(scale)
    return full[offset : offset + shape[0], offset : offset + shape[1]]


def limit_slope(shapes: np.ndarray, series: np.ndarray, bound: float) -> float:
    """Factor at most 1 by which the series must shrink so that neighbours never move too differently.

    Args:
        shapes: [M, h, w, 2].
        series: [M, T], zero at t = 0.
        bound: on the change of the displacement from a pixel to the next; an invertible field has less than 1.
    """
    coarse = shapes[:, ::4, ::4]
    largest = np.abs(series).max(axis=1)
    slope = 0.0
    for axis in (1, 2):
        if coarse.shape[axis] > 1:
            differences = np.abs(np.diff(coarse, axis=axis)).max(axis=-1) / 4
            slope = max(slope, float(np.tensordot(largest, differences, axes=1).max()))
    return min(1.0, bound / max(slope, 1e-9))
