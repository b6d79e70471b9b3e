import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train_unet
from models.motion_diffusion import MotionModel

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ["--preset", "tiny", "--evaluate-every", "4"]


def run(dataset: Path, output: Path, *options: str) -> int:
    return train_unet.main(["--data", str(dataset), "--output", str(output), *TINY, *options])


@pytest.fixture(scope="module")
def trained(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "motion"
    assert run(small_dataset, output, "--report", str(output / "report.json")) == 0
    return output


def test_all_stages_leave_a_checkpoint_that_samples(trained: Path) -> None:
    model = MotionModel.from_pretrained(trained)
    volume = model.sample(torch.zeros(1, 3, 32, 64), [0], steps=2)
    assert volume.shape == (1, 4, 4, 32, 64)
    assert torch.isfinite(volume).all()
    report = json.loads((trained / "report.json").read_text())
    assert report["amplitude_gain_from"] == "validation"
    assert 0 < model.amplitude_limit < 100
    assert set(report["coordinate"]) == {"localisation", "amplitude_ratio", "coherence"}
    pictures = ("samples/autoencoder_000004.png", "samples/coordinate_000004.png")
    for name in ("loss_slice.png", "loss_decoder.png", *pictures):
        assert (trained / name).stat().st_size > 500


def test_variants_of_the_ablation_train_and_say_what_they_are(small_dataset: Path, tmp_path: Path) -> None:
    short = ("--max-steps", "2")
    options = ("--num-frequencies", "3", "--normalization", "size", "--independent")
    assert run(small_dataset, tmp_path / "r", *options, *short) == 0
    model = MotionModel.from_pretrained(tmp_path / "r")
    assert model.config.num_frequencies == 3
    assert model.normalizer.axis_scales == (64.0, 32.0)
    assert not model.coordinate
    assert not (tmp_path / "r" / "log_coordinate.csv").exists()
    # The joint model takes the autoencoder over, and frequency attention can be added to the independent one.
    base = ("--init", str(tmp_path / "r"), *short)
    assert run(small_dataset, tmp_path / "joint", "--joint", "--stage", "slice", *base) == 0
    joint = MotionModel.from_pretrained(tmp_path / "joint")
    assert joint.config.joint
    assert torch.equal(joint.autoencoder.encode_in.weight, model.autoencoder.encode_in.weight)
    assert joint.sample(torch.zeros(1, 3, 32, 64), [0], steps=2).shape == (1, 3, 4, 32, 64)
    assert run(small_dataset, tmp_path / "full", "--stage", "coordinate", *base) == 0
    full = MotionModel.from_pretrained(tmp_path / "full")
    assert full.coordinate
    assert torch.equal(full.unet.conv_in.weight, model.unet.conv_in.weight)


def test_a_checkpoint_of_another_kind_is_not_gone_on_with(
    trained: Path, small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for options in (("--num-frequencies", "3"), ("--normalization", "size")):
        assert run(small_dataset, tmp_path / "r", "--init", str(trained), *options) == 2
        assert f"trained with {options[0]}" in capsys.readouterr().err
    assert run(small_dataset, trained, "--joint") == 2
    assert "not joint" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_second_stage_leaves_the_two_dimensional_layers_alone(small_dataset: Path, tmp_path: Path) -> None:
    assert run(small_dataset, tmp_path / "r", "--stage", "autoencoder") == 0
    assert run(small_dataset, tmp_path / "r", "--stage", "slice") == 0
    before = load_file(tmp_path / "r" / "model.safetensors")
    assert run(small_dataset, tmp_path / "r", "--stage", "coordinate") == 0
    after = load_file(tmp_path / "r" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(".frequency." in name or name == "amplitude_gain" for name in changed)


def test_stopped_run_goes_on_to_the_same_weights(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    options = ["--stage", "slice", "--save-every", "0", "--precision", "float32"]
    assert run(small_dataset, tmp_path / "whole", *options) == 0
    from models import motion_training

    original, calls = motion_training.diffusion_step, []

    def stop_at_third(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(motion_training, "diffusion_step", stop_at_third)
    assert run(small_dataset, tmp_path / "parts", *options) == 130
    assert run(small_dataset, tmp_path / "parts", *options) == 0
    assert "resuming at step 2 of 4" in capsys.readouterr().out
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    with (tmp_path / "parts" / "log_slice.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


def test_loss_that_is_not_finite_stops_and_names_the_batch(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from models import motion_training

    bad = {"loss": torch.tensor(float("nan"), requires_grad=True)}
    monkeypatch.setattr(motion_training, "diffusion_step", lambda *arguments: bad)
    assert run(small_dataset, tmp_path / "r", "--stage", "slice") == 1
    assert "the loss is nan at step 0 on first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--init", "nowhere"], "config.json is missing"),
        (["--max-steps", "-1"], "must be positive"),
        (["--condition-dropout", "2"], "a share between 0 and 1"),
        (["--num-frequencies", "5"], "holds 4 frequencies, a model of 5 can't be trained"),
        (["--num-frequencies", "1"], "between 2 and 4"),
        (["--joint", "--stage", "coordinate"], "which a joint model leaves out"),
        (["--independent", "--stage", "coordinate"], "which --independent leaves out"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    assert run(small_dataset, tmp_path / "r", *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_choices_agree_with_the_models() -> None:
    from models import motion_diffusion, motion_training, spectral_volume

    assert train_unet.STAGES == motion_training.STAGES
    assert set(train_unet.NORMALIZATIONS) == set(spectral_volume.NORMALIZATIONS)
    assert set(train_unet.PRESETS) == set(motion_diffusion.PRESETS) == set(motion_training.TRAINING_PRESETS)


def test_missing_dataset_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(tmp_path / "nothing", tmp_path / "r") == 2
    assert "data.prepare" in capsys.readouterr().err
