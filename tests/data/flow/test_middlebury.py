"""The endpoint errors over a folder in Middlebury's layout, on made-up scenes whose flow is known."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from helpers.flow.textures import texture
from PIL import Image

from data.flow.estimators import ESTIMATORS, Estimator
from data.flow.middlebury import find_scenes, main, read_flow_file, resize_flow, scene_error

SHIFT = (1.5, -0.75)


def write_flow(path, flow):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = flow.shape[:2]
    path.write_bytes(struct.pack("<fii", 202021.25, width, height) + flow.astype("<f4").tobytes())


def write_scene(folder, name, seed, size=(64, 40)):
    """A texture that moves by `SHIFT`; the flow is unknown in a strip on the left, and known but wild nowhere."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float64)
    frames = folder / "other-data" / name
    frames.mkdir(parents=True)
    for file, picture in (("frame10", texture(x, y, seed)), ("frame11", texture(x - SHIFT[0], y - SHIFT[1], seed))):
        Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(frames / f"{file}.png")
    flow = np.broadcast_to(np.float32(SHIFT), (size[1], size[0], 2)).copy()
    flow[:, :6] = 1.666e9
    write_flow(folder / "other-gt-flow" / name / "flow10.flo", flow)


@pytest.fixture
def folder(tmp_path):
    write_scene(tmp_path, "Venus", 0)
    write_scene(tmp_path, "Grove2", 1)
    (tmp_path / "other-data" / "Army").mkdir()  # one of those whose truth is not published
    return tmp_path


def test_the_table_holds_each_scene_and_the_mean(folder, capsys):
    report = folder / "report.json"
    arguments = [str(folder), "--estimators", "coarse2fine", "dis", "--size", "48x30", "--report", str(report)]
    assert main(arguments) == 0
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines() if "|" in line
    ]
    assert rows[0] == ["estimator", "scene", "native", "48x30"]
    assert [row[:2] for row in rows[2:]] == [
        [estimator, scene] for estimator in ("coarse2fine", "dis") for scene in ("Grove2", "Venus", "mean of 2")
    ]
    errors = json.loads(report.read_text())["errors"]
    ours = [error for error in errors if error["estimator"] == "coarse2fine"]
    assert all(error["native"] < 0.15 and error["resized"] < 0.15 for error in ours)
    assert float(rows[4][2]) == pytest.approx(np.mean([error["native"] for error in ours]), abs=6e-4)
    assert float(rows[4][3]) == pytest.approx(np.mean([error["resized"] for error in ours]), abs=6e-4)


def test_errors_are_in_pixels_of_the_size_and_over_what_is_known(folder, monkeypatch):
    def solve(sources, targets, *, num_threads, progress):
        return np.zeros((*targets.shape[:3], 2), np.float32)

    monkeypatch.setitem(ESTIMATORS, "zero", Estimator(solve, dict))
    error = scene_error(folder, "Venus", "zero", (32, 20))
    assert error.native == pytest.approx(np.hypot(*SHIFT))
    assert error.resized == pytest.approx(np.hypot(*SHIFT) / 2)


def test_resizing_a_flow():
    flow = np.zeros((4, 8, 2), np.float32)
    flow[..., 0], flow[..., 1] = np.arange(8), 2.0
    flow[0, 0] = flow[:, 4] = flow[2:, 5] = np.nan
    small = resize_flow(flow, (4, 2))
    np.testing.assert_allclose(small[..., 1][~np.isnan(small[..., 1])], 1.0)
    np.testing.assert_allclose(small[0, :, 0], [(1 + 0 + 1) / 3 / 2, 2.5 / 2, 5 / 2, 6.5 / 2], rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(small[1, :, 0]), [False, False, True, False])


def test_reading_a_flow_file(tmp_path):
    flow = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    flow[1, 2] = [1.7e9, 0]
    write_flow(tmp_path / "flow10.flo", flow)
    read = read_flow_file(tmp_path / "flow10.flo")
    assert np.isnan(read[1, 2]).all()
    read[1, 2] = flow[1, 2]
    np.testing.assert_array_equal(read, flow)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no .flo file"),
        (b"PIEX" + bytes(20), "is no .flo file"),
        (b"PIEH" + struct.pack("<ii", 4, 4) + bytes(40), "52 bytes do not hold a flow of 4x4"),
        (b"PIEH" + struct.pack("<ii", -4, -4) + bytes(128), "do not hold a flow"),
    ],
)
def test_a_broken_flow_file_is_named(tmp_path, content, message):
    path = tmp_path / "flow10.flo"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"flow10.flo: .*{message}|flow10.flo: {message}"):
        read_flow_file(path)


def test_a_folder_without_scenes_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "other-gt-flow.zip" in error


def test_unusable_scenes_are_named(folder):
    write_flow(folder / "other-gt-flow" / "Venus" / "flow10.flo", np.full((40, 64, 2), 2e9))
    with pytest.raises(ValueError, match=r"Venus.*unknown at every pixel"):
        scene_error(folder, "Venus", "coarse2fine", (32, 20))
    write_flow(folder / "other-gt-flow" / "Venus" / "flow10.flo", np.zeros((20, 64, 2)))
    with pytest.raises(ValueError, match=r"Venus.*one size, got 64x40, 64x40, 64x20"):
        scene_error(folder, "Venus", "coarse2fine", (32, 20))
    (folder / "other-data" / "Venus" / "frame11.png").unlink()
    assert find_scenes(folder) == ["Grove2"]
