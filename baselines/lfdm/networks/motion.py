"""Motion between two frames: regions with principal axes, an affine background, the dense flow they make; or dense
flow without them.

Regions are found without supervision (Siarohin et al., "Motion Representations for Articulated Animation", CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.lfdm.config import LATENT_STRIDE, AutoencoderConfig
from baselines.lfdm.networks.blocks import DownBlock, Hourglass
from baselines.lfdm.networks.geometry import (
    EPSILON,
    AntiAliasDownsample,
    identity_grid,
    inverse,
    principal_axes,
    revert_axis_swap,
    warp,
)
from baselines.lucas_kanade import lucas_kanade
from models.rendering.warping import resample

STILL = 4.0  # logit of the background's mask, whose motion is the identity, in a model that starts as the source
BACKGROUND_STEP = 0.02  # of what the background's head says beyond the identity, in such a model
CORRECTION = 0.2  # pixels of a frame in one unit of what a network adds to dense flow
CHANGE = 8.0  # by which the change between two frames, mostly small, is multiplied
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the affine motion that leaves everything where it is


@dataclass(frozen=True)
class Regions:
    """The K regions of frames, in coordinates (x, y) in [-1, 1]."""

    mean: Tensor  # [B, K, 2]
    covariance: Tensor  # [B, K, 2, 2]
    axes: Tensor  # [B, K, 2, 2], A with A A^T = covariance
    heatmap: Tensor  # [B, K, h, w], sums to 1 over the pixels

    def repeat(self, count: int) -> Regions:
        """Regions of B frames, each ``count`` times in turn, for the frames of B clips."""
        values = (self.mean, self.covariance, self.axes, self.heatmap)
        return Regions(*(value.repeat_interleave(count, dim=0) for value in values))


@dataclass(frozen=True)
class LatentFlow:
    """Backward flow at the latent's resolution."""

    grid: Tensor  # [B, h, w, 2], (x, y) in [-1, 1]: where in the source each pixel of the frame comes from
    occlusion: Tensor  # [B, 1, h, w] in [0, 1]; 1 where what is there can be trusted


class RegionPredictor(nn.Module):
    """Frame -> regions: a heat map each, with its mean and covariance."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.downsample = AntiAliasDownsample(LATENT_STRIDE)
        self.hourglass = Hourglass(3, config.region_channels, blocks=config.blocks, most=config.most_channels)
        self.head = nn.Conv2d(self.hourglass.channels_out, config.regions, 7, padding=3)

    def forward(self, frames: Tensor) -> Regions:
        """Frames ``[B, 3, H, W]`` in [0, 1] -> their regions."""
        logits = self.head(self.hourglass(self.downsample(frames))).float() / self.temperature
        return regions_of(logits.flatten(2).softmax(dim=-1).view_as(logits))


def regions_of(heatmap: Tensor) -> Regions:
    """Means and covariances of heat maps ``[B, K, h, w]``; they and what follows are float32."""
    grid = identity_grid(heatmap.shape[2], heatmap.shape[3], heatmap)
    mean = torch.einsum("bkhw,hwc->bkc", heatmap, grid)
    offsets = grid - mean[:, :, None, None]
    covariance = torch.einsum("bkhw,bkhwc,bkhwd->bkcd", heatmap, offsets, offsets)
    covariance = covariance + EPSILON * torch.eye(2, dtype=covariance.dtype, device=covariance.device)
    return Regions(mean, covariance, principal_axes(covariance), heatmap)


class BackgroundPredictor(nn.Module):
    """Source and driving frame -> affine motion of the background, the identity before training."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = [min(config.most_channels, config.background_channels << n) for n in range(config.background_blocks)]
        self.encoder = nn.Sequential(*(DownBlock(a, b) for a, b in zip([6, *widths[:-1]], widths, strict=True)))
        self.head = nn.Linear(widths[-1], 6)
        # A head of this kind moves far with each step of an optimizer: 0.01 is more than half a pixel of 128.
        self.step = BACKGROUND_STEP if config.start == "source" else 1.0
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.tensor(IDENTITY))

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Two frames ``[B, 3, H, W]`` -> ``[B, 2, 3]``: driving coordinates (x, y, 1) to source coordinates."""
        features = self.encoder(torch.cat([source, driving], dim=1)).mean(dim=(2, 3))
        values = torch.lerp(self.head.bias.new_tensor(IDENTITY), self.head(features).float(), self.step)
        return values.view(-1, 2, 3)


def set_to_zero(convolution: nn.Conv2d) -> None:
    """Weights and bias of a layer that draws nothing before training."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)


