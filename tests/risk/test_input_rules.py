"""The rules on returns: what they measure, that they are causal, without unit, and survive anything."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from companion.risk import InputRules
from companion.risk._input_rules import INPUT_RULES, Feed

PROPERTY = settings(derandomize=True, deadline=None, max_examples=50)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
RULES, NAMES = InputRules(), list(INPUT_RULES)


@pytest.fixture(scope="module")
def returns():
    return np.random.default_rng(0).normal(0.0, 0.01, (6, 300))


def column(statistics, name):
    return statistics[..., NAMES.index(name)]


def test_bar_by_bar_is_the_whole_path(returns):
    feed = Feed(RULES)
    rows = [feed.update(value) for value in returns[2].tolist()]
    np.testing.assert_array_equal(rows, RULES.statistics(returns)[2])
    np.testing.assert_array_equal(rows, RULES.statistics(returns[2]))


SMALL_OR_ANY = st.one_of(ANY_FLOAT, st.floats(-0.1, 0.1), st.sampled_from([0.0, 0.01, -0.01, 10.0, 1e-300]))


@given(arrays(np.float64, st.integers(1, 40), elements=SMALL_OR_ANY), st.integers(1, 9), st.floats(0.1, 50.0))
@PROPERTY
def test_the_live_feed_says_to_the_last_bit_what_the_whole_path_says(path, window, half_life):
    rules = InputRules(half_life=half_life, window=window, warm_up=5)
    live, stored = Feed(rules), Feed(rules)
    rows = []
    for value in path.tolist():
        stored.restore(json.loads(json.dumps(live.state(), allow_nan=False)))
        rows.append(live.update(value))
        assert stored.update(value) == rows[-1]
    np.testing.assert_array_equal(rows, rules.statistics(path))


@pytest.mark.parametrize("state", [{}, {"n_bars": None}, Feed(InputRules(window=7)).state()])
def test_a_state_of_something_else_is_refused(state):
    with pytest.raises(ValueError, match="state must be"):
        Feed(RULES).restore(state)


@given(arrays(np.float64, 20, elements=ANY_FLOAT), arrays(np.float64, 20, elements=ANY_FLOAT), st.integers(0, 19))
@PROPERTY
def test_the_future_does_not_move_the_past(path, future, bar):
    rules = InputRules(warm_up=5)
    changed = np.concatenate([path[: bar + 1], future[bar + 1 :]])
    np.testing.assert_array_equal(rules.statistics(path)[: bar + 1], rules.statistics(changed)[: bar + 1])


@given(arrays(np.float64, (2, 20), elements=ANY_FLOAT))
@PROPERTY
def test_any_feed_has_statistics_and_only_an_invalid_one_is_infinite(paths):
    statistics = InputRules(warm_up=5).statistics(paths)
    invalid = ~(np.abs(paths) <= 10.0)
    assert not np.any(np.isnan(statistics))
    np.testing.assert_array_equal(np.isinf(statistics), np.stack([invalid] + 4 * [np.zeros_like(invalid)], axis=-1))
    assert np.all(statistics >= 0.0)


@pytest.mark.parametrize("factor", [1e-4, 0.3, 4.0])
def test_the_unit_of_the_returns_does_not_matter(factor):
    path = np.random.default_rng(1).normal(0.0, 0.1, 200)
    np.testing.assert_allclose(RULES.statistics(factor * path), RULES.statistics(path), rtol=1e-9)


def test_sizes_are_measured_against_the_exponential_average_of_the_bars_before(returns):
    rules, path = InputRules(warm_up=60), returns[0]
    bar, weights = 200, 0.5 ** (np.arange(200)[::-1] / 10.0)
    clipless = np.sqrt(np.average(path[:bar] ** 2, weights=weights))
    assert np.abs(path / 0.01).max() < 4.0  # else the average would be of clipped returns
    assert column(rules.statistics(path), "jump")[bar] == pytest.approx(abs(path[bar]) / clipless, rel=1e-9)


def test_a_strange_bar_hides_the_next_one_only_a_little(returns):
    path = returns[0].copy()
    path[[200, 201]] = 1.0
    first, second = column(RULES.statistics(path), "jump")[[200, 201]]
    assert first > 50.0
    assert 0.5 < second / first < 1.0
    assert second / first == pytest.approx(1.0 / np.sqrt(0.5 ** (1 / 10) + 16.0 * (1.0 - 0.5 ** (1 / 10))), rel=1e-4)


def test_runs_are_counted_and_end(returns):
    path = returns[0].copy()
    path[100:104] = 0.0
    path[150:154] = [0.02, 0.02, -0.02, 0.02]
    statistics = RULES.statistics(path)
    np.testing.assert_array_equal(column(statistics, "frozen")[99:105], [0, 1, 2, 3, 4, 0])
    np.testing.assert_array_equal(column(statistics, "repeated")[99:105], [0, 0, 1, 2, 3, 0])
    np.testing.assert_array_equal(column(statistics, "repeated")[149:155], [0, 0, 1, 2, 3, 0])


def test_a_collapse_is_how_many_times_quieter_the_window_is():
    """From ±1 % to ±0.01 %: after five bars the mean square is that of five returns against the volatility before."""
    path = 0.01 * np.where(np.arange(200) % 2, 1.0, -1.0)
    path[150:] *= 0.01
    quieter = column(RULES.statistics(path), "collapse")
    decay = 0.5 ** (1 / 10)
    before = np.cumprod(np.r_[1.0, np.full(4, decay)])  # variance in units of 1 %², before each of the five bars
    expected = 1.0 / np.sqrt(np.mean(1e-4 / (before + 1e-4 * (1.0 - before))))
    assert quieter[154] == pytest.approx(expected, rel=1e-3)
    assert quieter[149] == pytest.approx(1.0, rel=1e-9)


def test_before_the_warm_up_only_what_needs_no_volatility_speaks():
    path = np.random.default_rng(3).normal(0.0, 0.01, 100)
    path[20:24], path[30], path[40] = 0.0, np.nan, 1.0
    statistics = RULES.statistics(path)
    assert np.all(column(statistics, "jump")[:60] == 0.0)
    assert np.all(column(statistics, "collapse")[:60] == 0.0)
    assert column(statistics, "frozen")[23] == 4.0
    assert np.isinf(column(statistics, "invalid")[30])
    assert column(statistics, "jump")[61] > 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 10.1, -1e300])
def test_an_invalid_return_leaves_no_trace(returns, bad):
    path = np.insert(returns[0], 150, bad)
    statistics = RULES.statistics(path)
    np.testing.assert_array_equal(statistics[150], [np.inf, 0, 0, 0, 0])
    np.testing.assert_array_equal(np.delete(statistics, 150, axis=0), RULES.statistics(returns[0]))


@pytest.mark.parametrize("fields", [{"half_life": 0.0}, {"half_life": np.inf}, {"window": 0}, {"warm_up": 0}])
def test_settings_without_sense_are_refused(fields):
    with pytest.raises(ValueError, match="must be a positive"):
        InputRules(**fields)


@pytest.mark.parametrize("returns", [np.zeros((2, 2, 2)), np.zeros(0), 0.01])
def test_what_is_not_a_path_is_refused(returns):
    with pytest.raises(ValueError, match="log_returns must have shape"):
        RULES.statistics(returns)


@pytest.mark.parametrize(
    ("returns", "message"),
    [(pd.DataFrame({"a": [0.01]}), "one series or.*got a table"), (["0.01", "0.02"], "numbers"), ([True], "numbers")],
)
def test_what_is_not_numbers_is_refused(returns, message):
    with pytest.raises(ValueError, match=f"log_returns must be {message}"):
        RULES.statistics(returns)


def test_a_nullable_column_with_a_gap_has_an_invalid_bar():
    column = pd.Series([0.01, None, 0.02], dtype="Float64")
    np.testing.assert_array_equal(RULES.statistics(column), RULES.statistics([0.01, np.nan, 0.02]))
