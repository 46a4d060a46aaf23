"""The bundled series are the ones their cards describe."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from companion.datasets import (
    CARDS,
    load_cash_rate,
    load_nasdaq,
    load_sp500,
    load_sp500_close,
    load_stocks,
    load_wti,
)
from companion.datasets._cards import values_sha256
from companion.errors import InputError

LOADERS = {
    "sp500": load_sp500,
    "sp500_close": lambda: load_sp500_close().to_frame(),
    "nasdaq": load_nasdaq,
    "stocks": load_stocks,
    "wti": lambda: load_wti().to_frame(),
    "cash_rate": lambda: _percent_a_month(load_cash_rate()).to_frame(),
}


def _percent_a_month(yearly):
    """What the card describes, from what the loader gives: the source has two decimals."""
    return (100 * ((1 + yearly) ** (1 / 12) - 1)).round(2).rename("percent_a_month")


@pytest.mark.parametrize("name", LOADERS)
def test_series_has_the_coverage_its_card_states(name):
    frame, card = LOADERS[name](), CARDS[name]
    assert tuple(frame.columns) == card.columns
    assert (str(frame.index[0].date()), str(frame.index[-1].date()), len(frame)) == (card.start, card.end, card.n_bars)
    assert frame.index.name == "date"
    assert (frame.dtypes == "float64").all()
    assert card.coverage.startswith(f"{card.start} to {card.end}")


def test_every_card_has_a_loader_and_says_where_its_values_come_from():
    assert set(CARDS) == set(LOADERS)
    for name, card in CARDS.items():
        assert card.name == name
        assert all((card.source, card.license, card.title, card.notes))


@pytest.mark.parametrize("name", LOADERS)
def test_one_changed_digit_is_noticed(name):
    frame = LOADERS[name]().copy()
    frame.iloc[1000, 0] = np.nextafter(frame.iloc[1000, 0], np.inf)
    with pytest.raises(InputError, match=f"{name}: sha256 of the values"):
        CARDS[name].verify(frame)


def test_missing_rows_and_renamed_columns_are_noticed():
    frame = load_sp500()
    with pytest.raises(InputError, match="5030 rows, not 5031"):
        CARDS["sp500"].verify(frame.iloc[1:])
    with pytest.raises(InputError, match=r"sp500: columns are \['Open'"):
        CARDS["sp500"].verify(frame.rename(columns=str.title))


def test_fingerprint_sees_values_dates_and_names_but_not_storage():
    frame = pd.DataFrame({"close": [1.0, 2.0]}, index=pd.to_datetime(["2020-01-01", "2020-01-02"]))
    same = frame.astype("int64").set_axis(frame.index.astype("datetime64[s]"))
    assert values_sha256(same) == values_sha256(frame)
    others = [frame * 2, frame.shift(freq="D"), frame.rename(columns={"close": "open"}), frame.iloc[::-1]]
    assert len({values_sha256(other) for other in [frame, *others]}) == 5


def test_notes_of_the_cards_are_true():
    bars, close = load_sp500(), load_sp500_close()
    copied = bars["open"] == bars["close"].shift()
    assert copied[copied.index.year == 1999].mean() == pytest.approx(0.97, abs=0.01)
    assert copied.mean() == pytest.approx(0.40, abs=0.01)
    assert (bars["close"] - close.reindex(bars.index)).abs().max() < 2e-4
    gaps = close.index.to_series().diff()
    assert str(gaps.idxmax().date()) == "2001-09-17"
    np.testing.assert_allclose(close, close.round(2), rtol=0, atol=1e-9)


def test_notes_of_the_nasdaq_are_true():
    bars = load_nasdaq()
    assert bars.index.equals(load_sp500().index)
    assert (bars["open"] == bars["close"].shift()).mean() == pytest.approx(0.002, abs=0.0005)


def test_notes_of_the_stocks_are_true():
    closes = load_stocks()
    assert closes.index.equals(load_sp500_close().index)
    assert closes["AAPL"].iloc[0] == 0.264
    np.testing.assert_allclose(closes, closes.round(3), rtol=0, atol=1e-9)
    cheap = closes.loc["1990", ["BBY", "UNH"]]
    assert cheap.min().min() > 0.09
    assert cheap.max().max() < 0.6
    unchanged = (closes.diff() == 0).mean()
    assert unchanged["RRC"] == pytest.approx(0.13, abs=0.001)
    assert unchanged.drop("RRC").max() < 0.05
    assert closes["RRC"].pct_change()["1990-04-10"] == pytest.approx(-2 / 3, abs=0.001)


def test_notes_of_the_oil_price_are_true():
    from arch.data import wti

    close = load_wti()
    assert len(wti.load()) - len(close) == 290
    steps = close.index.to_series().diff()
    assert steps.max() == pd.Timedelta("5D")
    change = close.pct_change()
    assert change.abs().idxmax() == pd.Timestamp("1991-01-17")
    assert change.min() == pytest.approx(-0.334, abs=0.001)


def test_notes_of_the_cash_rate_are_true():
    percent = _percent_a_month(load_cash_rate())
    below = percent.index[percent < 0]
    assert (len(below), below[0].year, below[-1].year) == (12, 1933, 1941)


def test_a_month_of_cash_earns_what_its_bill_pays():
    days = load_sp500_close()["1990":"2018-11"].index
    rate = load_cash_rate(days)
    assert rate.index.equals(days)
    of_month = rate.groupby(days.to_period("M"))
    assert (of_month.nunique() == 1).all()
    paid = load_cash_rate()["1990":"2018-11"]
    np.testing.assert_array_equal(of_month.first(), paid)
    assert 100 * ((1 + paid["1990-10"].iloc[0]) ** (1 / 12) - 1) == pytest.approx(0.68, abs=1e-9)


@pytest.mark.parametrize("day", ["1926-06-30", "2018-12-03"])
def test_a_day_without_a_bill_is_named(day):
    dates = pd.DatetimeIndex(["1990-01-02", day] if day > "1990" else [day, "1990-01-02"])
    with pytest.raises(InputError, match=f"dates: {day} has no Treasury bill rate, which goes from 1926-07 to 2018-11"):
        load_cash_rate(dates)


def test_card_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CARDS["sp500"].n_bars = 1
    with pytest.raises(TypeError):
        CARDS["mine"] = CARDS["sp500"]
