"""What is odd about prices that may yet be right: said, counted and dated, never mended in silence."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion.backtest._readers import at

#: A split changes the price by one of these factors, or its inverse; 100 and 1,000 are changes of the unit.
SPLITS = np.array([3 / 2, 2, 5 / 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100, 1000])
#: The market's own move of that bar comes on top: log return less log factor is at most this, in size.
SPLIT_TOLERANCE = 0.05
#: Only what is larger than so many typical (median) returns is no move of the market.
SPLIT_SIZE = 10.0
#: A gap is long beyond so many usual steps, and twice the step that one in 200 exceeds, a long weekend.
LONG_GAP = 10.0
#: Parts of the series that are compared for their usual step.
PARTS = 10
DAY = 86_400 * 1e9  # ns
#: So many closes without a change, or this share of all bars, come from a feed that repeats itself.
STALE_RUN, STALE_SHARE = 10, 0.1


def price_notes(close: pd.Series) -> list[str]:
    """What a reader should know of prices before he believes a backtest on them; an empty list if nothing is odd.

    A note is one line with the number of bars concerned, the first date (or number of the bar, where there are no
    dates) and the remedy, on each of: a one-bar move like that of a split, long gaps, parts of another frequency,
    closes that repeat. None is an error: a price may halve in a day.

    Parameters
    ----------
    close : Series of shape (n_bars,)
        Closes that `companion.datasets.check_prices` lets pass, or without dates.
    """
    log_price = np.log(close.to_numpy(dtype=np.float64))
    notes = [*_splits(np.diff(log_price), close.index), *_stale(np.diff(log_price) == 0.0, close.index)]
    if isinstance(close.index, pd.DatetimeIndex) and len(close) > 2 * PARTS:
        stamps = close.index.to_numpy().astype("datetime64[ns]").astype(np.int64).astype(np.float64)
        steps = np.diff(stamps) / DAY
        notes += [*_gaps(steps, close.index), *_frequencies(steps, close.index)]
    return notes


def _splits(returns: NDArray[np.float64], index: pd.Index) -> Sequence[str]:
    distance = np.abs(np.abs(returns)[:, None] - np.log(SPLITS))
    moved = np.abs(returns[returns != 0.0])
    large = np.abs(returns) > SPLIT_SIZE * np.median(moved) if len(moved) else np.zeros(len(returns), dtype=bool)
    found = np.flatnonzero((distance.min(axis=1) < SPLIT_TOLERANCE) & large)
    if not len(found):
        return []
    first, factor = found[0], float(np.exp(returns[found[0]]))
    return [
        f"{_count(found, 'bar')} with a move like that of a split, the first by a factor of {factor:.3g} at "
        f"{at(index, first + 1)}: if it was one, give prices adjusted for splits"
    ]


def _gaps(steps: NDArray[np.float64], index: pd.Index) -> Sequence[str]:
    found = np.flatnonzero(steps > max(LONG_GAP * np.median(steps), 2.0 * np.quantile(steps, 0.995)))
    if not len(found):
        return []
    longest = int(np.argmax(steps))
    return [
        f"{_count(found, 'long gap')}, the longest of {steps[longest]:.4g} days after {at(index, longest)}: the move "
        f"over a gap counts as that of one bar; fill the gap from the source, or begin after it"
    ]


def _frequencies(steps: NDArray[np.float64], index: pd.Index) -> Sequence[str]:
    parts = np.array_split(np.arange(len(steps)), PARTS)
    usual = np.array([np.median(steps[part]) for part in parts])
    changed = np.flatnonzero(np.maximum(usual / usual[0], usual[0] / usual) >= 2.0)
    if not len(changed):
        return []
    other = changed[0]
    return [
        f"mixed frequencies: a bar comes every {usual[0]:.4g} days at first, every {usual[other]:.4g} from about "
        f"{at(index, parts[other][0])}: give one part, or resample all to the coarser step"
    ]


def _stale(same: NDArray[np.bool_], index: pd.Index) -> Sequence[str]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    if not len(starts) or (lengths.max() < STALE_RUN and same.mean() <= STALE_SHARE):
        return []
    longest = int(np.argmax(lengths))
    return [
        f"{_count(np.flatnonzero(same), 'close')} equal to the one before, {lengths[longest]} in a row after "
        f"{at(index, starts[longest])}: remove the days without trade, or mend the feed that repeats itself"
    ]


def _count(found: NDArray[np.intp], noun: str) -> str:
    return f"{len(found)} {noun}" + ("" if len(found) == 1 else "s")
