"""What the columns of a file have in common, be they dates or numbers: missing values, and how to blame a row."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from companion.datasets._file_kinds import shown
from companion.errors import InputError

MISSING = ("", "null", "nan", "na", "n/a", "#n/a", "none", "nat", ".", "-", "--")


def bad_row(name: str, field: str, row: int, value: object, problem: str) -> InputError:
    """Error that names a file, a column and a row, counted from 0."""
    return InputError(f"{name}: {field}: row {row + 1}: {shown(value)} {problem}")


def plain(column: pa.ChunkedArray) -> pa.Array:
    """Text without the blanks around it, null where it says that there is no value."""
    text = pc.utf8_trim_whitespace(pc.cast(column, pa.string()).combine_chunks())
    nothing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(MISSING))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), text)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of Parquet holds text, plain or by dictionary."""
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or (pa.types.is_dictionary(kind) and is_text(kind.value_type))
    )


def first(bad: NDArray[np.bool_]) -> int | None:
    """Where the first true is, if there is one."""
    return int(np.argmax(bad)) if bad.any() else None
