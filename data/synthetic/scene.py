"""From a photo to layers that sway: each thing in it with its motion, cut out from the front to the back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.synthetic.layers import Layer, peel
from data.synthetic.motion import (
    Hinge,
    Wind,
    along_and_across,
    bending,
    draw_wind,
    limit_slope,
    smooth_noise,
    travelling_phase,
)
from data.synthetic.objects import Thing, find_leaves, find_things
from data.synthetic.segments import bounding_box, edge_strength, local_contrast, merge_regions, superpixels

PEEL_PADDING = 32  # working pixels around a region that peeling it looks at
SHAPE_PADDING = 24  # working pixels around a thing on which its motion is defined
# Numbers of regions in the fine and the middle partition, whose regions may be leaves, and in that of whole things.
REGIONS = ((150, 300), (60, 110), (2, 8))
REFERENCE_WIDTH = 256  # pixels, for which the range of amplitudes is given
AMPLITUDES = (0.6, 20.0)  # pixels
SWAY_SLOPE, FLUTTER_SLOPE = 0.4, 0.3  # bounds on the slopes of displacements; a sum below 1 can be inverted


@dataclass(frozen=True)
class SceneParameters:
    """What is drawn at random around these; lengths are in pixels of the result."""

    num_frames: int = 150
    fps: float = 30.0
    num_frequencies: int = 24
    amplitude: float | None = None  # of the tips of the things that move most; None draws 0.6 to 20 (at 256 wide)
    periodic: float = 0.75  # probability that frame T would be frame 0
    leaves: float = 0.6  # probability that a region of the right size moves on its own
    restless: float = 0.4  # probability that the background moves a little too
    photometric: float = 0.5  # probability of exposure drift, sensor noise and compression


@dataclass(frozen=True)
class Motion:
    """Modes on a box of the canvas."""

    top: int
    left: int
    shapes: np.ndarray  # float32 [M, h, w, 2]
    series: np.ndarray  # float64 [M, T], not yet zero at t = 0

    def crop(self, rows: slice, columns: slice) -> np.ndarray:
        """Shapes on a smaller box; beyond the box they continue with their values at its edge."""
        y = np.clip(np.arange(rows.start, rows.stop) - self.top, 0, self.shapes.shape[1] - 1)
        x = np.clip(np.arange(columns.start, columns.stop) - self.left, 0, self.shapes.shape[2] - 1)
        return np.ascontiguousarray(self.shapes[:, y[:, None], x])


def build_layers(
    canvas: np.ndarray, parameters: SceneParameters, scale: float, random: np.random.Generator
) -> tuple[np.ndarray, list[Layer]]:
    """Take a photo apart into moving layers.

    Args:
        canvas: uint8 RGB [H, W, 3] at working resolution.
        scale: working pixels a pixel of the result.

    Returns:
        What is behind all of them, float32 [H, W, 3], and the layers from the back to the front. The last of those may
        be the whole background, moving a little.
    """
    periodic = random.uniform() < parameters.periodic
    width = canvas.shape[1]
    wind = draw_wind(random, parameters.num_frames, parameters.fps, parameters.num_frequencies, periodic, width)
    amplitude = parameters.amplitude
    if amplitude is None:
        amplitude = float(np.exp(random.uniform(*np.log(AMPLITUDES)))) * width / scale / REFERENCE_WIDTH
    amplitude *= scale
    fine, middle, groups = merge_regions(canvas, superpixels(canvas), [int(random.uniform(*r)) for r in REGIONS])
    edges = edge_strength(canvas, fine)
    labels = np.zeros(canvas.shape[:2], np.int32)
    motions: list[Motion] = []
    for thing in sorted(find_things(canvas, fine, groups, edges, random), key=lambda thing: thing.depth):
        base = sway(thing, wind, amplitude, random)
        motions.append(base)
        labels[thing.mask] = len(motions)
        partition = fine if random.uniform() < 0.5 else middle
        chance = parameters.leaves * (random.uniform() < 0.7)
        liveliness = 10 ** random.uniform(-1.2, -0.2)
        for mask in find_leaves(thing, partition, edges, chance, random):
            motions.append(flutter(mask, thing, base, liveliness, wind, random))
            labels[mask] = len(motions)
    behind, layers = cut_layers(canvas, labels, motions)
    if random.uniform() < parameters.restless:
        motion = unrest(canvas, wind, amplitude, random)
        opaque = np.dstack([behind, np.ones(labels.shape, np.float32)])
        layers.insert(0, _layer(motion, opaque, 0, 0))
    return behind, layers


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


# How it moves ---------------------------------------------------------------------------------------------------------


def sway(thing: Thing, wind: Wind, amplitude: float, random: np.random.Generator) -> Motion:
    """Bending to and fro, its phase changing over the thing, and gentler irregular motion within it.

    Args:
        amplitude: of tips, in working pixels.
    """
    rows, columns = bounding_box(thing.mask, SHAPE_PADDING)
    y, x = np.mgrid[rows, columns].astype(np.float32)
    hinge = thing.hinge
    resonance = float(np.clip(random.uniform(0.4, 1.8) * (250 / hinge.length) ** 0.5, 0.3, 3.0))
    damping = random.uniform(0.06, 0.3)
    reach = min(amplitude * thing.freedom * random.lognormal(0, 0.4), 0.35 * hinge.length)
    shape = reach * bending(hinge, x, y)
    radians = random.uniform(1.0, 5.0) if hinge.wide else random.uniform(0, 0.8)
    phase = travelling_phase(random, hinge, x, y, radians)[..., None]
    motion = wind.series(resonance, damping, hinge.x)
    shapes, series = [shape * np.cos(phase), -shape * np.sin(phase)], [motion.real, motion.imag]
    along, _ = along_and_across(hinge, x, y)
    size = np.sqrt(thing.mask.sum())
    for _ in range(2):
        scale = random.uniform(0.25, 0.6) * max(size, 40)
        strength = reach * (random.uniform(0.06, 0.2) if hinge.wide else random.uniform(0.02, 0.12))
        noise = smooth_noise(random, x.shape, scale) * np.minimum(along, 1.2)[..., None]
        motion = wind.series(resonance * random.uniform(1.3, 4.0), random.uniform(0.1, 0.4), hinge.x)
        turned = smooth_noise(random, x.shape, scale) * np.minimum(along, 1.2)[..., None]
        shapes += [strength * noise, strength * turned]
        series += [motion.real, motion.imag]
    return _limited(rows, columns, shapes, series, SWAY_SLOPE)


def flutter(
    mask: np.ndarray, thing: Thing, base: Motion, liveliness: float, wind: Wind, random: np.random.Generator
) -> Motion:
    """A leaf goes with what it is attached to, and turns and folds about its own hinge, faster and less far.

    Args:
        liveliness: its own motion in relation to that of what it is attached to.
    """
    ys, xs = np.nonzero(mask)
    along, _ = along_and_across(thing.hinge, xs, ys)
    held = int(np.argmin(along))
    center = np.array([xs.mean(), ys.mean()])
    start = np.array([xs[held], ys[held]], float)
    axis = (center - start) / max(1e-6, np.linalg.norm(center - start))
    length = max(6.0, float(((xs - start[0]) * axis[0] + (ys - start[1]) * axis[1]).max()))
    rows, columns = bounding_box(mask, PEEL_PADDING)
    y, x = np.mgrid[rows, columns].astype(np.float32)
    hinge = Hinge(float(start[0]), float(start[1]), (float(axis[0]), float(axis[1])), length, random.uniform(1.0, 1.5))
    parent = float(np.abs(base.shapes[0]).max())
    reach = min(parent * liveliness * random.lognormal(0, 0.4) * float(np.clip(along.mean(), 0.2, 1.2)), 0.3 * length)
    resonance = random.uniform(1.2, 3.5)
    turning = wind.series(resonance, random.uniform(0.05, 0.25), float(center[0]))
    folding = wind.series(resonance * random.uniform(0.7, 1.3), random.uniform(0.1, 0.3), float(center[0]))
    outwards, across = along_and_across(hinge, x, y)
    fold = np.stack([-across * axis[1], across * axis[0]], axis=-1) * np.minimum(outwards, 1.5)[..., None]
    shapes = [reach * bending(hinge, x, y), 0.4 * reach * fold]
    own = _limited(rows, columns, shapes, [turning.real, folding.real], FLUTTER_SLOPE)
    both = np.concatenate([base.crop(rows, columns), own.shapes])
    return Motion(rows.start, columns.start, both, np.concatenate([base.series, own.series]))


def unrest(canvas: np.ndarray, wind: Wind, amplitude: float, random: np.random.Generator) -> Motion:
    """Slight irregular motion of what is behind everything, where it has texture: a clear sky stays still."""
    import cv2

    contrast = cv2.GaussianBlur(local_contrast(canvas), (0, 0), 25)
    where = np.clip((contrast - contrast.min()) / max(1e-6, float(np.ptp(contrast))) - 0.1, 0, 1)[..., None]
    strength = amplitude * random.uniform(0.01, 0.06)
    shapes, series = [], []
    for _ in range(2):
        motion = wind.series(random.uniform(0.4, 1.2), random.uniform(0.1, 0.4), random.uniform(0, canvas.shape[1]))
        scale = random.uniform(0.08, 0.25) * canvas.shape[1]
        shapes += [strength * where * smooth_noise(random, canvas.shape[:2], scale) for _ in range(2)]
        series += [motion.real, motion.imag]
    return _limited(slice(0, canvas.shape[0]), slice(0, canvas.shape[1]), shapes, series, SWAY_SLOPE)


def _limited(rows: slice, columns: slice, shapes: list[np.ndarray], series: list[np.ndarray], slope: float) -> Motion:
    """The motion, made smaller where it would be too steep to be inverted."""
    stacked, times = np.stack(shapes).astype(np.float32), np.stack(series)
    times = times * limit_slope(stacked, times - times[:, :1], slope)
    return Motion(rows.start, columns.start, stacked, times)
