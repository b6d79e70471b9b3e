"""The kinds of scene: all of them can be built, are determined by their seed, and move where they should."""

from __future__ import annotations

import numpy as np
import pytest

from data.simulated.description import Scene
from data.simulated.kinds.registry import KINDS, still_share
from data.simulated.volume import View

SIZE = (128, 80)


def built(name: str, seed: int = 0) -> Scene:
    return KINDS[name].build(np.random.default_rng(seed))


def test_there_is_variety_and_enough_that_stands_still() -> None:
    assert sum(not kind.still for kind in KINDS.values()) >= 20
    assert still_share() >= 0.2


@pytest.mark.parametrize("name", KINDS)
def test_scenes_are_whole_and_move_in_the_picture_or_not_at_all(name: str) -> None:
    scene = built(name)
    view = View(scene.camera, SIZE)
    moving = 0
    for thing in scene.things:
        mesh = thing.mesh
        assert np.isfinite(mesh.vertices).all()
        assert mesh.colors.min() >= 0
        assert mesh.quads.max(initial=0) < len(mesh.vertices)
        assert mesh.colors.shape == mesh.vertices.shape
        assert mesh.uvs.shape == (len(mesh.vertices), 2)
        if not mesh.still:
            assert mesh.modes is not None
            assert mesh.modes.max() < scene.oscillators.count
            assert np.isfinite(mesh.gains).all()
            moving += int((view.near(mesh) & (np.abs(mesh.gains).max(axis=(1, 2)) > 0)).sum())
    assert (moving == 0) if KINDS[name].still else (moving > 30)


@pytest.mark.parametrize("name", ["closeup_flower", "flag", "candles", "rocks"])
def test_a_scene_is_that_of_its_seed(name: str) -> None:
    first, again, other = built(name, 3), built(name, 3), built(name, 4)
    for one, same in zip(first.things, again.things, strict=True):
        np.testing.assert_array_equal(one.mesh.vertices, same.mesh.vertices)
    assert first.camera == again.camera
    assert first.camera != other.camera
