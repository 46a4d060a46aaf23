"""Faults to rehearse with: a feed that goes wrong at a known bar, in ways that have happened to somebody.

A monitor is judged by two rates: how often it stops a healthy system, and which of these it notices.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import as_paths

SIGMA_BARS = 60


def inject_faults(
    log_returns: ArrayLike, *, start: int, seed: int | np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """The same log returns with each fault from bar `start` on, the bars before untouched.

    Parameters
    ----------
    log_returns : array_like
        Healthy paths, shape (n_paths, n_bars), finite.
    start : int
        First faulty bar; the volatility of the `SIGMA_BARS` bars before it is a fault's sigma.
    seed : int or Generator
        Source of the white noise.

    Returns
    -------
    dict
        Name of the fault to returns of shape (n_paths, n_bars). "no fault" is the control. A single-bar fault is at
        `start`, the others last to the end. "missing values" holds NaN.

    Raises
    ------
    ValueError
        If `log_returns` are not paths of log returns, or `start` leaves too few bars before or after it.
    """
    returns, single = as_paths(log_returns, name="log_returns")
    if single:
        raise ValueError(f"log_returns must have shape (n_paths, n_bars), got {returns.shape[1:]}: give [log_returns]")
    if not SIGMA_BARS <= start <= returns.shape[1] - 2:
        raise ValueError(f"start must lie in [{SIGMA_BARS}, {returns.shape[1] - 2}], got {start}")
    before, after = returns[:, :start], returns[:, start:]
    sigma = before[:, -SIGMA_BARS:].std(axis=1, keepdims=True)
    first, second = np.eye(2, after.shape[1])
    faulty = {
        "no fault": after,
        "returns × 100": 100.0 * after,
        "one bar of −10 σ": np.where(first > 0, -10.0 * sigma, after),
        "one bar of +10 σ": np.where(first > 0, 10.0 * sigma, after),
        "price halved for a bar": after + np.log(0.5) * (first - second),
        "volatility × 3": 3.0 * after,
        "returns × 0.01": 0.01 * after,
        "frozen price": np.zeros_like(after),
        "last return repeated": np.broadcast_to(before[:, -1:], after.shape),
        "two prices in turn": np.where(np.arange(after.shape[1]) % 2, sigma, -sigma),
        "sign flipped": -after,
        "white noise": sigma * np.random.default_rng(seed).standard_normal(after.shape),
        "missing values": np.full_like(after, np.nan),
    }
    return {name: np.concatenate([before, fault], axis=1) for name, fault in faulty.items()}
