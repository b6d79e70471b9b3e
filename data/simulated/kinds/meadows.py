"""Fields and beds: flowers among grass, grain, reeds, lavender."""

from __future__ import annotations

import numpy as np

from data.simulated.description import Scene
from data.simulated.kinds import materials
from data.simulated.kinds.outdoors import far_away, hedge, lawn, looking
from data.simulated.shapes.flowers import flowers
from data.simulated.shapes.grasses import ears, grass, scattered, tufts
from data.simulated.shapes.mesh import linear, merge
from data.simulated.shapes.species import SPECIES
from data.simulated.shapes.surroundings import greens, ground

BED = ("tulip", "daisy", "marguerite", "cosmos", "rudbeckia", "lupin", "allium", "peony", "poppy", "cornflower")
WILD = ("poppy", "cornflower", "buttercup", "marguerite", "cosmos", "daisy", "lupin")


def meadow(random: np.random.Generator) -> Scene:
    """Wild flowers of one to three kinds in tall grass, trees and hills behind."""
    distance = float(random.uniform(1.6, 3.2))
    scene = looking(
        random,
        height=(0.45, 1.1),
        distance=distance,
        aim=float(random.uniform(0.2, 0.42)),
        lens=(28, 55),
        fstop=(2.0, 11.0) if random.uniform() < 0.7 else None,
        extent=3.0,
    )
    if random.uniform() < 0.8:
        scene.season = str(random.choice(["spring", "summer"]))
    green = lawn(scene, random)
    roots = tufts(scattered(scene.camera, 900, random, near=0.45 * distance, far=16 * distance), 6, random, radius=0.05)
    heights = random.uniform(0.22, 0.42) * np.exp(random.normal(0, 0.25, len(roots)))
    dry = linear(176, 158, 104) if random.uniform() < 0.6 else None
    mesh, _ = grass(roots, heights, green, scene.oscillators, random, width=0.0035, dry=dry)
    scene.add(mesh, materials.LEAF)
    for name in random.choice(WILD, int(random.integers(1, 4)), replace=False):
        plant(scene, str(name), random, count=int(random.integers(12, 45)), near=0.6 * distance, far=5 * distance)
    far_away(scene, random)
    return scene


def plant(
    scene: Scene, name: str, random: np.random.Generator, *, count: int, near: float, far: float, grown: float = 1.0
) -> None:
    """Flowers of a species between two distances from the camera."""
    roots = scattered(scene.camera, count, random, near=near, far=far)
    species = SPECIES[name]
    heights = grown * species.stem * np.exp(random.normal(0, 0.14, count))
    facing = np.array([0.0, -0.7, 0.35])
    for part, mesh in flowers(species, roots, heights, scene.oscillators, random, facing=facing).items():
        scene.add(mesh, {"petals": materials.PETAL, "hearts": materials.HEART}.get(part, materials.LEAF))


def flower_bed(random: np.random.Generator) -> Scene:
    """A bed packed with flowers, a hedge or wall of leaves behind."""
    distance = float(random.uniform(1.4, 2.6))
    scene = looking(
        random,
        height=(0.8, 1.5),
        distance=distance,
        aim=float(random.uniform(0.25, 0.4)),
        lens=(35, 70),
        fstop=(2.8, 11.0),
        extent=2.5,
        amplitude=(1.6, 0.5),
    )
    scene.season = "spring" if random.uniform() < 0.5 else "summer"
    scene.add(ground(linear(92, 74, 56), random), materials.EARTH)
    green = greens(scene.season, random)
    roots = tufts(scattered(scene.camera, 420, random, near=0.5 * distance, far=3 * distance), 5, random, radius=0.06)
    heights = random.uniform(0.15, 0.28) * np.exp(random.normal(0, 0.25, len(roots)))
    mesh, _ = grass(roots, heights, green, scene.oscillators, random, width=0.009, lean=0.5)
    scene.add(mesh, materials.LEAF)
    names = random.choice(BED, int(random.integers(1, 4)), replace=False)
    for name in names:
        count = int(150 / len(names) / (1 + SPECIES[str(name)].spike / 30 + SPECIES[str(name)].petals / 60))
        plant(scene, str(name), random, count=count, near=0.62 * distance, far=2.4 * distance)
    hedge(scene, random, distance=float(random.uniform(1.5, 4.0)), height=float(random.uniform(0.7, 2.0)))
    if random.uniform() < 0.5:
        far_away(scene, random)
    return scene


