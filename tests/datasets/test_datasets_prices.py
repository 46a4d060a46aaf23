"""The door is strict, its messages name what to mend, and what is sound passes through unchanged."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.datasets import check_prices, load_sp500, log_returns
from companion.errors import InputError

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=60)
PRICE = st.floats(10.0, 1e5)


def series(values, start="2020-01-01"):
    return pd.Series(
        values, index=pd.date_range(start, periods=len(values), name="date"), name="close", dtype="float64"
    )


def one_line(excinfo):
    assert "\n" not in str(excinfo.value)
    return str(excinfo.value)


@DETERMINISTIC
@given(st.lists(PRICE, min_size=1, max_size=30))
def test_sound_prices_come_back_as_they_are(values):
    prices = series(values)
    assert check_prices(prices, source="mine") is prices


@DETERMINISTIC
@given(st.lists(PRICE, min_size=2, max_size=30), st.data())
def test_the_first_bad_price_is_named(values, data):
    row = data.draw(st.integers(0, len(values) - 1))
    bad = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0]))
    prices = series(values)
    prices.iloc[row:] = bad
    with pytest.raises(InputError, match=rf"^mine: close: row {row + 1} \({prices.index[row]:%Y-%m-%d}\): ") as excinfo:
        check_prices(prices, source="mine")
    one_line(excinfo)


@DETERMINISTIC
@given(st.permutations(range(6)))
def test_only_the_ascending_order_passes(order):
    prices = series(np.arange(1.0, 7.0)).iloc[list(order)]
    if list(order) == sorted(order):
        check_prices(prices, source="mine")
    else:
        row = next(i for i in range(1, 6) if order[i] < order[i - 1])
        with pytest.raises(InputError, match=rf"^mine: date: row {row + 1} .*sort the rows"):
            check_prices(prices, source="mine")


@DETERMINISTIC
@given(st.integers(0, 4))
def test_a_repeated_date_is_refused(row):
    index = pd.date_range("2020-01-01", periods=6).to_list()
    index[row + 1] = index[row]
    with pytest.raises(InputError, match=rf"date: row {row + 2} .*keep one row a date"):
        check_prices(pd.Series(1.0, index=pd.DatetimeIndex(index)), source="mine")


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (series([]), "mine: no rows"),
        (pd.Series([1.0, 2.0]), "mine: date: the index is RangeIndex"),
        (series([1, 2]).tz_localize("UTC"), "mine: date: has the time zone UTC"),
        (pd.Series([1.0], index=pd.DatetimeIndex([pd.NaT])), "mine: date: row 1 .*no date"),
        (series([1, 2]).astype(str), "mine: close: has type object"),
        (series([1, 2]).astype(bool), "mine: close: has type bool"),
        (series([1, 2]).to_frame("price"), r"column \['price'\] unknown"),
        (series([1, 2]).to_frame()[[]], "unknown or missing"),
        (pd.concat([series([1, 2])] * 2, axis=1), "repeat a name"),
    ],
)
def test_what_is_not_a_price_table_is_refused(prices, message):
    with pytest.raises(InputError, match=message) as excinfo:
        check_prices(prices, source="mine")
    one_line(excinfo)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("high", 1.0, "high: row 3 .*high 1 but open"),
        ("low", 1e6, "high: row 3 .*but low 1000000:"),
        ("low", 1e9, r"low: row 3 .*price is 1e\+09 after 1228.1, which no market does"),
        ("low", 1250.0, "low: row 3 .*low 1250 but open 1244.78"),
        ("volume", -1.0, "volume: row 3 .*zero or more"),
        ("open", 0.0, "open: row 3 .*above zero"),
    ],
)
def test_impossible_bars_are_refused(column, value, message):
    bars = load_sp500().head(10).copy()
    bars.iloc[2, bars.columns.get_loc(column)] = value
    with pytest.raises(InputError, match=f"^mine: {message}"):
        check_prices(bars, source="mine")


def test_a_day_without_volume_is_a_day():
    bars = load_sp500().head(10).assign(volume=0.0)
    assert check_prices(bars, source="mine") is bars


@DETERMINISTIC
@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=40))
def test_log_returns_invert_the_price(returns):
    close = series(100 * np.exp(np.concatenate([[0], np.cumsum(returns)])))
    found = log_returns(close)
    np.testing.assert_allclose(found, returns, atol=1e-12)
    assert found.name == "log_return"
    assert (found.index == close.index[1:]).all()


def test_log_returns_need_two_sound_prices():
    with pytest.raises(InputError, match="a return needs two"):
        log_returns(series([1.0]))
    with pytest.raises(InputError, match="close: close: row 2"):
        log_returns(series([1.0, np.nan]))


def test_log_returns_of_a_table_are_refused():
    with pytest.raises(InputError, match=r"close: is DataFrame: give a Series"):
        log_returns(series([1.0, 2.0]).to_frame())
