"""Optical flow of small pictures by Lucas and Kanade's method, in a pyramid, on the device that the pictures are on.

It needs no training and finds motion of a fraction of a pixel, which is what small comparison models live on. The flow
that this project stores is another: `data.flow`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.gaussian import gaussian_mean
from models.rendering.warping import resample

ITERATIONS = 3  # at each level
SMALLEST = 16  # pixels of the shorter side of a level
WINDOW = 1.5  # standard deviation, in pixels, of the window that moves as one
BLUR = 0.7  # the same of what is taken from the pictures before derivatives, and between levels
NOISE = 3e-3  # squared slope per pixel, brightness in [0, 1], below which a place is taken to be flat
LONGEST = 2.0  # pixels that an iteration may add


@torch.no_grad()
def lucas_kanade(source: Tensor, target: Tensor, *, levels: int = 2) -> Tensor:
    """Backward flow: where in ``source`` each pixel of ``target`` comes from, relative to its own place.

    Every iteration warps the source by the flow so far and solves, in a Gaussian window about each pixel and over all
    channels, the normal equations of ``source + slope * d = target`` (Lucas and Kanade 1981), with :data:`NOISE` added
    to their diagonal: where a picture is flat, the flow is zero rather than noise.

    Args:
        source, target: ``[B, C, H, W]`` in [0, 1].
        levels: resolutions, each half of the one before; fewer where a side would be less than :data:`SMALLEST`.

    Returns:
        ``[B, 2, H, W]`` float32, pixels, x right and y down: ``source(z + flow(z)) = target(z)``.
    """
    with torch.autocast(source.device.type, enabled=False):
        pyramid = [(_blurred(source.float(), BLUR), _blurred(target.float(), BLUR))]
        while len(pyramid) < levels and min(pyramid[-1][0].shape[-2:]) >= 2 * SMALLEST:
            one, other = (F.avg_pool2d(_blurred(picture, BLUR), 2) for picture in pyramid[-1])
            pyramid.append((one, other))
        flow = source.new_zeros(len(source), 2, *pyramid[-1][0].shape[-2:], dtype=torch.float32)
        for one, other in reversed(pyramid):
            size = one.shape[-2:]
            if flow.shape[-2:] != size:
                flow = 2 * F.interpolate(flow, size=size, mode="bilinear", align_corners=False)
            for _ in range(ITERATIONS):
                flow = flow + _step(one, other, flow)
    return flow


def _step(source: Tensor, target: Tensor, flow: Tensor) -> Tensor:
    """What is to be added to the flow: ``[B, 2, H, W]``."""
    moved = resample(source, -flow, "bilinear")
    slope_x, slope_y = _slopes((moved + target) / 2)
    change = target - moved
    products = (slope_x * slope_x, slope_x * slope_y, slope_y * slope_y, slope_x * change, slope_y * change)
    sums = _blurred(torch.stack([product.sum(dim=1) for product in products], dim=1), WINDOW)
    xx, xy, yy, x, y = sums.unbind(dim=1)
    xx, yy = xx + NOISE, yy + NOISE
    step = torch.stack([yy * x - xy * y, xx * y - xy * x], dim=1) / (xx * yy - xy * xy)[:, None]
    return step.clamp(-LONGEST, LONGEST)


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, ``[B, C, H, W]`` each; the border goes on outside."""
    wide = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    x = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    return x, (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2


def _blurred(picture: Tensor, deviation: float) -> Tensor:
    """Convolved with a Gaussian of this standard deviation in pixels; the border goes on outside."""
    radius = round(2.5 * deviation)
    return gaussian_mean(F.pad(picture, 4 * (radius,), mode="replicate"), deviation, radius=radius)
