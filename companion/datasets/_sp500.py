"""The S&P 500, from the packages that ship it."""

import pandas as pd

from companion._checks import need
from companion.datasets._cards import CARDS
from companion.datasets._prices import check_prices


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

    names = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}
    frame = sp500.load()[list(names)].rename(columns=names).astype("float64")
    frame.index.name = "date"
    CARDS["sp500"].verify(frame)
    return check_prices(frame, source="sp500")


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
    frame = need("skfolio.datasets", "sp500").load_sp500_index().rename(columns={"SP500": "close"}).astype("float64")
    frame.index.name = "date"
    CARDS["sp500_close"].verify(frame)
    return check_prices(frame["close"], source="sp500_close")
