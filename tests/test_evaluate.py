import json
from pathlib import Path

import pytest
import torch

import evaluate
from models.frame_synthesis import PRESETS as RENDERER_PRESETS
from models.frame_synthesis import FrameSynthesisModel
from models.motion_diffusion import PRESETS, MotionModel
from models.spectral_volume import SpectralNormalizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    MotionModel(PRESETS["tiny"], SpectralNormalizer("adaptive", (1.0,) * 4)).save_pretrained(folder / "motion")
    FrameSynthesisModel(RENDERER_PRESETS["tiny"]).save_pretrained(folder / "frame_synthesis")
    return folder


def run(table: str, dataset: Path, checkpoint: Path, report: Path, *options: str) -> dict:
    arguments = [table, "--data", str(dataset), "--checkpoint", str(checkpoint), "--report", str(report), *options]
    assert evaluate.main(arguments) == 0
    return json.loads(report.read_text())


def test_motion_table_has_model_baselines_and_ceiling(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = ("--samples", "2", "--steps", "2")
    report = run("motion", small_dataset, checkpoint, tmp_path / "r.json", *options)
    row = report["table"]["second.mp4"]
    assert report["sequences"] == 1
    assert row["other_start"] > 0.9  # the same loop from another frame moves in the same places
    assert abs(row["localisation"]) < 0.9
    assert row["gradient_blur_0"] != row["gradient_blur_8"]
    again = run("motion", small_dataset, checkpoint, tmp_path / "r2.json", *options)
    assert again["table"] == report["table"]
    other = run("motion", small_dataset, checkpoint, tmp_path / "r3.json", *options, "--seed", "5")
    assert other["table"] != report["table"]


def test_rendering_beats_leaving_the_photo_unmoved(small_dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    report = run("rendering", small_dataset, checkpoint, tmp_path / "r.json")
    table = report["table"]
    assert set(table) == {"model", "softmax", "average", "remap", "repeat"}
    assert table["softmax"]["psnr"] > table["repeat"]["psnr"]
    assert all(0 < row["ssim"] <= 1 for row in table.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere"], "data.prepare"),
        (["--checkpoint", "nowhere"], "no such checkpoint folder"),
        (["--samples", "0"], "at least 1"),
    ],
)
def test_bad_input_is_one_line(
    small_dataset: Path, checkpoint: Path, capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    given = ["--data", str(small_dataset), "--checkpoint", str(checkpoint), *options]
    assert evaluate.main(["motion", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