def wheat(random: np.random.Generator) -> Scene:
    """A field of grain with ears, green or ripe."""
    distance = float(random.uniform(1.0, 2.4))
    close = random.uniform() < 0.4
    scene = looking(
        random,
        height=(0.85, 1.35) if not close else (0.6, 0.9),
        distance=distance,
        aim=0.75 if not close else 0.7,
        lens=(28, 50) if not close else (60, 90),
        fstop=(1.4, 8.0),
        extent=5.0,
        amplitude=(2.6, 0.5),
    )
    ripe = random.uniform() < 0.65
    scene.season = "summer"
    color = linear(186, 156, 92) if ripe else linear(128, 142, 78)
    scene.add(ground(0.5 * color, random), materials.EARTH)
    roots = tufts(scattered(scene.camera, 430, random, near=0.4 * distance, far=22 * distance), 4, random, radius=0.05)
    heights = 0.82 * np.exp(random.normal(0, 0.07, len(roots)))
    mesh, nodes = grass(
        roots, heights, color, scene.oscillators, random, width=0.003, lean=0.16, shared=4, frequency=0.8
    )
    scene.add(mesh, materials.LEAF)
    hanging = float(random.uniform(0, 0.6)) if ripe else 0.05
    ear = ears(nodes, 5, random, color=color * 1.05, length=0.085, grains=9, size=0.024, opening=0.42, hanging=hanging)
    scene.add(ear, materials.LEAF)
    under, _ = grass(roots[::2], heights[::2] * 0.7, color * 0.75, scene.oscillators, random, width=0.006, lean=0.5)
    scene.add(under, materials.LEAF)
    far_away(scene, random, near=40.0)
    return scene


def reeds(random: np.random.Generator) -> Scene:
    """Reeds or ornamental grass with plumes, at the edge of still water or before a hedge."""
    distance = float(random.uniform(2.5, 5.0))
    scene = looking(
        random,
        height=(0.9, 1.7),
        distance=distance,
        aim=float(random.uniform(0.8, 1.15)),
        lens=(35, 70),
        fstop=(2.0, 11.0),
        extent=4.0,
        amplitude=(2.6, 0.5),
    )
    dry = random.uniform() < 0.6
    color = linear(176, 156, 112) if dry else linear(112, 128, 76)
    lawn(scene, random, color=0.8 * color)
    clumps = scattered(scene.camera, int(random.integers(25, 60)), random, near=0.8 * distance, far=2.2 * distance)
    roots = tufts(clumps, 14, random, radius=0.16)
    heights = random.uniform(1.2, 1.7) * np.exp(random.normal(0, 0.13, len(roots)))
    mesh, nodes = grass(
        roots, heights, color, scene.oscillators, random, width=0.007, lean=0.28, shared=7, frequency=0.7, steps=6
    )
    scene.add(mesh, materials.LEAF)
    keep = np.flatnonzero(random.uniform(size=len(roots)) < 0.35)
    some = nodes[(keep[:, None] * 6 + np.arange(6)).ravel()]
    plume = linear(*[(196, 178, 146), (150, 116, 92), (206, 196, 178)][int(random.integers(3))])
    scene.add(
        ears(some, 6, random, color=plume, length=0.26, grains=26, size=0.075, opening=0.4, hanging=0.25),
        materials.LEAF,
    )
    if random.uniform() < 0.5:
        scene.add(ground(linear(70, 84, 92), random, rough=0.0).moved((0, 2.3 * distance + 30, 0.02)), materials.WATER)
    far_away(scene, random)
    return scene


