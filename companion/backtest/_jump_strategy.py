r"""The jump model with its penalty chosen by what it earned, as Shu, Yu & Mulvey (2024) choose it.

The model is that of `companion.regimes.JumpModelFilter`: centers and a sequence of two states that make the sum of
half the squared distances, plus a penalty a switch, least. Here it clusters three features of the returns instead of
one, and is fitted some thousand times in a walk, so the fit is compiled.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from companion._checks import Floats, as_paths, check_count
from companion.backtest._engine import run_backtest
from companion.backtest._splitter import WalkForward
from companion.regimes._jumps import cheapest_states, excess_cost

#: Leading bars whose averages are not full.
WARM_UP = 60
#: Bars that the first fit of a validation needs, and that the validation itself needs.
FEWEST_TO_FIT, FEWEST_TO_VALIDATE = 750, 250
#: Where the fit starts: the bars above such a quantile of the downside deviation are chaos.
STARTS = (0.5, 0.7, 0.9)
#: Passes of a fit at most; it ends where no state changes, after some ten.
MOST_PASSES = 100
#: Of the root mean square: a downside deviation below it is no denominator.
SMALLEST_DEVIATION = 1e-3


class Fit(NamedTuple):
    """What a fit has learned: standardization of the features (3,), and centers (2, 3), the stable state first."""

    mean: Floats
    scale: Floats
    centers: Floats


@dataclass(eq=False, repr=False)
class CrossValidatedJumpModel(BaseEstimator):
    """Jump model whose penalty had the best Sharpe ratio on the last years of the training bars.

    Shu, Yu & Mulvey (2024), "Downside risk reduction using regime-switching signals: a statistical jump model
    approach", Journal of Asset Management 25, 493–507. Features: downside deviation with a half-life of 10 bars,
    Sortino ratios with 20 and 60. For each penalty the model walks forward over the validation bars, with a fit each
    half-year on at most `window` bars, is read online, and its 0/1 strategy is traded with delay and costs.

    It differs from theirs in four ways: returns are as given, not in excess of a rate; the validation is as long as the
    training bars allow, up to `validation`; the penalty is chosen once a fit; the grid is our own.

    Parameters
    ----------
    penalties : tuple of float
        Candidates, each positive, ascending. Of two that did equally well the larger is taken: it trades less.
    window : int
        Bars of the last of the training that a fit sees at most.
    validation : int
        Last bars of the training on which penalties are compared, at most.
    refit_every : int
        Bars between fits within the validation.
    delay : int
        As in `run_backtest`.
    cost_bp : float
        As in `run_backtest`.

    Attributes
    ----------
    penalty_ : float
        The chosen one.
    sharpes_ : ndarray
        Yearly Sharpe ratio of each candidate in the validation; NaN for one that never invested.
    centers_ : ndarray of shape (2, 3)
        Of the standardized features; row 0 the stable state, the one with the higher mean return, as in the paper.
    """

    penalties: tuple[float, ...] = (5.0, 15.0, 35.0, 50.0, 70.0, 100.0, 150.0)
    window: int = 3000
    validation: int = 2016
    refit_every: int = 126
    delay: int = 1
    cost_bp: float = 10.0

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Choose the penalty and fit to log returns (n_bars,); ValueError where they are too few or do not vary."""
        returns = _one_path(X)
        self._check(len(returns))
        features = _features(returns)
        first = max(len(returns) - self.validation, FEWEST_TO_FIT)
        calls = self._validate(returns, features, first)
        close = np.exp(np.cumsum(returns[first:]))
        self.sharpes_ = np.array(
            [
                run_backtest(close, 1.0 - call, delay=self.delay, cost_bp=self.cost_bp).performance().sharpe
                for call in calls
            ]
        )
        worth = np.nan_to_num(self.sharpes_, nan=-np.inf)
        self.penalty_ = float(self.penalties[len(worth) - 1 - int(np.argmax(worth[::-1]))])
        self.fit_ = _fit(features[-self.window :], returns[-self.window :], self.penalty_)
        self.centers_ = self.fit_.centers
        return self

    def _check(self, n_bars: int) -> None:
        penalties = np.asarray(self.penalties, dtype=np.float64)
        if (
            not penalties.size
            or not (np.isfinite(penalties) & (penalties > 0.0)).all()
            or np.any(np.diff(penalties) <= 0)
        ):
            raise ValueError(f"penalties must be positive and ascend, got {self.penalties}")
        for name in ("window", "validation", "refit_every"):
            check_count(name, getattr(self, name))
        if n_bars < FEWEST_TO_FIT + FEWEST_TO_VALIDATE:
            raise ValueError(
                f"X must have at least {FEWEST_TO_FIT + FEWEST_TO_VALIDATE} bars to choose a penalty on, got {n_bars}"
            )

    def _validate(self, returns: Floats, features: Floats, first: int) -> Floats:
        """Online calls (n_penalties, n_bars - first) of models that walk forward, 1 for chaos."""
        calls = np.empty((len(self.penalties), len(returns) - first))
        for train, test in WalkForward(first, self.refit_every).folds(len(returns)):
            seen = train[-self.window :]
            for row, penalty in enumerate(self.penalties):
                fit = _fit(features[seen], returns[seen], penalty)
                online = _online(features[seen[0] : test.stop], fit, penalty)
                calls[row, test.start - first : test.stop - first] = online[test.start - seen[0] :]
        return calls

    def predict_proba(self, X: ArrayLike) -> Floats:
        """The state called online at each bar, as a certainty: (n_bars, 2) of 0 and 1, column 1 chaos. Causal."""
        check_is_fitted(self, "fit_")
        chaos = _online(_features(_one_path(X)), self.fit_, self.penalty_)
        return np.stack([1.0 - chaos, chaos], axis=-1)


