"""Sums of checkpoints' weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models.rendering.config import FrameSynthesisConfig
from models.rendering.model import FrameSynthesisModel
from training.combine import main

SHAPE = FrameSynthesisConfig(channels=(4, 4))


def checkpoint(folder: Path, seed: int, config: FrameSynthesisConfig = SHAPE) -> Path:
    torch.manual_seed(seed)
    model = FrameSynthesisModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(folder, {"seed": seed})
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return FrameSynthesisModel.from_pretrained(folder).state_dict()


def test_a_mean_of_two_runs_from_one_start(tmp_path: Path) -> None:
    old, a, b = (checkpoint(tmp_path / name, seed) for seed, name in enumerate(("old", "a", "b")))
    halves = [text for run in (a, b) for text in ("--add", "0.5", str(run), str(old))]
    assert main([str(old), *halves, "--output", str(tmp_path / "mean")]) == 0
    first, second = weights(a), weights(b)
    for name, tensor in weights(tmp_path / "mean").items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2, rtol=1e-5, atol=1e-5)


def test_a_student_takes_over_what_its_teacher_has_learned_since_and_says_so(tmp_path: Path) -> None:
    student, teacher, tuned = (checkpoint(tmp_path / name, seed) for seed, name in enumerate("xyz"))
    assert main([str(student), "--add", "1.5", str(tuned), str(teacher), "--output", str(tmp_path / "new")]) == 0
    found, old, before, after = (weights(tmp_path / name) for name in ("new", "x", "y", "z"))
    assert not all(torch.equal(found[name], old[name]) for name in found)
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, old[name] + 1.5 * (after[name] - before[name]), rtol=1e-5, atol=1e-5)
    training = json.loads((tmp_path / "new" / "config.json").read_text())["training"]
    assert training["seed"] == 0
    assert training["combined"] == {"base": "x", "added": [{"weight": 1.5, "tuned": "z", "from": "y"}]}


def test_what_does_not_go_together_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    old = checkpoint(tmp_path / "old", 0)
    other = checkpoint(tmp_path / "other", 0, FrameSynthesisConfig(channels=(8, 4)))
    new = ["--output", str(tmp_path / "new")]
    assert main([str(old), "--add", "1", str(other), str(old), *new]) == 2
    assert main([str(old), "--add", "1", str(tmp_path / "none"), str(old), *new]) == 2
    assert main([str(old), "--add", "1", str(old), str(old), "--output", str(old)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert "of another architecture than" in lines[0]
    for weight in ("much", "nan"):
        with pytest.raises(SystemExit):
            main([str(old), "--add", weight, str(old), str(old), *new])
    assert not (tmp_path / "new").exists()
