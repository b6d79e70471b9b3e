"""What hangs and swings: laundry, lanterns, baskets, pennants, baubles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.simulated.description import Lamp, Scene
from data.simulated.kinds import materials
from data.simulated.kinds.closeups import garden_behind
from data.simulated.kinds.cloths import behind_garden, rope
from data.simulated.kinds.facades import fill_with_flowers
from data.simulated.kinds.outdoors import lawn, looking
from data.simulated.shapes.buildings import facade
from data.simulated.shapes.fabrics import pivot
from data.simulated.shapes.mesh import UP, Mesh, box, linear, merge
from data.simulated.shapes.nodes import Nodes
from data.simulated.shapes.solids import attached, ball, cylinder, lathe


def lanterns(random: np.random.Generator) -> Scene:
    """Paper lanterns or lamps that hang from a string or a branch, by day or lit at dusk."""
    scene = looking(
        random,
        height=(1.4, 1.8),
        distance=float(random.uniform(2.0, 3.5)),
        aim=2.2,
        lens=(35, 65),
        fstop=(1.4, 8.0),
        extent=2.5,
        amplitude=(2.2, 0.5),
    )
    lit = random.uniform() < 0.5
    if lit:
        scene.world = replace(
            scene.world, kind="gradient", horizon=(0.35, 0.4, 0.6), zenith=(0.1, 0.14, 0.3), strength=0.12, clouds=0.0
        )
        scene.lamps, scene.brightness = [], 0.24
    count = int(random.integers(2, 7))
    spots = np.linspace(-1.3, 1.3, count) + random.normal(0, 0.12, count)
    scene.add(
        rope(np.stack([np.linspace(-4, 4, 21), np.zeros(21), np.full(21, 2.7)], axis=1), linear(60, 56, 52)),
        materials.FABRIC,
    )
    tints = ((206, 60, 44), (226, 200, 150), (214, 130, 60), (120, 150, 140), (222, 216, 204))
    same = tints[int(random.integers(5))]
    for x in spots:
        color = linear(*(same if random.uniform() < 0.7 else tints[int(random.integers(5))]))
        _lantern(scene, random, np.array([x, random.normal(0, 0.15), 2.7]), color, lit)
    lawn(scene, random)
    behind_garden(scene, random)
    return scene


def _lantern(scene: Scene, random: np.random.Generator, top: np.ndarray, color: np.ndarray, lit: bool) -> None:
    drop, radius = float(random.uniform(0.12, 0.4)), float(random.uniform(0.11, 0.19))
    node = pivot(top, drop + radius, scene.oscillators, random, angle=0.12, twist=0.1)
    flat = float(random.uniform(0.75, 1.3))
    angles = np.linspace(-1.25, 1.25, 25)
    ribs = 1 + 0.03 * np.abs(np.sin(angles * 9))
    body = lathe(
        [(radius * np.cos(a) * r, radius * flat * np.sin(a)) for a, r in zip(angles, ribs, strict=True)],
        color,
        sides=24,
    )
    center = top - (drop + radius * flat) * UP
    cap = radius * 0.34
    ends = [cylinder(cap, 0.02, linear(50, 40, 34)).moved((0, 0, s * radius * flat * 0.96)) for s in (-1, 1)]
    tassel = cylinder(0.012, 0.14, color * 0.8, sides=8).moved((0, 0, -radius * flat - 0.14))
    string = cylinder(0.003, drop + 0.05, linear(70, 66, 60), sides=5).moved(top - (drop + 0.03) * UP)
    surface = replace(materials.FABRIC, translucency=0.35, emission=float(random.uniform(0.5, 1.6)) if lit else 0.0)
    scene.add(attached(body.moved(center), node), surface)
    scene.add(attached(merge([*ends, tassel]).moved(center), node), materials.CLAY)
    scene.add(attached(string, node), materials.FABRIC)
    if lit:
        scene.lamps.append(
            Lamp(
                kind="point",
                strength=float(random.uniform(6, 14)),
                color=(1.0, 0.62, 0.32),
                size=radius,
                position=tuple(center.tolist()),
            )
        )


def hanging_basket(random: np.random.Generator) -> Scene:
    """One to three baskets of flowers on chains, before a wall or a garden."""
    scene = looking(
        random,
        height=(1.4, 1.8),
        distance=float(random.uniform(1.8, 2.8)),
        aim=1.75,
        lens=(35, 60),
        fstop=(1.8, 8.0),
        extent=2.0,
        amplitude=(2.2, 0.5),
    )
    for x in (
        np.linspace(-0.9, 0.9, 3)[: int(random.integers(1, 4))]
        if random.uniform() < 0.4
        else [float(random.normal(0, 0.2))]
    ):
        node = pivot(np.array([x, 0.0, 2.45]), 0.7, scene.oscillators, random, angle=0.07, twist=0.12)
        radius = float(random.uniform(0.17, 0.23))
        angles = np.linspace(-1.5, 0, 9)
        shell = lathe([(radius * np.cos(a), radius * np.sin(a)) for a in angles], linear(112, 88, 60), sides=22)
        scene.add(attached(shell.moved((x, 0, 1.75)), node), materials.EARTH)
        turn = np.arange(3) * 2 * np.pi / 3
        for a in turn:
            line = np.linspace([x, 0, 2.45], [x + radius * np.cos(a), radius * np.sin(a), 1.75], 6)
            scene.add(attached(rope(line, linear(66, 64, 62), radius=0.004), node), materials.METAL)
        around = random.uniform(0, 2 * np.pi, 26)
        out = radius * np.sqrt(random.uniform(0.1, 1.0, 26))
        roots = np.stack([x + out * np.cos(around), out * np.sin(around), np.full(26, 1.75)], axis=1)
        carried = held_by(node, roots)
        name = str(random.choice(["daisy", "cosmos", "buttercup", "peony", "cornflower"]))
        fill_with_flowers(scene, random, name, carried, grown=0.42)
    if random.uniform() < 0.5:
        surface = materials.BRICK if random.uniform() < 0.5 else materials.PLASTER
        scene.add(facade(random).moved((0, 0.6, 0)), surface, smooth=False)
        scene.add(box((0.04, 0.7, 0.04), linear(50, 50, 50), center=(0, 0.25, 2.47)), materials.METAL, smooth=False)
        lawn(scene, random)
    else:
        garden_behind(scene, random, scale=1.5, distance=2.5)
    return scene


def held_by(node: Nodes, places: np.ndarray) -> Nodes:
    """Nodes at other places of the rigid thing that a single node holds."""
    several = node[np.zeros(len(places), int)]
    _, gains = several.carry(places)
    return Nodes(places, several.modes, gains, several.rotation)


def bauble(random: np.random.Generator) -> Scene:
    """Baubles or chimes on strings, sharp before a blurred garden or room lights."""
    scene = looking(
        random,
        height=(1.4, 1.6),
        distance=float(random.uniform(0.8, 1.3)),
        aim=1.5,
        lens=(50, 85),
        fstop=(0.8, 2.8),
        extent=1.0,
        amplitude=(3.4, 0.5),
    )
    count = int(random.integers(1, 5))
    tints = ((180, 40, 40), (206, 170, 90), (60, 90, 130), (196, 196, 200), (70, 110, 80))
    for x in np.linspace(-0.16, 0.16, count) + random.normal(0, 0.03, count) if count > 1 else [0.0]:
        drop, radius = float(random.uniform(0.2, 0.35)), float(random.uniform(0.03, 0.055))
        top = np.array([x, random.normal(0, 0.04), 1.85])
        node = pivot(top, drop, scene.oscillators, random, angle=0.1, twist=0.2)
        color = linear(*tints[int(random.integers(5))])
        center = top - drop * UP
        shiny = replace(
            materials.PAINT, roughness=float(random.uniform(0.12, 0.4)), metallic=float(random.choice([0.0, 0.7]))
        )
        scene.add(attached(ball(radius, color, sides=28).moved(center), node), shiny)
        scene.add(
            attached(
                cylinder(0.25 * radius, 0.3 * radius, linear(180, 150, 80)).moved(center + 0.93 * radius * UP), node
            ),
            materials.METAL,
        )
        string = cylinder(0.0012, drop - radius, linear(120, 110, 100), sides=5).moved(center + radius * UP)
        scene.add(attached(string, node), materials.FABRIC)
    scene.add(still_bar(), materials.WOOD)
    garden_behind(scene, random, scale=1.0, distance=2.5)
    return scene


def still_bar() -> Mesh:
    """The bar that small things hang from."""
    return box((2.0, 0.02, 0.02), linear(96, 72, 54), center=(0, 0, 1.86))
