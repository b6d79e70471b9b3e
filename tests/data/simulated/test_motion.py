"""What sways: oscillators in the wind, nodes that carry things, and the exact motion of vertices in the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.simulated.camera import Camera
from data.simulated.shapes.foliage import crosswise, curved_paths, swaying, tubes
from data.simulated.shapes.mesh import LEVELS, Mesh, box, merge
from data.simulated.shapes.nodes import LEAF, STEM, grow, hinge, still_nodes
from data.simulated.volume import TOLERANCE, View, coefficients, flow_between, low_rank
from data.simulated.wind import Oscillators, Wind, draw_wind
from models.spectral_volume import motion_to_spectral_volume

SIZE = (96, 60)
NUM_FRAMES, NUM_FREQUENCIES = 30, 12


def wind(**changed) -> Wind:
    given = {"num_frames": NUM_FRAMES, "fps": 30.0, "direction": np.array([1.0, 0, 0]), "slowness": 0.1}
    given |= {"coherence": 0.8, "period": 1.0, "highest": 11.0, "tilt": 0.4}
    return Wind(**(given | changed))


def stems(random: np.random.Generator, count: int = 8) -> tuple[Mesh, Oscillators]:
    """Upright stems near the origin that bend in the wind."""
    oscillators = Oscillators()
    roots = np.concatenate([random.uniform(-0.3, 0.3, (count, 2)), np.zeros((count, 1))], axis=1)
    paths = curved_paths(roots, np.full(count, 0.5), np.zeros((count, 3)), random, steps=6)
    modes = swaying(oscillators, roots, random, frequency=1.2, damping=0.1)
    tips = np.full((count, 2), 0.05)
    nodes = grow(still_nodes(roots), paths, level=STEM, modes=modes, directions=crosswise(count, random), tips=tips)
    return tubes(nodes, 6, np.full((count, 6), 0.01), np.full((count, 3), 0.5)), oscillators


@pytest.fixture
def view() -> View:
    return View(Camera(position=(0.1, -1.5, 0.5), target=(0.0, 0.0, 0.25), lens=40.0), SIZE)


# Time series ----------------------------------------------------------------------------------------------------------


def test_oscillators_rest_at_the_first_frame_and_the_first_of_them_always() -> None:
    oscillators = Oscillators()
    oscillators.add(np.array([1.0, 2.0]), 0.1, np.zeros((2, 3)))
    series = wind().series(oscillators, np.random.default_rng(0))
    assert series.shape == (3, NUM_FRAMES)
    assert not series[:, 0].any()
    assert not series[0].any()
    assert series[1:].std(axis=1).min() > 0.1


def test_periodic_wind_moves_nothing_above_its_highest_frequency() -> None:
    oscillators = Oscillators()
    oscillators.add(np.linspace(1, 8, 20), 0.1, np.zeros((20, 3)))
    spectrum = np.abs(np.fft.rfft(wind(highest=5.0).series(oscillators, np.random.default_rng(0)), axis=1))[1:]
    assert spectrum[:, 1:6].max() > 1
    assert spectrum[:, 6:].max() < 1e-3


def test_gusts_reach_what_is_downwind_later() -> None:
    oscillators = Oscillators()
    oscillators.add(np.array([2.0, 2.0]), 0.5, np.array([[0.0, 0, 0], [1.0, 0, 0]]))
    late = wind(slowness=0.1, coherence=1.0).series(oscillators, np.random.default_rng(3))
    near, far = late[1] - late[1].mean(), late[2] - late[2].mean()
    np.testing.assert_allclose(np.roll(near, 3), far, atol=1e-4)  # 0.1 s are 3 frames


def test_a_partner_is_a_quarter_of_a_period_behind() -> None:
    oscillators = Oscillators()
    first = oscillators.add(np.array([3.0]), 0.05, np.zeros((1, 3)))
    second = oscillators.quadrature(first)
    series = wind().series(oscillators, np.random.default_rng(1))
    spectra = np.fft.rfft(series, axis=1)[:, 1:12]
    np.testing.assert_allclose(spectra[second[0]], -1j * spectra[first[0]], atol=1e-3 * np.abs(spectra).max())


def test_a_drawn_wind_is_that_of_its_seed() -> None:
    drawn = [
        draw_wind(np.random.default_rng(5), num_frames=30, fps=30.0, num_frequencies=8, extent=3.0) for _ in range(2)
    ]
    assert drawn[0].slowness == drawn[1].slowness
    assert drawn[0].highest == pytest.approx(7.0)


# Shapes ---------------------------------------------------------------------------------------------------------------


def test_stems_stand_at_their_roots_and_move_most_at_their_tips() -> None:
    roots = np.zeros((1, 3))
    path = np.linspace([0, 0, 0], [0, 0, 2.0], 9)[None]
    directions = np.array([[[1.0, 0, 0], [0, 1.0, 0]]])
    nodes = grow(
        still_nodes(roots),
        path,
        level=STEM,
        modes=np.array([[1, 2]]),
        directions=directions,
        tips=np.array([[0.3, 0.2]]),
    )
    reach = np.linalg.norm(nodes.translation[:, STEM], axis=1)
    assert reach[0] == 0
    assert (np.diff(reach) > 0).all()
    np.testing.assert_allclose(nodes.translation[-1, STEM], [0.3, 0, 0])
    np.testing.assert_allclose(nodes.translation[-1, STEM + 1], [0, 0.2, 0], atol=1e-12)
    # What is fixed to the tip turns with it: a point ahead of it moves on along the tangent.
    ahead = nodes[np.array([8])].carry(np.array([[[0, 0, 2.1]]]))[1][0, 0, STEM]
    behind = nodes[np.array([8])].carry(np.array([[[0, 0, 1.9]]]))[1][0, 0, STEM]
    assert ahead[0] > 0.3 > behind[0]


def test_a_node_moves_things_rigidly() -> None:
    random = np.random.default_rng(2)
    nodes = still_nodes(random.normal(size=(1, 3)))
    nodes.modes[0, LEAF] = 4
    nodes.translation[0, LEAF] = random.normal(size=3)
    nodes.rotation[0, LEAF] = random.normal(size=3)
    points = random.normal(size=(1, 7, 3))
    modes, gains = nodes.carry(points)
    assert (modes[..., LEAF] == 4).all()
    motion = gains[0, :, LEAF]
    for a in range(7):
        for b in range(a):  # the distance of any two points does not change to first order
            between = points[0, a] - points[0, b]
            assert between @ (motion[a] - motion[b]) == pytest.approx(0, abs=1e-9)


def test_a_hinge_stays_where_it_is() -> None:
    points = np.array([[[0.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]]])
    modes, gains = still_nodes(np.zeros((1, 3))).carry(points)
    hinge(
        modes, gains, points, pivots=np.zeros((1, 3)), axes=np.array([[1.0, 0, 0]]), ids=np.array([3]),
        angles=np.array([0.5]), place=LEAF
    )  # fmt: skip
    np.testing.assert_allclose(gains[0, :, LEAF], [[0, 0, 0], [0, -0.5, 0], [0, 0, 0.5]])


def test_still_meshes_may_be_merged_with_moving_ones() -> None:
    moving, _ = stems(np.random.default_rng(0))
    both = merge([box((1, 1, 1), (0.5, 0.5, 0.5)), moving])
    assert both.modes is not None
    assert not both.modes[:24].any()
    assert both.modes.shape == (24 + len(moving.vertices), LEVELS)
    np.testing.assert_array_equal(both.quads[6:], moving.quads + 24)


# Motion in the picture ------------------------------------------------------------------------------------------------


def test_coefficients_are_those_of_the_projected_paths(view: View) -> None:
    mesh, oscillators = stems(np.random.default_rng(1))
    series = wind().series(oscillators, np.random.default_rng(2))
    found = coefficients(view, mesh, series, num_frequencies=NUM_FREQUENCIES)
    projected = [view.camera.pixels(view.camera.seen(mesh.displaced(series[:, t])), SIZE) for t in range(NUM_FRAMES)]
    paths = torch.from_numpy(np.stack(projected) - projected[0]).float()  # [T, V, 2]
    truth = motion_to_spectral_volume(paths.permute(0, 2, 1)[None, :, :, None], NUM_FREQUENCIES)[0, :, :, 0]
    assert truth.abs().max() > 0.3
    np.testing.assert_allclose(
        found.reshape(-1, NUM_FREQUENCIES, 4), truth.permute(2, 0, 1).numpy(), atol=2e-4, err_msg="perspective included"
    )
    np.testing.assert_allclose(
        flow_between(view, mesh, series[:, 7]), (projected[7] - projected[0]).astype(np.float32), atol=1e-3
    )


def test_few_channels_carry_the_volume_within_the_tolerance(view: View) -> None:
    mesh, oscillators = stems(np.random.default_rng(1), count=2)
    series = wind().series(oscillators, np.random.default_rng(2))
    fields = [
        coefficients(view, mesh, series, num_frequencies=NUM_FREQUENCIES),
        np.zeros((5, 4 * NUM_FREQUENCIES), np.float32),
    ]
    basis, shapes = low_rank(fields)
    assert len(basis) <= 10, "two stems of two modes each, and the perspective"
    assert shapes[1].shape == (5, len(basis))
    left = np.linalg.norm(shapes[0] @ basis - fields[0], axis=1)
    assert left.max() * np.sqrt(2) <= TOLERANCE * 1.01
    assert np.linalg.norm(fields[0], axis=1).max() > 20 * TOLERANCE


def test_scenes_in_which_nothing_moves_need_no_channel() -> None:
    basis, shapes = low_rank([np.zeros((9, 48), np.float32)])
    assert basis.shape == (0, 48)
    assert shapes[0].shape == (9, 0)


def test_what_is_behind_the_camera_or_far_outside_is_left_out(view: View) -> None:
    mesh = box((0.1, 0.1, 0.1), (1, 1, 1))
    assert view.near(mesh).all()
    assert not view.near(mesh.moved((0, -4, 0))).any()
    assert not view.near(mesh.moved((5, 0, 0))).any()
