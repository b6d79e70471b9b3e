"""Stems, blades and leaves: many at once, each attached to a node and moving with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.simulated.shapes.mesh import Mesh, grids, sideways, unit
from data.simulated.shapes.nodes import LEAF, Nodes, hinge
from data.simulated.wind import Oscillators

# Half widths along a leaf, from its base to its tip, as shares of its largest half width.
OUTLINES = {
    "ovate": (0.06, 0.75, 1.0, 0.85, 0.5, 0.03),
    "lanceolate": (0.12, 0.75, 1.0, 0.9, 0.55, 0.02),
    "round": (0.25, 0.95, 1.0, 0.95, 0.7, 0.15),
    "heart": (0.7, 1.0, 0.95, 0.72, 0.38, 0.02),
    "lobed": (0.1, 0.9, 0.55, 1.0, 0.5, 0.05),
    "blade": (0.6, 0.9, 1.0, 0.85, 0.55, 0.02),
    "petal": (0.25, 0.6, 0.9, 1.0, 0.85, 0.3),
    "ray": (0.35, 0.8, 1.0, 1.0, 0.9, 0.35),
    "needle": (1.0, 1.0, 1.0, 0.9, 0.7, 0.1),
}


@dataclass(frozen=True, kw_only=True)
class LeafShape:
    """How leaves look."""

    outline: str = "ovate"
    width: float = 0.3  # largest half width as a share of the length
    fold: float = 0.15  # how far the sides rise above the middle, as a share of the half width
    droop: float = 0.25  # how far the tip sinks, as a share of the length
    wave: float = 0.0  # irregular waves of the surface, as a share of the length
    across: int = 3  # points from side to side


def leaves(
    nodes: Nodes,
    axes: np.ndarray,
    normals: np.ndarray,
    lengths: np.ndarray,
    colors: np.ndarray,
    random: np.random.Generator,
    *,
    shape: LeafShape,
    flutter: tuple[np.ndarray, np.ndarray, float] | None = None,
    offset: np.ndarray | None = None,
) -> Mesh:
    """One leaf at each node.

    Args:
        axes: [N, 3], from the base to the tip.
        normals: [N, 3], about where the upper side looks.
        lengths: [N].
        colors: [N, 3].
        flutter: oscillators [N] about the leaf's width, others about its length, and the angle in radians.
        offset: [N, 3], from the node to the base.
    """
    outline = np.array(OUTLINES[shape.outline])
    steps = np.linspace(0, 1, len(outline))
    axes = unit(axes)
    side, up = sideways(axes, normals)
    across = np.linspace(-1, 1, shape.across)
    bases = nodes.position if offset is None else nodes.position + offset
    half = shape.width * outline[None, :, None] * lengths[:, None, None] * across  # [N, S, P]
    lift = shape.fold * np.abs(half) - shape.droop * lengths[:, None, None] * (steps**2)[None, :, None]
    if shape.wave:
        rough = random.normal(size=(len(axes), len(steps), shape.across))
        lift = lift + shape.wave * lengths[:, None, None] * rough * (outline * np.minimum(3 * steps, 1))[None, :, None]
    forward = lengths[:, None, None] * steps[None, :, None] * np.sqrt(max(0.2, 1 - shape.droop**2))
    parts = ((forward, axes), (half, side), (lift, up))
    points = bases[:, None, None] + sum(value[..., None] * vector[:, None, None] for value, vector in parts)
    modes, gains = nodes.carry(points)
    if flutter is not None:
        about_width, about_length, angle = flutter
        angles = angle * np.exp(random.normal(0, 0.4, len(axes)))
        hinge(modes, gains, points, pivots=bases, axes=side, ids=about_width, angles=angles, place=LEAF)
        hinge(modes, gains, points, pivots=bases, axes=axes, ids=about_length, angles=angles, place=LEAF + 1)
    middle = 0.82 + 0.18 * np.abs(across)  # the midrib is darker
    shades = colors[:, None, None] * (middle[None, None, :, None] * (0.85 + 0.25 * steps[None, :, None, None]))
    return grids(points, shades, modes=modes, gains=gains)


def tubes(nodes: Nodes, steps: int, radii: np.ndarray, colors: np.ndarray, *, sides: int = 5) -> Mesh:
    """Round stems along nodes that :func:`data.simulated.shapes.nodes.grow` made.

    Args:
        nodes: N * S of them.
        steps: S, nodes a stem.
        radii: [N, S].
        colors: [N, 3].
    """
    paths = nodes.position.reshape(-1, steps, 3)
    axis = unit(np.gradient(paths, axis=1)) if steps > 2 else unit(np.diff(paths, axis=1)).repeat(2, axis=1)
    side, up = sideways(axis, np.broadcast_to([0.2, 0.1, 1.0], axis.shape))
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(angles)[:, None] * side[:, :, None] + np.sin(angles)[:, None] * up[:, :, None]
    points = paths[:, :, None] + radii[:, :, None, None] * ring
    modes, gains = nodes.carry(points.reshape(-1, sides, 3))
    full = (*points.shape[:3],)
    return grids(
        points,
        np.broadcast_to(colors[:, None, None], points.shape),
        closed=True,
        modes=modes.reshape(*full, -1),
        gains=gains.reshape(*full, gains.shape[-2], 3),
    )


def blades(
    nodes: Nodes, steps: int, widths: np.ndarray, facing: np.ndarray, colors: np.ndarray, *, dark: float = 0.45
) -> Mesh:
    """Flat leaves of grass along nodes that :func:`data.simulated.shapes.nodes.grow` made.

    Args:
        widths: [N], half widths in metres.
        facing: [N, 3], about where the flat side looks.
        colors: [N, 3], of the tips.
        dark: brightness at the root.
    """
    paths = nodes.position.reshape(-1, steps, 3)
    axis = unit(np.gradient(paths, axis=1))
    side, _ = sideways(axis, np.broadcast_to(facing[:, None], axis.shape))
    outline = np.interp(np.linspace(0, 1, steps), np.linspace(0, 1, 6), OUTLINES["blade"])
    half = widths[:, None, None] * outline[None, :, None] * side
    points = np.stack([paths - half, paths + half], axis=2)
    modes, gains = nodes.carry(points.reshape(-1, 2, 3))
    shade = dark + (1 - dark) * np.linspace(0, 1, steps) ** 0.8
    shades = colors[:, None, None] * shade[None, :, None, None]
    full = points.shape[:3]
    return grids(
        points,
        np.broadcast_to(shades, points.shape),
        modes=modes.reshape(*full, -1),
        gains=gains.reshape(*full, gains.shape[-2], 3),
    )


def curved_paths(
    roots: np.ndarray,
    heights: np.ndarray,
    leans: np.ndarray,
    random: np.random.Generator,
    *,
    steps: int = 5,
    wobble: float = 0.04,
) -> np.ndarray:
    """Stems [N, S, 3] that rise from their roots and bend over.

    Args:
        roots: [N, 3].
        heights: [N], lengths.
        leans: [N, 3], horizontal; where the tip is besides above, as a share of the length.
        wobble: irregular bends, as a share of the length.
    """
    share = np.linspace(0, 1, steps)[None, :, None]
    sunk = 1 - 0.4 * np.minimum((leans**2).sum(axis=1), 1.5)[:, None, None] * share**2
    up = heights[:, None, None] * share * np.array([0, 0, 1.0]) * sunk
    over = heights[:, None, None] * share**2 * leans[:, None]
    bends = np.cumsum(random.normal(0, wobble / np.sqrt(steps), (len(roots), steps, 3)), axis=1)
    bends = (bends - bends[:, :1]) * heights[:, None, None] * share
    return roots[:, None] + up + over + bends


def swaying(
    oscillators: Oscillators,
    places: np.ndarray,
    random: np.random.Generator,
    *,
    frequency: float,
    damping: float,
    spread: float = 0.2,
    strength: float = 1.0,
) -> np.ndarray:
    """Two oscillators int [N, 2] for each of N places [N, 3], of about the same frequency in Hz."""
    count = len(places)
    rates = frequency * np.exp(random.normal(0, spread, (count, 2)))
    found = [
        oscillators.add(rates[:, number], damping * np.exp(random.normal(0, 0.2, count)), places, share * strength)
        for number, share in enumerate((1.0, 0.6))
    ]
    return np.stack(found, axis=1)


def crosswise(count: int, random: np.random.Generator, *, wind: np.ndarray | None = None) -> np.ndarray:
    """Horizontal directions [N, 2, 3], along the wind (or any) and across it."""
    angle = random.uniform(0, 2 * np.pi) if wind is None else np.arctan2(wind[1], wind[0])
    angles = angle + random.normal(0, 0.35, count)
    along = np.stack([np.cos(angles), np.sin(angles), np.zeros(count)], axis=1)
    return np.stack([along, np.stack([-along[:, 1], along[:, 0], np.zeros(count)], axis=1)], axis=1)
