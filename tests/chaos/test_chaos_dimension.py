"""False neighbors and Cao: their definitions, the systems whose dimension is known, and noise that has none."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import binom

from companion.chaos import AR1, GARCH, Henon, LogisticMap, Lorenz, Rossler, cao, false_nearest_neighbors

SEEDS = st.integers(0, 2**32 - 1)
N_POINTS = 3000


@functools.cache
def series_of(name):
    system = {"Lorenz": Lorenz, "Rössler": Rossler, "Hénon": Henon, "logistic": LogisticMap}[name]()
    return system.simulate(N_POINTS, seed=3)[:, 0]


def noise_of(name, n_points=N_POINTS, seed=5):
    rng = np.random.default_rng(seed)
    if name == "independent":
        return rng.normal(size=n_points)
    if name == "heavy tails":
        return rng.standard_t(3, size=n_points)
    if name == "GARCH":
        return GARCH(0.02, 0.08, 0.9).simulate(n_points, seed=seed)[:, 0]
    return AR1(float(name)).simulate(n_points, seed=seed)[:, 0]


# dimensions that are right: enough by theory for the map itself, or the embedding's for the flow
TRUTH = [
    ("Lorenz", 9, 50, (3, 4)),
    ("Rössler", 14, 70, (3, 4)),
    ("Hénon", 1, 0, (2,)),
    ("logistic", 1, 0, (1, 2)),
]


@pytest.mark.parametrize(("name", "delay", "theiler", "dimensions"), TRUTH)
def test_known_systems_have_their_dimension(name, delay, theiler, dimensions):
    given = {"delay": delay, "max_dimension": 6, "theiler": theiler}
    neighbors, found = false_nearest_neighbors(series_of(name), **given), cao(series_of(name), **given)
    assert neighbors.dimension in dimensions
    assert neighbors.reason == ""
    assert neighbors.fraction[neighbors.dimension - 1] < 0.01
    assert (neighbors.fraction[: neighbors.dimension - 1] >= 0.01).all()
    assert found.dimension in dimensions
    assert found.is_deterministic
    assert found.reason == ""


def test_the_logistic_map_needs_one_coordinate_because_the_future_is_asked_for():
    x = series_of("logistic")
    assert false_nearest_neighbors(x, delay=1, max_dimension=3, theiler=0).dimension == 1
    # The past of the logistic map does not follow from its present: every point has two preimages.
    backward = false_nearest_neighbors(x[::-1], delay=1, max_dimension=3, theiler=0)
    assert backward.dimension is None
    # Two preimages, one of them the neighbor's: half of the neighbors are false.
    np.testing.assert_allclose(backward.fraction, 0.5, atol=0.05)


@pytest.mark.parametrize("name", ["independent", "heavy tails", "GARCH", "0.5"])
def test_noise_has_no_dimension(name):
    given = {"delay": 1, "max_dimension": 6, "theiler": 0}
    neighbors, found = false_nearest_neighbors(noise_of(name), **given), cao(noise_of(name), **given)
    assert neighbors.dimension is None
    assert neighbors.reason.endswith("the best one")
    assert neighbors.fraction.min() > 0.05
    assert found.dimension is None
    assert not found.is_deterministic
    assert found.reason == "E2 stays 1 within what noise gives: more coordinates do not predict the next any better"


def test_without_the_second_criterion_noise_seems_to_have_a_dimension():
    given = {"delay": 1, "max_dimension": 6, "theiler": 0}
    assert false_nearest_neighbors(noise_of("independent"), size=1e9, **given).dimension is not None


def test_slow_noise_fools_false_neighbors_but_not_cao():
    x = noise_of("0.99")
    given = {"delay": 1, "max_dimension": 7, "theiler": 0}
    assert false_nearest_neighbors(x, **given).dimension is not None
    assert not cao(x, **given).is_deterministic


def test_smooth_noise_fools_cao():
    x = lfilter([1.0], [1.0, -1.95, 0.96], noise_of("independent"))[200:]
    assert cao(x, delay=10, max_dimension=6, theiler=30).is_deterministic


def test_e2_of_independent_series_is_1_and_leaves_its_band_in_at_most_one_percent():
    n_series, rng = 150, np.random.default_rng(11)
    found = [cao(rng.normal(size=400), delay=1, max_dimension=4) for _ in range(n_series)]
    e2 = np.array([one.e2 for one in found])
    error = e2.std(axis=0) / np.sqrt(n_series)
    np.testing.assert_allclose(e2.mean(axis=0), 1.0, atol=4 * error.max() + 0.005)
    outside = sum(one.is_deterministic for one in found)
    assert outside <= binom.ppf(0.999, n_series, 0.01)
    assert np.min([one.e2_band for one in found]) > 0.1  # so short that the band is not its lower limit


def test_the_band_of_a_long_series_stays_wide_enough_for_dependent_noise():
    found = cao(noise_of("0.99", 10_000), delay=1, max_dimension=2)
    np.testing.assert_array_equal(found.e2_band, 0.1)
    assert not found.is_deterministic


def naive(series, delay, n_dimensions, theiler, norm):
    """For each dimension: distance to the nearest neighbor, and by how much the next coordinate differs."""
    x = (series - series.mean()) / series.std()
    n_rows = len(x) - n_dimensions * delay
    table = np.array([x[t : t + n_dimensions * delay + 1 : delay] for t in range(n_rows)])
    for d in range(1, n_dimensions + 1):
        near, away = np.empty(n_rows), np.empty(n_rows)
        for i in range(n_rows):
            distances = np.linalg.norm(table[:, :d] - table[i, :d], ord=norm, axis=1)
            distances[max(i - theiler, 0) : i + theiler + 1] = np.inf
            j = int(np.argmin(distances))
            near[i], away[i] = distances[j], abs(table[i, d] - table[j, d])
        yield near, away


@settings(max_examples=12, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(0, 6), st.floats(2, 20), st.floats(0.5, 3))
def test_false_neighbors_are_their_definition(seed, delay, theiler, ratio, size):
    series = np.cumsum(np.random.default_rng(seed).normal(size=80))
    found = false_nearest_neighbors(series, delay=delay, max_dimension=3, theiler=theiler, ratio=ratio, size=size)
    for d, (near, away) in enumerate(naive(series, delay, 3, theiler, 2)):
        false = (away / near > ratio) | (np.sqrt(near**2 + away**2) > size)
        assert found.fraction[d] == pytest.approx(false.mean(), abs=1e-12)


@settings(max_examples=12, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(9, 12))  # nearer in time, i - k and i + k may be equally far from i
def test_e1_and_e2_are_their_definition(seed, delay, theiler):
    series = np.cumsum(np.random.default_rng(seed).normal(size=80))
    found = cao(series, delay=delay, max_dimension=3, theiler=theiler)
    pairs = list(naive(series, delay, 4, theiler, np.inf))
    # In the largest-difference norm the distance in d + 1 dimensions is the larger of the old one and the new one.
    growth = np.array([np.mean(np.maximum(near, away) / near) for near, away in pairs])
    apart = np.array([away.mean() for _, away in pairs])
    np.testing.assert_allclose(found.e1, growth[1:] / growth[:-1], rtol=1e-9)
    np.testing.assert_allclose(found.e2, apart[1:] / apart[:-1], rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(-10, 10), st.floats(1e-9, 1e9), st.booleans())
def test_neither_unit_nor_zero_nor_sign_matters(seed, shift, scale, mirrored):
    series = Henon().simulate(300, seed=seed)[:, 0]
    other = (-scale if mirrored else scale) * (series + shift)
    given = {"delay": 1, "max_dimension": 3, "theiler": 1}
    before, after = (false_nearest_neighbors(x, **given) for x in (series, other))
    np.testing.assert_allclose(before.fraction, after.fraction, atol=1e-12)
    before, after = (cao(x, **given) for x in (series, other))
    np.testing.assert_allclose(before.e1, after.e1, rtol=1e-4)
    np.testing.assert_allclose(before.e2, after.e2, rtol=1e-6)


def test_fine_rounding_changes_nothing_and_coarse_rounding_is_said():
    x, given = series_of("Lorenz"), {"delay": 9, "max_dimension": 5, "theiler": 50}
    fine = np.round(x / x.std(), 2)
    assert false_nearest_neighbors(fine, **given).dimension == 3
    assert cao(fine, **given).dimension in (3, 4)
    coarse = np.round(4 * x / x.std()).astype(int)
    for found in (false_nearest_neighbors(coarse, **given), cao(coarse, **given)):
        assert found.dimension is None
        assert found.reason.startswith("the values are too coarse")
        assert found.twins[0] == 1.0


def test_tied_noise_stays_noise():
    x, given = np.round(noise_of("independent"), 1), {"delay": 1, "max_dimension": 5, "theiler": 0}
    neighbors, found = false_nearest_neighbors(x, **given), cao(x, **given)
    assert neighbors.twins[0] == pytest.approx(1.0, abs=0.01)
    assert neighbors.dimension is None
    assert not found.is_deterministic


def test_of_coins_the_method_says_nothing():
    coins = np.random.default_rng(1).integers(0, 2, size=500)
    given = {"delay": 1, "max_dimension": 4, "theiler": 0}
    assert false_nearest_neighbors(coins, **given).dimension is None
    assert cao(coins, **given).dimension is None


def test_a_series_that_repeats_itself_exactly_is_refused_by_cao():
    x, given = np.tile([1.0, 5.0, 2.0], 60), {"delay": 1, "max_dimension": 3, "theiler": 0}
    with pytest.raises(ValueError, match="series must not repeat itself exactly"):
        cao(x, **given)
    assert false_nearest_neighbors(x, **given).dimension is None  # all of it is twins


def test_a_dimension_at_the_last_place_is_not_reported():
    found = cao(series_of("Lorenz"), delay=9, max_dimension=3, theiler=50)
    assert found.dimension is None
    assert found.reason == "E1 does not stay above 0.9 up to max_dimension=3"


@pytest.mark.parametrize("method", [false_nearest_neighbors, cao])
@pytest.mark.parametrize(
    ("series", "changed", "message"),
    [
        (np.arange(99.0), {"delay": 20}, r"series must have at least \d+ points for max_dimension=5, delay=20, theile"),
        (np.arange(99.0), {"theiler": 50}, r"series must have at least \d+ points .*theiler=50, got 99"),
        (np.arange(99.0), {"delay": 0}, r"delay must be a positive integer, got 0"),
        (np.arange(99.0), {"max_dimension": 1.5}, r"max_dimension must be a positive integer, got 1.5"),
        (np.arange(99.0), {"theiler": -1}, r"theiler must be a non-negative integer, got -1"),
        (np.r_[np.arange(98.0), np.nan], {}, r"series must be finite, got nan at point 98"),
        (np.full(99, 3.0), {}, r"series must not be constant"),
    ],
)
def test_bad_arguments_are_refused_by_name(method, series, changed, message):
    with pytest.raises(ValueError, match=message):
        method(series, **{"delay": 1, "max_dimension": 5, "theiler": 2, **changed})


@pytest.mark.parametrize(("method", "more"), [(false_nearest_neighbors, 1), (cao, 2)])
def test_the_least_length_is_enough(method, more):
    least = (4 + more - 1) * 3 + 2 * 5 + 2
    series = np.random.default_rng(0).normal(size=least)
    method(series, delay=3, max_dimension=4, theiler=5)
    with pytest.raises(ValueError, match=f"at least {least} points"):
        method(series[1:], delay=3, max_dimension=4, theiler=5)


def test_thresholds_are_checked():
    for name in ("ratio", "size"):
        with pytest.raises(ValueError, match=f"{name} must be a positive finite number"):
            false_nearest_neighbors(np.arange(99.0), delay=1, max_dimension=2, theiler=0, **{name: 0.0})
    with pytest.raises(ValueError, match="max_dimension must be at least 2, got 1"):
        cao(np.arange(99.0) ** 2, delay=1, max_dimension=1)
