"""How each kind of thing sways: shapes of its modes over the picture, and their series.

A flower head turns as one piece on a stem that bends, plants and trees bend from where they stand with twigs and leaves
moving faster within them, gusts cross grass and crops, cloth swings from its upper edge, a flame licks about its wick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from data.synthetic.measured import DAMPING, KINDS, KindOfMotion
from data.synthetic.motion import (
    Wind,
    along_and_across,
    bending,
    limit_slope,
    smooth_noise,
    travelling_phase,
)
from data.synthetic.segments import bounding_box
from data.synthetic.things.thing import Thing

SHAPE_PADDING = 24  # working pixels around a thing on which its motion is defined
SLOPE = 0.45  # bound on the slope of displacements; below 1 they can be inverted
LEAF_SCALE, TWIG_SCALE = (0.025, 0.05), (0.08, 0.18)  # of the canvas's width: sizes of what moves on its own
LARGEST_REACH = 0.5  # of a head, in its diameters
HORIZON = 0.1  # motion at the horizon as a share of that in front


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


@dataclass(frozen=True)
class Swaying:
    """A thing, the wind and the place that its shapes are defined on."""

    thing: Thing
    wind: Wind
    kind: KindOfMotion
    reach: float  # working pixels
    width: int  # of the canvas
    x: np.ndarray  # float32 [h, w], working pixels
    y: np.ndarray
    random: np.random.Generator

    def series(self, faster: float = 1.0) -> np.ndarray:
        """A series complex128 [T] of the thing's own speed, or faster."""
        resonance = float(np.exp(self.random.uniform(*np.log(self.kind.resonance)))) * faster
        overtone = self.random.uniform(*self.kind.overtone)
        return self.wind.series(resonance, self.random.uniform(*DAMPING), self.thing.hinge.x, overtone=overtone)


Modes = tuple[list[np.ndarray], list[np.ndarray]]  # shapes float32 [h, w, 2], series float64 [T]


def sway(thing: Thing, wind: Wind, reach: float, width: int, random: np.random.Generator) -> Motion:
    """The motion of a thing.

    Args:
        reach: half the way of its tips in working pixels.
        width: of the canvas.
    """
    kind = KINDS[thing.kind]
    rows, columns = bounding_box(thing.mask, SHAPE_PADDING)
    y, x = np.mgrid[rows, columns].astype(np.float32)
    reach = min(reach, kind.longest * thing.hinge.length)
    if thing.head is not None:
        reach = min(reach, LARGEST_REACH * float(thing.head.sum()) ** 0.5)
    swaying = Swaying(thing, wind, kind, reach, width, x, y, random)
    shapes, series = MODES[thing.kind](swaying)
    stacked, times = np.stack(shapes).astype(np.float32), np.stack(series)
    times = times * limit_slope(stacked, times - times[:, :1], SLOPE)
    return Motion(rows.start, columns.start, stacked, times)


def _flower(swaying: Swaying) -> Modes:
    """A stem that bends, and a head that goes with its top and turns with it; it nods a little on its own."""
    thing, random = swaying.thing, swaying.random
    hinge = thing.hinge
    along, across = along_and_across(hinge, swaying.x, swaying.y)
    axis, normal = np.array(hinge.axis), np.array([-hinge.axis[1], hinge.axis[0]])
    turned = 1 + hinge.exponent * (along - 1)
    rigid = turned[..., None] * normal - (hinge.exponent * across)[..., None] * axis
    head = thing.rigid_part(swaying.y.shape, int(swaying.y[0, 0]), int(swaying.x[0, 0]))[..., None]
    bent = bending(hinge, swaying.x, swaying.y)
    shape = head * rigid + (1 - head) * bent
    level = swaying.reach / max(0.3, float(np.abs(turned[head[..., 0] > 0.5]).max(initial=1.0)))
    main, dip, nod = swaying.series(), swaying.series(), swaying.series(random.uniform(1.3, 2.2))
    upright = (swaying.kind.upright / (1 - swaying.kind.upright)) ** 0.5
    lifted = np.where(head > 0.5, 1.0, np.minimum(along, 1)[..., None] ** 2) * axis
    nodding = head * ((along - 1)[..., None] * normal - across[..., None] * axis)
    tilt = random.uniform(0, 0.5)
    shapes = [level * shape, level * upright * lifted, level * tilt * nodding]
    return shapes, [main.real, dip.real, nod.real]


def _plant(swaying: Swaying) -> Modes:
    """Bending from the hinge, the phase changing over the thing, and twigs and leaves that move faster within it."""
    hinge, random = swaying.thing.hinge, swaying.random
    radians = random.uniform(0.8, 3.0) if hinge.wide else random.uniform(0, 0.8)
    phase = travelling_phase(random, hinge, swaying.x, swaying.y, radians)[..., None]
    shape, main = swaying.reach * bending(hinge, swaying.x, swaying.y), swaying.series()
    shapes, series = [shape * np.cos(phase), -shape * np.sin(phase)], [main.real, main.imag]
    for scales, share in ((TWIG_SCALE, 1.0), (LEAF_SCALE, 0.5)):
        more = _ripple(swaying, scales, share, (1.0, 1.0))
        shapes, series = shapes + more[0], series + more[1]
    return shapes, series


