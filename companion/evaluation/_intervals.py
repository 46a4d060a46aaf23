"""How sure we are of a score: whole paths are drawn again, since the bars of one path depend on one another."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Score = TypeVar("Score", bound=Callable[..., float])


def counted(fast: Callable[..., Floats]) -> Callable[[Score], Score]:
    """Give the score that is being defined its fast form for the bootstrap, as its attribute ``counted``.

    ``fast(*arrays, counts)``, with counts of shape (n_resamples, n_paths), is the score (n_resamples,) of the paths
    where path i comes counts[:, i] times. It sums over the bars of a path once, not once a resample.
    """

    def attach(score: Score) -> Score:
        vars(score)["counted"] = fast
        return score

    return attach


def _fast_form(score: Callable[..., float]) -> Callable[..., Floats] | None:
    """The fast form of a score, also of one whose options `functools.partial` has set."""
    if isinstance(score, partial) and not score.args and (fast := _fast_form(score.func)) is not None:
        return partial(fast, **score.keywords)
    return getattr(score, "counted", None)


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval and standard error.

    Attributes
    ----------
    estimate : float
    low : float
        Lower end of the interval; infinite where the resamples set no bound.
    high : float
        Upper end, likewise.
    standard_error : float
        Standard deviation of the resamples; infinite if one of them is not a number or not finite.
    """

    estimate: float
    low: float
    high: float
    standard_error: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0.0 or self.high < 0.0


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
    observer (``companion.heston._bayes_filter``); the other arguments are those of `paired_difference`.
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
    fast = _fast_form(statistic)
    if fast is None:
        return np.array([statistic(*(array[paths] for array in arrays)) for paths in chosen])
    counts = np.stack([np.bincount(paths, minlength=chosen.shape[1]) for paths in chosen])
    return fast(*arrays, counts=counts.astype(np.float64))


def _interval(estimate: float, draws: Floats, level: float) -> Interval:
    if np.isnan(draws).any():
        raise ValueError("the statistic of a resample is not a number: give more, or longer, paths")
    return percentile_interval(estimate, draws, level)


def percentile_interval(estimate: float, draws: Floats, level: float) -> Interval:
    """Percentile interval at confidence `level` of a statistic, from its values `draws` on the resamples.

    A resample on which the statistic is undefined (NaN) could have had any value: it counts as lowest at the low end
    and as highest at the high end, so that more than ``(1 - level) / 2`` of them leave the interval without a bound.
    """
    undefined = np.isnan(draws)
    finite = bool(np.isfinite(draws).all())  # no line can be drawn from a number to infinity
    tails = (0.5 - level / 2, -np.inf), (0.5 + level / 2, np.inf)
    method: Literal["linear", "inverted_cdf"] = "linear" if finite else "inverted_cdf"
    low, high = (float(np.quantile(np.where(undefined, bound, draws), share, method=method)) for share, bound in tails)
    return Interval(float(estimate), low, high, float(draws.std(ddof=1)) if finite else np.inf)
