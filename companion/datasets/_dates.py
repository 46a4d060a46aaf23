"""Dates as people write them: read where they can mean one day only, refused where they can not."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from companion.datasets._fields import bad_row, first, is_text, plain
from companion.datasets._file_kinds import shown
from companion.errors import InputError

FIRST_YEAR, LAST_YEAR = 1678, 2261  # whole years of a nanosecond index
_TIME = (
    r"(?:(?:T| +)(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:\.(?P<f>\d{1,9}))?)?)?"
    r" ?(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?$"
)
_SEPARATED = r"^(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y>\d{4})" + _TIME
_FORMS = (
    r"^(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})" + _TIME,
    r"^(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})" + _TIME,
    r"^(?P<d>\d{1,2})[- ](?P<name>[A-Za-z]{3})[a-z]*[-, ]+(?P<y>\d{4})" + _TIME,
    r"^(?P<name>[A-Za-z]{3})[a-z]*\.? (?P<d>\d{1,2}),? (?P<y>\d{4})" + _TIME,
    _SEPARATED,
)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, start=1)}
_EPOCHS = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}  # digits of a time since 1970, and its unit in ns
_ROUNDED_TO = 1000 * 10**9  # ns; no bars follow each other in steps that are all multiples of 1,000 seconds


def dates(column: pa.ChunkedArray, name: str, *, dayfirst: bool | None) -> pd.DatetimeIndex:
    """A column as dates without a time zone: local dates if every stamp is a local midnight, else UTC.

    Parameters
    ----------
    column : ChunkedArray
        Text, times since 1970 or dates of Parquet.
    name : str
        The file, for messages.
    dayfirst : bool, optional
        What 01/02/2024 means where the column does not say.

    Raises
    ------
    InputError
        Names the row that is no date, or asks for `dayfirst`.
    """
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        return _from_typed(column, name)
    if not (pa.types.is_integer(column.type) or is_text(column.type)):
        raise InputError(f"{name}: date: has type {column.type}: store dates, or text like 2024-01-31")
    text = plain(column)
    if (row := first(pc.is_null(text).to_numpy(zero_copy_only=False))) is not None:
        raise bad_row(name, "date", row, column[row].as_py(), "is not a date like 2024-01-31: mend or remove the row")
    since = pc.match_substring_regex(text, r"^\d{10}(\d{3}){0,3}$").to_numpy(zero_copy_only=False)
    if since.all():
        return _from_epochs(text, name)
    for form in _FORMS:
        found = pc.extract_regex(text, form)
        if found[0].is_valid:
            return _from_parts(text, found, name, dayfirst)
    row = int(np.argmin(since)) if since[0] else 0
    value = text[row].as_py()
    if pc.match_substring_regex(pa.array([value]), r"^\d[.,]\d+[eE]\+?\d+$")[0].as_py():
        raise bad_row(name, "date", row, value, "is a time that a spreadsheet has rounded: download the file again")
    wrong = "is not a date like 2024-01-31"
    if pc.match_substring_regex(text, r"^\d{5}(\.\d+)?$").to_numpy(zero_copy_only=False).all():
        wrong += " but a spreadsheet's number of a day: give the column the form yyyy-mm-dd there, and save it again"
        raise bad_row(name, "date", row, value, wrong)
    raise bad_row(name, "date", row, value, f"{wrong}: mend the row")


def _from_typed(column: pa.ChunkedArray, name: str) -> pd.DatetimeIndex:
    if (row := first(pc.is_null(column).to_numpy())) is not None:
        raise bad_row(name, "date", row, "", "is no date: remove the row or give its date")
    years = pc.year(column).to_numpy()
    _check_years(years, name, column)
    zone = getattr(column.type, "tz", None)
    stamps = pd.DatetimeIndex(pc.cast(column, pa.timestamp("ns", zone)).to_pandas())
    if zone is None:
        return stamps
    local = stamps.tz_localize(None)
    return local if (local == local.normalize()).all() else stamps.tz_convert("UTC").tz_localize(None)


def _check_years(years: NDArray[Any], name: str, text: pa.ChunkedArray | pa.Array) -> None:
    if (row := first((years < FIRST_YEAR) | (years > LAST_YEAR))) is not None:
        raise bad_row(
            name, "date", row, text[row].as_py(), f"is not between {FIRST_YEAR} and {LAST_YEAR}: mend the row"
        )


def _from_epochs(text: pa.Array, name: str) -> pd.DatetimeIndex:
    digits = pc.utf8_length(text).to_numpy()
    unit = np.select([digits == n for n in _EPOCHS], list(_EPOCHS.values()))
    values = pc.cast(text, pa.uint64()).to_numpy()
    if (row := first(values > np.uint64(np.iinfo(np.int64).max) // unit.astype(np.uint64))) is not None:
        raise bad_row(name, "date", row, text[row].as_py(), "is no time since 1970: mend the row")
    stamps = values.astype(np.int64) * unit
    if len(stamps) >= 5 and not (stamps % _ROUNDED_TO).any():
        problem = "and all others are times that a spreadsheet has rounded: download the file again"
        raise bad_row(name, "date", 0, text[0].as_py(), problem)
    return pd.DatetimeIndex(stamps.astype("datetime64[ns]"))


def _from_parts(text: pa.Array, found: pa.Array, name: str, dayfirst: bool | None) -> pd.DatetimeIndex:
    if (row := first(pc.is_null(found).to_numpy(zero_copy_only=False))) is not None:
        raise bad_row(name, "date", row, text[row].as_py(), f"is not a date like {text[0].as_py()}: mend the row")
    keys = [field.name for field in found.type]
    parts = {key: pc.struct_field(found, key) for key in keys}
    given = {key: pc.not_equal(parts[key], "").to_numpy(zero_copy_only=False) for key in ("H", "zone")}
    for mask in given.values():
        if (row := first(mask != mask[0])) is not None:
            raise bad_row(
                name, "date", row, text[row].as_py(), f"is not a date like {text[0].as_py()}: write all in one way"
            )
    number = {key: _integers(parts[key]) for key in keys if key not in ("name", "zone", "f")}
    if "a" in parts:
        number |= _day_and_month(number.pop("a"), number.pop("b"), name, text, dayfirst)
    if "name" in parts:
        number["m"] = np.array([_MONTHS.get(month, 0) for month in pc.utf8_lower(parts["name"]).to_pylist()])
    _check_years(number["y"], name, text)
    day = pd.to_datetime({"year": number["y"], "month": number["m"], "day": number["d"]}, errors="coerce")
    impossible = day.isna().to_numpy() | (number["H"] > 23) | (number["M"] > 59) | (number["S"] > 59)
    if (row := first(impossible)) is not None:
        raise bad_row(name, "date", row, text[row].as_py(), "is no day of the calendar: mend the row")
    seconds = (number["H"] * 60 + number["M"]) * 60 + number["S"]
    fraction = _integers(pc.utf8_rpad(parts["f"], 9, "0"))
    local = pd.DatetimeIndex(day.to_numpy("datetime64[ns]") + seconds * 10**9 + fraction)
    return local if (local == local.normalize()).all() else local - _offsets(parts["zone"])


def _integers(text: pa.Array) -> NDArray[np.int64]:
    return pc.cast(pc.if_else(pc.equal(text, ""), "0", text), pa.int64()).to_numpy()


def _day_and_month(
    a: NDArray[np.int64], b: NDArray[np.int64], name: str, text: pa.Array, dayfirst: bool | None
) -> dict[str, NDArray[np.int64]]:
    """Which of two numbers is the day: the one that is above twelve somewhere."""
    day, month = first(a > 12), first(b > 12)
    if day is not None and month is not None:
        raise bad_row(
            name, "date", max(day, month), text[max(day, month)].as_py(), "is in another order than others: mend it"
        )
    if dayfirst is None:
        if day is None and month is None and (a != b).any():
            raise InputError(
                f"{name}: date: {shown(text[0].as_py())} and all others may begin with the day or the month: "
                f"give dayfirst=True or dayfirst=False"
            )
        dayfirst = day is not None
    if (row := month if dayfirst else day) is not None:
        raise bad_row(name, "date", row, text[row].as_py(), f"can not be read with dayfirst={dayfirst}: leave it out")
    return {"d": a, "m": b} if dayfirst else {"d": b, "m": a}


def _offsets(zone: pa.Array) -> NDArray[np.timedelta64]:
    """Hours and minutes ahead of UTC."""
    found = pc.extract_regex(zone, r"^(?P<sign>[+-])(?P<h>\d{2}):?(?P<m>\d{2})$")
    parts = {key: pc.fill_null(pc.struct_field(found, key), "") for key in ("sign", "h", "m")}
    minutes = 60 * _integers(parts["h"]) + _integers(parts["m"])
    sign = np.where(pc.equal(parts["sign"], "-").to_numpy(zero_copy_only=False), -1, 1)
    return (sign * minutes).astype("timedelta64[m]")
