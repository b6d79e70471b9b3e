"""The readable form of softmax splatting: plain PyTorch, every step differentiable, on any device.

The fast forms (:mod:`models.splatting.sorted`, :mod:`models.splatting.cuda`) are tested against this one, and second
derivatives are taken through it. The pixels of a batch are numbered ``b * H * W + y * W + x``; ``S = B * H * W`` is how
many there are, and also the number of an additional target that collects what misses the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

MODES = ("summation", "average", "linear", "softmax")


def softsplat_reference(
    values: Tensor, flow: Tensor, importance: Tensor | None = None, *, mode: str = "softmax"
) -> Tensor:
    """Forward-warp ``values`` by ``flow`` with one `scatter_add_` for each of the four corners.

    Arguments and result as for :func:`models.splatting.softsplat`, but for the checks: ``values`` ``[B, C, H, W]``,
    ``flow`` ``[B, 2, H, W]`` in pixels, ``importance`` ``[B, 1, H, W]`` for ``linear`` and ``softmax``.
    """
    batch, channels, height, width = values.shape
    flow, importance = prepare(flow, importance)
    targets, bilinear = corners(flow)
    weights, _, _ = weigh(bilinear, targets, importance=importance, mode=mode)
    size = targets.shape[1]
    sources = values.to(flow.dtype).transpose(0, 1).reshape(channels, size)
    output = sources.new_zeros(channels, size + 1)
    for target, weight in zip(targets, weights, strict=True):
        output.scatter_add_(1, target.expand(channels, size), sources * weight)
    return output[:, :size].view(channels, batch, height, width).transpose(0, 1).to(values.dtype)


def prepare(flow: Tensor, importance: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Flow in at least float32; importance in the flow's precision, finite and ``[B, 1, H, W]``.

    Importance that is not a number counts as 0, infinite importance as the largest number there is.
    """
    flow = flow if flow.dtype == torch.float64 else flow.float()
    if importance is not None:
        importance = importance.to(flow.dtype).nan_to_num().expand(flow.shape[0], -1, -1, -1)
    return flow, importance


def corners(flow: Tensor) -> tuple[Tensor, Tensor]:
    """The four pixels around each landing point, top left, top right, bottom left and bottom right.

    Args:
        flow: ``[B, 2, H, W]``.

    Returns:
        Their numbers ``[4, S]`` (int64; ``S`` for a corner outside the image) and bilinear weights ``[4, S]``.
    """
    batch, _, height, width = flow.shape
    size = batch * height * width
    # A longer flow lands outside in any case, and may not fit into the integers below. NaN compares false, too.
    usable = (flow.abs() <= 2 * max(height, width)).all(dim=1)
    flow = flow.where(usable[:, None], 0)
    whole = flow.detach().floor()
    fraction_x, fraction_y = (flow - whole).unbind(1)
    # Adding the integers apart from the fractions keeps sub-pixel accuracy in wide images.
    columns, rows, images = (torch.arange(n, device=flow.device, dtype=torch.int32) for n in (width, height, batch))
    left, top = whole[:, 0].int() + columns, whole[:, 1].int() + rows[:, None]
    # Left and right, top and bottom: [2, B, H, W] each; their combinations are the corners: [2, 2, B, H, W].
    x, y = torch.stack([left, left + 1]), torch.stack([top, top + 1])[:, None]
    weights = torch.stack([1 - fraction_y, fraction_y])[:, None] * torch.stack([1 - fraction_x, fraction_x])
    inside = ((x >= 0) & (x < width) & usable) & ((y >= 0) & (y < height))
    first = images[:, None, None] * (height * width)
    targets = torch.where(inside, (first + y * width) + x, size).long()
    return targets.view(4, size), weights.where(inside, 0).view(4, size)


def weigh(
    bilinear: Tensor, targets: Tensor, *, importance: Tensor | None, mode: str
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What each corner's value is multiplied with, so that a target's weights sum to 1 (but for ``summation``).

    Args:
        bilinear: ``[4, S]`` of :func:`corners`, with ``targets``.
        importance: ``[B, 1, H, W]``, finite.
        mode: one of :data:`MODES`.

    Returns:
        Weights ``[4, S]``; the largest importance at each target ``[S + 1]`` (softmax) and the sum of the weights
        before they were normalised ``[S + 1]`` (all but summation), ``None`` where the mode has none.
    """
    if mode == "summation":
        return bilinear, None, None
    peak, raw = None, bilinear
    if mode == "linear":
        raw = bilinear * _required(importance).reshape(1, -1).clamp_min(0)
    elif mode == "softmax":
        z = _required(importance).reshape(1, -1)
        peak = highest_at(targets, z.detach(), bilinear=bilinear.detach())
        # Only a corner of weight 0 can lie above the highest; exp must stay finite there too.
        raw = bilinear * (z - at(peak, targets)).clamp_max(0).exp()
    total = sum_at(targets, raw)
    return raw / at(divisor(total), targets), peak, total


def highest_at(targets: Tensor, importance: Tensor, *, bilinear: Tensor) -> Tensor:
    """The largest importance of what lands on each target, ``-inf`` where nothing does: ``[S + 1]``.

    Softmax is the same whatever is subtracted from all importances at a target, so this needs no gradient.
    """
    lands = torch.where(bilinear > 0, importance, -torch.inf)
    highest = importance.new_full((targets.shape[1] + 1,), -torch.inf)
    return highest.scatter_reduce(0, targets.flatten(), lands.flatten(), "amax")


def sum_at(targets: Tensor, values: Tensor) -> Tensor:
    """Sum ``values`` ``[4, S]`` by target: ``[S + 1]``."""
    return values.new_zeros(targets.shape[1] + 1).scatter_add(0, targets.flatten(), values.flatten())


def at(values: Tensor, targets: Tensor) -> Tensor:
    """Look up ``values`` ``[S + 1]`` at the targets: ``[4, S]``."""
    return values.index_select(0, targets.flatten()).view_as(targets)


def divisor(total: Tensor) -> Tensor:
    """What weights are divided by: ``total``, but never so small that a gradient overflows, and infinite where nothing
    lands, so that values and gradients are 0 there."""
    return total.clamp_min(torch.finfo(total.dtype).tiny).where(total > 0, torch.inf)


def _required(importance: Tensor | None) -> Tensor:
    assert importance is not None  # checked where the user's arguments come in
    return importance
