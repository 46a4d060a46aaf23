"""What every detector has in common: its checks, its calibration, its hysteresis, and the same answer bar by bar.

A detector of this room is three things: a causal *feature* of the returns so far (a latent vector, a variance, a
posterior), a *score* of that feature (larger is more chaotic), and a *confidence* in [0, 1] that the regime is stable.
`RegimeFilter` turns them into calibrated probabilities and regimes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from companion._checks import Floats, Labels, as_paths
from companion.regimes._clock import BarClock, BarTime
from companion.regimes._confidence import PlattCalibration
from companion.regimes._hysteresis import ENTER, LEAVE, check_levels, hysteresis

#: Bars that a fit needs after the warm-up.
FEWEST_BARS = 100
#: A regime of fewer bars is an outlier.
FEWEST_BARS_IN_REGIME = 20


@dataclass(frozen=True)
class RegimeReading:
    """What a detector says after one more bar.

    Attributes
    ----------
    probability : float
        Calibrated, filtered P(chaos).
    regime : int
        0 stable, 1 chaos, after hysteresis.
    confidence : float
        The uncalibrated confidence in the stable regime, in [0, 1].
    n_bars : int
        Bars seen so far, this one included.
    warm : bool
        Whether the detector has seen its warm-up; before that, the reading leans on where the filter started.
    """

    probability: float
    regime: int
    confidence: float
    n_bars: int
    warm: bool


def calibration_market(seed: int) -> tuple[Floats, NDArray[np.int8]]:
    """Log returns and true regimes of 100 paths × 2,060 bars of the base market, each of shape (n_paths, n_bars)."""
    from companion.heston import RegimeSwitchingHeston

    fresh = np.random.default_rng(np.random.SeedSequence([seed, 0xCA11B]))
    paths = RegimeSwitchingHeston.equity_index().simulate(n_paths=100, n_steps=2060, seed=fresh)
    return paths.log_returns, paths.regime[:, 1:]


class RegimeFilter(BaseEstimator, ABC):
    """Base of all detectors: scikit-learn estimators on log returns of shape (n_bars,) or (n_paths, n_bars).

    A subclass gives `_fit_recursion`, `_start`, `_advance` and, where it clusters, `_fit_regimes`.

    Parameters
    ----------
    enter, leave : float
        Hysteresis levels of P(chaos), with ``0 <= leave <= enter <= 1``.
    warm_up : int
        Leading bars of each path that `fit` does not learn from.
    seed : int
        Seeds whatever the fit draws.
    """

    calibration_: PlattCalibration

    def __init__(self, *, enter: float = ENTER, leave: float = LEAVE, warm_up: int = 60, seed: int = 0) -> None:
        self.enter = enter
        self.leave = leave
        self.warm_up = warm_up
        self.seed = seed

    @abstractmethod
    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        """Learn what the recursion needs from paths (n_paths, n_bars), and from their regimes if it can use them."""

    @abstractmethod
    def _start(self, n_paths: int) -> Any:
        """State before the first bar."""

    @abstractmethod
    def _advance(self, returns: Floats, state: Any) -> tuple[Floats, Any]:
        """Features (n_paths, n_features) and state after one bar of returns (n_paths,); `state` stays as it is."""

    @abstractmethod
    def _score(self, features: Floats) -> Floats:
        """Score of features (..., n_features): larger is more chaotic, positive where the detector calls chaos."""

    @abstractmethod
    def _confidence(self, features: Floats) -> Floats:
        """Uncalibrated confidence in the stable regime, in [0, 1]."""

    def _fit_regimes(self, features: Floats, paths: Floats) -> None:
        """Find the regimes among the features (n_paths, n_bars, n_features) of warmed-up bars."""

    def _features(self, paths: Floats) -> Floats:
        state, rows = self._start(len(paths)), []
        for returns in paths.T:
            row, state = self._advance(returns, state)
            rows.append(row)
        return np.stack(rows, axis=1)

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit to log returns; calibrate on their true regimes where these are given, else on a simulated market.

        Parameters
        ----------
        X : array_like of shape (n_bars,) or (n_paths, n_bars)
            Daily log returns.
        y : array_like of the same shape, optional
            True regimes, 0 stable and 1 chaos. They are used for the calibration alone. Without them the probabilities
            are calibrated on fresh paths of ``RegimeSwitchingHeston.equity_index()``, whose regimes are known.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            When X is not finite, too short or constant, a regime turns out empty, or y is not 0 and 1.
        """
        self._check_settings()
        paths, _ = as_paths(X)
        if paths.shape[1] < self.warm_up + FEWEST_BARS:
            needed = f"at least {self.warm_up + FEWEST_BARS} (warm-up of {self.warm_up} included)"
            raise ValueError(f"X has {paths.shape[1]} bars a path: fit needs {needed}")
        flat = np.flatnonzero(np.ptp(paths[:, self.warm_up :], axis=1) == 0.0)
        if len(flat):
            value = paths[flat[0], -1]
            raise ValueError(
                f"X: path {flat[0]} is constant at {value} after the warm-up: it has no regimes to tell apart"
            )
        labels = None if y is None else self._check_labels(y, np.shape(X))
        self._fit_recursion(paths, labels)
        features = self._features(paths)[:, self.warm_up :]
        self._fit_regimes(features, paths[:, self.warm_up :])
        _check_both_regimes(self._score(features) > 0.0)
        if labels is None:
            known, labels = calibration_market(self.seed)
            features = self._features(known)[:, self.warm_up :]
        self.calibration_ = PlattCalibration.fit(self._score(features), labels[:, self.warm_up :])
        return self.reset()

    def _check_settings(self) -> None:
        check_levels(self.enter, self.leave)
        if self.warm_up < 0:
            raise ValueError(f"warm_up = {self.warm_up} must not be negative")

    def _check_labels(self, y: ArrayLike, shape: tuple[int, ...]) -> Labels:
        labels = np.asarray(y)
        if labels.shape != shape:
            raise ValueError(f"y has shape {labels.shape}, but X has {shape}")
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("y holds a value that is neither 0 (stable) nor 1 (chaos)")
        for regime in (0, 1):
            if not (np.atleast_2d(labels)[:, self.warm_up :] == regime).any():
                raise ValueError(f"y has no bar of regime {regime} after the warm-up: calibration needs both regimes")
        return np.atleast_2d(labels).astype(np.int8)

    def transform(self, X: ArrayLike) -> Floats:
        """Features per bar, of shape (..., n_bars, n_features)."""
        check_is_fitted(self, "calibration_")
        paths, single = as_paths(X)
        features = self._features(paths)
        return features[0] if single else features

    def decision_function(self, X: ArrayLike) -> Floats:
        """Uncalibrated score per bar, larger is more chaotic, of the shape of X."""
        return self._score(self.transform(X))

    def confidence(self, X: ArrayLike) -> Floats:
        """Uncalibrated confidence in the stable regime per bar, in [0, 1], of the shape of X."""
        return self._confidence(self.transform(X))

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Filtered, calibrated probability of each regime per bar.

        Returns
        -------
        ndarray of shape (..., n_bars, 2)
            Column 0 the stable regime, column 1 chaos. Bar t depends on returns up to t only.
        """
        score = self.decision_function(X)
        chaos = self.calibration_.probability(score)
        return np.stack([1.0 - chaos, chaos], axis=-1)

    def predict(self, X: ArrayLike) -> NDArray[np.int8]:
        """Regime per bar after hysteresis, 0 stable and 1 chaos, of the shape of X. Causal."""
        return hysteresis(self.predict_proba(X)[..., 1], enter=self.enter, leave=self.leave)

    def reset(self, *, bar: str | timedelta = "1D", longest_gap: int = 5) -> Self:
        """Begin a new stream of bars for `update`: forget the bars it has seen, not the fit.

        Parameters
        ----------
        bar : str or timedelta, default="1D"
            Time between two bars, in the notation of `pandas.Timedelta`. The shipped detectors know daily bars.
        longest_gap : int, default=5
            Bars from one to the next at most. Five days admit weekends and holidays and refuse weekly bars; they also
            refuse the week of September 2001 in which the New York exchanges stayed closed.

        Returns
        -------
        self
        """
        self._check_settings()
        self._online: tuple[Any, int, BarClock] = (self._start(1), 0, BarClock.start(bar, longest_gap))
        return self

    def update(self, log_return: float, timestamp: BarTime | None = None) -> RegimeReading:
        """Take one more bar and say what `predict_proba` and `predict` would say of it.

        A refused bar leaves the detector as it was.

        Parameters
        ----------
        log_return : float
        timestamp : datetime, date, Timestamp or datetime64, optional
            When the bar was. A stream has one at every bar or at none. Bars are those of one frequency where each comes
            between .75 of a `bar` and `longest_gap` + .25 bars after the last, both as given to `reset`, and at most
            four times in a row more than one bar later: a single gap can not tell a missing bar from a holiday.

        Raises
        ------
        ValueError
            When `log_return` is not a finite number within ±10, or `timestamp` is no time, missing, a duplicate, out of
            order or of another frequency.
        """
        check_is_fitted(self, "calibration_")
        if np.ndim(log_return) != 0:
            raise ValueError(f"log_return has shape {np.shape(log_return)}: give one number")
        paths, _ = as_paths([log_return], name="log_return")
        state, regime, clock = self._online
        clock = clock.tick(timestamp)
        features, state = self._advance(paths[:, 0], state)
        probability = self.calibration_.probability(self._score(features))
        regime = int(hysteresis(probability, enter=self.enter, leave=self.leave, start=regime)[0])
        self._online = (state, regime, clock)
        return RegimeReading(
            probability=float(probability[0]),
            regime=regime,
            confidence=float(self._confidence(features)[0]),
            n_bars=clock.n_bars,
            warm=clock.n_bars > self.warm_up,
        )


def _check_both_regimes(chaos: NDArray[np.bool_]) -> None:
    for name, bars in (("stable", np.count_nonzero(~chaos)), ("chaos", np.count_nonzero(chaos))):
        if bars < FEWEST_BARS_IN_REGIME:
            raise ValueError(
                f"X: one regime is empty: {bars} of {chaos.size} bars are {name}, fewer than {FEWEST_BARS_IN_REGIME}; "
                "fit on a longer series, or without its outliers"
            )
