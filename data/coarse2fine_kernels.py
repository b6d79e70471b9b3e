"""The compiled solver of the coarse-to-fine flow: 16 targets of one source side by side, one a SIMD lane.

Gauss-Seidel in raster order is serial along a row, so the vector runs across pairs, not across pixels. Arrays of a
group of 16 pairs are ``[row, column, field, lane]`` float32; a lane never looks at another, so its result does not
depend on its neighbours. Features are ``[row, column, 5]`` as `data.coarse2fine_pyramid` makes them.
Imported late, because it imports numba; parameters are checked in `data.coarse2fine`.
"""

# mypy: disable-error-code="call-arg, var-annotated"
# (numba gives an intrinsic its first argument, the typing context, and types what it returns.)

from __future__ import annotations

import numpy as np
from numba import njit

from data.coarse2fine_pyramid import (
    FLOW,
    LANES,
    PADDING,
    PIXEL,
    SMOOTH_CENTRE,
    SMOOTH_INNER,
    SMOOTH_OUTER,
    SOURCE_SHARE,
    TWELFTH,
)
from data.coarse2fine_simd import (
    clamp,
    load8,
    load16,
    reciprocal_sqrt,
    splat8,
    splat16,
    store,
    store_positions,
    transpose_pixels,
    truncate,
    within,
)

OMEGA = np.float32(1.8)
EPSILON = np.float32(1e-6)

# Fields of `coefficients`, in floats from the start of a pixel: weight alpha * phi, both right-hand sides, a12, and
# omega over each diagonal.
WEIGHT, RIGHT_U, RIGHT_V, CROSS, SCALE_U, SCALE_V = 0, 16, 32, 48, 64, 80
COEFFICIENT = 96
STRIP = 48  # columns linearised at once, so that their five-row windows stay in cache
SWEEPS = 10  # sweeps in flight at once, and
TILE = 32  # columns they advance by: about 250 KB

TARGET_SHARE = np.float32(1.0) - SOURCE_SHARE


@njit(cache=True, nogil=True)
def corners(flow, y, start, stop, height, width, positions, weights):
    """Where columns of one row point to: the upper left pixel and four bilinear weights, all 0 outside the picture."""
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    for x in range(start, stop):
        place, out = (y * width + x) * FLOW, (x - start) * LANES
        column = load16(flow, place) + splat16(np.float32(x))
        row = load16(flow, place + LANES) + splat16(np.float32(y))
        inside = within(column, right) * within(row, bottom)
        column, row = clamp(column, right), clamp(row, bottom)
        whole_column, whole_row = truncate(column), truncate(row)
        store_positions(positions, out, whole_row, whole_column, np.int32(width + PADDING))
        across, down = column - whole_column, row - whole_row
        lower = inside * down
        upper = inside - lower
        store(weights, 4 * out, upper - upper * across)
        store(weights, 4 * out + LANES, upper * across)
        store(weights, 4 * out + 2 * LANES, lower - lower * across)
        store(weights, 4 * out + 3 * LANES, lower * across)


@njit(cache=True, nogil=True)
def warp_row(targets, source, flow, y, start, stop, channels, out, positions, weights, pixels):
    """Target features at ``(x + u, y + v)``, the source's own outside the picture: columns of one row into ``out``.

    A corner is a whole pixel of a target's interleaved features, so a pixel of the group takes 64 loads in place of
    5 x 4 gathers; lane by lane, so that each target is read along a row, which the hardware prefetches.
    """
    height, width = source.shape[0], source.shape[1]
    row_step = (width + PADDING) * PIXEL
    corners(flow, y, start, stop, height, width, positions, weights)
    for lane in range(LANES):
        picture = targets[lane]
        for i in range(stop - start):
            at, share = np.int64(positions[i * LANES + lane]) * PIXEL, i * 4 * LANES + lane
            value = load8(picture, at) * splat8(weights[share])
            value += load8(picture, at + PIXEL) * splat8(weights[share + LANES])
            value += load8(picture, at + row_step) * splat8(weights[share + 2 * LANES])
            value += load8(picture, at + row_step + PIXEL) * splat8(weights[share + 3 * LANES])
            store(pixels, (i * LANES + lane) * 8, value)
    one = splat16(np.float32(1.0))
    for x in range(start, stop):
        i = x - start
        transpose_pixels(pixels, i * LANES * 8)
        share = i * 4 * LANES
        inside = load16(weights, share) + load16(weights, share + LANES)
        outside = one - inside - load16(weights, share + 2 * LANES) - load16(weights, share + 3 * LANES)
        for c in range(channels):
            value = load16(pixels, (i * 8 + c) * LANES) + outside * splat16(source[y, x, 0, c])
            store(out, (i * channels + c) * LANES, value)


@njit(cache=True, nogil=True)
def _smooth5(array, a, b, c, d, e):
    outer = load16(array, a) + load16(array, e)
    inner = load16(array, b) + load16(array, d)
    centre = load16(array, c) * splat16(SMOOTH_CENTRE)
    return centre + inner * splat16(SMOOTH_INNER) + outer * splat16(SMOOTH_OUTER)


