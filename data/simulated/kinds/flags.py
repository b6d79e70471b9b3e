"""Flags on poles."""

from __future__ import annotations

import numpy as np

from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.kinds.outdoors import far_away, lawn, looking
from data.simulated.kinds.streets import put_house
from data.simulated.shapes.fabrics import sheet, stripes
from data.simulated.shapes.mesh import linear
from data.simulated.shapes.solids import cylinder

FLAGS = ((178, 40, 44), (40, 80, 150), (230, 228, 222), (226, 190, 60), (60, 120, 80), (120, 160, 190), (210, 120, 60))


def flag(random: np.random.Generator) -> Scene:
    """One to three flags on poles, before the sky or a house."""
    scene = looking(
        random,
        height=(1.4, 2.0),
        distance=float(random.uniform(5, 9)),
        aim=float(random.uniform(3.6, 4.6)),
        lens=(35, 70),
        extent=4.0,
        amplitude=(3.6, 0.45),
    )
    count = int(random.choice([1, 1, 1, 2, 3]))
    side = float(random.choice([-1, 1]))
    for number in range(count):
        x = (number - (count - 1) / 2) * 2.4 - (0.7 * side if count == 1 else 0)
        put_flag(scene, random, np.array([x, random.normal(0, 0.3), 0]), side=side, top=float(random.uniform(4.7, 5.2)))
    if random.uniform() < 0.5:
        put_house(scene, random, np.array([random.uniform(-4, 4), 12, 0]), turn=float(random.normal(0, 0.2)))
    lawn(scene, random)
    far_away(scene, random)
    return scene


def put_flag(scene: Scene, random: np.random.Generator, foot: np.ndarray, *, side: float, top: float) -> None:
    """A flag that blows to one side of its pole."""
    scene.add(cylinder(0.035, top + 0.1, linear(196, 196, 192)).moved(foot), materials.METAL)
    rows, columns = 30, 48
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    wide, high = 1.5, float(random.uniform(0.85, 1.05))
    slack = random.uniform(0.05, 0.45)
    phase = random.uniform(0, 6.3)
    y = 0.1 * np.sin(2 * np.pi * 1.2 * u + phase + 0.8 * v) * u**0.8 + 0.03 * np.sin(2 * np.pi * 2.7 * u + 2 * v) * u
    x = side * (0.03 + wide * (u - 0.06 * slack * u**2))
    z = top - high * v - slack * wide * u**1.6 * (0.6 + 0.4 * v)
    points = np.stack([x, y, z], axis=-1) + foot
    tints = np.stack([linear(*c) for c in random.permutation(np.array(FLAGS))[:3]])
    mesh = sheet(
        points,
        stripes(rows, columns, tints, random)[None],
        np.array([0.12, 1.0, 0.05]),
        u**1.1,
        scene.oscillators,
        random,
        frequency=0.7,
        waves=1.3,
        along=u,
        depth=0.12,
        drag=np.array([0.0, 0.0, 0.55]),
    )
    scene.add(mesh, materials.FABRIC)
