"""Checkpoints in pieces."""

from __future__ import annotations

import os

import pytest

from benchmarks.gpu import pieces
from benchmarks.gpu.pieces import find_pieces, join_pieces, write_pieces


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "run" / "model.safetensors").write_bytes(os.urandom(10_000))
    return tmp_path / "run"


def test_pieces_join_to_the_same_files(checkpoint, tmp_path):
    target = tmp_path / "motion"
    written = write_pieces(checkpoint, ["config.json", "model.safetensors", "missing"], target=target, largest=3000)
    assert [path.name for path in written] == [f"motion.zip.{n}of4" for n in (1, 2, 3, 4)]
    assert all(path.stat().st_size <= 3000 for path in written)
    assert pieces.main([str(target), "--output", str(tmp_path / "joined")]) == 0
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "joined" / name).read_bytes() == (checkpoint / name).read_bytes()


def test_new_pieces_replace_those_of_an_earlier_call(checkpoint, tmp_path):
    target = tmp_path / "motion"
    write_pieces(checkpoint, ["model.safetensors"], target=target, largest=3000)
    other = tmp_path / "motion_other.zip.1of1"
    other.write_text("of another name")
    write_pieces(checkpoint, ["config.json"], target=target)
    assert [path.name for path in find_pieces(target)] == ["motion.zip.1of1"]
    assert other.exists()


def test_missing_damaged_and_mixed_pieces_are_refused(checkpoint, tmp_path):
    target = tmp_path / "motion"
    with pytest.raises(ValueError, match="no such piece"):
        join_pieces(target, tmp_path / "joined")
    _, second, *_ = write_pieces(checkpoint, ["model.safetensors"], target=target, largest=4000)
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(ValueError, match="of 3 pieces 2 is missing"):
        join_pieces(target, tmp_path / "joined")
    second.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(ValueError, match="damaged or not of one checkpoint"):
        join_pieces(target, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()
    with pytest.raises(ValueError, match=r"none of config\.json is there"):
        write_pieces(tmp_path / "nowhere", ["config.json"], target=target)
