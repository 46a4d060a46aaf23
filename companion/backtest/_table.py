"""Many sequences of weights on one series of prices: one compiled pass each, on all cores, in little memory."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from itertools import count, islice
from typing import Any, Unpack

import numba
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats
from companion.backtest import _kernel
from companion.backtest._costs import Terms, Trading, check_terms
from companion.backtest._engine import DEFAULTS, checked_prices, checked_weights, rises, trade
from companion.backtest._performance import Performance

Weights = ArrayLike | pd.Series
#: Sequences of weights that are in memory at a time.
LOT = 64
#: Columns of a table of performances.
FIELDS: dict[str, Any] = {field.name: field.type for field in fields(Performance)}


def backtest_table(close: Weights, positions: Iterable[Weights], **trading: Unpack[Trading]) -> pd.DataFrame:
    """Performance of many sequences of target weights on the same closing prices.

    Parameters
    ----------
    close : array_like or Series
        Closing prices, shape (n_bars,).
    positions : array_like or iterable
        Shape (n_sets, n_bars), or anything that yields one set after another; nothing of a set is kept but its row, so
        that a generator of any number of sets needs the memory of 64.
    **trading
        As in `run_backtest`, with the same defaults.

    Returns
    -------
    DataFrame
        A row a set, a column a field of `Performance`: what ``run_backtest(close, position).performance()`` says.

    Raises
    ------
    ValueError
        As `run_backtest`; the position at fault is named with its number.
    """
    prices, index = checked_prices(close)
    if prices.ndim != 1 or prices.size < 3:
        raise ValueError(f"close must have shape (n_bars,) with at least 3 bars, got {prices.shape}")
    if hasattr(positions, "columns"):
        raise ValueError("positions must be an array with a row a set, got a table: give positions.to_numpy().T")
    terms = check_terms(prices.size, index, **DEFAULTS | trading)
    measure, n_threads = partial(_measure, rises(prices), terms), numba.get_num_threads()
    tables = [np.empty((0, len(FIELDS)))]
    with ThreadPoolExecutor(n_threads) as pool:  # the kernel lets go of the interpreter
        for first, lot in zip(count(0, LOT), _lots(positions), strict=False):
            weights = _checked_lot(lot, first, prices.shape, index, terms)
            tables += pool.map(measure, np.array_split(weights, n_threads))
    return pd.DataFrame(np.concatenate(tables), columns=list(FIELDS)).astype(FIELDS)


def trade_each(
    prices: Floats, index: pd.Index | None, terms: Terms, named: Iterable[tuple[str, Weights]]
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield returns, held weights and turnover of one named sequence of weights after the other, in the same memory."""
    rise = rises(prices)
    returns, held, turnover = np.empty((3, prices.size))
    for name, position in named:
        trade(rise, checked_weights(position, name, rise.shape, index, terms), terms, returns, held, turnover)
        yield returns, held, turnover


def _lots(positions: Iterable[Weights]) -> Iterator[NDArray[Any] | list[Weights]]:
    """A few sequences of weights at a time: slices of an array, else lists."""
    if isinstance(positions, np.ndarray):
        yield from (positions[first : first + LOT] for first in range(0, len(positions), LOT))
        return
    sets = iter(positions)
    while lot := list(islice(sets, LOT)):
        yield lot


def _checked_lot(
    lot: NDArray[Any] | list[Weights], first: int, shape: tuple[int, ...], index: pd.Index | None, terms: Terms
) -> Floats:
    """Weights (n_sets, n_bars) that these terms allow; an array at once, and row by row what is not surely allowed."""
    if isinstance(lot, np.ndarray) and lot.dtype == np.float64 and lot.shape[1:] == shape:
        largest = max(lot.max(), -lot.min())
        if largest * terms.cost < 1.0 and largest <= terms.max_leverage and np.isfinite(largest):
            return np.ascontiguousarray(lot)
    rows = (checked_weights(row, f"positions[{n}]", shape, index, terms) for n, row in enumerate(lot, start=first))
    return np.stack(list(rows))


def _measure(rise: Floats, terms: Terms, weights: Floats) -> Floats:
    """A row for each row of weights, (n_sets, n_fields)."""
    table = np.empty((len(weights), len(FIELDS)))
    fixed = (terms.bars_per_year, terms.delay, terms.cost, terms.spread, terms.fee)
    _kernel.measure_each(rise, weights, terms.cash, *fixed, table)
    return table
