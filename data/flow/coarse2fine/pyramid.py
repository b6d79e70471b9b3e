"""Compiled kernels of the coarse-to-fine flow for everything but the solver: blur, resize, features, layouts.

Pictures are planar ``[channel, row, column]``, features interleaved ``[row, column, 5]``, so that a warp loads whole
pixels. Imported late, because it imports numba; parameters are checked in `data.flow.coarse2fine`.
"""

# mypy: disable-error-code="call-arg"
# (numba gives an intrinsic its first argument, the typing context.)

from __future__ import annotations

import numpy as np

from data.flow.coarse2fine.cache import compiled
from data.flow.coarse2fine.simd import load16, splat16, store

LANES = 16
PIXEL = 5  # floats from one pixel of a feature picture to the next
TERMS = 4 * PIXEL  # of a source
PADDING = 2  # columns beside a feature picture: a load of 8 floats must not leave the array
FLOW = 2 * LANES  # floats from one pixel of a group's flow to the next: u, then v
SMOOTH_OUTER, SMOOTH_INNER, SMOOTH_CENTRE = np.float32(0.02), np.float32(0.11), np.float32(0.74)
SOURCE_SHARE = np.float32(0.4)  # of the source in the picture whose derivatives are taken; the target has the rest
TWELFTH = np.float32(1.0 / 12.0)


@compiled
def blur(picture, taps):
    """Separable blur ``[C, H, W]``, horizontal then vertical, edges clamped; ``taps`` holds those of 0 .. radius.

    Rows are copied in loops: an assignment of slices brings numba's texts for shapes that differ, slow to compile.
    """
    channels, height, width = picture.shape
    radius = len(taps) - 1
    across = np.empty((channels, height, width), np.float32)
    out = np.empty((channels, height, width), np.float32)
    padded = np.empty(width + 2 * radius, np.float32)
    for c in range(channels):
        for y in range(height):
            line, row = picture[c, y], across[c, y]
            for x in range(radius):
                padded[x], padded[radius + width + x] = line[0], line[width - 1]
            for x in range(width):
                padded[radius + x] = line[x]
                row[x] = taps[0] * line[x]
            for r in range(1, radius + 1):
                tap, left, right = taps[r], padded[radius - r :], padded[radius + r :]
                for x in range(width):
                    row[x] += tap * (left[x] + right[x])
        for y in range(height):
            line, row = across[c, y], out[c, y]
            for x in range(width):
                row[x] = taps[0] * line[x]
            for r in range(1, radius + 1):
                tap, above, below = taps[r], across[c, max(y - r, 0)], across[c, min(y + r, height - 1)]
                for x in range(width):
                    row[x] += tap * (above[x] + below[x])
    return out


@compiled
def resample_positions(size, source_size, rate):
    """Bilinear taps of an axis: position ``(j + 1) / rate - 1``, truncated, its fraction and both indices clamped."""
    first, second, fraction = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.float32)
    for j in range(size):
        position = (j + 1) / rate - 1.0
        whole = int(position)  # towards zero
        fraction[j] = min(max(position - whole, 0.0), 1.0)
        first[j] = min(max(whole, 0), source_size - 1)
        second[j] = min(max(whole + 1, 0), source_size - 1)
    return first, second, fraction


@compiled
def resize(picture, rate, height, width):
    """Bilinear resize of ``[C, H, W]`` at the nominal rate."""
    left, right, across = resample_positions(width, picture.shape[2], rate)
    top, bottom, down = resample_positions(height, picture.shape[1], rate)
    out = np.empty((picture.shape[0], height, width), np.float32)
    for c in range(picture.shape[0]):
        for y in range(height):
            above, below, share, row = picture[c, top[y]], picture[c, bottom[y]], down[y], out[c, y]
            for x in range(width):
                i, j = left[x], right[x]
                first = above[i] + share * (below[i] - above[i])
                second = above[j] + share * (below[j] - above[j])
                row[x] = first + across[x] * (second - first)
    return out


