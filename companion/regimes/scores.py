"""Scores of a filter against the truth: ranking, decision, calibration, switching; and how sure we are of each."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def _pair(regime: ArrayLike, other: ArrayLike, name: str) -> tuple[NDArray[np.bool_], Floats]:
    """True regimes as bool and the other array as float, of one shape, the regimes 0 and 1 both present."""
    truth, values = np.asarray(regime), np.asarray(other, dtype=np.float64)
    if truth.shape != values.shape:
        raise ValueError(f"regime has shape {truth.shape}, but {name} has {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds a value that is not finite")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("regime holds a value that is neither 0 nor 1")
    if truth.min(initial=1) == truth.max(initial=0):
        raise ValueError(f"regime is {truth.flat[0]} at every bar: the score needs both regimes")
    return truth.astype(bool), values


def _probabilities(regime: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    truth, chaos = _pair(regime, probability, "probability")
    if chaos.min() < 0.0 or chaos.max() > 1.0:
        raise ValueError("probability holds a value that is not in [0, 1]")
    return truth, chaos


def auc(regime: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a bar of chaos scores above a stable bar, a tie counting half.

    Parameters
    ----------
    regime : array_like of int
        True regimes, 0 or 1.
    score : array_like of the same shape
        Any number that grows with the belief in chaos; the bars of all paths are pooled.

    Returns
    -------
    float
        .5 for a coin, 1 for a perfect ranking (Mann and Whitney's U over the number of pairs).
    """
    truth, values = _pair(regime, score, "score")
    chaos, stable = np.sort(values[truth]), np.sort(values[~truth])
    wins_twice = np.searchsorted(stable, chaos, side="left") + np.searchsorted(stable, chaos, side="right")
    return float(wins_twice.sum() / (2 * chaos.size * stable.size))


def balanced_accuracy(regime: ArrayLike, predicted: ArrayLike) -> float:
    """Mean of the share of chaos bars called chaos and the share of stable bars called stable."""
    truth, called = _pair(regime, predicted, "predicted")
    return float(0.5 * ((called[truth] == 1).mean() + (called[~truth] == 0).mean()))


