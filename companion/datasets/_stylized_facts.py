"""The stylized facts of returns (Cont 2001), measured in the same way on simulated and on real series.

Every function takes log returns (`autocorrelation` any numbers) of shape (n_bars,) or (n_paths, n_bars) and works along
the last axis, one answer a path. Compare a real series with the answers of simulated paths *of the same length*: sample
kurtosis and autocorrelation of heavy-tailed, clustered returns are far from their limits in any series that exists.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from companion._checks import check_count, check_log_returns, check_series


def excess_kurtosis(returns: ArrayLike) -> NDArray[np.float64]:
    """Fourth standardized moment minus 3, of shape (...,): zero for a Gaussian, positive for fat tails.

    Raises
    ------
    ValueError
        As every function here: if `returns` are not log returns, or a path is constant or too short.
    """
    return np.asarray(stats.kurtosis(_returns(returns), axis=-1))


def skewness(returns: ArrayLike) -> NDArray[np.float64]:
    """Third standardized moment, of shape (...,): negative if large losses outweigh large gains."""
    return np.asarray(stats.skew(_returns(returns), axis=-1))


def aggregate(returns: ArrayLike, n_bars: int) -> NDArray[np.float64]:
    """Log returns over blocks of `n_bars` bars that do not overlap; a shorter last block is dropped."""
    x, n_bars = _returns(returns), check_count("n_bars", n_bars)
    n_blocks = x.shape[-1] // n_bars
    if n_blocks < 2:
        raise ValueError(f"n_bars must leave at least two blocks of the {x.shape[-1]} returns, got {n_bars}")
    return np.asarray(x[..., : n_blocks * n_bars].reshape(*x.shape[:-1], n_blocks, n_bars).sum(axis=-1))


def autocorrelation(series: ArrayLike, n_lags: int) -> NDArray[np.float64]:
    """Sample autocorrelation at lags 1 to `n_lags`, of shape (..., n_lags), of numbers of any meaning.

    Of returns it is near zero; of their absolute value it is positive and decays slowly: volatility clusters.
    """
    x = check_series(series, name="series")
    if not np.isfinite(x).all():
        raise ValueError(f"series must be finite, got {x[~np.isfinite(x)][0]!r}")
    x = _check(x, "series")
    return _cross_correlation(x, x, n_lags)


def leverage_effect(returns: ArrayLike, n_lags: int) -> NDArray[np.float64]:
    """Correlation of a return with the squared return 1 to `n_lags` bars later, of shape (..., n_lags).

    Negative in stock indices: volatility rises after a fall (Cont 2001, fact 9).
    """
    x = _returns(returns)
    return _cross_correlation(x, x**2, n_lags)


def _cross_correlation(first: NDArray[np.float64], then: NDArray[np.float64], n_lags: int) -> NDArray[np.float64]:
    n_lags, n = check_count("n_lags", n_lags), first.shape[-1]
    if n_lags >= n:
        raise ValueError(f"n_lags must be below the number of returns ({n}), got {n_lags}")
    a, b = first - first.mean(axis=-1, keepdims=True), then - then.mean(axis=-1, keepdims=True)
    scale = n * a.std(axis=-1) * b.std(axis=-1)
    lags = range(1, n_lags + 1)
    return np.stack([(a[..., :-lag] * b[..., lag:]).sum(axis=-1) / scale for lag in lags], axis=-1)


def _returns(returns: ArrayLike) -> NDArray[np.float64]:
    return _check(check_log_returns(returns, name="returns"), "returns")


def _check(numbers: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    if numbers.shape[-1] < 3:
        raise ValueError(f"{name} must have at least 3 bars, got shape {numbers.shape}")
    if (np.ptp(numbers, axis=-1) == 0).any():
        raise ValueError(f"{name} must vary, got a constant path")
    return numbers
