import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.batches.augmentation import AugmentationConfig
from training.batches.latents import PICTURES_A_FILE, LatentSource, open_cache, plan_files, remove_others
from training.batches.motion import MotionBatches, load_batches

AUGMENTATION = AugmentationConfig(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)


def encode(volume: torch.Tensor) -> torch.Tensor:
    """A stand-in for the autoencoder: every eighth pixel's x components."""
    return volume[:, :, 0::2, ::8, ::8]


def source(seed: int = 0, weights: str = "a", encode=encode) -> LatentSource:
    return LatentSource(
        encode, {"autoencoder": weights}, lambda number: torch.Generator().manual_seed(1000 * seed + number)
    )


def batches(dataset: Path, augmentation: AugmentationConfig = AUGMENTATION) -> MotionBatches:
    return load([dataset], augmentation=augmentation)


def load(folders: list[Path], *, shares=None, num_frequencies: int = 4, augmentation=AUGMENTATION) -> MotionBatches:
    return load_batches(
        folders,
        shares=shares,
        all_splits=False,
        num_frequencies=num_frequencies,
        size=(64, 32),
        multiple=16,
        augmentation=augmentation,
    )


def draw(from_what, count: int, frequencies: int, seed: int = 0):
    samples = [torch.Generator().manual_seed(100 + seed + i) for i in range(count)]
    return from_what.draw(frequencies, torch.Generator().manual_seed(seed), samples)


def test_cached_pictures_are_augmented_pictures_with_their_latents(small_dataset: Path, tmp_path: Path) -> None:
    plain = batches(small_dataset)
    cache = open_cache(tmp_path, plain, variants=12, source=source())
    batch = draw(cache, 5, 2)
    assert batch.slices.shape[:3] == (5, 2, 2)
    assert batch.slices.shape[-2:] == (batch.image.shape[-2] // 8, batch.image.shape[-1] // 8)
    # The pictures there are, drawn again without a cache.
    shape = tuple(batch.image.shape[-2:])
    (file,) = [file for file in plan_files(plain, 24) if file.shape == shape]
    known = [
        plain.draw_sample(shape, 0, torch.Generator().manual_seed(number))[0]
        for number in range(file.first, file.first + file.count)
    ]
    for image, latents, rows, names in zip(*batch[:3], batch.ids, strict=True):
        distances = [float((picture.image - image).abs().max()) for picture in known]
        nearest = known[distances.index(min(distances))]
        assert min(distances) <= 1.01 / 127.5  # a picture is stored as bytes
        assert names == nearest.id
        torch.testing.assert_close(latents, encode(nearest.slices[None])[0][rows], atol=1e-3, rtol=1e-3)


def test_shapes_and_files_hold_the_shares_of_uncached_batches(small_dataset: Path) -> None:
    files = plan_files(batches(small_dataset), 200)
    counts: dict = {}
    for file in files:
        counts[file.shape] = counts.get(file.shape, 0) + file.count
        assert file.count <= PICTURES_A_FILE
    assert counts == {(32, 64): 140, (48, 48): 30, (64, 32): 30}
    assert len({file.name for file in files}) == len(files)
    numbers = sorted(n for file in files for n in range(file.first, file.first + file.count))
    assert numbers == list(range(200))
    assert {file.count for file in plan_files(batches(small_dataset), 1)} == {1}


def test_colours_change_each_time(small_dataset: Path, tmp_path: Path) -> None:
    cache = open_cache(tmp_path, batches(small_dataset, AugmentationConfig()), variants=1, source=source())
    first, second = (draw(cache, 8, 0, seed=seed).image for seed in (0, 0))
    assert torch.equal(first, second)
    pictures = {tuple(image.mean(dim=(1, 2)).tolist()) for image in first}
    assert len(pictures) == 8  # of two pictures


def test_what_is_there_is_used_and_anything_else_is_made_anew(small_dataset: Path, tmp_path: Path) -> None:
    def refuse(volume: torch.Tensor) -> torch.Tensor:
        raise AssertionError("encoded again")

    original = batches(small_dataset)
    folders = [open_cache(tmp_path, original, variants=2, source=source()).folder]
    assert open_cache(tmp_path, original, variants=2, source=source(encode=refuse)).folder == folders[0]
    assert json.loads((folders[0] / "latents.json").read_text())["autoencoder"] == "a"
    changed = tmp_path / "changed"
    shutil.copytree(small_dataset, changed)
    with next((changed / "sequences").glob("first*")).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    relabelled = tmp_path / "relabelled"
    shutil.copytree(small_dataset, relabelled)
    manifest = (relabelled / "manifest.csv").read_text()
    (relabelled / "manifest.csv").write_text(manifest.replace(",dis,", ",other,"))
    parent = tmp_path / "caches"
    for other, variants, made_by in (
        (original, 2, source()),
        (original, 3, source()),
        (original, 2, source(weights="b")),
        (batches(small_dataset, replace(AUGMENTATION, zoom=1.1)), 2, source()),
        (batches(changed), 2, source()),
        (batches(relabelled), 2, source()),
        (load([small_dataset], num_frequencies=3), 2, source()),
        (load([small_dataset] * 2, shares=[0.5, 0.5]), 1, source()),
    ):
        folders.append(open_cache(parent, other, variants=variants, source=made_by).folder)
    assert folders[1].name == folders[0].name
    assert len({folder.name for folder in folders}) == len(folders) - 1
    (parent / "mine").mkdir()
    remove_others(folders[1])
    assert {path.name for path in parent.iterdir()} == {folders[1].name, "mine"}


def test_an_interrupted_cache_is_finished(small_dataset: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    def stop_later(volume: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 60:
            raise KeyboardInterrupt
        return encode(volume)

    plain = batches(small_dataset)
    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path, plain, variants=50, source=source(encode=stop_later))
    (folder,) = tmp_path.iterdir()
    done = {path.name for path in folder.iterdir()}
    assert done == {"64x32_00000.safetensors"}
    made_by_two = [
        open_cache(tmp_path, plain, variants=50, source=source(), process=process, processes=2) for process in (0, 1)
    ]
    whole = open_cache(tmp_path / "whole", plain, variants=50, source=source())
    for name in (file.name for file in plan_files(plain, 100)):
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert torch.equal(draw(made_by_two[0], 4, 2).slices, draw(whole, 4, 2).slices)
