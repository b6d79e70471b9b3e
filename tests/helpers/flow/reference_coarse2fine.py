"""The coarse-to-fine flow in plain float64 NumPy, step by step as described: what the fast kernels are held against.

Slow on purpose. The relaxation visits anti-diagonals, which gives the same numbers as raster order: a pixel needs the
new values of its left and upper neighbours, both on the diagonal before, and the old ones of the other two.
"""

from __future__ import annotations

import math

import numpy as np


def reference_flow(
    im1,
    im2,
    alpha=0.012,
    ratio=0.75,
    min_width=20,
    num_outer=7,
    num_inner=1,
    num_sor=30,
    color_type=0,
    *,
    relaxation=None,
):
    """``[H, W, 3]`` float images in [0, 1] -> ``[H, W, 2]`` float64 flow."""
    relaxation = relaxation or relax
    im1, im2 = np.asarray(im1, np.float64), np.asarray(im2, np.float64)
    if color_type == 1:
        im1, im2 = (image @ [0.299, 0.587, 0.114] for image in (im1, im2))
        im1, im2 = im1[..., None], im2[..., None]
    pyramid1, pyramid2 = pyramid(im1, ratio, min_width), pyramid(im2, ratio, min_width)
    u = v = None
    for level in reversed(range(len(pyramid1))):
        feature1, feature2 = features(pyramid1[level]), features(pyramid2[level])
        height, width = feature1.shape[:2]
        if u is None:
            u, v = np.zeros((height, width)), np.zeros((height, width))
        else:
            rates = width / u.shape[1], height / u.shape[0]
            u, v = (resize(field, *rates, width, height) / ratio for field in (u, v))
        for _ in range(num_outer + level):
            du, dv = np.zeros_like(u), np.zeros_like(v)
            for _ in range(num_inner):
                system = linearise(feature1, warp(feature1, feature2, u, v), u, v, du, dv, alpha)
                du, dv = relaxation(*system, alpha, num_sor + 3 * level)
            u, v = u + du, v + dv
    return np.stack([u, v], axis=-1)


def pyramid(image, ratio, min_width):
    width = image.shape[1]
    num_levels = max(int(math.log(min_width / width) / math.log(ratio)), 1)
    base, n = 1 / ratio - 1, int(math.log(0.25) / math.log(ratio))
    levels = [image]
    for i in range(1, num_levels):
        if i <= n:
            parent, sigma, rate = image, base * i, ratio**i
        else:
            parent, sigma = levels[i - n], base * n
            rate = ratio**i * width / parent.shape[1]
        new_width, new_height = int(parent.shape[1] * rate), int(parent.shape[0] * rate)
        if min(new_width, new_height) < 1:
            break
        levels.append(resize(blur(parent, sigma), rate, rate, new_width, new_height))
    return levels


def correlate(image, taps, axis):
    """1-D correlation with clamped edges."""
    radius, size = len(taps) // 2, image.shape[axis]
    return sum(
        tap * np.take(image, np.clip(np.arange(size) + k - radius, 0, size - 1), axis) for k, tap in enumerate(taps)
    )


