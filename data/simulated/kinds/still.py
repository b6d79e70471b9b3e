"""Scenes in which nothing moves: rocks, still water, courtyards, still lifes, furniture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.kinds.outdoors import looking
from data.simulated.kinds.rooms import WOODS, clutter, room
from data.simulated.shapes.buildings import bench, bollard
from data.simulated.shapes.furnishing import books, chair
from data.simulated.shapes.mesh import box, grids, linear
from data.simulated.shapes.solids import ball, cylinder, lathe, rock
from data.simulated.shapes.surroundings import greens, ground, hills

STONES = ((142, 134, 122), (120, 116, 112), (164, 148, 124), (104, 96, 88), (150, 146, 144))


def rocks(random: np.random.Generator) -> Scene:
    """Rocks and pebbles on bare ground, hills behind."""
    scene = looking(random, height=(0.7, 1.7), distance=float(random.uniform(2.5, 6)), aim=0.4, lens=(26, 50))
    color = linear(*STONES[int(random.integers(len(STONES)))])
    scene.add(ground(color * 0.9, random, rough=0.05), pebbles(random))
    for _ in range(int(random.integers(6, 22))):
        size = float(np.exp(random.normal(-0.9, 0.6)))
        spot = (float(random.normal(0, 2.2)), float(random.uniform(-1.2, 7)), 0.12 * size)
        stone = rock(size * random.uniform(0.6, 1.2, 3) * [1, 1, 0.7], color * np.exp(random.normal(0, 0.2)), random)
        scene.add(stone.moved(spot), materials.STONE)
    _ranges(scene, random)
    return scene


def pebbles(random: np.random.Generator):
    """A surface of small stones, sand or earth."""
    fine = float(random.uniform(4, 16))
    if random.uniform() < 0.3:
        return materials.EARTH
    return replace(
        materials.STONE,
        pattern="cells",
        pattern_size=(fine, fine),
        pattern_gap=0.12,
        pattern_contrast=0.8,
        pattern_color=(0.07, 0.065, 0.06),
        bump=0.8,
    )


def _ranges(scene: Scene, random: np.random.Generator) -> None:
    haze = linear(186, 196, 206) * 0.9
    for distance, height in ((900.0, random.uniform(60, 160)), (400.0, random.uniform(8, 40))):
        color = 0.5 * greens(scene.season, random) + 0.5 * linear(110, 104, 96)
        share = haze * (0.1 + 0.8 * scene.haze + 0.15 * (distance > 500))
        scene.add(hills(random, color, distance=distance, height=float(height), haze=share), materials.FAR_LEAF)


def lake(random: np.random.Generator) -> Scene:
    """Still water with hills behind it and stones at the shore."""
    scene = looking(random, height=(1.0, 2.5), distance=6.0, aim=float(random.uniform(0.6, 1.4)), lens=(24, 40))
    water = grids(
        np.array([[[-900, -60, 0], [900, -60, 0]], [[-900, 900, 0], [900, 900, 0]]], float)[None], linear(44, 58, 62)
    )
    scene.add(water, materials.WATER, smooth=False)
    color = linear(*STONES[int(random.integers(len(STONES)))])
    for _ in range(int(random.integers(4, 16))):
        size = float(np.exp(random.normal(-1.2, 0.5)))
        stone = rock(size * random.uniform(0.6, 1.3, 3) * [1, 1, 0.6], color * np.exp(random.normal(0, 0.2)), random)
        scene.add(
            stone.moved((float(random.normal(0, 2.5)), float(random.uniform(-3.5, 3)), 0.05 * size)), materials.STONE
        )
    if random.uniform() < 0.5:
        wood = linear(120, 104, 86)
        planks = [
            box((1.4, 0.17, 0.04), wood * np.exp(random.normal(0, 0.15)), center=(0, 0.2 * n, 0.35)) for n in range(22)
        ]
        offset = (float(random.uniform(-2, 2)), -4.0, 0.0)
        for plank in planks:
            scene.add(plank.moved(offset), materials.WOOD, smooth=False)
        for n in range(0, 22, 5):
            for s in (-0.62, 0.62):
                scene.add(
                    cylinder(0.07, 0.9, wood * 0.8).moved((offset[0] + s, offset[1] + 0.2 * n, -0.3)), materials.WOOD
                )
    _ranges(scene, random)
    return scene


def courtyard(random: np.random.Generator) -> Scene:
    """Paving, steps, pots without plants, a column or a bench."""
    scene = looking(random, height=(1.3, 1.8), distance=float(random.uniform(3, 6)), aim=0.8, lens=(26, 45))
    color = linear(*STONES[int(random.integers(len(STONES)))])
    size = float(random.uniform(0.25, 0.7))
    paving = replace(
        materials.BRICK,
        pattern_size=(size, size * float(random.choice([0.5, 1.0]))),
        pattern_color=(0.14, 0.13, 0.12),
        pattern_offset=float(random.choice([0.0, 0.5])),
        pattern_contrast=0.8,
    )
    floor = grids(np.array([[[-12, -9, 0], [12, -9, 0]], [[-12, 8, 0], [12, 8, 0]]], float)[None], color)
    scene.add(replace(floor, uvs=floor.vertices[:, :2].copy()), paving, smooth=False)
    for n in range(int(random.integers(2, 7))):
        scene.add(
            box((14, 4.0, 0.17), color * 1.05, center=(0, 4.2 + 0.36 * n, 0.085 + 0.17 * n)),
            materials.STONE,
            smooth=False,
        )
    wall = replace(materials.BRICK if random.uniform() < 0.5 else materials.PLASTER)
    scene.add(
        box((24, 0.4, float(random.uniform(2.2, 5))), linear(176, 160, 136), center=(0, 6.8, 1.5)), wall, smooth=False
    )
    for _ in range(int(random.integers(2, 6))):
        spot = (float(random.uniform(-2.6, 2.6)), float(random.uniform(-0.5, 2.0)), 0.0)
        kind = str(random.choice(["column", "bench", "ball", "urn", "bollard"]))
        if kind == "bench":
            for name, mesh in bench().items():
                scene.add(mesh.moved(spot), materials.WOOD if name == "wood" else materials.METAL, smooth=False)
        elif kind == "bollard":
            scene.add(bollard().moved(spot), materials.STONE)
        elif kind == "ball":
            scene.add(ball(0.35, color).moved((spot[0], spot[1], 0.33)), materials.STONE)
        elif kind == "urn":
            outline = [
                (0, 0),
                (0.25, 0),
                (0.12, 0.12),
                (0.14, 0.3),
                (0.36, 0.62),
                (0.4, 0.8),
                (0.32, 0.86),
                (0.25, 0.8),
            ]
            scene.add(lathe(outline, linear(168, 112, 84), sides=24).moved(spot), materials.CLAY)
        else:
            scene.add(cylinder(0.22, 2.6, color, sides=22).moved(spot), materials.STONE)
            scene.add(box((0.65, 0.65, 0.2), color).moved((spot[0], spot[1], 0.1)), materials.STONE, smooth=False)
    return scene


def still_life(random: np.random.Generator) -> Scene:
    """Bowls, fruit, books and cups on a table; nothing moves."""
    scene = room(random, distance=float(random.uniform(0.9, 1.6)), aim=0.12, lens=(35, 60))
    clutter(scene, random, int(random.integers(5, 11)), keep=0.0)
    return scene


def furniture(random: np.random.Generator) -> Scene:
    """A room with chairs and shelves; nothing moves."""
    scene = room(
        random, distance=float(random.uniform(2.4, 3.6)), aim=0.1, lens=(24, 35), back=float(random.uniform(1.2, 2.0))
    )
    floor = grids(
        np.array([[[-5, -4, -0.75], [5, -4, -0.75]], [[-5, 3, -0.75], [5, 3, -0.75]]], float)[None],
        linear(*WOODS[int(random.integers(len(WOODS)))]),
    )
    floor = replace(floor, uvs=floor.vertices[:, :2].copy())
    scene.add(floor, replace(materials.WOOD, pattern_size=(0.4, 5.0)), smooth=False)
    color = linear(*WOODS[int(random.integers(len(WOODS)))])
    for _ in range(int(random.integers(2, 5))):
        spot = (float(random.uniform(-1.6, 1.6)), float(random.choice([-0.75, 0.8])), -0.75)
        scene.add(chair(color).turned(float(random.uniform(-3, 3))).moved(spot), materials.WOOD, smooth=False)
    back = float(scene.things[0].mesh.vertices[0, 1])
    for level in range(int(random.integers(2, 5))):
        z, x = -0.4 + 0.42 * level, float(random.uniform(0.6, 1.0))
        scene.add(box((1.3, 0.24, 0.03), color * 0.9, center=(x, back - 0.12, z)), materials.WOOD, smooth=False)
        scene.add(books(random, width=1.1).moved((x, back - 0.12, z + 0.015)), materials.CLAY, smooth=False)
    clutter(scene, random, int(random.integers(2, 6)), keep=0.0)
    return scene