@compiled
def features(picture, out):
    """Y, its two derivatives and, for RGB, G - R and G - B of ``[C, H, W]``, into ``[H + 1, W + 2, 5]``.

    The extra row and columns are zero: a warp may multiply them by a zero weight.
    """
    channels, height, width = picture.shape
    out[height] = 0.0
    out[:, width:] = 0.0
    brightness = np.empty((height, width + 4), np.float32)
    for y in range(height):
        row = brightness[y]
        for x in range(width):
            if channels == 3:
                row[x + 2] = (
                    np.float32(0.299) * picture[0, y, x]
                    + np.float32(0.587) * picture[1, y, x]
                    + np.float32(0.114) * picture[2, y, x]
                )
            else:
                row[x + 2] = picture[0, y, x]
        row[:2] = row[2]
        row[width + 2 :] = row[width + 1]
    for y in range(height):
        row = brightness[y]
        above, above2 = brightness[max(y - 1, 0)], brightness[max(y - 2, 0)]
        below, below2 = brightness[min(y + 1, height - 1)], brightness[min(y + 2, height - 1)]
        for x in range(width):
            pixel, i = out[y, x], x + 2
            pixel[0] = row[i]
            pixel[1] = TWELFTH * (row[i - 2] - row[i + 2] + np.float32(8.0) * (row[i + 1] - row[i - 1]))
            pixel[2] = TWELFTH * (above2[i] - below2[i] + np.float32(8.0) * (below[i] - above[i]))
            pixel[3] = picture[1, y, x] - picture[0, y, x] if channels == 3 else np.float32(0.0)
            pixel[4] = picture[1, y, x] - picture[2, y, x] if channels == 3 else np.float32(0.0)


@compiled
def source_terms(picture_features, out):
    """What the solver needs of a source, into ``[H, W, 4, 5]``: features, smoothed, their share of both derivatives."""
    height, width = out.shape[0], out.shape[1]
    smooth_rows = np.empty((height, width, PIXEL), np.float32)
    for y in range(height):
        for x in range(width):
            a, b = picture_features[y, max(x - 2, 0)], picture_features[y, max(x - 1, 0)]
            c, d = picture_features[y, min(x + 1, width - 1)], picture_features[y, min(x + 2, width - 1)]
            centre = picture_features[y, x]
            for i in range(PIXEL):
                smooth_rows[y, x, i] = (
                    SMOOTH_CENTRE * centre[i] + SMOOTH_INNER * (b[i] + c[i]) + SMOOTH_OUTER * (a[i] + d[i])
                )
                out[y, x, 0, i] = centre[i]
    for y in range(height):
        a, b = smooth_rows[max(y - 2, 0)], smooth_rows[max(y - 1, 0)]
        c, d = smooth_rows[min(y + 1, height - 1)], smooth_rows[min(y + 2, height - 1)]
        for x in range(width):
            for i in range(PIXEL):
                out[y, x, 1, i] = (
                    SMOOTH_CENTRE * smooth_rows[y, x, i]
                    + SMOOTH_INNER * (b[x, i] + c[x, i])
                    + SMOOTH_OUTER * (a[x, i] + d[x, i])
                )
    share, eight = SOURCE_SHARE * TWELFTH, np.float32(8.0)
    for y in range(height):
        y_2, y_1, y1, y2 = max(y - 2, 0), max(y - 1, 0), min(y + 1, height - 1), min(y + 2, height - 1)
        for x in range(width):
            x_2, x_1, x1, x2 = max(x - 2, 0), max(x - 1, 0), min(x + 1, width - 1), min(x + 2, width - 1)
            for i in range(PIXEL):
                out[y, x, 2, i] = share * (
                    out[y, x_2, 1, i] - out[y, x2, 1, i] + eight * (out[y, x1, 1, i] - out[y, x_1, 1, i])
                )
                out[y, x, 3, i] = share * (
                    out[y_2, x, 1, i] - out[y2, x, 1, i] + eight * (out[y1, x, 1, i] - out[y_1, x, 1, i])
                )


@compiled
def interleave_terms(terms, out):
    """Terms of N sources ``[N, H, W, 4, 5]`` into the first N lanes of ``[H, W, 4, 5, 16]``."""
    size = out.shape[0] * out.shape[1] * TERMS
    flat = terms.reshape(terms.shape[0], size)
    lanes = out.reshape(size, LANES)
    for i in range(size):
        for lane in range(flat.shape[0]):
            lanes[i, lane] = flat[lane, i]


@compiled
def upsample_flow(flow, out, scale):
    """Bilinear resize of a group's flow ``[h, w, 2, 16]`` to a finer level, vectors multiplied by ``scale``."""
    height, width = out.shape[0], out.shape[1]
    left, right, across = resample_positions(width, flow.shape[1], width / flow.shape[1])
    top, bottom, down = resample_positions(height, flow.shape[0], height / flow.shape[0])
    gain, stride = splat16(np.float32(scale)), flow.shape[1] * FLOW
    for y in range(height):
        above, below, share = top[y] * stride, bottom[y] * stride, splat16(down[y])
        for x in range(width):
            i, j, fraction = left[x] * FLOW, right[x] * FLOW, splat16(across[x])
            for field in range(0, FLOW, LANES):
                corner = load16(flow, above + i + field)
                first = corner + share * (load16(flow, below + i + field) - corner)
                corner = load16(flow, above + j + field)
                second = corner + share * (load16(flow, below + j + field) - corner)
                store(out, (y * width + x) * FLOW + field, gain * (first + fraction * (second - first)))
