"""Events on a photo's modes: what is held follows, what is let go rings down, wind blows as its seed says."""

import math

import numpy as np
import pytest
import torch
from helpers.modal_scenes import swaying_motion, swaying_volume

from models.dynamics.basis import ModalBasis
from models.dynamics.events import WIND_STEP, Drag, Event, Impulse, Pluck, Wind, shortened
from models.dynamics.oscillators import DampedOscillators, Damping
from models.dynamics.rig import ModalMotion, ModalRig, modal_coordinates, simulate

POINT, OTHER = (10.0, 12.0), (22.0, 12.0)
PULL = (1.2, -0.6)


@pytest.fixture(scope="module")
def basis() -> ModalBasis:
    return ModalBasis.of_motion(swaying_motion())


def moved(basis: ModalBasis, coordinates: np.ndarray, point=POINT) -> np.ndarray:
    """Displacement of a point at N times, ``[N, 2]``."""
    return (coordinates @ basis.shapes_at([point]).T).real


def path_of(basis: ModalBasis, events: list[Event], times, point=POINT) -> np.ndarray:
    return moved(basis, modal_coordinates(basis, events, times), point)


# Holding and letting go -----------------------------------------------------------------------------------------------


def test_a_held_point_follows_the_pointer(basis):
    drag = Drag(POINT, ((0.2, 0.0, 0.0), (0.5, 1.0, 0.3), (0.9, 0.2, -1.0), (1.5, 0.2, -1.0)))
    times = np.linspace(0.2, 1.499, 40)
    followed = path_of(basis, [drag], times)
    wanted = np.stack([drag.offset(time) for time in times])
    assert np.abs(followed - wanted).max() < 0.06
    assert not path_of(basis, [drag], [0.0, 0.1, 0.2]).any()  # at rest before


def test_a_point_held_still_for_long_is_where_a_pull_puts_it(basis):
    drag = Drag.pull(POINT, PULL, hold=60.0)
    held = modal_coordinates(basis, [drag], [59.0])[0]
    np.testing.assert_allclose(held, basis.pull([POINT], np.array(PULL)), atol=1e-6)


def test_a_swinging_point_is_taken_where_it_is_and_let_go_without_a_jump(basis):
    drag = Drag(POINT, ((0.3, 0.0, 0.0), (0.5, 0.6, 0.4), (0.6, 0.5, 0.0)))
    tick = 1e-5
    for moment in (0.3, 0.6):
        times = [moment + tick * step for step in (-2, -1, 0, 1, 2)]
        path = path_of(basis, [Pluck(OTHER, PULL), drag], times)
        assert np.abs(np.diff(path, axis=0)).max() < 20 * tick
        assert np.abs(path).max() > 0.05  # it is under way
    release = path_of(basis, [drag], [0.6 - 2 * tick, 0.6 - tick, 0.6, 0.6 + tick, 0.6 + 2 * tick])
    speeds = np.diff(release, axis=0) / tick
    np.testing.assert_allclose(speeds, speeds[:1].repeat(4, axis=0), atol=0.05)  # it flies on as it was flung
    assert speeds[0] @ [-1, -4] > 10


def test_energy_never_grows_after_letting_go(basis):
    drag = Drag.pull(POINT, PULL)
    rig = ModalRig(basis, Damping())
    rig.grab(drag)
    rig.advance(drag.end)
    rig.let_go(drag)
    assert not np.abs(rig.velocities()).any()  # it was held still
    energies = [rig.modes.energy()]
    assert energies[0] == pytest.approx(0.5 * float((np.abs(basis.pull([POINT], np.array(PULL))) ** 2).sum()))
    for step in range(400):
        rig.advance(drag.end + (step + 1) / 50)
        energies.append(rig.modes.energy())
    assert (np.diff(energies) <= 1e-12 * energies[0]).all()
    assert energies[-1] < 1e-2 * energies[0]