def _grass(swaying: Swaying) -> Modes:
    """Blades that bend side by side, reached by a gust one after the other, each a little on its own."""
    hinge, random = swaying.thing.hinge, swaying.random
    phase = travelling_phase(random, hinge, swaying.x, swaying.y, random.uniform(1.5, 5.0))[..., None]
    shape, main = swaying.reach * bending(hinge, swaying.x, swaying.y), swaying.series()
    shapes, series = [shape * np.cos(phase), -shape * np.sin(phase)], [main.real, main.imag]
    more = _ripple(swaying, (0.03, 0.08), 1.0, (1.0, 5.0))
    return shapes + more[0], series + more[1]


def _field(swaying: Swaying) -> Modes:
    """Gusts that cross a field seen to the horizon: motion and wavelength shrink with distance."""
    hinge, random = swaying.thing.hinge, swaying.random
    near = np.clip(1 - (hinge.y - swaying.y) / hinge.length, 0, 1)
    size = HORIZON + (1 - HORIZON) * near
    direction = random.choice([-1, 1])
    shapes: list[np.ndarray] = []
    series: list[np.ndarray] = []
    for share in (1.0, 0.6, 0.4):
        main = swaying.series(1 + 0.6 * len(shapes) / 2)
        radians = random.uniform(1.5, 4.0) * (1 + len(shapes) / 2)
        across = (swaying.x - hinge.x) / swaying.width / np.maximum(size, 0.35)
        phase = direction * radians * across + random.uniform(-2, 2) * near + random.uniform(0, 2 * np.pi)
        flat = np.stack([size, random.normal(0, 0.2) * size], axis=-1) * swaying.reach * share
        shapes += [flat * np.cos(phase)[..., None], -flat * np.sin(phase)[..., None]]
        series += [main.real, main.imag]
    noise = smooth_noise(random, swaying.x.shape, random.uniform(0.02, 0.05) * swaying.width)
    fast = swaying.series(random.uniform(*swaying.kind.faster))
    ripple = swaying.reach * random.uniform(*swaying.kind.ripple) * size[..., None] * noise * (1.0, 0.4)
    return [*shapes, ripple], [*series, fast.real]


def _tree(swaying: Swaying) -> Modes:
    """A trunk that stands, boughs that move the more the farther out they are, and leaves that move faster."""
    hinge, random = swaying.thing.hinge, swaying.random
    along, across = along_and_across(hinge, swaying.x, swaying.y)
    phase = travelling_phase(random, hinge, swaying.x, swaying.y, random.uniform(0.5, 2.5))[..., None]
    outwards = np.clip(0.45 + np.abs(across), 0, 1.2) if not hinge.wide else np.full(along.shape, 0.7)
    shape, main = swaying.reach * outwards[..., None] * bending(hinge, swaying.x, swaying.y), swaying.series()
    shapes, series = [shape * np.cos(phase), -shape * np.sin(phase)], [main.real, main.imag]
    for scales, share in ((TWIG_SCALE, 1.0), (LEAF_SCALE, 0.6)):
        more = _ripple(swaying, scales, share, (1.0, 1.0))
        shapes, series = shapes + more[0], series + more[1]
    return shapes, series


def _cloth(swaying: Swaying) -> Modes:
    """Swinging from the upper edge, with folds that travel to the side."""
    return _grass(swaying)


def _flame(swaying: Swaying) -> Modes:
    """Leaning to both sides, more at the tip, and growing and shrinking."""
    hinge, random = swaying.thing.hinge, swaying.random
    lean, tip, grow = swaying.series(), swaying.series(random.uniform(1.5, 3)), swaying.series(1.5)
    along, _ = along_and_across(hinge, swaying.x, swaying.y)
    shape = bending(hinge, swaying.x, swaying.y)
    sharper = (along**3)[..., None] * np.array([-hinge.axis[1], hinge.axis[0]])
    upright = (swaying.kind.upright / (1 - swaying.kind.upright)) ** 0.5
    taller = upright * along[..., None] * np.array(hinge.axis)
    shapes = [swaying.reach * part for part in (shape, 0.4 * sharper, taller)]
    return shapes, [lean.real, tip.real, grow.real]


MODES: Mapping[str, Callable[[Swaying], Modes]] = {
    "flower": _flower,
    "plant": _plant,
    "grass": _grass,
    "bed": _grass,
    "field": _field,
    "tree": _tree,
    "cloth": _cloth,
    "flame": _flame,
}


def _ripple(swaying: Swaying, scales: tuple[float, float], share: float, stretch: tuple[float, float]) -> Modes:
    """Irregular faster motion within a thing, none at its hinge.

    Args:
        scales: sizes of what moves on its own, in widths of the canvas; smaller things move faster.
        stretch: how much longer they are in x and y.
    """
    import cv2

    random, kind = swaying.random, swaying.kind
    along, _ = along_and_across(swaying.thing.hinge, swaying.x, swaying.y)
    scale = random.uniform(*scales) * swaying.width
    strength = swaying.reach * share * random.uniform(*kind.ripple) * np.clip(along, 0, 1)[..., None]
    upright = (kind.upright / (1 - kind.upright)) ** 0.5
    faster = random.uniform(*kind.faster) * (TWIG_SCALE[0] / scales[0]) ** 0.4
    main = swaying.series(faster)
    height, width = swaying.x.shape
    shapes = []
    for _ in range(2):
        small = max(4, int(height / stretch[1]) + 1), max(4, int(width / stretch[0]) + 1)
        noise = cv2.resize(smooth_noise(random, small, scale), (width, height), interpolation=cv2.INTER_CUBIC)
        shapes.append(strength * noise * (1.0, max(upright, 0.3)))
    return shapes, [main.real, main.imag]
