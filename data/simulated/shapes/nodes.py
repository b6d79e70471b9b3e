"""Where things are held: nodes along stems and branches, which carry the motion of what is attached to them.

A node moves as a small rigid body: in each of its modes it has a translation and a rotation. A vertex attached to it,
or a branch that grows from it, takes part in that motion and adds its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.simulated.shapes.mesh import LEVELS, unit

STEM, BRANCH, TWIG, LEAF = 0, 2, 4, 6  # the first of the two modes of each level


@dataclass(frozen=True)
class Nodes:
    """N places that things are attached to."""

    position: np.ndarray  # [N, 3]
    modes: np.ndarray  # int [N, LEVELS]
    translation: np.ndarray  # [N, LEVELS, 3] for a unit of each mode
    rotation: np.ndarray  # [N, LEVELS, 3], rotation vectors in radians

    def __getitem__(self, index: np.ndarray) -> Nodes:
        return Nodes(self.position[index], self.modes[index], self.translation[index], self.rotation[index])

    def __len__(self) -> int:
        return len(self.position)

    def carry(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Modes [N, ..., LEVELS] and gains [N, ..., LEVELS, 3] of points [N, ..., 3], each attached to its node."""
        between = (slice(None), *[None] * (points.ndim - 2))
        lever = points - self.position[between]
        gains = self.translation[between] + np.cross(self.rotation[between], lever[..., None, :])
        return np.broadcast_to(self.modes[between], (*points.shape[:-1], LEVELS)).copy(), gains


def still_nodes(position: np.ndarray) -> Nodes:
    """Places [N, 3] that do not move."""
    count = len(position)
    still = np.zeros((count, LEVELS, 3))
    return Nodes(np.asarray(position, float), np.zeros((count, LEVELS), int), still, still.copy())


def joined(parts: list[Nodes]) -> Nodes:
    """The nodes of several."""
    names = ("position", "modes", "translation", "rotation")
    return Nodes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def grow(
    roots: Nodes,
    paths: np.ndarray,
    *,
    level: int,
    modes: np.ndarray,
    directions: np.ndarray,
    tips: np.ndarray,
    exponent: float = 1.8,
) -> Nodes:
    """Nodes along N stems [N * S]: each moves with its root, and bends by itself like a cantilever.

    Args:
        roots: N nodes that the stems grow from.
        paths: [N, S, 3], from the root on.
        level: STEM, BRANCH or TWIG.
        modes: int [N, 2], oscillators of the two directions.
        directions: [N, 2, 3], unit vectors.
        tips: [N, 2], displacement of the tip in metres for a unit of the oscillator.
        exponent: of the displacement along the stem; 1 swings about the root.
    """
    count, steps = paths.shape[:2]
    own_modes, translation = roots.carry(paths)
    rotated = np.broadcast_to(roots.rotation[:, None], translation.shape).copy()
    pieces = np.linalg.norm(np.diff(paths, axis=1), axis=2)
    along = np.concatenate([np.zeros((count, 1)), np.cumsum(pieces, axis=1)], axis=1)
    length = np.maximum(along[:, -1:], 1e-6)
    share = along / length
    axis = unit(np.gradient(paths, axis=1)) if steps > 2 else unit(np.diff(paths, axis=1)).repeat(2, axis=1)
    slope = exponent * share ** (exponent - 1) / length if exponent > 1 else np.ones_like(share) / length
    for number in range(2):
        place = level + number
        own_modes[..., place] = modes[:, None, number]
        reach = tips[:, None, number, None] * directions[:, None, number]
        translation[..., place, :] = share[..., None] ** exponent * reach
        rotated[..., place, :] = np.cross(axis, slope[..., None] * reach)
    shape = (count * steps,)
    return Nodes(
        paths.reshape(*shape, 3),
        own_modes.reshape(*shape, LEVELS),
        translation.reshape(*shape, LEVELS, 3),
        rotated.reshape(*shape, LEVELS, 3),
    )


def hinge(
    modes: np.ndarray,
    gains: np.ndarray,
    points: np.ndarray,
    *,
    pivots: np.ndarray,
    axes: np.ndarray,
    ids: np.ndarray,
    angles: np.ndarray,
    place: int,
) -> None:
    """Let parts turn about a hinge of their own, on top of what they are attached to; modes and gains are changed.

    Args:
        modes, gains: of the points, as :meth:`Nodes.carry` gave them.
        points: [N, ..., 3].
        pivots, axes: [N, 3].
        ids: int [N], their oscillators.
        angles: [N], radians for a unit of the oscillator.
        place: LEAF, or LEAF + 1 for a second hinge.
    """
    between = (slice(None), *[None] * (points.ndim - 2))
    lever = points - pivots[between]
    modes[..., place] = ids[between]
    gains[..., place, :] = angles.reshape(-1, *[1] * (points.ndim - 1)) * np.cross(
        np.broadcast_to(axes[between], lever.shape), lever
    )
