"""Trainings that are stopped, killed, divided among processes or called again end as if nothing had happened."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.motion_training import (
    CPU,
    EXACT,
    asked_for,
    assert_same_folder,
    command,
    run,
    stop,
)
from helpers.places import ROOT
from safetensors.torch import load_file, save_file

from models.motion.model import MotionModel
from models.motion.stages import STAGES
from training.log import read_csv
from training.motion.run import train_motion
from training.saved_state import read_training_state
from training.task import STEP_TIMES

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained_exactly(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All stages in one go, in float32."""
    output = tmp_path_factory.mktemp("runs") / "exact"
    assert run(small_dataset, output, *EXACT) == 0
    return output


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


@pytest.mark.slow
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
            for column in set(expected) - {*STEP_TIMES}:
                values = [float(row[column] or "nan") for row in (expected, *others)]
                assert values[1:] == pytest.approx([values[0]] * 2, rel=2e-3, abs=1e-4, nan_ok=True), (stage, column)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=2e-4, rtol=2e-3)


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
