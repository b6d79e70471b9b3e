"""Softmax splatting: differentiable forward warping (paper section 5, "image-based rendering").

A pixel at x moves to x + flow(x) and is shared bilinearly among the four pixels around its landing point; what lands
outside the image is dropped. Where several pixels meet, the mode decides: with bilinear weight b and importance z

* ``summation``: ``sum(b v)``
* ``average``:   ``sum(b v) / sum(b)``
* ``linear``:    ``sum(b z v) / sum(b z)``, for z >= 0 (negative importance counts as 0)
* ``softmax``:   ``sum(b exp(z) v) / sum(b exp(z))``

All three inputs get gradients. Pixels on which nothing lands are 0. Softmax subtracts the largest importance *at each
target*, so importance of any magnitude is safe and no far-away pixel can push another one's weight to zero.

The work is done in two steps. :func:`plan_splat` finds targets and normalised weights of a flow once; a
:class:`SplatPlan` then moves any number of tensors. Values travel as rows ``[pixels, channels]``, so that each
addition touches contiguous memory. On the CPU the rows are sorted by target and summed by `embedding_bag`, which makes
a splat an order of magnitude faster than scattered additions, and its result independent of the number of threads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

MODES = ("summation", "average", "linear", "softmax")


def softsplat(input: Tensor, flow: Tensor, importance: Tensor | None = None, mode: str = "softmax") -> Tensor:
    """Forward-warp ``input`` by ``flow``.

    Args:
        input: ``[B, C, H, W]``; half precision is accumulated in float32 and returned in its own dtype.
        flow: ``[B, 2, H, W]`` in pixels, x right and y down. Pixels whose flow is not finite are dropped.
        importance: ``[B, 1, H, W]``, larger is in front; for ``linear`` and ``softmax`` only.
        mode: one of :data:`MODES`.

    Returns:
        ``[B, C, H, W]``.

    Raises:
        ValueError: on mismatched shapes, an unknown mode, or importance that is missing or not used by the mode.
    """
    return plan_splat(flow, importance, mode)(input)


def splat_with_weight(
    input: Tensor, flow: Tensor, importance: Tensor | None = None, mode: str = "softmax"
) -> tuple[Tensor, Tensor]:
    """As :func:`softsplat`, and the accumulated bilinear weight ``[B, 1, H, W]``: 0 in holes, 1 where nothing moved."""
    plan = plan_splat(flow, importance, mode)
    return plan(input), plan.coverage


def plan_splat(flow: Tensor, importance: Tensor | None = None, mode: str = "softmax") -> SplatPlan:
    """Targets and normalised weights of a flow, to splat several tensors of one resolution with.

    Args and errors as for :func:`softsplat`; ``importance`` may also be ``[1, 1, H, W]`` for a whole batch of flows.
    """
    _check(flow, importance, mode)
    batch, _, height, width = flow.shape
    targets, bilinear = _corners(_at_least_float32(flow))
    size = batch * height * width
    raw = bilinear
    if importance is not None:
        z = _at_least_float32(importance).to(bilinear.dtype).nan_to_num()
        z = z.expand(batch, -1, -1, -1).reshape(1, size)
        raw = bilinear * (z.clamp_min(0) if mode == "linear" else _stable_exp(z, bilinear, targets, size))
    if mode == "summation":
        weights = raw
    else:
        total = _sum_at(raw, targets, size).clamp_min(torch.finfo(raw.dtype).tiny)
        weights = raw / total.gather(0, targets.flatten()).view_as(raw)
    with torch.no_grad():
        coverage = _sum_at(bilinear, targets, size)[:size].view(batch, 1, height, width)
    return SplatPlan(targets, weights, coverage)


class SplatPlan:
    """Where each pixel of a flow goes and with which weight; calling it splats a tensor.

    Attributes:
        coverage: ``[B, 1, H, W]`` accumulated bilinear weight, without gradient.
    """

    def __init__(self, targets: Tensor, weights: Tensor, coverage: Tensor) -> None:
        self.coverage = coverage
        self._targets = targets  # [4, B*H*W] int64 row of the output, B*H*W where the corner is outside
        self._weights = weights  # [4, B*H*W]
        self._sorted = _sort_by_target(targets, coverage.numel()) if targets.device.type == "cpu" else None

    def __call__(self, values: Tensor) -> Tensor:
        """Splat ``[B, C, H, W]``, or ``[1, C, H, W]`` along every flow of the batch, to ``[B, C, H, W]``."""
        batch, _, height, width = self.coverage.shape
        if values.ndim != 4 or values.shape[2:] != (height, width) or values.shape[0] not in (1, batch):
            raise ValueError(
                f"the flow is {batch} x {height} x {width}, values of shape {tuple(values.shape)} don't fit it"
            )
        channels = values.shape[1]
        rows = values.to(self._weights.dtype).permute(0, 2, 3, 1).reshape(-1, channels)
        moved = _Splat.apply(rows, self._weights, self._targets, self._sorted)
        return moved.view(batch, height, width, channels).permute(0, 3, 1, 2).to(values.dtype)


class _Splat(torch.autograd.Function):
    """``output[targets[k, p]] += weights[k, p] * rows[p]``; fewer rows than p repeat (one image, many flows)."""

    @staticmethod
    def forward(ctx, rows: Tensor, weights: Tensor, targets: Tensor, by_target: tuple[Tensor, Tensor] | None) -> Tensor:
        ctx.save_for_backward(rows, weights, targets)
        ctx.sorted = by_target is not None
        if by_target is None:
            return _scatter_rows(rows, weights, targets)
        order, offsets = by_target
        sources = (order % rows.shape[0]).to(offsets.dtype)
        return F.embedding_bag(
            sources, rows, offsets, mode="sum", per_sample_weights=weights.flatten()[order], include_last_offset=True
        )

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        rows, weights, targets = ctx.saved_tensors
        size = targets.shape[1]
        gradient = gradient.contiguous()
        # A corner outside has weight 0; any row may stand in for the one that it has not.
        inside = targets.where(targets < size, 0)
        weights = weights.where(targets < size, 0)
        rows_gradient = weights_gradient = None
        if ctx.needs_input_grad[0]:
            if ctx.sorted:
                offsets = torch.arange(0, 4 * size + 1, 4)
                shares = weights.t().reshape(-1)
                moved_back = F.embedding_bag(
                    inside.t().reshape(-1), gradient, offsets, mode="sum", per_sample_weights=shares,
                    include_last_offset=True,
                )  # fmt: skip
            else:
                moved_back = sum(gradient.index_select(0, inside[k]) * weights[k, :, None] for k in range(4))
            rows_gradient = moved_back.view(-1, *rows.shape).sum(0)
        if ctx.needs_input_grad[1]:
            # One output row a target; the products are summed over channels, a corner at a time to save memory.
            repeated = rows.repeat(size // rows.shape[0], 1) if rows.shape[0] < size else rows
            products = [(gradient.index_select(0, corner) * repeated).sum(-1) for corner in inside]
            weights_gradient = torch.stack(products).where(targets < size, 0)
        return rows_gradient, weights_gradient, None, None


def _scatter_rows(rows: Tensor, weights: Tensor, targets: Tensor) -> Tensor:
    """The plain form of the sum, used where `embedding_bag` over sorted rows is no gain (GPU)."""
    size = targets.shape[1]
    repeats = size // rows.shape[0]
    output = rows.new_zeros(size + 1, rows.shape[1])
    for corner in range(4):
        moved = weights[corner].view(repeats, -1, 1) * rows
        output.index_add_(0, targets[corner], moved.view(size, -1))
    return output[:size]


def _corners(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Output row and bilinear weight of the four pixels around each landing point: ``[4, B*H*W]`` each."""
    batch, _, height, width = flow.shape
    finite = flow.isfinite().all(dim=1)
    # Far outside is as good as just outside, and keeps the integers below within range.
    limit = 2.0 * max(height, width) + 2
    flow = flow.where(finite[:, None], 0).clamp(-limit, limit)
    whole = flow.detach().floor()
    fraction_x, fraction_y = (flow - whole).unbind(1)
    # Adding the integers apart from the fractions keeps sub-pixel accuracy in wide images.
    left = whole[:, 0].long() + torch.arange(width, device=flow.device)
    top = whole[:, 1].long() + torch.arange(height, device=flow.device)[:, None]
    first = torch.arange(batch, device=flow.device)[:, None, None] * (height * width)
    targets, weights = [], []
    for dy in (0, 1):
        for dx in (0, 1):
            x, y = left + dx, top + dy
            inside = finite & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            targets.append(torch.where(inside, first + y * width + x, batch * height * width))
            weight = (fraction_x if dx else 1 - fraction_x) * (fraction_y if dy else 1 - fraction_y)
            weights.append(weight.where(inside, 0))
    return torch.stack(targets).view(4, -1), torch.stack(weights).view(4, -1)


