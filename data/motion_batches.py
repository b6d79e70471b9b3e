"""Training batches for the motion model: augmented photographs with some or all slices of their spectral volumes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.augmentation import AugmentationConfig, augment_motion_sample
from data.datasets import MotionDataset


class MotionBatch(NamedTuple):
    """What one training step sees."""

    image: Tensor  # [B, 3, H, W] in [-1, 1]
    volume: Tensor  # [B, k, 4, H, W] in pixels
    frequency_index: Tensor  # [B, k] which frequencies the volume's slices are
    ids: list[str]


class MotionBatches:
    """Draws batches; a batch is a function of the generator given, so a resumed run sees the same ones."""

    def __init__(
        self,
        dataset: Dataset,  # a data.datasets.MotionDataset
        size: tuple[int, int],  # (W, H)
        multiple: int,  # sides of every batch are multiples of it
        augmentation: AugmentationConfig,
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.sizes = batch_sizes(size, multiple)
        self.num_frequencies = dataset[0]["spectral_volume"].shape[0]

    def draw(self, batch_size: int, frequencies: int, generator: torch.Generator) -> MotionBatch:
        """Draw sequences with replacement, and ``frequencies`` slices of each (all of them, in order, if 0)."""
        shape = self.sizes[int(torch.multinomial(torch.tensor([0.7, 0.15, 0.15]), 1, generator=generator))]
        count = self.num_frequencies
        images, volumes, index_rows, ids = [], [], [], []
        for _ in range(batch_size):
            rows = torch.arange(count) if not frequencies else torch.randperm(count, generator=generator)[:frequencies]
            if torch.rand((), generator=generator) < self.augmentation.mosaic:
                image, volume, names = self._mosaic(shape, rows, generator)
            else:
                image, volume, names = self._sample(shape, rows, generator)
            images.append(image)
            volumes.append(volume)
            index_rows.append(rows)
            ids.append(names)
        return MotionBatch(torch.stack(images), torch.stack(volumes), torch.stack(index_rows), ids)

    def _sample(self, shape: tuple[int, int], rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, str]:
        """A random sequence, changed at random: image ``[3, H, W]``, its slices ``[k, 4, H, W]`` and its id."""
        item = self.dataset[int(torch.randint(len(self.dataset), (), generator=generator))]  # type: ignore[arg-type]
        volume = item["spectral_volume"][rows]
        return *augment_motion_sample(item["image"], volume, shape, self.augmentation, generator), item["id"]

    def _mosaic(self, shape: tuple[int, int], rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, str]:
        """Two or four panels from different sequences, so that no scene as a whole can be learned by heart.

        Motion is local: what a flower does depends on the flower and not on what else is in the picture.
        """
        upper, left = (round(side * (0.3 + 0.4 * torch.rand((), generator=generator).item())) for side in shape)
        kind = int(torch.randint(3, (), generator=generator))  # side by side, one above the other, or four
        heights = (shape[0],) if kind == 0 else (upper, shape[0] - upper)
        widths = (shape[1],) if kind == 1 else (left, shape[1] - left)
        images, volumes, names = [], [], []
        for height in heights:
            panels = [self._sample((height, width), rows, generator) for width in widths]
            images.append(torch.cat([panel[0] for panel in panels], dim=-1))
            volumes.append(torch.cat([panel[1] for panel in panels], dim=-1))
            names += [panel[2] for panel in panels]
        return torch.cat(images, dim=-2), torch.cat(volumes, dim=-2), "+".join(names)


def batch_sizes(size: tuple[int, int], multiple: int) -> list[tuple[int, int]]:
    """Shapes (H, W) that training alternates between: as given, square and turned, all of about the same area.

    Photographs come upright too, and a network that has seen one shape only does poorly on the others.
    """
    width, height = size
    if width % multiple or height % multiple:
        raise ValueError(f"size {width}x{height}: both sides must be multiples of {multiple}")
    side = max(multiple, round((width * height) ** 0.5 / multiple) * multiple)
    return [(height, width), (side, side), (width, height)]


def first_of_each_source(dataset: MotionDataset, device: torch.device) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """The first sequence of each source video: scene -> [(image ``[1, 3, H, W]``, volume ``[1, K, 4, H, W]``)]."""
    scenes: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for index, row in enumerate(dataset.rows):
        if row["source"] not in scenes:
            item = dataset[index]
            pair = item["image"][None].to(device), item["spectral_volume"][None].to(device)
            scenes[row["source"]] = [pair]
    return scenes
