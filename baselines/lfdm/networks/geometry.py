"""Sampling grids, warps, and 2x2 matrices in closed form.

Coordinates are (x, y) in [-1, 1]: -1 and 1 are the centres of the outermost pixels (``align_corners=True``), at every
resolution, so that the identity grid samples a picture exactly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-6  # added to covariances, so that a heat map on a single pixel has an inverse too


def identity_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Where each pixel itself is: ``[H, W, 2]``, (x, y) in [-1, 1], of ``like``'s type and device."""
    ys = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    xs = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    return torch.stack([xs.expand(height, width), ys[:, None].expand(height, width)], dim=-1)


def resize(values: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, C, H, W]`` -> ``[B, C, *size]``, bilinear between pixel centres."""
    if values.shape[-2:] == size:
        return values
    return F.interpolate(values, size, mode="bilinear", align_corners=True)


def warp(image: Tensor, grid: Tensor, *, padding: str = "zeros") -> Tensor:
    """Sample an image at a grid of another or the same resolution.

    Args:
        image: ``[B, C, H, W]``.
        grid: ``[B, h, w, 2]``, (x, y) in [-1, 1] at which each pixel of the result takes its value.
        padding: what lies outside the image, ``zeros`` or its ``border``.

    Returns:
        ``[B, C, H, W]``.
    """
    size = (image.shape[2], image.shape[3])
    if grid.shape[1:3] != size:
        grid = resize(grid.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
    return F.grid_sample(image, grid.to(image.dtype), mode="bilinear", padding_mode=padding, align_corners=True)


def principal_axes(covariance: Tensor) -> Tensor:
    """``A = U sqrt(S)`` of symmetric 2x2 matrices ``C = U S U^T``, so that ``A A^T = C``.

    The rotation that diagonalises ``[[a, b], [b, c]]`` has the angle ``atan2(2b, a - c) / 2``; the larger eigenvalue
    comes first. Computed in float32 at least.

    Args:
        covariance: ``[..., 2, 2]``, positive semidefinite.
    """
    covariance = covariance if covariance.dtype == torch.float64 else covariance.float()
    a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    difference = a - c
    # At a circle any angle will do, but the angle's derivative is not finite there.
    circle = difference.square() + 4 * b.square() < 1e-18
    difference = torch.where(circle, torch.full_like(difference, 1e-9), difference)
    angle = 0.5 * torch.atan2(2 * b, difference)
    radius = 0.5 * torch.sqrt(difference.square() + 4 * b.square())
    middle = (a + c) / 2
    large, small = (middle + radius).clamp_min(1e-12).sqrt(), (middle - radius).clamp_min(1e-12).sqrt()
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([large * cos, -small * sin, large * sin, small * cos], dim=-1).unflatten(-1, (2, 2))


def inverse(matrices: Tensor) -> Tensor:
    """Inverse of ``[..., 2, 2]`` by the adjugate."""
    a, b, c, d = matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 1, 0], matrices[..., 1, 1]
    determinant = a * d - b * c
    return torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2)) / determinant[..., None, None]


def revert_axis_swap(matrices: Tensor) -> Tensor:
    """Matrices ``[..., 2, 2]`` times the sign of their first entry: principal axes have no direction of their own."""
    first = matrices[..., :1, :1]
    return torch.where(first < 0, -matrices, matrices)


class AntiAliasDownsample(nn.Module):
    """Gaussian blur, then every ``stride``-th pixel: sigma ``(stride - 1) / 2``, zeros outside the picture."""

    kernel: Tensor

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        sigma = (stride - 1) / 2
        self.reach = round(4 * sigma)
        offsets = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64)
        taps = torch.exp(-offsets.square() / (2 * sigma**2)) if sigma else torch.ones(1, dtype=torch.float64)
        self.register_buffer("kernel", (taps / taps.sum()).float(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, C, ceil(H / stride), ceil(W / stride)]``."""
        if self.stride == 1:
            return image
        channels, taps = image.shape[1], self.kernel.to(image.dtype)
        rows = taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        columns = taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        # The rows that are left out later are not computed.
        image = F.conv2d(image, rows, padding=(self.reach, 0), stride=(self.stride, 1), groups=channels)
        return F.conv2d(image, columns, padding=(0, self.reach), stride=(1, self.stride), groups=channels)
