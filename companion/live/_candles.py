"""A candle, a bar that has closed as exchanges send it; and how long one is."""

import re
from typing import NamedTuple

_UNITS_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000}

#: Milliseconds of each unit, and how many of it make the next larger one.
_ENGINE_UNITS = {
    "DAY": (86_400_000, 1),
    "HOUR": (3_600_000, 24),
    "MINUTE": (60_000, 60),
    "SECOND": (1000, 60),
    "MILLISECOND": (1, 1000),
}


class Candle(NamedTuple):
    """One bar that has closed, named by when it opened, as Binance does.

    Attributes
    ----------
    open_time_ns : int
        Nanoseconds since 1970, a multiple of the interval.
    open : float
    high : float
    low : float
    close : float
        Prices in the quote currency.
    volume : float
        Quantity traded, in the base currency.
    """

    open_time_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def interval_ns(interval: str) -> int:
    """Nanoseconds of an interval in Binance's notation, such as "1m"; "100ms" is one of ours, for rehearsals.

    Raises
    ------
    ValueError
        If it is no such notation, or of no length.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})(ms|s|m|h|d)", interval) if isinstance(interval, str) else None
    if found is None:
        raise ValueError(f"interval must be a number and a unit, such as '1m', '1s' or '100ms', got {interval!r}")
    return int(found[1]) * _UNITS_NS[found[2]]


def engine_step(interval: str) -> tuple[int, str]:
    """An interval as the engine names it: how many of its largest unit, such as (15, "MINUTE").

    Raises
    ------
    ValueError
        If no whole number of them makes the next larger unit: the engine has no bars of "7m".
    """
    length_ms = interval_ns(interval) // 1_000_000
    unit, (unit_ms, n_in_next) = next((name, size) for name, size in _ENGINE_UNITS.items() if length_ms % size[0] == 0)
    if n_in_next % (n := length_ms // unit_ms):
        raise ValueError(f"interval must divide the next larger unit, such as '1m' or '15m', got {interval!r}")
    return n, unit