def _one_path(X: ArrayLike) -> Floats:
    paths, single = as_paths(X)
    if not single:
        raise ValueError(f"X must have shape (n_bars,), got {paths.shape}: give one path")
    return paths[0]


def _features(returns: Floats) -> Floats:
    """Downside deviation and Sortino ratios, (n_bars, 3), each an average of the past with a half-life."""

    def average(values: Floats, half_life: float) -> Floats:
        return pd.Series(values).ewm(halflife=half_life).mean().to_numpy()

    def deviation(half_life: float) -> Floats:
        return np.sqrt(average(np.minimum(returns, 0.0) ** 2, half_life))

    # The size of the past, so that the floor is causal, too.
    floor = SMALLEST_DEVIATION * np.sqrt(np.cumsum(returns**2) / np.arange(1, len(returns) + 1)) + np.finfo(float).tiny
    sortino = [average(returns, half_life) / np.maximum(deviation(half_life), floor) for half_life in (20, 60)]
    return np.stack([deviation(10), *sortino], axis=-1)


def _fit(features: Floats, returns: Floats, penalty: float) -> Fit:
    """The cheapest of the fits from each start."""
    warm, earned = features[WARM_UP:], returns[WARM_UP:]
    mean, scale = warm.mean(axis=0), warm.std(axis=0)
    if not (scale > 1e-12 * np.abs(warm).max()).all():
        raise ValueError("X must show two regimes, got a feature that is the same at every bar")
    z = (warm - mean) / scale
    starts = [z[:, 0] > np.quantile(z[:, 0], level) for level in STARTS]
    _, chaos, centers = min((_descend(z, start, penalty) for start in starts), key=lambda found: found[0])
    worth = [earned[chaos == state].mean() if (chaos == state).any() else -np.inf for state in (False, True)]
    return Fit(mean, scale, centers if worth[0] >= worth[1] else centers[::-1])


def _descend(z: Floats, chaos: NDArray[np.bool_], penalty: float) -> tuple[float, NDArray[np.bool_], Floats]:
    """Centers of the states, then the cheapest states of the centers, until nothing changes: cost, states, centers.

    A state that has become empty keeps its center.
    """
    centers = np.zeros((2, z.shape[1]))
    for _ in range(MOST_PASSES):
        for state in (0, 1):
            if (chaos == state).any():
                centers[state] = z[chaos == state].mean(axis=0)
        before, chaos = chaos, cheapest_states(_evidence(z, centers), penalty)
        if np.array_equal(before, chaos):
            break
    loss = 0.5 * ((z - centers[chaos.astype(np.intp)]) ** 2).sum()
    return float(loss + penalty * np.count_nonzero(np.diff(chaos))), chaos, centers


def _evidence(z: Floats, centers: Floats) -> Floats:
    """By how much a bar is nearer to chaos: half the difference of its squared distances to the centers."""
    return z @ (centers[1] - centers[0]) + 0.5 * (centers[0] @ centers[0] - centers[1] @ centers[1])


def _online(features: Floats, fit: Fit, penalty: float) -> Floats:
    """1 where the cheapest sequence of states so far ends in chaos."""
    z = (features - fit.mean) / fit.scale
    return (excess_cost(_evidence(z, fit.centers), penalty) > 0.0).astype(np.float64)
