"""What is said of a loop that was made."""

from typing import Any

import pytest

from app.terminal import describe

RESULT: dict[str, Any] = {
    **{"outputs": ["loop.webp"], "size": [64, 48], "num_frames": 12, "duration": 0.4, "speed": 1.0},
    **{"seam_ratio": 0.7, "motion_seam_ratio": 0.8, "mean_motion_pixels": 0.5},
    "file": {"num_frames": 12, "seam_ratio": None},
}


@pytest.mark.parametrize(
    ("frames", "file", "motion", "verdict"),
    [
        (0.7, None, 0.5, "without a visible jump"),
        (1.8, None, 0.5, "there may be a jump"),
        (0.7, 1.9, 0.5, "there may be a jump"),  # it is the file that is looked at
        (1.8, 1.1, 0.5, "without a visible jump"),
        (1.8, None, 0.04, "hardly anything moves"),  # the steps are those of rounding
        (None, None, 0.0, "hardly anything moves"),
    ],
)
def test_the_verdict_is_that_of_the_file(
    frames: float | None, file: float | None, motion: float, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = {"seam_ratio": frames, "mean_motion_pixels": motion, "file": {"num_frames": 12, "seam_ratio": file}}
    describe(RESULT | measured)
    assert verdict in capsys.readouterr().out


def test_a_file_with_fewer_frames_is_said_to_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    describe(RESULT)
    assert "12 frames of 64x48, 0.4 s, motion" in capsys.readouterr().out
    describe(RESULT | {"file": {"num_frames": 1, "seam_ratio": None}})
    assert "12 frames of 64x48, 0.4 s (1 in the file), motion" in capsys.readouterr().out
