"""The compiled solver of the coarse-to-fine flow: 16 pairs side by side, one a SIMD lane.

Gauss-Seidel in raster order is serial along a row, so the vector runs across pairs, not across pixels. Arrays of a
group of 16 pairs are ``[row, column, field, lane]`` float32; a lane never looks at another, so its result does not
depend on its neighbours. Features are ``[row, column, 5]`` as `data.flow.coarse2fine.pyramid` makes them. Vectors of 16
must start at a multiple of 64 bytes to be fast: one that straddles two cache lines costs twice. Imported late, because
it imports numba; parameters are checked in `data.flow.coarse2fine`.
"""

# mypy: disable-error-code="call-arg, var-annotated"
# (numba gives an intrinsic its first argument, the typing context, and types what it returns.)

from __future__ import annotations

import numpy as np

from data.flow.coarse2fine.cache import compiled
from data.flow.coarse2fine.linearise import (
    COEFFICIENT,
    CROSS,
    OMEGA,
    RIGHT_U,
    RIGHT_V,
    SCALE_U,
    SCALE_V,
    WEIGHT,
    linearise,
)
from data.flow.coarse2fine.pyramid import FLOW, LANES
from data.flow.coarse2fine.simd import load16, splat16, store

SWEEPS = 16  # sweeps in flight at once, at most, and
TILE = 48  # columns they advance by: about 450 KB


@compiled
def relax_row(state, coefficients, y, start, stop, width):
    """One successive over-relaxation sweep over columns ``start .. stop`` of a row, left to right, u before v."""
    state_step, coefficient_step = (width + 2) * FLOW, (width + 1) * COEFFICIENT
    place = (y + 1) * state_step + (start + 1) * FLOW
    at = (y + 1) * coefficient_step + (start + 1) * COEFFICIENT
    keep = splat16(np.float32(1.0) - OMEGA)
    left_u, left_v = load16(state, place - FLOW), load16(state, place - FLOW + LANES)
    u, v = load16(state, place), load16(state, place + LANES)
    weight_left = load16(coefficients, at - COEFFICIENT)
    for _ in range(start, stop):
        right_u, right_v = load16(state, place + FLOW), load16(state, place + FLOW + LANES)
        weight = load16(coefficients, at + WEIGHT)
        weight_above = load16(coefficients, at - coefficient_step)
        cross = load16(coefficients, at + CROSS)
        scale_u, scale_v = load16(coefficients, at + SCALE_U), load16(coefficients, at + SCALE_V)
        sum_u = load16(coefficients, at + RIGHT_U) + weight_above * load16(state, place - state_step)
        sum_u = sum_u + weight * (right_u + load16(state, place + state_step)) - cross * v
        sum_v = load16(coefficients, at + RIGHT_V) + weight_above * load16(state, place - state_step + LANES)
        sum_v = sum_v + weight * (right_v + load16(state, place + state_step + LANES))
        # The left neighbour comes last, so that the serial chain along the row is one fused instruction a field.
        left_u = keep * u + scale_u * sum_u + (scale_u * weight_left) * left_u
        left_v = keep * v + scale_v * sum_v - (scale_v * cross) * left_u + (scale_v * weight_left) * left_v
        store(state, place, left_u)
        store(state, place + LANES, left_v)
        u, v, weight_left = right_u, right_v, weight
        place += FLOW
        at += COEFFICIENT


@compiled
def relax(state, coefficients, height, width, num_sweeps):
    """All sweeps of one outer iteration, exactly as if done one after the other in raster order.

    Sweep s of pixel (y, x) needs only pixels that are no later in any of (s, y + s, x + s), so tiles of that skewed
    space may be done one at a time, with their data in cache.
    """
    done, passes = 0, (num_sweeps + SWEEPS - 1) // SWEEPS
    for number in range(passes):  # each reads the whole system, so none should be left for a few sweeps
        sweeps = (num_sweeps - done) // (passes - number)
        done += sweeps
        for tile in range(0, width + sweeps - 1, TILE):
            for wave in range(height + sweeps - 1):
                for sweep in range(max(0, wave - height + 1), min(sweeps, wave + 1)):
                    start, stop = max(tile - sweep, 0), min(tile + TILE - sweep, width)
                    if start < stop:
                        relax_row(state, coefficients, wave - sweep, start, stop, width)


@compiled
def solve_level(
    targets, source, flow, state, coefficients, scratch, positions, channels, alpha, num_outer, num_inner, num_sweeps
):
    """Refine a group's flow ``[H, W, 2, 16]`` in place on one pyramid level.

    Args:
        targets: ``[N, H + 1, W + 2, 5]`` features, N at most 16.
        source: ``[H, W, 4, 5]`` from `source_terms`, or ``[H, W, 4, 5, 16]``, a source for each lane.
        state: ``[H + 2, W + 2, 2, 16]``, coefficients: ``[H + 1, W + 1, 96]``, scratch: ``[SCRATCH]``,
            positions: int32 ``[POSITIONS]``: memory to work in; of ``pixels`` in scratch, the lanes from N on are read.
    """
    height, width = source.shape[0], source.shape[1]
    zero = splat16(np.float32(0.0))
    for i in range(0, (height + 2) * (width + 2) * FLOW, LANES):
        store(state, i, zero)
    for x in range(width + 1):  # no weight leads out of the picture, up
        store(coefficients, x * COEFFICIENT + WEIGHT, zero)
    for y in range(1, height + 1):  # or left
        store(coefficients, y * (width + 1) * COEFFICIENT + WEIGHT, zero)
    for _ in range(num_outer):
        for inner in range(num_inner):
            linearise(targets, source, flow, state, coefficients, channels, alpha, scratch, positions)
            if inner > 0:
                for i in range(0, (height + 2) * (width + 2) * FLOW, LANES):
                    store(state, i, zero)
            relax(state, coefficients, height, width, num_sweeps)
        for y in range(height):
            place, row = y * width * FLOW, ((y + 1) * (width + 2) + 1) * FLOW
            for i in range(0, width * FLOW, LANES):
                store(flow, place + i, load16(flow, place + i) + load16(state, row + i))
                store(state, row + i, zero)
