"""Statistics for surrogate tests: closed forms, the same by brute force, invariances, and what is refused."""

from collections import Counter
from itertools import permutations
from math import erf, exp, factorial, log, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from companion.chaos import (
    correlation_sum_at,
    leverage,
    permutation_entropy,
    prediction_error,
    surrogate_test,
    time_reversal_asymmetry,
)

STATISTICS = (time_reversal_asymmetry, prediction_error, permutation_entropy, leverage, correlation_sum_at)
PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)
EVERY = pytest.mark.parametrize("statistic", STATISTICS, ids=lambda statistic: statistic.__name__)

tied_series = arrays(np.int64, st.integers(25, 60), elements=st.integers(-3, 3)).filter(
    lambda x: np.ptp(x[5:]) > 0 and np.ptp(x[:-5]) > 0
)


def noise(n_points, seed):
    return np.random.default_rng(seed).standard_normal(n_points)


def henon(n_points):
    x, y, points = 0.1, 0.1, np.empty(n_points)
    for t in range(-100, n_points):
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
        if t >= 0:
            points[t] = x
    return points


def vectors(x, delay, dimension):
    span = (dimension - 1) * delay
    return np.array([x[t - np.arange(dimension) * delay] for t in range(span, len(x))])


def gaps(x, delay, dimension, theiler):
    """Largest difference of any coordinate, for each pair of delay vectors; infinite where too near in time."""
    points = vectors(x, delay, dimension)
    distances = np.abs(points[:, None] - points).max(axis=2).astype(float)
    times = np.arange(len(points))
    distances[np.abs(times[:, None] - times) <= theiler] = np.inf
    return distances


# time reversal


@PROPERTY
@given(arrays(np.float64, 20, elements=st.floats(-1e6, 1e6, width=32)), st.integers(1, 5))
def test_asymmetry_changes_its_sign_read_backwards_or_upside_down(x, lag):
    if not (x[lag:] - x[:-lag]).any():
        with pytest.raises(ValueError, match=r"series must"):
            time_reversal_asymmetry(x, lag=lag)
        return
    value = time_reversal_asymmetry(x, lag=lag)
    assert time_reversal_asymmetry(x[::-1], lag=lag) == pytest.approx(-value, rel=1e-9, abs=1e-12)
    assert time_reversal_asymmetry(-x, lag=lag) == pytest.approx(-value, rel=1e-9, abs=1e-12)


def test_asymmetry_of_a_sawtooth_is_in_closed_form():
    """Nine steps up of 1 and one down of 9: (9 - 729) / 10 over (90 / 10)^1.5."""
    assert time_reversal_asymmetry(np.tile(np.arange(10), 50)[:-9]) == pytest.approx(-72 / 27, rel=1e-12)


def test_asymmetry_of_a_reversible_process_is_zero_and_of_an_irreversible_one_is_not():
    """AR(1), and its exponential, have the same law backwards; shot noise jumps up and decays down."""
    generator = np.random.default_rng(3)
    paths, shots = np.zeros((2, 400, 500))
    for t in range(1, 500):
        paths[:, t] = 0.6 * paths[:, t - 1] + generator.standard_normal(400)
        shots[:, t] = 0.6 * shots[:, t - 1] + generator.exponential(size=400)
    for reversible in (paths, np.exp(paths / 2)):
        values = np.array([time_reversal_asymmetry(path) for path in reversible])
        assert abs(values.mean()) < 4.5 * values.std() / sqrt(len(values))
    values = np.array([time_reversal_asymmetry(path) for path in shots])
    assert values.mean() > 10 * values.std() / sqrt(len(values))


def test_a_series_that_is_its_own_copy_has_no_asymmetry():
    with pytest.raises(ValueError, match=r"series must move within lag=2 points, but repeats itself after them"):
        time_reversal_asymmetry(np.tile([0.0, 1.0], 10), lag=2)


# prediction


@PROPERTY
@given(tied_series, st.integers(1, 2), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3), st.integers(1, 4))
def test_prediction_error_is_that_of_brute_force_also_with_ties(x, delay, dimension, theiler, horizon, k):
    value = prediction_error(x, delay=delay, dimension=dimension, n_neighbors=k, theiler=theiler, horizon=horizon)
    span = (dimension - 1) * delay
    distances, targets = gaps(x[:-horizon], delay, dimension, theiler), x[span + horizon :]
    reach = np.sort(distances, axis=1)[:, k - 1]
    forecast = np.array([targets[row <= far].mean() for row, far in zip(distances, reach, strict=True)])
    assert value == pytest.approx(np.sqrt(np.mean((forecast - targets) ** 2)) / targets.std(), rel=1e-9)


