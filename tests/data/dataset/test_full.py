"""All frames and flows of a sequence: from its file, or decoded again from the source, which must be the same."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.clips.decoding import watch_decoder

from common.tensor_files import save_tensors
from data.dataset.full import load_full_sequence
from data.dataset.manifest import load_manifest
from data.dataset.sequence_file import read_metadata, read_sequence, sequence_path
from data.flow.estimators import ESTIMATORS
from data.media.read_video import read_frames
from data.media.write_video import write_video
from data.prepare import main


@pytest.fixture
def dataset(small_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the small dataset, whose files hold 10 of 31 later frames, with videos of its own."""
    shutil.copytree(small_dataset, tmp_path / "dataset")
    file = tmp_path / "dataset" / "sources.json"
    values = json.loads(file.read_text())
    for digest, path in values["sources"].items():
        values["sources"][digest] = shutil.copy(path, tmp_path)
    file.write_text(json.dumps(values))
    return tmp_path / "dataset"


def fails(dataset: Path, row: dict) -> str:
    """The one line that loading ends with."""
    with pytest.raises(ValueError, match="--full validation") as error:
        load_full_sequence(dataset, row)
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(f"{sequence_path(dataset, row['id'])}: holds 10 of 31 later frames, and ")
    return line


def test_sequences_of_a_video_decode_it_once_and_no_video_stays_open(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = watch_decoder(monkeypatch)
    options = "--num-frames 8 --stride 4 --size 64x32 --flow dis --num-frequencies 4 --workers 1 --keep-all"
    options += " --stored-frames 3"
    clip = str(small_dataset.parent / "first.mp4")
    assert main([clip, "--output", str(tmp_path / "dataset"), "--full", "none", *options.split()]) == 0
    row = load_manifest(tmp_path / "dataset", "train")[-1]
    assert row["start"] == 24  # the seventh of its sequences
    looked_at = ["opened", *range(32), "closed"]
    assert events == looked_at * 2  # once to scan the video, once for all its sequences; it ends when the work does
    load_full_sequence(tmp_path / "dataset", row)
    assert events == [*looked_at * 2, *looked_at]


def test_decoding_again_gives_what_full_stores(small_dataset: Path, tmp_path: Path) -> None:
    clips = [str(small_dataset.parent / f"{name}.mp4") for name in ("first", "second")]
    options = "--wrap --num-frames 32 --stride 16 --size 64x32 --flow dis --num-frequencies 4 --workers 1 --keep-all"
    pinned = ["--validation", "second*", "--split", "1,0,0", "--full", "train", "validation"]
    assert main([*clips, "--output", str(tmp_path / "full"), *options.split(), *pinned]) == 0
    (tmp_path / "full" / "sources.json").unlink()  # files with all frames need no source
    for split in ("train", "validation"):
        rows, full_rows = load_manifest(small_dataset, split), load_manifest(tmp_path / "full", split)
        assert [row["start"] for row in rows] == [0, 16]  # the second one wraps around
        for row, full_row in zip(rows, full_rows, strict=True):
            assert (row["id"], row["stored_frames"], full_row["stored_frames"]) == (full_row["id"], 10, 31)
            again, stored = load_full_sequence(small_dataset, row), load_full_sequence(tmp_path / "full", full_row)
            assert again.frames.shape == (32, 3, 32, 64)
            assert again.flows.shape == (31, 2, 32, 64)
            assert (again.frames.dtype, again.flows.dtype) == (torch.uint8, torch.float32)
            assert torch.equal(again.frames, stored.frames)
            assert torch.equal(again.flows, stored.flows)
            tensors = read_sequence(sequence_path(tmp_path / "full", row["id"]))
            assert tensors["frame_indices"].tolist() == list(range(1, 32))
            assert torch.equal(stored.frames[1:], tensors["frames"])
            assert torch.equal(stored.frames[0], tensors["first_frame"])
            assert torch.equal(stored.flows, tensors["flows"].float())


def test_a_wrapped_sequence_ends_at_the_beginning_of_the_clip(small_dataset: Path) -> None:
    row = load_manifest(small_dataset, "validation")[1]
    frames = load_full_sequence(small_dataset, row, flows=False).frames
    clip = read_frames(small_dataset.parent / "second.mp4", range(32), size=(64, 32)).transpose(0, 3, 1, 2)
    assert (frames[16:].numpy() == clip[:16]).all()
    assert (frames[:16].numpy() == clip[16:]).all()


@pytest.mark.parametrize("rate", [24, 50])
def test_resampled_clips_are_resampled_the_same_way(tmp_path: Path, rate: int) -> None:
    random = np.random.default_rng(rate)
    write_video(tmp_path / "clip.mp4", random.integers(0, 255, (40, 48, 64, 3), np.uint8), rate)
    sizes = "--num-frames 16 --stride 5 --size 32x32 --flow dis --num-frequencies 4 --stored-frames 3 --workers 1"
    for name, full in (("sample", "none"), ("full", "test")):
        options = ["--output", str(tmp_path / name), "--keep-all", "--split", "0,0,1", "--full", full, *sizes.split()]
        assert main([str(tmp_path / "clip.mp4"), *options]) == 0
    rows = load_manifest(tmp_path / "sample", "test")
    assert len(rows) > 1
    for row, full_row in zip(rows, load_manifest(tmp_path / "full", "test"), strict=True):
        assert (row["fps"], row["stored_frames"], full_row["stored_frames"]) == (30, 3, 15)
        again, stored = load_full_sequence(tmp_path / "sample", row), load_full_sequence(tmp_path / "full", full_row)
        assert torch.equal(again.frames, stored.frames)
        assert torch.equal(again.flows, stored.flows)


def test_frames_alone_need_no_flow(small_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = load_manifest(small_dataset, "train")[0]
    frames = load_full_sequence(small_dataset, row).frames
    monkeypatch.delitem(ESTIMATORS, "dis")  # asking for it would fail
    alone = load_full_sequence(small_dataset, row, flows=False)
    assert alone.flows is None
    assert torch.equal(alone.frames, frames)


def test_a_source_is_hashed_once(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []

    class Recorded:
        def __init__(self) -> None:
            self.digest = new_digest()
            self.hexdigest = self.digest.hexdigest

        def update(self, block: bytes) -> None:
            hashed.append(len(block))
            self.digest.update(block)

    new_digest = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", Recorded)
    for row in [*load_manifest(dataset, "validation"), *load_manifest(dataset, "train")]:
        load_full_sequence(dataset, row, flows=False)
    sources = [dataset.parent / name for name in ("first.mp4", "second.mp4")]
    assert sorted(hashed) == sorted(path.stat().st_size for path in sources)


def test_without_its_source_a_sampled_sequence_is_one_line(dataset: Path) -> None:
    row = load_manifest(dataset, "validation")[0]
    load_full_sequence(dataset, row)
    source = dataset.parent / "second.mp4"
    content = source.read_bytes()
    source.write_bytes(content + b" ")  # noticed although the right one has been loaded before
    assert f"its source {source} has changed" in fails(dataset, row)
    source.unlink()
    assert f"its source {source} is missing" in fails(dataset, row)
    (dataset / "sources.json").unlink()
    assert "sources.json does not say where its source second.mp4 is" in fails(dataset, row)
    # The same command finds it again wherever it is.
    (dataset.parent / "elsewhere").mkdir()
    for name, moved in (("first", (dataset.parent / "first.mp4").read_bytes()), ("second", content)):
        (dataset.parent / "elsewhere" / f"{name}.mp4").write_bytes(moved)
    options = f"--output {dataset} --wrap --num-frames 32 --stride 16 --size 64x32 --flow dis --num-frequencies 4"
    pinned = ["--validation", "second*", "--split", "1,0,0", "--workers", "1", "--keep-all"]
    assert main([str(dataset.parent / "elsewhere"), *options.split(), *pinned]) == 0
    assert load_full_sequence(dataset, row).frames.shape == (32, 3, 32, 64)


def test_what_would_not_be_the_same_is_refused(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = load_manifest(dataset, "validation")[0]
    with monkeypatch.context() as patch:
        patch.setitem(ESTIMATORS, "dis", replace(ESTIMATORS["dis"], parameters=lambda: {"preset": "fast"}))
        assert "its flow was estimated by dis with {" in fails(dataset, row)
    path = sequence_path(dataset, row["id"])
    tensors, metadata = read_sequence(path), read_metadata(path)
    for name in ("first_frame", "frames"):  # as if another version of the decoder had rounded them
        other = tensors | {name: tensors[name] // 2 * 2}
        save_tensors(path, other, metadata)
        with pytest.raises(ValueError, match="decodes to other pixels here than when it was prepared; run"):
            load_full_sequence(dataset, row, flows=False)
    save_tensors(path, tensors, metadata)
    load_full_sequence(dataset, row, flows=False)
    (dataset / "sources.json").write_text('{"format_version": 99}')
    assert "not a list of sources" in fails(dataset, row)
    sequence_path(dataset, row["id"]).unlink()
    with pytest.raises(ValueError, match=r"no such file; run data\.prepare again"):
        load_full_sequence(dataset, row)
