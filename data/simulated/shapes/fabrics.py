"""Cloth and what hangs: sheets with waves that travel over them, things that swing about where they are held."""

from __future__ import annotations

import numpy as np

from data.simulated.shapes.mesh import LEVELS, Mesh, grids
from data.simulated.shapes.nodes import BRANCH, TWIG, Nodes, still_nodes
from data.simulated.wind import Oscillators


def sheet(
    points: np.ndarray,
    colors: np.ndarray,
    normal: np.ndarray,
    reach: np.ndarray,
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    frequency: float,
    waves: float,
    along: np.ndarray,
    depth: float,
    drag: np.ndarray | None = None,
) -> Mesh:
    """A cloth in the wind: a swing of the whole, and three waves that travel across it.

    Args:
        points: [R, C, 3], at rest.
        colors: [R, C, 3] or broadcast.
        normal: [3], where it swings to.
        reach: [R, C], how freely each point moves: 0 where it is held, 1 at the far end.
        frequency: of the swing in Hz.
        waves: wave lengths of the first wave on the cloth.
        along: [R, C], share of the way that waves travel.
        depth: displacement at the free end in metres for a unit of the swing.
        drag: [3], where the free end goes besides as it swings, such as up; as a share.
    """
    rows, columns = reach.shape
    place = points.reshape(-1, 3).mean(axis=0)
    rates = frequency * np.array([1.0, 1.7, 2.4, 3.1]) * np.exp(random.normal(0, 0.08, 4))
    first = oscillators.add(rates, 0.12, place[None])
    second = oscillators.quadrature(first)
    modes = np.zeros((1, rows, columns, LEVELS), int)
    gains = np.zeros((1, rows, columns, LEVELS, 3))
    phases = random.uniform(0, 2 * np.pi, 4)
    slants = random.normal(0, 0.8, 4)
    across = np.linspace(0, 1, rows)[:, None] if np.ptp(along[0]) > 0 else np.linspace(0, 1, columns)[None]
    for number, (share, count) in enumerate(
        zip((1.0, 0.5, 0.32, 0.2), waves * np.array([0.25, 1, 1.6, 2.3]), strict=True)
    ):
        angle = 2 * np.pi * count * along + phases[number] + slants[number] * across
        size = share * depth * reach
        for place_of, wave in ((number, np.cos(angle)), (4 + number, np.sin(angle))):
            modes[..., place_of] = (first if place_of < 4 else second)[number]
            gains[0, ..., place_of, :] = (size * wave)[..., None] * normal
            if drag is not None:
                gains[0, ..., place_of, :] += (size * wave * reach)[..., None] * drag
    return grids(points[None], colors, modes=modes, gains=gains)


def pivot(
    place: np.ndarray,
    length: float,
    oscillators: Oscillators,
    random: np.random.Generator,
    *,
    angle: float = 0.1,
    twist: float = 0.0,
    frequency: float | None = None,
    axis: np.ndarray | None = None,
) -> Nodes:
    """A node that things hang from: it swings like a pendulum of this length, and twists about the vertical.

    It uses the modes of branch and twig, so that flowers may grow on it.

    Args:
        place: [3].
        angle: radians for a unit of the oscillator.
        axis: [3], the only axis it swings about, such as that of a sign's bar; any horizontal one by default.
    """
    nodes = still_nodes(place[None])
    rate = frequency or float(np.sqrt(9.81 / max(length, 0.02)) / (2 * np.pi))
    first = oscillators.add(np.array([rate, rate * 1.03, rate * 0.6]), 0.05, place[None])
    axes = np.array([[1.0, 0, 0], [0, 1.0, 0]]) if axis is None else np.array([axis, 0 * axis])
    for number in range(2):
        nodes.modes[0, TWIG + number] = first[number]
        nodes.rotation[0, TWIG + number] = angle * (1.0, 0.7)[number] * axes[number]
    nodes.modes[0, BRANCH] = first[2]
    nodes.rotation[0, BRANCH] = twist * np.array([0, 0, 1.0])
    return nodes


def stripes(rows: int, columns: int, colors: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Colours [R, C, 3] of a cloth: plain, striped either way, a border, a cross, or dots of ``colors`` [n, 3]."""
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    kind = str(random.choice(["plain", "across", "upright", "border", "cross", "check"]))
    count = int(random.integers(3, 8))
    if kind == "across":
        number = (y * count).astype(int)
    elif kind == "upright":
        number = (x * count).astype(int)
    elif kind == "check":
        number = (x * count).astype(int) + (y * count).astype(int)
    elif kind == "border":
        number = (np.minimum.reduce([x, 1 - x, y, 1 - y]) < 0.09).astype(int)
    elif kind == "cross":
        number = ((np.abs(x - 0.38) < 0.08) | (np.abs(y - 0.5) < 0.1)).astype(int)
    else:
        number = np.zeros((rows, columns), int)
    return colors[number % len(colors)]
