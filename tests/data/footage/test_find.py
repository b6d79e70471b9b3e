"""Finding videos: links, loops, strange names, unreadable folders; and which split a video belongs to."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from helpers.small_clips import QUICK, contents, make_clip, rows_of

from data.dataset.splits import SPLITS, assign_splits, split_position, unmatched_patterns
from data.footage.find import find_sources, printable, sequence_id
from data.footage.sources import Source
from data.media.read_video import VIDEO_SUFFIXES
from data.prepare import main


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def names_in(*inputs: Path) -> list[str]:
    return [name for _, name in find_sources(list(inputs), (".mp4",), "video")]


# Finding --------------------------------------------------------------------------------------------------------------


def test_files_of_camcorders_are_found_in_a_folder(tmp_path: Path) -> None:
    for name in ("00001.MTS", "b.m2ts", "c.wmv", "readme.txt"):
        touch(tmp_path / name)
    assert [name for _, name in find_sources([tmp_path], VIDEO_SUFFIXES, "video")] == ["00001.MTS", "b.m2ts", "c.wmv"]


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


# Splits ---------------------------------------------------------------------------------------------------------------


def source(number: int, problem: str | None = None) -> Source:
    return Source(f"/{number}.mp4", f"clips/{number}.mp4", f"{number:064x}", None, problem)


def test_splits_come_from_each_video_alone() -> None:
    shares = (0.8, 0.1, 0.1)
    many = [source(number) for number in range(4000)]
    splits = assign_splits(many, shares, {}, 3)
    counts = Counter(splits.values())
    assert all(
        abs(counts[name] - 4000 * share) < 4 * (4000 * share) ** 0.5 for name, share in zip(SPLITS, shares, strict=True)
    )
    for number in (0, 17, 3999):
        u = split_position(many[number].sha256, 3)
        assert splits[many[number].sha256] == ("train" if u < 0.8 else "validation" if u < 0.9 else "test")
    # Others coming or going, their order and their names change nothing.
    some = assign_splits(reversed(many[1000:1500]), shares, {}, 3)
    assert some == {digest: splits[digest] for digest in some}
    assert assign_splits(many, shares, {}, 4) != splits


def test_pinned_videos_and_problems() -> None:
    sources = [source(0), source(1), source(2, "too short"), source(3)]
    pinned = {"validation": ["1.mp4"], "test": ["clips/3*"]}
    splits = assign_splits(sources, (1.0, 0.0, 0.0), pinned, 0)
    digests = {number: sources[number].sha256 for number in range(4)}
    assert splits == {digests[0]: "train", digests[1]: "validation", digests[3]: "test"}
    assert unmatched_patterns(sources, pinned) == []
    assert unmatched_patterns(sources, {"validation": ["1.mp4", "2.*"], "test": ["x*"]}) == [
        "--validation '2.*'",
        "--test 'x*'",
    ]


def test_an_empty_split_gets_the_nearest_video() -> None:
    for seed in range(40):
        sources = [source(number) for number in range(6)]
        plain = assign_splits(sources, (0.9, 0.05, 0.05), {}, seed, fill_empty=False)
        filled = assign_splits(sources, (0.9, 0.05, 0.05), {}, seed)
        assert set(filled.values()) == set(SPLITS)
        moved = {digest for digest in plain if plain[digest] != filled[digest]}
        assert {filled[digest] for digest in moved} == set(SPLITS) - set(plain.values())
        if set(plain.values()) == {"train", "validation"}:
            (digest,) = moved
            free = [other for other in plain if Counter(plain.values())[plain[other]] > 1]
            assert digest == max(free, key=lambda other: split_position(other, seed))
    # One video trains; of two, the second validates.
    for seed in range(40):
        assert set(assign_splits([source(0)], (0.9, 0.05, 0.05), {}, seed).values()) == {"train"}
        two = set(assign_splits([source(0), source(1)], (0.9, 0.05, 0.05), {}, seed).values())
        assert "train" in two
        assert len(two) == 2
        # What is pinned counts, and a split without a share stays empty.
        pinned = assign_splits([source(0), source(1)], (0.5, 0.0, 0.5), {"test": ["1.mp4"]}, seed)
        assert pinned == {source(0).sha256: "train", source(1).sha256: "test"}
