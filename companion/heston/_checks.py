"""Checks of arguments that several functions share."""

import math
from typing import Any, Literal

import numpy as np


def check_count(name: str, value: Any, *, least: Literal[0, 1] = 1) -> int:
    """`value` as an integer that is positive, or with ``least=0`` not negative.

    Raises
    ------
    ValueError
        If it is not one; the message names the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a {'positive' if least else 'non-negative'} integer, got {value!r}")
    return int(value)


def check_positive(name: str, value: Any) -> float:
    """`value` as a positive finite float.

    Raises
    ------
    ValueError
        If it is not one; the message names the argument.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.number)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)