def _stable_exp(z: Tensor, bilinear: Tensor, targets: Tensor, size: int) -> Tensor:
    """``exp(z - max z at the target)``, ``[1, B*H*W] -> [4, B*H*W]``; the maximum cancels out: no gradient."""
    with torch.no_grad():
        lands = torch.where(bilinear > 0, z, -torch.inf).flatten()
        highest = z.new_full((size + 1,), -torch.inf)
        highest.scatter_reduce_(0, targets.flatten(), lands, "amax")
        highest = highest.clamp_min(torch.finfo(z.dtype).min).gather(0, targets.flatten()).view_as(targets)
    # Only a corner of weight 0 can lie above the maximum; exp must stay finite there too.
    return (z - highest).clamp_max(0).exp()


def _sum_at(values: Tensor, targets: Tensor, size: int) -> Tensor:
    return values.new_zeros(size + 1).scatter_add(0, targets.flatten(), values.flatten())


def _sort_by_target(targets: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Order that sorts the corners by target, and where each target's begin: ``[<= 4*size]``, ``[size + 1]``."""
    flat = targets.flatten()
    order = torch.sort(flat.int() if size < 2**31 else flat, stable=True).indices
    offsets = torch.zeros(size + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(flat, minlength=size + 1)[:size], 0, out=offsets[1:])
    return order[: int(offsets[-1])], offsets


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _check(flow: Tensor, importance: Tensor | None, mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"unknown splatting mode {mode!r}, expected one of {', '.join(MODES)}")
    if flow.ndim != 4 or flow.shape[1] != 2:
        raise ValueError(f"expected a flow [B, 2, H, W], got shape {tuple(flow.shape)}")
    if (importance is not None) != (mode in ("linear", "softmax")):
        raise ValueError(f"{mode} splatting {'needs' if importance is None else 'takes no'} importance")
    if importance is not None and (
        importance.ndim != 4
        or importance.shape[0] not in (1, flow.shape[0])
        or importance.shape[1:] != (1, *flow.shape[2:])
    ):
        raise ValueError(f"importance of shape {tuple(importance.shape)} doesn't fit a flow of {tuple(flow.shape)}")
