"""Crises of the S&P 500 with dates set by hand, and how soon a detector calls them.

A real market shows no regimes: what there is to hold a detector against are dates that people agree on afterward. They
are a judgment, and so is every figure that is made with them; `detection_lags` therefore takes other dates as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Crisis:
    """A crisis from its first day to the lowest close of the S&P 500.

    Attributes
    ----------
    name : str
    start : date
        The event after which people speak of a crisis, or the last high of the index where there was none.
    end : date
        The lowest close, of a fall or of its last leg.
    why : str
        What happened on `start`.
    """

    name: str
    start: date
    end: date
    why: str

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"end must come after start, {self.start}, got {self.end} for {self.name!r}")


CRISES = (
    Crisis("Russia, LTCM", date(1998, 8, 17), date(1998, 10, 8), "Russia stops payments and lets the ruble fall"),
    Crisis("dot-com", date(2000, 3, 24), date(2002, 10, 9), "highest close of the index"),
    Crisis("financial crisis", date(2007, 8, 9), date(2009, 3, 9), "BNP Paribas freezes three funds"),
    Crisis("flash crash, Greece", date(2010, 5, 6), date(2010, 7, 2), "the flash crash"),
    Crisis("euro, downgrade", date(2011, 8, 5), date(2011, 10, 3), "the United States loses its AAA rating"),
    Crisis("China", date(2015, 8, 24), date(2016, 2, 11), "a flash crash after Shanghai's fall of 8.5 %"),
    Crisis("end of 2018", date(2018, 10, 10), date(2018, 12, 24), "the index loses 3.3 % in a day"),
    Crisis("Covid", date(2020, 2, 24), date(2020, 3, 23), "the index loses 3.4 % on the news from Italy"),
    Crisis("inflation", date(2022, 1, 3), date(2022, 10, 12), "highest close of the index"),
)
"""Falls of the S&P 500 from 1998 to 2022. The first and the third are also volatility shocks of Bloom (2009)."""


def _positions(index: "pd.Index[Any]", crisis: Crisis, shift: int) -> tuple[int, int]:
    """First and last bar of a crisis whose start is moved by `shift` bars."""
    first = int(index.searchsorted(np.datetime64(crisis.start))) + shift
    last = int(index.searchsorted(np.datetime64(crisis.end), side="right")) - 1
    if not (0 <= first <= last and np.datetime64(crisis.end) <= index[-1]):
        raise ValueError(
            f"crises must lie within {index[0]} to {index[-1]}, got {crisis.name!r} shifted by {shift} bars"
        )
    return first, last


def _flags(called: "pd.Series") -> NDArray[np.bool_]:
    flags = np.asarray(called)
    if not np.isin(flags, (0, 1)).all() or not called.index.is_monotonic_increasing:
        raise ValueError("called must hold 0 and 1 on ascending dates, got something else")
    return flags.astype(bool)


def detection_lags(called: "pd.Series", crises: Iterable[Crisis] = CRISES, *, shift: int = 0) -> "pd.Series":
    """Bars from the start of each crisis to the start of the call that answers it.

    The answer is the first called spell that reaches into the crisis. Below zero: the spell had begun so many bars
    before the date, which is foresight if it is a few bars, and a detector that is always on if it is a hundred.

    Parameters
    ----------
    called : Series of int
        Regime after hysteresis, 0 or 1, on an ascending DatetimeIndex.
    crises : iterable of Crisis
    shift : int, default=0
        Moves every start by so many bars, to see how much of a lag is the date.

    Returns
    -------
    Series of float
        By name; NaN for a crisis that was over before it was called.

    Raises
    ------
    ValueError
        When `called` is not 0 and 1 on ascending dates, or a crisis does not lie within them.
    """
    import pandas as pd

    flags, lags = _flags(called), {}
    begun = np.maximum.accumulate(np.where(np.diff(flags, prepend=False) & flags, np.arange(len(flags)), -1))
    for crisis in crises:
        first, last = _positions(called.index, crisis, shift)
        hits = np.flatnonzero(flags[first : last + 1])
        lags[crisis.name] = float(begun[first + hits[0]] - first) if hits.size else np.nan
    return pd.Series(lags, dtype=float)


@dataclass(frozen=True)
class Alarms:
    """Calls of chaos in and out of the crises.

    Attributes
    ----------
    false_a_year : float
        Called spells that touch no crisis, per 252 bars outside of them.
    quiet_called, crisis_called : float
        Share of the bars that is called, outside and inside.
    rotation_p : float
        Share of the rotations of the calls in time whose ``crisis_called - quiet_called`` is at least as large: the
        p-value of "the calls know nothing of the dates", which keeps the length of the spells as it is.
    """

    false_a_year: float
    quiet_called: float
    crisis_called: float
    rotation_p: float


def alarms(called: "pd.Series", crises: Iterable[Crisis] = CRISES, *, margin: int = 60) -> Alarms:
    """Count the false alarms between the crises.

    Parameters
    ----------
    called : Series of int
        As for `detection_lags`.
    crises : iterable of Crisis
    margin : int, default=60
        Bars before the start and after the end that count as part of a crisis: volatility fades slowly.

    Raises
    ------
    ValueError
        As for `detection_lags`, and when no bar or every bar lies in a crisis.
    """
    flags = _flags(called)
    inside = np.zeros(len(flags), dtype=bool)
    for crisis in crises:
        first, last = _positions(called.index, crisis, 0)
        inside[max(first - margin, 0) : last + margin + 1] = True
    if inside.all() or not inside.any():
        raise ValueError(
            f"crises must cover some bars of called and not all, got {np.count_nonzero(inside)} of {len(inside)}"
        )
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False]))
    alone = sum(not inside[start:stop].any() for start, stop in zip(edges[::2], edges[1::2], strict=True))
    # Overlap of the calls, rotated by every number of bars, with the crises: a circular correlation.
    spectrum = np.fft.rfft(inside) * np.conj(np.fft.rfft(flags))
    overlap = np.rint(np.fft.irfft(spectrum, n=len(flags)))
    return Alarms(
        false_a_year=float(252 * alone / np.count_nonzero(~inside)),
        quiet_called=float(flags[~inside].mean()),
        crisis_called=float(flags[inside].mean()),
        rotation_p=float(np.mean(overlap >= overlap[0])),
    )
