"""What is measured of footage: reach, speed and direction of a motion that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.synthetic.measure import main, read_kinds, sequence_numbers, table


def wave(hertz: int, amplitude: float, delay: float, direction: tuple[float, float]) -> np.ndarray:
    """Spectral volume [8, 4, 32, 128] over one second of a sine that reaches the right edge ``delay`` seconds later."""
    volume = np.zeros((8, 4, 32, 128), np.float32)
    phase = -2 * np.pi * hertz * delay * np.arange(128) / 128
    for axis, share in enumerate(direction):
        volume[hertz, axis] = amplitude / 2 * share * np.cos(phase)
        volume[hertz, 2 + axis] = amplitude / 2 * share * np.sin(phase)
    return volume


def test_numbers_of_a_wave_are_those_it_was_made_with() -> None:
    numbers = sequence_numbers(wave(2, 3.0, 0.2, (0.8, 0.6)), period=1.0)
    assert numbers["reach"] == pytest.approx(2 * 3.0 * 0.8, rel=0.02)  # at 256 px width, along x
    assert numbers["centroid"] == pytest.approx(2)
    assert numbers["peak"] == 2
    assert numbers["share_y"] == pytest.approx(0.36, abs=0.01)
    assert numbers["1.7-3.4"] == pytest.approx(1)
    assert numbers["delay_far"] == pytest.approx(0.05, abs=0.003)
    assert numbers["coherence_near"] == pytest.approx(1, abs=0.01)


def test_what_stands_still_has_no_numbers_and_all_others_are_finite() -> None:
    assert sequence_numbers(np.zeros((16, 4, 36, 64), np.float32), period=5.0) == {}
    numbers = sequence_numbers(wave(7, 3.0, 0.2, (0.8, 0.6)), period=1.0)  # nothing in the band of delays
    assert np.isfinite(list(numbers.values())).all()
    assert "reach" in numbers


def test_the_table_has_a_line_a_kind() -> None:
    calm, strong = (sequence_numbers(wave(1, reach, 0.1, (1, 0)), period=1.0) for reach in (1.0, 4.0))
    lines = table({"tree": [strong], "flower": [calm, strong]}).splitlines()
    assert [line.split(":")[0] for line in lines] == ["flower [2]", "tree [1]"]
    assert "reach 5.00 (2.60..7.40)" in lines[0]


def test_kinds_need_their_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = tmp_path / "kinds.csv"
    kinds.write_text("source,kind\na.mp4,tree\n")
    assert read_kinds(kinds) == {"a.mp4": "tree"}
    kinds.write_text("source,what\na.mp4,tree\n")
    assert main([str(tmp_path), "--kinds", str(kinds)]) == 2
    assert "no column 'kind'" in capsys.readouterr().err