def blur(image, sigma):
    radius = int(sigma * 3)
    taps = np.exp(-(np.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    return correlate(correlate(image, taps / taps.sum(), 1), taps / taps.sum(), 0)


def resize(image, rate_x, rate_y, width, height):
    def axis(size, source_size, rate):
        position = (np.arange(size) + 1) / rate - 1
        whole = np.trunc(position).astype(int)
        fraction = np.clip(position - whole, 0, 1)
        return np.clip(whole, 0, source_size - 1), np.clip(whole + 1, 0, source_size - 1), fraction

    left, right, across = axis(width, image.shape[1], rate_x)
    top, bottom, down = axis(height, image.shape[0], rate_y)
    across = across.reshape(-1, *[1] * (image.ndim - 2))
    down = down.reshape(-1, *[1] * (image.ndim - 1))
    rows = image[top] * (1 - down) + image[bottom] * down
    return rows[:, left] * (1 - across) + rows[:, right] * across


def derivative(image, axis):
    """[1, -8, 0, 8, -1] / 12, as differences: exactly 0 across a picture one pixel high, where rounding errors of
    any sign would decide whether a pixel moves out of it."""
    neighbour = [correlate(image, np.eye(5)[k], axis) for k in range(5)]
    return (neighbour[0] - neighbour[4] + 8 * (neighbour[3] - neighbour[1])) / 12


SMOOTH = np.array([0.02, 0.11, 0.74, 0.11, 0.02])


def features(image):
    gray = image @ [0.299, 0.587, 0.114] if image.shape[2] == 3 else image[..., 0]
    planes = [gray, derivative(gray, 1), derivative(gray, 0)]
    if image.shape[2] == 3:
        planes += [image[..., 1] - image[..., 0], image[..., 1] - image[..., 2]]
    return np.stack(planes, axis=-1)


def warp(feature1, feature2, u, v):
    height, width = u.shape
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + u, rows + v
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    x0, y0 = x.astype(int), y.astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    across, down = (x - x0)[..., None], (y - y0)[..., None]
    top = feature2[y0, x0] * (1 - across) + feature2[y0, x1] * across
    bottom = feature2[y1, x0] * (1 - across) + feature2[y1, x1] * across
    return np.where(inside[..., None], top * (1 - down) + bottom * down, feature1)


def linearise(feature1, warped, u, v, du, dv, alpha):
    """Coefficients of the linear system in the increment: a11, a22, a12, b1, b2 and the smoothness weight phi."""
    smooth1, smooth2 = (correlate(correlate(image, SMOOTH, 1), SMOOTH, 0) for image in (feature1, warped))
    mixed = 0.4 * smooth1 + 0.6 * smooth2
    dx, dy, dt = derivative(mixed, 1), derivative(mixed, 0), smooth2 - smooth1
    psi = 0.5 / np.sqrt((dt + dx * du[..., None] + dy * dv[..., None]) ** 2 + 1e-6)
    total = 1e-6
    for field in (u + du, v + dv):
        total = total + np.diff(field, axis=1, append=field[:, -1:]) ** 2
        total = total + np.diff(field, axis=0, append=field[-1:]) ** 2
    phi = 0.5 / np.sqrt(total)

    def laplacian(field):
        out = np.zeros_like(field)
        flux = phi[:, :-1] * (field[:, :-1] - field[:, 1:])
        out[:, :-1] += flux
        out[:, 1:] -= flux
        flux = phi[:-1] * (field[:-1] - field[1:])
        out[:-1] += flux
        out[1:] -= flux
        return out

    a11, a22, a12 = ((psi * product).mean(-1) for product in (dx * dx, dy * dy, dx * dy))
    b1 = -(psi * dx * dt).mean(-1) - alpha * laplacian(u)
    b2 = -(psi * dy * dt).mean(-1) - alpha * laplacian(v)
    return a11, a22, a12, b1, b2, phi


def relax(a11, a22, a12, b1, b2, phi, alpha, num_sweeps, omega=1.8):
    height, width = phi.shape
    rows, columns = np.mgrid[:height, :width]

    def framed(field):  # one pixel of zeros around, so that no neighbour needs a case of its own
        return np.pad(field, 1).ravel()

    right = framed(phi * (columns < width - 1))
    below = framed(phi * (rows < height - 1))
    stride = width + 2
    total = right + below + np.roll(right, 1) + np.roll(below, stride)
    a11, a22, a12, b1, b2 = map(framed, (a11, a22, a12, b1, b2))
    scale1 = omega / (a11 + 0.05 * alpha + alpha * total)
    scale2 = omega / (a22 + 0.05 * alpha + alpha * total)
    du, dv = np.zeros_like(total), np.zeros_like(total)
    place = (rows + 1) * stride + columns + 1
    diagonals = [place[rows + columns == d] for d in range(height + width - 1)]
    for _ in range(num_sweeps):
        for p in diagonals:
            weights = right[p], right[p - 1], below[p], below[p - stride]
            places = p + 1, p - 1, p + stride, p - stride
            around = alpha * sum(w * du[q] for w, q in zip(weights, places, strict=True))
            du[p] = (1 - omega) * du[p] + scale1[p] * (b1[p] + around - a12[p] * dv[p])
            around = alpha * sum(w * dv[q] for w, q in zip(weights, places, strict=True))
            dv[p] = (1 - omega) * dv[p] + scale2[p] * (b2[p] + around - a12[p] * du[p])
    inside = (slice(1, -1), slice(1, -1))
    return du.reshape(height + 2, stride)[inside], dv.reshape(height + 2, stride)[inside]
