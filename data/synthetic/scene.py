"""From a photo and its things to layers that sway: each thing with its motion, cut out from the front to the back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.synthetic.layers import Layer, peel
from data.synthetic.measured import KINDS
from data.synthetic.motion import draw_wind
from data.synthetic.segments import bounding_box
from data.synthetic.sway import Motion, sway
from data.synthetic.things.thing import Thing
from models.spectral_volume import REFERENCE_WIDTH

PEEL_PADDING = 32  # working pixels around a region that peeling it looks at
NORMAL_90 = 1.2816  # standard deviations to the 90th percentile


@dataclass(frozen=True)
class SceneParameters:
    """What is drawn at random around these; lengths are in pixels of the result."""

    num_frames: int = 150
    fps: float = 30.0
    num_frequencies: int = 24
    amplitude: float | None = None  # of the tips that move most; None draws what is usual for each kind of thing
    periodic: float = 0.75  # probability that frame T would be frame 0
    photometric: float = 0.5  # probability of exposure drift, sensor noise and compression


def build_layers(
    canvas: np.ndarray,
    things: list[Thing],
    *,
    parameters: SceneParameters,
    scale: float,
    random: np.random.Generator,
) -> tuple[np.ndarray, list[Layer]]:
    """Take a photo apart into moving layers.

    Args:
        canvas: uint8 RGB [H, W, 3] at working resolution.
        things: of the canvas, from the back to the front; all else stays still.
        scale: working pixels a pixel of the result.

    Returns:
        What is behind all of them, float32 [H, W, 3], and the layers from the back to the front.
    """
    periodic = random.uniform() < parameters.periodic
    width = canvas.shape[1]
    wind = draw_wind(random, parameters.num_frames, parameters.fps, parameters.num_frequencies, periodic, width)
    strength = float(random.normal())  # of the wind, the same for all things
    labels = np.zeros(canvas.shape[:2], np.int32)
    motions: list[Motion] = []
    for thing in things:
        reach = draw_reach(thing.kind, strength, parameters.amplitude, random)
        reach *= scale if parameters.amplitude is not None else width / REFERENCE_WIDTH
        motions.append(sway(thing, wind, reach, width, random))
        labels[thing.mask] = len(motions)
    return cut_layers(canvas, labels, motions)


def draw_reach(kind: str, strength: float, amplitude: float | None, random: np.random.Generator) -> float:
    """Half the way of the tips of a thing of this kind, in pixels at 256 px width, or of the result with an amplitude.

    Args:
        strength: of the wind, in standard deviations of what is usual.
        amplitude: that of the kind that moves most; the others keep their ratio to it.
    """
    own = random.normal()
    middle = {name: np.mean(np.log(values.reach)) for name, values in KINDS.items()}
    if amplitude is not None:
        return float(amplitude * np.exp(middle[kind] - max(middle.values()) + 0.2 * min(own, 0)))
    low, high = np.log(KINDS[kind].reach)
    deviation = (high - low) / (2 * NORMAL_90)
    return float(np.exp(middle[kind] + deviation * np.clip(0.85 * strength + 0.5 * own, -2, 2)))


def cut_layers(canvas: np.ndarray, labels: np.ndarray, motions: list[Motion]) -> tuple[np.ndarray, list[Layer]]:
    """Peel the labelled regions off, the highest label first; label n moves by ``motions[n - 1]``.

    Returns:
        What is left, float32 [H, W, 3], and the layers from the back to the front.
    """
    image = canvas.astype(np.float32)
    labels = labels.copy()
    layers = []
    for number in range(len(motions), 0, -1):
        mask = labels == number
        if not mask.any():
            continue
        rows, columns = bounding_box(mask, PEEL_PADDING)
        rgba, behind, below = peel(image[rows, columns], labels[rows, columns], number)
        if not (rgba[..., 3] > 0).any():  # too thin for a matte
            continue
        image[rows, columns], labels[rows, columns] = behind, below
        layers.append(_layer(motions[number - 1], rgba, rows.start, columns.start))
    return image, layers[::-1]


def _layer(motion: Motion, rgba: np.ndarray, top: int, left: int) -> Layer:
    """The layer, in the smallest box that holds it."""
    rows, columns = bounding_box(rgba[..., 3] > 0, 2)
    canvas_rows = slice(top + rows.start, top + rows.stop)
    canvas_columns = slice(left + columns.start, left + columns.stop)
    series = (motion.series - motion.series[:, :1]).astype(np.float32)
    shapes = motion.crop(canvas_rows, canvas_columns)
    return Layer(canvas_rows.start, canvas_columns.start, np.ascontiguousarray(rgba[rows, columns]), shapes, series)