def test_two_points_are_held_and_let_go_one_after_the_other(basis):
    first = Drag(POINT, ((0.0, 0.0, 0.0), (0.4, 1.0, 0.0), (3.0, 1.0, 0.0)))
    second = Drag(OTHER, ((1.0, 0.0, 0.0), (1.5, 0.0, 1.0), (2.0, 0.0, 1.0)))
    times = np.arange(1.0, 2.999, 0.1)
    apart, other = path_of(basis, [first, second], times), path_of(basis, [first, second], times, OTHER)
    assert np.abs(apart - [1.0, 0.0]).max() < 0.15
    start = path_of(basis, [first], [1.0], OTHER)[0]
    held = (times >= 1.5) & (times < 2.0)
    assert np.abs(other[held] - start - [0.0, 1.0]).max() < 0.15
    jumps = path_of(basis, [first, second], [0.9999, 1.0001, 1.9999, 2.0001, 2.9999, 3.0001])
    assert np.abs(jumps[1::2] - jumps[::2]).max() < 0.01


# Pluck, tap and wind --------------------------------------------------------------------------------------------------


def test_a_pluck_is_the_papers_release(basis):
    coordinates = modal_coordinates(basis, [Pluck(POINT, PULL, time=0.5)], [0.49, 0.5, 1.3])
    pulled = basis.pull([POINT], np.array(PULL))
    assert not coordinates[0].any()
    np.testing.assert_allclose(coordinates[1], pulled)
    omega = basis.angular_frequencies
    gamma = 0.4 + 0.08 * omega**2
    turned = pulled * np.exp((-gamma / 2 + 1j * np.sqrt(omega**2 - gamma**2 / 4)) * 0.8)
    np.testing.assert_allclose(coordinates[2], turned, rtol=1e-9)


def test_a_tap_is_a_strong_force_for_a_short_time(basis):
    seconds = 1e-5
    tapped = modal_coordinates(basis, [Impulse(POINT, (0.05, 0.02))], [0.4])[0]
    pushed = DampedOscillators(basis.angular_frequencies, Damping())
    pushed.advance(seconds, basis.pull([POINT], np.array([0.05, 0.02]) / seconds))
    pushed.advance(0.4 - seconds)
    np.testing.assert_allclose(tapped, pushed.q, rtol=1e-3)
    start = path_of(basis, [Impulse(POINT, (0.05, 0.02))], [0.0, 0.01])
    assert not start[0].any()
    assert start[1] @ [0.05, 0.02] > 0


def test_steady_wind_bends_the_picture_by_its_measured_motion(basis):
    wind = Wind(1.5, direction=(0.0, -3.0))
    bent = basis.displacement(modal_coordinates(basis, [wind], [60.0]))
    assert float(bent.square().sum(2).mean().sqrt()) == pytest.approx(1.5 * basis.rms_amplitude, rel=1e-4)
    assert float(bent[0, 0, 1].sum()) < 0  # upwards
    after = modal_coordinates(basis, [Wind(1.5, start=0.0, end=2.0)], [1.999, 2.0, 40.0])
    np.testing.assert_allclose(after[1], after[0], atol=0.02)
    assert np.abs(after[2]).max() < 0.01


def test_the_force_of_wind_is_what_it_does_on_every_pixel(basis):
    x, y = 0.8, 0.6
    volume = swaying_volume()[0, 1:].double().numpy()
    shapes = volume[:, :2] + 1j * volume[:, 2:]
    expected = (x * shapes[:, 0] + y * shapes[:, 1]).conj().sum(axis=(1, 2))
    force = Wind(1.0, direction=(0.8, 0.6)).force(basis)
    np.testing.assert_allclose(force / force[0], expected / expected[0], rtol=1e-5)


