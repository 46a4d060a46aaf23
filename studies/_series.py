"""The real series that the walk-forward studies trade, and what cash earned beside them."""

from functools import cache

import pandas as pd

from companion import datasets

LAST_DEVELOPMENT_DAY = "1997-12-31"
"""Rules and levels were chosen on bars up to this day; later ones are for the test."""


@cache
def real_series() -> dict[str, pd.Series]:
    """Daily closes by name: two indices, crude oil and twenty stocks."""
    stocks = datasets.load_stocks()
    return {
        "S&P 500": datasets.load_sp500_close(),
        "NASDAQ": datasets.load_nasdaq()["close"],
        "WTI oil": datasets.load_wti(),
        **{str(ticker): stocks[ticker] for ticker in stocks},
    }


def cash_rate(close: pd.Series) -> pd.Series:
    """Yearly rate that cash earns over each bar: of Treasury bills while the data have it, and 0 after and without."""
    rate = pd.Series(0.0, index=close.index, name="cash_rate")
    if isinstance(close.index, pd.DatetimeIndex):
        known = close.index[close.index <= _last_known_day()]
        rate.loc[known] = datasets.load_cash_rate(known)
    return rate


@cache
def _last_known_day() -> pd.Timestamp:
    return datasets.load_cash_rate().index[-1] + pd.offsets.MonthEnd(1)
