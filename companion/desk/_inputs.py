"""What people and feeds hand over, as the desk's own types: bars of plain floats, one day a bar, one quote a bar."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import numpy as np

from companion.desk._decision import Bar, Quote
from companion.risk._decimal import as_float

UNDATED = "undated"
"""The day of every bar without a time: one day that never ends, so that a daily limit is the stricter for it."""
_PRICES = ("open", "high", "low", "close")


def plain_bar(bar: Bar) -> Bar:
    """The bar with plain floats, NaN for what is no number, and numpy's time as a datetime."""
    if type(bar.close) is type(bar.open) is type(bar.high) is type(bar.low) is float and isinstance(bar.time, date):
        return bar
    time: Any = bar.time
    if isinstance(time, np.datetime64):
        time = time.astype("datetime64[us]").item()
    return Bar(time, *(as_float(price) for price in bar[1:]))


def day_of(time: Any) -> str:
    """The day of a bar, for a daily limit."""
    return time.isoformat()[:10] if isinstance(time, date) and time == time else UNDATED  # NaT differs from itself


def as_bars(bars: Any) -> Iterator[Bar]:
    """Bars of a table with columns open, high, low, close and dates as its index, or of any iterable of bars."""
    if not hasattr(bars, "columns"):
        yield from bars
        return
    if missing := [name for name in _PRICES if name not in bars.columns]:
        raise ValueError(f"bars must have the columns open, high, low, close, got none called {', '.join(missing)}")
    dated = getattr(bars.index.dtype, "kind", "") == "M"
    times = bars.index.to_pydatetime() if dated else [None] * len(bars)
    yield from map(Bar, times, *(bars[name].astype("float64").tolist() for name in _PRICES))


def with_quotes(bars: Iterator[Bar], quotes: Iterable[Quote | None]) -> Iterator[tuple[Bar, Quote | None]]:
    """Each bar with its quote; None where the quotes have ended."""
    following = iter(quotes)
    for bar in bars:
        yield bar, next(following, None)
