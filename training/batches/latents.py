"""Latents on disk: augmented pictures whose motion was encoded once, for the stages that train on latents.

What is stored is what training would have drawn (crops, flips, mosaics), a number of pictures for each sequence, so
that a picture comes back as often as there are steps for it; only its colours change each time. A cache is a folder
named by a hash of everything its content follows from, so one made from anything else is never read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset

from common.command_line import write_json
from common.hashing import file_sha256, text_sha256
from common.images import from_8_bits, to_8_bits
from common.tensor_files import save_tensors
from data.dataset.reading import SpectralVolumeDataset
from data.dataset.sequence_file import read_metadata, read_slice, sequence_path
from training.batches.augmentation import jitter_color
from training.batches.motion import (
    SHAPE_SHARES,
    MotionBatch,
    MotionBatches,
    Picture,
    draw_frequencies,
    join_pictures,
)

FORMAT_VERSION = 1
PICTURES_A_FILE = 32
DESCRIPTION_FILE = "latents.json"


@dataclass(frozen=True)
class LatentFile:
    """One file of a cache: pictures of one shape."""

    name: str
    shape: tuple[int, int]  # (H, W) of its pictures
    first: int  # number of its first picture, counted over the cache
    count: int


@dataclass(frozen=True)
class LatentSource:
    """What a cache is made with, beside the batches whose pictures it holds."""

    encode: Callable[[Tensor], Tensor]  # volume [1, K, 4, H, W] in pixels -> latents [1, K, C, h, w]
    description: Mapping[str, object]  # all that `encode` follows from, and the seed: plain values
    generator_of: Callable[[int], torch.Generator]  # random numbers of a picture, by its number


def open_cache(
    parent: Path,
    batches: MotionBatches,
    *,
    variants: int,  # pictures for each sequence
    source: LatentSource,
    process: int = 0,  # index of this one among the `processes` that write the cache together
    processes: int = 1,
) -> LatentBatches:
    """The cache in a folder below ``parent``; this process's part of what is not there yet is written first."""
    pictures = variants * sum(batches.mixture.sizes)
    description = {**describe_batches(batches), **source.description, "pictures": pictures}
    folder = parent / content_hash(description)[:16]
    files = plan_files(batches, pictures)
    missing = [file for file in files[process::processes] if not (folder / file.name).is_file()]
    write_latents(folder, missing, batches, source)
    if process == 0:
        write_json(folder / DESCRIPTION_FILE, description)
    return LatentBatches(folder, files, batches)


