"""Groups of up to 16 pairs on their way through the pyramid: between `data.flow.coarse2fine.cpu` and the kernels.

Imported late, because it imports numba; parameters and images are checked by those who call it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.flow.coarse2fine.kernels import solve_level
from data.flow.coarse2fine.linearise import COEFFICIENT, POSITIONS, SCRATCH
from data.flow.coarse2fine.parameters import Parameters, Progress, blur_taps, level_origin, pyramid_sizes
from data.flow.coarse2fine.pyramid import (
    FLOW,
    LANES,
    PADDING,
    PIXEL,
    TERMS,
    blur,
    features,
    interleave_terms,
    resize,
    source_terms,
    upsample_flow,
)

Array = NDArray[np.float32]
# Floats a pixel of the arrays that every level of a group needs; those of terms only where each lane has its source.
FLOATS = {
    **{"targets": LANES * PIXEL, "coefficients": COEFFICIENT, "state": FLOW, "flow": FLOW, "coarser flow": FLOW},
    **{"terms": LANES * TERMS, "terms of lanes": LANES * TERMS},
}


def solve_groups(
    sources: Array, targets: Array, *, parameters: Parameters, num_threads: int, progress: Progress
) -> Array:
    """Flow ``[N, H, W, 2]`` to targets ``[N, H, W, C]`` from ``[N, H, W, C]``, or from one source ``[1, H, W, C]``."""
    height, width = sources.shape[1:3]
    solver = GroupSolver(parameters, width, height)
    shared = solver.terms(sources[0]) if len(sources) == 1 else None
    flows = np.empty((len(targets), height, width, 2), np.float32)
    begins = range(0, len(targets), LANES)
    workspaces = [Workspace(width, height) for _ in range(min(num_threads, len(begins)))]

    def solve(begin: int) -> int:
        group = slice(begin, begin + LANES)
        workspace = workspaces.pop()
        try:
            flow = solver.solve(shared if shared is not None else sources[group], targets[group], workspace)
            flows[group] = np.moveaxis(flow, 3, 0)[: len(targets[group])]
        finally:
            workspaces.append(workspace)
        return len(targets[group])

    with ThreadPoolExecutor(max_workers=num_threads) as pool:
        for count in pool.map(solve, begins):
            if progress is not None:
                progress(count)
    return flows


class Workspace:
    """Memory that groups work in one after the other, aligned to cache lines and large enough for the finest level."""

    def __init__(self, width: int, height: int) -> None:
        pixels = (width + 2) * (height + 2)
        self.arrays = {name: _aligned(floats * pixels) for name, floats in FLOATS.items()}
        self.scratch, self.positions = _aligned(SCRATCH), _aligned(POSITIONS, np.int32)

    def array(self, name: str, *shape: int) -> Array:
        """The beginning of an array of `FLOATS` in a shape; what it holds is left from before."""
        return self.arrays[name][: int(np.prod(shape))].reshape(shape)


def _aligned(size: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Zeros that start at a multiple of 64 bytes; memory is taken from the system when it is first written to."""
    array = np.zeros(size + 16, dtype)
    start = -array.ctypes.data % 64 // array.itemsize
    return array[start : start + size]


class GroupSolver:
    """The algorithm for pictures of one size."""

    def __init__(self, parameters: Parameters, width: int, height: int) -> None:
        self.parameters = parameters
        self.sizes = pyramid_sizes(width, height, parameters.ratio, parameters.min_width)

    def solve(self, sources: list[Array] | Array, targets: Array, workspace: Workspace) -> Array:
        """Flow ``[H, W, 2, 16]``, in the workspace, to N <= 16 targets from one source's terms or from N images."""
        pyramids = [self.pyramid(target) for target in targets]
        source_pyramids = [] if isinstance(sources, list) else [self.pyramid(source) for source in sources]
        flow = None
        for level in reversed(range(len(self.sizes))):
            width, height = self.sizes[level]
            target_features = workspace.array("targets", len(targets), height + 1, width + PADDING, PIXEL)
            for lane, pyramid in enumerate(pyramids):
                features(pyramid[level], target_features[lane])
            if isinstance(sources, list):
                terms = sources[level]
            else:
                terms = self._terms_of_lanes([pyramid[level] for pyramid in source_pyramids], workspace)
            coarser, flow = flow, workspace.array("flow" if level % 2 == 0 else "coarser flow", height, width, 2, LANES)
            if coarser is None:
                flow[:] = 0.0
            else:
                upsample_flow(coarser, flow, 1.0 / self.parameters.ratio)
            self._refine(level, terms, target_features, flow, workspace)
        assert flow is not None
        return flow

    def _refine(self, level: int, terms: Array, target_features: Array, flow: Array, workspace: Workspace) -> None:
        width, height = self.sizes[level]
        state = workspace.array("state", height + 2, width + 2, 2, LANES)
        coefficients = workspace.array("coefficients", height + 1, width + 1, COEFFICIENT)
        p = self.parameters
        memory = state, coefficients, workspace.scratch, workspace.positions
        counts = int(p.num_outer) + level, int(p.num_inner), int(p.num_sor) + 3 * level
        solve_level(target_features, terms, flow, *memory, p.channels, np.float32(p.alpha), *counts)

    def terms(self, source: Array) -> list[Array]:
        """What the solver needs of one source, ``[H, W, 4, 5]`` of each level."""
        pictures = self.pyramid(source)
        return [self._terms(picture, np.empty((*picture.shape[1:], 4, PIXEL), np.float32)) for picture in pictures]

    def _terms(self, picture: Array, out: Array) -> Array:
        height, width = picture.shape[1:]
        picture_features = np.empty((height + 1, width + PADDING, PIXEL), np.float32)
        features(picture, picture_features)
        source_terms(picture_features, out)
        return out

    def _terms_of_lanes(self, pictures: Sequence[Array], workspace: Workspace) -> Array:
        """``[H, W, 4, 5, 16]``: the terms of one level of up to 16 sources, each in its lane."""
        height, width = pictures[0].shape[1:]
        lanes = workspace.array("terms of lanes", len(pictures), height, width, 4, PIXEL)
        for picture, out in zip(pictures, lanes, strict=True):
            self._terms(picture, out)
        terms = workspace.array("terms", height, width, 4, PIXEL, LANES)
        interleave_terms(lanes, terms)
        return terms

    def pyramid(self, image: Array) -> list[Array]:
        """Planar ``[C, H, W]`` of each level, finest first (specification step 1)."""
        widths = [size[0] for size in self.sizes]
        pictures = [_planar(image, self.parameters.color_type)]
        for level in range(1, len(self.sizes)):
            parent, rate, sigma = level_origin(level, widths, self.parameters.ratio)
            taps = blur_taps(sigma)
            blurred = blur(pictures[parent], taps) if len(taps) > 1 else pictures[parent]
            pictures.append(resize(blurred, rate, self.sizes[level][1], self.sizes[level][0]))
        return pictures


def _planar(image: Array, color_type: int) -> Array:
    """``[C, H, W]``: RGB, or with ``color_type`` 1 one channel of brightness."""
    if color_type == 0:
        return np.ascontiguousarray(np.moveaxis(image, 2, 0))
    if image.shape[2] == 3:
        return np.ascontiguousarray((image @ np.array([0.299, 0.587, 0.114], np.float32))[None])
    return np.ascontiguousarray(image[None, :, :, 0])
