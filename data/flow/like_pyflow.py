"""pathak22's pyflow, call for call: ``import data.flow.like_pyflow as pyflow`` in place of ``import pyflow``.

The same algorithm, argument names, defaults and results, from `data.flow.coarse2fine`. One pair at a time costs more
than half of what pyflow takes; with many pairs, call `coarse2fine_flow_batch` or `coarse2fine_flow_pairs` of
`data.flow.coarse2fine.cpu`, which are twenty times as fast. The estimator ``--flow pyflow`` is not this module but
pathak22's own package (`data.flow.pyflow_package`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.flow.coarse2fine.cpu import coarse2fine_flow_batch
from data.flow.coarse2fine.parameters import Parameters

Field = NDArray[np.float64]
# Name of a parameter in `data.flow.coarse2fine` -> its name here.
NAMES = {
    "min_width": "minWidth",
    "num_outer": "nOuterFPIterations",
    "num_inner": "nInnerFPIterations",
    "num_sor": "nSORIterations",
    "color_type": "colType",
}


def coarse2fine_flow(
    im1: NDArray[Any],
    im2: NDArray[Any],
    alpha: float = 1.0,
    ratio: float = 0.5,
    minWidth: int = 40,
    nOuterFPIterations: int = 3,
    nInnerFPIterations: int = 1,
    nSORIterations: int = 20,
    colType: int = 0,
) -> tuple[Field, Field, Field]:
    """Flow from one image to another, and the second image warped back to the first.

    Args:
        im1: ``[H, W, 3]`` float in [0, 1]; with ``colType`` 1 also ``[H, W, 1]``.
        im2: the same shape.
        alpha: weight of the smoothness term.
        ratio: size of a pyramid level over that of the next finer one.
        minWidth: width in pixels at which the pyramid ends.
        nOuterFPIterations: warps at the finest level; each coarser level has one more.
        nInnerFPIterations: re-weightings between warps.
        nSORIterations: relaxation sweeps at the finest level; each coarser level has three more.
        colType: 0 RGB, 1 brightness alone.

    Returns:
        ``u``, ``v``: float64 ``[H, W]`` in pixels, right and down: ``im2[y + v, x + u]`` looks like ``im1[y, x]``;
        ``im2W``: float64 ``[H, W, C]`` in [0, 1], `warp_back` of ``im2``.

    Raises:
        ValueError: images of different or unusable shape or of integers, values that are not finite, parameters out
            of range.
    """
    for name, image in (("im1", im1), ("im2", im2)):
        if np.ndim(image) != 3:
            raise ValueError(f"{name} must be [H, W, C], got {np.shape(image)}")
        if not np.issubdtype(np.asarray(image).dtype, np.floating):
            raise ValueError(
                f"{name} must hold floats in [0, 1], got {np.asarray(image).dtype}; images of 0 to 255: divide by 255.0"
            )
    if np.shape(im1) != np.shape(im2):
        raise ValueError(f"both images must have one shape, got {np.shape(im1)} and {np.shape(im2)}")
    try:
        parameters = Parameters(alpha, ratio, minWidth, nOuterFPIterations, nInnerFPIterations, nSORIterations, colType)
        flow = coarse2fine_flow_batch(im1, np.asarray(im2)[None], parameters=parameters)[0].astype(np.float64)
    except ValueError as error:
        message = str(error)
        for name, here in NAMES.items():
            message = message.replace(name, here)
        raise ValueError(message) from None
    u, v = np.ascontiguousarray(flow[..., 0]), np.ascontiguousarray(flow[..., 1])
    return u, v, warp_back(np.asarray(im1, np.float64), np.asarray(im2, np.float64), u, v)


def warp_back(im1: Field, im2: Field, u: Field, v: Field) -> Field:
    """``im2`` at ``(x + u, y + v)``, bicubic and clipped to [0, 1]; ``im1`` where that lies outside the picture.

    The kernel is that of Keys (1981) with a = -1/2 (Catmull-Rom: the cubic through two pixels whose slopes are central
    differences), separable, edges clamped.
    """
    height, width = u.shape
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + u, rows + v
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
    left, top = x.astype(np.intp), y.astype(np.intp)
    across, down = cubic_weights(x - left), cubic_weights(y - top)
    warped = np.zeros_like(im2)
    for i in range(4):
        row = np.clip(top + i - 1, 0, height - 1)
        line = np.zeros_like(im2)
        for j in range(4):
            line += across[j][..., None] * im2[row, np.clip(left + j - 1, 0, width - 1)]
        warped += down[i][..., None] * line
    return np.where(inside[..., None], warped, im1).clip(0.0, 1.0)


def cubic_weights(t: Field) -> tuple[Field, Field, Field, Field]:
    """Weights of the pixels at -1, 0, 1, 2 for a place t in [0, 1)."""
    return (
        ((2.0 - t) * t - 1.0) * t / 2.0,
        ((3.0 * t - 5.0) * t * t + 2.0) / 2.0,
        ((4.0 - 3.0 * t) * t + 1.0) * t / 2.0,
        (t - 1.0) * t * t / 2.0,
    )
