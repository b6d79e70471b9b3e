"""How far an estimated flow can be trusted: whether the flow back leads to where one started."""

from __future__ import annotations

import numpy as np

RELATIVE, ABSOLUTE = 0.01, 0.5  # of Sundaram, Brox and Keutzer 2010, Eq. 5: squared pixels allowed


def consistent_share(forward: np.ndarray, backward: np.ndarray) -> float:
    """Share of pixels whose forward and backward flow agree, mean over N pairs of pictures.

    ``|F(x) + B(x + F(x))|^2 < 0.01 (|F(x)|^2 + |B(x + F(x))|^2) + 0.5``, with B interpolated linearly. Pixels that the
    flow takes out of the picture are not counted, since nothing is known of them.

    Args:
        forward: ``[N, H, W, 2]`` pixels, from each source to its target.
        backward: ``[N, H, W, 2]``, from each target back to its source.
    """
    return float(np.mean([_share(there, back) for there, back in zip(forward, backward, strict=True)]))


def _share(forward: np.ndarray, backward: np.ndarray) -> float:
    import cv2

    height, width = forward.shape[:2]
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    xs, ys = xs + forward[..., 0], ys + forward[..., 1]
    inside = (xs >= 0) & (xs <= width - 1) & (ys >= 0) & (ys <= height - 1)
    if not inside.any():
        return 0.0
    back = cv2.remap(np.ascontiguousarray(backward, np.float32), xs, ys, cv2.INTER_LINEAR)
    error = ((forward + back) ** 2).sum(axis=-1)
    allowed = RELATIVE * ((forward**2).sum(axis=-1) + (back**2).sum(axis=-1)) + ABSOLUTE
    return float((error < allowed)[inside].mean())


def measured_frames(num_frames: int, count: int) -> np.ndarray:
    """``count`` of the frames 1 to T - 1, spread evenly, the last among them."""
    count = min(count, num_frames - 1)
    return (np.arange(1, count + 1) * (num_frames - 1) / max(count, 1)).round().astype(int)
