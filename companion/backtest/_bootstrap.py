"""How much of a Sharpe ratio is luck: stationary bootstrap intervals (Politis and Romano 1994).

Daily returns are not independent: volatility clusters. The stationary bootstrap resamples blocks of geometric length,
so that dependence shorter than a block survives. Two strategies on one market share most of their luck; their
difference is resampled with the same blocks for both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from arch.bootstrap import StationaryBootstrap
from numpy.typing import ArrayLike, NDArray

from companion.backtest._performance import check_returns, sharpe_ratio


@dataclass(frozen=True)
class SharpeInterval:
    """An estimate with its percentile interval at confidence `level`."""

    estimate: float
    low: float
    high: float
    level: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0.0 or self.high < 0.0


def sharpe_interval(
    daily_returns: ArrayLike,
    *,
    seed: int | np.random.Generator,
    cash_rate: float = 0.0,
    level: float = 0.95,
    mean_block: int = 20,
    n_resamples: int = 1000,
) -> SharpeInterval:
    """Sharpe ratio with a stationary bootstrap interval.

    Parameters
    ----------
    daily_returns : array_like
        Simple returns, shape (n_bars,).
    seed : int or Generator
        Source of the resamples.
    cash_rate : float
        Yearly rate of cash.
    level : float
        Confidence level of the percentile interval, in (0, 1).
    mean_block : int
        Mean length of a block in bars; 20, a month, is longer than the dependence that matters in daily returns.
    n_resamples : int
        Number of resampled series.

    Raises
    ------
    ValueError
        Names the argument that is out of range or non-finite, or returns without variation.
    """
    returns = check_returns(daily_returns, "daily_returns")
    statistic = partial(sharpe_ratio, cash_rate=cash_rate)
    return _interval(statistic, (returns,), seed=seed, level=level, mean_block=mean_block, n_resamples=n_resamples)


def sharpe_difference_interval(
    daily_returns: ArrayLike,
    baseline_returns: ArrayLike,
    *,
    seed: int | np.random.Generator,
    cash_rate: float = 0.0,
    level: float = 0.95,
    mean_block: int = 20,
    n_resamples: int = 1000,
) -> SharpeInterval:
    """Sharpe ratio of one strategy minus that of another over the same bars, resampled in pairs.

    Parameters as in `sharpe_interval`; `baseline_returns` has the shape of `daily_returns`, bar by bar.
    """
    returns = check_returns(daily_returns, "daily_returns")
    baseline = check_returns(baseline_returns, "baseline_returns")
    if returns.shape != baseline.shape:
        raise ValueError(f"baseline_returns must have the shape of daily_returns {returns.shape}, got {baseline.shape}")

    def statistic(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return sharpe_ratio(a, cash_rate=cash_rate) - sharpe_ratio(b, cash_rate=cash_rate)

    return _interval(
        statistic, (returns, baseline), seed=seed, level=level, mean_block=mean_block, n_resamples=n_resamples
    )


def _interval(
    statistic: Callable[..., Any],
    series: Sequence[NDArray[np.float64]],
    *,
    seed: int | np.random.Generator,
    level: float,
    mean_block: int,
    n_resamples: int,
) -> SharpeInterval:
    """Percentile interval of `statistic` over joint resamples of `series`."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    if not 1.0 <= mean_block <= series[0].size:
        raise ValueError(f"mean_block must lie in [1, {series[0].size}], got {mean_block}")
    if n_resamples < 2:
        raise ValueError(f"n_resamples must be at least 2, got {n_resamples}")
    estimate = statistic(*series)
    if not np.isfinite(estimate):
        raise ValueError("daily_returns and baseline_returns must vary: the Sharpe ratio of a constant is undefined")
    draws = StationaryBootstrap(mean_block, *series, seed=np.random.default_rng(seed)).apply(statistic, n_resamples)
    low, high = np.nanquantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return SharpeInterval(estimate=float(estimate), low=float(low), high=float(high), level=level)
