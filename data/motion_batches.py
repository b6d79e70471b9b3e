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
        augmentation: AugmentationConfig | None,  # None takes the photographs as they are, at their own size
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.sizes = batch_sizes(size, multiple)

    def draw(self, batch_size: int, frequencies: int, generator: torch.Generator) -> MotionBatch:
        """Draw sequences with replacement, and ``frequencies`` slices of each (all of them, in order, if 0)."""
        shape = self.sizes[int(torch.multinomial(torch.tensor([0.7, 0.15, 0.15]), 1, generator=generator))]
        indices = torch.randint(len(self.dataset), (batch_size,), generator=generator)  # type: ignore[arg-type]
        images, volumes, index_rows, ids = [], [], [], []
        for index in indices.tolist():
            item = self.dataset[index]
            image, volume = item["image"], item["spectral_volume"]
            count = volume.shape[0]
            rows = torch.arange(count) if not frequencies else torch.randperm(count, generator=generator)[:frequencies]
            volume = volume[rows]
            if self.augmentation is not None:
                image, volume = augment_motion_sample(image, volume, shape, self.augmentation, generator)
            images.append(image)
            volumes.append(volume)
            index_rows.append(rows)
            ids.append(item["id"])
        return MotionBatch(torch.stack(images), torch.stack(volumes), torch.stack(index_rows), ids)


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
