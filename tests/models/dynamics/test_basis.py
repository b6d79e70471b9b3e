"""The spectral volume as a basis: what a pull does, against the paper's formula and by brute force."""

import math

import numpy as np
import pytest
import torch
from helpers.modal_scenes import swaying_motion, swaying_volume

from models.dynamics.basis import LARGEST_DISPLACEMENT, SOFTNESS, ModalBasis
from models.dynamics.loop import LoopMotion, Playback
from models.spectral_volume import motion_amplitude, motion_at_times

POINT = (10.0, 12.0)  # in the left bell


@pytest.fixture(scope="module")
def basis() -> ModalBasis:
    return ModalBasis.of_motion(swaying_motion())


def moved(basis: ModalBasis, coordinates: np.ndarray, point=POINT) -> np.ndarray:
    """Displacement of a point, by the definition."""
    return (basis.shapes_at([point]) @ coordinates).real


def test_frequencies_follow_from_frame_rate_and_period(basis):
    np.testing.assert_allclose(basis.angular_frequencies, 2 * np.pi * np.arange(1, 5) * 30 / 60)
    assert basis.size == (32, 24)
    assert basis.limit == LARGEST_DISPLACEMENT * 32


def test_turning_coordinates_of_size_two_are_the_measured_motion_about_its_mean(basis):
    times = np.array([0.0, 0.13, 0.5, 1.7])
    coordinates = 2 * np.exp(1j * times[:, None] * basis.angular_frequencies)
    expected = motion_at_times(swaying_volume(), times * 30, 60) - swaying_volume()[:, None, 0, :2]
    assert torch.allclose(basis.displacement(coordinates), expected, atol=1e-5)


def test_a_pull_has_the_papers_magnitude_and_phase(basis):
    shapes = basis.shapes_at([POINT])
    force = np.linalg.solve((shapes @ shapes.conj().T).real + basis.softness * np.eye(2), [3.0, -1.0])
    along = force @ shapes  # f . S_j(p)
    pulled = basis.pull([POINT], np.array([3.0, -1.0]))
    np.testing.assert_allclose(np.abs(pulled), np.abs(along))
    np.testing.assert_allclose(np.angle(pulled), -np.angle(along))


def test_a_pulled_point_goes_where_it_is_pulled(basis):
    for pull in ([4.0, 0.0], [0.0, -4.0], [-2.0, 3.0]):
        got = moved(basis, basis.pull([POINT], np.array(pull)))
        assert np.linalg.norm(got - pull) < 0.06 * np.linalg.norm(pull)


def test_how_far_points_go_does_not_depend_on_the_strength_of_the_measured_motion(basis):
    strong = ModalBasis(swaying_volume() * 50, 2.0)
    pull = np.array([3.0, -1.0])
    field, stronger = (b.displacement(b.pull([POINT], pull)[None]) for b in (basis, strong))
    assert torch.allclose(field, stronger, atol=1e-5)


def test_no_smaller_coordinates_reach_the_same_place(basis):
    pulled = basis.pull([POINT], np.array([3.0, -1.0]))
    shapes, random = basis.shapes_at([POINT]), np.random.default_rng(0)
    real = np.concatenate([shapes.real, -shapes.imag], axis=1)  # of the real and imaginary parts of q
    for _ in range(20):
        other = random.normal(size=8)
        other -= np.linalg.pinv(real) @ (real @ other)  # leaves the point where it is
        changed = pulled + other[:4] + 1j * other[4:]
        np.testing.assert_allclose(moved(basis, changed), moved(basis, pulled), atol=1e-10)
        assert np.linalg.norm(changed) > np.linalg.norm(pulled)


def test_reach_says_how_far_every_point_follows(basis):
    for direction in ((1.0, 0.0), (-2.0, 1.0)):
        reach = basis.reach(direction)
        unit = np.array(direction) / math.hypot(*direction)
        for x, y in [(10, 12), (22, 12), (16, 3), (3, 11), (0, 0)]:
            followed = unit @ moved(basis, basis.pull([(x, y)], unit), (x, y))
            assert float(reach[y, x]) == pytest.approx(followed, abs=1e-9)
    assert float(reach[0, 0]) == pytest.approx(0, abs=1e-12)  # the corner stands still
    assert float(reach[12, 10]) > 0.9