@njit(cache=True, nogil=True)
def _derivative5(array, a, b, d, e):
    share = TARGET_SHARE * TWELFTH
    difference = load16(array, d) - load16(array, b)
    return (load16(array, a) - load16(array, e)) * splat16(share) + difference * splat16(np.float32(8.0) * share)


@njit(cache=True, nogil=True)
def _smoothness_weight(flow, state, y, x, height, width, alpha):
    """alpha / 2 / sqrt(|grad u|^2 + |grad v|^2 + epsilon) of flow + increment; forward differences, 0 at the end."""
    place, inner, inner_row = (y * width + x) * FLOW, ((y + 1) * (width + 2) + x + 1) * FLOW, (width + 2) * FLOW
    total = splat16(EPSILON)
    for field in range(0, FLOW, LANES):
        centre = load16(flow, place + field) + load16(state, inner + field)
        if x < width - 1:
            step = load16(flow, place + FLOW + field) + load16(state, inner + FLOW + field) - centre
            total += step * step
        if y < height - 1:
            step = load16(flow, place + width * FLOW + field) + load16(state, inner + inner_row + field) - centre
            total += step * step
    return splat16(np.float32(0.5) * alpha) * reciprocal_sqrt(total)


@njit(cache=True, nogil=True)
def coefficient_row(smooth, rows, offset, source, flow, state, coefficients, y, start, stop, channels, alpha):
    """The linear system of one row: data term and smoothness, into ``coefficients`` (specification steps 6 and 7).

    ``smooth`` is a window of smoothed warped rows; ``rows`` holds where rows y-2 .. y+2 start in it, and column
    ``start`` is ``offset`` pixels in.
    """
    height, width = source.shape[0], source.shape[1]
    step = channels * LANES
    zero, one = splat16(np.float32(0.0)), splat16(np.float32(1.0))
    omega, floor = splat16(OMEGA), splat16(np.float32(0.05) * alpha)
    half = splat16(np.float32(0.5 / channels))
    coefficient_step = (width + 1) * COEFFICIENT
    above2, above, here, below, below2 = rows[0], rows[1], rows[2], rows[3], rows[4]
    for x in range(start, stop):
        place, inner = (y * width + x) * FLOW, ((y + 1) * (width + 2) + x + 1) * FLOW
        du, dv = load16(state, inner), load16(state, inner + LANES)
        a11, a22, a12, b1, b2 = zero, zero, zero, zero, zero
        for c in range(channels):
            at = (x - start + offset) * step + c * LANES
            i = here + at
            gradient_x = splat16(source[y, x, 2, c]) + _derivative5(
                smooth, i - 2 * step, i - step, i + step, i + 2 * step
            )
            gradient_y = splat16(source[y, x, 3, c]) + _derivative5(
                smooth, above2 + at, above + at, below + at, below2 + at
            )
            change = load16(smooth, i) - splat16(source[y, x, 1, c])
            residual = change + gradient_x * du + gradient_y * dv
            weight = half * reciprocal_sqrt(residual * residual + splat16(EPSILON))
            weighted_x, weighted_y = weight * gradient_x, weight * gradient_y
            a11 += weighted_x * gradient_x
            a22 += weighted_y * gradient_y
            a12 += weighted_x * gradient_y
            b1 -= weighted_x * change
            b2 -= weighted_y * change
        # Pixel (y, x) of `coefficients` is at row y + 1, column x + 1; row and column 0 are zero weights.
        out = (y + 1) * coefficient_step + (x + 1) * COEFFICIENT
        phi = _smoothness_weight(flow, state, y, x, height, width, alpha)
        phi_left, phi_above = load16(coefficients, out - COEFFICIENT), load16(coefficients, out - coefficient_step)
        u, v = load16(flow, place), load16(flow, place + LANES)
        diagonal = floor
        if x < width - 1:
            diagonal += phi
            b1 += phi * (load16(flow, place + FLOW) - u)
            b2 += phi * (load16(flow, place + FLOW + LANES) - v)
        if y < height - 1:
            diagonal += phi
            b1 += phi * (load16(flow, place + width * FLOW) - u)
            b2 += phi * (load16(flow, place + width * FLOW + LANES) - v)
        if x > 0:
            diagonal += phi_left
            b1 += phi_left * (load16(flow, place - FLOW) - u)
            b2 += phi_left * (load16(flow, place - FLOW + LANES) - v)
        if y > 0:
            diagonal += phi_above
            b1 += phi_above * (load16(flow, place - width * FLOW) - u)
            b2 += phi_above * (load16(flow, place - width * FLOW + LANES) - v)
        store(coefficients, out + WEIGHT, phi)
        store(coefficients, out + RIGHT_U, b1)
        store(coefficients, out + RIGHT_V, b2)
        store(coefficients, out + CROSS, a12)
        store(coefficients, out + SCALE_U, omega * (one / (a11 + diagonal)))
        store(coefficients, out + SCALE_V, omega * (one / (a22 + diagonal)))


