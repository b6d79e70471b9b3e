"""What is around: ground, hills, hedges and foliage far away."""

from __future__ import annotations

import numpy as np

from data.simulated.shapes.foliage import LeafShape, crosswise, leaves, swaying
from data.simulated.shapes.mesh import UP, Mesh, grids, linear, tinted, unit
from data.simulated.shapes.nodes import BRANCH, STEM, Nodes, still_nodes
from data.simulated.wind import Oscillators


def ground(color: np.ndarray, random: np.random.Generator, *, reach: float = 500.0, rough: float = 0.03) -> Mesh:
    """An uneven plane around the origin, finer near it."""
    steps = np.sign(np.linspace(-1, 1, 61)) * np.abs(np.linspace(-1, 1, 61)) ** 3.2 * reach
    x, y = np.meshgrid(steps, steps, indexing="ij")
    far = np.hypot(x, y)
    z = random.normal(0, rough, x.shape) * np.minimum(1 + far * 0.2, 12) * (far > 0.4)
    points = np.stack([x, y, z], axis=-1)
    shades = color * np.exp(random.normal(0, 0.08, (*x.shape, 1)))
    return grids(points[None], shades[None])


def hills(random: np.random.Generator, color: np.ndarray, *, distance: float, height: float, haze: np.ndarray) -> Mesh:
    """A range of hills all around, in front of the sky; ``haze`` [3] is the colour that the air gives it."""
    angles = np.linspace(0, 2 * np.pi, 181)
    profile = sum(
        random.uniform(0.3, 1.0) / n * np.sin(n * angles + random.uniform(0, 6.3)) for n in (2, 3, 5, 8, 13, 21, 34)
    )
    top = height * (1 + 0.6 * np.asarray(profile))
    rise = np.array([-0.05, 0.4, 0.8, 1.0])
    depth = distance * np.array([1.0, 1.05, 1.12, 1.2])
    points = np.stack(
        [
            depth[:, None] * np.cos(angles),
            depth[:, None] * np.sin(angles),
            rise[:, None] * np.maximum(top, 0.1 * height),
        ],
        axis=-1,
    )
    return grids(points[None], 0.45 * color + 0.55 * haze)


def foliage_cloud(
    centers: np.ndarray,
    radii: np.ndarray,
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    count: int,
    size: float,
    color: np.ndarray,
    sway: float = 0.02,
    shape: LeafShape | None = None,
    spread: float = 0.2,
) -> Mesh:
    """Masses of leaves: bushes, hedges and crowns far away, each of which sways about its foot.

    Args:
        centers, radii: [N, 3], ellipsoids.
        count: leaves of each.
        size: of a leaf, metres.
        sway: displacement of the top as a share of its height, for a unit of the oscillator.
    """
    number = len(centers)
    foot = centers - radii * [0, 0, 1]
    modes = swaying(oscillators, centers, random, frequency=0.7, damping=0.15)
    clumps = 14
    directions = unit(random.normal(size=(number, clumps, 3)) + 0.25 * UP)
    places = centers[:, None] + radii[:, None] * directions * random.uniform(0.55, 0.95, (number, clumps, 1))
    which = np.repeat(np.arange(number), count)
    clump = random.integers(0, clumps, len(which))
    own = swaying(oscillators, places.reshape(-1, 3), random, frequency=1.3, damping=0.15)
    offset = random.normal(size=(len(which), 3)) * 0.26 * radii[which]
    points = places[which, clump] + offset
    height = np.maximum(points[:, 2] - foot[which, 2], 0)
    top = np.maximum(2 * radii[which, 2], 1e-3)
    nodes = still_nodes(points)
    across, twigs = crosswise(number, random)[which], crosswise(len(which), random)
    for place in range(2):
        nodes.modes[:, STEM + place] = modes[which, place]
        reach = sway * top * (height / top) ** 1.5
        nodes.translation[:, STEM + place] = reach[:, None] * across[:, place]
        nodes.modes[:, BRANCH + place] = own[which * clumps + clump, place]
        nodes.translation[:, BRANCH + place] = 0.012 * top[:, None] * twigs[:, place]
    outward = unit((points - centers[which]) / radii[which] ** 2)
    axes = outward + 0.8 * random.normal(size=points.shape) - 0.4 * UP
    normals = outward + 0.6 * random.normal(size=points.shape) + 0.5 * UP
    inner = np.clip(np.linalg.norm((points - centers[which]) / radii[which], axis=1), 0.25, 1.1)
    colors = tinted(color, len(points), random, spread=spread) * (0.35 + 0.65 * inner)[:, None]
    colors = colors * np.exp(random.normal(0, 0.12, (number, 3)))[which]
    lengths = size * np.exp(random.normal(0, 0.3, len(points)))
    shape = shape or LeafShape(outline="ovate", width=0.4, across=2, fold=0.0)
    return leaves(
        Nodes(nodes.position, nodes.modes, nodes.translation, nodes.rotation),
        axes,
        normals,
        lengths,
        colors,
        random,
        shape=shape,
    )


def greens(season: str, random: np.random.Generator) -> np.ndarray:
    """A leaf colour of the season, linear light."""
    table = {
        "spring": ((118, 146, 62), (134, 158, 76), (104, 138, 66)),
        "summer": ((70, 96, 44), (84, 108, 50), (60, 88, 48), (96, 112, 60)),
        "autumn": ((176, 112, 40), (186, 140, 52), (148, 74, 38), (126, 118, 52), (160, 58, 40)),
        "winter": ((92, 90, 62), (104, 92, 66), (78, 84, 62)),
    }
    choices = table[season]
    return linear(*choices[int(random.integers(len(choices)))]) * np.exp(random.normal(0, 0.1))


def draw_season(random: np.random.Generator) -> str:
    """A season, summer most often."""
    return str(random.choice(["spring", "summer", "autumn", "winter"], p=[0.27, 0.43, 0.2, 0.1]))
