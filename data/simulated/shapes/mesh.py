"""Meshes of many like parts, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

UP = np.array([0.0, 0.0, 1.0])
# The 24 corners of a box of side 1, four a face; which coordinates span each corner's face; and the faces.
BOX_AXES = ((1, 2), (0, 2), (0, 1))
BOX_CORNERS = np.array(
    [
        [{axis: sign, first: u, second: v}[number] for number in range(3)]
        for axis, (first, second) in enumerate(BOX_AXES)
        for sign in (-0.5, 0.5)
        for u, v in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
    ]
)
BOX_PLANES = np.repeat(BOX_AXES, 8, axis=0)
BOX_QUADS = np.arange(24, dtype=np.int32).reshape(6, 4)
LEVELS = 8  # modes a vertex takes part in: two of the stem, of the branch, of the twig and of the leaf


@dataclass(frozen=True)
class Mesh:
    """V vertices with their faces and what they carry; z is up, lengths are metres."""

    vertices: np.ndarray  # float32 [V, 3]
    quads: np.ndarray  # int32 [F, 4]
    triangles: np.ndarray  # int32 [G, 3]
    colors: np.ndarray  # float32 [V, 3], linear light
    uvs: np.ndarray  # float32 [V, 2]
    modes: np.ndarray | None = None  # int32 [V, LEVELS], numbers of oscillators; None stands still
    gains: np.ndarray | None = None  # float32 [V, LEVELS, 3], displacement for a unit of each oscillator

    @property
    def still(self) -> bool:
        return self.modes is None

    def displaced(self, series: np.ndarray) -> np.ndarray:
        """Vertices float32 [V, 3] where the oscillators [M] have these values."""
        if self.modes is None or self.gains is None:
            return self.vertices
        return self.vertices + np.einsum("vlc,vl->vc", self.gains, series[self.modes], optimize=True)

    def moved(self, offset: ArrayLike) -> Mesh:
        """The same mesh elsewhere."""
        return replace(self, vertices=(self.vertices + np.asarray(offset)).astype(np.float32))

    def turned(self, angle: float) -> Mesh:
        """The same mesh turned about the vertical axis through the origin, in radians."""
        matrix = rotation((0, 0, 1), angle)
        gains = None if self.gains is None else (self.gains @ matrix.T).astype(np.float32)
        return replace(self, vertices=(self.vertices @ matrix.T).astype(np.float32), gains=gains)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several; those that stand still take part in no mode."""
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    moving = any(not mesh.still for mesh in meshes)
    modes = gains = None
    if moving:
        modes = np.concatenate([_or_zeros(mesh.modes, mesh, (LEVELS,), np.int32) for mesh in meshes])
        gains = np.concatenate([_or_zeros(mesh.gains, mesh, (LEVELS, 3), np.float32) for mesh in meshes])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.quads + start for mesh, start in zip(meshes, offsets, strict=True)]).astype(np.int32),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, offsets, strict=True)]).astype(np.int32),
        np.concatenate([mesh.colors for mesh in meshes]),
        np.concatenate([mesh.uvs for mesh in meshes]),
        modes,
        gains,
    )


def _or_zeros(values: np.ndarray | None, mesh: Mesh, shape: tuple[int, ...], kind: type) -> np.ndarray:
    return np.zeros((len(mesh.vertices), *shape), kind) if values is None else values


def grids(
    points: np.ndarray,
    colors: np.ndarray,
    *,
    closed: bool = False,
    modes: np.ndarray | None = None,
    gains: np.ndarray | None = None,
) -> Mesh:
    """N sheets of S x P points each, as quadrilaterals between neighbours.

    Args:
        points: [N, S, P, 3].
        colors: of the points, broadcast to their shape.
        closed: the last of the P points is joined to the first: tubes.
        modes, gains: of the points, [N, S, P, LEVELS] and [N, S, P, LEVELS, 3].
    """
    count, rows, columns = points.shape[:3]
    number = np.arange(count * rows * columns).reshape(count, rows, columns)
    across = np.concatenate([number, number[:, :, :1]], axis=2) if closed else number
    corners = (across[:, :-1, :-1], across[:, :-1, 1:], across[:, 1:, 1:], across[:, 1:, :-1])
    quads = np.stack([corner.reshape(-1) for corner in corners], axis=1)
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    uvs = np.broadcast_to(np.stack([u, v], axis=-1), (count, rows, columns, 2))
    return Mesh(
        points.reshape(-1, 3).astype(np.float32),
        quads.astype(np.int32),
        np.zeros((0, 3), np.int32),
        np.broadcast_to(colors, points.shape).reshape(-1, 3).astype(np.float32),
        uvs.reshape(-1, 2).astype(np.float32),
        None if modes is None else modes.reshape(-1, LEVELS).astype(np.int32),
        None if gains is None else gains.reshape(-1, LEVELS, 3).astype(np.float32),
    )


def box(size: ArrayLike, color: ArrayLike, *, center: ArrayLike = (0, 0, 0)) -> Mesh:
    """A box with faces of their own, so that its edges are sharp; uvs are metres along each face."""
    size = np.asarray(size, float)
    return Mesh(
        (BOX_CORNERS * size + np.asarray(center)).astype(np.float32),
        BOX_QUADS,
        np.zeros((0, 3), np.int32),
        np.broadcast_to(np.asarray(color, np.float32), (24, 3)).copy(),
        ((BOX_CORNERS + 0.5) * size)[np.arange(24)[:, None], BOX_PLANES].astype(np.float32),
    )


def rotation(axis: ArrayLike, angle: float) -> np.ndarray:
    """Rotation matrix [3, 3] about an axis through the origin, in radians (Rodrigues)."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(np.asarray(axis, float))
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def sideways(axis: np.ndarray, towards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors that with ``axis`` [..., 3] make a frame: to the side, and as near to ``towards`` as can be."""
    side = np.cross(axis, towards)
    lost = np.linalg.norm(side, axis=-1, keepdims=True) < 1e-4
    side = unit(np.where(lost, np.cross(axis, np.broadcast_to([0.31, 0.95, 0.05], axis.shape)), side))
    return side, np.cross(side, axis)


def linear(*srgb: float) -> np.ndarray:
    """A colour given in sRGB, 0 to 255, in linear light."""
    values = np.asarray(srgb, float) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def tinted(color: np.ndarray, count: int, random: np.random.Generator, *, spread: float = 0.12) -> np.ndarray:
    """``count`` colours [N, 3] around one: brighter and darker, and a little warmer or cooler."""
    brightness = np.exp(random.normal(0, spread, (count, 1)))
    hue = np.exp(random.normal(0, spread * 0.5, (count, 3)))
    return np.clip(color * brightness * hue, 0.002, 0.95)
