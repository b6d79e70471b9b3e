"""Damped oscillators against closed forms, the matrix exponential and an ODE integrator, in float64."""

import numpy as np
import pytest

from models.dynamics.oscillators import DampedOscillators, Damping, Transition

OMEGAS = np.array([0.3, 1.2566, 6.0, 18.85])
STEPS = (1e-4, 1 / 240, 1 / 30, 0.5, 10.0)
# The paper's; none; over-damped at all frequencies; critical at 6 rad/s; over-damped at high and low ones alone.
DAMPINGS = (Damping(), Damping(0, 0), Damping(50, 5), Damping(12, 0), Damping(0, 0.2), Damping(1, 0))


def moving(damping: Damping, seed: int = 0) -> DampedOscillators:
    oscillators, random = DampedOscillators(OMEGAS, damping), np.random.default_rng(seed)
    oscillators.q = random.normal(size=4) + 1j * random.normal(size=4)
    oscillators.v = OMEGAS * (random.normal(size=4) + 1j * random.normal(size=4))
    return oscillators


@pytest.mark.parametrize("damping", DAMPINGS)
@pytest.mark.parametrize("force", [0.0, np.array([1 + 2j, -0.5, 3j, 0.1])])
def test_one_step_agrees_with_an_ode_integrator(damping, force):
    from scipy.integrate import solve_ivp

    oscillators = moving(damping)
    omega, gamma = oscillators.omega, oscillators.gamma

    def slope(_, state):
        q, v = state[:4], state[4:]
        return np.concatenate([v, omega**2 * (force - q) - gamma * v])

    start = np.concatenate([oscillators.q, oscillators.v])
    solved = solve_ivp(slope, (0, 0.7), start, method="DOP853", rtol=1e-11, atol=1e-12)
    oscillators.advance(0.7, force)
    np.testing.assert_allclose(np.concatenate([oscillators.q, oscillators.v]), solved.y[:, -1], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("excess", [0.0, *(sign * 10.0**-k for k in range(1, 16) for sign in (1, -1))])
def test_near_critical_damping_agrees_with_the_matrix_exponential(excess):
    from scipy.linalg import expm

    omega = 6.0
    gamma = 2 * omega * (1 + excess)
    for seconds in STEPS:
        step = Transition.over(seconds, np.array([omega]), np.array([gamma]))
        exact = expm(np.array([[0, 1], [-(omega**2), -gamma]]) * seconds)
        got = np.array([[step.qq[0], step.qv[0]], [step.vq[0], step.vv[0]]])
        np.testing.assert_allclose(got, exact, rtol=1e-9, atol=1e-13)


def test_closed_forms():
    t, q0, v0 = 0.37, 2.0, -1.0
    omega = np.array([5.0, 4.0, 3.0])
    gamma = np.array([6.0, 8.0, 10.0])  # a = 3, 4, 5: r = 4 under, 0 critical, 4 over damping
    step = Transition.over(t, omega, gamma)
    q = step.qq * q0 + step.qv * v0
    under = np.exp(-3 * t) * (q0 * np.cos(4 * t) + (v0 + 3 * q0) / 4 * np.sin(4 * t))
    critical = np.exp(-4 * t) * (q0 + (v0 + 4 * q0) * t)
    over = ((v0 + 9 * q0) * np.exp(-t) - (v0 + q0) * np.exp(-9 * t)) / 8
    np.testing.assert_allclose(q, [under, critical, over], rtol=1e-13)


@pytest.mark.parametrize("damping", DAMPINGS)
@pytest.mark.parametrize("seconds", STEPS)
def test_energy_never_grows_without_a_force(damping, seconds):
    for seed in range(5):
        oscillators = moving(damping, seed)
        energies = [oscillators.energy()]
        for _ in range(40):
            oscillators.advance(seconds)
            energies.append(oscillators.energy())
        assert np.isfinite(energies).all()
        assert (np.diff(energies) <= 1e-12 * energies[0]).all()
    if damping == Damping(0, 0):
        assert energies[-1] == pytest.approx(energies[0], rel=1e-10)
    elif seconds == 10:
        assert energies[-1] < 0.5 * energies[0]


@pytest.mark.parametrize("damping", DAMPINGS)
def test_many_small_steps_are_one_large_one(damping):
    force = np.array([1, 2j, 0, -1])
    one, many = moving(damping), moving(damping)
    one.advance(2.0, force)
    for seconds in (0.5, 1e-4, 0.9999, *[0.05] * 10):
        many.advance(seconds, force)
    np.testing.assert_allclose(many.q, one.q, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(many.v, one.v, rtol=1e-10, atol=1e-12)


def test_a_lasting_force_leads_to_the_displacement_that_it_is_given_as():
    oscillators, force = moving(Damping()), np.array([1 + 1j, 2, -3j, 0])
    oscillators.advance(200.0, force)
    np.testing.assert_allclose(oscillators.q, force, atol=1e-9)
    assert np.abs(oscillators.v).max() < 1e-9


def test_extreme_damping_and_steps_stay_finite():
    omega = np.array([1e-3, 1.0, 1e3])
    for gamma in (0.0, 1e-12, 2.0, 1e6):
        for seconds in (0.0, 1e-9, 1.0, 1e6):
            step = Transition.over(seconds, omega, np.full(3, gamma))
            values = np.stack([step.qq, step.qv * omega, step.vq / omega, step.vv])
            assert np.isfinite(values).all()
            assert np.abs(values).max() <= 1 + 1e-9


def test_no_time_changes_nothing():
    step = Transition.over(0.0, OMEGAS, np.array([0.0, 2.5132, 1.0, 100.0]))
    np.testing.assert_allclose([step.qq, step.vv], 1.0, rtol=1e-15)
    assert not np.any([step.qv, step.vq])


def test_real_and_imaginary_part_are_two_oscillators():
    both, real = moving(Damping()), moving(Damping())
    real.q, real.v = real.q.real + 0j, real.v.real + 0j
    both.advance(0.3)
    real.advance(0.3)
    np.testing.assert_allclose(both.q.real, real.q.real, rtol=1e-14)
    assert not real.q.imag.any()


@pytest.mark.parametrize("damping", DAMPINGS)
def test_turning_modes_go_round_with_one_exponential(damping):
    oscillators = moving(damping)
    start, rates = oscillators.q, oscillators.turning_rates()
    oscillators.v = rates * start
    oscillators.advance(0.8)
    np.testing.assert_allclose(oscillators.q, start * np.exp(rates * 0.8), rtol=1e-10)
    under = oscillators.gamma < 2 * OMEGAS
    assert (rates.imag[under] > 0).all()  # the sense of exp(i omega t)
    assert (rates.real <= 0).all()


def test_rayleigh_damping_has_the_papers_defaults():
    np.testing.assert_allclose(Damping().rates(np.array([1.0, 10.0])), [0.48, 8.4])


@pytest.mark.parametrize(("alpha", "beta"), [(-0.1, 0), (0, -1), (np.nan, 0), (0, np.inf)])
def test_damping_that_would_add_energy_is_an_error(alpha, beta):
    with pytest.raises(ValueError, match="damping must be"):
        Damping(alpha, beta)


def test_impossible_steps_are_an_error():
    for seconds in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="time step"):
            Transition.over(seconds, OMEGAS, OMEGAS)
    for omega, gamma in [(0.0, 1.0), (1.0, -1.0), (np.nan, 1.0)]:
        with pytest.raises(ValueError, match="oscillators need"):
            Transition.over(1.0, np.array([omega]), np.array([gamma]))
