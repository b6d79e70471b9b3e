"""The measurements of the cINN baseline, at the tiny preset."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.cinn.data.layouts import load_videos
from benchmarks.cinn import VIDEOS, drift, measure_step, square_video, write_squares
from common.images import from_8_bits


def test_a_step_is_timed_with_its_losses() -> None:
    found = measure_step("tiny", "flow", batch_size=2)
    assert found["cpu_seconds"] > 0
    assert 0.1 < found["peak_gb"] < 100
    assert {"loss", "residual_norm", "log_determinant"} <= found.keys()


def test_squares_move_either_way_by_half_a_pixel_a_frame() -> None:
    squares = [from_8_bits(square_video(number).read(0, 17)) for number in range(20)]
    share = 180 * 120 / (180 * 120 + 40 * 32 * 48)  # of the square in the brightness
    assert all(abs(abs(drift(video)) - 8 * share) < 0.1 for video in squares)
    assert 4 < sum(drift(video) > 0 for video in squares) < 16


@pytest.mark.slow
def test_squares_are_written_as_a_dataset(tmp_path: Path) -> None:
    write_squares(tmp_path)
    for split, count in VIDEOS.items():
        assert len(load_videos(tmp_path, split, layout="fire")) == count
