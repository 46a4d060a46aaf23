"""How many bars a year has, from the dates of the bars themselves."""

import numpy as np
import pandas as pd

from companion.datasets._prices import check_dates
from companion.errors import InputError

DAYS_A_YEAR = 365.25
FEWEST_BARS = 8
FEWEST_DAYS = 56
"""Eight weeks: with the three holidays around New Year or none at all, daily bars of an exchange give 241 or 261."""
LONGEST_GAP = 0.1
"""Share of the whole that a single gap may take, if it is above `HOLIDAYS` and three times the usual step."""
HOLIDAYS = 14
"""Days that no exchange stays closed in our time; the longest, the Chinese New Year, takes eleven."""


_DAY = 86_400 * 10**9  # ns


def bars_per_year(dates: pd.DatetimeIndex | pd.Series | pd.DataFrame) -> float:
    """Bars a year: those after the first, over the years of 365.25 days from the first bar to the last.

    The first is the earliest bar a whole number of weeks before the last (the earliest of all if there is none), so
    that a weekend at one end does not count. About 252 for the days of an exchange, 52.18 for weeks, 12 for months,
    365.25 for the days and 525,960 for the minutes of a market that never closes. It is not rounded.

    Parameters
    ----------
    dates : DatetimeIndex, or Series or DataFrame on one
        Ascending, each once, without time zone.

    Returns
    -------
    float

    Raises
    ------
    InputError
        When there are fewer than eight bars, they span less than eight weeks, or a gap takes more than a tenth of the
        whole; or the dates are not in order.
    """
    index = dates if isinstance(dates, pd.Index) else dates.index
    check_dates(index, "dates")
    stamps = index.to_numpy().astype("datetime64[ns]").astype(np.int64)
    days = stamps / _DAY
    span = days[-1] - days[0] if len(days) else 0.0
    if len(days) < FEWEST_BARS or span < FEWEST_DAYS:
        raise InputError(
            f"dates: {len(days)} bars over {span:.4g} days are too few to count bars a year, which takes {FEWEST_BARS} "
            f"over {FEWEST_DAYS}: give bars_per_year as a number"
        )
    steps = np.diff(days)
    gap = int(np.argmax(steps))
    if steps[gap] > max(HOLIDAYS, LONGEST_GAP * span, 3 * np.median(steps)):
        raise InputError(
            f"dates: nothing for {steps[gap]:.4g} days after row {gap + 1} ({index[gap]}): "
            f"give the bars on one side of the gap, or bars_per_year as a number"
        )
    start = int(np.argmax((stamps[-1] - stamps[:-1]) % (7 * _DAY) == 0))  # 0 where none is
    return float((len(days) - 1 - start) / ((days[-1] - days[start]) / DAYS_A_YEAR))
