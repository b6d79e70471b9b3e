"""``python -m data.flow compare``: its scores on flow that is known, and the command from clip to report."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
import torchvision.models._api

from data.flow import comparison as flow_comparison
from data.flow.__main__ import main
from data.flow.comparison import mean_over_clips, read_pairs, score, warp_backward
from data.media.images import read_image
from data.media.write_video import write_video


@pytest.fixture(autouse=True)
def nothing_optional(monkeypatch, tmp_path):
    """pyflow is not there, nor are weights, and nothing may be downloaded."""
    monkeypatch.setitem(sys.modules, "pyflow", None)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delenv("RAFT_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", None)  # calling it would fail


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A texture that drifts by (0.5, -0.25) pixels a frame: 9 frames of 96x64."""
    noise = np.random.default_rng(0).random((120, 150, 3)).astype(np.float32)
    canvas = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    frames = []
    for t in range(9):
        shift = np.float32([[1, 0, 0.5 * t], [0, 1, -0.25 * t]])
        frames.append(cv2.warpAffine(canvas, shift, (150, 120))[20:84, 20:116].round().astype(np.uint8))
    path = tmp_path_factory.mktemp("clips") / "drift.mp4"
    write_video(path, frames, 30)
    return path


def constant_flow(u, v, count=1, height=40, width=60):
    return np.broadcast_to(np.float32([u, v]), (count, height, width, 2)).copy()


def test_warping_back_undoes_a_shift():
    image = np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8)
    moved = np.roll(image, (-2, 3), axis=(0, 1))  # what was at (x, y) is at (x + 3, y - 2)
    warped = warp_backward(moved, constant_flow(3, -2)[0])
    assert warped.dtype == np.float32
    np.testing.assert_array_equal(warped[4:-4, 4:-4], image[4:-4, 4:-4])
    between = warp_backward(image, constant_flow(0.5, 0)[0])
    np.testing.assert_allclose(between[:, :-1], (image[:, :-1].astype(np.float32) + image[:, 1:]) / 2, atol=1e-3)


def test_scores_of_known_flow():
    first = np.full((40, 60, 3), 100, np.uint8)
    later = np.stack([first, first + np.uint8(10)])
    scores = score(first, later, constant_flow(3, 4, 2), constant_flow(0, 0, 2))
    assert scores["difference_to_default"] == pytest.approx(5)
    perfect, off_by_ten = 10 * np.log10(255**2 * 12), 10 * np.log10(255**2 / 100)
    assert scores["warp_psnr"] == pytest.approx((perfect + off_by_ten) / 2)


def test_means_count_pairs():
    results = {
        "a": {"dis": {"warp_psnr": 30.0, "consistency": 0.5}, "(no flow)": {"warp_psnr": 20.0}},
        "b": {"dis": {"warp_psnr": 36.0, "consistency": 1.0}, "(no flow)": {"warp_psnr": 20.0}},
    }
    table = mean_over_clips(results, {"a": 1, "b": 3})
    assert table["dis"]["warp_psnr"] == pytest.approx(34.5)
    assert table["dis"]["consistency"] == pytest.approx(0.875)
    assert table["(no flow)"] == {key: 20.0 if key == "warp_psnr" else None for key in flow_comparison.COLUMNS}


def test_pairs_are_spread_over_the_clip(clip):
    first, later = read_pairs(clip, (96, 64), count=4)
    assert first.shape == (64, 96, 3)
    assert later.shape == (4, 64, 96, 3)
    _, all_later = read_pairs(clip, (96, 64), count=100)
    assert len(all_later) == 8
    np.testing.assert_array_equal(later, all_later[[0, 2, 5, 7]])
    np.testing.assert_array_equal(read_pairs(clip, (96, 64), count=100, num_frames=5)[1], all_later[:4])


def test_command_measures_what_is_installed(clip, tmp_path, capsys):
    threads = cv2.getNumThreads()
    report, picture = tmp_path / "reports" / "report.json", tmp_path / "pictures" / "flows.png"
    options = ["--size", "96x64", "--pairs", "2", "--report", str(report), "--picture", str(picture)]
    names = ["dis", "coarse2fine", "pyflow", "raft", "coarse2fine-cuda"]
    # RAFT is not named here: as a choice by default it must not be downloaded.
    assert main(["compare", str(clip), *options]) == 0
    assert cv2.getNumThreads() == threads
    printed = capsys.readouterr().out
    written = json.loads(report.read_text())
    assert written["script"] == "data.flow.estimators compare"
    results = written["results"]
    table, missing = results["table"], results["missing"]
    assert set(table) | set(missing) >= {"(no flow)", *names}
    for name in ("pyflow", "coarse2fine-cuda", "raft"):
        assert name not in table
        assert missing[name] in printed
    assert "have not been downloaded" in missing["raft"]
    assert results["num_pairs"] == {str(clip): 2}
    assert results["estimators"]["dis"]["preset"] == "medium"
    for name in ("coarse2fine", "dis"):
        assert table[name] == results["clips"][str(clip)][name]
        assert table[name]["warp_psnr"] > table["(no flow)"]["warp_psnr"] + 3
        assert table[name]["consistency"] > 0.9
        assert table[name]["cpu_seconds_per_pair"] > 0
        assert f"{table[name]['warp_psnr']:.2f}" in printed
    assert table["coarse2fine"]["difference_to_default"] == 0
    assert 0 < table["dis"]["difference_to_default"] < 0.5
    # The pairs are 1 and 8 frames apart, by which the texture drifts 0.56 px a frame.
    assert table["(no flow)"]["difference_to_default"] == pytest.approx(4.5 * np.hypot(0.5, 0.25), rel=0.15)
    assert read_image(picture).shape == (64, (2 + len(results["estimators"])) * 100 - 4, 3)


def test_named_estimators_are_the_rows(clip, tmp_path, capsys):
    assert main(["compare", str(clip), str(clip), "--estimators", "dis", "dis", "--size", "48x32", "--pairs", "1"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert rows == ["estimator", "(no", "dis"]


def test_nothing_named_is_installed(clip, tmp_path, capsys):
    picture = tmp_path / "flows.png"
    options = ["--estimators", "pyflow", "--size", "48x32", "--pairs", "1", "--picture", str(picture)]
    assert main(["compare", str(clip), *options]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["estimator", "(no", "not", "pyflow"]
    assert "github.com/pathak22/pyflow" in rows[-1]
    assert read_image(picture).shape == (32, 100, 3)


def test_bad_input_is_one_line(clip, tmp_path, capsys):
    def error_of(*words):
        try:
            status = main(["compare", *map(str, words)])
        except SystemExit as stopped:
            status = stopped.code
        assert status == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ")
        assert message.count("\n") == 1
        return message

    assert "absent.mp4" in error_of(tmp_path / "absent.mp4")
    write_video(tmp_path / "single.gif", [np.zeros((32, 32, 3), np.uint8)], 10)
    assert "single frame" in error_of(tmp_path / "single.gif")
    assert "too small" in error_of(clip, "--size", "8x8")
    assert "--pairs" in error_of(clip, "--pairs", "0")
    assert "farneback" in error_of(clip, "--estimators", "farneback")
    assert ".png" in error_of(clip, "--picture", tmp_path / "flows.mp4")
    assert "nowhere" in error_of(clip, "--estimators", "dis", "--report", clip / "nowhere" / "report.json")
    assert "nowhere" in error_of(clip, "--estimators", "dis", "--picture", clip / "nowhere" / "picture.png")
