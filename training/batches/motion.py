"""Training batches for the motion model: augmented photos with some or all slices of their spectral volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset

from data.dataset.manifest import load_manifest, load_statistics
from data.dataset.reading import SpectralVolumeDataset
from models.photos import resize_photo
from models.spectral_volume import LEAST_STRENGTH, motion_strength, resize_motion
from training.batches.augmentation import AugmentationConfig, augment_motion_sample
from training.batches.mixture import Mixture
from training.batches.options import CACHE_LIMIT, available_splits

SHAPE_SHARES = (0.7, 0.15, 0.15)  # shares of the pictures, one for each of :func:`batch_sizes`
ANY_STRENGTH = (0.25, 8.0)  # pixels, range of the wind that a network hears of where nothing moves
PERIOD_TOLERANCE = 0.01  # by which the sequences of folders that train together may differ in length


class MotionBatch(NamedTuple):
    """What one training step sees, or one process's part of it."""

    image: Tensor  # [B, 3, H, W] in [-1, 1]
    slices: Tensor  # [B, k, 4, H, W] in pixels; with cached latents [B, k, C, h, w]
    frequency_index: Tensor  # [B, k] which frequencies the slices are
    ids: list[str]
    strength: Tensor | None = None  # [B] in pixels, of the motion that the slices were divided by it

    def to(self, device: torch.device) -> MotionBatch:
        """The same batch on a device; on a GPU it is there by the time that anything computes with it."""
        fast = device.type == "cuda"
        return self._with({name: tensor.to(device, non_blocking=fast) for name, tensor in self._tensors().items()})

    def pinned(self) -> MotionBatch:
        """The same batch in page-locked memory, from which a GPU fetches it while the program goes on."""
        return self._with({name: tensor.pin_memory() for name, tensor in self._tensors().items()})

    def _with(self, tensors: dict[str, Tensor]) -> MotionBatch:
        return MotionBatch(**(self._asdict() | tensors))

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in self._asdict().items() if isinstance(value, Tensor)}


