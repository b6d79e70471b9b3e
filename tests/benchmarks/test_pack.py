"""Packed datasets: what training reads of them is what it read before, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from benchmarks import pack as packing
from benchmarks.gpu.made_dataset import make_dataset
from benchmarks.pack import pack, packing_order, parse_bytes, unpack
from benchmarks.packed_tensors import decode, encode
from data.dataset.manifest import load_manifest, load_statistics
from data.dataset.reading import FramePairDataset, SpectralVolumeDataset
from training.batches.augmentation import AugmentationConfig
from training.batches.motion import load_batches


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "dataset"
    return make_dataset(folder, 5, size=(64, 32), frequencies=6, num_frames=20, stored_frames=3, validation=2, seed=1)


def assert_same_items(first: Dataset, second: Dataset, count: int) -> None:
    assert len(second) == count  # type: ignore[arg-type]
    known = {item["id"]: item for item in (first[i] for i in range(len(first)))}  # type: ignore[arg-type]
    for index in range(count):
        item = second[index]
        for name, value in known[item["id"]].items():
            assert torch.equal(item[name], value) if isinstance(value, torch.Tensor) else item[name] == value


# ---- Arrays ----


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 4, 5, 6)])
def test_every_bit_pattern_comes_back(shape):
    random = np.random.default_rng(0)
    for dtype, integer in ((np.float16, np.uint16), (np.uint8, np.uint8)):
        values = random.integers(0, np.iinfo(integer).max + 1, shape).astype(integer).view(dtype)
        found = decode(encode(values), values.dtype.name, shape=shape)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.view(integer), values.view(integer))
    all_halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)  # infinities and NaN too
    found = decode(encode(all_halves), "float16", shape=(256, 256))
    np.testing.assert_array_equal(found.view(np.uint16), all_halves.view(np.uint16))


def test_smooth_motion_becomes_much_smaller_and_other_types_stay_as_they_are():
    y, x = np.mgrid[:64, :96]
    motion = (0.5 * np.sin(x / 9) * np.cos(y / 7)).astype(np.float16)[None]
    assert len(encode(motion)) < 0.7 * motion.nbytes
    for values in (np.arange(7, dtype=np.int32), np.zeros((0, 3), np.float32), np.arange(5, dtype=np.uint8)):
        np.testing.assert_array_equal(decode(encode(values), values.dtype.name, shape=values.shape), values)
    with pytest.raises(ValueError, match="an array of complex64 can't be packed"):
        encode(np.zeros(2, np.complex64))
    with pytest.raises(ValueError, match="8 bytes where an array of int32"):
        decode(encode(np.zeros(2, np.int32)), "int32", shape=(3,))


# ---- Folders ----


def test_the_motion_model_reads_the_same(dataset, tmp_path):
    found = pack(dataset, tmp_path / "all.pack", limit=4_000_000, frequencies=4)
    assert (found.sequences, found.left_out) == (7, 0)
    assert found.size == (tmp_path / "all.pack").stat().st_size
    assert unpack(tmp_path / "all.pack", tmp_path / "again") == 7
    for split, count in (("train", 5), ("validation", 2)):
        first, second = (
            SpectralVolumeDataset(folder, split, num_frequencies=4) for folder in (dataset, tmp_path / "again")
        )
        assert_same_items(first, second, count)
    before, after = load_statistics(dataset), load_statistics(tmp_path / "again")
    assert after["num_frequencies"] == 4
    assert after["rms"] == before["rms"][:4]
    batches = load_batches(
        [tmp_path / "again"],
        shares=None,
        all_splits=False,
        num_frequencies=4,
        size=(64, 32),
        multiple=16,
        augmentation=AugmentationConfig(),
    )
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    assert batches.draw(2, generators[0], generators).slices.shape[:3] == (2, 2, 4)


def test_the_renderer_reads_the_same_where_it_is_asked_for(dataset, tmp_path):
    pack(dataset, tmp_path / "all.pack", limit=4_000_000, frequencies=6, renderer=True)
    unpack(tmp_path / "all.pack", tmp_path / "again")
    first, second = (FramePairDataset(folder, "train") for folder in (dataset, tmp_path / "again"))
    assert second.pairs == first.pairs
    assert_same_items_in_order(first, second)


def assert_same_items_in_order(first, second):
    for index in range(len(first)):
        for name, value in first[index].items():
            assert torch.equal(second[index][name], value) if torch.is_tensor(value) else second[index][name] == value


def test_what_does_not_fit_is_left_out_in_a_fixed_order(dataset, tmp_path):
    order = [row["id"] for row in packing_order(load_manifest(dataset))]
    assert order == [f"made_{n:03d}" for n in (0, 1, 2, 5, 3, 4, 6)]  # 5 and 6 are for validation
    whole = pack(dataset, tmp_path / "all.pack", limit=4_000_000).size
    part = pack(dataset, tmp_path / "part.pack", limit=whole * 3 // 5)
    assert part.size <= whole * 3 // 5
    assert part.left_out == 7 - part.sequences > 0
    unpack(tmp_path / "part.pack", tmp_path / "part")
    assert [row["id"] for row in load_manifest(tmp_path / "part")] == order[: part.sequences]
    pack(dataset, tmp_path / "again.pack", limit=whole * 3 // 5)
    assert (tmp_path / "again.pack").read_bytes() == (tmp_path / "part.pack").read_bytes()


def test_sources_take_turns():
    rows = [
        {"id": f"{source}{number}", "source": source, "split": split, "status": status}
        for source, split, status in (
            ("a", "train", "kept"),
            ("b", "train", "kept"),
            ("c", "validation", "kept"),
            ("d", "train", "dropped"),
            ("e", "test", "kept"),
        )
        for number in range(2)
    ]
    assert [row["id"] for row in packing_order(rows)] == ["a0", "b0", "a1", "c0", "b1"]


def test_bad_input_is_one_line(dataset, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "text.pack").write_text("no archive")
    pack(dataset, tmp_path / "good.pack", limit=4_000_000)
    for arguments, message in (
        ([str(dataset), "--limit", "5k", "-o", str(tmp_path / "x.pack")], "its first sequence alone needs"),
        (["--unpack", str(tmp_path / "text.pack"), "-o", str(tmp_path / "y")], "not a packed dataset"),
        (["--unpack", str(tmp_path / "good.pack"), "-o", str(tmp_path / "full")], "there is something already"),
        (["-o", str(tmp_path / "z")], "give either a DATASET to pack or --unpack"),
    ):
        assert packing.main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"full", "text.pack", "good.pack"}  # nothing half-written


def test_sizes():
    assert [parse_bytes(text) for text in ("40M", "5k", "1G", "17")] == [40_000_000, 5_000, 1_000_000_000, 17]
    for text in ("", "M", "4.5M", "0", "-3k"):
        with pytest.raises(Exception, match="is no size such as 40M"):
            parse_bytes(text)
