"""Augmentation of photos together with their motion: what turns the image turns its vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of the random changes; all are drawn uniformly."""

    flip: float = 0.5  # probability of a horizontal flip
    zoom: float = 1.7  # largest enlargement of a crop, drawn on a logarithmic scale from 1
    stretch: float = 1.15  # largest ratio by which one axis is enlarged more than the other
    rotation: float = 5.0  # degrees to either side
    brightness: float = 0.15  # added, in units of the [-1, 1] range
    contrast: float = 0.3  # the factor is in [1 - c, 1 + c]
    saturation: float = 0.4  # likewise
    hue: float = 0.15  # radians of rotation about the grey axis, to either side
    mosaic: float = 0.7  # probability of a picture made of two or four scenes, each with changes of its own


def augment_motion_sample(
    image: Tensor,  # [3, H, W] in [-1, 1]
    volume: Tensor,  # [K, 4, H, W] in pixels
    size: tuple[int, int],  # (H', W') of the result
    config: AugmentationConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, float]:
    """One random flip, crop, scale, rotation and change of colour.

    Returns:
        Image ``[3, H', W']``, volume ``[K, 4, H', W']``, and the factor by which lengths in pixels grew.
    """
    matrix, center = _random_affine(image.shape[-2:], size, config, generator)
    image, volume = warp_motion_sample(image, volume, size, matrix, center)
    enlargement = float(torch.linalg.det(matrix).abs()) ** -0.5
    return jitter_color(image, config, generator), volume, enlargement


def warp_motion_sample(
    image: Tensor, volume: Tensor, size: tuple[int, int], matrix: Tensor, center: Tensor
) -> tuple[Tensor, Tensor]:
    """Resample an image and its motion under ``x_in = matrix (x_out - middle of the output) + center``.

    Coordinates are (x, y) in pixels with pixel centres at whole numbers. A displacement is a difference of two
    positions, so it transforms with the inverse of the matrix. Outside the input the edge is repeated.

    Args:
        image: ``[3, H, W]``.
        volume: ``[K, 4, H, W]`` in pixels of the input.
        size: (H', W') of the result.
        matrix: ``[2, 2]``; center: ``[2]``.

    Returns:
        Image ``[3, H', W']`` and volume ``[K, 4, H', W']`` in pixels of the output.
    """
    height, width = image.shape[-2:]
    out_height, out_width = size
    ys, xs = torch.meshgrid(torch.arange(out_height), torch.arange(out_width), indexing="ij")
    offsets = torch.stack([xs - (out_width - 1) / 2, ys - (out_height - 1) / 2], dim=-1).to(image)
    positions = offsets @ matrix.T.to(image) + center.to(image)
    scale = positions.new_tensor([2 / width, 2 / height])
    grid = (positions + 0.5) * scale - 1  # align_corners=False: -1 and 1 are the outer edges of the border pixels
    stacked = torch.cat([image, volume.flatten(0, 1).to(image)])[None]
    warped = F.grid_sample(stacked, grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]
    vectors = warped[3:].view(volume.shape[0], 2, 2, out_height, out_width)  # frequency, Re or Im, (x, y)
    turned = torch.einsum("ij,kpjhw->kpihw", torch.linalg.inv(matrix).to(image), vectors)
    return warped[:3], turned.reshape(volume.shape[0], 4, out_height, out_width)


def jitter_color(image: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Random brightness, contrast, saturation and hue of an image ``[3, H, W]`` in [-1, 1]."""
    brightness = _uniform(-config.brightness, config.brightness, generator)
    contrast = _uniform(1 - config.contrast, 1 + config.contrast, generator)
    saturation = _uniform(1 - config.saturation, 1 + config.saturation, generator)
    grey = image.mean(dim=0, keepdim=True)
    chroma = _rotation_about_grey(_uniform(-config.hue, config.hue, generator)).to(image)
    colors = torch.einsum("ij,jhw->ihw", chroma, image - grey) * saturation + grey
    mean = grey.mean()
    return ((colors - mean) * contrast + mean + brightness).clamp(-1, 1)


def _random_affine(
    input_size: torch.Size, output_size: tuple[int, int], config: AugmentationConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A random map from output to input coordinates whose unrotated crop lies inside the input."""
    height, width = input_size
    out_height, out_width = output_size
    stretch = math.exp(_uniform(-0.5, 0.5, generator) * math.log(config.stretch))
    zoom = math.exp(_uniform(0, math.log(config.zoom), generator))
    # The largest step that keeps the crop inside, along the axis that reaches the border first.
    step = min(width / (out_width * stretch), height / (out_height / stretch)) / zoom
    step_x, step_y = step * stretch, step / stretch
    angle = math.radians(_uniform(-config.rotation, config.rotation, generator))
    mirror = -1.0 if _uniform(0, 1, generator) < config.flip else 1.0
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[cos, -sin], [sin, cos]]) @ torch.diag(torch.tensor([mirror * step_x, step_y]))
    slack_x, slack_y = width - out_width * step_x, height - out_height * step_y
    center_x = (width - 1) / 2 + _uniform(-0.5, 0.5, generator) * slack_x
    center_y = (height - 1) / 2 + _uniform(-0.5, 0.5, generator) * slack_y
    return matrix, torch.tensor([center_x, center_y])


def _rotation_about_grey(angle: float) -> Tensor:
    """Rotation of RGB about the axis (1, 1, 1), by Rodrigues' formula: ``[3, 3]``."""
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -axis, axis], [axis, 0.0, -axis], [-axis, axis, 0.0]])
    return torch.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()