class Picture(NamedTuple):
    """One training picture, or a panel of one."""

    image: Tensor  # [3, H, W] in [-1, 1]
    slices: Tensor  # [k, 4, H, W] in pixels, or in units of the strength
    strength: float | None  # in pixels; None where nothing moves
    id: str


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
        relative: bool = False,  # divide motion by its strength, which the batches then hold
    ) -> None:
        self.mixture = mixture
        self.augmentation = augmentation
        self.relative = relative
        self._strengths: dict[tuple[int, str], float] = {}  # of sequences seen before, by dataset and id
        self._multiple = multiple
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
        pictures, rows = zip(*drawn, strict=True)
        return join_pictures(pictures, rows, relative=self.relative)

    def draw_sample(
        self, shape: tuple[int, int], frequencies: int, generator: torch.Generator
    ) -> tuple[Picture, Tensor]:
        """One picture of a shape (H, W), and the frequencies of its slices ``[k]``."""
        rows = draw_frequencies(self.num_frequencies, frequencies, generator)
        mosaic = torch.rand((), generator=generator) < self.augmentation.mosaic
        picture = (self._mosaic if mosaic else self._panel)(shape, rows, generator)
        if self.relative and picture.strength is None:  # no wind moves it: of that the network hears any
            picture = picture._replace(strength=self._any_strength(generator))
        return picture, rows

    def volumes(self, most: int | None = None) -> Iterator[Tensor]:
        """The spectral volume ``[1, K, 4, H, W]`` of each sequence, relative where batches are; evenly spread at most
        so many of each dataset.
        """
        return (volume for volume, _ in self.volumes_with_strengths(most))

    def volumes_with_strengths(self, most: int | None = None) -> Iterator[tuple[Tensor, float | None]]:
        """What :meth:`volumes` gives, and the strength of each in pixels; None where nothing moves."""
        for dataset in self.mixture.datasets:
            count = len(dataset)  # type: ignore[arg-type]
            for index in range(0, count, 1 if most is None else max(1, math.ceil(count / most))):
                item = dataset[index]
                strength = self._strength(dataset, item)
                given = item["spectral_volume"][None]
                volume = resize_motion(given, nearest_size(given.shape[-2:], self._multiple))
                if self.relative and strength:
                    volume = volume / (strength if volume is given else float(motion_strength(volume)))
                yield volume, strength

    def _strength(self, dataset: Dataset, item: Mapping[str, Any]) -> float | None:
        """How far the things in a sequence of a dataset move, in pixels; None where nothing does."""
        key = id(dataset), item["id"]  # two folders of the same photos have the same ids
        if key not in self._strengths:
            self._strengths[key] = float(motion_strength(item["spectral_volume"][None]))
        strength = self._strengths[key]
        return strength if strength >= LEAST_STRENGTH else None

    def _any_strength(self, generator: torch.Generator) -> float:
        low, high = ANY_STRENGTH
        return low * (high / low) ** torch.rand((), generator=generator).item()

    def _panel(self, shape: tuple[int, int], rows: Tensor, generator: torch.Generator) -> Picture:
        """A random sequence, changed at random."""
        dataset, index = self.mixture.draw(generator)
        item = dataset[index]
        volume = item["spectral_volume"][rows]
        image, volume, enlargement = augment_motion_sample(item["image"], volume, shape, self.augmentation, generator)
        strength = None
        if self.relative and (own := self._strength(dataset, item)) is not None:
            strength = own * enlargement
            volume = volume / strength
        return Picture(image, volume, strength, item["id"])

    def _mosaic(self, shape: tuple[int, int], rows: Tensor, generator: torch.Generator) -> Picture:
        """Two or four panels from different sequences, so that no scene as a whole can be learned by heart.

        Motion is local: what a flower does depends on the flower and not on what else is in the picture.
        """
        upper, left = (round(side * (0.3 + 0.4 * torch.rand((), generator=generator).item())) for side in shape)
        kind = int(torch.randint(3, (), generator=generator))  # side by side, one above the other, or four
        heights = (shape[0],) if kind == 0 else (upper, shape[0] - upper)
        widths = (shape[1],) if kind == 1 else (left, shape[1] - left)
        panels = [[self._panel((height, width), rows, generator) for width in widths] for height in heights]
        image, slices = (
            torch.cat([torch.cat([getattr(panel, part) for panel in row], dim=-1) for row in panels], dim=-2)
            for part in ("image", "slices")
        )
        each = [panel for row in panels for panel in row]
        return Picture(image, slices, mean_strength(each), "+".join(panel.id for panel in each))


def join_pictures(pictures: Sequence[Picture], rows: Sequence[Tensor], *, relative: bool) -> MotionBatch:
    """A batch of pictures of one shape, and the frequencies of each."""
    strength = torch.tensor([picture.strength for picture in pictures]) if relative else None
    images, slices = (torch.stack([getattr(picture, part) for picture in pictures]) for part in ("image", "slices"))
    return MotionBatch(images, slices, torch.stack(list(rows)), [picture.id for picture in pictures], strength)


def mean_strength(panels: Sequence[Picture]) -> float | None:
    """Geometric mean of the panels' strengths by their areas; None where nothing moves in any of them."""
    moving = [(panel.image[0].numel(), panel.strength) for panel in panels if panel.strength is not None]
    if not moving:
        return None
    total = sum(area for area, _ in moving)
    return math.exp(sum(area / total * math.log(strength) for area, strength in moving))


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
    relative: bool = False,  # divide motion by its strength
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
    return MotionBatches(Mixture(datasets, shares), size, multiple, augmentation, relative)


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
    datasets: Sequence[SpectralVolumeDataset], *, limit: int, device: torch.device, multiple: int = 1
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """The first sequence of each source video: scene -> [(image ``[1, 3, H, W]``, volume ``[1, K, 4, H, W]``)].

    Args:
        limit: how many scenes at most, evenly spread over all of them.
        multiple: that both sides are to be of; scenes of other sizes are resized to the nearest ones.
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
        size = nearest_size(item["image"].shape[-2:], multiple)
        image = resize_photo(item["image"][None], size)
        scenes[name] = [(image.to(device), resize_motion(item["spectral_volume"][None], size).to(device))]
    return scenes


def nearest_size(size: Sequence[int], multiple: int) -> tuple[int, int]:
    """The size (H, W) nearest to another one, both sides multiples of a number."""
    height, width = (max(1, round(side / multiple)) * multiple for side in size)
    return height, width
