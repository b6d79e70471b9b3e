"""Houses, walls, streets and what stands on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data.simulated.shapes.mesh import Mesh, box, grids, linear, merge
from data.simulated.shapes.solids import cylinder, extruded, lathe

WALLS = (
    (206, 192, 164),
    (186, 160, 128),
    (170, 118, 92),
    (214, 206, 192),
    (150, 140, 128),
    (196, 170, 110),
    (122, 134, 140),
)
ROOFS = ((112, 66, 52), (84, 76, 74), (128, 86, 62), (70, 74, 80))


@dataclass(frozen=True)
class House:
    """The parts of a house, each with a surface of its own."""

    walls: Mesh
    roof: Mesh
    frames: Mesh
    panes: Mesh


def house(random: np.random.Generator, *, width: float, depth: float, floors: int) -> House:
    """A house whose front looks to -y, centred on the origin, with rows of windows and a door."""
    height = 2.9 * floors
    wall = linear(*WALLS[int(random.integers(len(WALLS)))])
    roof = linear(*ROOFS[int(random.integers(len(ROOFS)))]) * np.exp(random.normal(0, 0.15))
    body = box((width, depth, height), wall, center=(0, 0, height / 2))
    slope = random.uniform(0.5, 1.0)
    gable = np.array([[-width / 2 - 0.3, 0], [width / 2 + 0.3, 0], [0, slope * width / 2]])
    top = extruded(gable, depth + 0.5, roof)
    if random.uniform() < 0.5:
        top = extruded(gable * [depth / width, depth / width], width + 0.5, roof).turned(np.pi / 2)
    chimney = box((0.5, 0.5, 1.2), roof * 0.9, center=(0.25 * width, 0.1, height + 0.75 * slope * width / 2))
    columns = max(2, int(width / random.uniform(1.7, 2.6)))
    frame_color = linear(*((235, 232, 224), (92, 70, 52), (70, 82, 76))[int(random.integers(3))])
    shutter = linear(*((70, 96, 84), (96, 60, 48), (64, 80, 110))[int(random.integers(3))])
    shutters = random.uniform() < 0.4
    frames, panes = [], []
    door = int(random.integers(columns))
    for floor in range(floors):
        for column in range(columns):
            x = (column + 0.5) / columns * width - width / 2
            if floor == 0 and column == door:
                frames.append(box((1.0, 0.1, 2.1), shutter, center=(x, -depth / 2 - 0.02, 1.05)))
                continue
            z = 2.9 * floor + 1.55
            frames += _window(frame_color, (x, -depth / 2, z))
            panes.append(box((0.86, 0.05, 1.26), linear(46, 54, 62), center=(x, -depth / 2 - 0.01, z)))
            if shutters:
                frames += [
                    box((0.42, 0.06, 1.4), shutter, center=(x + s * 0.74, -depth / 2 - 0.05, z)) for s in (-1, 1)
                ]
    return House(body, merge([top.moved((0, 0, height)), chimney]), merge(frames), merge(panes))


def _window(color: np.ndarray, place: tuple[float, float, float]) -> list[Mesh]:
    x, y, z = place
    bars = [((1.0, 0.14, 0.07), (0, -0.02, -0.67)), ((1.0, 0.1, 0.07), (0, 0, 0.67)), ((0.07, 0.1, 1.4), (-0.47, 0, 0))]
    bars += [((0.07, 0.1, 1.4), (0.47, 0, 0)), ((0.05, 0.09, 1.3), (0, 0, 0)), ((0.9, 0.09, 0.04), (0, 0, 0.2))]
    return [box(size, color, center=(x + dx, y - 0.03 + dy, z + dz)) for size, (dx, dy, dz) in bars]


def facade(random: np.random.Generator, *, width: float = 30.0, height: float = 12.0) -> Mesh:
    """A plain wall in the plane y = 0, with metres for its uvs."""
    points = np.array(
        [[[-width / 2, 0, 0], [width / 2, 0, 0]], [[-width / 2, 0, height], [width / 2, 0, height]]], float
    )
    color = linear(*WALLS[int(random.integers(len(WALLS)))]) * np.exp(random.normal(0, 0.12))
    mesh = grids(points[None], color)
    return replace(mesh, uvs=mesh.vertices[:, [0, 2]].copy())


def car(color: np.ndarray) -> dict[str, Mesh]:
    """A parked car along x: meshes ``body``, ``glass``, ``tyres``."""
    lower = np.array(
        [
            [-2.1, 0.35],
            [-1.95, 0.25],
            [1.95, 0.25],
            [2.1, 0.4],
            [2.12, 0.62],
            [1.95, 0.78],
            [1.15, 0.9],
            [-1.35, 0.95],
            [-2.0, 0.88],
            [-2.12, 0.7],
        ]
    )
    cabin = np.array([[-1.55, 0.9], [1.0, 0.88], [0.35, 1.4], [-0.1, 1.48], [-0.9, 1.46], [-1.3, 1.35]])
    glass = np.array([[-1.38, 0.95], [0.83, 0.95], [0.3, 1.35], [-0.1, 1.41], [-0.88, 1.39], [-1.18, 1.3]])
    body = merge([extruded(lower, 1.72, color), extruded(cabin, 1.42, color)])
    panes = extruded(glass, 1.45, linear(38, 44, 50))
    wheel = lathe([(0, -0.11), (0.32, -0.11), (0.34, 0.0), (0.32, 0.11), (0, 0.11)], linear(34, 34, 36), sides=18)
    upright = replace(wheel, vertices=wheel.vertices[:, [0, 2, 1]])
    tyres = [upright.moved((x, y, 0.32)) for x in (-1.32, 1.3) for y in (-0.8, 0.8)]
    hub = lathe([(0, -0.13), (0.2, -0.125), (0.2, 0.125), (0, 0.13)], linear(150, 152, 156), sides=14)
    tyres += [
        replace(hub, vertices=hub.vertices[:, [0, 2, 1]]).moved((x, y, 0.32)) for x in (-1.32, 1.3) for y in (-0.8, 0.8)
    ]
    return {"body": body, "glass": panes, "tyres": merge(tyres)}


def lamp_post(height: float = 4.2) -> Mesh:
    """A street lamp."""
    dark = linear(52, 56, 56)
    post = lathe([(0.12, 0), (0.12, 0.5), (0.05, 0.7), (0.045, height - 0.5), (0.1, height - 0.45)], dark, sides=10)
    head = lathe([(0.1, 0), (0.2, 0.35), (0.24, 0.4), (0.05, 0.55), (0, 0.6)], linear(190, 188, 176), sides=8)
    return merge([post, head.moved((0, 0, height - 0.45))])


def fence(random: np.random.Generator, *, length: float, height: float = 0.95) -> Mesh:
    """A fence of boards along x."""
    color = linear(*((150, 130, 106), (214, 210, 202), (104, 84, 66))[int(random.integers(3))])
    count = int(length / 0.16)
    boards = [
        box(
            (0.09, 0.025, height * np.exp(random.normal(0, 0.02))),
            color * np.exp(random.normal(0, 0.12)),
            center=((n + 0.5) / count * length - length / 2, 0, height / 2),
        )
        for n in range(count)
    ]
    rails = [box((length, 0.04, 0.08), color * 0.85, center=(0, 0.03, z * height)) for z in (0.25, 0.8)]
    return merge([*boards, *rails])


def bench() -> dict[str, Mesh]:
    """A park bench along x: meshes ``wood`` and ``iron``."""
    wood = linear(126, 92, 62)
    seat = [box((1.6, 0.1, 0.035), wood, center=(0, y, 0.45)) for y in (-0.2, -0.07, 0.06, 0.19)]
    back = [box((1.6, 0.03, 0.1), wood, center=(0, 0.27, z)) for z in (0.62, 0.76, 0.9)]
    legs = [box((0.06, 0.5, 0.45), linear(60, 62, 62), center=(x, 0, 0.22)) for x in (-0.65, 0.65)]
    legs += [box((0.05, 0.04, 0.95), linear(60, 62, 62), center=(x, 0.3, 0.48)) for x in (-0.65, 0.65)]
    return {"wood": merge([*seat, *back]), "iron": merge(legs)}


def bollard() -> Mesh:
    """A stone post."""
    return cylinder(0.13, 0.8, linear(140, 138, 132))
