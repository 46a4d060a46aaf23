"""The 0–1 test: right on maps, fooled by noise and by fine sampling; and the noise that fools it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.chaos import AR1, GARCH, Henon, LogisticMap, Lorenz, colored_noise, zero_one_test
from companion.chaos._zero_one import mean_square_displacement


def noise(n_points: int = 1500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_points)


def periodic(n_points: int = 1500) -> np.ndarray:
    """The logistic map at r = 3.55: period 8."""
    x = np.empty(n_points)
    x[0] = 0.5
    for i in range(n_points - 1):
        x[i + 1] = 3.55 * x[i] * (1 - x[i])
    return x[500:]


def test_displacement_is_its_definition():
    walk = np.cumsum(noise(300, 1) + 1j * noise(300, 2)) + 50.0
    expected = [np.mean([abs(walk[j + n] - walk[j]) ** 2 for j in range(270)]) for n in range(1, 31)]
    assert mean_square_displacement(walk, 30) == pytest.approx(expected)


@pytest.mark.parametrize("system", [LogisticMap(), Henon()])
def test_chaotic_maps_give_one(system):
    assert zero_one_test(system.simulate(1500, seed=0)[:, 0], seed=0).k > 0.98


@pytest.mark.parametrize("series", [periodic(), np.sin(np.sqrt(2) * np.arange(1500)) + np.sin(2.1 * np.arange(1500))])
def test_regular_motion_gives_zero_and_a_bounded_walk(series):
    test = zero_one_test(series, seed=0)
    assert abs(test.k) < 0.05
    assert not test.is_oversampled
    spread = np.std(test.p - np.linspace(test.p[0], test.p[-1], len(test.p)))
    assert spread < 0.25 * np.std(zero_one_test(noise() + series.mean(), seed=0).p)


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(noise(), id="white noise"),
        pytest.param(AR1(0.5).simulate(1500, seed=0)[:, 0], id="AR(1)"),
        pytest.param(GARCH(0.05, 0.1, 0.85).simulate(1500, seed=0)[:, 0], id="GARCH"),
        pytest.param(colored_noise(1500, exponent=1.0, seed=0), id="colored noise"),
    ],
)
def test_known_failure_noise_is_taken_for_chaos(series):
    test = zero_one_test(series, seed=0)
    assert test.k > 0.95
    assert not test.is_oversampled


def test_known_failure_a_finely_sampled_flow_is_taken_for_regular_and_says_so():
    fine = Lorenz(dt=0.02).simulate(6000, seed=0)[:, 0]
    test, thinned = zero_one_test(fine[:1500], seed=0), zero_one_test(fine[::10], seed=0)
    assert test.k < 0.1
    assert test.is_oversampled
    assert thinned.k > 0.95
    assert not thinned.is_oversampled


def test_damping_pulls_noisy_regular_motion_to_zero_but_not_chaos():
    noisy = periodic()
    noisy = noisy + 0.05 * noisy.std() * noise(len(noisy))
    plain, damped = zero_one_test(noisy, seed=0).k, zero_one_test(noisy, damping=2.5, seed=0).k
    assert plain > 0.05 > abs(damped)
    chaos = LogisticMap().simulate(1500, seed=0)[:, 0]
    assert zero_one_test(chaos, damping=2.5, seed=0).k > 0.95


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 1000.0), shift=st.floats(-10.0, 10.0), seed=st.integers(0, 99))
def test_k_is_a_correlation_and_has_no_units(scale, shift, seed):
    series = noise(200, seed) + shift
    test = zero_one_test(series, n_frequencies=5, seed=seed)
    assert (np.abs(test.k_by_frequency) <= 1 + 1e-12).all()
    assert ((test.frequencies > np.pi / 5) & (test.frequencies < 4 * np.pi / 5)).all()
    other = zero_one_test(scale * series, n_frequencies=5, seed=seed)
    assert other.k_by_frequency == pytest.approx(test.k_by_frequency, abs=1e-6)


def test_walk_and_median_are_those_of_the_paper():
    series = noise(250)
    test = zero_one_test(series, n_frequencies=9, seed=3)
    j = np.arange(1, 251)
    assert test.p[1:] == pytest.approx(np.cumsum(series * np.cos(j * test.picture_frequency)))
    assert test.q[-1] == pytest.approx(np.sum(series * np.sin(j * test.picture_frequency)))
    assert test.k == np.median(test.k_by_frequency)
    again = zero_one_test(series, n_frequencies=9, seed=np.random.default_rng(3))
    assert again.k == test.k


def test_integers_are_numbers():
    counts = np.random.default_rng(0).integers(0, 5, 400)
    assert zero_one_test(counts, seed=0).k == zero_one_test(counts.astype(float), seed=0).k


@pytest.mark.parametrize(
    ("series", "setting", "message"),
    [
        (np.ones(300), {}, "series must"),
        (np.r_[noise(300), np.nan], {}, "series must be finite"),
        (np.r_[noise(300), np.inf], {}, "series must be finite"),
        (noise(199), {}, "series must have at least 200 points for the 0–1 test, got 199"),
        (noise(), {"n_frequencies": 0}, "n_frequencies must be a positive integer, got 0"),
        (noise(), {"damping": -1.0}, "damping must not be negative"),
        (noise(), {"seed": -1}, "seed must"),
    ],
)
def test_bad_arguments_are_named(series, setting, message):
    with pytest.raises(ValueError, match=message):
        zero_one_test(series, **{"seed": 0} | setting)


@pytest.mark.parametrize("n_points", [1000, 1001])
@pytest.mark.parametrize("exponent", [0.0, 1.5, 2.0])
def test_colored_noise_has_the_spectrum_it_promises(n_points, exponent):
    series = colored_noise(n_points, exponent=exponent, seed=1)
    assert series.shape == (n_points,)
    assert series.mean() == pytest.approx(0.0, abs=1e-12)
    assert series.std() == pytest.approx(1.0)
    power = np.abs(np.fft.rfft(series)[1:]) ** 2
    assert np.log(power / power[0]) == pytest.approx(-exponent * np.log(np.arange(1, len(power) + 1)), abs=1e-6)
    assert (series == colored_noise(n_points, exponent=exponent, seed=1)).all()
    assert (series != colored_noise(n_points, exponent=exponent, seed=2)).any()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_points": 3}, "n_points must be at least 4, got 3"),
        ({"exponent": 5.0}, "exponent must be between -4 and 4, got 5"),
        ({"exponent": np.nan}, "exponent must be a finite number"),
        ({"seed": None}, "seed must"),
    ],
)
def test_colored_noise_names_bad_arguments(setting, message):
    with pytest.raises(ValueError, match=message):
        colored_noise(**{"n_points": 100, "exponent": 1.0, "seed": 0} | setting)
