"""A market as arrays: minute bars, and quotes of the top of the book. What is in one has been checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Stamps = NDArray[np.int64]

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
LARGEST = 1e15  # beyond it a float has no decimals left, and a price or size is a mistake


class Fault(NamedTuple):
    """A rule that a row of market data must keep, the column it is about, and which rows break it."""

    rule: str
    column: str
    broken: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MinuteBars:
    """One-minute bars of one instrument, each at the time at which it is known.

    Parameters
    ----------
    time_ns : int64 array of shape (n_bars,)
        Close of each bar, a full minute, in nanoseconds since 1970 (UTC), ascending; minutes may be missing.
    open, high, low, close : float64 arrays of shape (n_bars,)
        Prices, positive; the bar lies between `low` and `high`.
    volume : float64 array of shape (n_bars,)
        Traded, not negative.

    Raises
    ------
    ValueError
        Names the array, the bar and the value that is missing, not finite or impossible.
    """

    time_ns: Stamps
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __post_init__(self) -> None:
        columns = _checked_columns(self)
        _refuse(columns, bar_faults(columns))
        _refuse(columns, [Fault("must ascend, each minute once", "time_ns", np.diff(self.time_ns, prepend=0) <= 0)])

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True, eq=False)
class Quotes:
    """The best bid and ask of one instrument, and how much stands there.

    Parameters
    ----------
    time_ns : int64 array of shape (n_quotes,)
        Nanoseconds since 1970 (UTC), not descending: a feed may send two quotes of one millisecond.
    bid, ask : float64 arrays of shape (n_quotes,)
        Prices, positive, `bid` at most `ask`.
    bid_size, ask_size : float64 arrays of shape (n_quotes,)
        Quantities, not negative.

    Raises
    ------
    ValueError
        Names the array, the quote and the value that is missing, not finite, crossed or otherwise impossible.
    """

    time_ns: Stamps
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats

    def __post_init__(self) -> None:
        columns = _checked_columns(self)
        _refuse(columns, quote_faults(columns))
        _refuse(columns, [Fault("must not descend", "time_ns", np.diff(self.time_ns, prepend=0) < 0)])

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def mid(self) -> Floats:
        """Half of bid and ask, shape (n_quotes,)."""
        return 0.5 * (self.bid + self.ask)


def bar_faults(bars: Mapping[str, NDArray[Any]]) -> Iterator[Fault]:
    """What each bar must be by itself, in any order."""
    times, high, low = bars["time_ns"], bars["high"], bars["low"]
    yield Fault("must be a full minute after 1970", "time_ns", (times <= 0) | (times % MINUTE_NS != 0))
    yield from (_not_positive(name, bars) for name in ("open", "high", "low", "close"))
    yield _negative("volume", bars)
    yield Fault("must be at least open and close", "high", high < np.maximum(bars["open"], bars["close"]))
    yield Fault("must be at most open and close", "low", low > np.minimum(bars["open"], bars["close"]))


def quote_faults(quotes: Mapping[str, NDArray[Any]]) -> Iterator[Fault]:
    """What each quote must be by itself, in any order."""
    yield Fault("must be after 1970", "time_ns", quotes["time_ns"] <= 0)
    yield from (_not_positive(name, quotes) for name in ("bid", "ask"))
    yield from (_negative(name, quotes) for name in ("bid_size", "ask_size"))
    yield Fault("must be at most ask, the quote is crossed", "bid", quotes["bid"] > quotes["ask"])


def _not_positive(name: str, columns: Mapping[str, NDArray[Any]]) -> Fault:
    return Fault("must be a positive number", name, ~((columns[name] > 0) & (columns[name] < LARGEST)))


def _negative(name: str, columns: Mapping[str, NDArray[Any]]) -> Fault:
    return Fault("must be a number from 0 on", name, ~((columns[name] >= 0) & (columns[name] < LARGEST)))


def _checked_columns(table: MinuteBars | Quotes) -> dict[str, NDArray[Any]]:
    """The arrays of a table, set to their types, each of one dimension and all of one length."""
    columns: dict[str, NDArray[Any]] = {}
    for field in fields(table):
        kept, given = np.int64 if field.name == "time_ns" else np.float64, np.asarray(getattr(table, field.name))
        if given.dtype.kind not in ("iu" if kept is np.int64 else "iuf"):
            raise ValueError(f"{field.name} must be an array of {kept.__name__}, got one of {given.dtype}")
        shape = columns["time_ns"].shape if columns else (given.size,)
        if given.shape != shape:
            raise ValueError(f"{field.name} must have shape {shape}, got {given.shape}")
        columns[field.name] = given.astype(kept, copy=False)
        object.__setattr__(table, field.name, columns[field.name])
    return columns


def _refuse(columns: Mapping[str, NDArray[Any]], faults: Iterator[Fault] | list[Fault]) -> None:
    for rule, column, broken in faults:
        if broken.any():
            where = int(broken.argmax())
            raise ValueError(f"{column} {rule}, got {columns[column][where]} at [{where}]: correct or drop it")
