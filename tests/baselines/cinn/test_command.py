"""The commands end to end at the tiny preset, resuming, and converting by a table of names."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.places import ROOT
from safetensors.torch import load_file

from baselines.cinn.command import main
from baselines.cinn.data.clips import Clips
from baselines.cinn.data.layouts import load_videos
from baselines.cinn.model import StochasticImageToVideo
from baselines.cinn.networks.resnet import VideoEncoder
from baselines.cinn.presets import PRESETS
from data.media.images import write_image
from data.media.read_video import read_video
from training.log import read_csv


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small photo."""
    path = tmp_path / "photo.png"
    write_image(path, np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    return path


@pytest.mark.slow
def test_training_leaves_logs_and_a_checkpoint_of_each_stage(run_folder: Path) -> None:
    rows = {stage: read_csv(run_folder / stage / "log.csv") for stage in ("vae", "condition", "flow")}
    assert all(len(stage) == 2 for stage in rows.values())
    last = {name: float(value) for name, value in rows["vae"][-1].items()}
    assert {"loss", "temporal_loss", "spatial_loss", "penalty", "features", "psnr", "psnr_repeat"} <= last.keys()
    assert last["psnr_repeat"] > 10
    assert float(rows["flow"][-1]["nll_validation"]) == pytest.approx(float(rows["flow"][-1]["nll_validation"]))
    assert (run_folder / "flow" / "best" / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_stopped_stage_resumes_to_the_same_weights(small_dataset: Path, tmp_path: Path) -> None:
    def train(folder: Path, steps: int) -> None:
        options = ["--stage", "vae", "--preset", "tiny", "--device", "cpu", "--max-steps", str(steps)]
        assert main(["train", "--data", str(small_dataset), "--output", str(folder), *options]) == 0

    train(tmp_path / "at_once", 4)
    train(tmp_path / "in_parts", 2)
    train(tmp_path / "in_parts", 4)
    whole, parts = (load_file(tmp_path / name / "vae" / "model.safetensors") for name in ("at_once", "in_parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.slow
def test_samples_of_photos_become_one_video(run_folder: Path, photo: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    options = ["--checkpoint", str(run_folder), "--output", str(output), "--num-samples", "3", "--num-frames", "20"]
    assert main(["sample", str(photo), str(photo), *options, "--device", "cpu", "--rollout", "new_code"]) == 0
    frames, fps = read_video(output)
    assert frames.shape == (21, 2 * 32 + 2, 3 * 48 + 4, 3)
    assert fps == 30


def test_the_first_stage_is_measured_video_by_video(
    run_folder: Path, small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # without the metrics' weights
    report, sheet = tmp_path / "report.json", tmp_path / "sheet.png"
    given = ["reconstruct", str(small_dataset), "--checkpoint", str(run_folder), "--device", "cpu"]
    assert main([*given, "--split", "train", "--report", str(report), "--sheet", str(sheet)]) == 0
    results = json.loads(report.read_text())
    model = StochasticImageToVideo.from_pretrained(run_folder)
    videos = load_videos(small_dataset, "train", layout="dataset")
    assert [*results["each"]] == [video.id for video in videos]
    clips = Clips(videos, model.config.video.size, length=17).fixed(2)
    first = [clip for clip in clips if clip.ids[0].startswith(videos[0].id)]
    expected = sum(float((clip.photo - clip.clip[0]).abs().mean()) / 2 for clip in first) / len(first)
    assert results["each"][videos[0].id]["l1_repeat"] == pytest.approx(expected, rel=1e-4)
    drawn = sum(float((model.reconstruct(clip.frames) - clip.clip).abs().mean()) / 2 for clip in first) / len(first)
    assert results["each"][videos[0].id]["l1"] == pytest.approx(drawn, rel=1e-4)
    assert results["l1_gain"] == pytest.approx(results["l1_repeat"] - results["l1"])
    assert sheet.is_file()
    out = capsys.readouterr().out
    assert f"l1: {results['l1']:.4f}" in out
    assert "lpips: not computed: " in out
    shutil.copytree(run_folder / "vae", tmp_path / "first" / "vae")  # the other stages are not needed
    given[3] = str(tmp_path / "first")
    assert main([*given, "--split", "train"]) == 0
    given[3] = str(tmp_path / "none")
    assert main([*given, "--split", "train"]) == 2


@pytest.mark.slow
def test_motion_passes_from_a_folder_of_frames_to_a_photo(run_folder: Path, photo: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for number in range(18):
        write_image(clip / f"{number}.png", np.full((32, 48, 3), 10 * number, dtype=np.uint8))
    output = tmp_path / "out.mp4"
    command = ["transfer", str(photo), str(clip), "--checkpoint", str(run_folder), "--output", str(output)]
    assert main([*command, "--device", "cpu"]) == 0
    assert read_video(output)[0].shape == (17, 2 * 32 + 2, 48, 3)
    assert main([*command, "--device", "cpu", "--start", "5"]) == 2


def test_mistakes_are_answered_in_one_line(run_folder: Path, photo: Path, tmp_path: Path, capsys) -> None:
    out = ["--checkpoint", str(run_folder), "--output", str(tmp_path / "out.gif"), "--device", "cpu"]
    assert main(["endpoint", str(photo), "0.1,0.2,0.3", *out]) == 2
    assert capsys.readouterr().err == "error: the model is controlled by 0 numbers, got 3\n"
    train = ["train", "--data", str(tmp_path), "--output", str(tmp_path / "run"), "--preset", "tiny"]
    assert main([*train, "--size", "50x32"]) == 2
    assert "both sides have to be multiples of 16" in capsys.readouterr().err
    assert main([*train, "--layout", "fire"]) == 2
    assert "no train videos in the layout fire" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["endpoint", str(photo), "left,right", *out])
    assert "a list such as 0.5,0.1,0.2 is expected" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    lines = ("import sys", "from baselines.cinn.command import build_parser", "build_parser().format_help()")
    code = "\n".join([*lines, "assert 'torch' not in sys.modules, 'torch'"])
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
def test_a_published_part_is_converted_by_its_table(run_folder: Path, tmp_path: Path, capsys) -> None:
    torch.manual_seed(1)
    encoder = VideoEncoder(PRESETS["tiny"].model.video)
    theirs = {f"module.{name}": tensor for name, tensor in encoder.state_dict().items()}
    file = tmp_path / "published.pth"
    torch.save({"state_dict": theirs, "epoch": 3}, file)
    folder = tmp_path / "run"
    shutil.copytree(run_folder / "vae", folder / "vae")
    command = ["convert", str(file), "--part", "encoder", "--preset", "tiny", "--output", str(folder)]
    assert main(command) == 0
    draft = folder / "encoder_names.csv"
    with draft.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == len(theirs)
    assert all(row["theirs"] == f"module.{row['ours']}" for row in rows)
    assert main([*command, "--names", str(draft)]) == 0
    found = load_file(folder / "vae" / "model.safetensors")
    before = load_file(run_folder / "vae" / "model.safetensors")
    assert torch.equal(found["encoder.mean.weight"], encoder.mean.weight)
    assert torch.equal(found["decoder.fc.weight"], before["decoder.fc.weight"])  # the other part is kept
    draft.write_text("ours,theirs\nmean.weight,module.mean.weight\n")
    assert main([*command, "--names", str(draft)]) == 2
    assert "tensors don't fit the configured model" in capsys.readouterr().err
    draft.write_text("ours,theirs\nmean.weight,nothing\n")
    assert main([*command, "--names", str(draft)]) == 2
    assert "has no tensor nothing" in capsys.readouterr().err


def test_old_names_of_spectral_normalisation_are_understood(tmp_path: Path) -> None:
    from baselines.cinn.convert import read_published

    layer = torch.nn.utils.spectral_norm(torch.nn.Conv3d(2, 3, 3))
    file = tmp_path / "old.pth"
    torch.save({"conv." + name: tensor for name, tensor in layer.state_dict().items()}, file)
    present = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv3d(2, 3, 3))
    assert set(read_published(file)) == {"conv." + name for name in present.state_dict()}


@pytest.mark.slow
def test_the_controlled_flow_is_trained_on_positions(tmp_path: Path) -> None:
    folder = tmp_path / "bair"
    for split in ("train", "eval"):
        for number in range(2):
            place = folder / split / "traj_0_to_255" / str(number)
            place.mkdir(parents=True)
            for t in range(17):
                write_image(place / f"{t}.png", np.full((32, 48, 3), 10 * t + 20 * number, dtype=np.uint8))
            table = "".join(f"{t},{number},{-t}\n" for t in range(17))
            (place / "endeffector_positions.csv").write_text(table)
    run = tmp_path / "run"
    options = ["--layout", "bair", "--preset", "tiny", "--max-steps", "1", "--device", "cpu", "--control"]
    assert main(["train", "--data", str(folder), "--output", str(run), *options]) == 0
    flow = StochasticImageToVideo.from_pretrained(run).config.flow
    assert (flow.control, flow.control_minimum, flow.control_maximum) == (3, (0.0, 0.0, -16.0), (16.0, 1.0, 0.0))
    photo = folder / "eval" / "traj_0_to_255" / "0" / "0.png"
    out = ["--checkpoint", str(run), "--output", str(tmp_path / "out.gif"), "--device", "cpu", "--num-samples", "2"]
    assert main(["endpoint", str(photo), "16,1,-16", *out]) == 0
    assert (tmp_path / "out.gif").is_file()
