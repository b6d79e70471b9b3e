"""What looking at videos showed is kept: nothing is decoded again, and a changed file is."""

import os
from pathlib import Path

import pytest
from helpers.small_clips import QUICK, contents, make_clip

from common.hashing import file_sha256
from data.footage import scan as scan_cache
from data.footage.scan import look_at, scan_footage
from data.prepare import main


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that were really looked at, with a cache of their own."""
    monkeypatch.setenv("SCAN_CACHE", str(tmp_path / "cache"))
    seen: list[str] = []
    monkeypatch.setattr(scan_cache, "scan_footage", lambda path: (seen.append(Path(path).name), scan_footage(path))[1])
    return seen


def test_a_video_is_looked_at_again_only_when_it_changed(tmp_path: Path, looks: list[str]) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, num_frames=12, seed=0)
    first = look_at(clip)
    assert first == (file_sha256(clip), scan_footage(clip))
    assert look_at(clip) == first
    assert looks == ["clip.mp4"]
    make_clip(clip, num_frames=14, seed=1)
    assert look_at(clip)[1].num_frames == 14
    os.utime(clip, ns=(0, 0))
    look_at(clip)
    assert len(looks) == 3
    assert not list((tmp_path / "cache").glob(".*"))


def test_a_cache_that_cannot_be_used_costs_nothing_but_time(
    tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, num_frames=12, seed=0)
    (tmp_path / "file").write_text("no folder")
    for place in (str(tmp_path / "file"), ""):
        monkeypatch.setenv("SCAN_CACHE", place)
        assert look_at(clip) == (file_sha256(clip), scan_footage(clip))
    assert len(looks) == 2


def test_a_damaged_entry_is_replaced(tmp_path: Path, looks: list[str]) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, num_frames=12, seed=0)
    found = look_at(clip)
    (kept,) = (tmp_path / "cache").iterdir()
    for damage in ("{", "[]", '{"sha256": "0", "info": {"fps": 3}}', kept.read_text()[:-5]):
        kept.write_text(damage)
        assert look_at(clip) == found
        assert look_at(clip) == found
    assert len(looks) == 5


def test_a_second_run_makes_the_same_folder_without_looking(tmp_path: Path, looks: list[str]) -> None:
    (tmp_path / "clips").mkdir()
    for seed in range(2):
        make_clip(tmp_path / "clips" / f"{seed}.mp4", num_frames=30, seed=seed)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        assert main([str(tmp_path / "clips"), "--output", str(folder), *QUICK, "--workers", "1"]) == 0
    assert sorted(looks) == ["0.mp4", "1.mp4"]
    assert contents(folders[0]) == contents(folders[1])
