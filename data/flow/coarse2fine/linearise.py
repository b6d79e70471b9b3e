"""The compiled data and smoothness terms of the coarse-to-fine flow: the linear system of an outer iteration.

Arrays of a group are laid out as `data.flow.coarse2fine.kernels` says. Imported late, because it imports numba.
"""

# mypy: disable-error-code="call-arg, var-annotated"
# (numba gives an intrinsic its first argument, the typing context, and types what it returns.)

from __future__ import annotations

import numpy as np

from data.flow.coarse2fine.cache import compiled
from data.flow.coarse2fine.pyramid import (
    FLOW,
    LANES,
    PIXEL,
    SMOOTH_CENTRE,
    SMOOTH_INNER,
    SMOOTH_OUTER,
    SOURCE_SHARE,
    TERMS,
    TWELFTH,
)
from data.flow.coarse2fine.simd import load16, load_term, reciprocal_sqrt, splat16, store
from data.flow.coarse2fine.warp import warp_row

OMEGA = np.float32(1.8)
EPSILON = np.float32(1e-6)
TARGET_SHARE = np.float32(1.0) - SOURCE_SHARE

# Fields of `coefficients`, in floats from the start of a pixel: weight alpha * phi, both right-hand sides, a12, and
# omega over each diagonal.
WEIGHT, RIGHT_U, RIGHT_V, CROSS, SCALE_U, SCALE_V = 0, 16, 32, 48, 64, 80
COEFFICIENT = 96
STRIP = 48  # columns linearised at once, so that their five-row windows stay in cache,
SPAN = STRIP + 8  # and those that are warped for it

# What `linearise` works in: offsets in floats, all of whole cache lines.
ACROSS = SPAN * PIXEL * LANES + 2 * LANES  # behind the warped row
SMOOTH = ACROSS + 5 * SPAN * PIXEL * LANES
WEIGHTS = SMOOTH + 5 * SPAN * PIXEL * LANES
PIXELS = WEIGHTS + SPAN * 4 * LANES
SCRATCH = PIXELS + SPAN * 8 * LANES
POSITIONS = SPAN * LANES  # int32


@compiled
def _smooth5(array, a, b, c, d, e):
    outer = load16(array, a) + load16(array, e)
    inner = load16(array, b) + load16(array, d)
    centre = load16(array, c) * splat16(SMOOTH_CENTRE)
    return centre + inner * splat16(SMOOTH_INNER) + outer * splat16(SMOOTH_OUTER)


@compiled
def _derivative5(array, a, b, d, e):
    share = TARGET_SHARE * TWELFTH
    difference = load16(array, d) - load16(array, b)
    return (load16(array, a) - load16(array, e)) * splat16(share) + difference * splat16(np.float32(8.0) * share)


@compiled
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


@compiled
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
        terms = (y * width + x) * TERMS
        du, dv = load16(state, inner), load16(state, inner + LANES)
        a11, a22, a12, b1, b2 = zero, zero, zero, zero, zero
        for c in range(channels):
            at = (x - start + offset) * step + c * LANES
            i = here + at
            gradient_x = load_term(source, terms + 2 * PIXEL + c) + _derivative5(
                smooth, i - 2 * step, i - step, i + step, i + 2 * step
            )
            gradient_y = load_term(source, terms + 3 * PIXEL + c) + _derivative5(
                smooth, above2 + at, above + at, below + at, below2 + at
            )
            change = load16(smooth, i) - load_term(source, terms + PIXEL + c)
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


@compiled
def linearise(targets, source, flow, state, coefficients, channels, alpha, scratch, positions):
    """Warp, smooth, differentiate and fill ``coefficients``, strip by strip of columns, row by row.

    Each strip keeps five rows of horizontally smoothed and five of fully smoothed features: nothing of a picture's size
    is written but the coefficients.
    """
    height, width = source.shape[0], source.shape[1]
    step = channels * LANES
    warped, across, smooth = scratch[:ACROSS], scratch[ACROSS:SMOOTH], scratch[SMOOTH:WEIGHTS]
    weights, pixels = scratch[WEIGHTS:PIXELS], scratch[PIXELS:]
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
                ring = (wave % 5) * SPAN
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
                    rows[k] = (min(max(y + k - 2, 0), height - 1) % 5) * SPAN * step
                ring = (y % 5) * SPAN * step
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
                    rows[k] = (min(max(y + k - 2, 0), height - 1) % 5) * SPAN * step
                coefficient_row(smooth, rows, 2, source, flow, state, coefficients, y, start, stop, channels, alpha)
