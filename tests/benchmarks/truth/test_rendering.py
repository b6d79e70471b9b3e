"""The renderers' true error: what counts as revealed, and the table of a folder with exact flow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.blender_stand_in import install_stand_in

from benchmarks.truth.rendering import find_revealed, main, scene_figures
from benchmarks.truth.scenes import ExactScene
from data.simulated.command import main as simulate


def a_disc_before_a_wall() -> ExactScene:
    """A textured square goes 4 px to the right before a wall that stands still, and shows what was behind it."""
    pictures = torch.randint(60, 190, (2, 3, 32, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    wall, square = pictures
    first, later = wall.clone(), wall.clone()
    first[:, 8:24, 10:26] = square[:, 8:24, 10:26]
    later[:, 8:24, 14:30] = square[:, 8:24, 10:26]
    flow, backward = torch.zeros(2, 1, 2, 32, 48)
    flow[0, 0, 8:24, 10:26] = 4
    backward[0, 0, 8:24, 14:30] = -4
    hidden = torch.zeros(1, 32, 48, dtype=torch.bool)
    hidden[0, 8:24, 26:30] = True
    volume = torch.zeros(2, 4, 32, 48)
    volume[0, 0, 8:24, 10:26] = 4
    return ExactScene("square", first, later[None], flow, backward, hidden, volume)


def test_what_the_square_uncovers_is_revealed_and_nothing_else() -> None:
    expected = torch.zeros(1, 32, 48, dtype=torch.bool)
    expected[0, 8:24, 10:14] = True
    assert torch.equal(find_revealed(a_disc_before_a_wall()), expected)


def test_splatting_by_exact_flow_is_far_closer_but_where_something_is_revealed() -> None:
    scene = a_disc_before_a_wall()
    softmax, unmoved = scene_figures(scene, ["softmax", "repeat"], model=None).values()
    assert softmax["moving"] > unmoved["moving"] + 10
    assert softmax["still"] > unmoved["revealed"] + 10
    assert softmax["revealed"] < softmax["moving"]
    assert unmoved["still"] == pytest.approx(78.13, abs=0.01), "the unmoved photo is right wherever nothing moves"


def test_a_renderer_is_measured_on_a_simulated_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, report = tmp_path / "dataset", tmp_path / "report.json"
    made = ["--output", str(dataset), "--blender-python", str(install_stand_in(tmp_path)), "--split", "1,0,0"]
    made += ["--scenes", "1", "--kinds", "hanging_sign", "--size", "64x40", "--num-frames", "16"]
    assert simulate([*made, "--num-frequencies", "8"]) == 0
    assert main([str(dataset), "--renderers", "softmax", "--device", "cpu", "--report", str(report)]) == 0
    assert "| softmax |" in capsys.readouterr().out
    table = json.loads(report.read_text())["results"]["table"]
    assert table["repeat"]["sharpness"] > 0
    assert set(table) == {"repeat", "softmax"}
