"""Losses of the flow autoencoder: reconstruction, and equivariance of the regions under random deformations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.lfdm.networks.geometry import identity_grid, inverse, revert_axis_swap
from baselines.lfdm.networks.motion import Regions

AFFINE_DEVIATION = 0.05  # of the affine part from the identity
SPLINE_DEVIATION = 0.005  # of the thin-plate spline's coefficients
CONTROL_POINTS = 5  # along each side
TINY = 1e-6  # keeps the logarithm finite at a control point

Network = TypeVar("Network", bound=nn.Module)
Normal = Callable[[Sequence[int]], Tensor]  # shape -> standard normal numbers [B, *shape], see StepSamples.normal


@dataclass(frozen=True)
class Deformation:
    """A random smooth map of coordinates in [-1, 1]: affine, plus a thin-plate spline that moves x and y alike.

    The radial term is ``r^2 log(r + 1e-6)`` of the L1 distance r to each control point.
    """

    affine: Tensor  # [B, 2, 3]
    coefficients: Tensor  # [B, P], one a control point
    points: Tensor  # [P, 2]

    @classmethod
    def random(cls, normal: Normal, device: torch.device) -> Deformation:
        """Drawn for each sample."""
        affine = torch.eye(2, 3) + AFFINE_DEVIATION * normal((2, 3))
        coefficients = SPLINE_DEVIATION * normal((CONTROL_POINTS**2,))
        points = identity_grid(CONTROL_POINTS, CONTROL_POINTS, affine).flatten(0, 1)
        return cls(affine.to(device), coefficients.to(device), points.to(device))

    def move(self, coordinates: Tensor) -> Tensor:
        """``[B, N, 2]`` -> where they are mapped to."""
        linear, shift = self.affine[:, None, :, :2], self.affine[:, None, :, 2]
        moved = (linear @ coordinates[..., None])[..., 0] + shift
        distance = (coordinates[:, :, None] - self.points).abs().sum(dim=-1)  # [B, N, P]
        radial = distance.square() * torch.log(distance + TINY)
        return moved + (radial * self.coefficients[:, None]).sum(dim=-1, keepdim=True)

    def jacobian(self, coordinates: Tensor) -> Tensor:
        """Derivative of :meth:`move` at ``[B, N, 2]``: ``[B, N, 2, 2]``, rows are components of the result."""
        offsets = coordinates[:, :, None] - self.points
        distance = offsets.abs().sum(dim=-1)
        slope = 2 * distance * torch.log(distance + TINY) + distance.square() / (distance + TINY)
        gradient = (self.coefficients[:, None, :, None] * slope[..., None] * offsets.sign()).sum(dim=2)
        return self.affine[:, None, :, :2] + gradient[:, :, None]

    def apply(self, frames: Tensor) -> Tensor:
        """Frames ``[B, C, H, W]`` whose pixel z shows what was at ``move(z)``; the border is mirrored."""
        height, width = frames.shape[-2:]
        grid = identity_grid(height, width, frames).flatten(0, 1).expand(len(frames), -1, -1)
        moved = self.move(grid).unflatten(1, (height, width))
        return F.grid_sample(frames, moved, mode="bilinear", padding_mode="reflection", align_corners=True)


def equivariance(regions: Regions, deformed: Regions, deformation: Deformation) -> tuple[Tensor, Tensor]:
    """How far regions of a frame are from those of the deformed frame, mapped back: shift and affine part, ``[B]``.

    ``|mu - t(mu')|`` and ``|I - A^-1 J_t(mu') A'|``, means of absolute values.
    """
    shift = (regions.mean - deformation.move(deformed.mean)).abs().flatten(1).mean(dim=1)
    product = inverse(regions.axes) @ deformation.jacobian(deformed.mean) @ deformed.axes
    identity = torch.eye(2, dtype=product.dtype, device=product.device)
    affine = (identity - revert_axis_swap(product)).abs().flatten(1).mean(dim=1)
    return shift, affine


class Portions:
    """Sums and numbers of terms of a loss's parts, as the training loop adds them up over divided batches."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def add(self, values: Tensor) -> None:
        """One part: a value for each sample ``[B]``."""
        values = values.detach().double().cpu()
        self._rows.append(torch.stack([values.sum(), torch.tensor(float(len(values)), dtype=torch.float64)]))

    def all(self) -> Tensor:
        """``[parts, 2]``."""
        return torch.stack(self._rows)


def freeze(network: Network) -> Network:
    """The network in evaluation mode, without gradients: its normalisation uses fixed statistics."""
    return network.eval().requires_grad_(False)
