"""A candle, a bar that has closed as exchanges send it; and how long one is."""

import re
from typing import NamedTuple

_UNITS_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000}


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
