"""When the next bar of a stream may come: one bar after the last, or the few bars later that a holiday skips."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

import numpy as np

from companion._checks import check_count

#: In bars. Daylight saving moves a daily bar by an hour, an early close of the exchange by three.
SLACK = 0.25
#: Longer gaps than one bar in a row that holidays and weekends can explain.
LONG_GAPS = 4

BarTime = date | np.datetime64
"""A `datetime.datetime` or `date`, a `pandas.Timestamp`, or a `numpy.datetime64`."""

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class BarClock:
    """How many bars a stream has had, when the last one was, and which may come next.

    Attributes
    ----------
    bar : int
        Time between two bars, in microseconds.
    longest_gap : int
        Bars from one to the next at most, more than one where the market was closed in between.
    n_bars : int
        Bars so far.
    last : int or None
        Microseconds from 1970 to the last bar; None before the first, and in a stream without timestamps.
    zoned : bool
        Whether the stamps have a time zone.
    n_long : int
        Gaps of more than one bar in a row, up to the last bar.
    """

    bar: int
    longest_gap: int
    n_bars: int = 0
    last: int | None = None
    zoned: bool = False
    n_long: int = 0

    @classmethod
    def start(cls, bar: str | timedelta, longest_gap: int) -> Self:
        """The clock before the first bar; ValueError unless `bar` is a positive time and `longest_gap` at least 1."""
        return cls(_microseconds(bar), check_count("longest_gap", longest_gap))

    def tick(self, timestamp: BarTime | None) -> "BarClock":
        """The clock after one more bar; ValueError says why a bar can not be the next one, and what to do."""
        if timestamp is None:
            if self.last is not None:
                raise ValueError(
                    f"timestamp must be given for every bar as for the one before, {_shown(self.last)}, got None"
                )
            return BarClock(self.bar, self.longest_gap, self.n_bars + 1)
        now, zoned = _since_1970(timestamp)
        if self.last is None:
            if self.n_bars:
                raise ValueError(f"timestamp must be absent as before, got {timestamp}: reset() to begin anew")
            return BarClock(self.bar, self.longest_gap, 1, now, zoned)
        if zoned != self.zoned:
            raise ValueError(f"timestamp must have a time zone at every bar or at none, got {timestamp} after others")
        long = self._checked_gap(now, self.last) > (1 + SLACK) * self.bar
        if long and self.n_long == LONG_GAPS:
            raise ValueError(
                f"timestamp must be one bar after another, got {timestamp} after {LONG_GAPS + 1} gaps in a row of more "
                f"than {timedelta(microseconds=self.bar)}, another frequency: begin anew, with another `bar`"
            )
        n_long = self.n_long + 1 if long else 0
        return BarClock(self.bar, self.longest_gap, self.n_bars + 1, now, zoned, n_long)

    def _checked_gap(self, now: int, last: int) -> int:
        gap = now - last
        if (1 - SLACK) * self.bar <= gap <= (self.longest_gap + SLACK) * self.bar:
            return gap
        bar, said = timedelta(microseconds=self.bar), f"got {_shown(now)} after {_shown(last)}"
        if not gap:
            raise ValueError(f"timestamp must come once, {said}: a duplicate of the bar before")
        if gap < 0:
            raise ValueError(f"timestamp must ascend, {said}: out of order; give the bars in the order of time")
        if gap < self.bar:
            raise ValueError(
                f"timestamp must be one bar of {bar} after another, {said}, another frequency: "
                "give one bar at a time, or begin anew, with another `bar`"
            )
        raise ValueError(
            f"timestamp must be at most {self.longest_gap} bars of {bar} after another, {said}: feed the "
            "missing bars; if none are missing, begin anew, with another `bar` or `longest_gap`"
        )


def _microseconds(bar: str | timedelta) -> int:
    import pandas as pd  # its notation of lengths of time

    try:
        length = pd.Timedelta(bar)
    except (TypeError, ValueError) as error:
        raise ValueError(f"bar must be a length of time such as '1D' or '4h', got {bar!r}") from error
    if not length > pd.Timedelta(0):
        raise ValueError(f"bar must be a positive length of time, got {bar!r}")
    return int(length // pd.Timedelta(_MICROSECOND))


def _since_1970(timestamp: BarTime) -> tuple[int, bool]:
    """Microseconds, and whether the stamp has a time zone."""
    if isinstance(timestamp, np.datetime64):
        if np.isnat(timestamp):
            raise ValueError("timestamp must be a time, got NaT")
        return int(timestamp.astype("datetime64[us]").astype(np.int64)), False
    if not isinstance(timestamp, date) or timestamp != timestamp:
        raise ValueError(f"timestamp must be a datetime, a date, a Timestamp or a datetime64, got {timestamp!r}")
    if not isinstance(timestamp, datetime):
        return (timestamp.toordinal() - _EPOCH.toordinal()) * 86_400_000_000, False
    zoned = timestamp.tzinfo is not None
    return (timestamp - (_EPOCH_UTC if zoned else _EPOCH)) // _MICROSECOND, zoned


def _shown(microseconds: int) -> str:
    return str(np.datetime64(microseconds, "us")).removesuffix(".000000").replace("T", " ").removesuffix(" 00:00:00")
