"""The read-out: fits without the scene they are tested on, and gains that are paired by scene."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.readout import BASE, Scene, left_out, normal_equations, scaled, summary


def scene(source: str, seed: int, *, moving: int) -> Scene:
    """40 pixels with four random features, of which the one numbered ``moving`` says how far each moves."""
    features = np.random.default_rng(seed).normal(size=(40, 4))
    ranks = features[:, moving].argsort().argsort() / 39 - 0.5
    return Scene(source, np.concatenate([features, np.ones((40, 1))], axis=1), ranks, features[:, 3])


def test_a_scene_is_not_predicted_by_itself_or_its_video() -> None:
    scenes = [
        scene("a", 0, moving=0),
        scene("a", 1, moving=0),
        *(scene(name, 2 + i, moving=1) for i, name in enumerate("bcd")),
    ]
    predictions = left_out(scenes, {BASE: normal_equations(scenes)}, ridge=1e-3)
    assert summary(predictions)[BASE]["scenes"] == 4
    by_source = {of.source: np.corrcoef(predicted, of.ranks)[0, 1] for of, predicted in predictions[BASE]}
    assert abs(by_source["a"]) < 0.5  # only its own video would have told
    assert by_source["b"] > 0.5


def test_data_that_teaches_what_the_base_lacks_gains_beyond_its_error() -> None:
    tested = [scene(name, seed, moving=2) for seed, name in enumerate("abcdef")]
    base = normal_equations([scene("x", 20, moving=0)])
    more = normal_equations([scene("y", seed, moving=2) for seed in (30, 31, 32)])
    rows = {BASE: base, "more": base + scaled(more, 2.0)}
    fits = {row: normal.solve(1e-3) for row, normal in rows.items()}
    of = summary({row: [(known, known.features @ fit) for known in tested] for row, fit in fits.items()})
    assert of["more"]["gain"] > 2 * of["more"]["gain_error"] > 0
    assert of["more"]["mean"] == pytest.approx(of[BASE]["mean"] + of["more"]["gain"])
