"""Exact motion in the picture: what each vertex does there, and the few channels that say so of all of them.

A vertex moves in space by its modes, linearly in the oscillators' values; its path in the picture is the exact
projection of that. The Fourier coefficients of the paths, 4 K numbers a vertex, have a low rank in most scenes: R basis
vectors and R channels a vertex reproduce them to within `TOLERANCE`. The renderer carries the channels through lens and
pixel filter like colours, so that a pixel of the volume is the mean over what the pixel shows, weighted as its colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.simulated.camera import NEAREST, Camera
from data.simulated.shapes.mesh import Mesh

TOLERANCE = 0.01  # pixels, root mean square over time, of the path of any vertex
MARGIN = 0.25  # of the picture's width: what is farther outside is not projected
CHUNK = 4096  # vertices at a time
ALWAYS = 2  # channels of every shot: depth in metres, and 1 where there is anything


@dataclass(frozen=True)
class View:
    """Camera and size of the picture, (width, height), in whose pixels motion is."""

    camera: Camera
    size: tuple[int, int]

    def near(self, mesh: Mesh) -> np.ndarray:
        """Which vertices are in the picture or close to it: bool [V]."""
        seen = self.camera.seen(mesh.vertices)
        at = self.camera.pixels(seen, self.size)
        reach = MARGIN * self.size[0]
        inside = (at > -reach) & (at < np.add(self.size, reach))
        return inside.all(axis=1) & (seen[:, 2] > NEAREST)

    def displacement(self, mesh: Mesh, series: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Paths float32 [n, 2, T] in pixels of some vertices, for the oscillators' values [M, T]."""
        from data.simulated.paths import projected_paths

        assert mesh.modes is not None
        assert mesh.gains is not None
        turned = mesh.gains[which] @ (self.camera.axes * [[1], [1], [-1]]).T
        return projected_paths(
            self.camera.seen(mesh.vertices[which]).astype(np.float32),
            turned.astype(np.float32),
            mesh.modes[which],
            np.ascontiguousarray(series, np.float32),
            np.float32(self.camera.focal(self.size[0])),
            np.float32(NEAREST),
        )


def coefficients(view: View, mesh: Mesh, series: np.ndarray, *, num_frequencies: int) -> np.ndarray:
    """Spectral coefficients float32 [V, 4 K] of a mesh's vertices, ordered as [V, K, (Re x, Re y, Im x, Im y)]."""
    result = np.zeros((len(mesh.vertices), num_frequencies, 4), np.float32)
    if mesh.still:
        return result.reshape(len(result), -1)
    num_frames = series.shape[1]
    angles = 2 * np.pi / num_frames * np.outer(np.arange(num_frames), np.arange(num_frequencies))
    waves = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1).astype(np.float32) / num_frames  # [T, 2 K]
    for which in _chunks(np.flatnonzero(view.near(mesh))):
        paths = view.displacement(mesh, series, which).reshape(-1, num_frames)
        values = (paths @ waves).reshape(-1, 2, 2, num_frequencies)  # vertex, component, part, frequency
        result[which] = values.transpose(0, 3, 2, 1).reshape(len(which), num_frequencies, 4)
    return result.reshape(len(result), -1)


def low_rank(fields: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """(basis [R, 4 K], channels [V, R] of each mesh) with ``channels @ basis`` the coefficients within `TOLERANCE`."""
    total = sum(field.T @ field for field in fields)
    values, vectors = np.linalg.eigh(np.asarray(total, np.float64))
    basis = vectors[:, np.argsort(values)[::-1]].T.astype(np.float32)
    shapes = [basis @ field.T for field in fields]
    # What the channels from R on leave out of the worst vertex: the root mean square of a path is at most sqrt(2)
    # times the norm of its coefficients (Parseval).
    left = np.max([_tail(shape) for shape in shapes], axis=0)
    rank = int(np.argmax(np.sqrt(2) * left <= TOLERANCE))
    return basis[:rank], [shape[:rank].T for shape in shapes]


def _tail(shape: np.ndarray) -> np.ndarray:
    """Largest norm over vertices [C, V] of the components from each number on: [C + 1], ending in zero."""
    left, total = np.zeros(len(shape) + 1), np.zeros(shape.shape[1], np.float32)
    for number in range(len(shape) - 1, -1, -1):
        total += shape[number] ** 2
        left[number] = total.max(initial=0.0)
    return np.sqrt(left)


def flow_between(view: View, mesh: Mesh, series: np.ndarray) -> np.ndarray:
    """Displacement float32 [V, 2] in pixels for the oscillators' values [M] at one time; zero far from the picture."""
    result = np.zeros((len(mesh.vertices), 2), np.float32)
    if not mesh.still:
        for which in _chunks(np.flatnonzero(view.near(mesh))):
            result[which] = view.displacement(mesh, series[:, None], which)[..., 0]
    return result


def depth_and_cover(view: View, vertices: np.ndarray) -> np.ndarray:
    """The channels that every shot has, float32 [V, 2]: depth in metres, and 1."""
    depth = view.camera.seen(vertices)[:, 2]
    return np.stack([depth, np.ones_like(depth)], axis=1).astype(np.float32)


def _chunks(index: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(index), CHUNK):
        yield index[start : start + CHUNK]
