"""Other futures of one column of a table: redrawn from its own rows, scaled, blank.

A column of positive floats is taken for prices, which go on from the last one that is known: it is their steps that are
redrawn or scaled. Whole numbers, such as a volume, and what may be zero or negative are redrawn or scaled themselves.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion._checks import Floats

Rows = NDArray[np.bool_]
Draws = NDArray[np.int64]
_SPREAD = 3


def redraw(frame: pd.DataFrame, column: int, rows: Rows, draws: Draws) -> pd.Series:
    """The column with `rows` replaced: row i by row ``draws[i]``, or by the step that led to it if it is of prices."""
    values, reference = frame.iloc[:, column], _reference(frame, column)
    if reference is None:
        return _put(values, rows, values.array[draws])
    before = reference[draws - 1]
    steps = np.nan_to_num(np.log(reference[draws] / before))
    levels = _last(reference, rows) * np.exp(np.cumsum(steps) - steps)
    return _put(values, rows, levels * values.to_numpy(dtype=np.float64)[draws] / before)


def scale(frame: pd.DataFrame, column: int, rows: Rows) -> pd.Series:
    """The column with `rows` three times as large, or, if it is of prices, three times as far from the last in logs."""
    values, reference = frame.iloc[:, column], _reference(frame, column)
    if values.dtype.kind not in "if":
        return values
    future = values[rows].to_numpy()
    if reference is None:
        return _put(values, rows, future * _SPREAD)
    base = _last(reference, rows)
    return _put(values, rows, base * (future / base) ** _SPREAD)


def blank(frame: pd.DataFrame, column: int, rows: Rows) -> pd.Series:
    """The column with NaN at `rows`, if it is one of numbers."""
    values = frame.iloc[:, column]
    return values.astype(np.float64).mask(rows) if values.dtype.kind in "if" else values


def _reference(frame: pd.DataFrame, column: int) -> Floats | None:
    """What the prices of a column are measured by, None if it is none of prices: the close for open, high and low.

    Measured by their own last value, a high could come to lie below its low.
    """
    names = [str(name).lower() for name in frame.columns]
    measure = names.index("close") if names[column] in ("open", "high", "low") and "close" in names else column
    values = frame.iloc[:, measure]
    if values.dtype.kind != "f":
        return None
    numbers = values.to_numpy(dtype=np.float64)
    return numbers if np.isfinite(numbers).any() and np.nanmin(numbers) > 0.0 else None


def _last(reference: Floats, rows: Rows) -> float:
    """The last number before `rows`, or the first of all."""
    finite = np.isfinite(reference)
    past = reference[finite & ~rows]
    return float(past[-1] if past.size else reference[finite][0])


def _put(values: pd.Series, rows: Rows, future: object) -> pd.Series:
    """The column with another future, of the type that it had; times stay as they are, for no market moves them."""
    if values.dtype.kind in "mM":
        return values
    changed = values.copy()
    changed[rows] = pd.Series(future, dtype=values.dtype).array
    return changed
