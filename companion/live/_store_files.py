"""Candles in files: Binance's CSV of twelve columns, and Parquet that says what it holds."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion._files import atomic_path
from companion._tables import read_table, write_table
from companion.datasets._binance_files import LAYOUTS
from companion.datasets._market_arrays import Fault, bar_faults
from companion.datasets._market_lines import Columns, read_lines, refuse_line
from companion.datasets._market_rows import read_rows
from companion.errors import InputError

from ._candles import Candle, interval_ns

KIND = "candles"
NUMBERS = Candle._fields[1:]
COLUMNS = {"open_time_ns": "int64", **dict.fromkeys(NUMBERS, "double")}
_MS = 1_000_000


def candle_faults(columns: Mapping[str, NDArray[Any]], step_ns: int) -> Iterator[Fault]:
    """What each candle must be by itself: at a multiple of the interval, and a bar such as a market can trade.

    Parameters
    ----------
    columns : mapping of str to array
        Of the names of a `Candle`.
    step_ns : int
        The interval.
    """
    times = columns["open_time_ns"]
    yield Fault("must be a multiple of the interval", "open_time_ns", (times < 0) | (times % step_ns != 0))
    yield from (fault for fault in bar_faults({**columns, "time_ns": times}) if fault.column != "time_ns")


def read_csv(path: Path, interval: str) -> list[Candle]:
    """Read candles of any interval from a CSV file, packed or not, in Binance's columns, ascending and each once.

    Raises
    ------
    InputError
        Names the line that can not be read, contradicts another, or is no candle of this interval.
    """
    step_ns = interval_ns(interval)
    rows = read_rows(path, lambda file: _columns(file, interval), lambda columns: candle_faults(columns, step_ns))
    return as_candles(dict(zip(COLUMNS, rows.once(list(COLUMNS), key="open_time_ns"), strict=True)))


def _columns(path: Path, interval: str) -> Columns:
    kinds = {"open_time": "epoch", **dict.fromkeys(NUMBERS, "number"), "close_time": "epoch"}
    columns = read_lines(path, LAYOUTS["klines"], kinds)
    length, step_ns = columns["close_time"] - columns["open_time"], interval_ns(interval)
    wrong = (length >= step_ns) | (length < step_ns - _MS)  # the close is given as the last ms or µs of the bar
    if wrong.any():
        where = int(wrong.argmax())
        seconds = f"{length[where] / 1e9:g} s from open_time to close_time, not {interval}"
        raise refuse_line(path, int(columns["line"][where]), seconds)
    return columns | {"time_ns": columns["open_time"], "open_time_ns": columns["open_time"]}


def write_csv(path: Path, candles: Sequence[Candle], interval: str) -> None:
    """Write Binance's twelve columns with a header; what a candle does not know, counts and quote volumes, is 0."""
    step_ns = interval_ns(interval)
    with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LAYOUTS["klines"].columns)
        for candle in candles:
            close_ms = (candle.open_time_ns + step_ns) // _MS - 1
            writer.writerow([candle.open_time_ns // _MS, *map(repr, candle[1:]), close_ms, 0, 0, 0, 0, 0])


def read_parquet(path: Path, symbol: str, interval: str) -> list[Candle]:
    """Read what `write_parquet` wrote.

    Raises
    ------
    InputError
        The file is damaged, no file of candles, of another symbol or interval, or holds what is no candle.
    """
    remedy = "CandleStore.export_parquet"
    table, source = read_table(path, kind=KIND, columns=COLUMNS, made_by=remedy)
    held = (source.get("symbol"), source.get("interval"))
    if held != (symbol, interval):
        raise InputError(f"{path}: holds candles of {held[0]} {held[1]}, not {symbol} {interval}; name these")
    columns = {name: table[name].to_numpy() for name in COLUMNS}
    for rule, name, broken in candle_faults(columns, interval_ns(interval)):
        if broken.any():
            row = int(broken.argmax())
            raise refuse_line(path, row + 1, f"{name} {rule}, got {columns[name][row]}")
    return as_candles(columns)


def write_parquet(path: Path, candles: Sequence[Candle], symbol: str, interval: str) -> None:
    """Write a table of the columns of `Candle`, with symbol and interval in the file's metadata."""
    table = pd.DataFrame(candles, columns=list(COLUMNS))
    write_table(path, table, kind=KIND, columns=COLUMNS, provenance={"symbol": symbol, "interval": interval})


def as_candles(columns: Mapping[str, NDArray[Any]]) -> list[Candle]:
    """Rows of the columns of a `Candle`."""
    return list(map(Candle, *(np.asarray(columns[name]).tolist() for name in COLUMNS)))
