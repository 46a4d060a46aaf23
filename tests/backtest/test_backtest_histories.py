"""Other futures: the past stays to the bit, the future is another, and bars stay bars."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from companion.backtest._histories import History
from companion.datasets._prices import check_bars

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
WAYS = ("redrawn", "scaled", "blanked", "until")


def ohlc(rng, n_bars=80):
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, n_bars)))
    opened = np.roll(close, 1) * np.exp(rng.normal(0.0, 0.003, n_bars))
    high = np.maximum(opened, close) * np.exp(rng.exponential(0.005, n_bars))
    low = np.minimum(opened, close) * np.exp(-rng.exponential(0.005, n_bars))
    columns = {"open": opened, "high": high, "low": low, "close": close, "volume": rng.integers(0, 10**6, n_bars)}
    return pd.DataFrame(columns, pd.bdate_range("2020-01-01", periods=n_bars))


def another(history, way, bar, seed=0):
    if way == "redrawn":
        return history.redrawn(bar, None, np.random.default_rng(seed))
    if way == "blanked":
        return history.blanked(bar, history.inputs[seed % len(history.inputs)])
    return history.until(bar) if way == "until" else history.scaled(bar, None)


@given(
    arrays(np.float64, st.tuples(st.integers(4, 30), st.integers(1, 3)), elements=st.floats(-1e6, 1e6)),
    st.sampled_from(WAYS),
    st.booleans(),
    st.data(),
)
@PROPERTY
def test_the_past_stays_to_the_bit_and_what_was_given_is_not_written_on(values, way, positive, data):
    values = np.exp(values / 1e5) if positive else values
    bar = data.draw(st.integers(0, len(values) - 2))
    kept = values.copy()
    other = another(History.of(values, None), way, bar).give()
    np.testing.assert_array_equal(other[: bar + 1], kept[: bar + 1])
    np.testing.assert_array_equal(values, kept)
    assert len(other) == (bar + 1 if way == "until" else len(values))
    if positive and way in ("redrawn", "scaled"):
        assert np.all(other > 0.0)
    if way == "blanked":
        assert np.all(np.isnan(other[bar + 1 :]).sum(axis=1) == 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("way", ["redrawn", "scaled"])
def test_bars_stay_bars(seed, way):
    frame = ohlc(np.random.default_rng(seed))
    other = another(History.of(frame, None), way, 30, seed).give()
    check_bars(other, "another future")
    assert other["volume"].dtype == frame["volume"].dtype
    assert not np.any(np.isclose(other[31:], frame[31:], rtol=1e-6).all(axis=1))


def test_a_redrawn_price_goes_on_by_steps_that_there_have_been():
    close = ohlc(np.random.default_rng(2))["close"]
    other = History.of(close, None).redrawn(30, None, np.random.default_rng(0)).give()
    steps, drawn = np.diff(np.log(close)), np.diff(np.log(other))[30:]
    assert np.abs(drawn[:, None] - steps).min(axis=1).max() < 1e-12


def test_a_scaled_price_moves_three_times_as_far():
    close = ohlc(np.random.default_rng(2))["close"]
    other = History.of(close, None).scaled(30, None).give()
    np.testing.assert_allclose(np.diff(np.log(other))[30:], 3.0 * np.diff(np.log(close))[30:], rtol=1e-9)
    returns = close.pct_change().fillna(0.0)
    np.testing.assert_array_equal(History.of(returns, None).scaled(30, None).give()[31:], 3.0 * returns[31:])


def test_one_input_is_changed_as_it_is_among_all():
    history = History.of(ohlc(np.random.default_rng(2)), None)
    together = history.redrawn(30, None, np.random.default_rng(7)).give()
    for number, only in enumerate(history.inputs):
        alone = history.redrawn(30, only, np.random.default_rng(7)).give()
        pd.testing.assert_series_equal(alone.iloc[:, number], together.iloc[:, number])
        rest = [column for column in alone.columns if column != only.label]
        pd.testing.assert_frame_equal(alone[rest], history.give()[rest])


def test_a_row_belongs_to_the_bar_at_which_it_is_known():
    dates = pd.bdate_range("2020-01-01", periods=60)
    facts = pd.DataFrame(
        {"value": range(3), "out": ["2020-01-03 18:00", "2020-02-01 09:00", None], "name": list("abc")}
    )
    facts["out"] = pd.to_datetime(facts["out"])
    history = History.of({"close": pd.Series(1.0, dates), "facts": facts}, {"facts": "out"})
    # After the close of Friday the 3rd is Monday the 6th, bar 3; a Saturday is the Monday after; no time is never.
    assert history.tables["facts"].known.tolist() == [3, 23, 60]
    assert history.until(22).give()["facts"]["value"].tolist() == [0]
    assert history.since(4).give()["facts"]["value"].tolist() == [1, 2]
    other = history.redrawn(10, None, np.random.default_rng(0)).give()["facts"]
    pd.testing.assert_series_equal(other["out"], facts["out"])
    assert other["value"].dtype == facts["value"].dtype
    assert set(other["name"]) <= set("abc")
    assert [only.label for only in history.inputs] == ["close", "facts['value']", "facts['name']"]


@pytest.mark.parametrize("form", [np.asarray, pd.Series, pd.DataFrame, lambda x: x.astype(np.float32)])
def test_what_is_given_comes_back_in_its_form(form):
    given = form(np.arange(1.0, 20.0))
    for history in (History.of(given, None), History.of({"one": given}, None)):
        back = history.give()
        back = back["one"] if history.named else back
        assert type(back) is type(given)
        assert getattr(back, "name", None) == getattr(given, "name", None)
        np.testing.assert_array_equal(back, given)
        assert not np.shares_memory(np.asarray(back), np.asarray(given))
        scaled = next(iter(another(history, "scaled", 5).tables.values())).give()
        assert np.asarray(scaled).dtype == np.asarray(given).dtype
