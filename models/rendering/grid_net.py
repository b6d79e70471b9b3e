"""The networks of the renderer: feature pyramid, GridNet, learned importance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.rendering.warping import (
    magnitude,
)

ACTIVATIONS = ("leaky_relu", "prelu")
FLOW_UNIT = 16.0  # pixels; brings the flow that the network sees to about the range of images


class FeaturePyramid(nn.Module):
    """Features of an image, each level of half the size of the one before.

    ``[B, 3, H, W]`` -> ``[B, C_l, H / (finest 2^l), W / (finest 2^l)]`` for level l.
    """

    def __init__(self, channels: Sequence[int], activation: str, *, finest: int = 1) -> None:
        super().__init__()
        stages, previous = [], 3
        for level, width in enumerate(channels):
            stride = finest if level == 0 else 2
            first = nn.Conv2d(previous, width, 3, stride=stride, padding=1)
            second = nn.Conv2d(width, width, 3, padding=1)
            act = _activation(activation, width, inplace=True)
            stages.append(nn.Sequential(first, act, second, _activation(activation, width, inplace=True)))
            previous = width
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            image = stage(image)
            features.append(image)
        return features


class GridNet(nn.Module):
    """Grid of residual rows, one a resolution, joined by downward columns first and upward columns after.

    After Fourure et al., "Residual Conv-Deconv Grid Network for Semantic Segmentation" (2017), as used for synthesis
    from splatted features by Niklaus and Liu (2018, 2020). Takes a tensor for each of the upper rows, one at least, and
    returns the top row's last column; rows without one begin with what comes down to them.
    """

    def __init__(self, inputs: Sequence[int], channels: Sequence[int], columns: int, activation: str) -> None:
        super().__init__()
        # The heads are the first column's lateral blocks: they have no earlier column to add to.
        self.heads = nn.ModuleList(
            _block(before, after, activation)[1:] for before, after in zip(inputs, channels, strict=False)
        )
        self.columns = nn.ModuleList(
            GridColumn(channels, activation, lateral=column > 0, upward=column >= columns // 2)
            for column in range(columns)
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        rows = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        for column in self.columns:
            rows = column(rows)
        return rows[0]


class ImportanceNet(nn.Module):
    """A small U-Net: features of the full size and the flow to a frame -> learned importance ``[N, 1, H, W]``."""

    def __init__(self, channels: Sequence[int], activation: str) -> None:
        super().__init__()
        self.grid = GridNet([channels[0] + 3], channels, 2, activation)
        self.head = nn.Conv2d(channels[0], 1, 3, padding=1)

    def forward(self, features: Tensor, flow: Tensor) -> Tensor:
        given = torch.cat([flow, magnitude(flow)], dim=1) / FLOW_UNIT
        return self.head(self.grid([torch.cat([features.expand(len(flow), -1, -1, -1), given], dim=1)]))


class GridColumn(nn.Module):
    """One column: a residual step along each row, then what each row passes to the one below (or, upward, above)."""

    def __init__(self, channels: Sequence[int], activation: str, lateral: bool, upward: bool) -> None:
        super().__init__()
        self.upward = upward
        self.lateral = nn.ModuleList(_block(c, c, activation) for c in channels if lateral)
        pairs = list(pairwise(channels))
        self.vertical = nn.ModuleList(
            _block(lower, upper, activation) if upward else _block(upper, lower, activation, stride=2)
            for upper, lower in pairs
        )

    def forward(self, rows: list[Tensor]) -> list[Tensor]:
        if self.lateral:
            rows = [row + block(row) for row, block in zip(rows, self.lateral, strict=True)]
        steps = list(enumerate(self.vertical))
        for upper, block in reversed(steps) if self.upward else steps:
            if self.upward:
                size = rows[upper].shape[2:]
                larger = F.interpolate(rows[upper + 1], size=size, mode="bilinear", align_corners=False)
                rows[upper] = rows[upper] + block(larger)
            else:
                below = block(rows[upper])
                below = rows[upper + 1] + below if upper + 1 < len(rows) else below
                rows = [*rows[: upper + 1], below, *rows[upper + 2 :]]
        return rows


def _block(before: int, after: int, activation: str, stride: int = 1) -> nn.Sequential:
    """Activation, convolution, activation, convolution; the first must leave its input alone for the residual sum."""
    first = nn.Conv2d(before, after, 3, stride=stride, padding=1)
    second = nn.Conv2d(after, after, 3, padding=1)
    return nn.Sequential(_activation(activation, before), first, _activation(activation, after, inplace=True), second)


def _activation(name: str, channels: int, inplace: bool = False) -> nn.Module:
    return nn.PReLU(channels) if name == "prelu" else nn.LeakyReLU(0.1, inplace)
