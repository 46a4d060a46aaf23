"""A raw signal of any unit → Z in [-3, 3], by what the signal itself did before this bar."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from companion.risk._decimal import as_float
from companion.risk._floats import Floats, as_floats
from companion.risk._rolling import RollingSpreadStats
from companion.risk._sizing import Z_MAX


class SignalNormalizer:
    """Standard score of each value against the `window` values before it, clipped to [-3, 3].

    The value is not in its own baseline: among n values that include it, no score can exceed √(n - 1).

    Parameters
    ----------
    window : int
        Number of earlier values that make the baseline, at least 2.

    Raises
    ------
    ValueError
        If `window` is not an integer of at least 2.
    """

    def __init__(self, window: int) -> None:
        self._baseline = RollingSpreadStats(window)

    def update(self, x: float) -> float:
        """Score of the next value.

        NaN, which sizing takes as flat, until the baseline is full, for a value that is not finite (it does not enter
        the baseline), and where the baseline did not move, so that there is no scale.
        """
        mean, std = self._baseline.mean_std()
        known = len(self._baseline) == self._baseline.window and std > 0.0
        self._baseline.update(x)
        value = as_float(x)
        if not (known and math.isfinite(value)):
            return math.nan
        return max(-Z_MAX, min(Z_MAX, (value - mean) / std))

    def state(self) -> dict[str, Any]:
        """What the baseline holds, as plain JSON types, exactly; `restore` takes it back."""
        return self._baseline.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; a `ValueError` if it is of another window."""
        self._baseline.restore(state)


def normalized_signal(raw: ArrayLike, *, window: int) -> Floats:
    """Scores of a whole history, the same numbers that `SignalNormalizer.update` gives one by one.

    Parameters
    ----------
    raw : array_like
        Signal in time order, shape (n_bars,).
    window : int
        As in `SignalNormalizer`.

    Returns
    -------
    ndarray
        Z, shape (n_bars,); NaN where there is none. Each from its own and earlier bars only.

    Raises
    ------
    ValueError
        If `raw` is not one-dimensional or no numbers, or `window` is not an integer of at least 2.
    """
    values = as_floats(raw, "raw")
    if values.ndim != 1:
        raise ValueError(f"raw must have shape (n_bars,), got {values.shape}")
    normalizer = SignalNormalizer(window)
    return np.array([normalizer.update(x) for x in values.tolist()], dtype=np.float64)
