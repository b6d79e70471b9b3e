"""Training batches for the motion model: augmented photos with some or all slices of their spectral volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset

from data.dataset.manifest import load_manifest, load_statistics
from data.dataset.reading import SpectralVolumeDataset
from training.batches.augmentation import AugmentationConfig, augment_motion_sample
from training.batches.mixture import Mixture
from training.batches.options import CACHE_LIMIT, available_splits

SHAPE_SHARES = (0.7, 0.15, 0.15)  # shares of the pictures, one for each of :func:`batch_sizes`
PERIOD_TOLERANCE = 0.01  # by which the sequences of folders that train together may differ in length


class MotionBatch(NamedTuple):
    """What one training step sees, or one process's part of it."""

    image: Tensor  # [B, 3, H, W] in [-1, 1]
    slices: Tensor  # [B, k, 4, H, W] in pixels; with cached latents [B, k, C, h, w]
    frequency_index: Tensor  # [B, k] which frequencies the slices are
    ids: list[str]

    def to(self, device: torch.device) -> MotionBatch:
        """The same batch on a device; on a GPU it is there by the time that anything computes with it."""
        tensors = {name: getattr(self, name) for name in ("image", "slices", "frequency_index")}
        return self._replace(
            **{name: tensor.to(device, non_blocking=device.type == "cuda") for name, tensor in tensors.items()}
        )

    def pinned(self) -> MotionBatch:
        """The same batch in page-locked memory, from which a GPU fetches it while the program goes on."""
        return self._replace(
            **{name: getattr(self, name).pin_memory() for name in ("image", "slices", "frequency_index")}
        )


class MotionBatches:
    """Draws batches; a sample is a function of its own generator and the batch's shape, so that a resumed run, and a
    run on another number of processes, sees the same ones.
    """

    encoded = False  # the slices are motion, not latents

    def __init__(
        self,
        mixture: Mixture,  # holds SpectralVolumeDatasets, joined where several splits of a folder are taken
        size: tuple[int, int],  # (W, H)
        multiple: int,  # sides of every batch are multiples of it
        augmentation: AugmentationConfig,
    ) -> None:
        self.mixture = mixture
        self.augmentation = augmentation
        self.sizes = batch_sizes(size, multiple)
        self.num_frequencies = mixture.datasets[0][0]["spectral_volume"].shape[0]

    def draw(
        self,
        frequencies: int,  # slices of each photo; 0 takes all of them, in order
        step: torch.Generator,  # decides what all samples of a step have in common: their shape
        samples: Sequence[torch.Generator],  # one a sample
        map_samples: Callable = map,  # a thread pool's map draws several at once
    ) -> MotionBatch:
        """Draw sequences with replacement, and ``frequencies`` slices of each."""
        shape = self.sizes[int(torch.multinomial(torch.tensor(SHAPE_SHARES), 1, generator=step))]
        drawn = list(map_samples(lambda generator: self.draw_sample(shape, frequencies, generator), samples))
        images, slices, rows, ids = zip(*drawn, strict=True)
        return MotionBatch(torch.stack(images), torch.stack(slices), torch.stack(rows), list(ids))

    def draw_sample(
        self, shape: tuple[int, int], frequencies: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, str]:
        """One picture of a shape (H, W): image ``[3, H, W]``, slices ``[k, 4, H, W]``, their frequencies, and ids."""
        rows = draw_frequencies(self.num_frequencies, frequencies, generator)
        mosaic = torch.rand((), generator=generator) < self.augmentation.mosaic
        image, volume, ids = (self._mosaic if mosaic else self._panel)(shape, rows, generator)
        return image, volume, rows, ids

    def volumes(self) -> Iterator[Tensor]:
        """The spectral volume ``[1, K, 4, H, W]`` of each sequence, as it is."""
        for dataset in self.mixture.datasets:
            for index in range(len(dataset)):  # type: ignore[arg-type]
                yield dataset[index]["spectral_volume"][None]

    def _panel(self, shape: tuple[int, int], rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, str]:
        """A random sequence, changed at random: image ``[3, H, W]``, its slices ``[k, 4, H, W]`` and its id."""
        dataset, index = self.mixture.draw(generator)
        item = dataset[index]
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
            panels = [self._panel((height, width), rows, generator) for width in widths]
            images.append(torch.cat([panel[0] for panel in panels], dim=-1))
            volumes.append(torch.cat([panel[1] for panel in panels], dim=-1))
            names += [panel[2] for panel in panels]
        return torch.cat(images, dim=-2), torch.cat(volumes, dim=-2), "+".join(names)


