"""How good is a volatility estimator? Its bias and efficiency, measured on markets whose variance is known.

A bar is a night, when the price moves and nobody sees it, and a day, of which open, high, low and close are seen.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion.risk._volatility import ESTIMATORS, Estimator, check_settings, rolling_volatility, yang_zhang_k

Array = NDArray[np.float64]

LN2, ZETA3 = math.log(2.0), 1.2020569031595942  # ζ(3), Apéry's constant
# Variance of one bar's estimate of the variance 1 of a Brownian motion without drift, from the fourth moments of its
# extremes (Garman & Klass 1980): .407, .269 and .331.
RANGE_VARIANCE: dict[Estimator, float] = {
    "parkinson": 9 * ZETA3 / (16 * LN2**2) - 1,
    "garman_klass": 9 * ZETA3 / 4 - (2 * LN2 - 1) * (4 * LN2 + 7 * ZETA3 / 4) + 3 * (2 * LN2 - 1) ** 2 - 1,
    "rogers_satchell": 1 - 4 * LN2 + 7 * ZETA3 / 4,
}


class Paths(Protocol):
    """Prices and annual variances at the steps of a simulation, each of shape (n_paths, n_steps + 1)."""

    @property
    def price(self) -> Array:
        """Prices."""

    @property
    def variance(self) -> Array:
        """Annual variances."""


class BrownianPaths(NamedTuple):
    """Paths of a geometric Brownian motion, as `Paths`."""

    price: Array
    variance: Array


class Bars(NamedTuple):
    """Bars of shape (n_paths, n_bars, 4) and the true mean annual variance over each, (n_paths, n_bars)."""

    ohlc: Array
    variance: Array


class Estimate(NamedTuple):
    """A number and its confidence interval."""

    value: float
    low: float
    high: float


class Quality(NamedTuple):
    """Quality of an estimator of the variance, the square of a volatility.

    Attributes
    ----------
    bias : Estimate
        Mean estimate over mean truth, less 1.
    efficiency : Estimate
        Variance of the error of close-to-close over that of this estimator.
    """

    bias: Estimate
    efficiency: Estimate


def brownian_paths(
    *, mu: float = 0.0, sigma: float, n_paths: int, n_steps: int, dt: float, seed: int | np.random.Generator
) -> BrownianPaths:
    """Geometric Brownian motion from 1, of annual drift `mu` and volatility `sigma`, in steps of `dt` > 0 years."""
    if not 0.0 < dt < math.inf:
        raise ValueError(f"dt must be finite and positive, got {dt}")
    steps = np.random.default_rng(seed).standard_normal((n_paths, n_steps)) * (sigma * math.sqrt(dt))
    price = np.ones((n_paths, n_steps + 1))
    np.exp(np.cumsum(steps + (mu - 0.5 * sigma**2) * dt, axis=1), out=price[:, 1:])
    return BrownianPaths(price, np.full_like(price, sigma**2))


def bars_from_paths(
    paths: Paths,
    *,
    steps_per_bar: int,
    night_steps: int = 0,
    bars_per_year: float = 252,
    continuous: bool = True,
    seed: int | np.random.Generator,
) -> Bars:
    """Cut simulated paths into bars: `night_steps` that are not seen, then the day.

    Between two steps the price has moved too. With `continuous`, the extremes of each step are drawn from the law of
    a Brownian bridge, maximum and minimum apart, which is exact except where one step holds both extremes of the day.
    Without, only the steps are seen and the range comes out too small: at 40 steps a day Parkinson's variance by 19 %.

    Parameters
    ----------
    paths : Paths
        Such as those of `simulate_heston`, the number of steps a multiple of `steps_per_bar`.
    steps_per_bar, night_steps : int
        Steps in a bar, and how many of them are night.
    bars_per_year : float
    continuous : bool
    seed : int or Generator
        Draws the extremes.

    Raises
    ------
    ValueError
        If the steps do not divide into bars or a bar has no day.
    """
    log_price, variance = np.log(paths.price), np.asarray(paths.variance)
    n_paths, n_steps = log_price.shape[0], log_price.shape[1] - 1
    if steps_per_bar < 1 or n_steps % steps_per_bar:
        raise ValueError(f"steps_per_bar must divide the {n_steps} steps of the paths, got {steps_per_bar}")
    if not 0 <= night_steps < steps_per_bar:
        raise ValueError(f"night_steps must lie in [0, {steps_per_bar - 1}], got {night_steps}")
    shape = n_paths, -1, steps_per_bar
    before, after = log_price[:, :-1].reshape(shape), log_price[:, 1:].reshape(shape)
    step_variance = (0.5 * (variance[:, :-1] + variance[:, 1:])).reshape(shape)
    day = np.s_[..., night_steps:]
    spread = np.zeros((2, *before[day].shape))
    if continuous:
        exponential = np.random.default_rng(seed).standard_exponential(spread.shape)
        spread = 2.0 * exponential * step_variance[day] / (bars_per_year * steps_per_bar)
    up, down = np.sqrt((after[day] - before[day]) ** 2 + spread)
    middle = before[day] + after[day]
    high, low = 0.5 * (middle + up).max(axis=-1), 0.5 * (middle - down).min(axis=-1)
    start, end = before[..., night_steps], after[..., -1]
    # A rounding error must not put the open or the close outside the range.
    bars = start, np.maximum(high, np.maximum(start, end)), np.minimum(low, np.minimum(start, end)), end
    return Bars(np.exp(np.stack(bars, axis=-1)), step_variance.mean(axis=-1))


def estimator_efficiency(
    draw_bars: Callable[[np.random.Generator], Bars],
    *,
    window: int,
    bars_per_year: float = 252,
    n_batches: int = 20,
    level: float = 0.95,
    seed: int | np.random.Generator,
) -> dict[Estimator, Quality]:
    """Bias and efficiency of every estimator over the last `window` bars of each path.

    The error is the estimate less the true mean variance over the window. Each batch of paths gives one value of bias
    and efficiency; their mean is the estimate, Student's t interval over the batches its uncertainty. An efficiency is
    a quotient of variances: give a batch 1,000 paths or more, or it is biased itself.

    Parameters
    ----------
    draw_bars : callable
        Draws a batch with the Generator it is given, as by `bars_from_paths`: at least ``window + 1`` bars a path,
        the first for the close before the window.
    window, bars_per_year
        As in `rolling_volatility`.
    n_batches : int
        At least 2.
    level : float
        Coverage of the intervals.
    seed : int or Generator

    Returns
    -------
    dict
        `Quality` of each of `ESTIMATORS`.

    Raises
    ------
    ValueError
        If there are fewer than two batches, or the bars are too few.
    """
    if n_batches < 2:
        raise ValueError(f"n_batches must be at least 2, got {n_batches}")
    rng = np.random.default_rng(seed)
    biases: dict[Estimator, list[float]] = {name: [] for name in ESTIMATORS}
    ratios: dict[Estimator, list[float]] = {name: [] for name in ESTIMATORS}
    for _ in range(n_batches):
        ohlc, variance = draw_bars(rng)
        if ohlc.shape[1] <= window:
            raise ValueError(f"draw_bars must give {window + 1} bars for a window of {window}, got {ohlc.shape[1]}")
        truth = variance[:, -window:].mean(axis=1)
        errors = {}
        for name in ESTIMATORS:
            volatility = rolling_volatility(
                ohlc[:, -window - 1 :], estimator=name, window=window, bars_per_year=bars_per_year
            )
            errors[name] = volatility[:, -1] ** 2 - truth
            biases[name].append(errors[name].mean() / truth.mean())
            ratios[name].append(errors["close_to_close"].var() / errors[name].var())
    return {name: Quality(_estimate(biases[name], level), _estimate(ratios[name], level)) for name in ESTIMATORS}


def theoretical_efficiency(estimator: Estimator, *, window: int, night: float = 0.0) -> float:
    """Efficiency against close-to-close on a Brownian motion without drift, watched without a gap by day.

    For Yang and Zhang's estimator and night share f it is ``1 / (f² + (1 - f)² k)`` up to the rounding of their k
    (Yang & Zhang 2000): greatest at ``f = k / (1 + k)``, where it is ``1 + 1/k``. That is the "14 times"
    it is known for, and holds for windows of two bars; for 21 bars it is 8.

    Parameters
    ----------
    estimator : str
        One of `ESTIMATORS`.
    window : int
        At least 2.
    night : float
        Share of the variance that falls into the night, in [0, 1). The three estimators that do not see it are then
        biased by ``-night``, and their smaller variance is no merit.

    Raises
    ------
    ValueError
        Names the argument that is out of range.
    """
    check_settings(estimator, window)
    if not 0.0 <= night < 1.0:
        raise ValueError(f"night must lie in [0, 1), got {night}")
    close_to_close = 2.0 / (window - 1)
    if estimator == "close_to_close":
        return 1.0
    if estimator != "yang_zhang":
        return close_to_close * window / ((1.0 - night) ** 2 * RANGE_VARIANCE[estimator])
    k = yang_zhang_k(window)
    day = k**2 * close_to_close + (1.0 - k) ** 2 * RANGE_VARIANCE["rogers_satchell"] / window
    return close_to_close / (night**2 * close_to_close + (1.0 - night) ** 2 * day)


def _estimate(values: ArrayLike, level: float) -> Estimate:
    """Mean of independent values with Student's t interval."""
    from scipy.special import stdtrit  # here, so that the room opens without SciPy

    x = np.asarray(values)
    half = float(stdtrit(x.size - 1, 0.5 + level / 2) * x.std(ddof=1) / math.sqrt(x.size))
    return Estimate(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)
