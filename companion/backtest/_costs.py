"""What trading costs and what money costs: the terms of a backtest, checked, in the units of its kernel."""

from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from companion import datasets
from companion._checks import Floats, check_count, check_positive

BASIS_POINT = 1e-4
#: Bars in a year of the simulated markets, and about as many as the American exchanges have days.
BARS_PER_YEAR = 252.0


class Trading(TypedDict, total=False):
    """Keywords of `run_backtest`, for what hands them on: ``def f(..., **trading: Unpack[Trading])``."""

    cost_bp: float
    half_spread_bp: float
    borrow_spread: float
    short_fee: float
    max_leverage: float | None
    delay: int
    cash_rate: float | ArrayLike | pd.Series
    bars_per_year: float | None


class Terms(NamedTuple):
    """What `trade` in the kernel needs to know; `cost` is a share of the notional, the rates are per bar.

    ``cash[t]`` is what cash earns over bar t, and zero at bar 0.
    """

    delay: int
    cost: float
    cash: Floats
    spread: float
    fee: float
    max_leverage: float
    bars_per_year: float


def check_terms(
    n_bars: int,
    index: pd.Index | None,
    *,
    cost_bp: float,
    half_spread_bp: float,
    borrow_spread: float,
    short_fee: float,
    max_leverage: float | None,
    delay: int,
    cash_rate: float | ArrayLike | pd.Series,
    bars_per_year: float | None,
) -> Terms:
    """The keywords of `run_backtest` for prices of `n_bars` bars, or a `ValueError` that names the one at fault."""
    year = _bars_per_year(bars_per_year, index)
    return Terms(
        delay=check_count("delay", delay, least=0),
        cost=one_way_cost(cost_bp, half_spread_bp),
        cash=cash_over_bars(cash_rate, year, n_bars=n_bars, index=index),
        spread=rate_per_bar("borrow_spread", borrow_spread, year),
        fee=rate_per_bar("short_fee", short_fee, year),
        max_leverage=np.inf if max_leverage is None else check_positive("max_leverage", max_leverage),
        bars_per_year=year,
    )


def one_way_cost(cost_bp: float, half_spread_bp: float) -> float:
    """Cost of a trade as a share of its notional, from basis points."""
    for name, value in {"cost_bp": cost_bp, "half_spread_bp": half_spread_bp}.items():
        if not 0.0 <= value < 1e4:
            raise ValueError(f"{name} must lie in [0, 10000) basis points, got {value}")
    if not cost_bp + half_spread_bp < 1e4:
        raise ValueError(f"cost_bp and half_spread_bp must together be below 10000, got {cost_bp + half_spread_bp}")
    return (cost_bp + half_spread_bp) * BASIS_POINT


def rate_per_bar(name: str, rate: float, bars_per_year: float) -> float:
    """Rate per bar that compounds to a yearly spread or fee; the error calls it `name`."""
    if not 0.0 <= rate < np.inf:
        raise ValueError(f"{name} must be a finite yearly rate, zero or above, got {rate}")
    return float(cash_per_bar(rate, bars_per_year))


def cash_per_bar(
    cash_rate: float | ArrayLike | pd.Series, bars_per_year: float, *, index: pd.Index | None = None
) -> Floats:
    """Rates per bar that compound to the yearly `cash_rate`, a number or one for each bar, in its shape."""
    rates = np.asarray(cash_rate, dtype=np.float64)
    bad = ~((rates > -1.0) & (rates < np.inf))
    if bad.any():
        where = f" at {at_bar(int(np.argmax(bad)), index)}" if rates.ndim else ""
        raise ValueError(f"cash_rate must be finite and above -1, got {rates[bad][0]}{where}")
    # `np.power`, since ** of a single number is computed elsewhere than that of many, and may differ in the last bit.
    return np.asarray(np.power(1.0 + rates, 1.0 / check_positive("bars_per_year", bars_per_year)) - 1.0)


def cash_over_bars(
    cash_rate: float | ArrayLike | pd.Series, bars_per_year: float, *, n_bars: int, index: pd.Index | None = None
) -> Floats:
    """Rate that cash earns over each bar, from the yearly rate known at the close before; zero at bar 0."""
    check_index("cash_rate", cash_rate, index)
    known = cash_per_bar(cash_rate, bars_per_year, index=index)
    if known.shape not in ((), (n_bars,)):
        raise ValueError(
            f"cash_rate must be a number or have a rate for each of {n_bars} bars, got shape {known.shape}"
        )
    cash = np.zeros(n_bars)
    cash[1:] = np.broadcast_to(known, n_bars)[:-1]
    return cash


def check_index(name: str, given: Any, index: pd.Index | None) -> None:
    """Refuse a Series whose index is not that of the prices, naming the first bar at which they part."""
    if index is None or not isinstance(given, pd.Series) or index.equals(given.index):
        return
    ours, theirs = ([*map(str, labels), "the end"] for labels in (index, given.index))
    bar = next((bar for bar, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
    kinds = f" ({given.index.dtype} for {index.dtype})" if given.index.dtype != index.dtype else ""
    raise ValueError(
        f"{name} must have the index of close, got {theirs[bar]} at bar {bar} where close has {ours[bar]}{kinds}: "
        f"reindex it, and say what a bar without a value means"
    )


def at_bar(bar: int, index: pd.Index | None) -> str:
    """A bar by its number, and its date if it has one."""
    if index is None or isinstance(index, pd.RangeIndex):
        return f"bar {bar}"
    return f"{str(index[bar]).removesuffix(' 00:00:00')} (bar {bar})"


def _bars_per_year(given: float | None, index: pd.Index | None) -> float:
    if given is not None:
        return check_positive("bars_per_year", given)
    if not isinstance(index, pd.DatetimeIndex):
        return BARS_PER_YEAR
    try:
        return datasets.bars_per_year(index)
    except ValueError as error:
        raise ValueError(f"bars_per_year must be given where dates do not tell it: {error}") from error
