"""Pictures for flow estimators: smooth textures that can be sampled anywhere, and pairs of them with known motion."""

from __future__ import annotations

import numpy as np


def texture(x, y, seed=0):
    """A smooth RGB texture that can be sampled anywhere: 24 random plane waves of 5 to 30 pixels."""
    rng = np.random.default_rng(seed)
    image = np.full((*x.shape, 3), 0.5)
    for _ in range(24):
        angle, length, phase = rng.uniform(0, 2 * np.pi), rng.uniform(5, 30), rng.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi / length * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        image += 0.05 * rng.uniform(-1, 1, 3) * wave[..., None]
    return np.clip(image, 0, 1).astype(np.float32)


def pair(width, height, shift=(0.0, 0.0), sway=0.0, seed=0):
    """Two pictures of a texture that was shifted, and swayed by a smooth field."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    u, v = shift[0] + sway * np.sin(y / 7 + seed), shift[1] + sway * np.cos(x / 9)
    return texture(x, y, seed), texture(x - u, y - v, seed)


def endpoint_difference(a, b):
    return np.hypot(*np.moveaxis(a - b, -1, 0))
