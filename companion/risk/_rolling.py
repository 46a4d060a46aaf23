"""Mean and standard deviation over a moving window that forget exactly what has left it.

Running floating-point sums do not: after one spread of 1e7 the squares of normal ones are lost in its rounding error,
for ever. Every float is an integer multiple of 2^-1074, and the sums of integers are exact.
"""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from companion.risk._decimal import as_float

_UNIT = 1074  # the smallest positive float is 2^-1074
_GUARD = 64  # more bits of the square root than a float holds


class RollingSpreadStats:
    """Mean and population standard deviation of the last `window` values, as if summed without any rounding.

    Made for the spread of a quote, it serves any series. The cost of a value does not depend on the window.

    Parameters
    ----------
    window : int
        Number of values, at least 2.

    Attributes
    ----------
    refused : int
        Values that were not finite; they leave the window as it was.

    Raises
    ------
    ValueError
        If `window` is not an integer of at least 2.
    """

    def __init__(self, window: int) -> None:
        if not hasattr(window, "__index__") or window < 2:
            raise ValueError(f"window must be an integer of at least 2, got {window}")
        self.window = int(window)
        self.refused = 0
        self._values: deque[int] = deque()
        self._sum = self._sum_of_squares = 0

    def __len__(self) -> int:
        """Number of values in the window."""
        return len(self._values)

    def update(self, x: float) -> None:
        """Take the next value; the oldest leaves a full window."""
        value = as_float(x)
        if not math.isfinite(value):
            self.refused += 1
            return
        self._add(_in_units(value))
        if len(self) > self.window:
            self._drop(self._values.popleft())

    def mean_std(self) -> tuple[float, float]:
        """Mean and standard deviation, divided by n, of what the window holds; NaN for less than two values."""
        n = len(self)
        if n < 2:
            return math.nan, math.nan
        squares = n * self._sum_of_squares - self._sum**2
        return self._sum / (n << _UNIT), math.isqrt(squares << 2 * _GUARD) / (n << _UNIT + _GUARD)

    def state(self) -> dict[str, Any]:
        """What the window holds, as plain JSON types, exactly; `restore` takes it back."""
        values = [value / (1 << _UNIT) for value in self._values]
        return {"window": self.window, "refused": self.refused, "values": values}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ValueError
            If it is the state of another window, or no state at all.
        """
        if state.get("window") != self.window:
            raise ValueError(f"state must be of a window of {self.window}, got {state.get('window')}: make one of that")
        try:
            values, refused = [_in_units(float(value)) for value in state["values"]], int(state["refused"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"state must be what RollingSpreadStats.state() gave, got another: {error!r}") from error
        self.refused, self._sum, self._sum_of_squares = refused, 0, 0
        self._values.clear()
        for value in values[-self.window :]:
            self._add(value)

    def _add(self, value: int) -> None:
        self._values.append(value)
        self._sum += value
        self._sum_of_squares += value**2

    def _drop(self, value: int) -> None:
        self._sum -= value
        self._sum_of_squares -= value**2


def _in_units(x: float) -> int:
    """The integer k with ``x = k * 2**-1074``."""
    numerator, denominator = x.as_integer_ratio()
    return numerator << (_UNIT + 1 - denominator.bit_length())