def test_gusts_agree_with_an_ode_integrator(basis):
    from scipy.integrate import solve_ivp

    wind, seconds = Wind(1.0, gusts=0.8, start=0.05, end=0.3, seed=3), 0.4
    omega, force = basis.angular_frequencies, wind.force(basis)
    gamma, size = 0.4 + 0.08 * omega**2, len(omega)

    def slope(time, state):
        q, v = state[:size], state[size:]
        return np.concatenate([v, omega**2 * (wind.factor(time) * force - q) - gamma * v])

    start = np.zeros(2 * size, complex)
    solved = solve_ivp(slope, (0, seconds), start, max_step=WIND_STEP / 8, rtol=1e-8, atol=1e-10)
    coordinates = modal_coordinates(basis, [wind], [seconds])[0]
    np.testing.assert_allclose(coordinates, solved.y[:size, -1], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_gusts_are_smooth_never_reverse_and_are_determined_by_their_seed():
    times = np.arange(0, 60, WIND_STEP)
    first, again, other = (np.array([Wind(1.0, gusts=0.7, seed=s).factor(t) for t in times]) for s in (1, 1, 2))
    assert (first == again).all()
    assert np.abs(first - other).max() > 0.3
    assert (first >= 0).all()
    assert first.max() > 1.5 > 0.5 > first.min()
    assert np.abs(np.diff(first)).max() < 0.1
    steady = Wind(1.0, start=1.0, end=2.0)
    assert [steady.factor(t) for t in (0.99, 1.0, 1.99, 2.0)] == [0.0, 1.0, 1.0, 0.0]


def test_motion_does_not_depend_on_the_frame_rate(basis):
    events = [Wind(0.5, gusts=0.5, seed=4), Drag.pull(POINT, PULL, time=0.213), Pluck(OTHER, PULL, 1.01)]
    coarse = modal_coordinates(basis, events, np.arange(20) / 10)
    fine = modal_coordinates(basis, events, np.arange(100) / 50)
    np.testing.assert_allclose(coarse, fine[::5], atol=1e-9)
    swapped = modal_coordinates(basis, events[::-1], np.arange(20) / 10)
    np.testing.assert_allclose(swapped, coarse, atol=1e-12)


# The motion texture ---------------------------------------------------------------------------------------------------


def test_a_poked_point_moves_the_way_it_was_pulled_and_rings_down():
    texture = simulate(swaying_motion(), [Drag.pull(POINT, PULL, time=0.1)], num_frames=601, fps=30.0)
    assert texture.shape == (1, 601, 2, 24, 32)
    assert texture.dtype == torch.float32
    poked = texture[0, :, :, 12, 10].double().numpy()
    assert not poked[:4].any()  # the photo, until the pull begins
    np.testing.assert_allclose(poked[18], PULL, atol=0.1)  # held at 0.6 s
    along = poked @ PULL / math.hypot(*PULL)
    assert along[19:].min() < -0.1 * along[18]  # swings to the other side
    peaks = [np.abs(poked[start : start + 60]).max() for start in range(0, 600, 60)]
    assert (np.diff(peaks[1:]) < 0).all()
    assert texture[0, -1].abs().max() < 0.01


def test_stronger_damping_comes_to_rest_sooner():
    events = [Drag.pull(POINT, PULL)]
    light, heavy = (
        simulate(swaying_motion(), events, num_frames=90, fps=30.0, damping=damping)[0, -15:].abs().max()
        for damping in (Damping(0.1, 0.01), Damping(3.0, 0.1))
    )
    assert heavy < 0.2 * light


def test_the_mean_of_the_measured_motion_does_not_matter(basis):
    volume = swaying_volume()
    volume[:, 0] = 0
    events, times = [Drag.pull(POINT, PULL), Wind(1.0, gusts=0.5)], [0.3, 1.0]
    other = modal_coordinates(ModalBasis(volume, 2.0), events, times)
    np.testing.assert_allclose(other, modal_coordinates(basis, events, times))


def test_frames_come_a_few_at_a_time(basis):
    motion = ModalMotion.simulate(basis, [Pluck(POINT, PULL)], num_frames=7, fps=30.0)
    whole = motion.at(motion.times)
    assert len(motion.times) == 7
    assert motion.size == (32, 24)
    for start in (0, 3, 6):
        assert torch.allclose(motion.at(motion.times[start : start + 2]), whole[:, start : start + 2], atol=1e-6)
    assert motion.largest_displacement() == pytest.approx(float(whole.norm(dim=2).max()), rel=1e-5)
    assert torch.equal(motion.to(torch.device("cpu")).at([4]), motion.at([4]))


def test_magnifying_changes_nothing_but_the_amplitude(basis):
    event = Pluck(POINT, PULL)
    plain, larger = (ModalMotion.simulate(basis, [event], num_frames=4, fps=30.0, magnify=m) for m in (0.5, 1.0))
    np.testing.assert_allclose(2 * plain.coordinates, larger.coordinates)


def test_a_pull_too_far_is_shortened(basis):
    far = Drag.pull(POINT, (300.0, 400.0))
    event, factor = shortened(basis, far)
    assert factor == pytest.approx(basis.longest_pull(POINT) / 500)
    assert event.path[-1][1:] == pytest.approx((300 * factor, 400 * factor))
    motion = ModalMotion.simulate(basis, [far], num_frames=40, fps=30.0)
    assert 0.5 * basis.limit < motion.largest_displacement() <= basis.limit * 1.0001
    plucked, same = shortened(basis, Pluck(POINT, (300.0, 400.0)))
    assert (same, math.hypot(*plucked.pull)) == pytest.approx((factor, basis.longest_pull(POINT)))
    near = Drag.pull(POINT, PULL)
    assert shortened(basis, near) == (near, 1.0)


def test_what_adds_up_beyond_the_limit_is_made_smaller_as_a_whole(basis):
    storm = [Wind(500.0), Impulse(POINT, (100.0, 0.0)), Pluck(OTHER, (0.0, 1e6))]
    motion = ModalMotion.simulate(basis, storm, num_frames=10, fps=30.0)
    assert motion.largest_displacement() == pytest.approx(basis.limit, rel=1e-4)
    times = [index / 30 for index in range(10)]
    ratio = motion.coordinates[1:] / modal_coordinates(basis, storm, times)[1:]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Pluck(POINT, (math.nan, 0.0)), "finite numbers"),
        (lambda: Pluck(POINT, PULL, time=-0.1), "times from 0 on"),
        (lambda: Impulse(POINT, (math.inf, 0.0)), "finite numbers"),
        (lambda: Drag(POINT, ((0.0, 0.0, 0.0),)), "two or more rising times"),
        (lambda: Drag(POINT, ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0))), "two or more rising times"),
        (lambda: Drag(POINT, ()), "two or more rising times"),
        (lambda: Wind(1.0, direction=(0.0, 0.0)), "a direction"),
        (lambda: Wind(1.0, gusts=-1.0), "gusts of 0 or more"),
        (lambda: Wind(1.0, start=2.0, end=1.0), "an end after its start"),
        (lambda: simulate(swaying_motion(), [], num_frames=0, fps=30.0), "a positive frame rate"),
        (lambda: simulate(swaying_motion(), [], num_frames=3, fps=0.0), "a positive frame rate"),
        (lambda: simulate(swaying_motion(), [Pluck((40.0, 3.0), PULL)], num_frames=3, fps=30.0), "outside the motion"),
    ],
)
def test_what_makes_no_sense_is_a_one_line_error(make, complaint):
    with pytest.raises(ValueError, match=complaint) as error:
        make()
    assert "\n" not in str(error.value)


def test_times_must_rise(basis):
    for times in ([], [-0.1], [0.2, 0.1]):
        with pytest.raises(ValueError, match="rising from 0 on"):
            modal_coordinates(basis, [], times)
