"""Arrays of float64 from what people hold: arrays, lists, and pandas columns with a gap. Text is no number."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def as_floats(values: Any, name: str) -> Floats:
    """`values` as float64, NaN where a pandas column has no value.

    Raises
    ------
    ValueError
        If they are no numbers: numpy would read text, and take a bool for 0 or 1.
    """
    dtype = getattr(values, "dtype", None)
    if hasattr(values, "to_numpy") and getattr(dtype, "kind", "") in "fiu" and not isinstance(dtype, np.dtype):
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    try:
        given = np.asarray(values)
        mixed = given.dtype.kind == "O" and not any(isinstance(value, str | bytes | bool) for value in given.flat)
        if mixed or given.dtype.kind in "fiu":
            return given.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers, got what numpy can not read: {error}") from error
    raise ValueError(f"{name} must be numbers, got {values!r:.60}: convert it first")
