"""Walls of houses, close: signs, windows, flower boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.kinds.outdoors import looking
from data.simulated.shapes.buildings import WALLS, facade
from data.simulated.shapes.fabrics import pivot
from data.simulated.shapes.flowers import flowers, fluttering
from data.simulated.shapes.foliage import LeafShape, leaves
from data.simulated.shapes.furnishing import SPINES
from data.simulated.shapes.mesh import UP, box, grids, linear, merge, tinted, unit
from data.simulated.shapes.nodes import Nodes, still_nodes
from data.simulated.shapes.solids import attached
from data.simulated.shapes.species import SPECIES
from data.simulated.shapes.surroundings import greens


def hanging_sign(random: np.random.Generator) -> Scene:
    """A sign that hangs from a bar at a house, and often a lantern or flowers beside it."""
    scene = looking(
        random,
        height=(1.5, 1.9),
        distance=float(random.uniform(2.2, 3.6)),
        aim=2.25,
        lens=(35, 60),
        fstop=(2.0, 11.0),
        extent=2.0,
        amplitude=(1.8, 0.5),
    )
    surface = materials.BRICK if random.uniform() < 0.5 else materials.PLASTER
    scene.add(facade(random).moved((0, 0.5, 0)), surface, smooth=False)
    _window(scene, random, x=float(random.choice([-1, 1]) * random.uniform(1.0, 1.5)), y=0.5)
    x = float(random.normal(0, 0.25))
    iron = linear(46, 46, 46)
    scene.add(box((0.03, 0.75, 0.03), iron, center=(x, 0.12, 2.75)), materials.METAL, smooth=False)
    scene.add(box((0.025, 0.6, 0.02), iron, center=(x, 0.2, 2.62)), materials.METAL, smooth=False)
    node = pivot(
        np.array([x, -0.05, 2.73]), 0.4, scene.oscillators, random, angle=0.08, axis=np.array([0.3, 1.0, 0]), twist=0.05
    )
    color = linear(*SPINES[int(random.integers(len(SPINES)))])
    wide, high = float(random.uniform(0.5, 0.8)), float(random.uniform(0.3, 0.5))
    board = [box((wide, 0.035, high), color)]
    board += [box((0.86 * wide, 0.04, 0.78 * high), linear(214, 204, 176))]
    for line in range(int(random.integers(1, 4))):
        span = wide * random.uniform(0.3, 0.7)
        board.append(box((span, 0.046, 0.035), color * 0.7, center=(0, 0, 0.2 * high - line * 0.2 * high)))
    turned = merge(board).turned(float(random.normal(0, 0.35))).moved((x, -0.05, 2.55 - high / 2))
    links = [box((0.008, 0.008, 0.2), iron, center=(x + s * 0.4 * wide, -0.05, 2.64)) for s in (-1, 1)]
    scene.add(attached(turned, node), materials.PAINT, smooth=False)
    scene.add(attached(merge(links), node), materials.METAL, smooth=False)
    scene.add(
        grids(np.array([[[-9, -9, 0], [9, -9, 0]], [[-9, 1, 0], [9, 1, 0]]], float)[None], linear(120, 116, 110)),
        materials.STONE,
    )
    return scene


def _window(scene: Scene, random: np.random.Generator, *, x: float, y: float) -> None:
    frame = linear(*((226, 222, 212), (84, 66, 52), (66, 84, 80))[int(random.integers(3))])
    bars = [box((1.1, 0.08, 0.08), frame, center=(x, y - 0.03, z)) for z in (1.2, 2.6)]
    bars += [box((0.08, 0.08, 1.4), frame, center=(x + s, y - 0.03, 1.9)) for s in (-0.53, 0, 0.53)]
    scene.add(merge(bars), materials.PAINT, smooth=False)
    scene.add(box((1.05, 0.04, 1.4), linear(50, 58, 64), center=(x, y - 0.01, 1.9)), materials.GLASS, smooth=False)


def window_box(random: np.random.Generator) -> Scene:
    """A window with a box of flowers below it."""
    scene = looking(
        random,
        height=(1.5, 1.9),
        distance=float(random.uniform(1.6, 2.6)),
        aim=1.38,
        lens=(35, 60),
        fstop=(2.8, 16.0),
        extent=1.5,
        amplitude=(1.4, 0.5),
    )
    surface = materials.BRICK if random.uniform() < 0.4 else materials.PLASTER
    scene.add(facade(random).moved((0, 0.12, 0)), surface, smooth=False)
    _window(scene, random, x=0.0, y=0.1)
    wood = linear(*((120, 84, 58), (206, 202, 192), (86, 96, 92))[int(random.integers(3))])
    scene.add(box((1.3, 0.22, 0.2), wood, center=(0, -0.06, 1.06)), materials.WOOD, smooth=False)
    name = str(random.choice(["daisy", "marguerite", "cosmos", "buttercup", "peony", "cornflower"]))
    fill_with_flowers(scene, random, name, still_nodes(_row(random, 22, wide=1.2, y=-0.06, z=1.14)), grown=0.4)
    return scene


def _row(random: np.random.Generator, count: int, *, wide: float, y: float, z: float) -> np.ndarray:
    return np.stack(
        [random.uniform(-0.5, 0.5, count) * wide, y + random.uniform(-0.07, 0.07, count), np.full(count, z)], axis=1
    )


def fill_with_flowers(scene: Scene, random: np.random.Generator, name: str, roots: Nodes, *, grown: float) -> None:
    """Short flowers and hanging leaves at nodes."""
    species = replace(SPECIES[name], leaf=0.05, leaves=7)
    heights = grown * species.stem * np.exp(random.normal(0, 0.2, len(roots)))
    facing = np.array([0, -1.0, 0.4])
    for part, mesh in flowers(species, roots, heights, scene.oscillators, random, lean=0.55, facing=facing).items():
        scene.add(mesh, {"petals": materials.PETAL, "hearts": materials.HEART}.get(part, materials.LEAF))
    which = np.repeat(np.arange(len(roots)), 16)
    out = unit(random.normal(size=(len(which), 3)) * [1, 1, 0.3] + np.array([0, -0.5, 0]))
    offset = out * random.uniform(0.01, 0.14, (len(which), 1)) - UP * random.uniform(-0.06, 0.16, (len(which), 1))
    flutter = fluttering(scene.oscillators, roots.position[which] + offset, random, angle=0.12)
    colors = tinted(greens("summer", random), len(which), random, spread=0.2)
    mesh = leaves(
        roots[which],
        out,
        unit(random.normal(0, 0.4, out.shape) + np.array([0, -0.5, 1.0])),
        np.full(len(which), 0.05),
        colors,
        random,
        shape=LeafShape(outline="ovate", width=0.42),
        flutter=flutter,
        offset=offset,
    )
    scene.add(mesh, materials.LEAF)


def walls(random: np.random.Generator) -> Scene:
    """A wall with windows or a door, close; nothing moves."""
    scene = looking(random, height=(1.4, 1.8), distance=float(random.uniform(2.0, 4.5)), aim=1.6, lens=(28, 50))
    surface = materials.BRICK if random.uniform() < 0.6 else materials.PLASTER
    if random.uniform() < 0.3:
        surface = replace(
            materials.STONE,
            pattern="cells",
            pattern_size=(3.2, 3.2),
            pattern_gap=0.09,
            pattern_contrast=0.7,
            pattern_color=(0.2, 0.19, 0.17),
        )
    color = linear(*WALLS[int(random.integers(len(WALLS)))])
    mesh = facade(random)
    scene.add(replace(mesh, colors=np.broadcast_to(color, mesh.colors.shape).astype(np.float32)), surface, smooth=False)
    for x in (-1.9, 0.2, 2.1):
        if random.uniform() < 0.6:
            _window(scene, random, x=x + float(random.normal(0, 0.1)), y=0.0)
    scene.add(
        grids(np.array([[[-9, -9, 0], [9, -9, 0]], [[-9, 0, 0], [9, 0, 0]]], float)[None], linear(128, 122, 114)),
        materials.STONE,
    )
    return scene
