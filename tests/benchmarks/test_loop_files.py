"""The steps between frames of files, as decoded."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.loop_files import main


def animation(path: Path, levels: list[int]) -> Path:
    """An animated PNG, which is lossless, of frames that are evenly gray."""
    frames = [Image.fromarray(np.full((16, 24, 3), level, dtype=np.uint8)) for level in levels]
    frames[0].save(path, format="PNG", save_all=True, append_images=frames[1:], duration=100, loop=0)
    return path


def test_steps_are_those_between_frames_and_over_the_seam(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = animation(tmp_path / "loop.png", [100, 102, 104, 106, 116, 111])
    report = tmp_path / "report.json"
    assert main([str(path), "--report", str(report)]) == 0
    found = json.loads(report.read_text())["results"][str(path)]
    assert found == {
        "frames": 6,
        "median": 2,
        "90 %": pytest.approx(8),
        "largest": 10,
        "last": 11,
        "last/median": 5.5,
        "kB": path.stat().st_size / 1000,
    }
    assert capsys.readouterr().out.splitlines()[1].split()[:6] == [str(path), "6", "2.00", "8.00", "10.00", "11.00"]


def test_a_file_without_frames_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    good, still = animation(tmp_path / "good.png", [1, 2, 3]), animation(tmp_path / "still.png", [1, 9])
    lone = animation(tmp_path / "lone.png", [7])
    assert main([str(tmp_path / "none.mp4"), str(still), str(lone), str(good)]) == 1
    out, errors = capsys.readouterr()
    assert out.splitlines()[-1].startswith(str(good))
    assert [line.split(": ")[:2] for line in errors.splitlines()] == [
        ["error", str(tmp_path / "none.mp4")],
        ["error", str(still)],
        ["error", str(lone)],
    ]
