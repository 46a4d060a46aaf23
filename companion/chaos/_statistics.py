"""Statistics for a surrogate test: one number of a series that its null leaves untouched and the alternative moves."""

from collections import Counter
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats, check_count, check_varied_series

MAX_ORDER = 7
"""Longest ordinal pattern: 5,040 of them, more than a series of this book can fill."""


def scaled(x: Floats) -> Floats:
    """`x` over a power of two, to at most 1 in size: no power of it overflows, and equal distances stay equal."""
    return np.ldexp(x, -np.frexp(np.abs(x).max())[1])


def time_reversal_asymmetry(series: ArrayLike, *, lag: int = 1) -> float:
    """Skewness about zero of the steps of a series: 0 in expectation if its law is the same read backwards.

    ``mean(step³) / mean(step²)^1.5`` with ``step = x[t + lag] - x[t]``. It changes its sign, and nothing else, when the
    series is reversed or turned upside down. Gaussian linear processes and monotone functions of them are reversible.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        At least ``lag + 2`` points.
    lag : int
        In points.

    Raises
    ------
    ValueError
        When the series is too short, constant or not finite, or is its own copy after `lag` points.

    Notes
    -----
    Diks, van Houwelingen, Takens & DeGoede (1995); Schreiber & Schmitz (2000) use it for surrogate tests, with another
    unit.
    """
    check_count("lag", lag)
    x = check_varied_series(series, least=lag + 2, purpose=f"lag={lag}")
    steps = x[lag:] - x[:-lag]
    if not steps.any():
        raise ValueError(f"series must move within lag={lag} points, but repeats itself after them")
    steps = scaled(steps)
    squares = steps * steps
    return float((squares * steps).mean() / squares.mean() ** 1.5)


def permutation_entropy(series: ArrayLike, *, order: int = 4, delay: int = 1) -> float:
    """Entropy of the orders in which neighboring values stand, over its largest: 1 for noise, 0 for a monotone series.

    Parameters
    ----------
    series : array-like of shape (n_points,)
    order : int
        Values in a pattern, 2 to 7.
    delay : int
        Points from each of them to the next.

    Returns
    -------
    float
        Between 0 and 1. It stays below 1 for short noise: by about ``(order! - 1) / (2 n_points log(order!))``.

    Raises
    ------
    ValueError
        When the series is shorter than one pattern, constant or not finite, or `order` is not from 2 to 7.

    Notes
    -----
    Bandt & Pompe (2002). A pattern with equal values counts in equal parts for all orders that these could have: ties
    then look like noise, never like structure, and integers drawn at random still give 1. (To break ties by time, as
    is common, gives rounded noise a structure it does not have: Zunino et al. 2017.)
    """
    if not 2 <= check_count("order", order) <= MAX_ORDER:
        raise ValueError(f"order must be from 2 to {MAX_ORDER}, got {order}")
    check_count("delay", delay)
    x = check_varied_series(series, least=(order - 1) * delay + 1, purpose=f"order={order}, delay={delay}")
    shares = np.array(list(_pattern_counts(x, order, delay).values()))
    shares = shares / shares.sum()
    largest = np.log(np.arange(1.0, order + 1)).sum()
    return float(-(shares @ np.log(shares)) / largest) + 0.0


def _pattern_counts(x: Floats, order: int, delay: int) -> Counter[tuple[int, ...]]:
    """How often each order of values was seen, as ranks by time; a pattern with ties is split between its orders."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (order - 1) * delay + 1)[:, ::delay]
    ranks = np.zeros(windows.shape, dtype=np.int64)
    for other in range(order):
        ranks += windows > windows[:, other, None]  # the number of smaller values: equal for ties
    codes, seen = np.unique(ranks @ (order ** np.arange(order)), return_counts=True)
    counts: Counter[tuple[int, ...]] = Counter()
    for code, times in zip(codes.tolist(), seen.tolist(), strict=True):
        orders = _orders_of(tuple(code // order**place % order for place in range(order)))
        for pattern in orders:
            counts[pattern] += times / len(orders)
    return counts


@lru_cache(maxsize=1024)
def _orders_of(tied: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All rankings without ties that agree with one that may have some."""
    levels = sorted(set(tied))
    choices = [permutations(range(level, level + tied.count(level))) for level in levels]
    rankings = []
    for choice in product(*choices):
        free = {level: iter(ranks) for level, ranks in zip(levels, choice, strict=True)}
        rankings.append(tuple(next(free[level]) for level in tied))
    return rankings


def leverage(series: ArrayLike, *, max_lag: int = 10) -> float:
    """Correlation of a return with the squares that follow, the mean over the lags from 1 to `max_lag`.

    Negative where losses, more than gains, are followed by volatility, as in stock indices.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Returns; their mean is taken off.
    max_lag : int
        In bars.

    Returns
    -------
    float
        Between -1 and 1: the mean of ``corr(r[t], r[t + lag]²)``, with mean and variance of the whole series at every
        lag, as is usual for autocorrelations.

    Raises
    ------
    ValueError
        When the series has fewer than ``max_lag + 2`` points, is not finite, or all of its squares are the same.

    Notes
    -----
    Bouchaud, Matacz & Potters (2001), with the standard deviation of the squares as the unit.
    """
    check_count("max_lag", max_lag)
    returns = check_varied_series(series, least=max_lag + 2, purpose=f"max_lag={max_lag}")
    returns = scaled(returns - returns.mean())
    squares = returns * returns
    squares = squares - squares.mean()
    if np.linalg.norm(squares) <= 1e-12 * np.linalg.norm(returns) ** 2:
        raise ValueError("series must have squares that differ, got two values at equal distance from their mean")
    size = np.linalg.norm(returns) * np.linalg.norm(squares)
    total = sum(float(returns[:-lag] @ squares[lag:]) for lag in range(1, max_lag + 1))
    return float(total / max_lag / size)
