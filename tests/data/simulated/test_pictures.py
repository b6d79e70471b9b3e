"""From the renderer's files to pictures: OpenEXR, the camera's tone, and what is hidden."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.blender_stand_in import write_exr

from data.simulated.exr import read_exr
from data.simulated.sensor import Sensor, draw_sensor, film_curve
from data.simulated.sequence import hidden_pixels

PLAIN = Sensor(
    gain=1.0, balance=(1.0, 1.0, 1.0), contrast=1.0, saturation=1.0, lift=0.0, vignette=0.0, noise=0.0, quality=None
)


def test_channels_are_read_by_name(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    written = {name: random.normal(size=(5, 7)).astype(np.float32) for name in ("V.Combined.R", "V.c0.B", "a")}
    write_exr(tmp_path / "a.exr", written)
    found = read_exr(tmp_path / "a.exr")
    assert found.keys() == written.keys()
    for name, channel in written.items():
        np.testing.assert_array_equal(found[name], channel)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    write_exr(path, {"R": np.zeros((4, 4), np.float32)}, compression=3)
    with pytest.raises(ValueError, match=r"a\.exr: is compressed"):
        read_exr(path)
    write_exr(path, {"R": np.zeros((4, 4), np.float32)})
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"a\.exr: is cut off"):
        read_exr(path)
    path.write_bytes(b"PNG, perhaps")
    with pytest.raises(ValueError, match=r"a\.exr: not a single-part OpenEXR"):
        read_exr(path)


def test_more_light_is_brighter_and_colours_keep_their_order() -> None:
    values = film_curve(np.linspace(0, 30, 400))
    assert (np.diff(values) >= 0).all()
    assert values[0] == pytest.approx(0, abs=0.01)
    assert values[-1] > 0.95
    light = np.broadcast_to([0.3, 0.2, 0.1], (8, 8, 3))
    picture = PLAIN.develop(light, np.random.default_rng(0))
    assert picture[0, 0, 0] > picture[0, 0, 1] > picture[0, 0, 2]
    gray = replace(PLAIN, saturation=0.0).develop(light, np.random.default_rng(0))
    assert np.ptp(gray[0, 0].astype(int)) <= 1


def test_pictures_are_exposed_to_the_brightness_asked_for() -> None:
    random = np.random.default_rng(0)
    light = random.gamma(1.0, 1.0, (40, 60, 3)) * 37
    drawn = [draw_sensor(light, wanted, random).develop(light, random).mean() / 255 for wanted in [0.2] * 8 + [0.5] * 8]
    assert np.mean(drawn[:8]) == pytest.approx(0.2, abs=0.08)
    assert np.mean(drawn[8:]) == pytest.approx(0.5, abs=0.1)


def test_hidden_is_what_does_not_come_back_and_what_leaves_the_picture() -> None:
    forward = np.zeros((20, 30, 2), np.float32)
    forward[5:15, 5:15, 0] = 8.0  # a square moves to the right
    backward = np.zeros((20, 30, 2), np.float32)
    backward[5:15, 13:23, 0] = -8.0
    hidden = hidden_pixels(forward, backward)
    assert not hidden[6:14, 6:14].any(), "the square itself is seen"
    assert hidden[6:14, 16:22].all(), "and covers this ground"
    assert not hidden[:4].any()
    forward[0, :, 1] = -5
    assert hidden_pixels(forward, backward)[0].all()
