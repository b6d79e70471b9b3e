"""`benchmarks/gpu.sh` from its beginning to its end on the processor, without what GPU machines lack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import run
from benchmarks.gpu.pieces import LARGEST, find_pieces, join_pieces
from benchmarks.gpu.results import LINES, REPORT, read_lines
from models.motion.model import MotionModel

ROOT = Path(run.__file__).parents[2]
MOST_FILES = 8  # that a machine which is lent for minutes may give back


def rehearse(folder: Path, *options: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHON": sys.executable, "DATASET": ""}
    command = [str(ROOT / "benchmarks" / "gpu.sh"), str(folder), "--rehearse", *options]
    return subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_the_rehearsal_runs_to_its_end_and_every_file_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = rehearse(out, "--without", "lacking")
    log = (out / run.LOG).read_text()
    assert result.returncode == 0, result.stdout + result.stderr + log
    lines = read_lines(out)
    states = {line["part"]: line["outcome"] for line in lines if line["kind"] == "state"}
    assert states == {part.module.replace("_", " "): "done" for part in run.PARTS}
    figures = {line["part"] for line in lines if line["kind"] == "figure"}
    assert figures == set(states)
    assert "numba" not in {line["what"] for line in lines if line["kind"] == "figure" and line["value"] is None}
    report = (out / REPORT).read_text()
    assert all(f"## {part}\n" in report for part in states)
    assert all(line["what"].replace("|", "/") in report for line in lines if line["kind"] == "figure")
    files = list(out.iterdir())
    assert all(path.is_file() and path.stat().st_size <= LARGEST for path in files)
    assert len(files) <= MOST_FILES
    assert find_pieces(out / "motion")
    join_pieces(out / "motion", tmp_path / "checkpoint")
    assert MotionModel.from_pretrained(tmp_path / "checkpoint").frequency_attention  # its last stage was the second


@pytest.mark.slow
def test_a_part_that_fails_leaves_its_traceback_and_the_rest_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    # In the place of what two parts are started with: one that fails, and one that does not end.
    (broken / "failing.py").write_text("def deep():\n    raise KeyError('the reason')\ndeep()\n")
    (broken / "endless.py").write_text("import time\nprint('so far', flush=True)\ntime.sleep(60)\n")
    scripts = {"gpu_tests": broken / "failing.py", "flow_rates": broken / "endless.py"}
    monkeypatch.setattr(run, "command", lambda part, arguments, limit: [sys.executable, str(scripts[part.module])])
    monkeypatch.setattr(run, "PARTS", (run.Part("gpu_tests", 60), run.Part("flow_rates", 6, "rates")))
    assert run.main([str(tmp_path / "out"), "--minutes", "2"]) == 1
    states = {line["part"]: line for line in read_lines(tmp_path / "out") if line["kind"] == "state"}
    assert states["gpu tests"]["outcome"] == "failed"
    assert "KeyError: 'the reason'" in states["gpu tests"]["detail"]
    assert "in deep" in (tmp_path / "out" / REPORT).read_text()
    assert states["flow rates"]["outcome"] == "stopped"
    assert states["flow rates"]["detail"] == "so far"
    assert "failed, stopped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "0"], "--minutes 0: must be positive"),
        (["--only", "wishes"], "--only wishes: no such part; there are gpu_tests"),
        (["--dataset", "nowhere.pack"], "nowhere.pack: no such file; make it with python -m benchmarks.pack"),
    ],
)
def test_bad_options_are_one_line(tmp_path: Path, capsys, options: list[str], message: str) -> None:
    assert run.main([str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_training_is_left_out_without_a_dataset_and_no_part_begins_without_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(run, "PARTS", (run.Part("flow_rates", 1, "rates"), run.Part("training", 100)))
    assert run.main([str(tmp_path)]) == 0
    details = [line["detail"] for line in read_lines(tmp_path) if line["kind"] == "state"]
    assert details == ["no time is left", "no --dataset FILE.pack to train on"]


def test_an_earlier_run_is_replaced(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / LINES).write_text("not JSON\n")
    (tmp_path / "motion.zip.1of1").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(run, "PARTS", ())
    assert run.main([str(tmp_path)]) == 0
    assert {line["kind"] for line in read_lines(tmp_path)} == {"facts"}
    assert not find_pieces(tmp_path / "motion")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_environment_says_what_is_there_and_what_is_missing() -> None:
    start = [sys.executable, "-m", "benchmarks.gpu.without", "cv2,cupy", "benchmarks.environment"]
    text = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    there, missing = text.split("and lacks")
    assert "PyTorch" in there
    assert "opencv-python-headless" in missing
    assert "see requirements-gpu.txt" in missing
    found = json.loads(subprocess.run([*start, "--json"], cwd=ROOT, capture_output=True, check=True).stdout)
    assert {"name": "opencv-python-headless", "there": False}.items() <= next(
        entry for entry in found if entry["name"] == "opencv-python-headless"
    ).items()
