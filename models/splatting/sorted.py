"""Softmax splatting by sorted sums: the fast form on the CPU, also used on GPUs without the CUDA kernels.

The corners are sorted by the pixel that they land on, so each output pixel is a weighted sum over consecutive entries.
Values are laid out as rows ``[pixels, channels]``, which `embedding_bag` adds up: memory is read in order, and the
result does not depend on the number of threads. The backward pass needs no sorting, because each pixel gathers from its
own four corners.

The three functions implement the operators of :mod:`models.splatting.operators`, where their arguments are described.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.splatting.reference import at, corners, divisor, sum_at, weigh

EMBEDDING_BAG_DEVICES = ("cpu", "cuda")
PLANES = 16  # planes read at once when planes become rows: a cache line of float32


def plan(
    flow: Tensor, importance: Tensor | None, *, mode: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch, _, height, width = flow.shape
    targets, bilinear = corners(flow)
    size = targets.shape[1]
    weights, peak, total = weigh(bilinear, targets, importance=importance, mode=mode)
    coverage = sum_at(targets, bilinear)[:size].view(batch, 1, height, width)
    # What has no weight is no entry: a NaN elsewhere can't leak through it.
    lands = targets.where(bilinear > 0, size).int().flatten()
    order = torch.sort(lands, stable=True).indices
    begin = torch.zeros(size + 1, dtype=torch.int32, device=flow.device)
    torch.cumsum(torch.bincount(lands, minlength=size + 1)[:size], 0, dtype=torch.int32, out=begin[1:])
    source = order.int() % max(size, 1)
    weight = weights.flatten().index_select(0, order)
    peak, total = (flow.new_empty(0) if t is None else t for t in (peak, total))
    return begin, source, weight, peak, total, coverage


def splat(values: Tensor, begin: Tensor, *, source: Tensor, weight: Tensor) -> Tensor:
    batch, _, height, width = values.shape
    if values.numel() == 0:
        return new_result(values).zero_()
    # One image along many flows: its rows are there once.
    image = values[:1] if values.stride(0) == 0 else values
    rows = _rows(image, weight.dtype)
    if values.device.type == "cpu":
        # embedding_bag wants to know where the entries end.
        entries = int(begin[-1])
        source, weight = source[:entries], weight[:entries]
    if len(image) < batch:
        source = source % (height * width)
    total = _sum_rows(rows, source, weight, begin)
    return _as_result(total, values)


def splat_backward(
    gradient: Tensor,
    values: Tensor,
    *,
    output: Tensor,
    flow: Tensor,
    importance: Tensor | None,
    peak: Tensor,
    total: Tensor,
    mode: str,
    needs_values: bool,
    needs_motion: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    values_gradient, flow_gradient, importance_gradient = values.new_empty(0), flow.new_empty(0), flow.new_empty(0)
    targets, bilinear = corners(flow)
    inside = targets < targets.shape[1]
    factor = _factor(targets, importance, peak, mode)
    below = 1 if mode == "summation" else at(divisor(total), targets)
    weights = bilinear * factor / below
    targets = targets.where(inside, 0)  # any row may stand in for a corner outside: its weight is 0
    rows = _rows(gradient, flow.dtype)
    if needs_values:
        values_gradient = _as_result(_gather(rows, targets, weights), values)
    if needs_motion:
        # What a corner's normalised weight is worth: gradient . (value - output), for summation gradient . value.
        worth = _products(rows, _rows(values, flow.dtype), targets)
        if mode != "summation":
            worth = worth - at(_dot(rows, _rows(output, flow.dtype)), targets)
            # A corner that has its target to itself gets exactly 0, where rounding over a tiny weight would explode.
            worth = worth.where(weights != 1, 0)
        worth = worth.where(inside, 0)
        flow_gradient = _flow_gradient(worth * factor / below, flow)
        if mode == "softmax":
            importance_gradient = (worth * weights).sum(0).view_as(flow[:, :1])
        elif mode == "linear":
            assert importance is not None
            by_factor = (worth * bilinear / below).sum(0).view_as(importance)
            importance_gradient = by_factor.where(importance >= 0, 0)
    return values_gradient, flow_gradient, importance_gradient


def new_result(values: Tensor) -> Tensor:
    """An uninitialised tensor of the shape, type and memory layout that splatting ``values`` gives.

    Rows are channels last, so on the CPU all results are; elsewhere they are where the values are.
    """
    batch, channels, height, width = values.shape
    if _is_channels_last(values):
        return values.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
    return values.new_empty(values.shape)


def _is_channels_last(values: Tensor) -> bool:
    if values.device.type == "cpu":
        return True
    image = values[:1] if values.stride(0) == 0 else values  # one image along many flows has its own layout
    return image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()


def _has_embedding_bag(rows: Tensor) -> bool:
    return rows.device.type in EMBEDDING_BAG_DEVICES


def _sum_rows(rows: Tensor, source: Tensor, weight: Tensor, begin: Tensor) -> Tensor:
    """Output row q is the sum of ``weight[i] * rows[source[i]]`` over ``begin[q] <= i < begin[q + 1]``."""
    if _has_embedding_bag(rows):
        return F.embedding_bag(source, rows, begin, mode="sum", per_sample_weights=weight, include_last_offset=True)
    return _scatter_rows(rows, source, weight, begin)


def _scatter_rows(rows: Tensor, source: Tensor, weight: Tensor, begin: Tensor) -> Tensor:
    """The plain form of the sum, for devices without `embedding_bag`."""
    size = len(begin) - 1
    positions = torch.arange(len(source), device=rows.device, dtype=begin.dtype)
    # Entries that nothing claims, at the end, go to row `size`, which is cut off.
    target = torch.searchsorted(begin, positions, right=True) - 1
    output = rows.new_zeros(size + 1, rows.shape[1])
    for part in zip(target.tensor_split(4), source.tensor_split(4), weight.tensor_split(4), strict=True):
        output.index_add_(0, part[0], rows.index_select(0, part[1]) * part[2][:, None])
    return output[:size]


def _gather(rows: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Row p is the sum of ``weights[k, p] * rows[targets[k, p]]`` over the corners k."""
    if rows.numel() == 0:
        return torch.zeros_like(rows)
    if _has_embedding_bag(rows):
        begin = torch.arange(0, targets.numel() + 1, 4, device=rows.device)
        return _sum_rows(rows, targets.t().reshape(-1), weights.t().reshape(-1), begin)
    gathered = (rows.index_select(0, t) * w[:, None] for t, w in zip(targets, weights, strict=True))
    return sum(gathered, torch.zeros_like(rows))


