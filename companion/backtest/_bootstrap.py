"""How much of a performance is luck: stationary bootstrap intervals (Politis and Romano 1994).

Returns are not independent: volatility clusters. The stationary bootstrap resamples blocks of geometric length, so that
dependence shorter than a block survives. Two strategies on one market share most of their luck; their difference is
resampled with the same blocks for both.

Sharpe ratios and their differences are studentized (Ledoit and Wolf 2008): what is resampled is the distance from the
estimate in units of the resample's own standard error. Where nothing has an edge, an interval at 95 % should exclude
zero in 5 % of all markets. Over eight pairs of a market and a strategy it does in 4 to 7 % after ten years and in 2 to
9 % after two; percentiles of the plain ratio do so in 6 to 14 % after two. Blocks chosen by the data (Politis and White
2004) are shorter, for returns hardly remember their sign, and gain nothing. Other measures have no standard error that
one resample could tell, and get percentiles. Those of a drawdown say which depths the same returns could have had in
another order of their blocks.

A strategy that hardly ever trades has resamples in which it never does, and whose Sharpe ratio is undefined. They are
not left out: that would condition on the luck of having traded. Each could have had any value, so that many of them
leave the interval without a bound.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import check_count, check_seed
from companion.backtest import _kernel
from companion.backtest._costs import BARS_PER_YEAR, cash_per_bar
from companion.backtest._performance import Performance, check_returns
from companion.backtest._resample import draw_bars, resample_sharpe
from companion.evaluation._intervals import Interval, percentile_interval

Floats = NDArray[np.float64]

_NAMES = [field.name for field in fields(Performance)]
#: What the returns alone tell; the other fields need the trades besides.
FIELDS = [name for name in _NAMES if name not in ("n_bars", "turnover", "cost_paid", "time_invested")]


class Resampling(TypedDict, total=False):
    """Keywords of `performance_interval` that every interval takes."""

    cash_rate: float | ArrayLike
    bars_per_year: float
    level: float
    mean_block: float
    n_resamples: int


def performance_interval(
    returns: ArrayLike, field: str, *, seed: int | np.random.Generator, **resampling: Unpack[Resampling]
) -> Interval:
    """A measure of performance with its interval.

    Parameters
    ----------
    returns : array_like
        Simple returns, shape (n_bars,).
    field : str
        A field of `Performance` that the returns alone determine, such as ``"sharpe"`` or ``"max_drawdown"``.
    seed : int or Generator
        Source of the resamples.
    cash_rate : float or array_like, default=0
        Yearly rate of cash: a number, or the rate at which cash stood while each return was earned, shape (n_bars,).
    bars_per_year : float, default=252
        Bars in a year.
    level : float, default=0.95
        Confidence level of the interval, in (0, 1).
    mean_block : float, default=20
        Mean length of a block in bars; 20, a month, is longer than the dependence that matters in daily returns.
    n_resamples : int, default=1000
        Number of resampled series.

    Returns
    -------
    Interval
        Of a Sharpe ratio studentized and symmetric about the estimate, of all else by percentiles. Infinite at an end
        where the measure is undefined on more resamples than the interval leaves out there.

    Raises
    ------
    ValueError
        Names the argument that is out of range or non-finite, or returns on which the measure is undefined.
    """
    return _interval(field, operator.pos, {"returns": returns}, seed=seed, **resampling)


def performance_difference_interval(
    returns: ArrayLike,
    baseline_returns: ArrayLike,
    field: str,
    *,
    seed: int | np.random.Generator,
    **resampling: Unpack[Resampling],
) -> Interval:
    """A measure of one strategy minus that of another over the same bars, resampled in pairs.

    Parameters, result and errors as in `performance_interval`; `baseline_returns` has the shape of `returns`, bar by
    bar.
    """
    pair = {"returns": returns, "baseline_returns": baseline_returns}
    return _interval(field, operator.sub, pair, seed=seed, **resampling)


def performance_ratio_interval(
    returns: ArrayLike,
    baseline_returns: ArrayLike,
    field: str,
    *,
    seed: int | np.random.Generator,
    **resampling: Unpack[Resampling],
) -> Interval:
    """A measure of one strategy over that of another, by percentiles: is its drawdown half as deep?

    Parameters, result and errors as in `performance_difference_interval`.
    """
    pair = {"returns": returns, "baseline_returns": baseline_returns}
    return _interval(field, _over, pair, seed=seed, **resampling)


def sharpe_interval(
    returns: ArrayLike, *, seed: int | np.random.Generator, **resampling: Unpack[Resampling]
) -> Interval:
    """Sharpe ratio with its interval: `performance_interval` of the field ``"sharpe"``."""
    return performance_interval(returns, "sharpe", seed=seed, **resampling)


def sharpe_difference_interval(
    returns: ArrayLike,
    baseline_returns: ArrayLike,
    *,
    seed: int | np.random.Generator,
    **resampling: Unpack[Resampling],
) -> Interval:
    """Difference of two Sharpe ratios: `performance_difference_interval` of the field ``"sharpe"``."""
    return performance_difference_interval(returns, baseline_returns, "sharpe", seed=seed, **resampling)


def _interval(
    field: str,
    combine: Callable[..., float],
    named: Mapping[str, ArrayLike],
    *,
    seed: int | np.random.Generator,
    cash_rate: float | ArrayLike = 0.0,
    bars_per_year: float = BARS_PER_YEAR,
    level: float = 0.95,
    mean_block: float = 20,
    n_resamples: int = 1000,
) -> Interval:
    """Interval of what `combine` makes of the measures of one series of returns, or of two."""
    if field not in FIELDS:
        raise ValueError(f"field must be one of {', '.join(FIELDS)}, which returns alone tell, got {field!r}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    if check_count("n_resamples", n_resamples) < 2:
        raise ValueError(f"n_resamples must be at least 2, got {n_resamples}")
    check_seed(seed)
    rng = np.random.default_rng(seed)
    series, cash = _series(named, cash_rate, bars_per_year)
    n_bars = cash.size
    if not 1.0 <= mean_block <= n_bars:
        raise ValueError(f"mean_block must lie in [1, {n_bars}], got {mean_block}")

    def statistic(bars: Any) -> float:
        return combine(*(_measure(field, returns[bars], cash[bars], bars_per_year) for returns in series))

    estimate = statistic(slice(None))
    if not np.isfinite(estimate):
        raise ValueError(f"{' and '.join(named)} must vary: {field} is undefined here, got {estimate}")
    if field == "sharpe" and combine is not _over:
        draws, errors = resample_sharpe(series - cash, mean_block=mean_block, n_resamples=n_resamples, rng=rng)
        year = np.sqrt(bars_per_year)
        return _studentized(estimate, draws * year, errors * year, level)
    values = [statistic(draw_bars(n_bars, float(mean_block), rng)) for _ in range(n_resamples)]
    return percentile_interval(estimate, np.array(values), level)


def _series(
    named: Mapping[str, ArrayLike], cash_rate: float | ArrayLike, bars_per_year: float
) -> tuple[Floats, Floats]:
    """Returns, shape (n_series, n_bars), and what cash earned over the same bars."""
    series = [check_returns(values, name) for name, values in named.items()]
    shape = series[0].shape
    if series[-1].shape != shape:
        raise ValueError(f"baseline_returns must have the shape of returns {shape}, got {series[-1].shape}")
    cash = cash_per_bar(cash_rate, bars_per_year)
    if cash.shape not in ((), shape):
        raise ValueError(f"cash_rate must be a number or have the shape of returns {shape}, got {cash.shape}")
    return np.stack(series), np.array(np.broadcast_to(cash, shape))


def _measure(field: str, returns: Floats, cash: Floats, bars_per_year: float) -> float:
    """One field of `Performance`."""
    unknown = np.full(returns.size, np.nan)
    return float(_kernel.measure(returns, cash, float(bars_per_year), *[unknown] * 3)[_NAMES.index(field)])


def _over(one: float, other: float) -> float:
    return one / other if other else np.nan


def _studentized(estimate: float, draws: Floats, errors: Floats, level: float) -> Interval:
    """Symmetric studentized interval of a statistic from its values on the resamples and their standard errors."""
    # Strategies that differ by leverage alone have one Sharpe ratio but for rounding, which is no difference.
    center, values = np.round(estimate, 12), np.round(draws, 12)
    defined = np.isfinite(values)
    scale = float(values[defined].std(ddof=1)) if defined.sum() > 1 else np.inf
    distance = np.where(defined, np.abs(values - center), 0.0)
    in_errors = np.where(defined, 0.0, np.inf)
    with np.errstate(divide="ignore"):  # a resample of one block has no error, and is as far as can be
        np.divide(distance, errors, out=in_errors, where=distance > 0.0)
    reach = float(np.quantile(in_errors, level, method="inverted_cdf"))
    if 0.0 < reach < np.inf:
        reach *= scale
    return Interval(float(center), float(center - reach), float(center + reach), scale if defined.all() else np.inf)
