"""Solid things: turned on a lathe, extruded, rough as stones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from data.simulated.shapes.mesh import Mesh, grids
from data.simulated.shapes.nodes import Nodes


def lathe(profile: Sequence[tuple[float, float]], color: np.ndarray, *, sides: int = 20) -> Mesh:
    """A body of revolution about the vertical axis; ``profile`` lists (radius, height) from one end to the other."""
    radius, height = np.asarray(profile, float).T
    angles = 2 * np.pi * np.arange(sides) / sides
    around = [np.outer(radius, np.cos(angles)), np.outer(radius, np.sin(angles))]
    points = np.stack([*around, np.broadcast_to(height[:, None], around[0].shape)], axis=-1)
    return grids(points[None], np.asarray(color)[None, None, None, :], closed=True)


def cylinder(radius: float, height: float, color: np.ndarray, *, sides: int = 16) -> Mesh:
    """An upright cylinder that stands on z = 0, closed at both ends."""
    return lathe([(0, 0), (radius, 0), (radius, height), (0, height)], color, sides=sides)


def ball(radius: float, color: np.ndarray, *, sides: int = 18, flat: float = 1.0) -> Mesh:
    """A sphere about the origin; ``flat`` scales its height."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, max(6, sides // 2))
    return lathe([(radius * np.cos(a), radius * flat * np.sin(a)) for a in angles], color, sides=sides)


def rock(size: ArrayLike, color: np.ndarray, random: np.random.Generator, *, rough: float = 0.22) -> Mesh:
    """A stone: a ball whose surface smooth waves deform."""
    mesh = ball(1.0, color, sides=22)
    direction = mesh.vertices / np.maximum(np.linalg.norm(mesh.vertices, axis=1, keepdims=True), 1e-6)
    bumps = np.zeros(len(direction))
    for frequency in (1.5, 2.5, 4.0, 7.0):
        for _ in range(3):
            wave = random.normal(size=3)
            phase = direction @ wave * frequency + random.uniform(0, 6.3)
            bumps += rough / frequency * np.sin(phase)
    corners = np.sign(direction) * np.abs(direction) ** 0.8
    vertices = corners * (1 + bumps)[:, None] * np.asarray(size)
    shades = mesh.colors * np.exp(0.8 * bumps)[:, None]
    return replace(mesh, vertices=vertices.astype(np.float32), colors=shades.clip(0, 0.95).astype(np.float32))


def extruded(outline: np.ndarray, depth: float, color: np.ndarray) -> Mesh:
    """A flat polygon in x and z [N, 2], star-shaped about its mean, drawn out along y to both sides."""
    outline = np.asarray(outline, float)
    closed = np.concatenate([outline, outline[:1]])
    middle = np.broadcast_to(outline.mean(axis=0), closed.shape)
    y = depth / 2
    rows = [(middle, -y), (closed, -y), (closed, y), (middle, y)]
    sheets = []
    for (first, at), (second, to) in itertools.pairwise(rows):
        points = np.stack(
            [
                np.stack([first[:, 0], np.full(len(first), at), first[:, 1]], axis=1),
                np.stack([second[:, 0], np.full(len(second), to), second[:, 1]], axis=1),
            ]
        )
        sheets.append(grids(points[None], np.asarray(color)))
    from data.simulated.shapes.mesh import merge

    return merge(sheets)


def attached(mesh: Mesh, nodes: Nodes, number: int = 0) -> Mesh:
    """A still mesh that moves with a node from now on."""
    modes, gains = nodes[np.array([number])].carry(mesh.vertices[None].astype(float))
    return replace(mesh, modes=modes[0].astype(np.int32), gains=gains[0].astype(np.float32))
