"""The compiled loops of :mod:`models.splatting.compiled`, one image of a batch at a time. Imported late: numba.

For an image of H x W pixels: ``flow`` ``[2, H, W]`` and ``importance`` ``[H, W]`` in float32 or float64, ``coverage``,
``peak`` and ``total`` ``[H * W]`` in the same type, ``begin`` int32 ``[H * W + 1]``, and of the whole batch ``source``
int32 and ``weight``, as :func:`models.splatting.operators.plan` describes them.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SUMMATION, LINEAR, SOFTMAX = 0, 2, 3  # places in models.splatting.reference.MODES


@njit(cache=True, nogil=True, inline="always")
def landing(flow, y, x):
    """Where a pixel lands: whether any of its corners is inside, the top left one, and the fractions beyond it."""
    height, width = flow.shape[1], flow.shape[2]
    u, v = flow[0, y, x], flow[1, y, x]
    reach = 2 * max(height, width)
    # What moves further lands outside, and may not fit into an integer. NaN compares false, too.
    if not (abs(u) <= reach and abs(v) <= reach):
        return False, 0, 0, u, v
    whole_u, whole_v = np.floor(u), np.floor(v)
    left, top = x + np.int32(whole_u), y + np.int32(whole_v)
    return -1 <= left < width and -1 <= top < height, left, top, u - whole_u, v - whole_v


@njit(cache=True, nogil=True, inline="always")
def corners(left, top, across, down, height, width, one):
    """Bilinear weights of top left, top right, bottom left and bottom right; 0 outside."""
    right = across if left + 1 < width else one - one
    down, up = down if top + 1 < height else one - one, one - down if top >= 0 else one - one
    across = one - across if left >= 0 else one - one
    return across * up, right * up, across * down, right * down


@njit(cache=True, nogil=True)
def count(flow, importance, coverage, begin, peak, mode):
    """How many corners land on each target (at ``begin[target + 1]``), their weight and their highest importance."""
    height, width = flow.shape[1], flow.shape[2]
    one = flow.dtype.type(1)
    coverage[:] = 0
    for y in range(height):
        for x in range(width):
            inside, left, top, across, down = landing(flow, y, x)
            if not inside:
                continue
            target = top * width + left
            for k, bilinear in enumerate(corners(left, top, across, down, height, width, one)):
                if bilinear > 0:
                    place = target + (k & 1) + (k >> 1) * width
                    begin[place + 1] += 1
                    coverage[place] += bilinear
                    if mode == SOFTMAX:
                        peak[place] = max(peak[place], importance[y, x])


@njit(cache=True, nogil=True)
def fill(flow, importance, begin, source, weight, peak, total, first, mode):
    """Each corner into its place among its target's entries, then their weights over the sum of them.

    ``first`` is the number of the image's first pixel in the batch.
    """
    height, width = flow.shape[1], flow.shape[2]
    one = flow.dtype.type(1)
    following = begin[:-1].copy()
    for y in range(height):
        for x in range(width):
            inside, left, top, across, down = landing(flow, y, x)
            if not inside:
                continue
            target = top * width + left
            z = importance[y, x]
            for k, bilinear in enumerate(corners(left, top, across, down, height, width, one)):
                if bilinear > 0:
                    place = target + (k & 1) + (k >> 1) * width
                    raw = bilinear
                    if mode == LINEAR:
                        raw *= max(z, one - one)
                    elif mode == SOFTMAX and z < peak[place]:  # exp(0) need not be computed
                        raw *= math.exp(z - peak[place])
                    entry = following[place]
                    following[place] = entry + 1
                    source[entry] = first + y * width + x
                    weight[entry] = raw
                    if mode != SUMMATION:
                        total[place] += raw
    if mode != SUMMATION:
        normalise(begin, weight, total)


@njit(cache=True, nogil=True)
def normalise(begin, weight, total):
    """Divide the entries of each target by their sum, as `models.splatting.reference.divisor` has it."""
    least = np.finfo(weight.dtype).tiny
    for target in range(len(total)):
        # Where no weight is positive (linear splatting of importance 0), nothing is to land.
        factor = 1 / max(total[target], least) if total[target] > 0 else 0 * total[target]
        for entry in range(begin[target], begin[target + 1]):
            weight[entry] *= factor
