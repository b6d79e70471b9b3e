"""Softmax splatting: differentiable forward warping (paper section 5, "image-based rendering").

A pixel at x moves to x + flow(x), and its value is divided bilinearly among the four pixels around that point; what
lands outside the image is dropped. The mode says how values that meet are combined. With bilinear weights b and
importance z it is

* ``summation``: ``sum(b v)``
* ``average``:   ``sum(b v) / sum(b)``
* ``linear``:    ``sum(b z v) / sum(b z)``, for z >= 0 (negative importance counts as 0)
* ``softmax``:   ``sum(b exp(z) v) / sum(b exp(z))``

All three inputs get gradients. Pixels on which nothing lands are 0 and give no gradient. Softmax subtracts the largest
importance *at each target*: importance of any magnitude is safe, and pixels that land elsewhere have no influence.

The work is done in two steps. :func:`plan_splat` finds targets and normalised weights of a flow once; a
:class:`SplatPlan` then moves any number of tensors. Both are PyTorch operators (:mod:`models.splatting.operators`) with
a sorted form for the CPU and kernels for NVIDIA GPUs; :mod:`models.splatting.reference` is the form to read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.splatting import operators
from models.splatting.reference import MODES, prepare

__all__ = ["MODES", "SplatPlan", "plan_splat", "softsplat", "splat_with_weight"]


def softsplat(input: Tensor, flow: Tensor, importance: Tensor | None = None, *, mode: str = "softmax") -> Tensor:
    """Forward-warp ``input`` by ``flow``.

    Args:
        input: ``[B, C, H, W]`` floating point, of any strides. Half precision is accumulated in float32 and returned
            in its own dtype; float64 is kept if the flow is float64 too.
        flow: ``[B, 2, H, W]`` in pixels, x right and y down. Pixels whose flow is not finite are dropped.
        importance: ``[B, 1, H, W]``, larger is in front; for ``linear`` and ``softmax`` only. Any magnitude; what is
            not a number counts as 0.
        mode: one of :data:`MODES`.

    Returns:
        ``[B, C, H, W]``; on the CPU channels last, elsewhere laid out as ``input``.

    Raises:
        ValueError: on mismatched shapes, types or devices, an unknown mode, or importance that is missing or not used
            by the mode.
    """
    return plan_splat(flow, importance, mode=mode)(input)


def splat_with_weight(
    input: Tensor, flow: Tensor, importance: Tensor | None = None, *, mode: str = "softmax"
) -> tuple[Tensor, Tensor]:
    """As :func:`softsplat`, and the accumulated bilinear weight ``[B, 1, H, W]``: 0 in holes, 1 where nothing moved."""
    plan = plan_splat(flow, importance, mode=mode)
    return plan(input), plan.coverage


def plan_splat(flow: Tensor, importance: Tensor | None = None, *, mode: str = "softmax") -> SplatPlan:
    """Targets and normalised weights of a flow, to splat several tensors of one resolution with.

    Args and errors as for :func:`softsplat`; ``importance`` may also be ``[1, 1, H, W]`` for a whole batch of flows.
    """
    _check(flow, importance, mode)
    return SplatPlan(*prepare(flow, importance), mode)


class SplatPlan:
    """Where each pixel of a flow goes and with which weight; calling it splats a tensor.

    Attributes:
        coverage: ``[B, 1, H, W]`` accumulated bilinear weight, without gradient.
    """

    def __init__(self, flow: Tensor, importance: Tensor | None, mode: str) -> None:
        self._flow, self._importance, self._mode = flow, importance, mode
        constant = None if importance is None else importance.detach()
        *self._entries, self.coverage = operators.plan(flow.detach(), constant, mode)

    def __call__(self, values: Tensor) -> Tensor:
        """Splat ``[B, C, H, W]``, or ``[1, C, H, W]`` along every flow of the batch, to ``[B, C, H, W]``."""
        batch, _, height, width = self.coverage.shape
        if values.ndim != 4 or not _fits(values, batch, values.shape[1], height, width):
            raise ValueError(
                f"the flow is {batch} x {height} x {width}, values of shape {tuple(values.shape)} don't fit it"
            )
        if not values.is_floating_point() or values.device != self._flow.device:
            raise ValueError(
                f"values to be splatted are floating point on the flow's device {self._flow.device}, "
                f"got {values.dtype} on {values.device}"
            )
        # Sums are in the flow's precision: float32, or float64 throughout.
        doubles = torch.float64 in (values.dtype, self._flow.dtype)
        known = values.to(self._flow.dtype) if doubles else values
        if known.device.type == "cpu" and not known.is_contiguous(memory_format=torch.channels_last):
            known = operators.channels_last(known)
        known = known.expand(batch, -1, -1, -1)
        moved = operators.splat(known, self._flow, self._importance, *self._entries, self._mode)
        return moved.to(values.dtype)


def _check(flow: Tensor, importance: Tensor | None, mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"unknown splatting mode {mode!r}, expected one of {', '.join(MODES)}")
    if flow.ndim != 4 or flow.shape[1] != 2:
        raise ValueError(f"expected a flow [B, 2, H, W], got shape {tuple(flow.shape)}")
    if flow.numel() // 2 >= operators.LARGEST:
        raise ValueError(f"a flow of shape {tuple(flow.shape)} is too large to splat at once, split the batch")
    if (importance is not None) != (mode in ("linear", "softmax")):
        raise ValueError(f"{mode} splatting {'needs' if importance is None else 'takes no'} importance")
    if importance is None:
        return
    batch, _, height, width = flow.shape
    if importance.ndim != 4 or not _fits(importance, batch, 1, height, width):
        raise ValueError(f"importance of shape {tuple(importance.shape)} doesn't fit a flow of {tuple(flow.shape)}")
    if importance.device != flow.device:
        raise ValueError(f"importance is on {importance.device}, the flow on {flow.device}")


def _fits(tensor: Tensor, batch: int, channels: int, height: int, width: int) -> bool:
    """Number by number: `torch.compile` can't compare shapes of unknown numbers as a whole."""
    images, *shape = tensor.shape
    same = shape[0] == channels and shape[1] == height and shape[2] == width
    return same and (images == 1 or images == batch)
