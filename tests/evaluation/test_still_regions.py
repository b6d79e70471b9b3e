"""What counts as still and as a plant, and how far it moves."""

from __future__ import annotations

import numpy as np
import pytest

from data.synthetic.maps.networks import CLASS_NAMES
from evaluation.metrics.distances import bootstrap_statistic
from evaluation.still_regions import high_amplitude, regions


def class_map(*columns: str) -> np.ndarray:
    """A map whose columns, 32 cells wide each, are surely of these classes."""
    names = np.repeat(np.array([CLASS_NAMES.index(name) for name in columns]), 32)
    return np.repeat(np.eye(len(CLASS_NAMES), dtype=np.float32)[names][None], 48, axis=0)


def test_walls_are_still_and_trees_are_plants_but_people_and_water_are_neither() -> None:
    found = regions({"class_probabilities": class_map("wall", "tree", "person", "water")}, (96, 256))
    still, plants = found["still_regions"], found["plants"]
    assert still is not None
    assert plants is not None
    assert still[:, :50].all()
    assert not still[:, 64:].any()
    assert plants[:, 70:122].all()
    assert not plants[:, 130:].any()


def test_a_margin_around_plants_and_what_a_matte_calls_a_subject_is_not_counted() -> None:
    matte = np.zeros((96, 256), np.uint8)
    matte[:, 200:] = 255
    maps = {"class_probabilities": class_map("tree", "wall", "wall", "wall"), "subject_matte": matte}
    still = regions(maps, (96, 256))["still_regions"]
    assert still is not None
    columns = np.flatnonzero(still.all(axis=0))
    assert columns[0] == pytest.approx(64 + 10, abs=4)
    assert columns[-1] == pytest.approx(199 - 10, abs=2)


def test_regions_too_small_for_a_percentile_are_none_and_so_are_all_without_a_class_map() -> None:
    assert regions({"class_probabilities": class_map("wall", "wall")}, (48, 64))["plants"] is None
    assert set(regions({}, (48, 64)).values()) == {None}


def test_high_amplitude_looks_at_the_region_alone() -> None:
    amplitude = np.zeros((10, 20))
    amplitude[:, 10:] = 3.0
    assert high_amplitude(amplitude, amplitude == 0) == 0
    assert high_amplitude(amplitude) == 3


def test_bootstrap_of_a_ratio_holds_the_ratio_and_is_none_for_single_values() -> None:
    def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        return np.median(above, axis=-1) / np.median(below, axis=-1)

    random = np.random.default_rng(0)
    value, interval = bootstrap_statistic(ratio, [1 + random.uniform(size=40), 10 + random.uniform(size=30)])
    assert interval is not None
    assert interval[0] < value < interval[1]
    assert value == pytest.approx(1.5 / 10.5, rel=0.1)
    assert bootstrap_statistic(ratio, [[1.0], [2.0, 4.0]]) == (pytest.approx(1 / 3), None)
