"""train_frame_synthesis.py at the tiny preset: it learns, resumes to the last bit, and says what is wrong."""

import csv
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.commands import exit_status
from helpers.motion_training import untimed
from safetensors.torch import load_file, save_file

import train_frame_synthesis as script
from common import checkpoint
from data.media.read_video import scan_video
from models.rendering.config import PRESETS
from models.rendering.model import FrameSynthesisModel
from training.best import read_best
from training.log import read_csv
from training.presets import RendererConfig
from training.renderer.run import complete, keeps_in_memory, train_renderer, training_batches
from training.saved_state import read_training_state

WIDTH, HEIGHT, NUM_FRAMES = 64, 48, 12


pytestmark = pytest.mark.usefixtures("one_thread", "no_weights")


@pytest.fixture(scope="module")
def no_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No VGG16 and no LPIPS, whatever this machine has in its caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("TORCH_HOME", raising=False)
        yield


def write_sequence(path: Path, seed: int) -> None:
    """A pattern that sways: known flow, and frames that show the pattern where the flow takes it."""
    generator = torch.Generator().manual_seed(seed)
    frequencies = 0.2 + 0.5 * torch.rand(3, 2, generator=generator)
    y, x = torch.meshgrid(torch.arange(HEIGHT).float(), torch.arange(WIDTH).float(), indexing="ij")

    def photo(shift_x: float) -> torch.Tensor:
        waves = torch.stack([torch.sin(a * (x - shift_x)) * torch.cos(b * y) for a, b in frequencies])
        return ((waves + 1) * 127.5).round().byte()

    amplitude = 3.0
    shifts = [amplitude * float(torch.sin(torch.tensor(2 * torch.pi * t / NUM_FRAMES))) for t in range(NUM_FRAMES)]
    chosen = [1, 2, 5]
    flows = torch.zeros(len(chosen), 2, HEIGHT, WIDTH)
    for row, t in enumerate(chosen):
        flows[row, 0] = shifts[t]
    volume = torch.zeros(4, 4, HEIGHT, WIDTH)
    volume[1, 2] = -amplitude / 2  # amplitude * sin as an rfft coefficient over T
    save_file(
        {
            "first_frame": photo(0.0),
            "frames": torch.stack([photo(shifts[t]) for t in chosen]),
            "flows": flows.half(),
            "frame_indices": torch.tensor(chosen, dtype=torch.int32),
            "spectral_volume": volume.half(),
        },
        path,
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of three sequences, written by hand."""
    return write_dataset(tmp_path_factory.mktemp("dataset"), ("train", "train", "validation"))


def write_dataset(folder: Path, splits: tuple[str, ...]) -> Path:
    (folder / "sequences").mkdir()
    columns = "id source source_sha256 start fps num_frames width height stored_frames split status mean_magnitude"
    columns += " median_magnitude p95_magnitude rms_amplitude moving_fraction"
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns.split())
        writer.writeheader()
        for number, split in enumerate(splits):
            write_sequence(folder / "sequences" / f"s{number}.safetensors", number)
            row = {"id": f"s{number}", "source": f"{number}.mp4", "start": 0, "fps": 30, "num_frames": NUM_FRAMES}
            row |= {"width": WIDTH, "height": HEIGHT, "stored_frames": 3, "split": split, "status": "kept"}
            writer.writerow(row)
    (folder / "stats.json").write_text(json.dumps({"format_version": 1, "size": [WIDTH, HEIGHT]}))
    return folder


def options(dataset: Path, output: Path, *more: str) -> list[str]:
    small = ["--preset", "tiny", "--crop", "32x32", "--batch-size", "2", "--device", "cpu", "--warmup", "2"]
    return ["--data", str(dataset), "--output", str(output), *small, *more]


def asked_for(command: list[str]):
    """The run that a command line means."""
    return script.read_options(script.build_parser().parse_args(command))


@pytest.fixture(scope="module")
def finished(one_thread: None, no_weights: None, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 steps."""
    output = tmp_path_factory.mktemp("run")
    report = str(output / "report.json")
    assert script.main(options(dataset, output, "--max-steps", "4", "--evaluate-every", "2", "--report", report)) == 0
    return output


def test_a_run_leaves_checkpoint_log_plot_picture_and_report(finished: Path) -> None:
    model = FrameSynthesisModel.from_pretrained(finished)
    assert model.config.channels == (8, 12, 16)
    rows = read_csv(finished / "log.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row["loss"]) > 0 for row in rows)
    validated = [row for row in rows if row["psnr_model"]]
    assert [row["step"] for row in validated] == ["2", "4"]
    others = {"psnr_softmax-splatting", "psnr_average-splatting", "psnr_remap"}
    assert others <= validated[0].keys()
    assert 0 < float(validated[0]["ssim_model"]) <= 1
    assert not validated[0]["lpips_model"]  # for want of its weights
    for name in ("loss.png", "samples/step_000002.png", "samples/step_000004.png"):
        assert (finished / name).read_bytes().startswith(b"\x89PNG")
    for name in ("samples/step_000002.mp4", "samples/step_000004.mp4"):
        video = scan_video(finished / name)
        # The stored frames of the validation sequence: original, model, average splatting, remapping.
        assert (video.num_frames, video.width) == (3, 4 * WIDTH)
    report = json.loads((finished / "report.json").read_text())
    assert report["loss"].startswith("L1 + gradients + SSIM")
    assert report["validation"]["model"]["psnr"] == pytest.approx(float(validated[-1]["psnr_model"]), rel=1e-4)
    assert not list(finished.rglob("*partial*"))


def test_an_interrupted_run_resumes_to_the_last_bit(
    dataset: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = options(dataset, tmp_path, "--max-steps", "4", "--evaluate-every", "2")

    def watch(name: str, step: int) -> None:
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_renderer(asked_for(command), torch.device("cpu"), watch=watch)
    assert read_training_state(tmp_path)["step"] == 2
    assert script.main(command) == 0
    assert "resuming at step 2 of 4" in capsys.readouterr().out
    for name in ("model.safetensors", "state/training.safetensors"):
        resumed, straight = load_file(tmp_path / name), load_file(finished / name)
        assert resumed.keys() == straight.keys()
        assert all(torch.equal(resumed[key], straight[key]) for key in straight)
    assert (tmp_path / "config.json").read_text() == (finished / "config.json").read_text()
    rows = untimed(tmp_path / "log.csv")
    assert rows == untimed(finished / "log.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]


def test_the_checkpoint_says_all_that_shaped_it(finished: Path) -> None:
    training = json.loads((finished / "config.json").read_text())["training"]
    assert training["step"] == training["steps"] == 4
    assert training["loss"].startswith("L1 + gradients + SSIM")
    assert (training["batch_size"], training["crop"], training["warmup"], training["seed"]) == (2, [32, 32], 2, 0)
    assert training["identity"] == 0  # what the kind of model needs, where the command doesn't say
    assert training["versions"]["torch"]
    asked = vars(script.build_parser().parse_args(options(Path("d"), Path("r"))))
    elsewhere = {"output", "preset", "device", "report", "vgg_weights", "weights", "log", "save_every"}  # or no matter
    renamed = {"max_steps": "steps", "gradient_accumulation": "accumulation"}
    missing = {name for name in asked if renamed.get(name, name) not in training} - elsewhere
    assert missing == {"evaluate_every", "keep_best"}  # they choose what is kept beside, not what the weights are


@pytest.mark.slow
@pytest.mark.parametrize("temporal", ["0", "0.5"])
def test_divided_batches_train_as_whole_ones_do(dataset: Path, tmp_path: Path, temporal: str) -> None:
    common = ["--max-steps", "2", "--batch-size", "4", "--temporal", temporal, "--flow-noise", "0.1"]
    for name, parts in (("whole", "1"), ("divided", "2")):
        more = ["--gradient-accumulation", parts, "--evaluate-every", "2", "--log", "tensorboard"]
        assert script.main(options(dataset, tmp_path / name, *common, *more)) == 0
    whole, divided = (read_csv(tmp_path / name / "log.csv") for name in ("whole", "divided"))
    for one, other in zip(whole, divided, strict=True):
        assert float(other["l1"]) == pytest.approx(float(one["l1"]), rel=1e-3)
        assert float(other["perceptual"]) == pytest.approx(float(one["perceptual"]), rel=1e-3)
    assert list((tmp_path / "whole" / "tensorboard" / "renderer").glob("events*"))


def test_the_tiny_preset_is_a_try_of_seconds(dataset: Path, tmp_path: Path) -> None:
    command = ["--data", str(dataset), "--output", str(tmp_path), "--preset", "tiny"]
    assert script.main([*command, "--device", "cpu"]) == 0
    assert len(read_csv(tmp_path / "log.csv")) == 8
    changed = asked_for([*command, "--max-steps", "3", "--crop", "48x32"]).training
    assert (changed.steps, changed.crop, changed.batch_size) == (3, (48, 32), 2)
    assert asked_for(command[:4]).training == RendererConfig()


@pytest.mark.slow
def test_it_learns(dataset: Path, tmp_path: Path) -> None:
    command = options(dataset, tmp_path, "--max-steps", "40", "--learning-rate", "5e-3", "--evaluate-every", "40")
    assert script.main(command) == 0
    row = read_csv(tmp_path / "log.csv")[-1]
    assert float(row["psnr_model"]) > float(row["psnr_softmax-splatting"]) + 0.5


def test_init_starts_from_another_run(dataset: Path, finished: Path, tmp_path: Path) -> None:
    command = options(dataset, tmp_path, "--max-steps", "1", "--learning-rate", "2e-12", "--init", str(finished))
    assert script.main(command) == 0
    started, given = load_file(tmp_path / "model.safetensors"), load_file(finished / "model.safetensors")
    assert all(torch.allclose(started[name], given[name], atol=1e-6) for name in given)


@pytest.mark.slow
def test_film_and_layered_photos_train_together_with_temporal_consistency(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "layered").mkdir()
    layered = write_dataset(tmp_path / "layered", ("train",))
    more = ["--temporal", "0.5", "--shares", "1,1", "--keep-best", "psnr", "--flow-noise", "0.1", "--identity", "0.1"]
    both = ["--data", str(layered), str(dataset)]
    report = str(tmp_path / "report.json")
    command = options(dataset, tmp_path / "run", *more, *both, "--evaluate-every", "2", "--report", report)
    assert script.main([*command, "--max-steps", "4"]) == 0
    rows = read_csv(tmp_path / "run" / "log.csv")
    assert any(float(row["temporal"]) > 0 for row in rows)  # it is 0 where all that is drawn stands still
    best = json.loads((tmp_path / "run" / "best" / "config.json").read_text())["training"]["best"]
    scores = {int(row["step"]): float(row["psnr_model"]) for row in rows if row["psnr_model"]}
    assert best["step"] == max(scores, key=lambda step: scores[step])
    assert best["score"] == pytest.approx(max(scores.values()), rel=1e-4)
    result = json.loads((tmp_path / "report.json").read_text())
    assert result["best"] == best
    assert result["train_pairs"] == [3, 6]
    assert result["validation_frames"] == 3
    assert FrameSynthesisModel.from_pretrained(tmp_path / "run" / "best").config.channels == (8, 12, 16)
    assert capsys.readouterr().err.count("WARNING: training with L1 + gradients + SSIM") == 1


def test_a_best_checkpoint_of_the_time_to_come_is_not_believed(tmp_path: Path) -> None:
    best = {"metric": "psnr", "score": 30.0, "step": 10}
    FrameSynthesisModel(PRESETS["tiny"]).save_pretrained(tmp_path / "best", {"best": best})
    assert read_best(tmp_path, metric="psnr", step=10, identity={}) == best
    assert read_best(tmp_path, metric="psnr", step=9, identity={}) is None
    assert read_best(tmp_path, metric="lpips", step=10, identity={}) is None
    assert read_best(tmp_path, metric="psnr", step=10, identity={"stage": "slice"}) is None
    assert read_best(tmp_path / "elsewhere", metric="psnr", step=10, identity={}) is None


def test_models_that_paint_frames_see_pairs_without_motion(dataset: Path) -> None:
    plain = asked_for(options(dataset, Path("run"))).training
    assert complete(plain, PRESETS["reference"]).identity == 0.05
    assert complete(plain, PRESETS["default"]).identity == 0
    asked = asked_for(options(dataset, Path("run"), "--identity", "0.2"))
    config = complete(asked.training, PRESETS["default"])
    assert training_batches(asked.data, config).augmentation.identity == 0.2


def test_large_datasets_are_not_kept_in_memory(dataset: Path) -> None:
    asked = asked_for(options(dataset, Path("run")))
    needed = 7 * 6 * WIDTH * HEIGHT  # two sequences of three stored frames
    assert keeps_in_memory(asked.data, limit=needed)
    assert not keeps_in_memory(asked.data, limit=needed - 1)


def test_a_loss_that_is_not_finite_stops_with_the_pairs(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    more = ["--max-steps", "3", "--learning-rate", "1e30", "--warmup", "0"]
    assert script.main(options(dataset, tmp_path, *more)) == 1
    assert re.search(r"error: the loss is (nan|inf) at step 1 of the renderer on s\d:", capsys.readouterr().err)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data", "nowhere"], "nowhere/manifest.csv: no such file"),
        (["--max-steps", "0"], "argument --max-steps: '0' is not a whole number above 0"),
        (["--temporal", "-1"], "argument --temporal: '-1' is not a number of 0 or more"),
        (["--temporal", "1", "--batch-size", "3"], "--batch-size 3: must be even with --temporal"),
        (["--shares", "0.5,0.5"], "--shares: 2 for 1 folders of --data"),
        (["--keep-best", "lpips"], "--keep-best lpips: no LPIPS AlexNet weights"),
        (["--learning-rate", "nan"], "--learning-rate: 'nan' is not a number above"),
        (["--save-every", "nan"], "--save-every: 'nan'"),
        (["--shares", "1e-320"], "--shares: '1e-320' is not a number from 1e-06"),
        (["--crop", "1x1"], "--crop: '1x1' is too small"),
        (["--crop", "\u00b2x\u00b2"], "is not WIDTHxHEIGHT"),
        (["--max-steps=--"], "argument --max-steps: '--' is not a value"),
        (["--batch-size", "1" + "0" * 30], "--batch-size: '1"),
        (["--crop", "32x16"], "--crop 32x16: sides of 32 at least are needed"),
        (["--crop", "640x32"], "a crop of 640x32 is larger than the frames, 64x48"),
        (["--vgg-weights", "vgg.safetensors"], "vgg.safetensors: no such file"),
        (["--init", "nowhere"], "nowhere: no checkpoint there"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    dataset: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert exit_status(script.main, [*options(dataset, tmp_path), *more]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1
    assert message in error[0]


def test_checkpoints_that_do_not_fit_are_refused(
    dataset: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = tmp_path / "other"
    checkpoint.save_checkpoint(other, "motion", model_config={}, tensors={}, training={})
    assert script.main(options(dataset, tmp_path / "a", "--init", str(other))) == 2
    assert "kind 'motion' where one of kind 'frame_synthesis' is needed" in capsys.readouterr().err
    assert script.main(options(dataset, tmp_path / "a", "--init", str(finished), "--preset", "default")) == 2
    assert "not of the preset 'default'" in capsys.readouterr().err
    FrameSynthesisModel.from_pretrained(finished).save_pretrained(tmp_path / "bare")
    assert script.main(options(dataset, tmp_path / "bare")) == 2
    assert "without training state" in capsys.readouterr().err
