"""Notes on prices: each oddity is counted, dated and given a remedy; prices without any have none."""

import numpy as np
import pandas as pd
import pytest

from companion.backtest import price_notes
from companion.datasets import load_sp500_close

RETURNS = np.random.default_rng(0).standard_t(4, 1000) * 0.008
DATES = pd.bdate_range("2015-01-01", periods=1000)


def closes(returns=RETURNS, index=DATES):
    return pd.Series(50.0 * np.exp(np.cumsum(returns)), index)


def test_ordinary_prices_have_none():
    assert price_notes(closes()) == []
    assert price_notes(closes(index=pd.RangeIndex(1000))) == []
    assert price_notes(load_sp500_close()) == []
    assert price_notes(closes()[:3]) == []


@pytest.mark.parametrize("factor", [2, 3, 1.5, 10, 1 / 2, 1 / 7, 100])
@pytest.mark.parametrize("dated", [True, False])
def test_a_split_is_noted_with_its_date(factor, dated):
    returns = RETURNS.copy()
    returns[[400, 700]] = 0.01 + np.log(factor)
    (note,) = price_notes(closes(returns, DATES if dated else pd.RangeIndex(1000)))
    assert note.startswith("2 bars with a move like that of a split, the first by a factor of ")
    assert f"at {DATES[400].date() if dated else 'bar 400'}: " in note
    assert "adjusted for splits" in note


def test_a_crash_is_no_split_and_neither_is_the_daily_move_of_a_wild_market():
    returns = RETURNS.copy()
    returns[400] = np.log(1 - 0.205)  # October 1987
    assert price_notes(closes(returns)) == []
    assert price_notes(closes(10 * RETURNS)) == []


def test_a_gap_is_noted_and_a_closed_week_is_not():
    close = closes()
    assert price_notes(close.drop(close.index[500:504])) == []
    (note,) = price_notes(close.drop(close.index[500:515]))
    assert note.startswith(
        f"1 long gap, the longest of {(DATES[515] - DATES[499]).days} days after {DATES[499].date()}: "
    )


def test_weekends_of_an_hourly_market_are_no_gaps():
    hours = pd.date_range("2017-01-02", periods=24 * 7 * 12, freq="h")
    hours = hours[hours.dayofweek < 5][:1000]
    assert price_notes(closes(index=hours)) == []
    (note,) = price_notes(closes(RETURNS[:900], hours.delete(range(400, 500))))
    assert note.startswith("1 long gap")


def test_mixed_frequencies_are_noted_with_the_date_of_the_change():
    months = pd.date_range("1990-01-31", periods=300, freq="ME")
    mixed = months.append(pd.bdate_range("2015-01-01", periods=700))
    notes = price_notes(closes(index=mixed))
    assert any(
        "mixed frequencies: a bar comes every 31 days at first, every 1 from about 2015-01-01" in n for n in notes
    )


def test_a_feed_that_repeats_itself_is_noted():
    returns = RETURNS.copy()
    returns[300:312] = 0.0
    (note,) = price_notes(closes(returns))
    assert note.startswith(f"12 closes equal to the one before, 12 in a row after {DATES[299].date()}: ")
    weekends = closes().resample("D").ffill()
    (note,) = price_notes(weekends)
    assert "remove the days without trade" in note
    assert price_notes(closes(np.where(np.arange(1000) % 20, RETURNS, 0.0))) == []
    assert "999 closes" in price_notes(closes(np.zeros(1000)))[0]
