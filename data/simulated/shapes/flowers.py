"""Flowers: stems with leaves, and heads that turn as one piece."""

from __future__ import annotations

import numpy as np

from data.simulated.shapes.foliage import crosswise, curved_paths, leaves, swaying, tubes
from data.simulated.shapes.mesh import Mesh, grids, linear, sideways, tinted, unit
from data.simulated.shapes.nodes import STEM, Nodes, grow, still_nodes
from data.simulated.shapes.species import Species
from data.simulated.wind import Oscillators


def flowers(
    species: Species,
    roots: Nodes | np.ndarray,
    heights: np.ndarray,
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    frequency: float = 0.9,
    lean: float = 0.15,
    facing: np.ndarray | None = None,
) -> dict[str, Mesh]:
    """N flowers: meshes ``stems``, ``leaves`` and ``petals``, ``hearts``.

    Args:
        roots: where they grow, nodes or [N, 3].
        heights: [N], of the stems in metres.
        facing: horizontal vector [3] that heads turn to, such as the light; any direction by default.
    """
    roots = roots if isinstance(roots, Nodes) else still_nodes(roots)
    count, steps = len(roots), 7
    leans = lean * np.concatenate([random.normal(size=(count, 2)), np.zeros((count, 1))], axis=1)
    paths = curved_paths(roots.position, heights, leans, random, steps=steps)
    modes = swaying(oscillators, roots.position, random, frequency=frequency, damping=0.12)
    tips = 0.12 * heights[:, None] * np.exp(random.normal(0, 0.25, (count, 1))) * np.array([[1.0, 0.8]])
    nodes = grow(roots, paths, level=STEM, modes=modes, directions=crosswise(count, random), tips=tips)
    green = tinted(linear(92, 120, 58), count, random, spread=0.15)
    radii = species.stem_radius * (heights / species.stem)[:, None] ** 0.5 * np.linspace(1.2, 0.75, steps)
    found = {"stems": tubes(nodes, steps, np.broadcast_to(radii, (count, steps)), green)}
    found["leaves"] = _stem_leaves(species, nodes, steps, heights, green, oscillators, random)
    found |= _heads(species, nodes, steps, heights, random, facing)
    return found


def _stem_leaves(
    species: Species,
    nodes: Nodes,
    steps: int,
    heights: np.ndarray,
    green: np.ndarray,
    oscillators: Oscillators,
    random: np.random.Generator,
) -> Mesh:
    count = len(heights)
    total = count * species.leaves
    plant = np.repeat(np.arange(count), species.leaves)
    level = np.minimum(random.integers(0, steps - 2, total), random.integers(0, steps - 1, total))
    at = nodes[plant * steps + level]
    angle = random.uniform(0, 2 * np.pi, total)
    rise = random.uniform(0.3, 1.2, total)
    axes = np.stack([np.cos(angle), np.sin(angle), rise], axis=1)
    sizes = species.leaf * (heights[plant] / species.stem) ** 0.6 * np.exp(random.normal(0, 0.25, total))
    up = np.broadcast_to([0, 0, 1.0], axes.shape)
    flutter = fluttering(oscillators, at.position, random, angle=0.06)
    colors = tinted(np.ones(3), total, random, spread=0.12) * green[plant]
    return leaves(at, axes, up, sizes, colors, random, shape=species.leaf_shape, flutter=flutter)


def fluttering(
    oscillators: Oscillators, places: np.ndarray, random: np.random.Generator, *, angle: float, frequency: float = 2.2
) -> tuple[np.ndarray, np.ndarray, float]:
    """What :func:`leaves` takes as ``flutter``: two fast oscillators a leaf."""
    pairs = swaying(oscillators, places, random, frequency=frequency, damping=0.15, spread=0.3)
    return pairs[:, 0], pairs[:, 1], angle


