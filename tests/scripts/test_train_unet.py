import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.commands import exit_status
from helpers.motion_training import (
    CPU,
    asked_for,
    command,
    run,
)
from safetensors.torch import load_file

import train_unet
from models.motion.config import PRESETS
from models.motion.model import MotionModel
from models.motion.reference_unet import ReferenceUNetConfig
from models.motion.vq_autoencoder import VQAutoencoderConfig
from models.precision import has_fast_bfloat16
from models.spectral_volume import NORMALIZATIONS
from training.log import read_csv
from training.motion.run import MotionTraining, train_motion
from training.processes import Processes

pytestmark = pytest.mark.usefixtures("one_thread")


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
    fast = has_fast_bfloat16(torch.device("cpu"))
    assert report["precision"] == ("bfloat16" if fast else "float32")  # emulated, bfloat16 is far slower
    assert 0 < model.amplitude_limit < 100
    assert set(report["frequency_attention"]) == {"localisation", "amplitude_ratio", "coherence"}
    pictures = ("samples/autoencoder_000004.png", "samples/frequency_attention_000004.png")
    for name in ("loss_slice.png", "loss_decoder.png", *pictures):
        assert (trained / name).stat().st_size > 500


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_and_calibrated(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--max-steps", "2", "--evaluate-every", "1", "--keep-best", "localisation"]
    assert run(small_dataset, tmp_path / "r", *options, "--independent", "--report", str(tmp_path / "r.json")) == 0
    scores = [float(row["localisation"]) for row in read_csv(tmp_path / "r" / "log_slice.csv")]
    best = json.loads((tmp_path / "r.json").read_text())["best"]
    assert best["stage"] == "slice"  # the decoder's stage, which comes after it, is judged by something else
    assert best["score"] == pytest.approx(max(scores), rel=1e-5)
    assert scores[best["step"] - 1] == max(scores)
    training = json.loads((tmp_path / "r" / "best" / "config.json").read_text())["training"]
    assert training["amplitude_gain_from"] == "validation"
    assert MotionModel.from_pretrained(tmp_path / "r" / "best").amplitude_limit < 100
    assert run(small_dataset, tmp_path / "other", *options, "--stage", "autoencoder") == 2
    assert "--keep-best localisation: the stages trained here are judged by relative_error" in capsys.readouterr().err


def test_only_a_model_that_is_told_the_wind_can_keep_it(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(small_dataset, tmp_path / "r", "--still-below", "0.3") == 2
    assert "--still-below is a share of the wind's strength: give --wind as well" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_a_model_is_told_the_wind_from_the_start_or_after_a_training_without(
    trained: Path, small_dataset: Path, tmp_path: Path
) -> None:
    fresh, further = tmp_path / "fresh", tmp_path / "further"
    options = ("--wind", "--independent", "--max-steps", "2")
    assert run(small_dataset, fresh, *options) == 0
    assert run(small_dataset, fresh, *options) == 0  # the finished run, resumed
    assert (
        run(small_dataset, further, *options, "--stage", "slice", "--init", str(trained), "--cache-latents", "2") == 0
    )
    for folder in (fresh, further):
        model = MotionModel.from_pretrained(folder)
        assert model.config.wind
        assert 0.1 < float(model.usual_strength) < 20
        calm, strong = (model.sample(torch.zeros(1, 3, 32, 64), [0], steps=2, wind=wind) for wind in (0.5, 2.0))
        assert 0 < calm.abs().mean() < strong.abs().mean()
    before = MotionModel.from_pretrained(trained)
    assert torch.equal(model.autoencoder.encode_in.weight, before.autoencoder.encode_in.weight)
    assert not torch.equal(model.autoencoder.latent_std, before.autoencoder.latent_std)
    assert run(small_dataset, trained, "--wind") == 2  # the folder holds a model without
    options = ("--stage", "slice", "--independent", "--max-steps", "2", "--still-below", "0.2", "--even-out", "0.5")
    assert run(small_dataset, tmp_path / "kept", "--init", str(fresh), *options) == 0
    kept = MotionModel.from_pretrained(tmp_path / "kept").config
    assert (kept.still_below, kept.even_out) == (0.2, 0.5)


@pytest.mark.slow
def test_a_student_is_distilled_resumed_and_samples_in_its_own_few_steps(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    teacher, student, half = (tmp_path / name for name in ("teacher", "student", "half"))
    short = ("--max-steps", "2")
    assert run(small_dataset, teacher, "--independent", "--wind", *short) == 0
    told = MotionModel.from_pretrained(teacher)
    told.usual_strength.fill_(1.25)
    told.save_pretrained(teacher)
    distil = ("--stage", "slice", *short, "--student-steps")
    assert run(small_dataset, student, "--distill", str(teacher), *distil, "4") == 0
    assert run(small_dataset, student, "--distill", str(teacher), *distil, "4") == 0  # the finished run, resumed
    assert run(small_dataset, half, "--distill", str(student), *distil, "2") == 0
    config = MotionModel.from_pretrained(half).config
    assert (config.steps, config.sampler, config.guidance, config.wind) == (2, "ddim", 0.0, True)
    model = MotionModel.from_pretrained(student)
    assert model.usual_strength == 1.25  # the teacher's scales are the student's
    calls = []
    model.unet.register_forward_hook(lambda *_: calls.append(1))
    assert model.sample(torch.zeros(1, 3, 32, 64), [0]).isfinite().all()
    assert len(calls) == 4
    on, calm = tmp_path / "on", ("--learning-rate", "1e-9")
    assert run(small_dataset, on, "--distill", str(teacher), "--init", str(student), *distil, "4", *calm) == 0
    started = MotionModel.from_pretrained(on).unet.state_dict()
    for name, tensor in model.unet.state_dict().items():
        torch.testing.assert_close(started[name], tensor, rtol=0, atol=1e-6)
    for wrong in (("--wind",), ("--init", str(tmp_path / "none")), ("--joint",)):
        assert run(small_dataset, tmp_path / "w", "--distill", str(teacher), *distil, "4", *wrong) == 2
    assert run(small_dataset, tmp_path / "w", "--distill", str(teacher), *short) == 2
    assert "give --stage slice" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_variants_of_the_ablation_train_and_say_what_they_are(small_dataset: Path, tmp_path: Path) -> None:
    short = ("--max-steps", "2")
    options = ("--num-frequencies", "3", "--normalization", "size", "--independent")
    assert run(small_dataset, tmp_path / "r", *options, *short) == 0
    model = MotionModel.from_pretrained(tmp_path / "r")
    assert model.config.num_frequencies == 3
    assert model.normalizer.axis_scales == (64.0, 32.0)
    assert not model.frequency_attention
    assert not (tmp_path / "r" / "log_frequency_attention.csv").exists()
    # The joint model takes the autoencoder over, and frequency attention can be added to the independent one.
    base = ("--init", str(tmp_path / "r"), *short)
    assert run(small_dataset, tmp_path / "joint", "--joint", "--stage", "slice", *base) == 0
    joint = MotionModel.from_pretrained(tmp_path / "joint")
    assert joint.config.joint
    assert torch.equal(joint.autoencoder.encode_in.weight, model.autoencoder.encode_in.weight)
    assert joint.sample(torch.zeros(1, 3, 32, 64), [0], steps=2).shape == (1, 3, 4, 32, 64)
    assert run(small_dataset, tmp_path / "full", "--stage", "frequency-attention", *base) == 0
    full = MotionModel.from_pretrained(tmp_path / "full")
    assert full.frequency_attention
    assert torch.equal(full.unet.conv_in.weight, model.unet.conv_in.weight)


def test_a_checkpoint_of_another_kind_is_refused(
    trained: Path, small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for options in (("--num-frequencies", "3"), ("--normalization", "size")):
        assert run(small_dataset, tmp_path / "r", "--init", str(trained), *options) == 2
        assert f"trained with {options[0]}" in capsys.readouterr().err
    assert run(small_dataset, trained, "--joint") == 2
    assert "not joint" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_second_stage_leaves_the_two_dimensional_layers_alone(small_dataset: Path, tmp_path: Path) -> None:
    assert run(small_dataset, tmp_path / "r", "--stage", "autoencoder") == 0
    assert run(small_dataset, tmp_path / "r", "--stage", "slice") == 0
    before = load_file(tmp_path / "r" / "model.safetensors")
    assert run(small_dataset, tmp_path / "r", "--stage", "frequency-attention") == 0
    after = load_file(tmp_path / "r" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(".frequency." in name or name == "amplitude_gain" for name in changed)


@pytest.mark.slow
def test_several_folders_train_together_in_their_shares(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = tmp_path / "other"
    shutil.copytree(small_dataset, other)
    manifest = (other / "manifest.csv").read_text()
    (other / "manifest.csv").write_text(manifest.replace("first", "film").replace("validation", "test"))
    for path in (other / "sequences").glob("first*"):
        path.rename(path.with_name(path.name.replace("first", "film")))
    both = ["--data", str(small_dataset), str(other), "--stage", "slice", "--log", "tensorboard"]
    assert run(small_dataset, tmp_path / "r", *both, "--shares", "0.3,0.7", "--max-steps", "4") == 0
    ready = MotionTraining(asked_for(small_dataset, tmp_path / "r", *both, "--shares", "0.3,0.7"), Processes(CPU))
    samples = [torch.Generator().manual_seed(seed) for seed in range(20)]
    drawn = ready.batches.draw(1, torch.Generator(), samples).ids
    assert {name[:4] for ids in drawn for name in ids.split("+")} == {"firs", "film"}
    training = json.loads((tmp_path / "r" / "config.json").read_text())["training"]
    assert training["data"] == ["dataset", "other"]
    assert training["shares"] == [0.3, 0.7]
    assert training["amplitude_gain_from"] == "validation"
    assert list((tmp_path / "r" / "tensorboard" / "slice").glob("events*"))
    assert run(small_dataset, tmp_path / "r", *both[:3], "--shares", "1") == 2
    assert "--shares: 1 for 2 folders" in capsys.readouterr().err
    statistics = json.loads((other / "stats.json").read_text())
    (other / "stats.json").write_text(json.dumps(statistics | {"num_frames": 64}))
    assert run(small_dataset, tmp_path / "r", *both[:3]) == 2
    assert "its sequences last 2.13 s, those of" in capsys.readouterr().err


@pytest.mark.slow
def test_reference_preset_trains_its_unet_alone_on_a_given_autoencoder(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    vq = VQAutoencoderConfig(block_channels=(8, 8, 16), layers_per_block=1, codes=16, norm_groups=4)
    torch.manual_seed(0)
    vq.build_network().save_pretrained(tmp_path / "vqvae")
    unet = ReferenceUNetConfig(block_channels=(8, 8, 8, 8), layers_per_block=1, head_channels=4, norm_groups=4)
    small = replace(PRESETS["reference"], num_frequencies=4, unet=unet)
    options = ["--preset", "reference", "--vqvae", str(tmp_path / "vqvae"), "--max-steps", "2", "--batch-size", "2"]
    for name, more in (("r", []), ("cached", ["--cache-latents", "2"])):
        assert train_motion(asked_for(small_dataset, tmp_path / name, *options, *more, network=small), CPU)
        model = MotionModel.from_pretrained(tmp_path / name)
        assert model.config.autoencoder.block_channels == (8, 8, 16)
        assert model.sample(torch.zeros(1, 3, 32, 64), [0], steps=2).isfinite().all()
        assert {path.name for path in (tmp_path / name).glob("log_*")} == {"log_slice.csv"}
        stored = load_file(tmp_path / "vqvae" / "diffusion_pytorch_model.safetensors")
        weights = {key: value for key, value in model.state_dict().items() if key.startswith("autoencoder.")}
        assert all(any(torch.equal(value, other) for other in weights.values()) for value in stored.values())
    assert run(small_dataset, tmp_path / "r", *options, "--stage", "autoencoder") == 2
    assert "--stage autoencoder trains the autoencoder, which this preset leaves out" in capsys.readouterr().err
    assert run(small_dataset, tmp_path / "new", *options, "--vqvae", str(tmp_path / "r")) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.slow
def test_paper_preset_trains_its_three_stages(small_dataset: Path, tmp_path: Path) -> None:
    paper = PRESETS["paper"]
    autoencoder = replace(paper.autoencoder, channels=8, blocks=1, head_channels=8)
    unet = replace(paper.unet, channels=8, blocks=1, head_channels=8, condition_channels=8)
    small = replace(paper, num_frequencies=4, autoencoder=autoencoder, unet=unet)
    options = ["--preset", "paper", "--max-steps", "1", "--batch-size", "2", "--gradient-accumulation", "2"]
    assert train_motion(asked_for(small_dataset, tmp_path / "r", *options, network=small), CPU)
    logs = ["log_autoencoder", "log_frequency_attention", "log_slice"]
    assert sorted(path.stem for path in (tmp_path / "r").glob("log_*")) == logs
    model = MotionModel.from_pretrained(tmp_path / "r")
    assert model.frequency_attention
    assert model.sample(torch.zeros(1, 3, 32, 64), [0], steps=2).isfinite().all()


def test_loss_that_is_not_finite_stops_and_names_the_batch(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(small_dataset, tmp_path / "r", "--stage", "slice", "--learning-rate", "1e30") == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1
    assert re.search(r"the loss is (nan|inf) at step 1 of the slice stage on first", error[0])
    assert not (tmp_path / "r" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--init", "nowhere"], "config.json is missing"),
        (["--max-steps", "-1"], "argument --max-steps: '-1' is not a whole number above 0"),
        (["--gradient-accumulation", "3"], "a batch of 2 can't be divided evenly among 1 processes times 3 parts"),
        (["--cache-latents", "0"], "argument --cache-latents: '0' is not"),
        (["--save-every", "-1"], "argument --save-every: '-1' is not a number of 0 or more"),
        (["--validation", "nowhere"], "nowhere/stats.json: no such file"),
        (["--vqvae", "folder"], "--vqvae: this preset trains its own autoencoder"),
        (["--condition-dropout", "2"], "argument --condition-dropout: '2' is not a number from 0 to 1"),
        (["--workers", "1" + "0" * 23], "argument --workers: '1"),
        (["--num-frequencies", "5"], "holds 4 frequencies, a model of 5 can't be trained"),
        (["--num-frequencies", "1"], "between 2 and 4"),
        (["--joint", "--stage", "frequency-attention"], "which a joint model leaves out"),
        (["--independent", "--stage", "frequency-attention"], "which --independent leaves out"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    assert exit_status(train_unet.main, command(small_dataset, tmp_path / "r", *options)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_cached_latents_are_kept_apart_from_datasets_and_files(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "notes").write_text("a file")
    for place, message in ((small_dataset, "is an input of this run"), (tmp_path / "notes", "is a file, not a folder")):
        options = ["--cache-latents", "1", "--latents", str(place)]
        assert exit_status(train_unet.main, command(small_dataset, tmp_path / "r", *options)) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "r").exists()


def test_choices_agree_with_the_models() -> None:
    assert set(train_unet.NORMALIZATIONS) == set(NORMALIZATIONS)
    assert set(train_unet.PRESETS) == set(PRESETS)


def test_the_stages_former_name_is_understood_but_not_shown() -> None:
    parser = train_unet.build_parser()
    given = ["--data", "d", "--output", "o"]
    now = parser.parse_args([*given, "--stage", "frequency-attention", "--frequency-attention-steps", "7"])
    assert now.stage == "frequency_attention"
    assert parser.parse_args([*given, "--stage", "coordinate", "--coordinate-steps", "7"]) == now
    assert "coordinate" not in parser.format_help()
    training = train_unet.training_config(now)
    assert (training.frequency_attention.steps, training.slice.steps) == (7, 6000)


def test_missing_dataset_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(tmp_path / "nothing", tmp_path / "r") == 2
    assert "data.prepare" in capsys.readouterr().err
