"""Rooms: plants in pots, curtains, candles, and still lifes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.simulated.camera import Camera
from data.simulated.description import Material, Scene
from data.simulated.kinds import materials
from data.simulated.shapes.fabrics import sheet, stripes
from data.simulated.shapes.flowers import flowers, fluttering
from data.simulated.shapes.foliage import LeafShape, crosswise, curved_paths, leaves, swaying, tubes
from data.simulated.shapes.furnishing import (
    SPINES,
    books,
    bowl,
    earth,
    fruit,
    mug,
    picture_frame,
    pile,
    pot,
    table,
    vase,
)
from data.simulated.shapes.mesh import UP, Mesh, box, grids, linear, merge, tinted, unit
from data.simulated.shapes.nodes import STEM, grow, still_nodes
from data.simulated.shapes.species import SPECIES
from data.simulated.weather import room_light

PAINTS = (
    (214, 206, 190),
    (176, 184, 178),
    (190, 170, 150),
    (150, 164, 176),
    (206, 196, 170),
    (120, 128, 120),
    (226, 222, 214),
)
WOODS = ((150, 108, 70), (104, 72, 48), (186, 150, 108), (84, 62, 48), (206, 196, 180))


def room(
    random: np.random.Generator,
    *,
    distance: float,
    aim: float,
    lens: tuple[float, float],
    back: float = 0.9,
    amplitude: tuple[float, float] = (1.2, 0.5),
) -> Scene:
    """A table at z = 0 before a wall with a picture or a shelf; the camera looks along +y."""
    position = (float(random.normal(0, 0.12)), -distance, aim + float(random.uniform(0.05, 0.45)) * distance)
    camera = Camera(
        position=position,
        target=(float(random.normal(0, 0.05)), 0.0, aim),
        lens=float(random.uniform(*lens)),
        fstop=float(np.exp(random.uniform(*np.log((1.2, 8.0))))),
        roll=float(random.normal(0, 0.015)),
    )
    world, lamps = room_light(random)
    scene = Scene(camera, world, lamps, extent=0.8, amplitude=amplitude, brightness=0.36)
    color = linear(*PAINTS[int(random.integers(len(PAINTS)))])
    wall = grids(np.array([[[-4, back, -1], [4, back, -1]], [[-4, back, 3], [4, back, 3]]], float)[None], color)
    wall = replace(wall, uvs=wall.vertices[:, [0, 2]].copy())
    surface = materials.PLASTER
    if random.uniform() < 0.2:
        surface = replace(materials.BRICK, pattern_gap=0.008)
    scene.add(wall, surface, smooth=False)
    wood = linear(*WOODS[int(random.integers(len(WOODS)))])
    deep = float(random.uniform(0.7, 1.1))
    scene.add(table(width=float(random.uniform(1.2, 2.6)), depth=deep, color=wood), materials.WOOD, smooth=False)
    if random.uniform() < 0.6:
        frame = picture_frame(random, width=float(random.uniform(0.3, 0.6)), height=float(random.uniform(0.25, 0.55)))
        place = (float(random.uniform(-0.8, 0.8)), back - 0.02, float(random.uniform(0.35, 0.8)))
        scene.add(frame.moved(place), materials.PAINT, smooth=False)
    if random.uniform() < 0.5:
        x, z = float(random.choice([-1, 1]) * random.uniform(0.3, 0.9)), float(random.uniform(0.15, 0.55))
        scene.add(box((0.9, 0.2, 0.025), wood * 0.9, center=(x, back - 0.1, z)), materials.WOOD, smooth=False)
        scene.add(books(random, width=0.75).moved((x, back - 0.1, z + 0.012)), materials.CLAY, smooth=False)
    return scene


def clutter(scene: Scene, random: np.random.Generator, count: int, *, keep: float = 0.2) -> None:
    """Bowls, cups, books and fruit on the table, not within ``keep`` metres of its middle."""
    for _ in range(count):
        x, y = float(random.choice([-1, 1]) * random.uniform(keep, 0.55)), float(random.uniform(-0.25, 0.3))
        color = linear(*SPINES[int(random.integers(len(SPINES)))])
        kind = str(random.choice(["bowl", "fruit", "pile", "vase", "mug", "fruits"]))
        if kind == "bowl":
            scene.add(bowl(float(random.uniform(0.07, 0.12)), color).moved((x, y, 0)), materials.CERAMIC)
        elif kind == "pile":
            scene.add(pile(random).moved((x, y, 0)), materials.CLAY, smooth=False)
        elif kind == "vase":
            scene.add(vase(random, color, height=float(random.uniform(0.15, 0.32))).moved((x, y, 0)), materials.CERAMIC)
        elif kind == "mug":
            scene.add(mug(color).moved((x, y, 0)), materials.CERAMIC)
        else:
            for _ in range(1 if kind == "fruit" else 4):
                spot = (x + float(random.normal(0, 0.05)), y + float(random.normal(0, 0.05)), 0)
                scene.add(fruit(random).moved(spot), replace(materials.CERAMIC, roughness=0.4))


def pot_room(random: np.random.Generator) -> Scene:
    """A plant in a pot, or cut flowers in a vase, on a table in a room."""
    scene = room(random, distance=float(random.uniform(1.0, 1.7)), aim=0.22, lens=(35, 60))
    radius = float(random.uniform(0.08, 0.13))
    height = 1.6 * radius
    color = linear(
        *((170, 96, 66), (214, 208, 198), (96, 112, 120), (60, 62, 66), (150, 160, 140))[int(random.integers(5))]
    )
    place = np.array([random.normal(0, 0.06), random.uniform(-0.1, 0.1), 0.0])
    scene.add(pot(radius, height, color).moved(place), materials.CLAY if random.uniform() < 0.5 else materials.CERAMIC)
    scene.add(earth(radius, height).moved(place), materials.EARTH)
    top = place + 0.9 * height * UP
    kind = str(random.choice(["rosette", "stalks", "flowers", "strap"]))
    if kind == "flowers":
        name = str(random.choice(["tulip", "daisy", "peony", "cosmos", "marguerite"]))
        count = int(random.integers(4, 10))
        roots = top + np.concatenate([random.normal(0, 0.35 * radius, (count, 2)), np.zeros((count, 1))], axis=1)
        heights = random.uniform(0.2, 0.32) * np.exp(random.normal(0, 0.12, count))
        species = replace(SPECIES[name], leaf=0.1)
        for part, mesh in flowers(
            species, roots, heights, scene.oscillators, random, lean=0.3, facing=np.array([0, -1.0, 0.4])
        ).items():
            scene.add(mesh, {"petals": materials.PETAL, "hearts": materials.HEART}.get(part, materials.LEAF))
    else:
        _pot_plant(scene, kind, top, radius, random)
    clutter(scene, random, int(random.integers(0, 5)))
    return scene


def _pot_plant(scene: Scene, kind: str, top: np.ndarray, radius: float, random: np.random.Generator) -> None:
    """Long arching leaves, leaves on stalks, or stalks with many leaves."""
    count = int({"strap": 26, "rosette": 16, "stalks": 9}[kind] * random.uniform(0.7, 1.3))
    angle = random.uniform(0, 2 * np.pi, count)
    out = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    roots = top + 0.3 * radius * out * random.uniform(0, 1, (count, 1))
    lean = random.uniform(0.15, 0.9, count)[:, None] * out
    heights = random.uniform(0.18, 0.4) * np.exp(random.normal(0, 0.18, count))
    steps = 7
    paths = curved_paths(roots, heights, lean * (1.4 if kind == "strap" else 1.0), random, steps=steps)
    modes = swaying(scene.oscillators, roots, random, frequency=1.5, damping=0.12)
    nodes = grow(
        still_nodes(roots),
        paths,
        level=STEM,
        modes=modes,
        directions=crosswise(count, random),
        tips=0.08 * heights[:, None].repeat(2, 1),
    )
    green = linear(*((74, 104, 56), (96, 124, 74), (60, 92, 66))[int(random.integers(3))])
    if kind == "strap":
        from data.simulated.shapes.foliage import blades

        wide = random.uniform(0.008, 0.016) * np.exp(random.normal(0, 0.15, count))
        scene.add(
            blades(nodes, steps, wide, unit(out + 1.2 * UP), tinted(green, count, random), dark=0.75), materials.LEAF
        )
        return
    radii = np.broadcast_to(0.0028 * np.linspace(1.2, 0.7, steps), (count, steps))
    scene.add(tubes(nodes, steps, radii, tinted(green * 0.9, count, random)), materials.LEAF)
    outline = str(random.choice(["ovate", "heart", "round", "lanceolate"]))
    each = 1 if kind == "rosette" else 9
    which = np.repeat(np.arange(count), each)
    level = np.full(count, steps - 1) if each == 1 else random.integers(2, steps, len(which))
    at = nodes[which * steps + level]
    turn = random.normal(0, 1.2, len(which)) if each > 1 else np.zeros(len(which))
    spin = np.stack([np.cos(angle[which] + turn), np.sin(angle[which] + turn), np.full(len(which), 0.1)], axis=1)
    size = (0.16 if each == 1 else 0.085) * np.exp(random.normal(0, 0.2, len(which)))
    shape = LeafShape(outline=outline, width=0.36, fold=0.2, droop=0.35, across=5)
    flutter = fluttering(scene.oscillators, at.position, random, angle=0.09, frequency=2.0)
    up = unit(np.array([0, 0, 1.0]) + 0.25 * random.normal(size=spin.shape))
    mesh = leaves(
        at, spin, up, size, tinted(green, len(which), random, spread=0.15), random, shape=shape, flutter=flutter
    )
    scene.add(mesh, materials.LEAF)


def curtain(random: np.random.Generator) -> Scene:
    """Curtains before a bright window, moved by the air."""
    scene = room(
        random, distance=float(random.uniform(2.0, 2.8)), aim=0.55, lens=(28, 42), back=1.2, amplitude=(2.4, 0.5)
    )
    scene.brightness = 0.45
    frame = linear(226, 224, 216)
    glow = Material(emission=float(random.uniform(1.5, 4.0)), roughness=1.0)
    scene.add(box((1.5, 0.02, 1.5), np.array([0.85, 0.92, 1.0]), center=(0, 1.17, 0.9)), glow, smooth=False)
    bars = [box((1.6, 0.06, 0.07), frame, center=(0, 1.12, z)) for z in (0.15, 1.65)]
    bars += [box((0.06, 0.06, 1.5), frame, center=(x, 1.12, 0.9)) for x in (-0.77, 0, 0.77)]
    scene.add(merge(bars), materials.PAINT, smooth=False)
    color = np.stack(
        [linear(*PAINTS[int(random.integers(len(PAINTS)))]), linear(*SPINES[int(random.integers(len(SPINES)))])]
    )
    for side in (-1, 1):
        if side > 0 and random.uniform() < 0.3:
            continue
        scene.add(_hanging_cloth(scene, random, side=side, colors=color), replace(materials.FABRIC, translucency=0.45))
    clutter(scene, random, int(random.integers(1, 5)))
    return scene


def _hanging_cloth(scene: Scene, random: np.random.Generator, *, side: float, colors: np.ndarray) -> Mesh:
    rows, columns = 36, 60
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    wide, folds = random.uniform(0.4, 0.75), int(random.integers(5, 10))
    gather = 0.25 * np.sin(2.2 * v) if random.uniform() < 0.4 else 0.1 * v
    x = side * (0.85 - (1 - gather) * wide * u)
    y = 0.98 + (0.03 + 0.02 * v) * np.sin(2 * np.pi * folds * u + 0.8 * np.sin(3 * v)) + 0.01 * np.sin(17 * u + 5 * v)
    points = np.stack([x, y, 1.8 - 1.85 * v], axis=-1)
    cloth = stripes(rows, columns, colors if random.uniform() < 0.4 else colors[:1], random)
    return sheet(
        points,
        cloth[None],
        np.array([0.35 * side, -1.0, 0.05]),
        v**1.3,
        scene.oscillators,
        random,
        frequency=0.5,
        waves=1.2,
        along=u,
        depth=0.05,
    )
