"""A user's own bars and closes, read from the files that people have."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from companion.datasets._dates import dates
from companion.datasets._fields import bad_row, first, plain
from companion.datasets._numbers import Decimal, numbers
from companion.datasets._prices import OHLC, check_bars, check_dates
from companion.datasets._text_tables import Table, read_columns
from companion.errors import InputError

Order = Literal["oldest first", "newest first"]
Missing = Literal["refuse", "drop"]

#: Names of a column, letters and digits only; of several the first that is there.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "date": (
        *("date", "datetime", "timestamp", "opentime", "time", "gmttime", "localtime", "observationdate", "day"),
        *("unix", "unixtime", ""),
    ),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close", "closelast", "price"),  # Nasdaq, Investing.com
    "adjusted": ("adjclose", "adjustedclose", "closeadj", "closeadjusted"),
    "volume": ("volume", "vol"),
}


def read_bars(
    path: str | Path,
    *,
    adjusted: bool | None = None,
    order: Order = "oldest first",
    dayfirst: bool | None = None,
    decimal: Decimal | None = None,
    missing: Missing = "refuse",
) -> pd.DataFrame:
    """Read a user's bars from a file: CSV in the layouts that people have, packed or not, or Parquet.

    Names of columns may be in any case (``Date``, ``Open Time``, ``Adj Close``, ``<CLOSE>``, ``5. volume``), fields
    separated by commas, semicolons or tabs, text in UTF-8 or UTF-16; Binance's klines need no header. What kind of file
    it is follows from its first bytes. Other columns are ignored. Where a file may mean two things, it is refused with
    the parameter that decides.

    Parameters
    ----------
    path : str or Path
    adjusted : bool, optional
        Whether prices are to be adjusted for splits and dividends, in a file with both ``Close`` and ``Adj Close``:
        every price of a bar is then multiplied by their ratio; the volume stays.
    order : {"oldest first", "newest first"}
        Order of the rows in the file. The answer always is oldest first.
    dayfirst : bool, optional
        Whether 01/02/2024 is in February, where no date of the file says so.
    decimal : {".", ","}, optional
        Whether 1.234 is a number between one and two, where no number of the file says so.
    missing : {"refuse", "drop"}
        Whether a row that lacks one of the values read (empty, ``null``, ``NaN``) is refused or left out; the dates of
        those are then in ``.attrs["left_out"]``.

    Returns
    -------
    DataFrame of shape (n_bars, 4 or 5)
        float64 columns ``open``, ``high``, ``low``, ``close`` and, where the file has it, ``volume``, on an ascending
        DatetimeIndex ``date``. Times stay where the file has them; a date and a ``Time`` column are put together.
        Stamps with an offset from UTC become UTC without a zone, unless all are local midnights: then local dates.

    Raises
    ------
    InputError
        One line that names the file, the column, the row (from 1, the header not counted) and the remedy.
    """
    choices = check_choices(adjusted, order, dayfirst, missing, decimal)
    table = read_columns(Path(path))
    columns = {name: _need(table, name) for name in OHLC}
    asked = _adjusted(table, adjusted)
    if asked:
        columns["adjusted"] = _need(table, "adjusted")
    volume = _find(table, "volume")
    if volume is not None and plain(table.columns[volume]).null_count < len(table.columns[volume]):
        columns["volume"] = volume
    frame = _read(table, columns, *choices)
    return _adjust(frame) if asked else frame


def read_prices(
    path: str | Path,
    *,
    column: str | None = None,
    adjusted: bool | None = None,
    order: Order = "oldest first",
    dayfirst: bool | None = None,
    decimal: Decimal | None = None,
    missing: Missing = "refuse",
) -> pd.Series:
    """Read a user's closes from a file of bars or of closes alone.

    Parameters
    ----------
    path : str or Path
    column : str, optional
        Name of the column to read, where it is not called close.
    adjusted : bool, optional
        Which of ``Close`` and ``Adj Close`` to read, where the file has both.
    order, dayfirst, decimal, missing
        As in `read_bars`.

    Returns
    -------
    Series of shape (n_bars,)
        Named ``close``, float64, on an ascending DatetimeIndex ``date`` as in `read_bars`.

    Raises
    ------
    InputError
        As `read_bars` does.
    """
    choices = check_choices(adjusted, order, dayfirst, missing, decimal)
    table = read_columns(Path(path))
    if column is not None:
        if adjusted is not None:
            raise InputError("adjusted must be left out, for column says what to read")
        position = _one(table, [i for i, name in enumerate(table.header) if name == column], column)
    elif _find(table, "close") is None and adjusted is None and _find(table, "adjusted") is not None:
        position = _need(table, "adjusted")
    else:
        position = _need(table, "adjusted" if _adjusted(table, adjusted) else "close")
    return _read(table, {"close": position}, *choices)["close"]


def check_choices(
    adjusted: object, order: Order, dayfirst: bool | None, missing: Missing, decimal: Decimal | None
) -> tuple[Order, bool | None, Missing, Decimal | None]:
    """The choices of `read_bars` in the order of `_read`, or a `ValueError` that names the one that is none."""
    allowed = {
        "adjusted": (adjusted, (None, True, False)),
        "order": (order, ("oldest first", "newest first")),
        "dayfirst": (dayfirst, (None, True, False)),
        "missing": (missing, ("refuse", "drop")),
        "decimal": (decimal, (None, ".", ",")),
    }
    for name, (value, known) in allowed.items():
        if not any(value is item or (isinstance(item, str) and value == item) for item in known):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    return order, dayfirst, missing, decimal


def _key(name: str) -> str:
    """A column's name, letters and digits only, and without the number that Alpha Vantage puts before it."""
    return re.sub(r"^\d+(?=[a-z])", "", re.sub(r"[^a-z0-9]", "", name.casefold()))


