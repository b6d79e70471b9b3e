"""Cloth on lines: laundry and pennants."""

from __future__ import annotations

import numpy as np

from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.kinds.outdoors import far_away, hedge, lawn, looking
from data.simulated.kinds.streets import put_house
from data.simulated.kinds.woods import put_tree
from data.simulated.shapes.fabrics import sheet, stripes
from data.simulated.shapes.furnishing import SPINES
from data.simulated.shapes.mesh import Mesh, grids, linear, merge
from data.simulated.shapes.solids import cylinder

CLOTHS = (
    (226, 224, 218),
    (176, 196, 206),
    (206, 170, 160),
    (120, 140, 166),
    (196, 90, 80),
    (226, 206, 150),
    (90, 110, 96),
    (70, 72, 84),
)


def laundry(random: np.random.Generator) -> Scene:
    """Sheets, towels and shirts on a line in a garden."""
    scene = looking(
        random,
        height=(1.3, 1.8),
        distance=float(random.uniform(2.8, 4.5)),
        aim=1.35,
        lens=(28, 50),
        extent=3.0,
        amplitude=(2.8, 0.5),
        fstop=(2.8, 16.0),
    )
    lawn(scene, random)
    x = np.linspace(-4, 4, 41)
    sag = 0.06 * (x / 4) ** 2
    line = np.stack([x, 0 * x, 1.9 + sag], axis=1)
    scene.add(rope(line, linear(206, 200, 186)), materials.FABRIC)
    for post in (-4.0, 4.0):
        scene.add(cylinder(0.04, 2.1, linear(130, 112, 90)).moved((post, 0, 0)), materials.WOOD)
    place = float(random.uniform(-2.4, -1.8))
    while place < 2.2:
        wide, high = float(random.uniform(0.4, 1.1)), float(random.uniform(0.5, 1.15))
        scene.add(_washing(scene, random, place, wide, high), materials.FABRIC)
        place += wide + float(random.uniform(0.04, 0.35))
    behind_garden(scene, random)
    return scene


def behind_garden(scene: Scene, random: np.random.Generator) -> None:
    """A hedge, a house or a tree behind what hangs."""
    if random.uniform() < 0.7:
        hedge(scene, random, distance=float(random.uniform(3, 6)), height=float(random.uniform(0.8, 1.8)))
    if random.uniform() < 0.5:
        put_house(scene, random, np.array([random.uniform(-5, 5), 14, 0]), turn=float(random.normal(0, 0.3)))
    else:
        name = str(random.choice(["lime", "birch", "fir"]))
        put_tree(
            scene,
            name,
            np.array([random.uniform(-3, 3), 8, 0]),
            float(random.uniform(4, 6)),
            random,
            share=0.6,
            size=1.2,
        )
    far_away(scene, random)


def rope(points: np.ndarray, color: np.ndarray, *, radius: float = 0.006) -> Mesh:
    angles = 2 * np.pi * np.arange(5) / 5
    ring = np.stack([0 * angles, np.cos(angles), np.sin(angles)], axis=1) * radius
    return grids((points[:, None] + ring)[None], color, closed=True)


def _washing(scene: Scene, random: np.random.Generator, left: float, wide: float, high: float) -> Mesh:
    rows, columns = 26, 34
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    shirt = random.uniform() < 0.35
    x = left + wide * u
    if shirt:  # narrower below the sleeves
        x = left + wide * (0.5 + (u - 0.5) * np.where(v < 0.28, 1.0, 0.62))
    sag = 0.03 * np.abs(np.sin(2 * np.pi * u)) * (1 - v)
    folds = random.integers(2, 5)
    y = 0.02 * np.sin(2 * np.pi * folds * u + random.uniform(0, 6)) * (0.3 + v) + 0.01 * np.sin(9 * v + 4 * u)
    z = 1.9 + 0.06 * (x / 4) ** 2 - sag - high * v
    tints = np.stack([linear(*CLOTHS[i]) for i in random.permutation(len(CLOTHS))[:2]])
    color = stripes(rows, columns, tints if random.uniform() < 0.45 else tints[:1], random)
    return sheet(
        np.stack([x, y, z], axis=-1),
        color[None],
        np.array([0.1, 1.0, 0.05]),
        v**1.2,
        scene.oscillators,
        random,
        frequency=float(0.5 / np.sqrt(high)),
        waves=0.9,
        along=u,
        depth=0.1,
        drag=np.array([0, 0, 0.35]),
    )


def pennants(random: np.random.Generator) -> Scene:
    """Pennants on a string across a garden."""
    scene = looking(
        random,
        height=(1.5, 1.9),
        distance=float(random.uniform(2.5, 4.5)),
        aim=2.0,
        lens=(35, 60),
        fstop=(2.0, 11.0),
        extent=3.0,
        amplitude=(2.4, 0.5),
    )
    lawn(scene, random)
    for level in range(int(random.integers(1, 4))):
        x = np.linspace(-3, 3, 61)
        dip = float(random.uniform(0.2, 0.5))
        line = np.stack([x, np.full(61, 0.5 * level) + 0.1 * x, 2.2 + 0.3 * level + dip * (x / 3) ** 2], axis=1)
        scene.add(rope(line, linear(180, 170, 150), radius=0.004), materials.FABRIC)
        tints = [linear(*c) for c in (*CLOTHS, *SPINES)]
        parts = []
        for number in range(2, 58, 4):
            a, b = line[number], line[number + 3]
            v, u = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 7), indexing="ij")
            top = a + (b - a) * (0.5 + (u - 0.5) * (1 - v))[..., None]
            points = top - np.array([0, 0, 0.34]) * v[..., None]
            color = tints[int(random.integers(len(tints)))]
            parts.append(
                sheet(
                    points,
                    color,
                    np.array([0.1, 1.0, 0]),
                    v**1.1,
                    scene.oscillators,
                    random,
                    frequency=1.1,
                    waves=0.5,
                    along=u,
                    depth=0.06,
                    drag=np.array([0, 0, 0.3]),
                )
            )
        scene.add(merge(parts), materials.FABRIC)
    behind_garden(scene, random)
    return scene
