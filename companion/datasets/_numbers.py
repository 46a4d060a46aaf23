"""Numbers as people write them: read where they can mean one value only, refused where they can not."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from companion.datasets._fields import bad_row, is_text, plain
from companion.errors import InputError

Decimal = Literal[".", ","]
Floats = NDArray[np.float64]

_GROUPS = "'\u2019\u00a0\u202f "


def numbers(
    columns: Mapping[str, pa.ChunkedArray], name: str, *, decimal: Decimal | None, delimiter: str
) -> dict[str, Floats]:
    """Columns as float64, NaN where a value is missing.

    Text may have thousands separators, a dollar sign, and in the column ``volume`` K, M or B for a thousand, a million,
    a billion. Which of point and comma is the decimal mark follows from all columns together, or is asked.

    Raises
    ------
    InputError
        Names the row that holds no number, or asks for `decimal`.
    """
    text, result = {}, {}
    for field, column in columns.items():
        if is_text(column.type) or pa.types.is_null(column.type):
            text[field] = _without_signs(plain(column), field)
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
            result[field] = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan).to_numpy()
        else:
            raise InputError(f"{name}: {field}: has type {column.type}, not a number: give plain decimal numbers")
    if not text:
        return result
    commas = any(pc.any(pc.match_substring(values, ",")).as_py() for values in text.values())
    if delimiter == "," and not commas:
        decimal = decimal or "."  # between commas a point is the decimal mark
    marks: tuple[Decimal, ...] = (decimal,) if decimal else (".", ",")
    read = {mark: {field: _read(values, mark) for field, values in text.items()} for mark in marks}
    whole = [mark for mark in marks if all(ok.all() for _, ok in read[mark].values())]
    if not whole:
        raise _what_is_none(text, read, name)
    if len(whole) == 2 and not all(np.array_equal(read["."][f][0], read[","][f][0], equal_nan=True) for f in text):
        raise _which_mark(text, read, name)
    return result | {field: values for field, (values, _) in read[whole[0]].items()}


def _without_signs(text: pa.Array, field: str) -> pa.Array:
    text = pc.replace_substring_regex(text, r"^\$", "")
    if field != "volume":
        return text
    for letter, zeros in (("K", "e3"), ("M", "e6"), ("B", "e9")):
        text = pc.replace_substring_regex(text, rf"^([^eE]*\d){letter}$", rf"\1{zeros}")
    return text


def _read(text: pa.Array, mark: Decimal) -> tuple[Floats, NDArray[np.bool_]]:
    """Values with `mark` for the decimal mark, and which of them it can be (or are missing)."""
    group = _GROUPS + ("," if mark == "." else ".")
    whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:[{group}]\d{{3}})+)"
    number = rf"^[+-]?(?:{whole}(?:\{mark}\d*)?|\{mark}\d+)(?:[eE][+-]?\d{{1,3}})?$"
    fits = pc.match_substring_regex(text, number)
    digits = pc.replace_substring_regex(pc.if_else(fits, text, None), f"[{group}]", "")
    values = pc.cast(pc.replace_substring(digits, mark, "."), pa.float64())
    ok = pc.fill_null(fits, True).to_numpy(zero_copy_only=False)
    return pc.fill_null(values, np.nan).to_numpy(zero_copy_only=False), ok


Reading = Mapping[Decimal, Mapping[str, tuple[Floats, NDArray[np.bool_]]]]


def _what_is_none(text: Mapping[str, pa.Array], read: Reading, name: str) -> InputError:
    """Blame the first field that is no number with the decimal mark that most fields have."""
    mark = max(read, key=lambda mark: sum(int(ok.sum()) for _, ok in read[mark].values()))
    field = next(field for field, (_, ok) in read[mark].items() if not ok.all())
    row = int(np.argmin(read[mark][field][1]))
    return bad_row(name, field, row, text[field][row].as_py(), f"is not a number like 4500{mark}25: mend the row")


def _which_mark(text: Mapping[str, pa.Array], read: Reading, name: str) -> InputError:
    """Ask for the decimal mark, showing a number that it changes."""
    differ = {field: ~np.isnan(read["."][field][0] - read[","][field][0]) for field in text}
    differ = {field: there & (read["."][field][0] != read[","][field][0]) for field, there in differ.items()}
    field = next(field for field, wrong in differ.items() if wrong.any())
    row = int(np.argmax(differ[field]))
    meant = f"{read['.'][field][0][row]:.10g} or {read[','][field][0][row]:.10g}"
    return bad_row(name, field, row, text[field][row].as_py(), f"may be {meant}: give decimal='.' or decimal=','")
