"""How sure we are of a score: whole paths are drawn again, since the bars of one path depend on one another."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Score = TypeVar("Score", bound=Callable[..., float])

_COUNTED: dict[Callable[..., float], Callable[..., Floats]] = {}


def counted(fast: Callable[..., Floats]) -> Callable[[Score], Score]:
    """Tell the bootstrap of a fast form of the score that is being defined.

    ``fast(*arrays, counts)``, with counts of shape (n_resamples, n_paths), is the score (n_resamples,) of the paths
    where path i comes counts[:, i] times. It sums over the bars of a path once, not once a resample.
    """

    def register(score: Score) -> Score:
        _COUNTED[score] = fast
        return score

    return register


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
    """Percentile bootstrap that draws whole paths.

    Parameters
    ----------
    statistic : callable
        Takes the arrays, returns a number. The scores of this room take a hundredth of the time of a function of your
        own, which is called once a resample.
    *arrays : array_like of shape (n_paths, ...)
        Resampled together along the first axis.
    n_resamples : int, default=500
    level : float, default=0.95
        Coverage, between 0 and 1.
    seed : int or Generator

    Raises
    ------
    ValueError
        When there are fewer than two paths, the arrays disagree on them, an argument is out of range, or the statistic
        of a resample is not a number.
    """
    values = [np.asarray(array) for array in arrays]
    chosen = _choose(values, n_resamples, level, seed)
    return _interval(statistic(*values), _draws(statistic, values, chosen), level)


def paired_difference(
    score: Callable[..., float],
    a: ArrayLike,
    b: ArrayLike,
    truth: ArrayLike,
    *,
    n_resamples: int = 500,
    level: float = 0.95,
    seed: int | np.random.Generator,
) -> Interval:
    """``score(truth, a) - score(truth, b)``, with both taken on the same resamples of the paths.

    What makes a path hard is hard for both and cancels, so that the interval is narrower than that of either score.

    Parameters
    ----------
    score : callable
        Takes truth and forecast, returns a number: a score of this room, or your own.
    a, b, truth : array_like of shape (n_paths, n_bars)
        The forecasts of two detectors, in the form that `score` takes, and the true regimes.
    n_resamples, level, seed
        See `bootstrap_over_paths`, which also says what is raised.
    """
    return _of_two(operator.sub, score, (a, b), truth, n_resamples, level, seed)


def share_of_ceiling(
    score: Callable[..., float],
    forecast: ArrayLike,
    ceiling: ArrayLike,
    truth: ArrayLike,
    *,
    n_resamples: int = 500,
    level: float = 0.95,
    seed: int | np.random.Generator,
) -> Interval:
    """Share of what can be known that a detector knows: ``(score(forecast) - .5) / (score(ceiling) - .5)``.

    For `auc` and `balanced_accuracy`, of which a coin has one half. `ceiling` holds the forecasts of the best possible
    observer (`companion.heston._bayes_filter`); the other arguments are those of `paired_difference`.
    """

    def share(own: Any, best: Any) -> Any:
        return (own - 0.5) / (best - 0.5)

    return _of_two(share, score, (forecast, ceiling), truth, n_resamples, level, seed)


def _of_two(
    combine: Callable[[Any, Any], Any],
    score: Callable[..., float],
    forecasts: tuple[ArrayLike, ArrayLike],
    truth: ArrayLike,
    n_resamples: int,
    level: float,
    seed: int | np.random.Generator,
) -> Interval:
    """Interval of what `combine` makes of the scores of two forecasts, both taken on the same resamples."""
    y, one, two = (np.asarray(array) for array in (truth, *forecasts))
    chosen = _choose([y, one, two], n_resamples, level, seed)
    draws = combine(*(_draws(score, [y, forecast], chosen) for forecast in (one, two)))
    return _interval(combine(score(y, one), score(y, two)), draws, level)


def _choose(
    arrays: list[NDArray[Any]], n_resamples: int, level: float, seed: int | np.random.Generator
) -> NDArray[np.int64]:
    """The paths of each resample, of shape (n_resamples, n_paths)."""
    counts = {len(array) for array in arrays}
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(f"arrays have {sorted(counts)} paths: give one number of paths, at least two")
    if not 0.0 < level < 1.0 or n_resamples < 2:
        raise ValueError(f"level = {level} must lie between 0 and 1, n_resamples = {n_resamples} must be at least 2")
    n_paths = counts.pop()
    return np.random.default_rng(seed).integers(0, n_paths, (n_resamples, n_paths))


def _draws(statistic: Callable[..., float], arrays: list[NDArray[Any]], chosen: NDArray[np.int64]) -> Floats:
    if statistic not in _COUNTED:
        return np.array([statistic(*(array[paths] for array in arrays)) for paths in chosen])
    counts = np.stack([np.bincount(paths, minlength=chosen.shape[1]) for paths in chosen])
    return _COUNTED[statistic](*arrays, counts.astype(np.float64))


def _interval(estimate: float, draws: Floats, level: float) -> Interval:
    if np.isnan(draws).any():
        raise ValueError("the statistic of a resample is not a number: give more, or longer, paths")
    finite = np.isfinite(draws).all()  # no line can be drawn from a number to infinity
    tails = [0.5 - level / 2, 0.5 + level / 2]
    low, high = np.quantile(draws, tails, method="linear" if finite else "inverted_cdf")
    return Interval(float(estimate), float(low), float(high), float(draws.std(ddof=1)) if finite else np.inf)