def lavender(random: np.random.Generator) -> Scene:
    """Rows of lavender that run away from the camera."""
    distance = float(random.uniform(2.0, 3.5))
    scene = looking(
        random,
        height=(0.7, 1.5),
        distance=distance,
        aim=0.25,
        lens=(28, 45),
        fstop=(2.8, 11.0),
        extent=4.0,
        amplitude=(1.6, 0.5),
    )
    scene.season = "summer"
    scene.add(ground(linear(150, 124, 92), random), materials.EARTH)
    parts: dict[str, list] = {}
    for row in (-1.6, -0.4, 0.8, 2.0):
        y = distance * (1 / random.uniform(0.12, 1.6, 20)) - distance
        plants = np.stack([row + random.normal(0, 0.1, 20), y, np.zeros(20)], axis=1)
        roots = tufts(plants, 5, random, radius=0.07)
        heights = 0.5 * np.exp(random.normal(0, 0.12, len(roots)))
        for name, mesh in flowers(SPECIES["lavender"], roots, heights, scene.oscillators, random, lean=0.3).items():
            parts.setdefault(name, []).append(mesh)
        tuft = tufts(plants, 16, random, radius=0.11)
        mesh, _ = grass(
            tuft,
            0.3 * np.exp(random.normal(0, 0.2, len(tuft))),
            linear(118, 128, 104),
            scene.oscillators,
            random,
            width=0.005,
            lean=0.45,
        )
        parts.setdefault("grass", []).append(mesh)
    for name, meshes in parts.items():
        scene.add(merge(meshes), materials.PETAL if name == "petals" else materials.LEAF)
    far_away(scene, random)
    return scene


def sunflowers(random: np.random.Generator) -> Scene:
    """A field of sunflowers."""
    distance = float(random.uniform(2.2, 4.0))
    scene = looking(
        random,
        height=(1.3, 2.0),
        distance=distance,
        aim=1.35,
        lens=(28, 55),
        fstop=(2.8, 11.0),
        extent=5.0,
        amplitude=(1.5, 0.5),
    )
    scene.season = "summer"
    lawn(scene, random)
    plant(scene, "sunflower", random, count=26, near=0.75 * distance, far=5 * distance)
    far_away(scene, random, near=35.0)
    return scene


def grass_macro(random: np.random.Generator) -> Scene:
    """A few heads of grass close by, the meadow behind them a blur."""
    distance = float(random.uniform(0.35, 0.6))
    scene = looking(
        random,
        height=(0.3, 0.42),
        distance=distance,
        aim=0.34,
        lens=(55, 90),
        fstop=(4.0, 14.0),
        extent=1.2,
        amplitude=(4.0, 0.5),
    )
    green = lawn(scene, random)
    color = linear(150, 148, 96) if random.uniform() < 0.5 else green
    count = int(random.integers(3, 9))
    roots = np.concatenate([random.uniform(-0.12, 0.12, (count, 2)), np.zeros((count, 1))], axis=1)
    heights = 0.36 * np.exp(random.normal(0, 0.14, count))
    mesh, nodes = grass(roots, heights, color, scene.oscillators, random, width=0.0013, lean=0.25, shared=1, steps=7)
    scene.add(mesh, materials.LEAF)
    head = ears(nodes, 7, random, color=color * 1.1, length=0.075, grains=60, size=0.008, opening=0.5, hanging=0.15)
    scene.add(head, materials.PETAL)
    back = tufts(scattered(scene.camera, 260, random, near=2 * distance, far=20 * distance), 5, random, radius=0.05)
    heights = 0.3 * np.exp(random.normal(0, 0.25, len(back)))
    scene.add(grass(back, heights, green, scene.oscillators, random, width=0.004)[0], materials.LEAF)
    far_away(scene, random, near=10.0)
    return scene