def test_prediction_error_of_numbers_without_ties_is_that_of_brute_force():
    x = noise(300, 1)
    distances, targets = gaps(x[:-1], 1, 3, 3), x[3:]
    forecast = targets[np.argsort(distances, axis=1)[:, :8]].mean(axis=1)
    assert prediction_error(x) == pytest.approx(np.sqrt(np.mean((forecast - targets) ** 2)) / targets.std(), rel=1e-12)


def test_noise_can_not_be_forecast_and_henon_can():
    """Of noise the error is that of a mean of 8, sqrt(1 + 1/8); a neighbor of Hénon forecasts all but its distance."""
    errors = [prediction_error(noise(1000, seed)) for seed in range(20)]
    assert np.mean(errors) == pytest.approx(sqrt(1 + 1 / 8), abs=4.5 * np.std(errors) / sqrt(20) + 2e-3)
    assert prediction_error(henon(1000)) < 0.06
    assert prediction_error(henon(4000)) < 0.5 * prediction_error(henon(1000)) + 0.01
    assert prediction_error(henon(1000), horizon=20) > 0.9


def test_a_neighbor_shares_no_point_with_its_forecast():
    """A random walk has neighbors in time; without a window these are what forecasts it."""
    walk = np.cumsum(noise(1000, 2))
    assert prediction_error(walk, theiler=0) < prediction_error(walk)
    assert prediction_error(walk) == prediction_error(walk, theiler=3)
    assert prediction_error(walk, delay=4, horizon=5) == prediction_error(walk, delay=4, horizon=5, theiler=13)


# permutation entropy


@PROPERTY
@given(
    arrays(np.float64, st.integers(8, 60), elements=st.floats(-1, 1), unique=True), st.integers(2, 4), st.integers(1, 2)
)
def test_permutation_entropy_is_that_of_a_count(x, order, delay):
    patterns = Counter(tuple(np.argsort(row)) for row in vectors(x, delay, order))
    shares = np.array(list(patterns.values())) / sum(patterns.values())
    expected = -(shares * np.log(shares)).sum() / log(factorial(order))
    assert permutation_entropy(x, order=order, delay=delay) == pytest.approx(expected, abs=1e-12)


@PROPERTY
@given(tied_series, st.integers(2, 5))
def test_ties_count_for_every_order_that_they_could_have(x, order):
    """By brute force over all orders: a tied pattern agrees with some of them, and is split between these."""
    counts = Counter()
    for row in vectors(x, 1, order):
        agree = [way for way in permutations(range(order)) if (np.diff(row[list(way)]) >= 0).all()]
        for way in agree:
            counts[way] += 1 / len(agree)
    shares = np.array(list(counts.values())) / sum(counts.values())
    expected = -(shares * np.log(shares)).sum() / log(factorial(order))
    assert permutation_entropy(x, order=order) == pytest.approx(expected, abs=1e-12)
    assert permutation_entropy(x[::-1], order=order) == pytest.approx(expected, abs=1e-12)


@PROPERTY
@given(tied_series)
def test_permutation_entropy_knows_only_the_order(x):
    value = permutation_entropy(x, order=3)
    assert permutation_entropy(np.exp(x), order=3) == value
    assert permutation_entropy(x**3 - 7.0, order=3) == value
    assert permutation_entropy(-x, order=3) == pytest.approx(value, abs=1e-12)
    assert 0.0 <= value <= 1.0


def test_permutation_entropy_of_noise_is_one_less_its_bias_whatever_the_law_and_of_a_line_zero():
    """Of independent windows 1 - entropy is chi-squared, with 23 degrees of freedom over 2 n log 24."""
    for law in (noise(20_000, 3), np.random.default_rng(4).integers(0, 3, 20_000), noise(20_000, 5) ** 3):
        assert 1 - permutation_entropy(law) < 5 * 23 / (2 * 20_000 * log(24))
    assert permutation_entropy(np.arange(50)) == 0.0
    assert permutation_entropy(henon(5000)) < 0.75


