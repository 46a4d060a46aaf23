"""The one door through which prices enter: strict, and with an answer that tells the user what to mend."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
import pandas as pd

from companion.errors import InputError

Prices = TypeVar("Prices", pd.Series, pd.DataFrame)

_POSITIVE = ("open", "high", "low", "close")


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
    _check_dates(prices.index, source)
    frame: pd.DataFrame = prices.to_frame("close") if isinstance(prices, pd.Series) else prices
    unknown = [str(column) for column in frame.columns if column not in (*_POSITIVE, "volume")]
    if unknown or not len(frame.columns):
        raise InputError(f"{source}: column {unknown or 'close'} unknown or missing: keep {[*_POSITIVE, 'volume']}")
    if not frame.columns.is_unique:
        raise InputError(f"{source}: columns {[*frame.columns]} repeat a name: keep one of each")
    for column in frame.columns:
        _check_column(frame[column], source)
    _check_bars(frame, source)
    return prices


def _fail(source: str, field: str, row: int, index: pd.Index, problem: str) -> NoReturn:
    raise InputError(f"{source}: {field}: row {row + 1} ({str(index[row]).removesuffix(' 00:00:00')}): {problem}")


def _first(bad: np.ndarray) -> int | None:
    return int(np.argmax(bad)) if bad.any() else None


def _check_dates(index: pd.Index, source: str) -> None:
    if not isinstance(index, pd.DatetimeIndex):
        raise InputError(f"{source}: date: the index is {type(index).__name__}: give a DatetimeIndex")
    if index.tz is not None:
        raise InputError(f"{source}: date: has the time zone {index.tz}: give dates without a time zone")
    if (row := _first(np.asarray(index.isna()))) is not None:
        _fail(source, "date", row, index, "no date: remove the row or give its date")
    days = index.to_numpy().astype("datetime64[ns]").astype("int64")
    if (row := _first(days[1:] == days[:-1])) is not None:
        _fail(source, "date", row + 1, index, "the same date as the row before: keep one row a date")
    if (row := _first(days[1:] < days[:-1])) is not None:
        _fail(source, "date", row + 1, index, "earlier than the row before: sort the rows by date, duplicates removed")


def _check_column(values: pd.Series, source: str) -> None:
    field = str(values.name)
    if not pd.api.types.is_numeric_dtype(values) or values.dtype.kind not in "iuf":
        raise InputError(f"{source}: {field}: has type {values.dtype}, not a number: give plain decimal numbers")
    array = values.to_numpy(dtype="float64", na_value=np.nan)
    if (row := _first(np.isnan(array))) is not None:
        _fail(source, field, row, values.index, "value missing (NaN): remove the row or give its value")
    if (row := _first(np.isinf(array))) is not None:
        _fail(source, field, row, values.index, f"value is {array[row]}: give a finite number")
    if field == "volume":
        if (row := _first(array < 0)) is not None:
            _fail(source, field, row, values.index, f"volume is {array[row]:g}: give zero or more")
    elif (row := _first(array <= 0)) is not None:
        _fail(source, field, row, values.index, f"price is {array[row]:g}: prices are above zero")


def _check_bars(frame: pd.DataFrame, source: str) -> None:
    inside = [column for column in ("open", "close") if column in frame]
    for extreme, beyond in (("high", np.less), ("low", np.greater)):
        if extreme not in frame:
            continue
        others = [*inside, "low"] if extreme == "high" and "low" in frame else inside
        for other in others:
            bad = beyond(frame[extreme].to_numpy(), frame[other].to_numpy())
            if (row := _first(bad)) is not None:
                values = f"{extreme} {frame[extreme].iloc[row]:g} but {other} {frame[other].iloc[row]:g}"
                _fail(source, extreme, row, frame.index, f"{values}: mend the bar or remove the row")


def read_prices(path: str | Path) -> pd.Series:
    """Read a user's daily closes from a CSV or Parquet file with the columns ``date`` (like 2024-01-31) and ``close``.

    Further columns are ignored.

    Parameters
    ----------
    path : str or Path
        A file that ends in ``.csv`` or ``.parquet``.

    Returns
    -------
    Series of shape (n_bars,)
        Named ``close``, float64, on an ascending DatetimeIndex ``date``.

    Raises
    ------
    InputError
        When the file is missing, unreadable, of another format or schema, or its prices fail `check_prices`.
    """
    path = Path(path)
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: name ends in {path.suffix or 'no suffix'!r}: give a .csv or a .parquet file")
    if not path.is_file():
        raise InputError(f"{path}: no such file: check the path")
    try:
        frame = readers[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"{path}: can not be read ({error.strerror or _line(error)}): check the file") from error
    dates = _parsed(frame["date"], pd.to_datetime, path, "a date like 2024-01-31", format="%Y-%m-%d")
    if not pd.api.types.is_datetime64_any_dtype(dates):
        raise InputError(f"{path}: date: has type {dates.dtype}, not a date: store dates, or text like 2024-01-31")
    close = _parsed(frame["close"], pd.to_numeric, path, "a number like 4500.25")
    prices = pd.Series(close.array, index=pd.DatetimeIndex(dates, name="date"), name="close")
    return check_prices(prices, source=str(path)).astype("float64")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _need_columns(names: list[str], path: Path) -> None:
    for needed in ("date", "close"):
        if names.count(needed) != 1:
            raise InputError(f"{path}: column {needed!r} is not there exactly once; found {names}: rename the columns")


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=str, encoding="utf-8-sig", keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a CSV table ({_line(error)}): save it again as UTF-8 CSV") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(f"{path}: rows have more fields than the header: one field a column, no thousands separator")
    _need_columns(list(frame.columns), path)
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _need_columns(pq.read_schema(path).names, path)
        frame: pd.DataFrame = pq.read_table(path, columns=["date", "close"]).to_pandas(ignore_metadata=True)
    except pa.ArrowException as error:
        raise InputError(f"{path}: truncated or not Parquet ({_line(error)}): write the file again") from error
    return frame


def _parsed(text: pd.Series, parse: Callable[..., pd.Series], path: Path, wanted: str, **options: str) -> pd.Series:
    """`text` parsed, or an error that shows the first entry that is not `wanted`; a typed column stays as it is."""
    if text.dtype != object:
        return text
    try:
        parsed = parse(text, errors="coerce", **options)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {text.name}: {_line(error)}: give {wanted} in each row") from error
    if (row := _first(parsed.isna().to_numpy())) is not None:
        shown = str(text.iloc[row])[:40]
        raise InputError(f"{path}: {text.name}: row {row + 1}: {shown!r} is not {wanted}: mend the row")
    return parsed


def log_returns(close: pd.Series) -> pd.Series:
    """Daily log returns of a series of closes.

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
        When there are fewer than two prices, or they fail `check_prices`.
    """
    check_prices(close, source="close")
    if len(close) < 2:
        raise InputError(f"close: {len(close)} price: a return needs two")
    log_price = np.log(close.to_numpy(dtype="float64"))
    return pd.Series(np.diff(log_price), index=close.index[1:], name="log_return")
