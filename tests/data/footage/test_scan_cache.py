"""What looking at videos showed is kept: nothing is decoded again, and a changed file is."""

import os
from pathlib import Path

import pytest
from helpers.clips.small_clips import QUICK, contents, make_clip

from common.hashing import file_sha256
from data.footage.scan import look_at, scan_footage
from data.media.read_video import VideoInfo
from data.prepare import main


class Looking:
    """`look_at`, and the names of the videos that were really looked at."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, path: Path) -> tuple[str, VideoInfo]:
        return look_at(path, scan=self._scan)

    def _scan(self, path: Path) -> VideoInfo:
        self.seen.append(path.name)
        return scan_footage(path)


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looking:
    """With a cache of its own."""
    monkeypatch.setenv("SCAN_CACHE", str(tmp_path / "cache"))
    return Looking()


def test_a_video_is_looked_at_again_only_when_it_changed(tmp_path: Path, look: Looking) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, num_frames=12, seed=0)
    first = look(clip)
    assert first == (file_sha256(clip), scan_footage(clip))
    assert look(clip) == first
    assert look.seen == ["clip.mp4"]
    make_clip(clip, num_frames=14, seed=1)
    assert look(clip)[1].num_frames == 14
    os.utime(clip, ns=(0, 0))
    look(clip)
    assert len(look.seen) == 3
    assert not list((tmp_path / "cache").glob(".*"))


def test_a_cache_that_cannot_be_used_costs_nothing_but_time(
    tmp_path: Path, look: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, num_frames=12, seed=0)
    (tmp_path / "file").write_text("no folder")
    for place in (str(tmp_path / "file"), ""):
        monkeypatch.setenv("SCAN_CACHE", place)
        assert look(clip) == (file_sha256(clip), scan_footage(clip))
    assert len(look.seen) == 2


def test_a_damaged_entry_is_replaced(tmp_path: Path, look: Looking) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, num_frames=12, seed=0)
    found = look(clip)
    (kept,) = (tmp_path / "cache").iterdir()
    for damage in ("{", "[]", '{"sha256": "0", "info": {"fps": 3}}', kept.read_text()[:-5]):
        kept.write_text(damage)
        assert look(clip) == found
        assert look(clip) == found
    assert len(look.seen) == 5


@pytest.mark.usefixtures("look")
def test_a_second_run_makes_the_same_folder_without_looking(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for seed in range(2):
        make_clip(tmp_path / "clips" / f"{seed}.mp4", num_frames=30, seed=seed)
    folders, kept = [tmp_path / "first", tmp_path / "second"], []
    for folder in folders:
        assert main([str(tmp_path / "clips"), "--output", str(folder), *QUICK, "--workers", "1"]) == 0
        kept.append({path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()})
    assert len(kept[0]) == 2
    assert kept[0] == kept[1]  # a look would have written its entry again
    assert contents(folders[0]) == contents(folders[1])