def _products(rows: Tensor, values: Tensor, targets: Tensor) -> Tensor:
    """``rows[targets[k, p]] . values[p]``: ``[4, S]``."""
    if not _has_embedding_bag(rows) or rows.numel() == 0:
        return torch.stack([_dot(rows.index_select(0, target), values) for target in targets])
    # The gradient of embedding_bag by its weights is just that, without a copy of the rows looked up.
    bags = torch.arange(targets.shape[1], dtype=torch.int32, device=rows.device)
    products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        values, rows, targets.t().reshape(-1).int(), 4 * bags, bags.repeat_interleave(4), 0
    )
    return products.view(-1, 4).t()


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row: ``[S, C], [S, C] -> [S]``."""
    return torch.einsum("pc,pc->p", a, b)


def _factor(targets: Tensor, importance: Tensor | None, peak: Tensor, mode: str) -> Tensor | float:
    """The factor of each corner's bilinear weight before normalisation: ``[4, S]`` or ``[1, S]``."""
    if mode in ("summation", "average"):
        return 1.0
    assert importance is not None
    z = importance.reshape(1, -1)
    return z.clamp_min(0) if mode == "linear" else (z - at(peak, targets)).clamp_max(0).exp()


def _flow_gradient(by_weight: Tensor, flow: Tensor) -> Tensor:
    """From the derivative by each bilinear weight ``[4, S]`` to that by the flow ``[B, 2, H, W]``."""
    finite = flow.where(flow.isfinite(), 0)
    x, y = (finite - finite.floor()).unbind(1)
    top_left, top_right, bottom_left, bottom_right = (corner.view_as(x) for corner in by_weight)
    by_x = torch.lerp(top_right - top_left, bottom_right - bottom_left, y)
    by_y = torch.lerp(bottom_left - top_left, bottom_right - top_right, x)
    return torch.stack([by_x, by_y], dim=1)


def _rows(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """``[B, C, H, W] -> [B * H * W, C]``, contiguous: `embedding_bag` is slow on anything else."""
    return channels_last(tensor).permute(0, 2, 3, 1).flatten(0, 2).to(dtype).contiguous()


def channels_last(tensor: Tensor) -> Tensor:
    """The tensor itself, if its memory is channels last, or a copy that is.

    Two and a half times as fast as PyTorch's own copy at 64 channels of 256x160. Planes whose size is a multiple of a
    large power of two compete for the same places in the cache, so only as many are read at once as fit.
    """
    if tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor
    batch, channels, height, width = tensor.shape
    copy = tensor.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
    for first in range(0, channels, PLANES):
        copy[:, first : first + PLANES].copy_(tensor[:, first : first + PLANES])
    return copy


def _as_result(rows: Tensor, values: Tensor) -> Tensor:
    batch, channels, height, width = values.shape
    moved = rows.to(values.dtype).view(batch, height, width, channels).permute(0, 3, 1, 2)
    return moved if _is_channels_last(values) else moved.contiguous()
