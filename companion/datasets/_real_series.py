"""Real series, from the packages that ship them; each is compared with its card whenever it is loaded."""

import numpy as np
import pandas as pd

from companion._checks import need
from companion.datasets._cards import CARDS
from companion.datasets._prices import check_bars, check_dates, check_prices
from companion.errors import InputError

_BARS = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}


def load_sp500() -> pd.DataFrame:
    """Daily bars of the S&P 500 index, 1999 to 2018, verified against the card ``CARDS["sp500"]``.

    Returns
    -------
    DataFrame of shape (5031, 5)
        Index ``date``, ascending; float64 columns ``open``, ``high``, ``low``, ``close`` (index points), ``volume``.

    Raises
    ------
    InputError
        When the installed `arch` carries other values than the card describes.
    """
    from arch.data import sp500

    return check_prices(_verified(sp500.load()[list(_BARS)].rename(columns=_BARS), "sp500"), source="sp500")


def load_sp500_close() -> pd.Series:
    """Daily closes of the S&P 500 index, 1990 to 2022, verified against the card ``CARDS["sp500_close"]``.

    Returns
    -------
    Series of shape (8313,)
        Named ``close`` (index points), float64, on an ascending DatetimeIndex ``date``.

    Raises
    ------
    InputError
        When the installed `skfolio` carries other values than the card describes.
    """
    closes = need("skfolio.datasets", "sp500").load_sp500_index().rename(columns={"SP500": "close"})
    return check_prices(_verified(closes, "sp500_close")["close"], source="sp500_close")


def load_nasdaq() -> pd.DataFrame:
    """Daily bars of the NASDAQ Composite index, 1999 to 2018, verified against the card ``CARDS["nasdaq"]``.

    Returns
    -------
    DataFrame of shape (5031, 5)
        As that of `load_sp500`, on the same days.

    Raises
    ------
    InputError
        When the installed `arch` carries other values than the card describes.
    """
    from arch.data import nasdaq

    return check_prices(_verified(nasdaq.load()[list(_BARS)].rename(columns=_BARS), "nasdaq"), source="nasdaq")


def load_stocks() -> pd.DataFrame:
    """Daily adjusted closes of twenty American stocks, 1990 to 2022, verified against the card ``CARDS["stocks"]``.

    Returns
    -------
    DataFrame of shape (8313, 20)
        A float64 column a ticker, in dollars, adjusted for splits and dividends, on the days of `load_sp500_close`.
        The twenty were chosen because they are still there: see the card before comparing a strategy on them.

    Raises
    ------
    InputError
        When the installed `skfolio` carries other values than the card describes.
    """
    closes = _verified(need("skfolio.datasets", "sp500").load_sp500_dataset(), "stocks")
    check_dates(closes.index, "stocks")
    check_bars(closes, "stocks")
    return closes


def load_wti() -> pd.Series:
    """Daily spot price of West Texas Intermediate oil, 1986 to 2019, verified against the card ``CARDS["wti"]``.

    Returns
    -------
    Series of shape (8321,)
        Named ``close`` (dollars a barrel), float64, on an ascending DatetimeIndex ``date``. The 290 weekdays on which
        the source has no price, holidays, are left out.

    Raises
    ------
    InputError
        When the installed `arch` carries other values than the card describes.
    """
    from arch.data import wti

    closes = wti.load().rename(columns={"DCOILWTICO": "close"}).dropna()
    return check_prices(_verified(closes, "wti")["close"], source="wti")


def load_cash_rate(dates: pd.DatetimeIndex | None = None) -> pd.Series:
    """Yearly rate of one-month Treasury bills, 1926 to 2018, verified against the card ``CARDS["cash_rate"]``.

    The bill of a month is bought at the last close of the month before, at a yield that is known then. So the rate at a
    bar's date is what cash earns over the bar that ends there, and none is known later than at the close before.

    Parameters
    ----------
    dates : DatetimeIndex, optional
        Where the rate is wanted, ascending and without time zone; without it, at the first day of every month.

    Returns
    -------
    Series of shape (n_bars,) or (1109,)
        Named ``cash_rate``, a share a year (.05 for five percent) that compounds: ``(1 + a month's rate)**12 - 1``.

    Raises
    ------
    InputError
        When the installed `arch` carries other values than the card describes, or a date is outside them.
    """
    from arch.data import frenchdata

    factors = frenchdata.load()
    # The package reads the month 192607 as so many nanoseconds.
    months = pd.to_datetime(pd.Series(factors.index.to_numpy().astype(np.int64).astype(str)), format="%Y%m")
    percent = pd.DataFrame({"percent_a_month": factors["RF"].to_numpy()}, pd.DatetimeIndex(months))
    monthly = _verified(percent, "cash_rate")["percent_a_month"]
    yearly = ((1.0 + monthly / 100.0) ** 12 - 1.0).rename("cash_rate")
    if dates is None:
        return yearly
    check_dates(dates, "dates")
    bills = pd.PeriodIndex(yearly.index, freq="M")
    place = bills.get_indexer(dates.to_period("M"))
    if (place < 0).any():
        day = dates[int(np.argmax(place < 0))]
        raise InputError(
            f"dates: {day:%Y-%m-%d} has no Treasury bill rate, which goes from {bills[0]} to {bills[-1]}: "
            f"cut the prices, or give a rate of your own"
        )
    return pd.Series(yearly.to_numpy()[place], index=dates, name="cash_rate")


def _verified(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The values of `frame` as float64 on an index ``date``, if they are those of the card `name`."""
    frame = frame.astype("float64").rename_axis(index="date")
    CARDS[name].verify(frame)
    return frame