class FlowPredictor(nn.Module):
    """Regions of two frames -> dense flow: a mask a region, and what none of them explains."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.padding = config.padding
        self.downsample = AntiAliasDownsample(LATENT_STRIDE)
        channels = 4 * (config.regions + 1)  # of each region: heat difference, and the source under its motion
        self.hourglass = Hourglass(channels, config.flow_channels, blocks=config.blocks, most=config.most_channels)
        self.mask_head = nn.Conv2d(self.hourglass.channels_out, config.regions + 1, 7, padding=3)
        self.occlusion_head = nn.Conv2d(self.hourglass.channels_out, 1, 7, padding=3)
        if config.start == "source":
            for head in (self.mask_head, self.occlusion_head):
                set_to_zero(head)
            with torch.no_grad():
                self.mask_head.bias[0] = STILL  # type: ignore[index]

    def forward(
        self, source: Tensor, source_regions: Regions, *, driving_regions: Regions, background: Tensor
    ) -> LatentFlow:
        """Source ``[B, 3, H, W]``, regions of both frames, background ``[B, 2, 3]`` -> flow at a quarter of the size.

        The masks sum to one, so the flow is a mean of the regions' and the background's motions.
        """
        source = self.downsample(source)
        batch, _, height, width = source.shape
        grid = identity_grid(height, width, background)
        motions = sparse_motions(grid, source_regions, driving_regions=driving_regions, background=background)
        moved = warp(
            source[:, None].expand(-1, motions.shape[1], -1, -1, -1).flatten(0, 1),
            motions.flatten(0, 1),
            padding=self.padding,
        )
        heat = heat_at(grid, driving_regions) - heat_at(grid, source_regions)
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], dim=1)  # the background has none
        inputs = torch.cat([heat[:, :, None].to(source), moved.unflatten(0, (batch, -1))], dim=2).flatten(1, 2)
        features = self.hourglass(inputs)
        masks = self.mask_head(features).float().softmax(dim=1)
        flow = torch.einsum("bkhw,bkhwc->bhwc", masks, motions)
        return LatentFlow(flow, self.occlusion_head(features).float().sigmoid())


class DenseFlowPredictor(nn.Module):
    """Two frames -> dense flow, without regions: Lucas and Kanade's, and what a network adds to it."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.downsample = AntiAliasDownsample(LATENT_STRIDE)
        # The flow, both frames, and the change that the flow leaves.
        self.hourglass = Hourglass(2 + 3 * 3, config.flow_channels, blocks=config.blocks, most=config.most_channels)
        self.head = nn.Conv2d(self.hourglass.channels_out, 3, 7, padding=3)
        if config.start == "source":
            set_to_zero(self.head)

    def forward(self, source: Tensor, driving: Tensor) -> LatentFlow:
        """Two frames ``[B, 3, H, W]`` -> flow at a quarter of the size."""
        flow = lucas_kanade(source, driving)
        moved = resample(source, -flow, "bilinear")
        coarse = F.avg_pool2d(flow, LATENT_STRIDE)  # in pixels of the frames
        pictures = torch.cat([source, driving, CHANGE * (driving - moved)], dim=1)
        features = self.hourglass(torch.cat([coarse, self.downsample(pictures)], dim=1))
        correction, trust = self.head(features).float().split((2, 1), dim=1)
        coarse = coarse + CORRECTION * correction
        size = coarse.new_tensor([source.shape[3] - 1, source.shape[2] - 1])
        grid = identity_grid(coarse.shape[2], coarse.shape[3], coarse)
        return LatentFlow(grid + coarse.permute(0, 2, 3, 1) * 2 / size, trust.sigmoid())


def sparse_motions(grid: Tensor, source: Regions, *, driving_regions: Regions, background: Tensor) -> Tensor:
    """Each motion's source coordinates of driving coordinates ``grid [h, w, 2]``: ``[B, 1 + K, h, w, 2]``.

    The background comes first; region k maps z to ``mu_s + A_s A_d^-1 (z - mu_d)``.
    """
    matrices = revert_axis_swap(source.axes @ inverse(driving_regions.axes))
    offsets = grid - driving_regions.mean[:, :, None, None]
    moved = torch.einsum("bkij,bkhwj->bkhwi", matrices, offsets) + source.mean[:, :, None, None]
    still = torch.einsum("bij,hwj->bhwi", background[:, :, :2], grid) + background[:, None, None, :, 2]
    return torch.cat([still[:, None], moved], dim=1)


def moved_regions(source: Regions, *, start: Regions, now: Regions) -> Regions:
    """The source's regions, moved and deformed as others have been between two frames."""
    axes = now.axes @ inverse(start.axes) @ source.axes
    mean = source.mean + now.mean - start.mean
    return Regions(mean, axes @ axes.transpose(-1, -2), axes, now.heatmap)


def heat_at(grid: Tensor, regions: Regions) -> Tensor:
    """Unnormalised Gaussian of each region: ``[B, K, h, w]`` at ``grid [h, w, 2]``."""
    offsets = grid - regions.mean[:, :, None, None]
    distance = torch.einsum("bkhwi,bkij,bkhwj->bkhw", offsets, inverse(regions.covariance), offsets)
    return torch.exp(-0.5 * distance)
