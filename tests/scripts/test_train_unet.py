import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.commands import exit_status
from helpers.places import ROOT
from safetensors.torch import load_file, save_file

import train_unet
from models.motion.config import PRESETS, MotionConfig
from models.motion.model import MotionModel
from models.motion.reference_unet import ReferenceUNetConfig
from models.motion.stages import STAGES
from models.motion.vq_autoencoder import VQAutoencoderConfig
from models.rendering.model import has_fast_bfloat16
from models.spectral_volume import NORMALIZATIONS
from training.log import read_csv
from training.motion.run import MotionRun, MotionTraining, train_motion
from training.processes import Processes
from training.saved_state import read_training_state

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TINY = ["--preset", "tiny", "--evaluate-every", "4", "--device", "cpu"]
EXACT = ["--precision", "float32"]


def command(dataset: Path, output: Path, *options: str) -> list[str]:
    return ["--data", str(dataset), "--output", str(output), *TINY, *options]


def run(dataset: Path, output: Path, *options: str) -> int:
    return train_unet.main(command(dataset, output, *options))


def asked_for(dataset: Path, output: Path, *options: str, network: MotionConfig | None = None) -> MotionRun:
    """The run that a command line means, with a smaller network in place of its preset's if one is given."""
    run = train_unet.read_options(train_unet.build_parser().parse_args(command(dataset, output, *options)))
    run = replace(run, training=replace(run.training, sampling_steps=2))
    return run if network is None else replace(run, model=replace(run.model, preset=network))


def stop(dataset: Path, output: Path, *options: str, at: tuple[str, int], number: int = signal.SIGINT) -> None:
    """Run until a signal comes during a step of a stage."""

    def watch(stage: str, step: int) -> None:
        if (stage, step) == at:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        train_motion(asked_for(dataset, output, *options), CPU, watch=watch)


