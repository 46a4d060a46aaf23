"""Many positions on one price series: each row is what its own backtest says."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.backtest import Performance, backtest_table, run_backtest

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
EXACT = {"check_exact": True, "check_dtype": False}


def market(seed, n_sets=4, n_bars=50):
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, n_bars)))
    return close, np.round(rng.uniform(-1.5, 3.0, (n_sets, n_bars)), 2)


TRADING = st.fixed_dictionaries(
    {},
    optional={
        "cost_bp": st.floats(0.0, 500.0),
        "half_spread_bp": st.floats(0.0, 50.0),
        "borrow_spread": st.floats(0.0, 2.0),
        "short_fee": st.floats(0.0, 2.0),
        "delay": st.integers(0, 60),
        "cash_rate": st.one_of(st.floats(-0.1, 0.3), st.just(np.linspace(0.0, 0.1, 50))),
        "bars_per_year": st.floats(1.0, 1e5),
        "max_leverage": st.just(3.0),
    },
)


@given(seed=st.integers(0, 10_000), trading=TRADING)
@PROPERTY
def test_a_row_is_the_performance_of_a_backtest(seed, trading):
    """Ruin included, and bit by bit: one kernel trades for both and measures for both."""
    close, positions = market(seed)
    expected = [vars(run_backtest(close, position, **trading).performance()) for position in positions]
    pd.testing.assert_frame_equal(backtest_table(close, positions, **trading), pd.DataFrame(expected), **EXACT)


def test_a_row_is_the_row_of_many_paths():
    close, positions = market(0)
    paths = run_backtest(np.tile(close, (4, 1)), positions).by_path()
    pd.testing.assert_frame_equal(backtest_table(close, positions), paths, **EXACT)


def test_sets_may_come_one_by_one_in_any_type():
    close, positions = market(1)
    dates = pd.date_range("2020-01-01", periods=50, freq="W")
    dated = pd.Series(close, dates)
    table = backtest_table(dated, positions)
    assert list(table) == [field.name for field in fields(Performance)]
    for sets in ((pd.Series(p, dates) for p in positions), positions.tolist(), np.asfortranarray(positions)):
        pd.testing.assert_frame_equal(backtest_table(dated, sets), table, **EXACT)
    whole = np.sign(positions).astype(np.int8)
    pd.testing.assert_frame_equal(backtest_table(close, whole), backtest_table(close, whole.astype(float)), **EXACT)
    positions.flags.writeable = False
    pd.testing.assert_frame_equal(backtest_table(dated, positions), table, **EXACT)
    assert len(backtest_table(close, [])) == 0


DATED = pd.Series([1.0, 1.1, 1.2, 1.3], pd.date_range("2020-01-01", periods=4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": [1.0, 1.1]}, "close must have shape .* at least 3 bars"),
        ({"close": np.ones((2, 4))}, "close must have shape"),
        ({"close": -DATED}, r"close must be finite and positive, got -1.0 at 2020-01-01 \(bar 0\)"),
        ({"positions": np.ones(4)}, r"positions\[0\] must have shape"),
        ({"positions": np.ones((2, 5))}, r"positions\[0\] must have the shape of close \(4,\), got \(5,\)"),
        ({"positions": [np.ones(4), [0, 0, np.nan, 0]]}, r"positions\[1\] .* got nan at 2020-01-03 \(bar 2\)"),
        ({"positions": [np.full(4, 2.0)], "max_leverage": 1.5}, r"positions\[0\] must stay within max_leverage=1.5"),
        ({"positions": [DATED.iloc[:3]]}, r"positions\[0\] must have the index of close"),
        ({"positions": pd.DataFrame(np.ones((4, 2)))}, r"got a table: give positions.to_numpy\(\).T"),
        ({"delay": -1}, "delay must be a non-negative integer"),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        backtest_table(**{"close": DATED, "positions": np.ones((2, 4)), "bars_per_year": 252} | change)


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="slippage"):
        backtest_table(DATED, np.ones((2, 4)), slippage=1.0)
