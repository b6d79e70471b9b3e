"""Fields: grass, ears of grain, reeds, scattered where the camera sees them."""

from __future__ import annotations

import numpy as np

from data.simulated.camera import SENSOR, Camera
from data.simulated.shapes.foliage import LeafShape, blades, crosswise, curved_paths, leaves, swaying
from data.simulated.shapes.mesh import UP, Mesh, tinted, unit
from data.simulated.shapes.nodes import STEM, Nodes, grow, still_nodes
from data.simulated.wind import Oscillators


def scattered(
    camera: Camera, count: int, random: np.random.Generator, *, near: float, far: float, wider: float = 1.15
) -> np.ndarray:
    """Places [N, 3] on the ground between two distances from the camera, in its view, evenly in the picture."""
    forward = -camera.axes[2] * [1, 1, 0]
    forward = forward / np.linalg.norm(forward)
    right = camera.axes[0]
    depth = 1 / random.uniform(1 / far, 1 / near, count)
    across = random.uniform(-1, 1, count) * wider * SENSOR / 2 / camera.lens * depth
    places = np.asarray(camera.position) + depth[:, None] * forward + across[:, None] * right
    return places * [1, 1, 0]


def tufts(places: np.ndarray, each: int, random: np.random.Generator, *, radius: float) -> np.ndarray:
    """``each`` roots around every place: [N * each, 3]."""
    roots = np.repeat(places, each, axis=0)
    roots[:, :2] += random.normal(0, radius, (len(roots), 2))
    return roots


def grass(
    roots: np.ndarray,
    heights: np.ndarray,
    color: np.ndarray,
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    width: float = 0.004,
    lean: float = 0.3,
    shared: int = 6,
    frequency: float = 1.1,
    steps: int = 5,
    dry: np.ndarray | None = None,
    spread: float = 0.18,
) -> tuple[Mesh, Nodes]:
    """Blades, and their nodes; ``shared`` neighbours in the list sway together.

    Args:
        roots: [N, 3].
        heights: [N].
        width: half width of a blade of ordinary height, metres.
        dry: a second colour, of a part of the blades.
    """
    count = len(roots)
    angle = random.uniform(0, 2 * np.pi, count)
    leans = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    leans = leans * np.abs(random.normal(lean, 0.6 * lean, count))[:, None]
    paths = curved_paths(roots, heights, leans, random, steps=steps, wobble=0.03)
    groups = -(-count // shared)
    modes = swaying(oscillators, roots[::shared], random, frequency=frequency, damping=0.14)
    modes = np.repeat(modes, shared, axis=0)[:count]
    across = np.repeat(crosswise(groups, random), shared, axis=0)[:count]
    tips = 0.18 * heights[:, None] * np.exp(random.normal(0, 0.25, (count, 2)))
    nodes = grow(still_nodes(roots), paths, level=STEM, modes=modes, directions=across, tips=tips)
    colors = tinted(color, count, random, spread=spread)
    if dry is not None:
        share = (random.uniform(size=count) < 0.25)[:, None]
        colors = np.where(share, tinted(dry, count, random), colors)
    facing = random.normal(size=(count, 3)) * [1, 1, 0.1]
    return blades(nodes, steps, width * np.exp(random.normal(0, 0.25, count)), unit(facing), colors), nodes


def ears(
    nodes: Nodes,
    steps: int,
    random: np.random.Generator,
    *,
    color: np.ndarray,
    length: float,
    grains: int,
    size: float,
    opening: float,
    hanging: float = 0.0,
) -> Mesh:
    """Ears or plumes at the ends of blades: ``grains`` small leaves around the last piece of each stem.

    Args:
        length: of an ear, metres.
        size: of a grain.
        opening: radians between the stem and the grains.
        hanging: how far ears bend over, as a share of their length.
    """
    count = len(nodes) // steps
    ends = np.arange(count) * steps + steps - 1
    axis = unit(nodes.position[ends] - nodes.position[ends - 1])
    share = np.tile(np.linspace(0, 1, grains), count)
    which = np.repeat(np.arange(count), grains)
    side = unit(axis[which] * [1, 1, 0] + 1e-3 * random.normal(size=(len(which), 3)))
    bend = hanging * length * share[:, None] ** 2
    offset = (share * length)[:, None] * axis[which] + bend * (side - UP)
    turned = random.normal(size=(len(which), 3))
    around = unit(np.cross(axis[which], turned))
    axes = np.cos(opening) * (axis[which] - 2 * hanging * share[:, None] * [0, 0, 1.0]) + np.sin(opening) * around
    sizes = size * (1 - 0.5 * share) * np.exp(random.normal(0, 0.15, len(which)))
    shape = LeafShape(outline="lanceolate", width=0.22, across=2, fold=0.0, droop=0.1)
    colors = tinted(color, len(which), random, spread=0.15)
    return leaves(nodes[ends[which]], axes, around, sizes, colors, random, shape=shape, offset=offset)
