import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.places import ROOT
from safetensors.torch import load_file

import train_unet
from models.motion.model import MotionModel
from training.log import read_csv
from training.loop import StageTraining
from training.state import read_training_state

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ["--preset", "tiny", "--evaluate-every", "4"]
EXACT = ["--precision", "float32"]


def command(dataset: Path, output: Path, *options: str) -> list[str]:
    return ["--data", str(dataset), "--output", str(output), *TINY, *options]


def run(dataset: Path, output: Path, *options: str) -> int:
    return train_unet.main(command(dataset, output, *options))


def assert_same_weights(first: Path, second: Path) -> None:
    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Send this process a signal during a step of a stage, as often as it is called for."""
    original = StageTraining.take_step
    at: list[tuple[str, int, int]] = []

    def take_step(self, step: int, *rest):
        for stage, when, number in at:
            if (self.stage, step) == (stage, when):
                at.clear()
                os.kill(os.getpid(), number)
                break
        return original(self, step, *rest)

    monkeypatch.setattr(StageTraining, "take_step", take_step)
    return lambda stage, step, number=signal.SIGINT: at.append((stage, step, number))


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


def test_stopped_run_goes_on_to_the_same_weights_in_any_stage(
    trained_exactly: Path, small_dataset: Path, tmp_path: Path, interrupt: Callable, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "parts"
    stops = [("autoencoder", 1, signal.SIGINT), ("slice", 0, signal.SIGTERM), ("coordinate", 3, signal.SIGINT)]
    for stage, step, number in stops:
        interrupt(stage, step, number)
        assert run(small_dataset, output, *EXACT) == 130
        state = read_training_state(output)
        assert state is not None
        assert (state["stage"], state["step"]) == (stage, step + 1)  # the step that was under way is saved
        MotionModel.from_pretrained(output)
    assert run(small_dataset, output, *EXACT) == 0
    said = capsys.readouterr().out
    for stage, step in (("autoencoder", 2), ("slice", 1), ("coordinate", 4)):
        assert f"{stage}: resuming at step {step} of 4" in said
    assert_same_weights(trained_exactly, output)
    for stage in train_unet.STAGES:
        assert [row["step"] for row in read_csv(output / f"log_{stage}.csv")] == ["1", "2", "3", "4"]


def test_run_that_ended_between_two_stages_goes_on_to_the_same_weights(
    trained_exactly: Path, small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = StageTraining.__init__

    def stop_before_slice(self, model, stage, *rest):
        if stage == "slice":
            raise KeyboardInterrupt
        started(self, model, stage, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(StageTraining, "__init__", stop_before_slice)
        assert run(small_dataset, tmp_path / "r", *EXACT) == 130
    assert run(small_dataset, tmp_path / "r", *EXACT) == 0
    assert_same_weights(trained_exactly, tmp_path / "r")


@pytest.fixture(scope="module")
def trained_exactly(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All stages in one go, in float32."""
    output = tmp_path_factory.mktemp("runs") / "exact"
    assert run(small_dataset, output, *EXACT) == 0
    return output


# Runs train_unet.py in a child that is killed after each of the given times (counted from its first save), and lists
# what its folder held then. One process imports everything; its children start at once.
KILLER = """
import os, signal, sys, time
from pathlib import Path
import torch, train_unet, training.loop, training.start, training.motion_validation, diffusers
from models.motion.model import MotionModel
from common.checkpoint import read_training_state
torch.set_num_threads(1)
output, *times = sys.argv[1].split(",")
state = Path(output) / "state" / "training.safetensors"
for seconds in times:
    before = state.stat().st_mtime_ns if state.exists() else None
    child = os.fork()
    if not child:
        os._exit(train_unet.main(sys.argv[2:]))
    deadline = time.monotonic() + 60
    while not state.exists() or state.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline and os.waitpid(child, os.WNOHANG) == (0, 0), "it ended by itself"
        time.sleep(0.001)
    time.sleep(float(seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    there = (Path(output) / "config.json").exists() and MotionModel.from_pretrained(output)
    print("loaded" if there else "none yet", read_training_state(output)["step"], flush=True)
"""


