"""The yardstick of methods that draw by flow: a photo under the measured flow is closer to later frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.clips.small_clips import QUICK, make_clip

from benchmarks.moved_photo import main
from data.prepare import main as prepare
from evaluation.sequences import load_sequences


def test_a_moved_photo_is_closer_than_a_still_one(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_clip(tmp_path / "clip.mp4", num_frames=20, everything=True)
    dataset, report = tmp_path / "dataset", tmp_path / "report.json"
    split = ["--validation", "clip*", "--split", "1,0,0", "--full", "validation", "--keep-all"]
    assert prepare([str(tmp_path / "clip.mp4"), "--output", str(dataset), *QUICK, *split]) == 0
    capsys.readouterr()
    assert main([str(dataset), "--frames", "4", "--report", str(report)]) == 0
    found = json.loads(report.read_text())["results"]
    assert 0 < found["moved"] < 0.9 * found["still"]
    assert found["gain"] == pytest.approx(found["still"] - found["moved"])
    assert found["interval"] is None  # of one scene
    out = capsys.readouterr().out
    assert main([str(dataset), "--frames", "4", "--flow", "lucas-kanade", "--report", str(report)]) == 0
    other = json.loads(report.read_text())["results"]
    assert other["still"] == pytest.approx(found["still"])
    assert 0 < other["moved"] < other["still"]
    (sequence,) = load_sequences(dataset, "validation")
    frames = (sequence.frames().float() / 255)[[1, 7, 13, 19]]
    expected = (frames - (sequence.first_frame() + 1) / 2).abs().mean().item()
    assert found["each"][sequence.id] == pytest.approx([expected, found["moved"]], abs=1e-4)
    assert f"photo {found['still']:.4f}, moved {found['moved']:.4f}" in out
