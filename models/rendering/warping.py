"""Warping without a network: the baseline renderers of paper section 5, and what the trained renderer starts from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.splatting import SplatPlan, plan_splat

TRUSTED_COVERAGE = 0.25  # a pixel that received less splat weight than this counts as a (partial) hole
LEAST_IMPORTANCE = 1e-3  # pixels; of what stands still, in linear splatting
HALFWAY_TAPS = 16  # pixels that a value halfway between two others is made of
DETAIL = 0.6  # pixels; standard deviation of the Gaussian whose remainder is the high band
REFINEMENTS = 2  # steps of refining an inverse flow; a third one changes nothing that can be measured


def fill_holes(values: Tensor, coverage: Tensor) -> Tensor:
    """Fill pixels of low splat coverage from their surroundings, coarse to fine ("push-pull").

    Args:
        values: ``[B, C, H, W]``, normalised (not weighted sums).
        coverage: ``[B, 1, H, W]``; values with at least :data:`TRUSTED_COVERAGE` are kept as they are.
    """
    trust = trust_in(coverage)
    if min(values.shape[2:]) < 4:
        return values
    # Asking a GPU whether there are holes at all would make the program wait for it: longer than filling none takes.
    if not values.is_cuda and bool((trust == 1).all()):
        return values

    def halve(tensor: Tensor) -> Tensor:
        return F.avg_pool2d(tensor, 2, ceil_mode=True, count_include_pad=False)

    weight = halve(trust)
    smaller = halve(values * trust) / weight.clamp_min(1e-6)
    coarse = fill_holes(smaller, weight)
    larger = F.interpolate(coarse, size=values.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(trust == 1, values, torch.lerp(larger, values, trust))


def resample(image: Tensor, inverse_flow: Tensor, mode: str = "bicubic") -> Tensor:
    """Lookup at ``p - inverse_flow(p)`` for every target pixel p; beyond the border the border repeats.

    ``[1 | N, C, H, W], [N, 2, H, W] -> [N, C, H, W]``; ``mode`` is one of `grid_sample`'s.
    """
    batch, _, height, width = inverse_flow.shape
    x = torch.arange(width, device=image.device, dtype=image.dtype) - inverse_flow[:, 0]
    y = torch.arange(height, device=image.device, dtype=image.dtype)[:, None] - inverse_flow[:, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    image = image.expand(batch, -1, -1, -1)
    return F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)


def finer(image: Tensor) -> Tensor:
    """The image with a value halfway between any two neighbours: ``[B, C, H, W] -> [B, C, 2 H - 1, 2 W - 1]``.

    The given pixels stay as they are; those between come from a windowed sinc. :func:`resample_finely` looks up in it,
    which wears the finest detail down by a third as much as a bicubic lookup in the image itself.
    """
    offsets = torch.arange(HALFWAY_TAPS, device=image.device, dtype=image.dtype) - (HALFWAY_TAPS - 1) / 2
    weights = torch.sinc(offsets) * torch.sinc(2 * offsets / HALFWAY_TAPS)
    weights = weights / weights.sum()
    before, after = HALFWAY_TAPS // 2 - 1, HALFWAY_TAPS // 2
    for dim, shape, padding in ((3, (1, -1), (before, after, 0, 0)), (2, (-1, 1), (0, 0, before, after))):
        kernel = weights.reshape(1, 1, *shape).expand(image.shape[1], 1, -1, -1)
        between = F.conv2d(F.pad(image, padding, mode="replicate"), kernel, groups=image.shape[1])
        image = torch.stack([image, between], dim=dim + 1).flatten(dim, dim + 1)
        image = image.narrow(dim, 0, image.shape[dim] - 1)
    return image


def resample_finely(fine: Tensor, inverse_flow: Tensor) -> Tensor:
    """:func:`resample` of an image that is given as :func:`finer` made it, bicubic.

    ``[1 | N, C, 2 H - 1, 2 W - 1], [N, 2, H, W] -> [N, C, H, W]``
    """
    batch, _, height, width = inverse_flow.shape
    x = torch.arange(width, device=fine.device, dtype=fine.dtype) - inverse_flow[:, 0]
    y = torch.arange(height, device=fine.device, dtype=fine.dtype)[:, None] - inverse_flow[:, 1]
    grid = torch.stack([2 * x / max(1, width - 1) - 1, 2 * y / max(1, height - 1) - 1], dim=-1)
    fine = fine.expand(batch, -1, -1, -1)
    return F.grid_sample(fine, grid, mode="bicubic", padding_mode="border", align_corners=True)


def look_up(flow: Tensor, inverse_flow: Tensor) -> Tensor:
    """The flow of what the inverse flow finds at each target, bilinear: ``flow(p - inverse_flow(p))``.

    One step towards the inverse flow ``b`` that fulfils ``b(p) = flow(p - b(p))``. ``[N, 2, H, W]`` twice.
    """
    return resample(flow, inverse_flow, "bilinear")


def refine_inverse(flow: Tensor, inverse_flow: Tensor, certain: Tensor) -> Tensor:
    """A splatted inverse flow brought closer to the flow itself, by :func:`look_up`.

    Args:
        flow: ``[N, 2, H, W]``; what is not finite counts as no motion.
        inverse_flow: the same, finite, by splatting and filling holes.
        certain: ``[N, 1, H, W]``, 0 in gaps, where there is no motion to be refined by.
    """
    flow = flow.nan_to_num(0.0, posinf=0.0, neginf=0.0)
    for _ in range(REFINEMENTS):
        inverse_flow = torch.lerp(inverse_flow, look_up(flow, inverse_flow), certain)
    return inverse_flow


def high_band(images: Tensor, sigma: float = DETAIL) -> Tensor:
    """What a Gaussian of so many pixels takes away: ``[N, C, H, W]`` -> the same."""
    reach = max(1, round(2 * sigma))
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    taps = torch.exp(-0.5 * (offsets / sigma) ** 2)
    taps = taps / taps.sum()
    kernel = (taps[:, None] * taps).expand(images.shape[1], 1, -1, -1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    return images - F.conv2d(padded, kernel, groups=images.shape[1])


def solid(coverage: Tensor) -> Tensor:
    """The least splat coverage of each 3 x 3 pixels, at most 1.

    Where a region is torn apart single pixels lie scattered over what comes out from behind; they are not to be kept.
    """
    return 1 - F.max_pool2d(1 - coverage.clamp_max(1), 3, stride=1, padding=1)


def render_softmax(image: Tensor, flow: Tensor, importance: Tensor | None = None) -> Tensor:
    """Baseline: softmax splatting of the image itself. Where nothing lands, the unmoved image shows.

    Args:
        image: ``[1 | N, 3, H, W]``.
        flow: ``[N, 2, H, W]``.
        importance: ``[1 | N, 1, H, W]``; without it the flow's magnitude (paper: moving pixels in front).
    """
    return _splat_over(image, plan_splat(flow, magnitude(flow) if importance is None else importance, mode="softmax"))


def render_linear(image: Tensor, flow: Tensor, importance: Tensor | None = None) -> Tensor:
    """Baseline: linear splatting of the image itself; arguments as for :func:`render_softmax`."""
    importance = magnitude(flow) if importance is None else importance
    # A pixel that never moves would have weight 0, and show as black although it is there.
    return _splat_over(image, plan_splat(flow, importance.clamp_min(LEAST_IMPORTANCE), mode="linear"))


def render_average(image: Tensor, flow: Tensor, importance: Tensor | None = None) -> Tensor:
    """Baseline: average splatting of the image itself; arguments as for :func:`render_softmax`, importance unused."""
    return _splat_over(image, plan_splat(flow, None, mode="average"))


def _splat_over(image: Tensor, plan: SplatPlan) -> Tensor:
    return torch.where(plan.coverage > 0, plan(image), image)


def render_remap(image: Tensor, flow: Tensor, importance: Tensor | None = None) -> Tensor:
    """Baseline: OpenCV's bicubic remapping to ``x - F(x)``, a backward lookup with the forward flow.

    Arguments as for :func:`render_softmax`; importance unused.
    """
    import cv2
    import numpy as np

    height, width = flow.shape[2:]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    sources = image.detach().expand(len(flow), -1, -1, -1).permute(0, 2, 3, 1).float().cpu().numpy()
    frames = []
    for source, (u, v) in zip(sources, flow.detach().float().cpu().numpy(), strict=True):
        source = np.ascontiguousarray(source)
        frames.append(cv2.remap(source, x - u, y - v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).to(image).clamp(-1, 1)


def render_unmoved(image: Tensor, flow: Tensor, importance: Tensor | None = None) -> Tensor:
    """Baseline: the image as it is, once a flow; arguments as for :func:`render_softmax`, importance unused."""
    return image.expand(len(flow), -1, -1, -1)


def trust_in(coverage: Tensor) -> Tensor:
    """How far a splatted pixel is to be believed: 0 in a hole, 1 from :data:`TRUSTED_COVERAGE` on."""
    return (coverage / TRUSTED_COVERAGE).clamp_max(1)


def magnitude(flow: Tensor) -> Tensor:
    """``[N, 2, H, W] -> [N, 1, H, W]``, faster than `norm` along a short axis; the gradient at zero flow is 0."""
    square = flow[:, :1].square() + flow[:, 1:].square()
    moves = square > 0
    # The derivative of a root is infinite at 0, and infinity times 0 would be NaN.
    return torch.where(moves, square.where(moves, 1).sqrt(), 0)