def brier_score(regime: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared difference between P(chaos) and what was the case (Brier 1950)."""
    truth, chaos = _probabilities(regime, probability)
    return float(np.mean((chaos - truth) ** 2))


@dataclass(frozen=True)
class ReliabilityCurve:
    """Bars grouped by forecast: mean forecast, observed share of chaos and count of each group that is not empty."""

    mean_predicted: Floats
    observed: Floats
    count: NDArray[np.int64]


def reliability_curve(regime: ArrayLike, probability: ArrayLike, *, n_bins: int = 15) -> ReliabilityCurve:
    """Group the bars into `n_bins` forecasts of equal width and compare forecast with outcome."""
    if n_bins < 1:
        raise ValueError(f"n_bins = {n_bins} must be at least 1")
    truth, chaos = (values.reshape(-1) for values in _probabilities(regime, probability))
    group = np.minimum((chaos * n_bins).astype(np.int64), n_bins - 1)
    count = np.bincount(group, minlength=n_bins)
    filled = count > 0
    predicted = np.bincount(group, weights=chaos, minlength=n_bins)[filled] / count[filled]
    observed = np.bincount(group, weights=truth, minlength=n_bins)[filled] / count[filled]
    return ReliabilityCurve(predicted, observed, count[filled])


def expected_calibration_error(regime: ArrayLike, probability: ArrayLike, *, n_bins: int = 15) -> float:
    """Mean distance between forecast and outcome over groups of bars with a like forecast (Naeini et al. 2015)."""
    curve = reliability_curve(regime, probability, n_bins=n_bins)
    gaps = np.abs(curve.mean_predicted - curve.observed)
    return float(np.average(gaps, weights=curve.count))


@dataclass(frozen=True)
class SwitchStatistics:
    """How a sequence of called regimes follows the true one.

    Attributes
    ----------
    false_per_1000 : float
        Calls of a switch that are not the first right answer to a true one, per 1,000 bars.
    delay_into_chaos, delay_into_stable : float
        Median bars from a true switch to the first right call; infinite when most spells are missed, NaN without any.
    missed : float
        Share of the true spells that were never called; NaN when there is none.
    n_switches : int
        True switches.
    """

    false_per_1000: float
    delay_into_chaos: float
    delay_into_stable: float
    missed: float
    n_switches: int


def switch_statistics(regime: ArrayLike, predicted: ArrayLike) -> SwitchStatistics:
    """Compare called switches with true ones, path by path.

    A true switch opens a spell that lasts until the next one. It is answered after the bars it takes until the call
    agrees with the new regime, and missed if it never does before the spell ends. The first called switch to the right
    side within a spell is the answer; each other called switch is false.

    Parameters
    ----------
    regime, predicted : array_like of int, shape (n_bars,) or (n_paths, n_bars)
        True and called regimes, 0 or 1.
    """
    truth, called = np.atleast_2d(np.asarray(regime)), np.atleast_2d(np.asarray(predicted))
    if truth.shape != called.shape or truth.ndim != 2:
        raise ValueError(f"regime has shape {np.shape(regime)}, but predicted has {np.shape(predicted)}")
    if not (np.isin(truth, (0, 1)).all() and np.isin(called, (0, 1)).all()):
        raise ValueError("regime and predicted must hold 0 and 1 only")
    delays: dict[int, list[float]] = {0: [], 1: []}
    n_called = n_answers = 0
    for true_path, called_path in zip(truth, called, strict=True):
        called_at = np.flatnonzero(np.diff(called_path)) + 1
        n_called += len(called_at)
        opened = np.flatnonzero(np.diff(true_path)) + 1
        for start, end in itertools.pairwise([*opened, len(true_path)]):
            right = np.flatnonzero(called_path[start:end] == true_path[start])
            delays[int(true_path[start])].append(float(right[0]) if len(right) else np.inf)
            within = called_at[(called_at >= start) & (called_at < end)]
            n_answers += bool((called_path[within] == true_path[start]).any())
    both = delays[0] + delays[1]
    return SwitchStatistics(
        false_per_1000=1000.0 * (n_called - n_answers) / truth.size,
        delay_into_chaos=float(np.median(delays[1])) if delays[1] else np.nan,
        delay_into_stable=float(np.median(delays[0])) if delays[0] else np.nan,
        missed=float(np.mean(np.isinf(both))) if both else np.nan,
        n_switches=len(both),
    )


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval and standard error."""

    estimate: float
    low: float
    high: float
    standard_error: float


def bootstrap_over_paths(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    n_resamples: int = 500,
    level: float = 0.95,
    seed: int | np.random.Generator,
) -> Interval:
    """Percentile bootstrap that draws whole paths, since the bars of one path depend on one another.

    For a paired difference of two filters give a statistic of three arrays: ``lambda y, a, b: auc(y, a) - auc(y, b)``.

    Parameters
    ----------
    statistic : callable
        Takes the arrays, returns a number.
    *arrays : array_like of shape (n_paths, ...)
        Resampled together along the first axis.
    n_resamples : int, default=500
    level : float, default=0.95
        Coverage, between 0 and 1.
    seed : int or Generator

    Raises
    ------
    ValueError
        When there are fewer than two paths, the arrays disagree on them, or an argument is out of range.
    """
    values = [np.asarray(array) for array in arrays]
    counts = {len(value) for value in values}
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(f"arrays have {sorted(counts)} paths: give one number of paths, at least two")
    if not 0.0 < level < 1.0 or n_resamples < 1:
        raise ValueError(f"level = {level} must lie between 0 and 1, n_resamples = {n_resamples} must be at least 1")
    rng, n_paths = np.random.default_rng(seed), counts.pop()
    draws = np.empty(n_resamples)
    for i in range(n_resamples):
        chosen = rng.integers(0, n_paths, n_paths)
        draws[i] = statistic(*(value[chosen] for value in values))
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    error = float(draws.std(ddof=1)) if n_resamples > 1 else np.nan
    return Interval(float(statistic(*values)), float(low), float(high), error)
