"""Growth of equity against the fraction held: the theory, a simulation, and what not knowing the drift costs.

Wealth that holds the fraction f of a price with drift mu and volatility sigma, rebalanced at once, grows at the rate
``g(f) = f mu - f² sigma² / 2`` (Kelly 1956; Thorp 2006, section 7.1). All rates are per year.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion.risk._decimal import as_float, refuse_unless_positive


class OptimalFraction(NamedTuple):
    """Fraction with the largest mean log growth in a sample, and its standard error if the returns are independent."""

    fraction: float
    standard_error: float


def kelly_fraction(mu: float, sigma: float) -> float:
    """Fraction of the fastest growth, ``mu / sigma²``."""
    _refuse_unless_sound(mu, sigma=sigma)
    return mu / sigma / sigma


def growth_rate(fraction: ArrayLike, *, mu: float, sigma: float) -> NDArray[np.float64]:
    """Expected log growth per year of a fraction, ``f mu - f² sigma² / 2``, shape of `fraction`."""
    _refuse_unless_sound(mu, sigma=sigma)
    f = np.asarray(fraction, dtype=np.float64)
    return f * mu - 0.5 * (f * sigma) ** 2


def growth_of_estimated_kelly(multiple: ArrayLike, *, mu: float, sigma: float, years: float) -> NDArray[np.float64]:
    """Expected log growth per year of `multiple` times the Kelly fraction of an *estimated* drift.

    The mean of `years` years misses the drift by a normal error of variance ``sigma² / years``, however often one
    looks. The fraction then has the variance ``1 / (sigma² years)``, and with the Sharpe ratio ``S = mu / sigma``

        ``E g = S² (c - c²/2) - c² / (2 years)``,

    largest at ``c = S² / (S² + 1/years)``: half of Kelly when ``years = 1/S²``. The volatility is taken as known.

    Parameters
    ----------
    multiple : array_like
        Multiples c of the estimated Kelly fraction.
    mu, sigma : float
        True drift and volatility per year.
    years : float
        Length of the history that the drift is estimated from.

    Raises
    ------
    ValueError
        If `mu` is not finite, or `sigma` or `years` is not finite and positive.
    """
    _refuse_unless_sound(mu, sigma=sigma, years=years)
    c = np.asarray(multiple, dtype=np.float64)
    return (mu / sigma) ** 2 * (c - 0.5 * c**2) - 0.5 * c**2 / years


def simulate_growth(
    fraction: ArrayLike,
    *,
    mu: float,
    sigma: float,
    years: float,
    n_paths: int,
    bars_per_year: int = 252,
    seed: int | np.random.Generator,
) -> NDArray[np.float64]:
    """Log growth per year of simulated accounts that are rebalanced to each fraction at every bar.

    Parameters
    ----------
    fraction : array_like
        Fractions of equity, shape (n_fractions,).
    mu, sigma : float
        Drift and volatility per year of a geometric Brownian motion.
    years : float
        Length of a path, rounded to whole bars.
    n_paths : int
        Number of paths; all fractions see the same ones.
    bars_per_year : int
        Rebalancings per year.
    seed : int or Generator
        Source of the paths.

    Returns
    -------
    ndarray
        Shape (n_paths, n_fractions). Minus infinity for an account that lost everything within one bar.

    Raises
    ------
    ValueError
        If `mu` is not finite, another parameter is not positive, or `years` rounds to no bar.
    """
    _refuse_unless_sound(mu, sigma=sigma, years=years, n_paths=n_paths, bars_per_year=bars_per_year)
    n_bars = round(years * bars_per_year)
    if n_bars < 1:
        raise ValueError(f"years must hold a bar, got {years} with {bars_per_year} bars a year")
    returns = simulate_returns(mu=mu, sigma=sigma, n_paths=n_paths, n_bars=n_bars, dt=1 / bars_per_year, seed=seed)
    growth = np.empty((n_paths, np.size(fraction)))
    for column, f in enumerate(np.atleast_1d(np.asarray(fraction, dtype=np.float64))):
        wealth = np.maximum(1.0 + f * returns, 0.0)
        with np.errstate(divide="ignore"):
            growth[:, column] = np.log(wealth).mean(axis=1) * bars_per_year
    return growth


def optimal_fraction(returns: ArrayLike) -> OptimalFraction:
    """Fraction that would have grown fastest on a sample of simple returns, with its standard error.

    It is the root of ``mean(r / (1 + f r))``; the error follows from the variance of that mean and its slope.

    Parameters
    ----------
    returns : array_like
        Simple returns per bar of any shape, finite, with gains and losses among them.

    Raises
    ------
    ValueError
        If a return is not finite, or all have one sign: growth then has no maximum.
    """
    from scipy.optimize import brentq  # here, so that the room opens without SciPy

    r = np.asarray(returns, dtype=np.float64).ravel()
    if r.size == 0 or not np.all(np.isfinite(r)) or not r.min() < 0.0 < r.max():
        raise ValueError(f"returns must be finite with gains and losses among them, got {r.size} values")
    low, high = -1.0 / r.max(), -1.0 / r.min()
    inset = 1e-9 * (high - low)
    fraction = brentq(lambda f: np.mean(r / (1.0 + f * r)), low + inset, high - inset)
    slope = r / (1.0 + fraction * r)
    return OptimalFraction(float(fraction), float(slope.std() / np.sqrt(r.size) / np.mean(slope**2)))


def simulate_returns(
    *, mu: float, sigma: float, n_paths: int, n_bars: int, dt: float, seed: int | np.random.Generator
) -> NDArray[np.float64]:
    """Simple returns of a geometric Brownian motion over bars of length `dt`, shape (n_paths, n_bars)."""
    shocks = np.random.default_rng(seed).standard_normal((n_paths, n_bars))
    return np.expm1((mu - 0.5 * sigma**2) * dt + sigma * np.sqrt(dt) * shocks)


def _refuse_unless_sound(mu: float, **positive: float) -> None:
    """Refuse a drift that is not finite, and the first other parameter that is not finite and positive."""
    if not math.isfinite(as_float(mu)):
        raise ValueError(f"mu must be finite, got {mu}")
    refuse_unless_positive(**positive)
