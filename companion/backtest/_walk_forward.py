"""Walk forward: fit on the past, act on what comes next, never the other way around."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from companion._checks import as_paths

# Longer inputs may round differently in float32 matrix products; a filter that reads the future differs by far more.
_CAUSAL_TOLERANCE = 1e-4


class WalkForwardSplit(NamedTuple):
    """Bars to fit on and the bars to predict with that fit, as slices."""

    train: slice
    test: slice


def walk_forward_splits(n_bars: int, *, first_test: int, refit_every: int, purge: int = 0) -> list[WalkForwardSplit]:
    """Expanding windows: train on every bar before the test window, less a gap of `purge` bars.

    Test windows are disjoint, follow each other and together cover bars `first_test` to ``n_bars - 1``; the last may be
    shorter than `refit_every`.

    Parameters
    ----------
    n_bars : int
        Number of bars.
    first_test : int
        First bar that is predicted.
    refit_every : int
        Length of a test window.
    purge : int
        Bars left out between training and test. Use the horizon of the labels if labels look ahead (López de Prado
        2018, section 7.4); features that look back need none.

    Raises
    ------
    ValueError
        Names the argument out of range; the first training window must keep at least one bar.
    """
    if refit_every < 1:
        raise ValueError(f"refit_every must be at least 1 bar, got {refit_every}")
    if purge < 0:
        raise ValueError(f"purge must not be negative, got {purge}")
    if not purge < first_test < n_bars:
        raise ValueError(f"first_test must lie above purge={purge} and below n_bars={n_bars}, got {first_test}")
    return [
        WalkForwardSplit(train=slice(0, start - purge), test=slice(start, min(start + refit_every, n_bars)))
        for start in range(first_test, n_bars, refit_every)
    ]


def walk_forward_probabilities(
    estimator: Any,
    log_returns: ArrayLike,
    *,
    first_test: int,
    refit_every: int,
    purge: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Regime probabilities that each bar could have known, with an estimator refitted as time goes on.

    For each window a clone of `estimator` is fitted on the past, then run over everything up to the window's end, and
    the window's rows are kept: the filter enters the window with its memory of the past, not cold.

    Parameters
    ----------
    estimator : estimator
        A scikit-learn estimator on log returns of shape (n_bars,) with a causal ``predict_proba`` of shape (n_bars,
        n_regimes). It is cloned, never fitted itself.
    log_returns : array_like
        Shape (n_bars,), finite.
    first_test, refit_every, purge : int
        As in `walk_forward_splits`.
    progress : callable, optional
        Called as ``progress(done, total)`` after each window.

    Returns
    -------
    ndarray
        Shape (n_bars, n_regimes); rows before `first_test` are NaN, for there is no honest value.

    Raises
    ------
    ValueError
        What is no series of log returns, a window out of range, an `estimator` that can not be fitted in a window
        (the message names both, and the reason), or one whose probabilities of earlier bars change when later bars are
        added (a smoother, such as hmmlearn's own ``predict_proba``).
    """
    paths, single = as_paths(log_returns, name="log_returns")
    if not single:
        raise ValueError(f"log_returns must have shape (n_bars,), got {paths.shape}: give one path")
    returns = paths[0]
    splits = walk_forward_splits(returns.size, first_test=first_test, refit_every=refit_every, purge=purge)
    blocks = []
    for number, (train, test) in enumerate(splits, start=1):
        try:
            fitted = clone(estimator).fit(returns[train])
            probability = np.asarray(fitted.predict_proba(returns[: test.stop]), dtype=np.float64)
        except ValueError as error:
            raise ValueError(
                f"estimator must fit every window, got {type(estimator).__name__} in window {number} of {len(splits)}, "
                f"fitted on {_span(log_returns, train)} to predict {_span(log_returns, test)}: {error}"
            ) from error
        if number == 1:
            _check_causal(fitted, returns[: test.stop], probability)
        blocks.append(probability[test])
        if progress is not None:
            progress(number, len(splits))
    past = np.full((first_test, blocks[0].shape[1]), np.nan)
    return np.concatenate([past, *blocks])


def _span(log_returns: ArrayLike, window: slice) -> str:
    """First and last bar of a window, by date if there are dates."""
    index = getattr(log_returns, "index", None)
    ends = window.start, window.stop - 1
    if isinstance(index, pd.DatetimeIndex):
        return " to ".join(f"{index[bar]:%Y-%m-%d}" for bar in ends)
    return f"bars {ends[0]} to {ends[1]}"


def _check_causal(fitted: Any, returns: NDArray[np.float64], probability: NDArray[np.float64]) -> None:
    """Raise if dropping the later half of the bars changes a probability of the earlier half."""
    if probability.ndim != 2 or probability.shape[0] != returns.size:
        raise ValueError(
            f"estimator must predict one row a bar, expected ({returns.size}, n_regimes), got {probability.shape}"
        )
    half = (returns.size + 1) // 2
    alone = np.asarray(fitted.predict_proba(returns[:half]), dtype=np.float64)
    gap = float(np.max(np.abs(alone - probability[:half])))
    if not gap <= _CAUSAL_TOLERANCE:
        raise ValueError(
            f"estimator {type(fitted).__name__} is not causal: later bars move earlier probabilities by up to {gap:.3g}"
        )
