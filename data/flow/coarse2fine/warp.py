"""The compiled backward warp of the coarse-to-fine flow: features of 16 targets at the places that a flow points to.

Arrays of a group are laid out as `data.flow.coarse2fine.kernels` says. Imported late, because it imports numba.
"""

# mypy: disable-error-code="call-arg, var-annotated"
# (numba gives an intrinsic its first argument, the typing context, and types what it returns.)

from __future__ import annotations

import numpy as np

from data.flow.coarse2fine.cache import compiled
from data.flow.coarse2fine.pyramid import FLOW, LANES, PADDING, PIXEL, TERMS
from data.flow.coarse2fine.simd import (
    clamp,
    floor,
    load8,
    load16,
    load_term,
    prefetch,
    splat8,
    splat16,
    store,
    store_positions,
    transpose_pixels,
    within,
)


@compiled
def corners(flow, y, start, stop, height, width, positions, weights):
    """Where columns of one row point to: the upper left pixel and four bilinear weights, all 0 outside the picture.

    The fraction of a position is that of the flow alone: the sum of a column and a small flow would lose digits.
    """
    up, down_limit = np.float32(-y), np.float32(height - 1 - y)
    for x in range(start, stop):
        place, out = (y * width + x) * FLOW, (x - start) * LANES
        left, right = np.float32(-x), np.float32(width - 1 - x)
        u, v = load16(flow, place), load16(flow, place + LANES)
        inside = within(u, left, right) * within(v, up, down_limit)
        u, v = clamp(u, left, right), clamp(v, up, down_limit)
        columns, rows = floor(u), floor(v)
        stride = width + PADDING
        store_positions(positions, out, np.int32(y * stride + x), rows, columns, np.int32(stride))
        across, down = u - columns, v - rows
        lower = inside * down
        upper = inside - lower
        store(weights, 4 * out, upper - upper * across)
        store(weights, 4 * out + LANES, upper * across)
        store(weights, 4 * out + 2 * LANES, lower - lower * across)
        store(weights, 4 * out + 3 * LANES, lower * across)


@compiled
def warp_row(targets, source, flow, y, start, stop, channels, out, positions, weights, pixels):
    """Target features at ``(x + u, y + v)``, the source's own outside the picture: columns of one row into ``out``.

    A corner is a whole pixel of a target's interleaved features, so a pixel of the group takes 64 loads in place of
    5 x 4 gathers; lane by lane, so that each target is read along a row, and the row that the next call will want is
    fetched ahead. Lanes beyond ``len(targets)`` keep what ``pixels`` holds. ``out`` needs room for two more vectors.
    """
    height, width = source.shape[0], source.shape[1]
    row_step = (width + PADDING) * PIXEL
    corners(flow, y, start, stop, height, width, positions, weights)
    for lane in range(targets.shape[0]):
        picture = targets[lane]
        for i in range(stop - start):
            at, share = np.int64(positions[i * LANES + lane]) * PIXEL, i * 4 * LANES + lane
            prefetch(picture, at + 2 * row_step)
            value = load8(picture, at) * splat8(weights[share])
            value += load8(picture, at + PIXEL) * splat8(weights[share + LANES])
            value += load8(picture, at + row_step) * splat8(weights[share + 2 * LANES])
            value += load8(picture, at + row_step + PIXEL) * splat8(weights[share + 3 * LANES])
            store(pixels, (i * LANES + lane) * 8, value)
    one = splat16(np.float32(1.0))
    for x in range(start, stop):
        i = x - start
        place, share, terms = i * channels * LANES, i * 4 * LANES, (y * width + x) * TERMS
        transpose_pixels(pixels, i * LANES * 8, out, place)
        inside = load16(weights, share) + load16(weights, share + LANES)
        outside = one - inside - load16(weights, share + 2 * LANES) - load16(weights, share + 3 * LANES)
        for c in range(channels):
            value = load16(out, place + c * LANES) + outside * load_term(source, terms + c)
            store(out, place + c * LANES, value)
