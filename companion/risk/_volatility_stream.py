"""Volatility one bar at a time, in few calls: `companion.risk._volatility` has the estimators."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from companion.risk._decimal import as_float
from companion.risk._floats import Floats
from companion.risk._volatility import (
    FAULTS,
    TERMS,
    Estimator,
    bar_faults,
    check_bars_per_year,
    check_settings,
    weights,
)


class VolatilityReading(NamedTuple):
    """Answer to one bar.

    Attributes
    ----------
    per_bar : float
        Volatility of one bar, or NaN.
    accepted : bool
        Whether the bar was taken.
    reason : str
        Why there is no volatility: "warming up" or what is wrong with the bar; else "".
    """

    per_bar: float
    accepted: bool
    reason: str

    def per_year(self, bars_per_year: float) -> float:
        """Annual volatility where a year has so many bars, as in `rolling_volatility`."""
        check_bars_per_year(bars_per_year)
        return self.per_bar * math.sqrt(bars_per_year)


class StreamingVolatility:
    """`rolling_volatility` one bar at a time, per bar.

    A bad bar is refused and leaves the stream as it was.

    Parameters
    ----------
    window, estimator
        As in `rolling_volatility`.

    Attributes
    ----------
    n_refused : int
        Bad bars so far.

    Raises
    ------
    ValueError
        Names the argument that is out of range.
    """

    def __init__(self, *, window: int, estimator: Estimator = "yang_zhang") -> None:
        check_settings(estimator, window)
        self.window, self.estimator = window, estimator
        self.n_refused = 0
        self._formula, self._weights = TERMS[estimator], weights(estimator, window)
        self._ones = np.ones(window)
        self._terms = np.full((3, window), np.nan)  # rings: the next bar takes the place of the oldest
        self._rings = tuple(self._terms)
        self._next, self._log_close = 0, math.nan

    def update(
        self, bar_open: float, high: float, low: float, close: float, *, factor: float = 1.0
    ) -> VolatilityReading:
        """Take one bar in, or refuse it and say why.

        With a `factor`, the usual volatility at its time of day over the average, its moves are divided by it: the
        answer is then the volatility of a bar at an average time.
        """
        start, top, bottom, end = as_float(bar_open), as_float(high), as_float(low), as_float(close)
        if not (0.0 < bottom <= start <= top < math.inf and bottom <= end <= top):
            self.n_refused += 1
            return VolatilityReading(math.nan, False, FAULTS[bar_faults([[start, top, bottom, end]])[0]])
        o, c = math.log(start), math.log(end)
        moves = (o - self._log_close) / factor, (c - o) / factor, (math.log(top) - o) / factor
        terms = self._formula(*moves, (math.log(bottom) - o) / factor)
        jump, body, spread = self._rings
        jump[self._next], body[self._next], spread[self._next] = terms
        self._next, self._log_close = (self._next + 1) % self.window, c
        k, m = self._weights
        variance = self._variance(jump) + m * float(self._ones.dot(spread)) / self.window
        per_bar = math.sqrt(max(variance + k * self._variance(body) if k else variance, 0.0))
        return VolatilityReading(per_bar, True, "" if per_bar == per_bar else "warming up")

    def state(self) -> dict[str, Any]:
        """What the stream remembers, as plain JSON types, exactly; `restore` takes it back."""
        return {
            "estimator": self.estimator,
            "window": self.window,
            "n_refused": self.n_refused,
            "next": self._next,
            "log_close": None if math.isnan(self._log_close) else self._log_close,
            "terms": [[None if math.isnan(x) else x for x in ring] for ring in self._terms.tolist()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ValueError
            If it is the state of another estimator or window, or no state at all.
        """
        if (state.get("estimator"), state.get("window")) != (self.estimator, self.window):
            raise ValueError(
                f"state must be of {self.estimator} over {self.window} bars, got one of {state.get('estimator')} over "
                f"{state.get('window')}: make the stream with the same settings"
            )
        try:
            terms = np.array(state["terms"], dtype=np.float64).reshape(3, self.window)
            close = math.nan if state["log_close"] is None else float(state["log_close"])
            following, n_refused = int(state["next"]) % self.window, int(state["n_refused"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"state must be what StreamingVolatility.state() gave, got another: {error!r}") from error
        self._terms[:] = terms
        self._log_close, self._next, self.n_refused = close, following, n_refused

    def _variance(self, ring: Floats) -> float:
        """Sample variance of a ring, in few calls: a bar costs little more than they do."""
        deviations = ring - self._ones.dot(ring) / self.window
        return float(deviations.dot(deviations)) / (self.window - 1)
