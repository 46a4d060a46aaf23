"""Delays: autocorrelation against its definition, mutual information against closed forms, noise and invariances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import mutual_info_score

from companion.chaos import AR1, LogisticMap, Lorenz, autocorrelation_delay, mutual_information
from companion.chaos._delay import equiprobable_bins

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(10, 80), st.integers(1, 8), st.floats(-5, 5), st.floats(0.1, 100))
def test_autocorrelation_is_its_definition_in_any_unit(seed, n_points, max_delay, shift, scale):
    series = np.random.default_rng(seed).normal(size=n_points)
    found = autocorrelation_delay(shift + scale * series, max_delay=max_delay)
    away = series - series.mean()
    expected = [away[k:] @ away[: n_points - k] / (away @ away) for k in range(max_delay + 1)]
    np.testing.assert_allclose(found.autocorrelation, expected, atol=1e-10)
    below = [k for k in range(max_delay + 1) if found.autocorrelation[k] < 1 / math.e]
    assert found.delay == (below[0] if below else None)
    assert bool(found.reason) == (found.delay is None)


def test_an_ar1_process_falls_below_1_over_e_where_its_powers_do():
    series = AR1(0.9).simulate(400_000, seed=1)[:, 0]
    found = autocorrelation_delay(series, max_delay=30)
    assert 0.9**9 > found.level > 0.9**10
    assert found.delay == 10
    np.testing.assert_allclose(found.autocorrelation, 0.9 ** np.arange(31), atol=0.03)


def test_a_cosine_falls_below_a_half_after_a_sixth_of_its_period():
    series = np.cos(2 * np.pi * np.arange(40_000) / 40)
    assert autocorrelation_delay(series, level=0.5, max_delay=20).delay == 7
    assert autocorrelation_delay(series, level=0.0, max_delay=20).delay in (10, 11)


def test_a_trend_has_no_delay():
    found = autocorrelation_delay(np.arange(500), max_delay=50)
    assert found.delay is None
    assert found.reason == "the autocorrelation stays above 0.368 up to max_delay=50"


def naive_mutual_information(series, delay, n_bins):
    """What a learner writes: count, divide, sum."""
    rank = np.argsort(np.argsort(series))
    bins = rank * n_bins // len(series)
    joint = np.zeros((n_bins, n_bins))
    for past, present in zip(bins[: len(bins) - delay], bins[delay:], strict=True):
        joint[past, present] += 1
    p = joint / joint.sum()
    independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0)
    return np.sum(p[p > 0] * np.log(p[p > 0] / independent[p > 0]))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 8), st.integers(1, 5), st.floats(0.0, 0.95))
def test_it_equals_the_naive_count(seed, n_bins, max_delay, phi):
    series = AR1(phi).simulate(300, seed=seed)[:, 0]
    found = mutual_information(series, max_delay=max_delay, n_bins=n_bins)
    expected = [naive_mutual_information(series, k, n_bins) for k in range(max_delay + 1)]
    np.testing.assert_allclose(found.nats, expected, atol=1e-12)
    np.testing.assert_array_equal(found.delays, np.arange(max_delay + 1))


def test_it_equals_scikit_learn_on_the_same_bins():
    series = LogisticMap().simulate(2000, seed=3)[:, 0]
    found = mutual_information(series, max_delay=3, n_bins=11)
    bins = equiprobable_bins(series, 11)
    expected = [mutual_info_score(bins[: 2000 - k], bins[k:]) for k in range(4)]
    np.testing.assert_allclose(found.nats, expected, rtol=1e-10)


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_an_ar1_process_has_the_mutual_information_of_its_correlation(phi):
    n_points, delays = 50_000, np.arange(1, 9)
    found = mutual_information(AR1(phi).simulate(n_points, seed=5)[:, 0], max_delay=8)
    theory = -0.5 * np.log(1.0 - phi ** (2 * delays))
    corrected = (found.nats - found.bias_nats)[1:]
    # Bins hide a few percent, and more the sharper the dependence; three standard errors of the count besides.
    np.testing.assert_allclose(corrected, theory, rtol=0.06, atol=3 * np.sqrt(2 * theory.max() / n_points))
    # Without the correction the last delays are off by many times that error: the bias is not an ornament.
    assert found.nats[8] - theory[-1] > 0.8 * found.bias_nats[8]


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([np.exp, np.arctan, lambda x: x**3, lambda x: 5.0 * x - 3.0]))
def test_increasing_functions_change_nothing(seed, function):
    series = AR1(0.7).simulate(200, seed=seed)[:, 0]
    before, after = (mutual_information(x, max_delay=4) for x in (series, function(series)))
    np.testing.assert_array_equal(before.nats, after.nats)
    np.testing.assert_array_equal(before.bias_nats, after.bias_nats)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_neither_a_mirror_nor_time_reversal_changes_it(seed):
    series = np.cumsum(np.random.default_rng(seed).exponential(size=200)) % 5.0  # rises slowly, falls at once
    before = mutual_information(series, max_delay=4, n_bins=5).nats
    np.testing.assert_allclose(mutual_information(-series, max_delay=4, n_bins=5).nats, before, atol=1e-12)
    np.testing.assert_allclose(mutual_information(series[::-1], max_delay=4, n_bins=5).nats, before, atol=1e-12)


def test_bins_are_equiprobable_and_delay_0_is_their_entropy():
    series = np.random.default_rng(2).exponential(size=1200)
    assert np.bincount(equiprobable_bins(series, 8)).tolist() == [150] * 8
    assert mutual_information(series, max_delay=3, n_bins=8).nats[0] == pytest.approx(math.log(8))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=60), st.integers(2, 9))
def test_tied_values_share_a_bin_and_larger_values_are_never_in_a_lower_one(values, n_bins):
    bins = equiprobable_bins(np.array(values, dtype=float), n_bins)
    order = np.argsort(values, kind="stable")
    steps = np.diff(bins[order])
    assert ((steps == 0) | (steps == 1)).all()
    assert (steps[np.diff(np.array(values)[order]) == 0] == 0).all()
    assert bins.min() == 0


def test_ties_lower_the_number_of_bins_and_independence_stays_below_the_noise():
    coin = np.random.default_rng(4).integers(0, 2, size=4000)
    found = mutual_information(coin, max_delay=5, n_bins=16)
    assert found.n_bins == 2
    assert (found.nats[1:] < 3 * found.noise_nats).all()
    assert found.nats[0] == pytest.approx(math.log(2), abs=1e-3)


def test_bias_and_noise_are_those_of_independent_series():
    n_series, n_points, n_bins = 800, 601, 6
    rng = np.random.default_rng(8)
    found = [mutual_information(rng.normal(size=n_points), max_delay=1, n_bins=n_bins) for _ in range(n_series)]
    nats = np.array([one.nats[1] for one in found])
    bias = np.mean([one.bias_nats[1] for one in found])
    error = nats.std() / math.sqrt(n_series)
    assert bias == pytest.approx(25 / 1200, rel=0.01)
    # Miller's correction is of first order: the next term is of order n_bins²/n_pairs of it.
    assert nats.mean() == pytest.approx(bias, abs=4 * error + 0.03 * bias)
    above = np.count_nonzero(nats > found[0].noise_nats)
    low, high = binom.ppf([0.0005, 0.9995], n_series, 0.05)
    assert low <= above <= high


@pytest.mark.parametrize(("period", "quarter"), [(40.13, 10), (4.13, 1)])
def test_a_sine_has_its_first_minimum_at_a_quarter_of_its_period(period, quarter):
    noise = np.random.default_rng(6).normal(size=20_000)
    series = np.sin(2 * np.pi * np.arange(20_000) / period) + 0.5 * noise
    assert mutual_information(series, max_delay=40).first_minimum == quarter


def test_lorenz_has_a_first_minimum_and_what_only_forgets_has_none():
    x = Lorenz().simulate(5000, seed=1)[:, 0]
    found = mutual_information(x, max_delay=60)
    assert found.first_minimum in range(7, 15)  # .14 to .28 units of time
    assert found.reason == ""
    for system in (LogisticMap(), AR1(0.8), AR1(0.0)):
        found = mutual_information(system.simulate(5000, seed=2)[:, 0], max_delay=60)
        assert found.first_minimum is None
        assert "to what independent noise gives" in found.reason
    slow = mutual_information(Lorenz().simulate(5000, seed=1)[:, 0], max_delay=4)
    assert slow.first_minimum is None
    assert slow.reason == "it has no minimum that it rises from again, up to max_delay=4"


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        (np.arange(30.0), {"max_delay": 5}, r"series must have at least 32 points for max_delay=5, got 30"),
        (np.arange(80.0), {"max_delay": 5, "n_bins": 9}, r"at least 86 points for max_delay=5, n_bins=9, got 80"),
        (np.arange(99.0), {"max_delay": 5, "n_bins": 1}, r"n_bins must be at least 2, got 1"),
        (np.arange(99.0), {"max_delay": 0}, r"max_delay must be a positive integer, got 0"),
        (np.r_[0.0, np.ones(98)], {"max_delay": 5}, r"series must spread over at least 2 bins, but its ties leave 1"),
        (np.full(99, np.nan), {"max_delay": 5}, r"series must be finite, got nan"),
        (np.ones(99), {"max_delay": 5}, r"series must not be constant"),
    ],
)
def test_mutual_information_refuses_by_name(series, options, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(series, **options)


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        (np.arange(6.0), {"max_delay": 5}, r"series must have at least 7 points for max_delay=5, got 6"),
        (np.arange(9.0), {"max_delay": 5, "level": 1.0}, r"level must lie between -1 and 1, got 1.0"),
        (np.arange(9.0), {"max_delay": 5, "level": np.nan}, r"level must be a finite number"),
        (np.arange(9.0), {"max_delay": 1.5}, r"max_delay must be a positive integer"),
        (np.ones(9), {"max_delay": 5}, r"series must not be constant"),
    ],
)
def test_autocorrelation_refuses_by_name(series, options, message):
    with pytest.raises(ValueError, match=message):
        autocorrelation_delay(series, **options)