def draw_frequencies(count: int, frequencies: int, generator: torch.Generator) -> Tensor:
    """``frequencies`` different ones of ``count``, or all of them in order if 0."""
    return torch.arange(count) if not frequencies else torch.randperm(count, generator=generator)[:frequencies]


def batch_sizes(size: tuple[int, int], multiple: int) -> list[tuple[int, int]]:
    """Shapes (H, W) that training alternates between: as given, square and turned, all of about the same area.

    Photos come upright too, and a network that has seen one shape only does poorly on the others.
    """
    width, height = size
    if width % multiple or height % multiple:
        raise ValueError(f"size {width}x{height}: both sides must be multiples of {multiple}")
    side = max(multiple, round((width * height) ** 0.5 / multiple) * multiple)
    return [(height, width), (side, side), (width, height)]


def load_batches(
    folders: Sequence[Path],
    *,
    shares: Sequence[float] | None,  # share of each folder; equal by default
    all_splits: bool,  # rather than the train split alone
    num_frequencies: int,
    size: tuple[int, int],
    multiple: int,
    augmentation: AugmentationConfig,
) -> MotionBatches:
    """Batches from dataset folders whose frequencies agree; small folders are kept in memory once they were read."""
    check_periods(folders)
    splits = {folder: available_splits(folder) if all_splits else ["train"] for folder in folders}
    rows = [row for folder in folders for split in splits[folder] for row in load_manifest(folder, split)]
    needed = sum((3 + 8 * num_frequencies) * row["width"] * row["height"] for row in rows)  # uint8 and float16
    datasets: list[ConcatDataset] = [
        ConcatDataset(
            [
                SpectralVolumeDataset(folder, split, num_frequencies=num_frequencies, cache=needed <= CACHE_LIMIT)
                for split in splits[folder]
            ]
        )
        for folder in folders
    ]
    return MotionBatches(Mixture(datasets, shares), size, multiple, augmentation)


def check_periods(folders: Sequence[Path]) -> None:
    """Refuse folders whose sequences last differently long: frequency k would mean another one in each."""
    periods = {folder: (s := load_statistics(folder))["num_frames"] / s["fps"] for folder in folders}
    first = folders[0]
    for folder, period in periods.items():
        if abs(period / periods[first] - 1) > PERIOD_TOLERANCE:
            raise ValueError(
                f"{folder}: its sequences last {period:.2f} s, those of {first} {periods[first]:.2f} s, so that their "
                "frequencies are different ones; prepare both with the same --num-frames and --fps"
            )


def scenes_of_sources(
    datasets: Sequence[SpectralVolumeDataset], *, limit: int, device: torch.device
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """The first sequence of each source video: scene -> [(image ``[1, 3, H, W]``, volume ``[1, K, 4, H, W]``)].

    Args:
        limit: how many scenes at most, evenly spread over all of them.
    """
    first: dict[str, tuple[SpectralVolumeDataset, int]] = {}
    for dataset in datasets:
        for index, row in enumerate(dataset.rows):
            first.setdefault(f"{dataset.folder.name}/{row['source']}", (dataset, index))
    names = list(first)
    chosen = [names[i * len(names) // limit] for i in range(limit)] if len(names) > limit else names
    scenes = {}
    for name in chosen:
        dataset, index = first[name]
        item = dataset[index]
        scenes[name] = [(item["image"][None].to(device), item["spectral_volume"][None].to(device))]
    return scenes
