"""Volatility from bars: the formulas, the window, bad bars, and a stream that agrees with the whole."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.datasets import load_sp500
from companion.risk._volatility import (
    ESTIMATORS,
    FAULTS,
    bar_faults,
    rolling_volatility,
    yang_zhang,
    yang_zhang_k,
)
from companion.risk._volatility_stream import StreamingVolatility

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
BAD_BARS = {
    "a price is not a finite number": [(math.nan, 2.0, 1.0, 1.5), (1.5, math.inf, 1.0, 1.5)],
    "a price is not positive": [(1.0, 2.0, 0.0, 1.5), (-1.0, 2.0, -1.0, 1.5)],
    "high is below low": [(1.5, 1.0, 2.0, 1.5)],
    "open or close lies outside low to high": [(2.1, 2.0, 1.0, 1.5), (1.5, 2.0, 1.0, 0.9)],
}


def make_bars(n_bars, *, seed=0, sigma=0.01):
    rng = np.random.default_rng(seed)
    path = 100.0 * np.exp(np.cumsum(sigma * rng.standard_normal((n_bars, 20)), axis=None)).reshape(n_bars, 20)
    day = path[:, 3:]  # three steps of night
    return np.stack([day[:, 0], day.max(axis=1), day.min(axis=1), day[:, -1]], axis=-1)


@pytest.fixture(scope="module")
def bars():
    return make_bars(120)


def by_the_book(bars, n):
    """The estimators as they are printed, of the last n bars."""
    start, high, low, end = np.log(bars[-n:]).T
    o, c, u, d = start - np.log(bars[-n - 1 : -1, 3]), end - start, high - start, low - start
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    v_rs = np.mean(u * (u - c) + d * (d - c))
    return {
        "close_to_close": np.var(o + c, ddof=1),
        "parkinson": np.mean((u - d) ** 2) / (4 * math.log(2)),
        "garman_klass": np.mean(0.5 * (u - d) ** 2 - (2 * math.log(2) - 1) * c**2),
        "rogers_satchell": v_rs,
        "yang_zhang": np.var(o, ddof=1) + k * np.var(c, ddof=1) + (1 - k) * v_rs,
    }


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("window", [2, 21])
def test_the_last_value_is_the_formula_of_the_paper(bars, estimator, window):
    volatility = rolling_volatility(bars, estimator=estimator, window=window, bars_per_year=252)
    assert volatility[-1] == pytest.approx(math.sqrt(252 * by_the_book(bars, window)[estimator]), rel=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_warm_up_ends_where_the_window_is_full(bars, estimator):
    needs_close_before = estimator in ("close_to_close", "yang_zhang")
    volatility = rolling_volatility(bars, estimator=estimator, window=10, bars_per_year=252)
    assert np.isnan(volatility[: 9 + needs_close_before]).all()
    assert np.isfinite(volatility[9 + needs_close_before :]).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_stream_agrees_bar_by_bar(bars, estimator):
    stream = StreamingVolatility(estimator=estimator, window=10)
    readings = [stream.update(*bar) for bar in bars]
    rolling = rolling_volatility(bars, estimator=estimator, window=10, bars_per_year=252)
    np.testing.assert_allclose([reading.per_year(252) for reading in readings], rolling, rtol=1e-12)
    assert all(reading.accepted for reading in readings)
    assert {reading.reason for reading in readings} == {"", "warming up"}


@pytest.mark.parametrize(("reason", "bad"), [(reason, bar) for reason, bars in BAD_BARS.items() for bar in bars])
def test_a_bad_bar_is_refused_by_the_stream_and_skipped_by_the_window(bars, reason, bad):
    broken = bars.copy()
    broken[50] = bad
    faults = bar_faults(broken)
    assert FAULTS[faults[50]] == reason
    assert np.count_nonzero(faults) == 1
    stream = StreamingVolatility(window=10)
    readings = [stream.update(*bar) for bar in broken]
    assert math.isnan(readings[50].per_bar)
    assert readings[50][1:] == (False, reason)
    assert stream.n_refused == 1
    rolling = yang_zhang(np.stack([bars, broken]), window=10, bars_per_year=252)
    np.testing.assert_array_equal(rolling[0], yang_zhang(bars, window=10, bars_per_year=252))
    np.testing.assert_allclose([reading.per_year(252) for reading in readings], rolling[1], rtol=1e-12)
    without = yang_zhang(np.delete(bars, 50, axis=0), window=10, bars_per_year=252)
    np.testing.assert_allclose([reading.per_year(252) for reading in readings[51:]], without[50:], rtol=1e-12)


@given(
    st.lists(
        st.tuples(*[st.one_of(st.floats(), st.sampled_from([1.0, 1.01, 1e-300, 1e300]))] * 4), min_size=3, max_size=30
    )
)
@PROPERTY
def test_whatever_comes_in_the_answer_is_no_infinity_and_the_stream_goes_on(candidates):
    for estimator in ESTIMATORS:
        stream = StreamingVolatility(estimator=estimator, window=2)
        readings = [stream.update(*bar) for bar in candidates]
        good = np.array([reading.accepted for reading in readings])
        np.testing.assert_array_equal(good, bar_faults(candidates) == 0)
        rolling = rolling_volatility(candidates, estimator=estimator, window=2, bars_per_year=252)
        np.testing.assert_allclose([reading.per_year(252) for reading in readings], rolling, rtol=1e-9)
        assert not np.isinf(rolling).any()
        assert not (rolling < 0).any()
        for _ in range(4):
            last = stream.update(1.0, 1.02, 0.99, 1.01)
        assert last.per_bar > 0.0 or estimator == "close_to_close"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_huge_bar_leaves_no_trace_once_it_has_left_the_window(bars, estimator):
    shocked = bars.copy()
    shocked[40] = [1e-200, 1e200, 1e-200, 1.0]
    before, after = (
        rolling_volatility(series, estimator=estimator, window=10, bars_per_year=252) for series in (bars, shocked)
    )
    np.testing.assert_array_equal(after[51:], before[51:])
    assert after[40] > 20


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_price_that_does_not_move_has_volatility_zero_and_no_negative_root(estimator):
    still = np.full((30, 4), 123.456)
    assert (rolling_volatility(still, estimator=estimator, window=5, bars_per_year=252)[5:] == 0.0).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_future_does_not_move_the_past(bars, estimator):
    changed = np.concatenate([bars[:60], make_bars(60, seed=1, sigma=0.05)])
    changed[70] = math.nan
    past, same = (rolling_volatility(b, estimator=estimator, window=10, bars_per_year=252) for b in (bars, changed))
    np.testing.assert_array_equal(past[:60], same[:60])
    assert not np.array_equal(past[60:], same[60:], equal_nan=True)


def test_frames_paths_and_units(bars):
    frame = pd.DataFrame(
        bars, columns=["open", "high", "low", "close"], index=pd.bdate_range("2020-01-01", periods=120)
    )
    days = yang_zhang(frame.assign(volume=1.0), window=10, bars_per_year=252)
    paths = np.stack([bars, 3.0 * bars, bars[::-1]])
    volatility = yang_zhang(paths, window=10, bars_per_year=252)
    np.testing.assert_array_equal(volatility[0], days)
    np.testing.assert_allclose(volatility[1], volatility[0], rtol=1e-9)  # the unit of the price does not matter
    np.testing.assert_allclose(yang_zhang(bars, window=10, bars_per_year=4 * 252), 2.0 * volatility[0], rtol=1e-12)
    assert np.isnan(yang_zhang(bars[:3], window=10, bars_per_year=252)).all()
    for shape in ((0, 4), (2, 0, 4), (0, 5, 4)):
        assert yang_zhang(np.zeros(shape), window=10, bars_per_year=252).shape == shape[:-1]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_a_year_a_volatility_is_that_of_one_bar(bars, estimator):
    per_bar = rolling_volatility(bars, estimator=estimator, window=10)
    per_year = rolling_volatility(bars, estimator=estimator, window=10, bars_per_year=252)
    np.testing.assert_allclose(per_year, per_bar * math.sqrt(252), rtol=1e-12)
    assert per_bar[-1] == pytest.approx(math.sqrt(by_the_book(bars, 10)[estimator]), rel=1e-12)
    np.testing.assert_array_equal(yang_zhang(bars, window=10), rolling_volatility(bars, window=10))


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
def test_a_missing_price_is_a_bad_bar_whatever_the_column_holds(bars, missing):
    plain = bars.copy()
    plain[50, 2] = math.nan
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close"]).astype("Float64")
    frame.loc[50, "low"] = missing
    np.testing.assert_array_equal(yang_zhang(frame, window=10), yang_zhang(plain, window=10))
    stream = StreamingVolatility(window=10)
    assert stream.update(1.0, 1.0, missing, 1.0)[1:] == (False, "a price is not a finite number")


def test_text_is_no_price(bars):
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close"]).astype(str)
    for given_bars in (frame, frame.to_numpy(), bars.astype(str)):
        with pytest.raises(ValueError, match=r"ohlc.* must be numbers"):
            yang_zhang(given_bars, window=10)
    assert not StreamingVolatility(window=10).update("1.0", "1.0", "1.0", "1.0").accepted


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_stored_stream_goes_on_to_the_last_bit(bars, estimator):
    live = StreamingVolatility(estimator=estimator, window=10)
    for n, bar in enumerate(bars[:40]):
        stored = StreamingVolatility(estimator=estimator, window=10)
        stored.restore(json.loads(json.dumps(live.state(), allow_nan=False)))
        going_on = [stored.update(*next_bar) for next_bar in bars[n : n + 15]]
        assert repr(live.update(*bar)) == repr(going_on[0])
    live.update(*[math.nan] * 4)
    stored.restore(live.state())
    assert stored.n_refused == 1


def test_a_state_of_another_stream_is_refused():
    stream = StreamingVolatility(window=10)
    other = StreamingVolatility(window=11).state()
    for state in ({}, other, {**stream.state(), "terms": [[1.0]]}, {**stream.state(), "log_close": "x"}):
        with pytest.raises(ValueError, match="state must be"):
            stream.restore(state)


def test_working_in_pieces_changes_nothing(bars, monkeypatch):
    paths = np.stack([bars, bars[::-1]])
    whole = yang_zhang(paths, window=10, bars_per_year=252)
    for numbers in (1, 600):
        monkeypatch.setattr("companion.risk._volatility.WINDOW_NUMBERS", numbers)
        np.testing.assert_array_equal(yang_zhang(paths, window=10, bars_per_year=252), whole)


def test_k_is_that_of_the_paper():
    assert yang_zhang_k(2) == pytest.approx(0.34 / 4.34)
    assert yang_zhang_k(10_000) == pytest.approx(0.34 / 2.34, rel=1e-3)


def test_bad_arguments_are_named(bars):
    for window in (1, 0, 2.0, True):
        with pytest.raises(ValueError, match="window"):
            yang_zhang(bars, window=window, bars_per_year=252)
    for bars_per_year in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="bars_per_year"):
            rolling_volatility(bars, window=10, bars_per_year=bars_per_year)
        with pytest.raises(ValueError, match="bars_per_year"):
            StreamingVolatility(window=10).update(*bars[0]).per_year(bars_per_year)
    with pytest.raises(ValueError, match="estimator must be one of"):
        rolling_volatility(bars, estimator="range", window=10, bars_per_year=252)
    with pytest.raises(ValueError, match=r"\(…, n_bars, 4\)"):
        yang_zhang(bars[:, :3], window=10, bars_per_year=252)
    with pytest.raises(ValueError, match="must have the columns"):
        yang_zhang(pd.DataFrame({"close": [1.0, 2.0]}), window=2, bars_per_year=252)


def test_on_the_index_an_open_that_is_a_copy_hides_the_night():
    """Two open prices in five are the close before, nearly all before 2006; the range estimators read far too low."""
    sp500 = load_sp500()
    copied = sp500["open"] == sp500["close"].shift()
    assert copied.mean() == pytest.approx(0.398, abs=0.001)
    assert copied[:"2005"].mean() > 0.95
    assert copied["2014":].mean() < 0.01
    for years in (slice("1999", "2005"), slice("2007", "2018")):
        close, range_based = (
            np.nanmean(rolling_volatility(sp500[years], estimator=name, window=21, bars_per_year=252) ** 2)
            for name in ("close_to_close", "yang_zhang")
        )
        ratio = math.sqrt(range_based / close)
        assert 0.75 < ratio < 0.86
