"""What people and feeds hand over, as the desk's own types: bars of plain floats, one day a bar, one quote a bar."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from companion.desk._decision import Bar, Quote
from companion.regimes._clock import SLACK
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


def as_bars(bars: Any, bar: timedelta) -> Iterator[Bar]:
    """Bars of a table with columns open, high, low, close and dates as its index, or of any iterable of bars.

    A table whose bars are shorter than `bar` is refused: the few that a clock of that length would take are no series.
    """
    if hasattr(bars, "to_frame"):
        raise ValueError("bars must be a table with the columns open, high, low, close, got one column: `read_bars`")
    if not hasattr(bars, "columns"):
        yield from bars
        return
    if missing := [name for name in _PRICES if name not in bars.columns]:
        raise ValueError(f"bars must have the columns open, high, low, close, got none called {', '.join(missing)}")
    yield from map(Bar, _times(bars.index, bar), *(bars[name].astype("float64").tolist() for name in _PRICES))


def _times(index: Any, bar: timedelta) -> Sequence[Any]:
    """A time for each row, or None for each where the rows are numbered."""
    kind = index.inferred_type
    if kind in ("integer", "empty"):
        return [None] * len(index)
    if kind == "date":
        return list(index)
    if kind not in ("datetime64", "datetime"):
        raise ValueError(f"bars must have dates as their index, got {kind}: bars.index = pd.to_datetime(bars.index)")
    times = index.to_pydatetime() if kind == "datetime64" else list(index)
    step = sorted(after - before for before, after in pairwise(times))[len(times) // 2 - 1 :][:1]
    if step and timedelta() < step[0] < (1 - SLACK) * bar:
        raise ValueError(f"bars come every {step[0]}, and the desk's are of {bar}: make it with their length as `bar`")
    return times


def with_quotes(bars: Iterator[Bar], quotes: Iterable[Quote | None]) -> Iterator[tuple[Bar, Quote | None]]:
    """Each bar with its quote; None where the quotes have ended."""
    following = iter(quotes)
    for bar in bars:
        yield bar, next(following, None)
