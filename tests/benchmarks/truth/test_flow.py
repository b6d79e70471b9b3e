"""The estimators' true error: where it is measured, and on a folder made by python -m data.simulated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.blender_stand_in import install_stand_in

from benchmarks.truth.flow import main, scene_errors
from data.simulated.command import main as simulate


def test_places_are_told_apart() -> None:
    truth = np.zeros((1, 4, 6, 2))
    truth[0, :, :3, 0] = 2.0
    hidden = np.zeros((1, 4, 6), bool)
    hidden[0, :, 3] = True
    flow = truth + np.array([0.3, 0.4])
    flow[0, :, 3] += (0, 2.0)
    flow[0, 0, 0] = (5.0, 4.0)
    found = scene_errors(flow, truth, hidden)
    assert found["still"] == pytest.approx(0.5)
    assert found["moving"] == pytest.approx((11 * 0.5 + 5.0) / 12)
    assert found["hidden"] == pytest.approx(np.hypot(0.3, 2.4))
    assert found["outliers"] == pytest.approx(1 / 20)


def test_an_estimator_is_measured_on_a_simulated_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, report = tmp_path / "dataset", tmp_path / "report.json"
    made = ["--output", str(dataset), "--blender-python", str(install_stand_in(tmp_path)), "--split", "1,0,0"]
    made += ["--scenes", "2", "--kinds", "hanging_sign", "--size", "64x40", "--num-frames", "16"]
    assert simulate([*made, "--num-frequencies", "8"]) == 0
    assert main([str(dataset), "--estimators", "dis", "--device", "cpu", "--report", str(report)]) == 0
    assert "| dis |" in capsys.readouterr().out
    table = json.loads(report.read_text())["results"]["table"]
    assert table["(no flow)"]["still"] < 0.5
    assert table["(no flow)"]["moving"] > 0.5, "standing still is as wrong as things move"
    assert np.isfinite(table["dis"]["all"])


def test_a_folder_without_exact_flow_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.csv").write_text(
        "id,source,source_sha256,start,fps,num_frames,split,status,stored_frames\na,a,b,0,30,10,train,dropped,0\n"
    )
    assert main([str(tmp_path), "--device", "cpu"]) == 2
    assert "no sequence with exact flow" in capsys.readouterr().err
