"""Training batches for the renderer: random crops and flips of a photograph, a later frame and the flow to it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

CUT_MARGIN = 8  # pixels along a cut side of a crop in which content may come from beyond the cut


class FramePairBatch(NamedTuple):
    """What one training step of the renderer sees."""

    source: Tensor  # [B, 3, H, W] in [-1, 1]
    target: Tensor  # [B, 3, H, W] in [-1, 1]
    flow: Tensor  # [B, 2, H, W] in pixels from source to target
    importance: Tensor  # [B, 1, H, W] mean over time of the displacement's magnitude
    known: Tensor  # [B, 1, H, W] 1, or 0 near a cut, where no renderer could know what moves in from beyond it
    ids: list[str]

    def to(self, device: torch.device) -> FramePairBatch:
        """The same batch on a device."""
        source, target, flow, importance, known = (tensor.to(device) for tensor in self[:5])
        return FramePairBatch(source, target, flow, importance, known, self.ids)


def draw_frame_pairs(
    dataset: Dataset,  # a data.datasets.FramePairDataset
    batch_size: int,
    crop: tuple[int, int],  # (W, H), at most the frames' size
    generator: torch.Generator,
) -> FramePairBatch:
    """Draw pairs with replacement; the batch is a function of the generator alone."""
    indices = torch.randint(len(dataset), (batch_size,), generator=generator)  # type: ignore[arg-type]
    samples, ids = [], []
    for index in indices.tolist():
        item = dataset[index]
        stacked = torch.cat([item["source"], item["target"], item["flow"], item["importance_motion"]])
        samples.append(_flip(_crop(stacked, crop, generator), generator))
        ids.append(f"{item['id']}:{item['frame_index']}")
    source, target, flow, importance, known = torch.stack(samples).split([3, 3, 2, 1, 1], dim=1)
    return FramePairBatch(source, target, flow, importance, known, ids)


def whole_frame_pair(item: dict) -> FramePairBatch:
    """A dataset item as it is, as a batch of one."""
    source, target, flow, importance = (item[n][None] for n in ("source", "target", "flow", "importance_motion"))
    return FramePairBatch(source, target, flow, importance, torch.ones_like(importance), [item["id"]])


def _crop(stacked: Tensor, crop: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Cut ``[9, H, W]`` to the crop's size and add the mask of what is known: ``[10, H', W']``."""
    height, width = stacked.shape[1:]
    if crop[0] > width or crop[1] > height:
        raise ValueError(f"a crop of {crop[0]}x{crop[1]} is larger than the frames, {width}x{height}")
    left = int(torch.randint(width - crop[0] + 1, (), generator=generator))
    top = int(torch.randint(height - crop[1] + 1, (), generator=generator))
    right, bottom = left + crop[0], top + crop[1]
    known = torch.zeros(1, height, width)
    # The image's own border is no cut: what lies beyond it is unknown in use as well.
    known[
        :,
        top + CUT_MARGIN if top > 0 else 0 : bottom - CUT_MARGIN if bottom < height else height,
        left + CUT_MARGIN if left > 0 else 0 : right - CUT_MARGIN if right < width else width,
    ] = 1
    return torch.cat([stacked, known])[:, top:bottom, left:right]


def _flip(stacked: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror at random along each axis; a mirrored axis negates its component of the flow (channels 6 and 7)."""
    for axis, component in ((2, 6), (1, 7)):
        if torch.rand((), generator=generator) < 0.5:
            stacked = stacked.flip(axis)
            stacked[component] *= -1
    return stacked
