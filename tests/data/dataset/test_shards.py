"""``--shard I/N`` and ``merge``: the bytes that one run gives, whichever way the work is shared out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.clips.small_clips import QUICK, contents, make_clip, rows_of

from common.hashing import file_sha256
from data.dataset.options import SplitOptions
from data.dataset.splits import assign_splits
from data.footage.sources import Source
from data.prepare import main

SHARES = (0.4, 0.2, 0.4)
OPTIONS = [*QUICK, "--split", ",".join(str(share) for share in SHARES)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five usable videos and, dealt out to three shards, copies of one under other names and files of no use."""
    folder = tmp_path_factory.mktemp("videos")
    for name, seed in (("a", 1), ("c", 3), ("d", 4), ("e", 5), ("g", 7)):
        make_clip(folder / f"{name}.mp4", num_frames=30, seed=seed)
    (folder / "below").mkdir()
    for copy in ("b.mp4", "below/a.mp4", "h.mp4"):  # positions 1, 2 and 8: "a" is at 0
        shutil.copy(folder / "a.mp4", folder / copy)
    make_clip(folder / "f.mp4", num_frames=8)
    (folder / "i.mp4").write_text("no video\n" * 100)
    return folder


def moving_seeds(videos: Path) -> tuple[int, int]:
    """A seed by which a split is filled from the test split, and one by which the test split is filled."""
    names = ("a", "c", "d", "e", "g")
    sources = [Source("", name, file_sha256(videos / f"{name}.mp4"), None, None) for name in names]
    found: dict[bool, int] = {}
    for seed in range(1000):
        plain = assign_splits(sources, SplitOptions(split=SHARES, seed=seed), fill_empty=False)
        filled = assign_splits(sources, SplitOptions(split=SHARES, seed=seed))
        moves = {(plain[digest], filled[digest]) for digest in plain if plain[digest] != filled[digest]}
        for move in moves:
            if "test" in move:
                found.setdefault(move[0] == "test", seed)
    return found[True], found[False]


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What one run makes, by seed."""
    folder = tmp_path_factory.mktemp("whole")
    for seed in moving_seeds(videos):
        assert main([str(videos), "--output", str(folder / str(seed)), *OPTIONS, "--seed", str(seed)]) == 0
    return {seed: folder / str(seed) for seed in moving_seeds(videos)}


def run_shards(videos: Path, outputs: list[Path], seed: int) -> None:
    for index, output in enumerate(outputs, 1):
        options = [*OPTIONS, "--seed", str(seed), "--shard", f"{index}/{len(outputs)}"]
        assert main([str(videos), "--output", str(output), *options]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_three_shards_give_what_one_run_gives(
    videos: Path, whole: dict[int, Path], tmp_path: Path, shared: bool
) -> None:
    for seed, expected in whole.items():
        parts = [tmp_path / str(seed) if shared else tmp_path / f"{seed}_{index}" for index in range(3)]
        run_shards(videos, parts, seed)
        before = [contents(part) for part in parts]
        assert not (parts[0] / "manifest.csv").exists()
        # Shards made sequences of copies, which are no part of the whole.
        made = {name for part in before for name in part if name.startswith("sequences/")}
        assert len(made) > len(list((expected / "sequences").iterdir()))
        output = parts[0] if shared else tmp_path / f"{seed}_merged"
        command = ["merge", str(output)] if shared else ["merge", *map(str, parts), "--output", str(output)]
        assert main([*command, "--workers", "1"]) == 0
        assert contents(output) == contents(expected)
        if not shared:
            assert [contents(part) for part in parts] == before
        # The ordinary command finds nothing left to do.
        assert main([str(videos), "--output", str(output), *OPTIONS, "--seed", str(seed)]) == 0
        assert contents(output) == contents(expected)
    assert {row["reason"] for row in rows_of(output) if row["source"] == "h.mp4"} == {"the same file as a.mp4"}


@pytest.mark.slow
def test_a_finished_folder_keeps_no_shards(videos: Path, whole: dict[int, Path], tmp_path: Path) -> None:
    seed, expected = next(iter(whole.items()))
    options = [*OPTIONS, "--seed", str(seed)]
    assert main([str(videos), "--output", str(tmp_path / "dataset"), *options, "--shard", "2/2"]) == 0
    assert main([str(videos), "--output", str(tmp_path / "dataset"), *options]) == 0
    left = contents(tmp_path / "dataset")
    assert set(contents(expected)) <= set(left)
    assert not any(name.startswith("shards") for name in left)


def test_merging_what_does_not_fit_is_one_line(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name in ("a", "c"):
        shutil.copy(videos / f"{name}.mp4", few)

    def shard(name: str, part: str, *options: str) -> None:
        assert main([str(few), "--output", str(tmp_path / name), *OPTIONS, "--shard", part, *options]) == 0

    def error(*folders: str) -> str:
        capsys.readouterr()
        command = ["merge", *(str(tmp_path / name) for name in folders), "--output", str(tmp_path / "merged")]
        assert main([*command, "--workers", "1"]) == 2
        text = capsys.readouterr().err
        assert text.startswith("error: ")
        assert text.count("\n") == 1
        assert not (tmp_path / "merged").exists()
        return text

    shard("first", "1/4")  # more shards than videos
    shard("first", "3/4")
    assert "not finished: 2, 4; run them again, --shard 2/4" in error("first")
    shard("second", "2/4", "--seed", "3")
    assert "seed" in error("first", "second")
    shard("half", "1/2")
    assert "has shard 1/2" in error("first", "half")
    make_clip(few / "b.mp4", num_frames=20, seed=2)
    shard("later", "2/4")
    assert "found other videos" in error("first", "later")
    assert "no such folder" in error("nothing")
    (tmp_path / "empty").mkdir()
    assert "no finished shard" in error("empty")
    (tmp_path / "first" / "shards" / "1-of-4.json").write_text("{}")
    assert "run --shard 1/4 again" in error("first")


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_bad_parts(part: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_request:
        main([str(tmp_path), "--output", str(tmp_path / "dataset"), f"--shard={part}"])
    assert exit_request.value.code == 2
    assert repr(part) in capsys.readouterr().err


def test_shards_do_not_overwrite(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = [str(videos), "--output", str(tmp_path / "dataset"), *OPTIONS, "--shard", "1/9"]
    assert main([*command, "--overwrite"]) == 2
    assert "--overwrite can't be combined with --shard" in capsys.readouterr().err
    assert main(command) == 0
    assert main([*command, "--num-frames", "10"]) == 2
    shard = json.loads((tmp_path / "dataset" / "shards" / "1-of-9.json").read_text())
    assert [entry["name"] for entry in shard["sources"]] == ["a.mp4", "i.mp4"]
    assert "inputs" not in shard["arguments"]


def test_merge_help(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_request:
        main(["merge", "--help"])
    assert exit_request.value.code == 0
    assert "examples:" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["merge", "a", "b"])
    assert "several folders need an --output" in capsys.readouterr().err