def _heads(
    species: Species,
    nodes: Nodes,
    steps: int,
    heights: np.ndarray,
    random: np.random.Generator,
    facing: np.ndarray | None,
) -> dict[str, Mesh]:
    count = len(heights)
    ends = nodes[np.arange(count) * steps + steps - 1]
    before = nodes[np.arange(count) * steps + steps - 2]
    axis = unit(ends.position - before.position)
    scale = (heights / species.stem) ** 0.35 * np.exp(random.normal(0, 0.12, count))
    colors = np.stack([linear(*color) for color in species.colors])[random.integers(0, len(species.colors), count)]
    if species.spike:
        place = np.repeat(np.arange(count), species.spike)
        share = random.uniform(0.0, 1.0, len(place)) * 0.45
        at = nodes[place * steps + steps - 1]
        offset = -(share * heights[place])[:, None] * axis[place]
        angle = random.uniform(0, 2 * np.pi, len(place))
        out = np.stack([np.cos(angle), np.sin(angle), np.full(len(place), 0.6)], axis=1)
        size = scale[place] * (0.45 + 1.2 * share)
        return {"petals": rosette(species, at, out, size, colors[place], random, offset=offset)}
    sideward = (
        random.normal(size=(count, 3)) * [1, 1, 0.2]
        if facing is None
        else facing + 0.35 * random.normal(size=(count, 3))
    )
    looks = unit(np.cos(species.nod) * axis + np.sin(species.nod) * unit(sideward))
    found = {"petals": rosette(species, ends, looks, scale, colors, random)}
    if species.heart:
        found["hearts"] = _hearts(species, ends, looks, scale, random)
    return found


def rosette(
    species: Species,
    nodes: Nodes,
    looks: np.ndarray,
    scale: np.ndarray,
    colors: np.ndarray,
    random: np.random.Generator,
    *,
    offset: np.ndarray | None = None,
) -> Mesh:
    """The petals of N heads around the directions ``looks`` [N, 3]; heads are rigid, so they turn as one piece."""
    count, petals = len(looks), species.petals
    side, up = sideways(looks, np.broadcast_to([0.1, 0.2, 1.0], looks.shape))
    number = np.arange(petals)
    row = number % species.rows
    angle = 2 * np.pi * (number * (0.381966 if species.rows > 1 or petals > 60 else 1 / petals))
    angle = angle + random.uniform(0, 2 * np.pi, (count, 1)) + random.normal(0, 0.06, (count, petals))
    opening = np.broadcast_to(species.opening * (1 - 0.55 * row / species.rows), (count, petals))
    if petals > 60:  # a ball
        opening = np.arccos(np.linspace(0.98, -0.9, petals))[None] + np.zeros((count, 1))
    opening = opening + random.normal(0, 0.09, (count, petals)) + random.normal(0, 0.1, (count, 1))
    around = np.cos(angle)[..., None] * side[:, None] + np.sin(angle)[..., None] * up[:, None]
    axes = np.cos(opening)[..., None] * looks[:, None] + np.sin(opening)[..., None] * around
    normals = np.sin(opening)[..., None] * looks[:, None] - np.cos(opening)[..., None] * around
    start = 0.6 * species.heart * scale[:, None, None] * around
    if offset is not None:
        start = start + offset[:, None]
    repeated = nodes[np.repeat(np.arange(count), petals)]
    sizes = species.length * (scale[:, None] * np.exp(random.normal(0, 0.1, (count, petals)))).ravel()
    shades = colors[:, None] * tinted(np.ones(3), count * petals, random, spread=0.07).reshape(count, petals, 3)
    return leaves(
        repeated,
        axes.reshape(-1, 3),
        normals.reshape(-1, 3),
        sizes,
        shades.reshape(-1, 3).clip(0, 0.9),
        random,
        shape=species.shape,
        offset=start.reshape(-1, 3),
    )


def _hearts(species: Species, nodes: Nodes, looks: np.ndarray, scale: np.ndarray, random: np.random.Generator) -> Mesh:
    """Domes in the middle of the heads."""
    side, up = sideways(looks, np.broadcast_to([0.1, 0.2, 1.0], looks.shape))
    around = 2 * np.pi * np.arange(9) / 9
    rise = np.linspace(0, np.pi / 2, 4)
    radius = species.heart * scale[:, None, None]
    ring = np.cos(around)[:, None] * side[:, None] + np.sin(around)[:, None] * up[:, None]  # [N, 9, 3]
    flat = (radius * np.cos(rise)[None, :, None])[..., None] * ring[:, None]
    high = (radius * species.heart_height * np.sin(rise)[None, :, None])[..., None] * looks[:, None, None]
    points = nodes.position[:, None, None] + flat + high
    modes, gains = nodes.carry(points)
    colors = linear(*species.heart_color) * np.exp(random.normal(0, 0.25, (*points.shape[:3], 1)))
    return grids(points, colors, closed=True, modes=modes, gains=gains)
