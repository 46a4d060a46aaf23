"""When the next bar of a stream may come: one bar after the last, or the few bars later that a holiday skips."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Self

import numpy as np
import pandas as pd

#: In bars. Daylight saving moves a daily bar by an hour, an early close of the exchange by three.
SLACK = 0.25
#: Longer gaps than one bar in a row that holidays and weekends can explain.
LONG_GAPS = 4

BarTime = date | np.datetime64
"""A `datetime.datetime` or `date`, a `pandas.Timestamp`, or a `numpy.datetime64`."""


@dataclass(frozen=True)
class BarClock:
    """How many bars a stream has had, when the last one was, and which may come next.

    Attributes
    ----------
    bar : Timedelta
        Time between two bars.
    longest_gap : int
        Bars from one to the next at most, more than one where the market was closed in between.
    n_bars : int
        Bars so far.
    last : Timestamp or None
        Time of the last bar; None before the first, and in a stream without timestamps.
    n_long : int
        Gaps of more than one bar in a row, up to the last bar.
    """

    bar: pd.Timedelta
    longest_gap: int
    n_bars: int = 0
    last: pd.Timestamp | None = None
    n_long: int = 0

    @classmethod
    def start(cls, bar: str | timedelta, longest_gap: int) -> Self:
        """The clock before the first bar; ValueError unless `bar` is a positive time and `longest_gap` at least 1."""
        try:
            length = pd.Timedelta(bar)
        except (TypeError, ValueError) as error:
            raise ValueError(f"bar = {bar!r} is not a length of time such as '1D' or '4h'") from error
        if not length > pd.Timedelta(0):
            raise ValueError(f"bar = {bar!r} must be a positive length of time")
        if not isinstance(longest_gap, int | np.integer) or longest_gap < 1:
            raise ValueError(f"longest_gap = {longest_gap!r} must be a whole number of bars, at least 1")
        return cls(length, longest_gap)

    def tick(self, timestamp: BarTime | None) -> Self:
        """The clock after one more bar; ValueError says why a bar can not be the next one, and what to do."""
        if timestamp is None:
            if self.last is not None:
                raise ValueError(f"timestamp is missing, but the bar before has {self.last}: give every bar its own")
            return replace(self, n_bars=self.n_bars + 1)
        now = _as_timestamp(timestamp)
        if self.last is None:
            if self.n_bars:
                raise ValueError(f"timestamp = {now}, but the bars before had none: call reset() to begin anew")
            return replace(self, n_bars=1, last=now)
        long = self._checked_gap(now, self.last) > (1 + SLACK) * self.bar
        if long and self.n_long == LONG_GAPS:
            raise ValueError(
                f"timestamp = {now} is the bar after {LONG_GAPS + 1} gaps in a row of more than one bar of {self.bar}, "
                "another frequency: begin again with reset(bar=...)"
            )
        return replace(self, n_bars=self.n_bars + 1, last=now, n_long=self.n_long + 1 if long else 0)

    def _checked_gap(self, now: pd.Timestamp, last: pd.Timestamp) -> pd.Timedelta:
        if (now.tz is None) != (last.tz is None):
            raise ValueError(f"timestamp = {now} and the bar before, {last}: give both a time zone, or neither")
        gap = now - last
        if not gap:
            raise ValueError(f"timestamp = {now} is that of the bar before: drop the duplicate")
        if gap < pd.Timedelta(0):
            raise ValueError(f"timestamp = {now} is out of order, before {last}: feed the bars as they came")
        if gap < (1 - SLACK) * self.bar:
            raise ValueError(
                f"timestamp = {now} is only {gap} after {last}, another frequency: "
                f"give one bar per {self.bar}, or begin again with reset(bar=...)"
            )
        if gap > (self.longest_gap + SLACK) * self.bar:
            raise ValueError(
                f"timestamp = {now} is {gap} after {last}, more than {self.longest_gap} bars of {self.bar}: feed the "
                "missing bars; if none are missing, begin again with reset(bar=..., longest_gap=...)"
            )
        return gap


def _as_timestamp(timestamp: BarTime) -> pd.Timestamp:
    """In microseconds, whose range takes every difference of two dates."""
    if not isinstance(timestamp, date | np.datetime64) or pd.isna(timestamp):
        raise ValueError(f"timestamp = {timestamp!r} is not a time: give a datetime, a Timestamp or a datetime64")
    try:
        return pd.Timestamp(timestamp).as_unit("us")
    except ValueError as error:
        raise ValueError(f"timestamp = {timestamp!r} is no time of this calendar: {error}") from error