def _find(table: Table, name: str) -> int | None:
    keys = [_key(column) for column in table.header]
    for known in _NAMES[name]:
        # A column without a name is the index that pandas wrote, if it is the first.
        if known in keys and (known or not table.header[0]):
            positions = [i for i, key in enumerate(keys) if key == known and (known or i == 0)]
            return _one(table, positions, table.header[positions[0]])
    return None


def _one(table: Table, positions: Sequence[int], name: str) -> int:
    if len(positions) != 1:
        there = "not there" if not positions else f"there {len(positions)} times"
        raise InputError(f"{table.name}: column {name!r} is {there}; found {_header(table)}: rename the columns")
    return positions[0]


def _need(table: Table, name: str) -> int:
    position = _find(table, name)
    if position is None:
        wanted = {"adjusted": "Adj Close"}.get(name, name)
        remedies = {
            "close": "rename the columns, or name yours in read_prices(…, column=…)",
            "adjusted": "leave adjusted out",
        }
        remedy = remedies.get(name, "rename the columns; read_prices needs date and close alone")
        raise InputError(f"{table.name}: column {wanted!r} is not there; found {_header(table)}: {remedy}")
    return position


def _header(table: Table) -> str:
    text = str(list(table.header))
    return text if len(text) <= 200 else text[:200] + "…"


def _adjusted(table: Table, adjusted: bool | None) -> bool:
    """Whether to read the adjusted close; an `InputError` if there are two and nobody said which."""
    position, other = _find(table, "close"), _find(table, "adjusted")
    if adjusted is None and position is not None and other is not None:
        raise InputError(
            f"{table.name}: has both {table.header[position]!r} and {table.header[other]!r}: "
            f"give adjusted=True (splits and dividends taken out) or adjusted=False (as traded)"
        )
    return bool(adjusted)


def _read(
    table: Table,
    columns: Mapping[str, int],
    order: Order,
    dayfirst: bool | None,
    missing: Missing,
    decimal: Decimal | None,
) -> pd.DataFrame:
    """The columns as numbers on their dates, checked in the order of the file, oldest first."""
    stamps = dates(_stamps(table), table.name, dayfirst=dayfirst)
    named = {name: table.columns[position] for name, position in columns.items()}
    read = numbers(named, table.name, decimal=decimal, delimiter=table.delimiter)
    index = pd.DatetimeIndex(stamps, name="date").as_unit("ns")
    _check_order(index, table.name, order)
    frame = pd.DataFrame(read, index=index)[list(columns)]
    empty = frame.isna().to_numpy(dtype=np.bool_)
    if missing == "refuse" and (row := first(np.logical_or.reduce(empty, axis=1))) is not None:
        field = str(frame.columns[empty[row]][0])
        value, when = named[field][row].as_py(), str(index[row]).removesuffix(" 00:00:00")
        raise bad_row(table.name, field, row, value, f"({when}) is no value: missing='drop' leaves such rows out")
    check_bars(frame, table.name, complete=False)
    left_out = np.logical_or.reduce(empty, axis=1)
    frame = frame.loc[~left_out]
    if frame.empty:
        raise InputError(f"{table.name}: no rows with a price: give at least one dated price")
    frame.attrs["left_out"] = tuple(sorted(str(date).removesuffix(" 00:00:00") for date in index[left_out]))
    return frame if order == "oldest first" else frame[::-1]


def _stamps(table: Table) -> pa.ChunkedArray:
    """The column of dates, with that of times behind it where they are two."""
    position = _need(table, "date")
    keys, column = [_key(name) for name in table.header], table.columns[position]
    if keys[position] != "date" or "time" not in keys:
        return column
    time = plain(table.columns[_one(table, [i for i, key in enumerate(keys) if key == "time"], "time")])
    digits = pc.replace_substring_regex(time, r"^(\d{2})(\d{2})(\d{2})?$", r"\1:\2:\3")
    whole = pc.replace_substring_regex(digits, ":$", ":00")
    return pa.chunked_array([pc.binary_join_element_wise(plain(column), whole, " ")])


def _check_order(index: pd.DatetimeIndex, name: str, order: Order) -> None:
    steps = np.diff(index.to_numpy()).astype(np.int64)
    falls, rises = bool((steps < 0).any()), bool((steps > 0).any())
    if falls and not rises and order == "oldest first":
        raise InputError(f"{name}: date: the rows run from newest to oldest: give order='newest first'")
    if rises and not falls and order == "newest first":
        raise InputError(f"{name}: date: the rows run from oldest to newest: leave out order='newest first'")
    check_dates(index, name, newest_first=order == "newest first")


def _adjust(frame: pd.DataFrame) -> pd.DataFrame:
    """Every price of a bar times adjusted close over close."""
    adjusted = frame.pop("adjusted")
    prices = frame[list(OHLC)].mul(adjusted / frame["close"], axis=0).assign(close=adjusted)
    # A high that was the close stays so, whatever the rounding of the ratio.
    prices["high"], prices["low"] = prices.max(axis=1), prices.min(axis=1)
    return frame.assign(**prices)
