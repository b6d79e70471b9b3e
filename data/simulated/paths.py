"""The compiled loop of :mod:`data.simulated.volume`: paths of vertices in the picture. Imported late: numba."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def projected_paths(rest, gains, modes, series, focal, nearest):
    """Displacements in the picture, float32 [n, 2, T] in pixels, x right and y down.

    Args:
        rest: float32 [n, 3], vertices at rest, to the right of, above and in front of the camera, in metres.
        gains: float32 [n, L, 3], displacement for a unit of each of a vertex's oscillators, in the same directions.
        modes: int32 [n, L], their numbers.
        series: float32 [M, T], the oscillators' values.
        focal: focal length in pixels; nearest: metres in front of the camera that nothing comes closer than. Both
            float32.
    """
    count, levels = modes.shape
    num_frames = series.shape[1]
    paths = np.empty((count, 2, num_frames), np.float32)
    depth = np.empty(num_frames, np.float32)
    for vertex in range(count):
        right, down = paths[vertex, 0], paths[vertex, 1]
        x, y, z = rest[vertex]
        right[:], down[:], depth[:] = x, -y, z
        for level in range(levels):
            values = series[modes[vertex, level]]
            across, above, ahead = gains[vertex, level]
            for t in range(num_frames):
                right[t] += across * values[t]
                down[t] -= above * values[t]
                depth[t] += ahead * values[t]
        at_rest = focal / max(z, nearest)
        for t in range(num_frames):
            scale = focal / max(depth[t], nearest)
            right[t] = scale * right[t] - at_rest * x
            down[t] = scale * down[t] + at_rest * y
    return paths
