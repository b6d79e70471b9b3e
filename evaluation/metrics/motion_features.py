"""A fixed description of motion, window by window, whose distribution tells sampled from measured motion.

No network and no statistics take part, so the figures of any two models compare. A photo is cut into windows of an
eighth of its width without overlap, 40 at 256x160, and each is described by what its motion is like, not by what is
seen there or where it lies: where things move is what `evaluation.metrics.motion.localisation` measures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.motion import LEAST_POWER

WINDOWS_ACROSS = 8
NEIGHBOUR = 4  # pixels to the neighbour that a pixel is compared with, as in evaluation.metrics.motion
# Each kind of feature is divided by about its standard deviation over windows of measured motion of plants, cloth and
# flames, so that all of them count.
POWER_UNIT = 1.5  # powers of ten of pixels squared
COHERENCE_UNIT = 0.2
POLARISATION_UNIT = 0.5
GRADIENT_UNIT = 1.5  # powers of ten of (pixels a pixel) squared
EVENNESS_UNIT = 0.25


def octaves(num_frequencies: int) -> list[range]:
    """Frequencies from 1 on in bands of an octave: 1, 2-3, 4-7, 8-15, the last as far as there are any."""
    bands, start = [], 1
    while start < num_frequencies:
        bands.append(range(start, min(2 * start, num_frequencies)))
        start *= 2
    return bands


def feature_names(num_frequencies: int) -> list[str]:
    """Names of the D = 2 B + 5 features for B octaves: 13 of 16 frequencies."""
    bands = [f"{band.start}-{band.stop - 1}" for band in octaves(num_frequencies)]
    return [
        *(f"power {band}" for band in bands),
        *(f"coherence {band}" for band in bands),
        *("horizontal", "diagonal", "rotation", "gradient", "evenness"),
    ]


def motion_features(volume: Tensor) -> Tensor:
    """Describe the motion in each window.

    - ``power`` of each octave: log10 of the mean squared displacement in pixels, plus (0.001 px)^2.
    - ``coherence`` of each octave: correlation of the motion of pixels four apart, ``1 - E|S(p) - S(q)|^2 / E(|S(p)|^2
      + |S(q)|^2)``: 1 where all move as one, 0 in noise.
    - ``horizontal``, ``diagonal``, ``rotation``: the Stokes parameters of x and y over their power, each in [-1, 1]:
      back and forth along an axis, along a diagonal, or round in circles.
    - ``gradient``: log10 of the mean squared difference of neighbouring pixels' displacements, how much is bent.
    - ``evenness``: squared mean over mean square of the amplitude: 1 where all of the window moves alike far.

    All are divided by the units above. The mean frequency takes no part: it only says at which moment the photo was
    taken. Where less moves than a measurement can tell from none, all but the logarithms tend to 0.

    Args:
        volume: ``[B, K, 4, H, W]`` in pixels, K at least 2.

    Returns:
        float64 ``[B windows, D]``, see :func:`feature_names`.

    Raises:
        ValueError: a volume of the mean frequency alone, or too small to have neighbours in a window.
    """
    oscillation = volume[:, 1:].double()
    width, height = volume.shape[-1], volume.shape[-2]
    side = max(round(width / WINDOWS_ACROSS), NEIGHBOUR + 1)
    if oscillation.shape[1] == 0 or min(width, height) < side:
        raise ValueError(f"motion of {volume.shape[1]} frequencies at {width}x{height} is too small to be described")
    bands = [oscillation[:, band.start - 1 : band.stop - 1].flatten(1, 2) for band in octaves(volume.shape[1])]
    power = torch.stack([_mean(2 * band.square().sum(1), side) for band in bands], dim=1)
    coherence = torch.stack([_coherence(band, side) for band in bands], dim=1)
    flat = oscillation.flatten(1, 2)
    parts = [
        (power + LEAST_POWER).log10() / POWER_UNIT,
        coherence / COHERENCE_UNIT,
        _stokes(oscillation, side) / POLARISATION_UNIT,
        (_gradient(flat, side) + LEAST_POWER).log10()[:, None] / GRADIENT_UNIT,
        _evenness(flat, side)[:, None] / EVENNESS_UNIT,
    ]
    return torch.cat(parts, dim=1).permute(0, 2, 3, 1).flatten(0, 2)


def _mean(values: Tensor, side: int) -> Tensor:
    """Means ``[B, h, w]`` of ``[B, H, W]`` over windows; what is left over at the right and below is left out."""
    return F.avg_pool2d(values[:, None], side)[:, 0]


def _coherence(band: Tensor, side: int) -> Tensor:
    """``[B, C, H, W] -> [B, h, w]``, over neighbours to the right and below of which both are in the window."""
    windows = band.unfold(2, side, side).unfold(3, side, side)  # [B, C, h, w, side, side]
    pairs = [
        (windows[..., NEIGHBOUR:, :], windows[..., :-NEIGHBOUR, :]),
        (windows[..., NEIGHBOUR:], windows[..., :-NEIGHBOUR]),
    ]
    difference = torch.stack([(a - b).square().sum(1).mean((-2, -1)) for a, b in pairs]).sum(0)
    power = torch.stack([(a.square() + b.square()).sum(1).mean((-2, -1)) for a, b in pairs]).sum(0)
    return (power - difference) / (power + LEAST_POWER)


def _stokes(oscillation: Tensor, side: int) -> Tensor:
    """``[B, K, 4, H, W] -> [B, 3, h, w]``: |x|^2 - |y|^2, 2 Re(x y*) and 2 Im(x y*) over |x|^2 + |y|^2."""
    real_x, real_y, imaginary_x, imaginary_y = oscillation.unbind(dim=2)
    x_power, y_power = real_x.square() + imaginary_x.square(), real_y.square() + imaginary_y.square()
    values = (
        x_power - y_power,
        2 * (real_x * real_y + imaginary_x * imaginary_y),
        2 * (imaginary_x * real_y - real_x * imaginary_y),
    )
    total = _mean((x_power + y_power).sum(1), side) + LEAST_POWER
    return torch.stack([_mean(value.sum(1), side) / total for value in values], dim=1)


def _gradient(flat: Tensor, side: int) -> Tensor:
    """Mean squared differences of neighbours' displacements, ``[B, C, H, W] -> [B, h, w]``."""
    across = F.pad(flat[..., 1:] - flat[..., :-1], (0, 1))
    down = F.pad(flat[..., 1:, :] - flat[..., :-1, :], (0, 0, 0, 1))
    return _mean(2 * (across.square() + down.square()).sum(1), side)


def _evenness(flat: Tensor, side: int) -> Tensor:
    squared = 2 * flat.square().sum(1)
    return _mean(squared.sqrt(), side).square() / (_mean(squared, side) + LEAST_POWER)
