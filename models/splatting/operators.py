"""Softmax splatting as PyTorch operators, usable under autograd, autocast and `torch.compile`.

* ``softsplat::plan`` sorts the corners of a flow by target and weighs them;
* ``softsplat::splat`` moves values by such a plan;
* ``softsplat::splat_backward`` gives its gradients. With v the values, o the output, g the gradient, and for a corner
  of a pixel bilinear weight b, factor f (1, importance or exp of importance, by mode), D the sum of b f at its target,

      dv = sum (b f / D) g        db = (f / D) g . (v - o)        df = (b / D) g . (v - o)

  summed over the four corners (summation: D = 1 and o = 0). This is a gather: it needs neither atomics nor sorting.

Tensors on NVIDIA GPUs go to :mod:`models.splatting.cuda` where CuPy is installed, all others to
:mod:`models.splatting.sorted`; on the CPU :mod:`models.splatting.compiled` plans in its place where numba is. A second
derivative is taken through :mod:`models.splatting.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.splatting import compiled as softsplat_compiled
from models.splatting import sorted as softsplat_sorted
from models.splatting.cuda import cuda_splatting
from models.splatting.reference import softsplat_reference
from models.splatting.sorted import new_result

LARGEST = 2**29  # pixels of a flow; entries are numbered in 32 bits and a pixel has four


def _operator(name: str, schema: str) -> Callable[[Callable], Callable]:
    """Register a function as the operator ``softsplat::name`` for all devices; calling it calls the operator."""

    def register(function: Callable) -> Callable:
        # `torch.library.custom_op` does the same, but its first call imports all of torch._dynamo: a second.
        torch.library.define(f"softsplat::{name}", schema)
        torch.library.impl(f"softsplat::{name}", "default", function)
        return getattr(torch.ops.softsplat, name).default

    return register


_given: list[Any] = []  # implementations of :func:`splatting_by`, the last one counts


@contextmanager
def splatting_by(implementation: Any) -> Iterator[None]:
    """Within this context tensors of all devices are splatted by what is given: the CUDA kernels on the processor.

    Args:
        implementation: has ``plan``, ``splat`` and ``splat_backward`` as :class:`models.splatting.cuda.CudaSplatting`
            has them.
    """
    _given.append(implementation)
    try:
        yield
    finally:
        _given.pop()


def _implementation(tensor: Tensor) -> Any:
    if _given:
        return _given[-1]
    return (tensor.device.type == "cuda" and cuda_splatting()) or softsplat_sorted


@_operator("plan", "(Tensor flow, Tensor? importance, str mode) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)")
def plan(flow: Tensor, importance: Tensor | None, mode: str) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Where the pixels of a flow go. Has no gradient: ``splat`` takes it by flow and importance itself.

    Args:
        flow: ``[B, 2, H, W]`` float32 or float64.
        importance: ``[B, 1, H, W]`` of the same type, finite; None for the modes that use none.
        mode: one of :data:`models.splatting.reference.MODES`.

    Returns:
        With ``S = B * H * W``: the entries' ``begin`` for each target, int32 ``[S + 1]``; their ``source`` pixel int32
        and ``weight``, ``[4 * S]``, of which the first ``begin[S]`` count; the largest importance that landed on each
        target ``[S + 1]`` (softmax) and the sum of the weights before they were normalised ``[S + 1]`` (all modes but
        summation), else empty; the accumulated bilinear weight ``[B, 1, H, W]``.
    """
    compiled = not _given and flow.device.type == "cpu" and softsplat_compiled.is_usable()
    with torch.autocast(flow.device.type, enabled=False):
        return (softsplat_compiled if compiled else _implementation(flow)).plan(flow, importance, mode=mode)


@torch.library.register_fake("softsplat::plan")
def _(flow: Tensor, importance: Tensor | None, mode: str) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch, _, height, width = flow.shape
    size = batch * height * width
    return (
        flow.new_empty(size + 1, dtype=torch.int32),
        flow.new_empty(4 * size, dtype=torch.int32),
        flow.new_empty(4 * size),
        flow.new_empty(size + 1 if mode == "softmax" else 0),
        flow.new_empty(size + 1 if mode != "summation" else 0),
        flow.new_empty(batch, 1, height, width),
    )


@_operator("channels_last", "(Tensor values) -> Tensor")
def channels_last(values: Tensor) -> Tensor:
    """A copy of ``values`` with channels last in memory: done once, it serves ``splat`` in both directions."""
    return softsplat_sorted.channels_last(values)


