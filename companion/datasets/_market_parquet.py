"""Quotes in a Parquet file with the columns timestamp, bid, ask, bid_size and ask_size."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from companion.datasets._file_kinds import called, shown
from companion.datasets._market_lines import FIRST_NS, LAST_NS, Columns, refuse_line
from companion.errors import InputError

FIELDS = ("bid", "ask", "bid_size", "ask_size")


def read_quote_table(path: Path) -> Columns:
    """``time_ns``, the four numbers, ``line`` from 1 on, and an ``update_id`` of -1, for there are none.

    Raises
    ------
    InputError
        Names the file and what is damaged, lacking, of another type, missing, or of several symbols.
    """
    name = called(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        have = table.column_names
        symbols = table["symbol"].unique().to_pylist() if "symbol" in have else []
    except (pa.ArrowException, OSError, ValueError) as error:  # among them text that is no UTF-8
        reason = shown(" ".join(str(error).split()), 80)
        raise InputError(f"{name}: damaged Parquet file ({reason}): download it again") from error
    for column in ("timestamp", *FIELDS):
        if column not in have:
            raise InputError(f"{name}: lacks the column {column} among {shown(','.join(have), 200)}: give quotes")
    if len(symbols) > 1:
        raise InputError(f"{name}: holds the symbols {shown(', '.join(map(str, symbols)))}: give one instrument")
    if not table.num_rows:
        raise InputError(f"{name}: holds no row: download it again")
    columns: Columns = {"line": np.arange(1, table.num_rows + 1), "update_id": np.full(table.num_rows, -1)}
    columns["time_ns"] = _times(table["timestamp"], path)
    for column in FIELDS:
        columns[column] = _numbers(table[column], column, path)
    return columns


def _times(column: pa.ChunkedArray, path: Path) -> np.ndarray:
    if not pa.types.is_timestamp(column.type):
        raise InputError(f"{called(path)}: column timestamp is {column.type}: store it as a timestamp")
    wanted = pa.timestamp("ns", column.type.tz)  # stamps without a zone are in UTC, and those with one mean it
    try:
        times = column.cast(wanted).cast(pa.int64()).fill_null(0).to_numpy()
    except pa.ArrowInvalid as error:
        raise InputError(f"{called(path)}: column timestamp is out of range: give times from 2009 to 2100") from error
    wrong = (times < FIRST_NS) | (times >= LAST_NS)
    if wrong.any():
        row = int(wrong.argmax())
        raise refuse_line(path, row + 1, f"timestamp {shown(column[row].as_py())} is not a time from 2009 to 2100")
    return times


def _numbers(column: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        raise InputError(f"{called(path)}: column {name} is {column.type}: store it as numbers")
    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    if np.isnan(values).any():
        raise refuse_line(path, int(np.isnan(values).argmax()) + 1, f"{name} is missing")
    return values
