"""Streets and gardens with houses: trees before them, flags, signs, flower boxes; and streets where nothing moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.kinds.outdoors import far_away, hedge, lawn, looking
from data.simulated.kinds.woods import put_tree
from data.simulated.shapes.buildings import bench, bollard, car, fence, house, lamp_post
from data.simulated.shapes.mesh import box, grids, linear

CARS = ((150, 30, 30), (40, 60, 96), (206, 206, 202), (60, 62, 66), (120, 126, 130), (70, 92, 80), (190, 180, 150))


def put_house(
    scene: Scene, random: np.random.Generator, place: np.ndarray, *, turn: float = 0.0, width: float = 9.0
) -> None:
    """A house with its front to the camera."""
    built = house(random, width=width, depth=float(random.uniform(6, 9)), floors=int(random.choice([1, 2, 2, 3])))
    surface = materials.PLASTER if random.uniform() < 0.65 else materials.BRICK
    roof = replace(
        materials.BRICK, pattern_size=(0.3, 0.22), pattern_color=(0.05, 0.04, 0.04), pattern_gap=0.015, noise=0.3
    )
    parts = (
        (built.walls, surface),
        (built.roof, roof),
        (built.frames, materials.PAINT),
        (built.panes, materials.GLASS),
    )
    for mesh, material in parts:
        scene.add(mesh.turned(turn).moved(place), material, smooth=False)


def street(scene: Scene, random: np.random.Generator, *, depth: float) -> None:
    """A road along x, a pavement behind it, and houses side by side at ``depth``."""
    far = [[-80, -30, 0], [80, -30, 0]], [[-80, depth - 2.5, 0], [80, depth - 2.5, 0]]
    road = grids(np.array(far, float)[None], linear(92, 92, 94) * np.exp(random.normal(0, 0.2)))
    scene.add(road, replace(materials.STONE, noise=0.3, noise_scale=(5, 5, 5), bump=0.2), smooth=False)
    walk = box((160, 2.6, 0.14), linear(142, 138, 130), center=(0, depth - 1.3, 0.07))
    tiles = replace(
        materials.BRICK,
        pattern_size=(0.5, 0.5),
        pattern_color=(0.2, 0.2, 0.19),
        pattern_offset=0.0,
        pattern_contrast=0.9,
    )
    scene.add(walk, tiles, smooth=False)
    x = -26.0
    while x < 26:
        width = float(random.uniform(6, 11))
        put_house(scene, random, np.array([x + width / 2, depth + 4 + random.uniform(0, 1), 0]), width=width)
        x += width + (float(random.uniform(0.5, 4)) if random.uniform() < 0.4 else 0.02)
    if random.uniform() < 0.7:
        for spot in np.arange(-18, 19, float(random.uniform(9, 14))):
            scene.add(lamp_post().moved((float(spot + random.normal(0, 0.3)), depth - 2.2, 0)), materials.METAL)


def park_cars(scene: Scene, random: np.random.Generator, *, y: float, count: int) -> None:
    """Cars beside the pavement."""
    spots = np.arange(-3, 4) * 5.4 + random.normal(0, 0.5, 7)
    for x in random.choice(spots, count, replace=False):
        parts = car(linear(*CARS[int(random.integers(len(CARS)))]))
        for name, mesh in parts.items():
            material = {"body": replace(materials.PAINT, roughness=0.22), "glass": materials.GLASS}.get(
                name, materials.CLAY
            )
            scene.add(mesh.turned(float(random.choice([0, np.pi]))).moved((x, y, 0)), material)


def street_trees(random: np.random.Generator) -> Scene:
    """Trees along a street, in front of houses and parked cars."""
    depth = 9.0
    scene = looking(
        random,
        height=(1.5, 2.6),
        distance=float(random.uniform(9, 15)),
        aim=float(random.uniform(2.4, 3.4)),
        lens=(26, 40),
        extent=12.0,
        amplitude=(1.0, 0.5),
    )
    street(scene, random, depth=depth)
    name = str(random.choice(["lime", "maple", "birch", "oak"]))
    for x in np.array([-9.5, -0.6, 8.5]) + random.normal(0, 1.6, 3):
        if random.uniform() < 0.75 or x == 0:
            put_tree(
                scene,
                name,
                np.array([x, depth - 3.4, 0]),
                float(random.uniform(4.5, 7.5)),
                random,
                share=0.7,
                size=1.15,
            )
    park_cars(scene, random, y=depth - 4.6, count=int(random.integers(0, 4)))
    return scene


def houses(random: np.random.Generator) -> Scene:
    """Houses along a street; nothing moves."""
    scene = looking(
        random,
        height=(1.5, 3.5),
        distance=float(random.uniform(7, 15)),
        aim=float(random.uniform(2.0, 4.0)),
        lens=(24, 45),
    )
    street(scene, random, depth=8.0)
    if random.uniform() < 0.5:
        scene.add(fence(random, length=40.0).moved((0, 5.3, 0)), materials.WOOD, smooth=False)
    return scene


def parked_cars(random: np.random.Generator) -> Scene:
    """Parked cars before houses; nothing moves."""
    scene = looking(random, height=(1.2, 1.9), distance=float(random.uniform(4.5, 9)), aim=0.9, lens=(28, 50))
    street(scene, random, depth=7.0)
    park_cars(scene, random, y=2.4, count=int(random.integers(2, 5)))
    for x in np.arange(-8, 9, 2.7):
        scene.add(bollard().moved((float(x), 4.6, 0.1)), materials.STONE)
    return scene


def garden_house(random: np.random.Generator) -> Scene:
    """A house behind a hedge and a bush, with a fence and a bench."""
    scene = looking(
        random,
        height=(1.4, 2.0),
        distance=float(random.uniform(6, 10)),
        aim=1.7,
        lens=(28, 45),
        extent=8.0,
        amplitude=(1.1, 0.5),
    )
    lawn(scene, random)
    put_house(scene, random, np.array([random.uniform(-3, 3), 11, 0]), turn=float(random.normal(0, 0.25)))
    hedge(scene, random, distance=float(random.uniform(2.5, 4.5)), height=float(random.uniform(0.8, 1.4)))
    if random.uniform() < 0.6:
        scene.add(fence(random, length=26.0).moved((0, 1.6, 0)), materials.WOOD, smooth=False)
    if random.uniform() < 0.5:
        spot = (float(random.uniform(-2, 2)), 0.6, 0.0)
        for name, mesh in bench().items():
            scene.add(mesh.moved(spot), materials.WOOD if name == "wood" else materials.METAL, smooth=False)
    x = float(random.choice([-1, 1]) * random.uniform(2.2, 3.4))
    kind = str(random.choice(["lime", "birch", "maple", "fir"]))
    put_tree(
        scene,
        kind,
        np.array([x, 2.0, 0]),
        float(random.uniform(3.5, 5.5)),
        random,
        share=0.7,
        size=1.1,
        blooming=scene.season == "spring" and kind != "fir",
    )
    far_away(scene, random, near=30.0)
    return scene
