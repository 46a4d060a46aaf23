"""The normalized signal and the rolling statistics under it: exact, causal, and the same bar by bar."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from companion.risk import RollingSpreadStats, SignalNormalizer, normalized_signal

PROPERTY = settings(derandomize=True, deadline=None, max_examples=300)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def exact_mean_std(values):
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((x - mean) ** 2 for x in exact) / len(exact)
    root = Fraction(math.isqrt(int(variance * 4**1200)), 2**1200)
    return float(mean), float(root)


@given(st.lists(ANY_FLOAT, max_size=20), st.integers(2, 6))
@PROPERTY
def test_the_statistics_are_exact_over_the_window(values, window):
    stats, finite = RollingSpreadStats(window), []
    for x in values:
        stats.update(x)
        finite += [x] if math.isfinite(x) else []
        held = finite[-window:]
        assert len(stats) == len(held)
        if len(held) < 2:
            assert all(math.isnan(value) for value in stats.mean_std())
        else:
            np.testing.assert_allclose(stats.mean_std(), exact_mean_std(held), rtol=1e-15, atol=0.0)
    assert stats.refused == len(values) - len(finite)


def test_the_smallest_floats_have_a_deviation():
    smallest = math.ulp(0.0)
    stats = RollingSpreadStats(3)
    for x in (0.0, 0.0, 12 * smallest):
        stats.update(x)
    assert stats.mean_std() == (4 * smallest, 6 * smallest)  # the root of 32 is 5.66


def test_listing_rolling_spread_stats_forgets_one_absurd_spread():
    """As printed, the running sum of squares loses the normal spreads for ever: the deviation stays 0."""
    rng = np.random.default_rng(0)
    stats, spreads = RollingSpreadStats(50), 0.1 + 0.01 * rng.random(200)
    for x in [1e7, *spreads]:
        stats.update(x)
    np.testing.assert_allclose(stats.mean_std(), (spreads[-50:].mean(), spreads[-50:].std()), rtol=1e-12)


def test_listing_rolling_spread_stats_refuses_and_counts_what_is_not_finite():
    """As printed, the mean is NaN for ever after one NaN."""
    stats = RollingSpreadStats(3)
    for x in (1.0, math.nan, 2.0, math.inf, None, 10**400, 3.0):
        stats.update(x)
    assert stats.refused == 4
    assert stats.mean_std() == (2.0, pytest.approx(math.sqrt(2 / 3)))


@pytest.mark.parametrize("window", [1, 0, -3, 2.5, math.nan])
def test_a_window_without_a_spread_is_refused(window):
    with pytest.raises(ValueError, match="window must be an integer of at least 2"):
        RollingSpreadStats(window)


def test_the_signal_is_the_standard_score_against_what_came_before():
    raw = np.random.default_rng(1).standard_normal(200).cumsum()
    z = normalized_signal(raw, window=20)
    assert np.all(np.isnan(z[:20]))
    before = np.lib.stride_tricks.sliding_window_view(raw[:-1], 20)
    np.testing.assert_allclose(z[20:], np.clip((raw[20:] - before.mean(axis=1)) / before.std(axis=1), -3, 3))


def test_listing_spread_gate_a_point_is_not_in_its_own_baseline():
    """As printed, no score in a window of 10 can exceed √9 = 3."""
    quiet = [0.0, 1.0] * 5
    assert normalized_signal([*quiet, 3.0], window=10)[-1] == 3.0
    assert normalized_signal([*quiet, 1.9], window=10)[-1] == pytest.approx(2.8)


@given(arrays(np.float64, st.integers(0, 40), elements=ANY_FLOAT), st.integers(2, 8))
@PROPERTY
def test_the_signal_is_bounded_or_unknown_and_streams(raw, window):
    z, live = normalized_signal(raw, window=window), SignalNormalizer(window)
    assert np.all(np.isnan(z) | (np.abs(z) <= 3.0))
    np.testing.assert_array_equal(z, [live.update(x) for x in raw])
    assert np.all(np.isnan(z[~np.isfinite(raw)]))


@given(arrays(np.float64, 30, elements=ANY_FLOAT), arrays(np.float64, 30, elements=ANY_FLOAT), st.integers(0, 29))
@PROPERTY
def test_the_future_does_not_move_the_past(raw, future, bar):
    changed = np.concatenate([raw[: bar + 1], future[bar + 1 :]])
    past = slice(bar + 1)
    np.testing.assert_array_equal(normalized_signal(raw, window=5)[past], normalized_signal(changed, window=5)[past])


def test_a_signal_that_does_not_move_has_no_scale():
    z = normalized_signal([*[2.0] * 6, 3.0], window=5)
    assert np.all(np.isnan(z))


def test_one_bad_bar_costs_one_bar():
    raw = np.random.default_rng(2).standard_normal(60)
    broken = np.insert(raw, 30, math.nan)
    z = normalized_signal(broken, window=10)
    assert math.isnan(z[30])
    np.testing.assert_array_equal(np.delete(z, 30), normalized_signal(raw, window=10))


def test_only_one_path_at_a_time():
    with pytest.raises(ValueError, match="raw must have shape"):
        normalized_signal(np.zeros((2, 3)), window=2)


@given(st.lists(ANY_FLOAT, min_size=1, max_size=20), st.integers(2, 6))
@PROPERTY
def test_a_stored_baseline_goes_on_to_the_last_bit(values, window):
    live, stats = SignalNormalizer(window), RollingSpreadStats(window)
    for x in values:
        stored, copy = SignalNormalizer(window), RollingSpreadStats(window)
        stored.restore(json.loads(json.dumps(live.state(), allow_nan=False)))
        copy.restore(json.loads(json.dumps(stats.state(), allow_nan=False)))
        assert repr(stored.update(x)) == repr(live.update(x))
        for one in (stats, copy):
            one.update(x)
        assert (repr(copy.mean_std()), len(copy), copy.refused) == (repr(stats.mean_std()), len(stats), stats.refused)


def test_a_state_of_something_else_is_refused():
    stats = RollingSpreadStats(3)
    for state in ({}, RollingSpreadStats(4).state(), stats.state() | {"values": [math.nan]}, {"window": 3}):
        with pytest.raises(ValueError, match="state must be"):
            stats.restore(state)


def test_text_is_no_signal():
    with pytest.raises(ValueError, match="raw must be numbers"):
        normalized_signal(["1.0", "2.0"], window=2)