def test_killed_at_any_moment_leaves_a_checkpoint_that_loads(
    small_dataset: Path, tmp_path: Path, interrupt: Callable, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    times = ",".join(f"{seconds:.4f}" for seconds in (torch.rand(6) * 0.15).tolist())
    options = ["--stage", "autoencoder", "--max-steps", "100000", "--save-every", "0", *EXACT]
    code = [
        sys.executable,
        "-c",
        KILLER,
        f"{tmp_path / 'r'},{times}",
        *command(small_dataset, tmp_path / "r", *options),
    ]
    killed = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert killed.returncode == 0, killed.stderr[-2000:]
    outcomes = [line.rsplit(" ", 1) for line in killed.stdout.splitlines() if line.startswith(("loaded", "none yet"))]
    assert len(outcomes) == 6
    assert [outcome for outcome, _ in outcomes[1:]] == ["loaded"] * 5
    steps = [int(step) for _, step in outcomes]
    assert steps == sorted(set(steps)), "a run that was killed goes on from its last save"
    interrupt("autoencoder", steps[-1])
    assert run(small_dataset, tmp_path / "r", *options) == 130
    assert f"resuming at step {steps[-1]}" in capsys.readouterr().out
    rows = read_csv(tmp_path / "r" / "log_autoencoder.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, steps[-1] + 2))


@pytest.mark.slow
def test_two_processes_and_divided_batches_train_as_one_process_does(small_dataset: Path, tmp_path: Path) -> None:
    common = ["--max-steps", "3", "--batch-size", "4", *EXACT]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in ("0", "1"):
        launched = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        code = [sys.executable, "train_unet.py", *command(small_dataset, tmp_path / "two", *common, "--device", "cpu")]
        started.append(
            subprocess.Popen(
                code, cwd=ROOT, env={**os.environ, **launched, **address}, stderr=subprocess.PIPE, text=True
            )
        )
    assert run(small_dataset, tmp_path / "one", *common) == 0
    assert run(small_dataset, tmp_path / "divided", *common, "--gradient-accumulation", "2") == 0
    errors = [process.communicate(timeout=300)[1][-2000:] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    for stage in train_unet.STAGES:
        one, two, divided = (read_csv(tmp_path / name / f"log_{stage}.csv") for name in ("one", "two", "divided"))
        assert len(one) == len(two) == len(divided) == 3
        for expected, *others in zip(one, two, divided, strict=True):
            for column in set(expected) - {"seconds"}:
                values = [float(row[column] or "nan") for row in (expected, *others)]
                assert values[1:] == pytest.approx([values[0]] * 2, rel=2e-3, abs=1e-4, nan_ok=True), (stage, column)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=2e-4, rtol=2e-3)


def test_several_folders_train_together_in_their_shares(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    other = tmp_path / "other"
    shutil.copytree(small_dataset, other)
    manifest = (other / "manifest.csv").read_text()
    (other / "manifest.csv").write_text(manifest.replace("first", "film").replace("validation", "test"))
    for path in (other / "sequences").glob("first*"):
        path.rename(path.with_name(path.name.replace("first", "film")))
    seen: list[str] = []
    original = StageTraining.take_step

    def take_step(self, step, parts, *rest):
        seen.extend(name for batch, _ in parts for ids in batch.ids for name in ids.split("+"))
        return original(self, step, parts, *rest)

    monkeypatch.setattr(StageTraining, "take_step", take_step)
    both = ["--data", str(small_dataset), str(other), "--stage", "slice", "--log", "tensorboard"]
    assert run(small_dataset, tmp_path / "r", *both, "--shares", "0.3,0.7", "--max-steps", "4") == 0
    assert {name[:4] for name in seen} == {"firs", "film"}
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


def test_latents_are_cached_for_the_stages_that_train_on_them(
    trained_exactly: Path, small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--init", str(trained_exactly), "--max-steps", "2", "--cache-latents", "3"]
    assert run(small_dataset, tmp_path / "r", "--stage", "slice", *options) == 0
    (cache,) = (tmp_path / "r" / "latents").iterdir()
    written = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")}
    with monkeypatch.context() as patch:
        patch.setattr(MotionModel, "encode_volume", None)  # the coordinate stage finds everything in the cache
        assert run(small_dataset, tmp_path / "r", "--stage", "coordinate", *options) == 0
    assert {path.name: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")} == written
    assert run(small_dataset, tmp_path / "r", "--stage", "autoencoder", *options) == 0
    assert run(small_dataset, tmp_path / "r", "--stage", "slice", *options) == 0
    assert not cache.exists()  # it was of another autoencoder


def test_reference_preset_trains_its_unet_alone_on_a_given_autoencoder(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from models.motion.reference_unet import ReferenceUNetConfig
    from models.motion.vq_autoencoder import VQAutoencoderConfig
    from training import start as motion_start

    vq = VQAutoencoderConfig(block_channels=(8, 8, 16), layers_per_block=1, codes=16, norm_groups=4)
    torch.manual_seed(0)
    vq.build().save_pretrained(tmp_path / "vqvae")
    unet = ReferenceUNetConfig(block_channels=(8, 8, 8, 8), layers_per_block=1, head_channels=4, norm_groups=4)
    small = replace(motion_start.PRESETS["reference"], num_frequencies=4, unet=unet)
    monkeypatch.setitem(motion_start.PRESETS, "reference", small)
    options = ["--preset", "reference", "--vqvae", str(tmp_path / "vqvae"), "--max-steps", "2", "--batch-size", "2"]
    for name, more in (("r", []), ("cached", ["--cache-latents", "2"])):
        assert run(small_dataset, tmp_path / name, *options, *more) == 0
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


def test_paper_preset_trains_its_three_stages(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import start as motion_start

    paper = motion_start.PRESETS["paper"]
    autoencoder = replace(paper.autoencoder, channels=8, blocks=1, head_channels=8)
    unet = replace(paper.unet, channels=8, blocks=1, head_channels=8, condition_channels=8)
    monkeypatch.setitem(
        motion_start.PRESETS, "paper", replace(paper, num_frequencies=4, autoencoder=autoencoder, unet=unet)
    )
    options = ["--preset", "paper", "--max-steps", "1", "--batch-size", "2", "--gradient-accumulation", "2"]
    assert run(small_dataset, tmp_path / "r", *options) == 0
    assert sorted(path.stem for path in (tmp_path / "r").glob("log_*")) == [
        "log_autoencoder",
        "log_coordinate",
        "log_slice",
    ]
    model = MotionModel.from_pretrained(tmp_path / "r")
    assert model.coordinate
    assert model.sample(torch.zeros(1, 3, 32, 64), [0], steps=2).isfinite().all()


def test_loss_or_gradient_that_is_not_finite_stops_and_names_the_batch(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from training import losses as motion_losses

    original = motion_losses.diffusion_loss
    monkeypatch.setattr(motion_losses, "diffusion_loss", lambda *args: original(*args) * float("nan"))
    assert run(small_dataset, tmp_path / "r", "--stage", "slice") == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1
    assert "the loss is nan at step 0 of the slice stage on first" in error[0]
    # The square root's gradient at 0 is infinite, and times 0 not a number; the loss itself is finite.
    monkeypatch.setattr(motion_losses, "diffusion_loss", lambda *args: original(*args) + (0 * original(*args)).sqrt())
    assert run(small_dataset, tmp_path / "r", "--stage", "slice") == 1
    assert "a gradient is not finite at step 0 of the slice stage on first" in capsys.readouterr().err
    assert not (tmp_path / "r" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--init", "nowhere"], "config.json is missing"),
        (["--max-steps", "-1"], "--max-steps -1: must be positive"),
        (["--gradient-accumulation", "3"], "a batch of 2 can't be divided evenly among 1 processes times 3 parts"),
        (["--cache-latents", "0"], "--cache-latents 0: must be positive"),
        (["--save-every", "-1"], "--save-every -1.0: must not be negative"),
        (["--validation", "nowhere"], "nowhere/stats.json: no such file"),
        (["--vqvae", "folder"], "--vqvae: the preset tiny trains its own autoencoder"),
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
    from models import spectral_volume
    from models.motion import model as motion_diffusion
    from training import motion as motion_training

    assert train_unet.STAGES == motion_diffusion.STAGES
    assert set(train_unet.NORMALIZATIONS) == set(spectral_volume.NORMALIZATIONS)
    assert set(train_unet.PRESETS) == set(motion_diffusion.PRESETS) == set(motion_training.TRAINING_PRESETS)


def test_missing_dataset_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(tmp_path / "nothing", tmp_path / "r") == 2
    assert "data.prepare" in capsys.readouterr().err