def test_pulling_what_hardly_moves_does_not_throw_the_rest_about(basis):
    compliance = basis.compliance[0] + basis.compliance[2]
    bound = (compliance / basis.softness).sqrt() / 2
    for y in range(0, 24, 3):
        for x in range(0, 32, 3):
            field = basis.displacement(basis.pull([(x, y)], np.array([0.6, 0.8]))[None])[0, 0]
            assert (field.norm(dim=0) <= bound + 1e-5).all()
    assert float(np.percentile(bound, 99)) == pytest.approx(0.5 / math.sqrt(SOFTNESS), rel=0.01)


def test_compliance_is_half_the_squared_amplitude(basis):
    trace = basis.compliance[0] + basis.compliance[2]
    assert torch.allclose(trace, motion_amplitude(swaying_volume())[0, 0].double().square() / 2, atol=1e-6)
    assert basis.rms_amplitude == pytest.approx(float((2 * trace).mean().sqrt()), rel=1e-5)


def test_the_longest_pull_takes_some_point_to_the_limit_and_none_beyond(basis):
    for point in (POINT, (4.0, 12.0), (18.3, 7.6)):
        length, farthest = basis.longest_pull(point), 0.0
        for angle in np.linspace(0, np.pi, 60):
            pulled = basis.pull([point], length * np.array([math.cos(angle), math.sin(angle)]))
            farthest = max(farthest, float(basis.displacement(pulled[None])[0, 0].norm(dim=0).max()))
        assert farthest == pytest.approx(basis.limit, rel=0.01)


def test_two_points_are_pulled_at_once(basis):
    points, targets = [POINT, (22.0, 12.0)], np.array([2.0, 0.0, -1.0, 1.0])
    pulled = basis.pull(points, targets)
    np.testing.assert_allclose((basis.shapes_at(points) @ pulled).real, targets, atol=0.3)


def test_shapes_are_interpolated_between_pixels_and_clamped_at_the_border(basis):
    corners = basis.shapes_at([(3, 5), (4, 5), (3, 6), (4, 6)]).reshape(4, 2, 4)
    between = basis.shapes_at([(3.25, 5.5)])
    np.testing.assert_allclose(between, np.tensordot([0.375, 0.125, 0.375, 0.125], corners, 1))
    np.testing.assert_allclose(basis.shapes_at([(31.4, -0.3)]), basis.shapes_at([(31, 0)]))
    pixel = swaying_volume()[0, 1:, :, 5, 3].double().numpy()
    np.testing.assert_allclose(basis.shapes_at([(3, 5)]), (pixel[:, :2] + 1j * pixel[:, 2:]).T, rtol=1e-6)
    for outside in ((-0.6, 3), (3, 23.6), (math.nan, 3)):
        with pytest.raises(ValueError, match="outside the motion, which is 32x24"):
            basis.shapes_at([outside])


def test_a_picture_of_one_pixel_works():
    basis = ModalBasis(torch.ones(1, 3, 4, 1, 1), 1.0)
    assert basis.shapes_at([(0.2, 0.0)]).shape == (2, 2)


def test_what_the_measured_motion_moves_more_is_in_front(basis):
    loop = LoopMotion(swaying_volume(), Playback((), 60.0, 5))
    assert torch.allclose(basis.importance(), loop.mean_magnitude(), atol=1e-5)


def test_a_little_that_moves_is_enough():
    volume = torch.zeros(1, 2, 4, 40, 40)
    volume[0, 1, :, 20, 20] = 0.5
    basis = ModalBasis(volume, 1.0)
    assert float(basis.reach((1.0, 1.0))[20, 20]) > 0.98
    assert float(basis.reach((1.0, -1.0))[20, 20]) == pytest.approx(0, abs=1e-9)  # it moves along one diagonal alone


def test_what_is_no_basis_is_an_error():
    with pytest.raises(ValueError, match="stands still"):
        ModalBasis(torch.zeros(1, 3, 4, 2, 2), 1.0)
    with pytest.raises(ValueError, match="K >= 2"):
        ModalBasis(torch.ones(1, 1, 4, 2, 2), 1.0)
    with pytest.raises(ValueError, match="period must be positive"):
        ModalBasis(torch.ones(1, 3, 4, 2, 2), 0.0)
