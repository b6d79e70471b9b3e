"""PyTorch datasets over a dataset folder: what an item holds, what is read, and what a wrong folder says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import data.dataset.reading as datasets
from data.dataset.manifest import load_manifest, load_statistics
from data.dataset.reading import (
    FramePairDataset,
    SpectralVolumeDataset,
    importance_motion,
)
from data.dataset.sequence_file import read_metadata, read_sequence
from data.media.write_video import write_video
from data.prepare import main
from models.spectral_volume import motion_to_spectral_volume, spectral_volume_to_motion


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset folder of two looping clips, 4 sequences each, one clip a split; the file of a third clip is empty."""
    folder = tmp_path_factory.mktemp("videos")
    y, x = np.mgrid[:64, :96]
    for seed, name in enumerate(("fern.mp4", "rose.mp4")):
        phases = np.random.default_rng(seed).uniform(0, 6, 3)
        frames = []
        for t in range(20):
            moved = x + 4 * np.sin(2 * np.pi * t / 20) * np.exp(-((y - 32) ** 2) / 400)
            waves = [
                np.sin(moved / (3 + channel) + phases[channel]) * np.cos(y / 5 - moved / 11 + channel)
                for channel in range(3)
            ]
            frames.append((127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8))
        write_video(folder / name, frames, 30)
    (folder / "broken.mp4").touch()
    output = tmp_path_factory.mktemp("prepared") / "dataset"
    options = ["--flow", "dis", "--size", "96x64", "--num-frames", "20", "--stride", "5", "--num-frequencies", "8"]
    options += [
        "--stored-frames",
        "3",
        "--workers",
        "1",
        "--wrap",
        "--split",
        "1,0,0",
        "--validation",
        "rose*",
        "--keep-all",
    ]
    assert main([str(folder), "--output", str(output), *options]) == 0
    return output


def file_of(dataset: Path, name: str) -> Path:
    return dataset / "sequences" / f"{name}.safetensors"


def test_manifest_has_numbers(dataset: Path) -> None:
    rows = load_manifest(dataset)
    assert len(rows) == 9
    broken = next(row for row in rows if row["source"] == "broken.mp4")
    assert (broken["status"], broken["start"], broken["mean_magnitude"]) == ("dropped", None, None)
    train = load_manifest(dataset, "train")
    assert [row["start"] for row in train] == [0, 5, 10, 15]
    assert all(row["mean_magnitude"] > 0.1 and row["fps"] == 30 and row["num_frames"] == 20 for row in train)


def test_motion_items(dataset: Path) -> None:
    motion = SpectralVolumeDataset(dataset, num_frequencies=5)
    assert len(motion) == 4
    item = motion[2]
    stored = read_sequence(file_of(dataset, item["id"]))
    assert (item["image"].dtype, item["image"].shape) == (torch.float32, (3, 64, 96))
    assert torch.equal(((item["image"] + 1) * 127.5).round().byte(), stored["first_frame"])
    assert item["spectral_volume"].dtype == torch.float32
    assert torch.equal(item["spectral_volume"], stored["spectral_volume"][:5].float())
    # A measured motion starts at zero; with all but the highest frequencies it nearly does.
    full = SpectralVolumeDataset(dataset, num_frequencies=8)[2]["spectral_volume"]
    start = spectral_volume_to_motion(full[None], 20)[0, 0]
    assert start.abs().mean() < 0.2 * spectral_volume_to_motion(full[None], 20).abs().mean()


def test_splits_do_not_overlap(dataset: Path) -> None:
    train = {item["id"] for item in SpectralVolumeDataset(dataset, "train", num_frequencies=4)}
    validation = {item["id"] for item in SpectralVolumeDataset(dataset, "validation", num_frequencies=4)}
    assert len(train) == len(validation) == 4
    assert not train & validation


def test_pairs(dataset: Path) -> None:
    pairs = FramePairDataset(dataset, "validation")
    assert len(pairs) == 12
    seen = set()
    for item in pairs:
        stored = read_sequence(file_of(dataset, item["id"]))
        number = stored["frame_indices"].tolist().index(item["frame_index"])
        seen.add((item["id"], number))
        assert torch.equal(((item["source"] + 1) * 127.5).round().byte(), stored["first_frame"])
        assert torch.equal(((item["target"] + 1) * 127.5).round().byte(), stored["frames"][number])
        assert torch.equal(item["flow"], stored["flows"][number].float())
        assert item["flow"].shape == (2, 64, 96)
        assert item["importance_motion"].shape == (1, 64, 96)
    assert len(seen) == 12


def test_flow_points_from_source_to_target(dataset: Path) -> None:
    """Looking up the target at p + F(p) gives the source: Eq. 1, and not its inverse."""
    for item in FramePairDataset(dataset):
        y, x = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
        grid = torch.stack([(x + item["flow"][0]) / 95, (y + item["flow"][1]) / 63], dim=-1)[None] * 2 - 1
        looked_up = torch.nn.functional.grid_sample(item["target"][None], grid, align_corners=True)[0]
        inside = (slice(None), slice(6, -6), slice(8, -8))
        unmoved = (item["target"] - item["source"])[inside].abs().mean()
        assert (looked_up - item["source"])[inside].abs().mean() < 0.6 * unmoved + 0.02


