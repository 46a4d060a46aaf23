"""What a trade costs: a proportional cost on the notional that changes hands."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BASIS_POINT = 1e-4


def check_cost_bp(cost_bp: float) -> float:
    """Return `cost_bp` if it is a finite number of basis points in [0, 10,000), else raise `ValueError`."""
    if not 0.0 <= cost_bp < 1e4:
        raise ValueError(f"cost_bp must lie in [0, 10000), got {cost_bp}")
    return float(cost_bp)


def rebalance(held: ArrayLike, target: ArrayLike, *, cost_bp: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Equity kept and notional traded when a portfolio moves from one weight to another.

    The trade is self-financing and ends exactly on target: with equity before the trade as the unit, the equity
    :math:`k` that is left satisfies :math:`k = 1 - c\,|w k - h|` for held weight :math:`h`, target weight :math:`w` and
    one-way cost :math:`c`. Buying when :math:`w > h` and selling otherwise, that is

    .. math:: k = \frac{1 + c h}{1 + c w} \quad (w > h), \qquad k = \frac{1 - c h}{1 - c w} \quad (w \le h).

    Parameters
    ----------
    held, target : array_like
        Weights of the asset in equity before and after the trade; 1 is fully invested, negative is short.
        They broadcast. A trade is possible only while :math:`c\,|w| < 1`.
    cost_bp : float
        One-way cost in basis points of the notional traded.

    Returns
    -------
    kept : ndarray
        Equity after the trade over equity before it.
    turnover : ndarray
        Notional traded over equity before the trade, one way. The cost is ``1 - kept == cost * turnover``.

    Raises
    ------
    ValueError
        If `cost_bp` is outside [0, 10,000) or a target is so large that its cost would exceed the equity.
    """
    cost = check_cost_bp(cost_bp) * BASIS_POINT
    h, w = np.broadcast_arrays(np.asarray(held, dtype=np.float64), np.asarray(target, dtype=np.float64))
    if np.any(cost * np.abs(w) >= 1.0):
        raise ValueError(f"target of {w.flat[np.argmax(np.abs(w))]} costs more than the equity at cost_bp={cost_bp}")
    signed_cost = np.where(w > h, cost, -cost)
    kept = (1.0 + signed_cost * h) / (1.0 + signed_cost * w)
    return kept, np.abs(w * kept - h)