@njit(cache=True, nogil=True)
def linearise(targets, source, flow, state, coefficients, channels, alpha):
    """Warp, smooth, differentiate and fill ``coefficients``, strip by strip of columns, row by row.

    Each strip keeps five rows of horizontally smoothed and five of fully smoothed features: nothing of a picture's size
    is written but the coefficients.
    """
    height, width = source.shape[0], source.shape[1]
    step = channels * LANES
    span = STRIP + 8
    warped = np.empty(span * step, np.float32)
    across = np.empty(5 * span * step, np.float32)
    smooth = np.empty(5 * span * step, np.float32)
    positions, weights = np.empty(span * LANES, np.int32), np.empty(span * 4 * LANES, np.float32)
    pixels = np.empty(span * 8 * LANES, np.float32)
    rows = np.empty(5, np.int64)
    for start in range(0, width, STRIP):
        stop = min(start + STRIP, width)
        warp_start, warp_stop = max(start - 4, 0), min(stop + 4, width)
        smooth_start, smooth_stop = max(start - 2, 0), min(stop + 2, width)
        for wave in range(height + 4):
            if wave < height:
                warp_row(
                    targets, source, flow, wave, warp_start, warp_stop, channels, warped, positions, weights, pixels
                )
                ring = (wave % 5) * span
                for x in range(smooth_start, smooth_stop):
                    a, b = max(x - 2, 0) - warp_start, max(x - 1, 0) - warp_start
                    d, e = min(x + 1, width - 1) - warp_start, min(x + 2, width - 1) - warp_start
                    for i in range(0, step, LANES):
                        value = _smooth5(
                            warped, a * step + i, b * step + i, (x - warp_start) * step + i, d * step + i, e * step + i
                        )
                        store(across, (ring + x - start + 2) * step + i, value)
            y = wave - 2
            if 0 <= y < height:
                for k in range(5):
                    rows[k] = (min(max(y + k - 2, 0), height - 1) % 5) * span * step
                ring = (y % 5) * span * step
                for i in range((smooth_start - start + 2) * step, (smooth_stop - start + 2) * step, LANES):
                    value = _smooth5(across, rows[0] + i, rows[1] + i, rows[2] + i, rows[3] + i, rows[4] + i)
                    store(smooth, ring + i, value)
                # Clamped edges: the window reaches two columns beyond the strip, and so may the picture's end.
                for x in range(start - 2, stop + 2):
                    if not 0 <= x < width:
                        edge, place = min(max(x, 0), width - 1) - start + 2, x - start + 2
                        for i in range(0, step, LANES):
                            store(smooth, ring + place * step + i, load16(smooth, ring + edge * step + i))
            y = wave - 4
            if 0 <= y < height:
                for k in range(5):
                    rows[k] = (min(max(y + k - 2, 0), height - 1) % 5) * span * step
                coefficient_row(smooth, rows, 2, source, flow, state, coefficients, y, start, stop, channels, alpha)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def relax(state, coefficients, height, width, num_sweeps):
    """All sweeps of one outer iteration, exactly as if done one after the other in raster order.

    Sweep s of pixel (y, x) needs only pixels that are no later in any of (s, y + s, x + s), so tiles of that skewed
    space may be done one at a time, with their data in cache.
    """
    for first in range(0, num_sweeps, SWEEPS):
        sweeps = min(SWEEPS, num_sweeps - first)
        for tile in range(0, width + sweeps - 1, TILE):
            for wave in range(height + sweeps - 1):
                for sweep in range(max(0, wave - height + 1), min(sweeps, wave + 1)):
                    start, stop = max(tile - sweep, 0), min(tile + TILE - sweep, width)
                    if start < stop:
                        relax_row(state, coefficients, wave - sweep, start, stop, width)


@njit(cache=True, nogil=True)
def solve_level(targets, source, flow, channels, alpha, num_outer, num_inner, num_sweeps):
    """Refine a group's flow ``[H, W, 2, 16]`` in place on one pyramid level.

    Args:
        targets: ``[16, H + 1, W + 2, 5]`` features.
        source: ``[H, W, 4, 5]`` from `source_terms`.
    """
    height, width = source.shape[0], source.shape[1]
    coefficients = np.zeros((height + 1, width + 1, COEFFICIENT), np.float32)
    state = np.zeros((height + 2, width + 2, FLOW), np.float32)
    zero = splat16(np.float32(0.0))
    for _ in range(num_outer):
        for _ in range(num_inner):
            linearise(targets, source, flow, state, coefficients, channels, alpha)
            state[:] = 0.0
            relax(state, coefficients, height, width, num_sweeps)
        for y in range(height):
            place, inner = y * width * FLOW, ((y + 1) * (width + 2) + 1) * FLOW
            for i in range(0, width * FLOW, LANES):
                store(flow, place + i, load16(flow, place + i) + load16(state, inner + i))
                store(state, inner + i, zero)