class LatentBatches:
    """Draws batches from a cache as `training.batches.motion.MotionBatches` does from datasets; slices are latents."""

    encoded = True

    def __init__(self, folder: Path, files: Sequence[LatentFile], batches: MotionBatches) -> None:
        self.folder = folder
        self.augmentation = batches.augmentation
        self.num_frequencies = batches.num_frequencies
        self.relative = batches.relative
        self._files: dict[tuple[int, int], list[LatentFile]] = {}
        for file in files:
            self._files.setdefault(file.shape, []).append(file)
        self._shares = torch.tensor([_shape_share(batches, shape) for shape in self._files])

    def draw(
        self,
        frequencies: int,
        step: torch.Generator,
        samples: Sequence[torch.Generator],
        map_samples: Callable = map,
    ) -> MotionBatch:
        """See :meth:`training.batches.motion.MotionBatches.draw`."""
        files = list(self._files.values())[int(torch.multinomial(self._shares, 1, generator=step))]
        drawn = list(map_samples(lambda generator: self._sample(files, frequencies, generator), samples))
        pictures, rows = zip(*drawn, strict=True)
        return join_pictures(pictures, rows, relative=self.relative)

    def _sample(self, files: list[LatentFile], frequencies: int, generator: torch.Generator) -> tuple[Picture, Tensor]:
        number = int(torch.randint(sum(file.count for file in files), (), generator=generator))
        file, position = files[number // PICTURES_A_FILE], number % PICTURES_A_FILE  # all files but the last are full
        rows = draw_frequencies(self.num_frequencies, frequencies, generator)
        path = self.folder / file.name
        image = jitter_color(from_8_bits(read_slice(path, "images", position)), self.augmentation, generator)
        latents = read_slice(path, "latents", position)[rows].float()
        strength = float(read_slice(path, "strengths", position)) if self.relative else None
        return Picture(image, latents, strength, json.loads(read_metadata(path)["ids"])[position]), rows


def plan_files(batches: MotionBatches, pictures: int) -> list[LatentFile]:
    """The files of a cache of so many ``pictures``, in the shares of the shapes of `batches`, one of each at least."""
    files, first = [], 0
    for shape in dict.fromkeys(batches.sizes):
        count = max(1, round(_shape_share(batches, shape) * pictures))
        for start in range(0, count, PICTURES_A_FILE):
            name = f"{shape[1]}x{shape[0]}_{start // PICTURES_A_FILE:05d}.safetensors"
            files.append(LatentFile(name, shape, first + start, min(PICTURES_A_FILE, count - start)))
        first += count
    return files


def write_latents(folder: Path, files: Sequence[LatentFile], batches: MotionBatches, source: LatentSource) -> None:
    """Write files of a cache; colours stay as they are, for they change as one draws."""
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    plain = replace(batches.augmentation, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    drawn = MotionBatches(batches.mixture, batches.sizes[0][::-1], 1, plain, batches.relative)
    for file in tqdm(files, desc="latents", unit=" files", disable=not files):
        pictures, latents = [], []
        for number in range(file.first, file.first + file.count):
            picture, _ = drawn.draw_sample(file.shape, 0, source.generator_of(number))
            pictures.append(picture)
            latents.append(source.encode(picture.slices[None])[0].half().cpu())
        images = torch.stack([to_8_bits(picture.image) for picture in pictures])
        tensors = {"images": images, "latents": torch.stack(latents).contiguous()}
        if batches.relative:
            tensors["strengths"] = torch.tensor([picture.strength for picture in pictures])
        save_tensors(folder / file.name, tensors, {"ids": json.dumps([picture.id for picture in pictures])})


def describe_batches(batches: MotionBatches) -> dict:
    """All that the pictures of a cache follow from on the side of the data: plain values, contents as hashes."""
    parts = [part for dataset in batches.mixture.datasets for part in cast(ConcatDataset, dataset).datasets]
    relative = {"relative": True} if batches.relative else {}  # caches from before it keep their hash
    return relative | {
        "format_version": FORMAT_VERSION,
        "data": [dataset_hash(cast(SpectralVolumeDataset, part)) for part in parts],
        "sequences": batches.mixture.sizes,
        "shares": batches.mixture.shares,
        "sizes": [list(size) for size in batches.sizes],
        "shape_shares": list(SHAPE_SHARES),
        "num_frequencies": batches.num_frequencies,
        "augmentation": asdict(batches.augmentation),
    }


def dataset_hash(dataset: SpectralVolumeDataset) -> str:
    """Hash of a dataset's rows of the manifest and of its sequences' files."""
    paths = [sequence_path(dataset.folder, row["id"]) for row in dataset.rows]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing runs outside Python's lock
        hashes = list(pool.map(file_sha256, paths))
    return content_hash({"rows": dataset.rows, "files": hashes})


def content_hash(values: Mapping[str, object]) -> str:
    """Hash of plain values."""
    return text_sha256(json.dumps(values, sort_keys=True))


def remove_others(folder: Path) -> None:
    """Remove the caches beside one, which were made from something else; nothing but folders that are caches."""
    for other in folder.parent.iterdir():
        if other != folder and (other / DESCRIPTION_FILE).is_file():
            shutil.rmtree(other)


def _shape_share(batches: MotionBatches, shape: tuple[int, int]) -> float:
    return sum(share for share, size in zip(SHAPE_SHARES, batches.sizes, strict=True) if size == shape)
