"""Videos -> dataset folder, from the command line: contents, splits, restarts, and everything that can be wrong."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.clips.small_clips import QUICK, contents, make_clip, rows_of

from common.files import temporary_path
from data.dataset.compute import stratified_indices
from data.dataset.plan import sequence_frames
from data.dataset.sequence_file import read_metadata, read_sequence
from data.flow.estimators import ESTIMATORS, estimate_flow
from data.media.read_video import read_video
from data.prepare import main


def with_flow(monkeypatch: pytest.MonkeyPatch, solve: Callable | None) -> None:
    """Let the estimator dis call another function; none at all makes estimating fail."""
    monkeypatch.setitem(ESTIMATORS, "dis", replace(ESTIMATORS["dis"], solve=solve))


def ended_process() -> int:
    """Number of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_sequence_holds_the_transformed_flow(videos: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    assert main([str(videos / "fern.mp4"), "--output", str(dataset), *QUICK]) == 0
    rows = rows_of(dataset)
    assert [int(row["start"]) for row in rows] == [0, 10, 20]
    assert {row["status"] for row in rows} == {"kept"}
    frames, _ = read_video(videos / "fern.mp4")
    for row in rows:
        start = int(row["start"])
        part = frames[start : start + 20]
        flow = np.concatenate([np.zeros((1, 48, 64, 2)), estimate_flow(part[0], part[1:], estimator="dis")])
        path = dataset / "sequences" / f"{row['id']}.safetensors"
        stored = {name: tensor.numpy() for name, tensor in read_sequence(path).items()}
        # Explicit rfft over t, divided by T; channels Re x, Re y, Im x, Im y.
        coefficients = np.fft.rfft(flow, axis=0)[:6] / 20
        expected = np.concatenate([coefficients.real, coefficients.imag], axis=-1).transpose(0, 3, 1, 2)
        assert stored["spectral_volume"].dtype == np.float16
        assert np.allclose(stored["spectral_volume"], expected, rtol=2e-3, atol=1e-4)
        assert (stored["first_frame"] == part[0].transpose(2, 0, 1)).all()
        indices = stored["frame_indices"]
        assert (stored["frames"] == part[indices].transpose(0, 3, 1, 2)).all()
        assert np.allclose(stored["flows"], flow[indices].transpose(0, 3, 1, 2), rtol=2e-3, atol=1e-4)
        magnitude = np.hypot(flow[1:, ..., 0], flow[1:, ..., 1])
        assert float(row["mean_magnitude"]) == pytest.approx(magnitude.mean(), abs=1e-4)
        assert float(row["median_magnitude"]) == pytest.approx(np.median(magnitude), abs=1e-4)
        assert float(row["p95_magnitude"]) == pytest.approx(np.percentile(magnitude, 95), abs=1e-4)
        spread = flow - flow.mean(axis=0)
        assert float(row["rms_amplitude"]) == pytest.approx(np.sqrt((spread**2).sum(-1).mean()), abs=1e-4)


def test_statistics_are_those_of_the_train_split(videos: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    arguments = ["--validation", "rose*", "--split", "1,0,0"]
    assert main([str(videos), "--output", str(dataset), *arguments, *QUICK]) == 0
    statistics = json.loads((dataset / "stats.json").read_text())
    train = [row["id"] for row in rows_of(dataset) if row["split"] == "train"]
    assert len(train) == 6 == statistics["num_sequences"]
    names = [dataset / "sequences" / f"{name}.safetensors" for name in train]
    volumes = np.stack([read_sequence(name)["spectral_volume"].numpy() for name in names]).astype(np.float64)
    pooled = np.abs(volumes.transpose(1, 0, 2, 3, 4).reshape(6, -1))
    assert statistics["p95"] == pytest.approx(np.percentile(pooled, 95, axis=1).tolist())
    assert statistics["rms"] == pytest.approx(np.sqrt((pooled**2).mean(axis=1)).tolist())
    assert {key: statistics[key] for key in ("num_frames", "num_frequencies", "size", "fps", "split")} == {
        **{"num_frames": 20, "num_frequencies": 6, "size": [64, 48], "fps": 30.0, "split": "train"}
    }


def test_empty_train_split_uses_all(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    dataset = tmp_path / "dataset"
    assert main([str(videos), "--output", str(dataset), "--test", "*", *QUICK]) == 0
    statistics = json.loads((dataset / "stats.json").read_text())
    assert (statistics["split"], statistics["num_sequences"]) == ("all", 9)
    assert "train split is empty" in capsys.readouterr().err


def test_a_split_whose_sequences_were_all_dropped_is_named(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    still = make_clip(tmp_path / "still.mp4", num_frames=20, shift=0.0)
    inputs = [str(videos / "fern.mp4"), str(still)]
    assert (
        main([*inputs, "--output", str(tmp_path / "dataset"), "--validation", "still*", "--split", "1,0,0", *QUICK])
        == 0
    )
    warnings = capsys.readouterr().err
    assert "the validation split is empty" in warnings
    assert "the test split" not in warnings  # nobody wanted one


def test_wrapped_sequences_start_anywhere(tmp_path: Path) -> None:
    clip, dataset = make_clip(tmp_path / "loop.mp4"), tmp_path / "dataset"
    assert main([str(clip), "--wrap", "--output", str(dataset), *QUICK]) == 0
    rows = rows_of(dataset)
    assert [int(row["start"]) for row in rows] == [0, 10, 20, 30]
    frames, _ = read_video(clip)
    last = read_sequence(dataset / "sequences" / f"{rows[3]['id']}.safetensors")
    wrapped = (30 + last["frame_indices"].numpy()) % 40
    assert (wrapped < 30).any()
    assert (last["frames"].numpy() == frames[wrapped].transpose(0, 3, 1, 2)).all()


def test_a_loop_of_about_the_right_length_is_taken_whole(tmp_path: Path) -> None:
    assert sequence_frames(145, 150, wrap=True) == 145
    assert sequence_frames(300, 150, wrap=True) == 150
    assert sequence_frames(50, 150, wrap=True) == 150
    assert sequence_frames(40, 150, wrap=True) == 160
    assert sequence_frames(100, 150, wrap=True) == 150
    assert sequence_frames(145, 150, wrap=False) == 150
    # 19 frames at 20: the displacement comes back to zero where the loop does, so each flow is there twice in 2 loops.
    clip, dataset = make_clip(tmp_path / "loop.mp4", num_frames=20), tmp_path / "dataset"
    options = [*QUICK, "--num-frames", "38", "--stored-frames", "37", "--stride", "20"]
    assert main([str(clip), "--wrap", "--output", str(dataset), *options]) == 0
    path = dataset / "sequences" / f"{rows_of(dataset)[0]['id']}.safetensors"
    assert read_metadata(path)["num_frames"] == "40"
    stored = read_sequence(path)
    flows = dict(zip(stored["frame_indices"].tolist(), stored["flows"], strict=True))
    pairs = [(t, t + 20) for t in range(1, 20) if t in flows and t + 20 in flows]
    assert len(pairs) > 10
    assert all((flows[first] == flows[second]).all() for first, second in pairs)
    assert 20 not in flows or not flows[20].any()


def test_stored_frames_come_one_from_each_stratum() -> None:
    for num_frames, count in ((150, 10), (20, 4), (12, 11), (5, 10)):
        indices = stratified_indices(num_frames, count, "fern_00000")
        assert len(indices) == min(count, num_frames - 1)
        strata = [int(index - 1) * len(indices) // (num_frames - 1) for index in indices]
        edges = 1 + np.arange(len(indices) + 1) * (num_frames - 1) // len(indices)
        assert ((edges[:-1] <= indices) & (indices < edges[1:])).all(), strata
    assert (stratified_indices(150, 10, "a") == stratified_indices(150, 10, "a")).all()
    assert (stratified_indices(150, 10, "a") != stratified_indices(150, 10, "b")).any()
    drawn = np.concatenate([stratified_indices(21, 4, str(name)) for name in range(400)])
    assert set(drawn) == set(range(1, 21))


def test_a_video_is_in_one_split_only(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for seed in range(8):
        make_clip(folder / f"clip_{seed}.mp4", num_frames=20, seed=seed)
    splits = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "5")):
        dataset = tmp_path / name
        options = ["--split", "0.5,0.25,0.25", "--seed", seed, "--test", "clip_3*", *QUICK]
        assert main([str(folder), "--output", str(dataset), *options]) == 0
        by_video: dict[str, set[str]] = {}
        for row in rows_of(dataset):
            by_video.setdefault(row["source"], set()).add(row["split"])
        assert all(len(found) == 1 for found in by_video.values())
        splits.append({source: found.pop() for source, found in by_video.items()})
    assert splits[0]["clip_3.mp4"] == "test"
    assert set(splits[0].values()) == {"train", "validation", "test"}
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_a_second_run_computes_nothing(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [str(videos), "--output", str(tmp_path / "dataset"), *QUICK]
    assert main(command) == 0
    sequences = sorted((tmp_path / "dataset" / "sequences").iterdir())
    before = {path: path.stat().st_mtime_ns for path in sequences}, contents(tmp_path / "dataset")
    with_flow(monkeypatch, None)
    assert main(command) == 0
    after = {path: path.stat().st_mtime_ns for path in sequences}, contents(tmp_path / "dataset")
    assert before == after
    assert "0 computed now" in capsys.readouterr().out


def test_an_interrupted_run_goes_on_where_it_stopped(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([str(videos), "--output", str(whole), *QUICK]) == 0
    solve = ESTIMATORS["dis"].solve
    calls = []

    def interrupted(sources, targets, **options):
        calls.append(len(sources))
        if calls.count(1) == 4:  # the flow from one frame to the others, without the way back
            raise KeyboardInterrupt
        return solve(sources, targets, **options)

    with monkeypatch.context() as patch:
        with_flow(patch, interrupted)
        assert main([str(videos), "--output", str(broken), *QUICK]) == 130
    assert len(list((broken / "sequences").iterdir())) == 3
    assert not (broken / "manifest.csv").exists()
    # What a kill leaves: half a file of a finished name, and a temporary one.
    finished = sorted((broken / "sequences").glob("*.safetensors"))[0]
    finished.write_bytes(finished.read_bytes()[:-100])
    with temporary_path(finished) as temporary:
        shutil.copy(finished, temporary)
        left = temporary.with_name(temporary.name.replace(f".{os.getpid()}.", f".{ended_process()}."))
        shutil.copy(finished, left)
    assert left.is_file()
    capsys.readouterr()
    assert main([str(videos), "--output", str(broken), *QUICK]) == 0
    assert "7 computed now" in capsys.readouterr().out
    assert contents(broken) == contents(whole)


def test_test_sequences_keep_all_frames_and_flows(videos: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    assert main([str(videos), "--output", str(dataset), "--test", "rose*", "--split", "1,0,0", *QUICK]) == 0
    frames, _ = read_video(videos / "rose one.mp4")
    for row in rows_of(dataset):
        path = dataset / "sequences" / f"{row['id']}.safetensors"
        stored = {name: tensor.numpy() for name, tensor in read_sequence(path).items()}
        count = 19 if row["split"] == "test" else 4
        assert int(row["stored_frames"]) == int(read_metadata(path)["stored_frames"]) == count
        assert stored["frames"].shape == (count, 3, 48, 64)
        assert stored["flows"].shape == (count, 2, 48, 64)
        if row["split"] == "test":
            assert row["source"] == "rose one.mp4"
            part = frames[int(row["start"]) :][:20]
            assert stored["frame_indices"].tolist() == list(range(1, 20))
            assert (stored["frames"] == part[1:].transpose(0, 3, 1, 2)).all()
            flows = estimate_flow(part[0], part[1:], estimator="dis").transpose(0, 3, 1, 2)
            assert (stored["flows"] == flows.astype(np.float16)).all()
    assert "full" not in json.loads((dataset / "parameters.json").read_text())


@pytest.mark.slow
def test_another_full_split_computes_only_what_is_missing(videos: Path, tmp_path: Path) -> None:
    report, pinned = tmp_path / "report.json", ["--test", "rose*", "--split", "1,0,0"]

    def run(name: str, *options: str) -> tuple[int, dict[str, str]]:
        command = [str(videos), "--output", str(tmp_path / name), *pinned, *options, *QUICK]
        assert main([*command, "--report", str(report)]) == 0
        stored = {row["split"]: row["stored_frames"] for row in rows_of(tmp_path / name)}
        return json.loads(report.read_text())["results"]["computed"], stored

    assert run("dataset", "--full", "none") == (9, {"train": "4", "test": "4"})
    sample = contents(tmp_path / "dataset")
    assert run("dataset") == (3, {"train": "4", "test": "19"})
    assert run("dataset", "--full", "train", "test") == (6, {"train": "19", "test": "19"})
    # What holds more than is wanted stays.
    whole = contents(tmp_path / "dataset")
    assert run("dataset") == run("dataset", "--full", "none") == (0, {"train": "19", "test": "19"})
    assert contents(tmp_path / "dataset") == whole
    assert run("fresh", "--full", "none")[0] == 9
    assert contents(tmp_path / "fresh") == sample
    # A video that moves to the test split is completed.
    pinned = ["--test", "rose*", "below/*", "--split", "1,0,0"]
    assert run("fresh", "--full", "test") == (6, {"train": "4", "test": "19"})


def test_dropped_sequences_hold_nothing_and_are_not_done_again(tmp_path: Path) -> None:
    clip, dataset, report = make_clip(tmp_path / "still.mp4", shift=0), tmp_path / "dataset", tmp_path / "report.json"
    command = [str(clip), "--output", str(dataset), "--split", "0,0,1", *QUICK, "--report", str(report)]
    assert main([*command, "--full", "none"]) == 2
    assert main([*command, "--full", "none", "--keep-all"]) == 0
    assert [row["stored_frames"] for row in rows_of(dataset)] == ["4"] * 3
    files = {path: path.read_bytes() for path in (dataset / "sequences").iterdir()}
    assert main(command) == 2  # with filters again: tensors that are there are left alone
    assert {row["status"] for row in rows_of(dataset)} == {"dropped"}
    assert {path: path.read_bytes() for path in (dataset / "sequences").iterdir()} == files
    shutil.rmtree(dataset)
    assert main(command) == 2
    assert [row["stored_frames"] for row in rows_of(dataset)] == ["0"] * 3
    times = [path.stat().st_mtime_ns for path in sorted((dataset / "sequences").iterdir())]
    assert main([*command, "--full", "none"]) == 2
    assert [path.stat().st_mtime_ns for path in sorted((dataset / "sequences").iterdir())] == times


def test_the_folder_says_where_the_videos_are(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    dataset = tmp_path / "dataset"
    (videos / "broken.mp4").touch()
    assert main([str(videos), "--output", str(dataset), *QUICK]) == 0
    file = dataset / "sources.json"
    by_hash = {row["source_sha256"]: row["source"] for row in rows_of(dataset) if row["status"] == "kept"}
    expected = {digest: str(videos / source) for digest, source in by_hash.items()}
    assert json.loads(file.read_text()) == {"format_version": 1, "sources": expected}
    assert str(tmp_path) not in (dataset / "manifest.csv").read_text()
    # Another run adds, and follows a video that was moved.
    (tmp_path / "more").mkdir()
    (videos / "fern.mp4").rename(tmp_path / "more" / "moved.mp4")
    make_clip(tmp_path / "more" / "new.mp4", seed=7)
    assert main([str(tmp_path / "more"), "--output", str(dataset), *QUICK]) == 0
    paths = set(json.loads(file.read_text())["sources"].values())
    more = tmp_path / "more"
    assert paths == {str(path) for path in (*videos.rglob("rose*.mp4"), *videos.rglob("below/*.mp4"), *more.iterdir())}
    file.write_text("[]")
    capsys.readouterr()
    assert main([str(more), "--output", str(dataset), *QUICK]) == 2
    assert "sources.json: not a list of sources that this program reads; delete it" in capsys.readouterr().err


def test_filters_drop_still_and_shaking_clips(tmp_path: Path) -> None:
    folder, dataset = tmp_path / "videos", tmp_path / "dataset"
    folder.mkdir()
    make_clip(folder / "still.mp4", shift=0, seed=1)
    make_clip(folder / "shaking.mp4", shift=8, seed=2, everything=True)
    make_clip(folder / "swaying.mp4", seed=3)
    assert main([str(folder), "--output", str(dataset), *QUICK]) == 0
    reasons = {row["source"]: row["reason"].partition(":")[0] for row in rows_of(dataset)}
    assert reasons == {"still.mp4": "no motion", "shaking.mp4": "camera motion", "swaying.mp4": ""}
    sizes = {
        row["source"]: (dataset / "sequences" / f"{row['id']}.safetensors").stat().st_size for row in rows_of(dataset)
    }
    assert sizes["still.mp4"] < 2000 < sizes["swaying.mp4"]
    # Without filters the dropped ones are made, and then kept for good.
    assert main([str(folder), "--output", str(dataset), "--keep-all", *QUICK]) == 0
    assert {row["status"] for row in rows_of(dataset)} == {"kept"}
    assert (dataset / "sequences" / f"{rows_of(dataset)[0]['id']}.safetensors").stat().st_size > 20000
