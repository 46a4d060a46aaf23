"""From the lines of a CSV file of bars or quotes to numbers; a line that is not made of them is named, not skipped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from companion.datasets._binance_files import Layout, line_batches
from companion.datasets._file_kinds import PARQUET, called, first_bytes, shown
from companion.errors import InputError

NUMBER = r"^-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$"
EPOCH = r"^([0-9]{13}|[0-9]{16})$"
INTEGER = r"^[0-9]{1,18}$"
ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?$"
FIRST_NS, LAST_NS = 1_230_768_000 * 10**9, 4_102_444_800 * 10**9  # 2009 and 2100

Columns = dict[str, NDArray[Any]]


def read_lines(path: Path, layout: Layout, kinds: Mapping[str, str]) -> Columns:
    """The columns of a file that are named in `kinds`, and ``line``, the number of each line.

    Parameters
    ----------
    path : Path
    layout : Layout
    kinds : mapping of str to {"number", "epoch", "iso", "integer"}
        What the fields of a column are: float64; milliseconds or microseconds since 1970, or text like
        ``2021-12-31 23:01:00.000000`` in UTC, both as nanoseconds in int64; int64.

    Raises
    ------
    InputError
        Names the file, the line and the field that can not be read, or a file without lines.
    """
    parts: list[Columns] = []
    for batch in line_batches(path, layout):
        numbers, lines = batch.column("number").to_numpy(), pc.ascii_rtrim(batch.column("line"), "\r\n")
        fields = _fields(lines, numbers, path, len(layout.columns))
        found = {
            name: _read(fields[layout.columns.index(name)], kind, name, numbers, path) for name, kind in kinds.items()
        }
        parts.append(found | {"line": numbers})
    if not any(len(part["line"]) for part in parts):
        raise InputError(f"{called(path)}: holds no line of data: download it again")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def refuse_line(path: Path, line: int, problem: str) -> InputError:
    """The error about one line of a text file, or row of a Parquet file, from 1 on."""
    word = "row" if first_bytes(path).startswith(PARQUET) else "line"
    return InputError(f"{called(path)}: {word} {line}: {problem}: correct or remove it")


def _fields(lines: pa.Array, numbers: NDArray[np.int64], path: Path, n_columns: int) -> list[pa.Array]:
    """One array of text for each column."""
    split = pc.split_pattern(lines, ",")
    lengths = pc.list_value_length(split).to_numpy()
    wrong = lengths != n_columns
    if wrong.any():
        where = int(wrong.argmax())
        raise refuse_line(path, int(numbers[where]), f"has {lengths[where]} fields, not {n_columns}")
    flat = split.flatten()
    return [flat.take(pa.array(np.arange(i, len(flat), n_columns))) for i in range(n_columns)]


def _read(text: pa.Array, kind: str, name: str, numbers: NDArray[np.int64], path: Path) -> NDArray[Any]:
    pattern, wanted = {
        "number": (NUMBER, "a number"),
        "epoch": (EPOCH, "a time in ms or µs from 2009 to 2100"),
        "iso": (ISO, "a time like 2021-12-31 23:01:00 from 2009 to 2100"),
        "integer": (INTEGER, "an integer"),
    }[kind]
    sound = pc.match_substring_regex(text, pattern)
    good = pc.if_else(sound, text, None)
    if kind == "number":
        values = _filled(good.cast(pa.float64()), np.nan)
        wrong = ~np.isfinite(values)
    elif kind == "integer":
        values, wrong = _filled(good.cast(pa.int64()), 0), ~sound.to_numpy(zero_copy_only=False)
    else:
        values = _epochs(good) if kind == "epoch" else _stamps(good)
        wrong = (values < FIRST_NS) | (values >= LAST_NS)
    if wrong.any():
        where = int(wrong.argmax())
        raise refuse_line(path, int(numbers[where]), f"{name} {shown(text[where].as_py())} is not {wanted}")
    return values


def _filled(column: pa.Array, missing: float) -> NDArray[Any]:
    return column.fill_null(missing).to_numpy(zero_copy_only=False)


def _epochs(text: pa.Array) -> NDArray[np.int64]:
    """Nanoseconds; 0 for null."""
    since = _filled(text.cast(pa.int64()), 0)
    return np.where(since < 10**14, since * 10**6, since * 10**3)


def _stamps(text: pa.Array) -> NDArray[np.int64]:
    """Nanoseconds; 0 for null and for what is no date, like 2021-02-30."""
    try:
        times = text.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:
        times = pa.array([_stamp(value) for value in text], pa.timestamp("ns"))
    return _filled(times.cast(pa.int64()), 0)


def _stamp(value: pa.Scalar) -> pa.Scalar | None:
    try:
        return value.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:
        return None