def assert_same_weights(first: Path, second: Path) -> None:
    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def assert_same_folder(first: Path, second: Path) -> None:
    """All files are there, and say the same; only times may differ."""
    names = [{path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} for folder in (first, second)]
    assert names[0] ^ names[1] == set()
    assert_same_weights(first, second)
    states = [folder / "state" / "training.safetensors" for folder in (first, second)]
    assert read_training_state(first) == read_training_state(second)
    one, other = map(load_file, states)
    assert [name for name in one | other if not torch.equal(one[name], other[name])] == []
    for name in names[0] - {path for path in names[0] if path.suffix == ".safetensors"}:
        if name.suffix == ".csv":
            rows = [[row | {"seconds": ""} for row in read_csv(folder / name)] for folder in (first, second)]
            assert rows[0] == rows[1], name
        else:
            assert (first / name).read_bytes() == (second / name).read_bytes(), name


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
    for wrong in (("--wind",), ("--init", str(teacher)), ("--joint",)):
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
def test_stopped_run_is_resumed_to_the_same_folder_in_any_stage(
    trained_exactly: Path, small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "parts"
    stops = [("autoencoder", 1, signal.SIGINT), ("slice", 0, signal.SIGTERM), ("frequency_attention", 3, signal.SIGINT)]
    for stage, step, number in stops:
        stop(small_dataset, output, *EXACT, at=(stage, step), number=number)
        state = read_training_state(output)
        assert state is not None
        assert (state["stage"], state["step"]) == (stage, step + 1)  # the step that was under way is saved
        MotionModel.from_pretrained(output)
    assert run(small_dataset, output, *EXACT) == 0
    said = capsys.readouterr().out
    for stage, step in (("autoencoder", 2), ("slice", 1), ("frequency_attention", 4)):
        assert f"{stage}: resuming at step {step} of 4" in said
    assert_same_folder(trained_exactly, output)
    for stage in STAGES:
        assert [row["step"] for row in read_csv(output / f"log_{stage}.csv")] == ["1", "2", "3", "4"]


@pytest.mark.slow
@pytest.mark.parametrize("before", ["slice", "decoder"])
def test_run_that_ended_between_two_stages_is_resumed_to_the_same_folder(
    trained_exactly: Path, small_dataset: Path, tmp_path: Path, before: str
) -> None:
    def end(stage: str, step: int) -> None:
        if stage == before:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_motion(asked_for(small_dataset, tmp_path / "r", *EXACT), CPU, watch=end)
    assert run(small_dataset, tmp_path / "r", *EXACT) == 0
    assert_same_folder(trained_exactly, tmp_path / "r")


def test_a_finished_run_called_again_finds_the_same(trained_exactly: Path, small_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(trained_exactly, tmp_path / "r")
    assert run(small_dataset, tmp_path / "r", *EXACT) == 0
    assert_same_folder(trained_exactly, tmp_path / "r")
    training = json.loads((tmp_path / "r" / "config.json").read_text())["training"]
    assert training["frequency_attention"] is True
    assert list(training["figures"]) == list(STAGES)
    assert set(training["figures"]["frequency_attention"]) == {"localisation", "amplitude_ratio", "coherence"}


@pytest.mark.slow
def test_runs_of_earlier_versions_are_resumed(small_dataset: Path, tmp_path: Path) -> None:
    """Their stage was called coordinate: in the state, in the checkpoint, in the names of files and in the command."""
    output = tmp_path / "r"
    stop(small_dataset, output, *EXACT, at=("frequency_attention", 1))
    path = output / "state" / "training.safetensors"
    state = read_training_state(output) | {"stage": "coordinate"}
    save_file(load_file(path), path, {"state": json.dumps(state)})
    config = json.loads((output / "config.json").read_text())
    training = {"coordinate": True, "stage": "coordinate", "step": 2, "data": ["dataset"]}
    (output / "config.json").write_text(json.dumps(config | {"training": training}))
    for former, name in (("log_coordinate.csv", "log_frequency_attention.csv"), ("loss_coordinate.png",) * 2):
        (output / name.replace("coordinate", "frequency_attention")).rename(output / former)
    assert run(small_dataset, output, *EXACT, "--stage", "coordinate", "--coordinate-steps", "4") == 0
    assert [row["step"] for row in read_csv(output / "log_frequency_attention.csv")] == ["1", "2", "3", "4"]
    assert not list(output.rglob("*coordinate*"))
    stop(small_dataset, tmp_path / "now", *EXACT, at=("decoder", 0))
    one, other = (load_file(folder / "model.safetensors") for folder in (output, tmp_path / "now"))
    attention = {name for name in one if ".frequency." in name}
    assert attention
    assert all(torch.equal(one[name], other[name]) for name in attention)


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
import torch, train_unet, training.motion.run, diffusers
from models.motion.model import MotionModel
from training.saved_state import read_training_state
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


@pytest.mark.slow
def test_killed_at_any_moment_leaves_a_checkpoint_that_loads(
    small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
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
    stop(small_dataset, tmp_path / "r", *options, at=("autoencoder", steps[-1]))
    assert f"resuming at step {steps[-1]}" in capsys.readouterr().out
    rows = read_csv(tmp_path / "r" / "log_autoencoder.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, steps[-1] + 2))


# Runs train_unet.py in a child that is killed right before it renames its n-th file, then again without a kill.
RENAMES = """
import os, signal, sys
import torch, train_unet, training.motion.run, diffusers, matplotlib.figure, data.media.images
torch.set_num_threads(1)
output, *numbers = sys.argv[1].split(",")
for number in numbers:
    child = os.fork()
    if not child:
        left, replace = int(number), os.replace
        def count(*paths):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*paths)
        os.replace = count
        os._exit(train_unet.main([*sys.argv[2:], "--output", output + number]))
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    child = os.fork()
    if not child:
        os._exit(train_unet.main([*sys.argv[2:], "--output", output + number]))
    print("rerun", killed, os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.slow
def test_killed_between_any_two_files_ends_with_the_folder_of_an_undisturbed_run(
    small_dataset: Path, tmp_path: Path
) -> None:
    """The figures of ended stages and the flag of frequency attention are in the configuration as well."""
    short = ["--max-steps", "1", *EXACT]
    assert run(small_dataset, tmp_path / "whole", *short) == 0
    # Each stage renames its log, picture, state, weights, configuration and plot, then weights and configuration again.
    numbers = ["4", "8", "13", "22", "29", "34"]
    listed = ",".join([str(tmp_path / "killed"), *numbers])
    code = [sys.executable, "-c", RENAMES, listed, *command(small_dataset, tmp_path / "unused", *short)]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert [line for line in done.stdout.splitlines() if line.startswith("rerun")] == ["rerun True 0"] * len(numbers), (
        done.stderr[-2000:]
    )
    for number in numbers:
        assert_same_folder(tmp_path / "whole", tmp_path / f"killed{number}")


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
    for stage in STAGES:
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
def test_latents_are_cached_for_the_stages_that_train_on_them(
    trained_exactly: Path, small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--init", str(trained_exactly), "--max-steps", "2", "--cache-latents", "3"]
    assert run(small_dataset, tmp_path / "r", "--stage", "slice", *options) == 0
    (cache,) = (tmp_path / "r" / "latents").iterdir()
    written = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")}
    with monkeypatch.context() as patch:
        patch.setattr(MotionModel, "encode_volume", None)  # the stage finds everything in the cache
        assert run(small_dataset, tmp_path / "r", "--stage", "frequency-attention", *options) == 0
    assert {path.name: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")} == written
    assert run(small_dataset, tmp_path / "r", "--stage", "autoencoder", *options) == 0
    assert run(small_dataset, tmp_path / "r", "--stage", "slice", *options) == 0
    assert not cache.exists()  # it was of another autoencoder


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
