"""How much of a Sharpe ratio is luck: stationary bootstrap intervals (Politis and Romano 1994).

Returns are not independent: volatility clusters. The stationary bootstrap resamples blocks of geometric length, so that
dependence shorter than a block survives. Two strategies on one market share most of their luck; their difference is
resampled with the same blocks for both.

A strategy that hardly ever trades has resamples in which it never does, and whose Sharpe ratio is undefined. They are
not left out: that would condition on the luck of having traded. Each could have had any value, so that many of them
leave the interval without a bound.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from arch.bootstrap import StationaryBootstrap
from numpy.typing import ArrayLike, NDArray

from companion.backtest._performance import BARS_PER_YEAR, check_returns, sharpe_ratio
from companion.evaluation._intervals import Interval, percentile_interval


def sharpe_interval(
    returns: ArrayLike,
    *,
    seed: int | np.random.Generator,
    cash_rate: float = 0.0,
    bars_per_year: float = BARS_PER_YEAR,
    level: float = 0.95,
    mean_block: int = 20,
    n_resamples: int = 1000,
) -> Interval:
    """Sharpe ratio with a stationary bootstrap interval.

    Parameters
    ----------
    returns : array_like
        Simple returns, shape (n_bars,).
    seed : int or Generator
        Source of the resamples.
    cash_rate : float
        Yearly rate of cash.
    bars_per_year : float
        Bars in a year.
    level : float
        Confidence level of the percentile interval, in (0, 1).
    mean_block : int
        Mean length of a block in bars; 20, a month, is longer than the dependence that matters in daily returns.
    n_resamples : int
        Number of resampled series.

    Returns
    -------
    Interval
        Infinite at an end where more than ``(1 - level) / 2`` of the resamples have no Sharpe ratio.

    Raises
    ------
    ValueError
        Names the argument that is out of range or non-finite, or returns without variation.
    """
    earned = check_returns(returns, "returns")

    def statistic(values: NDArray[np.float64]) -> float:
        return sharpe_ratio(values, cash_rate=cash_rate, bars_per_year=bars_per_year)

    return _interval(statistic, (earned,), seed=seed, level=level, mean_block=mean_block, n_resamples=n_resamples)


def sharpe_difference_interval(
    returns: ArrayLike,
    baseline_returns: ArrayLike,
    *,
    seed: int | np.random.Generator,
    cash_rate: float = 0.0,
    bars_per_year: float = BARS_PER_YEAR,
    level: float = 0.95,
    mean_block: int = 20,
    n_resamples: int = 1000,
) -> Interval:
    """Sharpe ratio of one strategy minus that of another over the same bars, resampled in pairs.

    Parameters, result and errors as in `sharpe_interval`; `baseline_returns` has the shape of `returns`, bar by bar.
    """
    earned = check_returns(returns, "returns")
    baseline = check_returns(baseline_returns, "baseline_returns")
    if earned.shape != baseline.shape:
        raise ValueError(f"baseline_returns must have the shape of returns {earned.shape}, got {baseline.shape}")

    def statistic(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        one, other = (sharpe_ratio(values, cash_rate=cash_rate, bars_per_year=bars_per_year) for values in (a, b))
        return one - other

    return _interval(
        statistic, (earned, baseline), seed=seed, level=level, mean_block=mean_block, n_resamples=n_resamples
    )


def _interval(
    statistic: Callable[..., Any],
    series: Sequence[NDArray[np.float64]],
    *,
    seed: int | np.random.Generator,
    level: float,
    mean_block: int,
    n_resamples: int,
) -> Interval:
    """Percentile interval of `statistic` over joint resamples of `series`."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    if not 1.0 <= mean_block <= series[0].size:
        raise ValueError(f"mean_block must lie in [1, {series[0].size}], got {mean_block}")
    if n_resamples < 2:
        raise ValueError(f"n_resamples must be at least 2, got {n_resamples}")
    estimate = statistic(*series)
    if not np.isfinite(estimate):
        raise ValueError("returns and baseline_returns must vary: the Sharpe ratio of a constant is undefined")
    draws = StationaryBootstrap(mean_block, *series, seed=np.random.default_rng(seed)).apply(statistic, n_resamples)
    return percentile_interval(estimate, draws[:, 0], level)