@torch.library.register_fake("softsplat::channels_last")
def _(values: Tensor) -> Tensor:
    return torch.empty_like(values, memory_format=torch.channels_last)


@_operator(
    "splat",
    "(Tensor values, Tensor flow, Tensor? importance, Tensor begin, Tensor source, Tensor weight, "
    "Tensor peak, Tensor total, str mode) -> Tensor",
)
def splat(
    values: Tensor,
    flow: Tensor,
    importance: Tensor | None,
    begin: Tensor,
    source: Tensor,
    weight: Tensor,
    peak: Tensor,
    total: Tensor,
    mode: str,
) -> Tensor:
    """Move ``values`` ``[B, C, H, W]`` by what :func:`plan` returned for ``flow`` and ``importance``.

    Values are of the flow's type, or half precision beside float32. Memory layout: :func:`new_result`.
    """
    with torch.autocast(values.device.type, enabled=False):
        return _implementation(values).splat(values, begin, source=source, weight=weight)


@torch.library.register_fake("softsplat::splat")
def _(
    values: Tensor,
    flow: Tensor,
    importance: Tensor | None,
    begin: Tensor,
    source: Tensor,
    weight: Tensor,
    peak: Tensor,
    total: Tensor,
    mode: str,
) -> Tensor:
    return new_result(values)


@_operator(
    "splat_backward",
    "(Tensor gradient, Tensor values, Tensor output, Tensor flow, Tensor? importance, Tensor peak, "
    "Tensor total, str mode, bool needs_values, bool needs_motion) -> (Tensor, Tensor, Tensor)",
)
def splat_backward(
    gradient: Tensor,
    values: Tensor,
    output: Tensor,
    flow: Tensor,
    importance: Tensor | None,
    peak: Tensor,
    total: Tensor,
    mode: str,
    needs_values: bool,
    needs_motion: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by values, flow and importance, empty where not needed."""
    with torch.autocast(values.device.type, enabled=False):
        return _implementation(values).splat_backward(
            gradient,
            values,
            output=output,
            flow=flow,
            importance=importance,
            peak=peak,
            total=total,
            mode=mode,
            needs_values=needs_values,
            needs_motion=needs_motion,
        )


@torch.library.register_fake("softsplat::splat_backward")
def _(
    gradient: Tensor,
    values: Tensor,
    output: Tensor,
    flow: Tensor,
    importance: Tensor | None,
    peak: Tensor,
    total: Tensor,
    mode: str,
    needs_values: bool,
    needs_motion: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    has_importance = needs_motion and importance is not None
    return (
        new_result(values) if needs_values else values.new_empty(0),
        flow.new_empty(flow.shape if needs_motion else 0),
        flow.new_empty(flow[:, :1].shape if has_importance else 0),
    )


def _setup_context(ctx, inputs, output: Tensor) -> None:
    values, flow, importance, _, _, _, peak, total, ctx.mode = inputs
    ctx.save_for_backward(values, flow, importance, peak, total, output)


def _backward(ctx, gradient: Tensor):
    values, flow, importance, peak, total, output = ctx.saved_tensors
    needs_values, needs_flow, needs_importance = ctx.needs_input_grad[:3]
    if torch.is_grad_enabled():  # somebody will differentiate the gradient: create_graph=True
        gradients = _differentiable_backward(ctx, gradient, values, flow, importance)
    else:
        gradients = splat_backward(
            gradient,
            values,
            output,
            flow,
            importance,
            peak,
            total,
            ctx.mode,
            needs_values,
            needs_flow or needs_importance,
        )
    kept = [g if needed else None for g, needed in zip(gradients, ctx.needs_input_grad[:3], strict=True)]
    return *kept, None, None, None, None, None, None


def _differentiable_backward(
    ctx, gradient: Tensor, values: Tensor, flow: Tensor, importance: Tensor | None
) -> list[Tensor | None]:
    needed = ctx.needs_input_grad[:3]
    wanted = [t for t, needs in zip((values, flow, importance), needed, strict=True) if needs and t is not None]
    with torch.autocast(values.device.type, enabled=False):
        output = softsplat_reference(values, flow, importance=importance, mode=ctx.mode)
        found = iter(torch.autograd.grad(output, wanted, gradient, create_graph=True, allow_unused=True))
    return [next(found) if needs else None for needs in needed]


torch.library.register_autograd("softsplat::splat", _backward, setup_context=_setup_context)
torch.library.register_autograd("softsplat::channels_last", lambda ctx, gradient: gradient)