def test_importance_is_the_mean_magnitude(dataset: Path) -> None:
    item = FramePairDataset(dataset)[0]
    row = load_manifest(dataset, "train")[0]
    volume = read_sequence(file_of(dataset, item["id"]), ["spectral_volume"])["spectral_volume"].float()
    motion = spectral_volume_to_motion(volume[None], row["num_frames"])[0]
    expected = motion.norm(dim=1).mean(dim=0)
    assert torch.allclose(item["importance_motion"][0], expected, rtol=0.05, atol=0.02)
    # For a known circular motion of radius r it is r.
    angles = 2 * torch.pi * torch.arange(20) / 20
    circle = 3 * torch.stack([angles.cos(), angles.sin()], dim=-1)[None, :, :, None, None]
    assert importance_motion(motion_to_spectral_volume(circle, 4), 20).item() == pytest.approx(3, rel=1e-5)


def test_importance_is_computed_once_a_sequence(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    compute = datasets.importance_motion
    monkeypatch.setattr(datasets, "importance_motion", lambda *arguments: calls.append(1) or compute(*arguments))
    pairs = FramePairDataset(dataset)
    _ = [pairs[index] for index in (0, 1, 2, 0, 5)]
    assert len(calls) == 2


@pytest.mark.parametrize("kind", [SpectralVolumeDataset, FramePairDataset])
def test_cached_items_are_the_same(dataset: Path, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"num_frequencies": 6} if kind is SpectralVolumeDataset else {}
    plain, cached = kind(dataset, **options), kind(dataset, cache=True, **options)
    first = [cached[index] for index in range(len(cached))]
    monkeypatch.setattr(datasets, "read_sequence", None)  # from here on reading would fail
    monkeypatch.setattr(datasets, "read_slice", None)
    second = [cached[index] for index in range(len(cached))]
    monkeypatch.undo()
    for index in range(len(plain)):
        for name, value in plain[index].items():
            for other in (first[index][name], second[index][name]):
                assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


def test_items_can_be_batched(dataset: Path) -> None:
    batch = next(iter(torch.utils.data.DataLoader(SpectralVolumeDataset(dataset, num_frequencies=4), batch_size=3)))
    assert batch["spectral_volume"].shape == (3, 4, 4, 64, 96)
    assert len(batch["id"]) == 3
    batch = next(iter(torch.utils.data.DataLoader(FramePairDataset(dataset), batch_size=5, shuffle=True)))
    assert batch["flow"].shape == (5, 2, 64, 96)


@pytest.mark.slow
@pytest.mark.parametrize("cache", [False, True])
def test_sequences_with_all_frames_count_no_more_than_others(dataset: Path, tmp_path: Path, cache: bool) -> None:
    """Where some files of a split hold all frames, the pairs are those of a dataset in which none does."""
    options = "--flow dis --size 96x64 --num-frames 20 --stride 5 --num-frequencies 8 --stored-frames 3 --workers 1"
    options += " --wrap --split 1,0,0 --keep-all"
    videos = [json.loads((dataset / "sources.json").read_text())["sources"][name] for name in _digests(dataset)]
    assert main([videos[0], "--output", str(tmp_path / "mixed"), *options.split(), "--full", "train"]) == 0
    assert len(FramePairDataset(tmp_path / "mixed")) == 4 * 19
    assert main([*videos, "--output", str(tmp_path / "mixed"), *options.split()]) == 0
    assert main([*videos, "--output", str(tmp_path / "sample"), *options.split()]) == 0
    assert {row["stored_frames"] for row in load_manifest(tmp_path / "mixed")} == {3, 19}
    mixed, sample = (FramePairDataset(tmp_path / name, cache=cache) for name in ("mixed", "sample"))
    assert len(mixed) == len(sample) == 8 * 3
    for first, second in zip(mixed, sample, strict=True):
        assert (first["id"], first["frame_index"]) == (second["id"], second["frame_index"])
        assert torch.equal(first["target"], second["target"])
        assert torch.equal(first["flow"], second["flow"])


def _digests(dataset: Path) -> list[str]:
    return sorted({row["source_sha256"] for row in load_manifest(dataset) if row["status"] == "kept"})


def test_only_named_tensors_are_read(dataset: Path) -> None:
    path = file_of(dataset, load_manifest(dataset, "train")[0]["id"])
    assert set(read_sequence(path, ["first_frame"])) == {"first_frame"}
    assert set(read_sequence(path)) == {"first_frame", "spectral_volume", "frames", "flows", "frame_indices"}
    with pytest.raises(ValueError, match="no tensor 'depth'"):
        read_sequence(path, ["depth"])
    metadata = read_metadata(path)
    assert (metadata["num_frames"], metadata["source"], metadata["estimator"]) == ("20", "fern.mp4", "dis")


def test_wrong_folders_are_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.prepare"):
        SpectralVolumeDataset(tmp_path)
    with pytest.raises(ValueError, match="no sequences in the split 'test', the dataset has train, validation"):
        FramePairDataset(dataset, "test")
    with pytest.raises(ValueError, match="holds 8 frequencies, 16 were asked for"):
        SpectralVolumeDataset(dataset)
    (tmp_path / "stats.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(ValueError, match="format version 99"):
        load_statistics(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        read_sequence(tmp_path / "nothing.safetensors")
    (tmp_path / "half.safetensors").write_bytes(
        file_of(dataset, load_manifest(dataset, "train")[0]["id"]).read_bytes()[:-9]
    )
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        read_sequence(tmp_path / "half.safetensors")