def test_permutation_entropy_of_the_logistic_map_misses_a_pattern():
    """x, 4x(1 - x), ... at r = 4 never falls twice: five of the six patterns (Amigó and others, 2006), with shares
    in closed form from the arcsine law: 1/3 for the ascending one."""
    x = np.sin(0.5 * pi * np.random.default_rng(6).random(100_000)) ** 2
    y = 4 * x * (1 - x)
    z = 4 * y * (1 - y)
    assert ((x > y) & (y > z)).sum() == 0
    assert np.mean((x < y) & (y < z)) == pytest.approx(1 / 3, abs=0.01)
    orbit = np.empty(20_000)
    orbit[0] = 0.3
    for t in range(1, len(orbit)):
        orbit[t] = 4 * orbit[t - 1] * (1 - orbit[t - 1])
    shares = np.array([np.mean(np.argsort(np.stack([x, y, z]).T, axis=1) @ [9, 3, 1] == code) for code in range(27)])
    shares = shares[shares > 0]
    assert permutation_entropy(orbit, order=3) == pytest.approx(-(shares @ np.log(shares)) / log(6), abs=0.01)


# leverage


def test_leverage_is_in_closed_form():
    """r[t] = z[t] exp(-c z[t-1]): one lag, correlation -2c exp(5c²/2) / sqrt(exp(2c²) (3 exp(8c²) - exp(4c²)))."""
    c, values = 0.15, []
    for seed in range(20):
        z = noise(5_001, seed)
        values.append(leverage(z[1:] * np.exp(-c * z[:-1]), max_lag=1))
    expected = -2 * c * exp(2.5 * c**2) / sqrt(exp(2 * c**2) * (3 * exp(8 * c**2) - exp(4 * c**2)))
    assert np.mean(values) == pytest.approx(expected, abs=4.5 * np.std(values) / sqrt(20) + 1e-4)
    z = noise(100_001, 20)
    assert leverage(z[1:] * np.exp(-c * z[:-1]), max_lag=5) == pytest.approx(expected / 5, abs=0.006)


def test_leverage_is_the_mean_of_correlations():
    x = noise(400, 7)
    r = x - x.mean()
    squares = r * r - np.mean(r * r)
    expected = [(r[:-k] * squares[k:]).sum() / np.sqrt((r @ r) * (squares @ squares)) for k in range(1, 5)]
    assert leverage(x, max_lag=4) == pytest.approx(np.mean(expected), rel=1e-10)
    assert leverage(-x, max_lag=4) == pytest.approx(-np.mean(expected), rel=1e-10)
    assert leverage(5.0 + 3 * x, max_lag=4) == pytest.approx(np.mean(expected), rel=1e-10)


def test_leverage_of_gjr_is_negative_and_of_garch_none():
    generator = np.random.default_rng(8)
    garch, gjr = np.zeros((2, 200, 1000))
    for returns, alpha, asymmetry in ((garch, 0.1, 0.0), (gjr, 0.0, 0.2)):
        variance = np.ones(200)
        for t in range(1000):
            returns[:, t] = np.sqrt(variance) * generator.standard_normal(200)
            variance = 0.1 + 0.8 * variance + (alpha + asymmetry * (returns[:, t] < 0)) * returns[:, t] ** 2
    none, negative = (np.array([leverage(path) for path in paths]) for paths in (garch, gjr))
    assert abs(none.mean()) < 4.5 * none.std() / sqrt(200)
    assert negative.mean() < -10 * negative.std() / sqrt(200)


def test_leverage_needs_squares_that_differ():
    with pytest.raises(ValueError, match=r"series must have squares that differ, got two values at equal distance"):
        leverage(np.tile([0.1, 0.3], 20))


# correlation sum


@PROPERTY
@given(tied_series, st.integers(1, 2), st.integers(1, 3), st.integers(0, 4), st.floats(0.05, 3.0))
def test_the_correlation_sum_is_a_count_of_pairs(x, delay, dimension, theiler, radius):
    distances = gaps(x, delay, dimension, theiler)
    expected = (distances < radius * x.std()).sum() / np.isfinite(distances).sum()
    value = correlation_sum_at(x, radius=radius, delay=delay, dimension=dimension, theiler=theiler)
    assert value == pytest.approx(expected, rel=1e-12)


def test_the_correlation_sum_of_gaussian_noise_is_in_closed_form():
    """The difference of two is Gaussian with twice the variance, and the coordinates are independent."""
    x = noise(4000, 9)
    one = erf(0.5 / 2)
    assert correlation_sum_at(x) == pytest.approx(one**3, rel=0.05)
    assert correlation_sum_at(x) == correlation_sum_at(x, theiler=2)
    assert correlation_sum_at(henon(1000)) > 3 * one**3


# in a test


def test_the_level_is_met_on_fresh_noise_by_every_statistic():
    """Noise and its shuffles are exchangeable: of 200 series each statistic rejects 5 %, but for one time in 10,000."""
    generator = np.random.default_rng(15)
    few, many = binom.ppf([5e-5, 1 - 5e-5], 200, 0.05)
    rejected = np.zeros(len(STATISTICS))
    for _ in range(200):
        test = surrogate_test(
            generator.standard_t(3, 40),
            {statistic.__name__: statistic for statistic in STATISTICS},
            null="shuffle",
            n_surrogates=19,
            seed=generator,
        )
        rejected += test.table["p"] < 0.05 + 1e-9
    assert ((rejected >= few) & (rejected <= many)).all()


