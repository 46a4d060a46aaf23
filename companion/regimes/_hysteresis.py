"""Hysteresis: a regime is entered at one probability and left at another; noise between the two changes nothing."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

ENTER_CHAOS, LEAVE_CHAOS = 0.32, 0.10
"""Default levels of P(chaos).

On 120 development paths of the base market, read by `RegimeDetector` with three trained models, no
other of 24 pairs was as accurate with at most 6 false switches per 1,000 bars and a median delay of 13 into chaos."""


def check_levels(enter_chaos: float, leave_chaos: float) -> None:
    """Raise ValueError unless ``0 <= leave_chaos <= enter_chaos <= 1``."""
    if not 0.0 <= leave_chaos <= enter_chaos <= 1.0:
        raise ValueError(
            f"enter_chaos and leave_chaos must satisfy 0 <= leave_chaos <= enter_chaos <= 1, got {enter_chaos} and "
            f"{leave_chaos}"
        )


def hysteresis(p_chaos: ArrayLike, *, enter_chaos: float, leave_chaos: float, start: int = 0) -> NDArray[np.int8]:
    """Regime per bar: chaos once its probability has reached `enter_chaos`, until it has fallen to `leave_chaos`.

    This is a Schmitt trigger. Bar t depends on bars up to t only. With equal levels it is a plain threshold.

    Parameters
    ----------
    p_chaos : array_like of shape (..., n_bars)
        Probabilities of chaos, in [0, 1].
    enter_chaos, leave_chaos : float
        Levels with ``0 <= leave_chaos <= enter_chaos <= 1``.
    start : {0, 1}, default=0
        Regime before the first bar.

    Returns
    -------
    ndarray of shape (..., n_bars), int8
        0 stable, 1 chaos.

    Raises
    ------
    ValueError
        When a probability is not in [0, 1] or not a number, or a level is out of order.
    """
    check_levels(enter_chaos, leave_chaos)
    if start not in (0, 1):
        raise ValueError(f"start must be 0 or 1, got {start!r}")
    probability = np.asarray(p_chaos, dtype=np.float64)
    if probability.ndim == 0:
        raise ValueError(f"p_chaos must have shape (..., n_bars), got the single number {probability}")
    if not np.all((probability >= 0.0) & (probability <= 1.0)):
        raise ValueError("p_chaos must lie in [0, 1] at every bar, got a value that does not")
    decided = (probability >= enter_chaos) | (probability <= leave_chaos)
    last_decision = np.maximum.accumulate(np.where(decided, np.arange(probability.shape[-1]), -1), axis=-1)
    chaos = np.take_along_axis(probability >= enter_chaos, np.maximum(last_decision, 0), axis=-1)
    return np.where(last_decision >= 0, chaos, start).astype(np.int8)
