"""The one door through which prices enter: strict, and with an answer that tells the user what to mend."""

from typing import NoReturn, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion._checks import LARGEST_LOG_RETURN
from companion.errors import InputError

Prices = TypeVar("Prices", pd.Series, pd.DataFrame)

OHLC = ("open", "high", "low", "close")


def check_prices(prices: Prices, *, source: str) -> Prices:
    """Return `prices` unchanged, or say in one line what is wrong with them.

    Parameters
    ----------
    prices : Series or DataFrame
        A close per date, or columns among ``open``, ``high``, ``low``, ``close`` (strictly positive) and ``volume``
        (not negative), on a strictly ascending DatetimeIndex without time zone.
    source : str
        What to call the prices in a message: a file name, a data card.

    Returns
    -------
    Series or DataFrame
        The very object that came in.

    Raises
    ------
    InputError
        Names the source, the field, the first offending row (counted from 1) and the remedy.
    """
    if len(prices) == 0:
        raise InputError(f"{source}: no rows: give at least one dated price")
    frame: pd.DataFrame = prices.to_frame("close") if isinstance(prices, pd.Series) else prices
    check_dates(frame.index, source)
    unknown = [str(column) for column in frame.columns if column not in (*OHLC, "volume")]
    if unknown or not len(frame.columns):
        raise InputError(f"{source}: column {unknown or 'close'} unknown or missing: keep {[*OHLC, 'volume']}")
    if not frame.columns.is_unique:
        raise InputError(f"{source}: columns {[*frame.columns]} repeat a name: keep one of each")
    check_bars(frame, source)
    return prices


def check_dates(index: pd.Index, source: str, *, newest_first: bool = False) -> None:
    """Refuse what is no index of dates in order, each once, with an `InputError` that names the first bad row."""
    if not isinstance(index, pd.DatetimeIndex):
        raise InputError(f"{source}: date: the index is {type(index).__name__}: give a DatetimeIndex")
    if index.tz is not None:
        raise InputError(f"{source}: date: has the time zone {index.tz}: give dates without a time zone")
    if (row := _first(np.asarray(index.isna()))) is not None:
        _fail(source, "date", row, index, "no date: remove the row or give its date")
    stamps = index.to_numpy()
    if (row := _first(stamps[1:] == stamps[:-1])) is not None:
        _fail(source, "date", row + 1, index, "the same date as the row before: keep one row a date")
    wrong, where = (np.greater, "later") if newest_first else (np.less, "earlier")
    if (row := _first(wrong(stamps[1:], stamps[:-1]))) is not None:
        back = abs(stamps[row + 1] - stamps[row])
        twice = back <= np.timedelta64(1, "h") and not newest_first
        remedy = "if summer time ended there, give times in UTC; else " if twice else ""
        problem = f"{where} than the row before: {remedy}sort the rows by date, duplicates removed"
        _fail(source, "date", row + 1, index, problem)


def check_bars(frame: pd.DataFrame, source: str, *, complete: bool = True) -> None:
    """Refuse a value or a bar that can not be, with an `InputError` that names the first bad row of a column.

    A missing value (NaN) passes where the table need not be `complete`.
    """
    for column in frame.columns:
        _check_column(frame[column], source, complete)
    inside = [column for column in ("open", "close") if column in frame]
    for extreme, beyond in (("high", np.less), ("low", np.greater)):
        if extreme not in frame:
            continue
        others = [*inside, "low"] if extreme == "high" and "low" in frame else inside
        for other in others:
            bad = beyond(frame[extreme].to_numpy(), frame[other].to_numpy())
            if (row := _first(bad)) is not None:
                values = f"{extreme} {frame[extreme].iloc[row]:.10g} but {other} {frame[other].iloc[row]:.10g}"
                _fail(source, extreme, row, frame.index, f"{values}: mend the bar or remove the row")


def _fail(source: str, field: str, row: int, index: pd.Index, problem: str) -> NoReturn:
    raise InputError(f"{source}: {field}: row {row + 1} ({str(index[row]).removesuffix(' 00:00:00')}): {problem}")


def _first(bad: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(bad)) if bad.any() else None


def _check_column(values: pd.Series, source: str, complete: bool) -> None:
    field = str(values.name)
    if not pd.api.types.is_numeric_dtype(values) or values.dtype.kind not in "iuf":
        raise InputError(f"{source}: {field}: has type {values.dtype}, not a number: give plain decimal numbers")
    array = values.to_numpy(dtype="float64", na_value=np.nan)
    if complete and (row := _first(np.isnan(array))) is not None:
        _fail(source, field, row, values.index, "value missing (NaN): remove the row or give its value")
    if (row := _first(np.isinf(array))) is not None:
        _fail(source, field, row, values.index, f"value is {array[row]}: give a finite number")
    if field == "volume":
        if (row := _first(array < 0)) is not None:
            _fail(source, field, row, values.index, f"volume is {array[row]:g}: give zero or more")
        return
    if (row := _first(array <= 0)) is not None:
        problem = f"price is {array[row]:g}: prices are above zero, or have no log return: remove the row"
        _fail(source, field, row, values.index, problem)
    if (row := _first(np.abs(np.diff(np.log(array))) > LARGEST_LOG_RETURN)) is not None:
        jump = f"price is {array[row + 1]:g} after {array[row]:g}"
        _fail(source, field, row + 1, values.index, f"{jump}, which no market does: mend the price or remove the row")


def log_returns(close: pd.Series) -> pd.Series:
    """Log returns of a series of closes, from each bar to the next.

    Parameters
    ----------
    close : Series of shape (n_bars,)
        Positive prices on an ascending DatetimeIndex.

    Returns
    -------
    Series of shape (n_bars - 1,)
        ``log(close[t] / close[t-1])`` at the date of t, named ``log_return``.

    Raises
    ------
    InputError
        When there are fewer than two prices, they fail `check_prices`, or come as a table.
    """
    if not isinstance(close, pd.Series):
        raise InputError(f"close: is {type(close).__name__}: give a Series with dates, such as bars['close']")
    check_prices(close, source="close")
    if len(close) < 2:
        raise InputError(f"close: {len(close)} price: a return needs two")
    log_price = np.log(close.to_numpy(dtype="float64"))
    return pd.Series(np.diff(log_price), index=close.index[1:], name="log_return")