def test_each_statistic_rejects_what_it_is_for():
    generator = np.random.default_rng(16)
    z = generator.standard_normal(2001)
    shots = np.zeros(500)
    for t in range(1, 500):
        shots[t] = 0.8 * shots[t - 1] + generator.exponential()
    for statistic, series in (
        (time_reversal_asymmetry, shots),
        (prediction_error, henon(300)),
        (permutation_entropy, henon(300)),
        (correlation_sum_at, henon(300)),
        (leverage, z[1:] * np.exp(-0.3 * z[:-1])),
    ):
        test = surrogate_test(series, {"it": statistic}, null="shuffle", n_surrogates=19, seed=generator)
        assert test.table.loc[0, "p"] == pytest.approx(0.05)


# what all have in common


@EVERY
@PROPERTY
@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_unit_and_level_do_not_matter(statistic, unit, level):
    x = noise(80, 10)
    assert statistic(level + unit * x) == pytest.approx(statistic(x), rel=1e-6)


@EVERY
def test_huge_and_tiny_numbers_are_no_trouble(statistic):
    x = noise(60, 11)
    for unit in (2.0**600, 2.0**-600):
        assert statistic(unit * x) == pytest.approx(statistic(x), rel=1e-9)


@EVERY
def test_a_number_is_given_for_integers_and_none_for_what_is_no_series(statistic):
    x = noise(40, 12)
    assert statistic((10 * x).astype(int)) == statistic((10 * x).astype(int).astype(float))
    with pytest.raises(ValueError, match=r"series must not be constant, got 2 at all of its 40 points"):
        statistic(np.full(40, 2))
    with pytest.raises(ValueError, match=r"series must have at least \d+ points for .*, got 2"):
        statistic(x[:2])
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"series must be finite, got (nan|inf) at point 7"):
            statistic(np.where(np.arange(40) == 7, bad, x))
    with pytest.raises(ValueError, match=r"series must be one series, of shape \(n_points,\), got \(2, 20\)"):
        statistic(x.reshape(2, 20))


@pytest.mark.parametrize(
    ("statistic", "wish", "least"),
    [
        (time_reversal_asymmetry, {"lag": 7}, 9),
        (prediction_error, {}, 18),
        (prediction_error, {"dimension": 5, "delay": 50, "theiler": 0}, 210),
        (permutation_entropy, {"order": 5, "delay": 3}, 13),
        (leverage, {"max_lag": 20}, 22),
        (correlation_sum_at, {"dimension": 4, "delay": 2, "theiler": 10}, 18),
    ],
)
def test_the_least_length_is_told_and_is_enough(statistic, wish, least):
    x = noise(least, 13)
    assert np.isfinite(statistic(x, **wish))
    with pytest.raises(ValueError, match=rf"series must have at least {least} points for .*, got {least - 1}"):
        statistic(x[:-1], **wish)


@pytest.mark.parametrize(
    ("statistic", "wish", "message"),
    [
        (time_reversal_asymmetry, {"lag": 0}, "lag must be a positive integer, got 0"),
        (prediction_error, {"n_neighbors": 0}, "n_neighbors must be a positive integer, got 0"),
        (prediction_error, {"horizon": -1}, "horizon must be a positive integer, got -1"),
        (prediction_error, {"theiler": -1}, "theiler must be a non-negative integer, got -1"),
        (permutation_entropy, {"order": 1}, "order must be from 2 to 7, got 1"),
        (permutation_entropy, {"order": 8}, "order must be from 2 to 7, got 8"),
        (permutation_entropy, {"delay": 1.5}, "delay must be a positive integer, got 1.5"),
        (leverage, {"max_lag": 0}, "max_lag must be a positive integer, got 0"),
        (correlation_sum_at, {"radius": 0.0}, "radius must be a positive finite number, got 0.0"),
        (correlation_sum_at, {"dimension": 0}, "dimension must be a positive integer, got 0"),
    ],
)
def test_a_wrong_argument_is_named(statistic, wish, message):
    with pytest.raises(ValueError, match=message):
        statistic(noise(100, 14), **wish)


def test_nothing_to_forecast_is_an_error():
    with pytest.raises(ValueError, match=r"series must not be constant after its first 3 points"):
        prediction_error(np.r_[1.0, 2.0, np.zeros(40)])
