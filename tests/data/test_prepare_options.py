"""The command line of `data.prepare`: what can be wrong with it or with the videos, its report and its help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.clips.small_clips import QUICK, contents, make_clip, rows_of

from data.flow.estimators import ESTIMATORS
from data.prepare import main


def test_other_options_need_another_folder(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = [str(videos / "fern.mp4"), "--output", str(tmp_path / "dataset"), *QUICK]
    assert main(command) == 0
    before = contents(tmp_path / "dataset")
    capsys.readouterr()
    assert main([*command, "--num-frames", "16"]) == 2
    error = capsys.readouterr().err
    assert "num_frames 20, not 16" in error
    assert "--overwrite" in error
    assert error.count("\n") == 1
    assert contents(tmp_path / "dataset") == before
    assert main([*command, "--num-frames", "16", "--overwrite"]) == 0
    assert {row["num_frames"] for row in rows_of(tmp_path / "dataset")} == {"16"}
    assert len(list((tmp_path / "dataset" / "sequences").iterdir())) == len(rows_of(tmp_path / "dataset"))


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_folder_with_damaged_options_is_made_anew_if_asked(
    text: str, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = [str(videos / "fern.mp4"), "--output", str(tmp_path / "dataset"), *QUICK]
    assert main(command) == 0
    before = contents(tmp_path / "dataset")
    (tmp_path / "dataset" / "parameters.json").write_text(text)
    capsys.readouterr()
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'dataset' / 'parameters.json'}: not the options")
    assert error.count("\n") == 1
    assert main([*command, "--overwrite"]) == 0
    assert contents(tmp_path / "dataset") == before


def test_a_folder_with_something_else_is_left_alone(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("words")
    assert main([str(videos), "--output", str(tmp_path / "thesis"), "--overwrite", *QUICK]) == 2
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


def test_bad_videos_are_in_the_manifest(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("no video here\n" * 100)
    make_clip(videos / "three.mp4", num_frames=3, seed=4)
    whole = (videos / "fern.mp4").read_bytes()
    (videos / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (videos / "same.mp4").write_bytes(whole)
    dataset = tmp_path / "dataset"
    assert main([str(videos), "--output", str(dataset), *QUICK, "--validation", "rose*", "same.mp4"]) == 0
    reasons = {row["source"]: row["reason"] for row in rows_of(dataset) if row["status"] == "dropped"}
    assert set(reasons) == {"empty.mp4", "text.mp4", "three.mp4", "cut.mp4", "same.mp4"}
    assert "empty" in reasons["empty.mp4"]
    assert "not a video" in reasons["text.mp4"]
    assert reasons["three.mp4"] == "too short: 3 frames, 20 are needed"
    assert "damaged" in reasons["cut.mp4"]
    assert reasons["same.mp4"] == "the same file as fern.mp4"
    assert str(tmp_path) not in (dataset / "manifest.csv").read_text()
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(warnings) == 6
    assert warnings[-1] == "warning: --validation 'same.mp4' matches none of the videos that can be used"
    kept = {row["source"] for row in rows_of(dataset) if row["status"] == "kept"}
    assert kept == {"fern.mp4", "rose one.mp4", "below/fern.mp4"}
    assert len({row["id"] for row in rows_of(dataset) if row["id"]}) == 9


def test_nothing_usable_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip, dataset = make_clip(tmp_path / "three.mp4", num_frames=3), tmp_path / "dataset"
    assert main([str(clip), "--output", str(dataset), *QUICK]) == 2
    assert capsys.readouterr().err.splitlines() == ["error: three.mp4: too short: 3 frames, 20 are needed"]
    (tmp_path / "empty.mp4").touch()
    assert main([str(tmp_path), "--wrap", "--output", str(dataset), *QUICK]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: empty.mp4: the file is empty (and 1 more videos that can't be used)"
    assert not dataset.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.mp4"],
        ["--size", "256"],
        ["--size", "8x8"],
        ["--split", "0.5,0.5"],
        ["--split", "0.5,0.5,0.5"],
        ["--split", "a,b,c"],
        ["--fps", "0"],
        ["--fps", "3e10"],
        ["--min-motion", "nan"],
        ["--num-frames", "1.5"],
        ["--num-frames", "1"],
        ["--workers", "0"],
        ["--flow", "unknown"],
        ["--full", "tests"],
        ["--full", "test", "none"],
    ],
)
def test_bad_arguments_are_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str]
) -> None:
    dataset = tmp_path / "dataset"
    (tmp_path / "clip.mp4").write_bytes(b"never opened")
    try:
        status = main([str(tmp_path / "clip.mp4"), "--output", str(dataset), *arguments])
    except SystemExit as exit_request:  # argparse leaves by raising
        status = exit_request.code
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert arguments[-1] in error
    assert not dataset.exists()


def test_report(videos: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [str(videos), "--output", str(tmp_path / "dataset"), "--max-sequences-per-video", "2", *QUICK]
    assert main([*command, "--report", str(report)]) == 0
    values = json.loads(report.read_text())
    assert values["script"] == "data.prepare"
    assert values["results"]["computed"] == 6
    assert set(values["timings_seconds"]) == {"scan", "sequences"}
    assert values["options"]["num_frames"] == 20
    # Two of the three starts, spread over the video.
    assert [int(row["start"]) for row in rows_of(tmp_path / "dataset")] == [0, 20] * 3


def test_help_has_examples(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_request:
        main(["--help"])
    assert exit_request.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert all(name in text for name in ESTIMATORS)


@pytest.mark.parametrize("options", [[], ["--dask", "nowhere.json"], ["--shard", "1/2", "--dask", "nowhere.json"]])
def test_input_that_cannot_be_used_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str]
) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    assert main([str(tmp_path / "a.mp4"), "--output", str(tmp_path / "dataset"), "--workers", "1", *options]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
