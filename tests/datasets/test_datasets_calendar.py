"""Bars a year from the dates: of any market, at any frequency, from wherever the series begins and ends."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.datasets import bars_per_year, load_sp500, load_sp500_close
from companion.errors import InputError

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)


@pytest.mark.parametrize(
    ("freq", "n", "expected"),
    [
        ("D", 366, 365.25),
        ("h", 3000, 24 * 365.25),
        ("min", 90_000, 525_960),
        ("W-FRI", 200, 365.25 / 7),
        ("W-MON", 9, 365.25 / 7),
    ],
)
def test_a_market_that_never_closes_is_exact(freq, n, expected):
    index = pd.date_range("2021-03-05 13:00", periods=n, freq=freq)
    for dated in (index, pd.Series(1.0, index=index), pd.DataFrame({"close": 1.0}, index=index)):
        assert bars_per_year(dated) == pytest.approx(expected, rel=1e-12)


def test_the_exchange_of_the_bundled_series_has_its_252_days():
    for prices in (load_sp500(), load_sp500_close()):
        assert bars_per_year(prices) == pytest.approx(252, abs=0.5)


@given(st.integers(0, 8000), st.integers(60, 2000))
@PROPERTY
def test_any_stretch_of_an_exchange_is_near_252(start, n):
    """Within the holidays that a short stretch has or lacks: volatilities a year are then right to 2.5 %."""
    index = load_sp500_close().index[start : start + n]
    if len(index) == n:
        assert bars_per_year(index) == pytest.approx(252, rel=0.05)


@given(st.integers(0, 6), st.integers(41, 400))
@PROPERTY
def test_weekends_at_the_ends_do_not_count(first, n):
    """Weekdays without holidays are five sevenths of the days, whichever day is the first and the last."""
    assert bars_per_year(pd.bdate_range("2021-03-01", periods=n + first)[first:]) == pytest.approx(365.25 * 5 / 7)


@given(st.integers(30, 300))
@PROPERTY
def test_hours_of_a_session(n_days):
    days = pd.bdate_range("2021-03-01", periods=n_days + 15)
    index = pd.DatetimeIndex([day + pd.Timedelta(minutes=570 + 30 * i) for day in days for i in range(13)])
    assert bars_per_year(index) == pytest.approx(13 * 365.25 * 5 / 7)


def test_months_are_twelve():
    assert bars_per_year(pd.date_range("2000-01-31", periods=200, freq="ME")) == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (pd.date_range("2024-01-01", periods=50), "50 bars over 49 days are too few to count bars a year"),
        (pd.date_range("2024-01-01", periods=7, freq="W"), "7 bars over 42 days are too few"),
        (pd.DatetimeIndex([]), "0 bars over 0 days are too few"),
        (
            pd.bdate_range("2015-01-01", periods=300).append(pd.bdate_range("2019-01-01", periods=300)),
            "nothing for .* days after row 300",
        ),
        (pd.date_range("2024-01-01", periods=90)[::-1], "earlier than the row before"),
        (pd.RangeIndex(90), "the index is RangeIndex"),
        (pd.date_range("2024-01-01", periods=90, tz="UTC"), "has the time zone UTC"),
    ],
)
def test_what_can_not_be_counted_is_refused(dates, message):
    with pytest.raises(InputError, match=message):
        bars_per_year(dates)


def test_a_holiday_is_no_gap():
    """The week of September 2001, and a Chinese New Year of eleven days in nine weeks."""
    close = load_sp500_close()
    assert bars_per_year(close["2001-08-01":"2001-10-31"]) == pytest.approx(252, rel=0.08)
    days = pd.bdate_range("2020-01-02", periods=45)
    assert np.isfinite(bars_per_year(days[(days < "2020-01-24") | (days > "2020-02-03")]))
