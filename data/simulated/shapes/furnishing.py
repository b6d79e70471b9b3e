"""What stands in rooms: tables, pots, bowls, books, frames."""

from __future__ import annotations

import numpy as np

from data.simulated.shapes.mesh import Mesh, box, linear, merge
from data.simulated.shapes.solids import ball, cylinder, lathe

SPINES = (
    (150, 60, 50),
    (60, 80, 110),
    (190, 170, 130),
    (70, 100, 80),
    (120, 90, 130),
    (200, 190, 180),
    (40, 44, 52),
    (190, 130, 60),
)


def pot(radius: float, height: float, color: np.ndarray) -> Mesh:
    """A flower pot that stands on z = 0, with earth in it."""
    r, h = radius, height
    outside = [(0, 0), (0.72 * r, 0), (0.93 * r, 0.8 * h), (1.0 * r, 0.8 * h), (1.03 * r, h), (0.92 * r, h)]
    return lathe([*outside, (0.9 * r, 0.9 * h)], color, sides=26)


def earth(radius: float, height: float) -> Mesh:
    """The earth in a :func:`pot`."""
    return lathe([(0.91 * radius, 0.9 * height), (0, 0.93 * height)], linear(66, 52, 42), sides=20)


def vase(random: np.random.Generator, color: np.ndarray, *, height: float) -> Mesh:
    """A bottle or vase with a random outline."""
    z = np.linspace(0, height, 12)
    share = z / height
    wide = random.uniform(0.16, 0.34) * height
    neck = random.uniform(0.25, 0.75)
    radius = wide * (
        neck + (1 - neck) * np.sin(np.pi * np.clip(share * random.uniform(0.9, 1.25), 0, 1)) ** random.uniform(0.6, 1.5)
    )
    return lathe([(0, 0), *zip(radius, z, strict=True)], color, sides=24)


def bowl(radius: float, color: np.ndarray) -> Mesh:
    """A bowl that stands on z = 0."""
    angles = np.linspace(-1.35, 0, 8)
    outside = [(radius * np.cos(a), 0.6 * radius * (1 + np.sin(a))) for a in angles]
    return lathe(
        [
            (0, outside[0][1]),
            *outside,
            (0.93 * radius, 0.6 * radius),
            (0.5 * radius, 0.12 * radius),
            (0, 0.08 * radius),
        ],
        color,
    )


def fruit(random: np.random.Generator) -> Mesh:
    """An apple, orange, lemon or plum that lies on z = 0."""
    color, radius, flat = [
        ((176, 40, 34), 0.038, 0.9),
        ((206, 120, 34), 0.04, 0.95),
        ((206, 184, 60), 0.032, 1.15),
        ((84, 50, 80), 0.026, 1.0),
        ((140, 160, 60), 0.038, 0.92),
    ][int(random.integers(5))]
    return ball(radius, linear(*color), flat=flat).moved((0, 0, radius * flat))


def books(random: np.random.Generator, *, width: float, height: float = 0.24) -> Mesh:
    """Books side by side along x, standing on z = 0, their backs to -y."""
    parts, x = [], 0.0
    while x < width:
        thick, tall = random.uniform(0.016, 0.045), height * random.uniform(0.7, 1.0)
        color = linear(*SPINES[int(random.integers(len(SPINES)))]) * np.exp(random.normal(0, 0.2))
        parts.append(
            box((thick * 0.95, 0.16, tall), color.clip(0, 0.8), center=(x + thick / 2 - width / 2, 0, tall / 2))
        )
        x += thick
    return merge(parts)


def pile(random: np.random.Generator) -> Mesh:
    """Books on top of each other."""
    parts, z = [], 0.0
    for _ in range(int(random.integers(2, 5))):
        thick = random.uniform(0.018, 0.04)
        color = linear(*SPINES[int(random.integers(len(SPINES)))]).clip(0, 0.8)
        parts.append(box((0.22, 0.16, thick), color).turned(random.normal(0, 0.2)).moved((0, 0, z + thick / 2)))
        z += thick
    return merge(parts)


def picture_frame(random: np.random.Generator, *, width: float, height: float) -> Mesh:
    """A framed picture on a wall at y = 0, with blocks of colour for its subject."""
    frame = box(
        (width, 0.025, height), linear(*((60, 46, 36), (214, 208, 196), (150, 120, 76))[int(random.integers(3))])
    )
    paper = box((0.86 * width, 0.02, 0.84 * height), linear(222, 216, 204), center=(0, -0.006, 0))
    parts = [frame, paper]
    for _ in range(int(random.integers(2, 5))):
        size = random.uniform(0.15, 0.55, 2) * [width, height]
        at = random.uniform(-0.18, 0.18, 2) * [width, height]
        color = linear(*SPINES[int(random.integers(len(SPINES)))]).clip(0, 0.7)
        parts.append(box((size[0], 0.01, size[1]), color, center=(at[0], -0.014 - 0.001 * len(parts), at[1])))
    return merge(parts)


def table(*, width: float, depth: float, color: np.ndarray) -> Mesh:
    """A table whose top is at z = 0."""
    legs = [
        box((0.06, 0.06, 0.72), color * 0.9, center=(x * (width / 2 - 0.06), y * (depth / 2 - 0.06), -0.4))
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    return merge([box((width, depth, 0.035), color, center=(0, 0, -0.0175)), *legs])


def chair(color: np.ndarray) -> Mesh:
    """A chair that stands on z = 0 and looks to -y."""
    legs = [box((0.04, 0.04, 0.45), color, center=(x, y, 0.22)) for x in (-0.19, 0.19) for y in (-0.19, 0.19)]
    back = [box((0.04, 0.04, 0.5), color, center=(x, 0.2, 0.7)) for x in (-0.19, -0.06, 0.06, 0.19)]
    return merge(
        [
            box((0.44, 0.44, 0.03), color, center=(0, 0, 0.46)),
            *legs,
            *back,
            box((0.44, 0.04, 0.1), color, center=(0, 0.2, 0.94)),
        ]
    )


def mug(color: np.ndarray) -> Mesh:
    """A cup without its handle."""
    return merge([cylinder(0.04, 0.095, color), lathe([(0.036, 0.096), (0.034, 0.08), (0, 0.08)], linear(60, 40, 28))])
