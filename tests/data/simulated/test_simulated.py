"""python -m data.simulated, with a stand-in for Blender: a dataset folder whose volume and flows fit together."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.blender_stand_in import install_stand_in

from data.dataset.manifest import load_manifest, load_statistics
from data.dataset.reading import FramePairDataset, SpectralVolumeDataset
from data.dataset.sequence_file import read_sequence, sequence_path
from data.media.images import read_image
from data.report.pictures import sequence_pictures
from data.simulated.command import main
from docs.draw.scenes import main as draw_scenes
from models.spectral_volume import motion_at_times

COMMON = ["--size", "48x30", "--num-frames", "24", "--num-frequencies", "13", "--split", "1,0,0", "--device", "cpu"]
KINDS = ["--kinds", "hanging_sign", "candles", "walls"]


def simulate(folder: Path, python: Path, *more: str) -> int:
    return main(["--output", str(folder), "--blender-python", str(python), *COMMON, *KINDS, *more])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    assert simulate(folder / "dataset", install_stand_in(folder), "--scenes", "4", "--stored-frames", "2") == 0
    return folder / "dataset"


def test_the_folder_is_a_dataset_like_any_other(dataset: Path) -> None:
    rows = load_manifest(dataset, "train")
    assert len(rows) == 4
    assert {row["estimator"] for row in rows} == {"exact"}
    kinds = {row["source"].rpartition("_")[0] for row in rows}
    assert kinds == {"hanging_sign", "candles", "walls"}
    assert load_statistics(dataset)["num_frequencies"] == 13
    sample = SpectralVolumeDataset(dataset, split="train", num_frequencies=8)[0]
    assert sample["spectral_volume"].shape == (8, 4, 30, 48)
    assert FramePairDataset(dataset, split="train")[0]["flow"].shape == (2, 30, 48)
    with (dataset / "scenes.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert {row["id"] for row in listed} == {row["id"] for row in rows}
    still = {row["id"] for row in listed if row["moves"] == "no"}
    assert still == {row["id"] for row in rows if row["source"].startswith("walls")}
    assert "licence" in (dataset / "surfaces.csv").read_text()


def test_flows_are_what_the_volume_says(dataset: Path) -> None:
    for row in load_manifest(dataset, "train"):
        tensors = read_sequence(sequence_path(dataset, row["id"]))
        volume, times = tensors["spectral_volume"].float(), tensors["frame_indices"]
        motion = motion_at_times(volume[None], times, row["num_frames"])[0]
        if row["source"].startswith("walls"):
            assert not volume.any()
            assert not tensors["flows"].any()
        else:
            assert volume.abs().max() > 0.02
            torch.testing.assert_close(motion, tensors["flows"].float(), atol=0.05, rtol=0.01)


def test_frames_come_with_depth_flow_back_and_what_is_hidden(dataset: Path) -> None:
    row = next(row for row in load_manifest(dataset, "train") if row["source"].startswith("hanging_sign"))
    tensors = read_sequence(sequence_path(dataset, row["id"]))
    assert tensors["depth"].shape == (30, 48)
    assert 0 < float(tensors["depth"][tensors["depth"] > 0].min()) < 10
    assert tensors["depths"].shape == tensors["hidden"].shape == (2, 30, 48)
    assert tensors["backward_flows"].shape == tensors["flows"].shape == (2, 2, 30, 48)
    assert tensors["backward_flows"].abs().max() > 0


def test_the_same_command_resumes_and_gives_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    python = install_stand_in(tmp_path)
    other = tmp_path / "dataset"
    assert simulate(other, python, "--scenes", "2", "--stored-frames", "2") == 0
    before = {path: path.stat().st_mtime_ns for path in (other / "sequences").iterdir()}
    assert simulate(other, python, "--scenes", "4", "--stored-frames", "2") == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished scenes are left alone"
    for path in (dataset / "sequences").iterdir():
        assert (other / "sequences" / path.name).read_bytes() == path.read_bytes()
    assert (other / "manifest.csv").read_bytes() == (dataset / "manifest.csv").read_bytes()


def test_more_scenes_leave_the_first_ones_as_they_are(dataset: Path, tmp_path: Path) -> None:
    few = tmp_path / "dataset"
    assert simulate(few, install_stand_in(tmp_path), "--scenes", "1", "--stored-frames", "2") == 0
    (only,) = load_manifest(few, "train")
    assert only["id"] in {row["id"] for row in load_manifest(dataset, "train")}


def test_no_later_frames_leave_the_motion_alone(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    assert simulate(folder, install_stand_in(tmp_path), "--scenes", "4", "--stored-frames", "0") == 0
    rows = load_manifest(folder, "train")
    assert [row["stored_frames"] for row in rows] == [0] * 4
    for row in rows:
        tensors = read_sequence(sequence_path(folder, row["id"]))
        assert tensors["frames"].shape == (0, 3, 30, 48)
        assert tensors["flows"].shape == tensors["backward_flows"].shape == (0, 2, 30, 48)
        with_frames = read_sequence(sequence_path(dataset, row["id"]))
        torch.testing.assert_close(tensors["spectral_volume"], with_frames["spectral_volume"], atol=0.02, rtol=0.01)
    assert len(SpectralVolumeDataset(folder, split="train", num_frequencies=8)) == 4
    with pytest.raises(ValueError, match="no later frames are stored; make it with --stored-frames 1 or more"):
        FramePairDataset(folder, split="train")
    draw_scenes([str(folder), str(tmp_path / "sheet.png"), "--scenes", "3", "--columns", "1"])
    assert read_image(tmp_path / "sheet.png").shape[1] == 2 * 48 + 3, "first frame and amplitude"
    shown = [sequence_pictures(folder, row) for row in rows]
    assert all(len(of.pictures) == 2 and of.largest_flow is None for of in shown)
    before = {path: path.stat().st_mtime_ns for path in (folder / "sequences").iterdir()}
    assert simulate(folder, install_stand_in(tmp_path), "--scenes", "4", "--stored-frames", "0") == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished scenes are known again"


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("dies", "Blender ended with status 4 while it rendered this scene"),
        ("refuses", "Blender: RuntimeError: no such node"),
        ("never starts", "Blender does not start, status 3"),
    ],
)
def test_a_scene_that_fails_is_named_and_the_rest_goes_on(
    fails: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = simulate(tmp_path / "dataset", install_stand_in(tmp_path, fails=fails), "--scenes", "2")
    printed = capsys.readouterr().err
    assert status != 0, "no scene could be made"
    assert printed.count(message) >= 2, "both scenes were tried"
    assert not list((tmp_path / "dataset" / "sequences").iterdir())


def test_a_missing_blender_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(tmp_path / "dataset", tmp_path / "nowhere" / "python") == 2
    assert "make simulated" in capsys.readouterr().err
    assert not (tmp_path / "dataset").exists()


def test_an_interpreter_without_bpy_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    assert simulate(tmp_path / "dataset", bare) == 2
    assert f"{bare}: has no bpy" in capsys.readouterr().err


def test_still_scenes_are_not_random_in_their_statistics(dataset: Path) -> None:
    rows = [row for row in load_manifest(dataset, "train") if row["source"].startswith("walls")]
    assert rows
    assert all(row["rms_amplitude"] == 0 and row["moving_fraction"] == 0 for row in rows)
    assert np.isfinite([row["p95_magnitude"] for row in load_manifest(dataset, "train")]).all()


def test_scenes_are_drawn_with_their_amplitude_and_a_later_frame(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_scenes([str(dataset), str(tmp_path / "sheet.png"), "--scenes", "3", "--columns", "1"])
    assert read_image(tmp_path / "sheet.png").shape == (3 * 30 + 2 * 3, 3 * 48 + 2 * 3, 3)
    drawn = [name.rpartition("_")[0] for name in capsys.readouterr().out.split()]
    assert sorted(drawn) == ["candles", "hanging_sign", "walls"], "every kind before any kind twice"
