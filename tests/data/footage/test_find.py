"""Finding videos: links, loops, strange names, unreadable folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.clips.small_clips import QUICK, contents, make_clip, rows_of

from data.footage.find import find_sources, printable, sequence_id
from data.media.read_video import VIDEO_SUFFIXES
from data.prepare import main


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def names_in(*inputs: Path) -> list[str]:
    return [name for _, name in find_sources(list(inputs), (".mp4",), thing="video")]


def test_files_of_camcorders_are_found_in_a_folder(tmp_path: Path) -> None:
    for name in ("00001.MTS", "b.m2ts", "c.wmv", "readme.txt"):
        touch(tmp_path / name)
    assert [name for _, name in find_sources([tmp_path], VIDEO_SUFFIXES, thing="video")] == [
        "00001.MTS",
        "b.m2ts",
        "c.wmv",
    ]


def test_a_folder_that_contains_itself_is_searched_once(tmp_path: Path) -> None:
    for name in ("a.mp4", "below/b.MP4", "below/deeper/c.mp4", "notes.txt"):
        touch(tmp_path / "videos" / name)
    (tmp_path / "videos" / "below" / "around").symlink_to(tmp_path / "videos", target_is_directory=True)
    (tmp_path / "videos" / "0_first").symlink_to(tmp_path / "videos" / "below", target_is_directory=True)
    (tmp_path / "videos" / "itself.mp4").symlink_to(tmp_path / "videos" / "itself.mp4")
    (tmp_path / "videos" / "0_again.mp4").symlink_to(tmp_path / "videos" / "a.mp4")
    assert names_in(tmp_path / "videos") == ["a.mp4", "below/b.MP4", "below/deeper/c.mp4", "itself.mp4"]


def test_linked_folders_are_searched(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "far.mp4")
    touch(tmp_path / "videos" / "near.mp4")
    (tmp_path / "videos" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "videos" / "gone.mp4").symlink_to(tmp_path / "nothing.mp4")
    assert names_in(tmp_path / "videos") == ["gone.mp4", "link/far.mp4", "near.mp4"]
    # Given twice, it is listed once.
    assert names_in(tmp_path / "videos", tmp_path / "videos" / "near.mp4", tmp_path / "elsewhere") == names_in(
        tmp_path / "videos"
    )


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("x/cam", "y/cam", "z"):
        touch(tmp_path / folder / "fern.mp4")
    touch(tmp_path / "x/cam/rose.mp4")
    found = names_in(tmp_path / "x/cam", tmp_path / "y/cam", tmp_path / "z")
    assert found == ["rose.mp4", "x/cam/fern.mp4", "y/cam/fern.mp4", "z/fern.mp4"]
    assert names_in(tmp_path) == ["x/cam/fern.mp4", "x/cam/rose.mp4", "y/cam/fern.mp4", "z/fern.mp4"]


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")  # reading it would wait for ever
    assert names_in(tmp_path) == ["a.mp4"]
    with pytest.raises(ValueError, match=r"pipe.mp4: neither a video nor a folder"):
        names_in(tmp_path / "pipe.mp4")
    with pytest.raises(ValueError, match=r"missing.mp4: no such video or folder"):
        names_in(tmp_path / "missing.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no videos in this folder"):
        names_in(tmp_path, tmp_path / "empty")


def test_an_unreadable_folder_is_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(touch(tmp_path / "videos" / "a.mp4"))
    (tmp_path / "videos" / "locked").mkdir()
    scan: object = os.scandir

    def refusing(path):
        if Path(path).name == "locked":  # permissions don't stop root, who runs tests in containers
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refusing)
    assert main([str(tmp_path / "videos"), "--output", str(tmp_path / "dataset"), *QUICK]) == 0
    rows = rows_of(tmp_path / "dataset")
    assert [(row["source"], row["reason"]) for row in rows if row["status"] == "dropped"] == [
        ("locked", "this folder can't be read, change its permissions")
    ]
    assert {row["source"] for row in rows} == {"a.mp4", "locked"}
    with pytest.raises(ValueError, match="locked: can't be read"):
        names_in(tmp_path / "videos" / "locked")


def test_strange_names(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    videos, dataset = tmp_path / "videos", tmp_path / "dataset"
    videos.mkdir()
    strange = ["木の葉.mp4", "波.mp4", "Blüte 3.mp4", "two\nlines.mp4", "x" * 240 + ".mp4", '=1+2,"quoted".mp4']
    for seed, name in enumerate(strange):
        make_clip(tmp_path / "clip.mp4", num_frames=20, seed=seed).rename(videos / name)
    make_clip(tmp_path / "clip.mp4", num_frames=20, seed=9).rename(os.fsdecode(os.fsencode(videos) + b"/byte\xff.mp4"))
    assert main([str(videos), "--output", str(dataset), *QUICK, "--keep-all"]) == 0
    rows = {row["source"]: row for row in rows_of(dataset)}
    assert set(rows) == {*(name.replace("\n", "\\n") for name in strange), "byte\\xff.mp4"}
    assert rows["byte\\xff.mp4"]["reason"] == "its path is not valid UTF-8, rename it"
    kept = [row for row in rows.values() if row["status"] == "kept"]
    assert len({row["id"] for row in kept}) == len(strange)
    assert all((dataset / "sequences" / f"{row['id']}.safetensors").is_file() for row in kept)
    assert rows["Blüte 3.mp4"]["id"].startswith("Blute_3-")
    assert rows["木の葉.mp4"]["id"].startswith("source-")
    assert all(row["id"].isascii() and len(row["id"]) < 120 for row in kept)
    assert all(line.isprintable() for line in capsys.readouterr().err.split("\n") if line.startswith("warning"))
    before = contents(dataset)
    assert main([str(videos), "--output", str(dataset), *QUICK, "--keep-all"]) == 0
    assert contents(dataset) == before


def test_printable_and_sequence_id() -> None:
    assert printable("a\tb\u2028c\u00e9") == "a\\tb\\u2028c\u00e9"
    assert printable(os.fsdecode(b"\xff.mp4")) == "\\xff.mp4"
    assert sequence_id("below/rose one.mp4", "0123456789abcdef", 30) == "rose_one-0123456789ab_00030"
    assert sequence_id("波/é.v2.mp4", "0123456789abcdef", 0) == "e_v2-0123456789ab_00000"
