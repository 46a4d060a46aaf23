"""What every detector is: a causal feature, a rule that scores it, a calibration, and hysteresis.

A detector names its two parts (`_parts`); everything else, from the checks to the answer bar by bar, is here and in
`RegimeStepper`, and is the same for all.
"""

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from companion._checks import Floats, Labels, as_paths, check_count
from companion.regimes._clock import BarClock, BarTime
from companion.regimes._confidence import PlattCalibration
from companion.regimes._features import Feature
from companion.regimes._fitting import check_both_regimes, check_labels, check_paths, known_paths
from companion.regimes._hysteresis import ENTER_CHAOS, LEAVE_CHAOS, check_levels, hysteresis
from companion.regimes._rules import Rule
from companion.regimes._stepper import RegimeReading, RegimeStepper, scale_is_known, stepper_of


@dataclass(eq=False, repr=False)
class RegimeFilter(ClassifierMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of all detectors: scikit-learn estimators on log returns of shape (n_bars,) or (n_paths, n_bars).

    A subclass is a dataclass of its settings that names its feature and its rule in `_parts`.

    Parameters
    ----------
    enter_chaos, leave_chaos : float
        Hysteresis: the levels of P(chaos) at which chaos is called and is over, ``0 <= leave_chaos <= enter_chaos <=
        1``.
    warm_up : int
        Leading bars of each path that `fit` does not learn from.
    seed : int
        Seeds whatever the fit draws.

    Attributes
    ----------
    feature_ : Feature
        The fitted feature: from returns to what the rule reads.
    rule_ : Rule
        The fitted rule: from features to a score.
    calibration_ : PlattCalibration
        From score to probability.
    calibrated_on_ : str
        What the calibration has seen: true regimes, or a simulated market and at which scale. Where this is not known
        any more, the source of the calibration.
    classes_ : ndarray
        0 stable, 1 chaos.
    """

    _: KW_ONLY
    enter_chaos: float = ENTER_CHAOS
    leave_chaos: float = LEAVE_CHAOS
    warm_up: int = 60
    seed: int = 0

    @abstractmethod
    def _parts(self) -> tuple[Feature, Rule]:
        """The detector's feature and rule, not fitted."""

    def _fit_parts(self, paths: Floats, labels: Labels | None) -> tuple[Feature, Rule, Floats]:
        """Fit the parts to paths (n_paths, n_bars), and to their regimes if they can use them.

        With them come the features of all bars after the warm-up.
        """
        feature, rule = self._parts()
        feature.fit(paths, warm_up=self.warm_up, seed=self.seed)
        warm = feature.transform(paths)[:, self.warm_up :]
        return feature, rule.fit(warm, paths[:, self.warm_up :], seed=self.seed), warm

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit to log returns; calibrate on their true regimes where these are given, else on a simulated market.

        Parameters
        ----------
        X : array_like of shape (n_bars,) or (n_paths, n_bars)
            Log returns.
        y : array_like of the same shape, optional
            True regimes, 0 stable and 1 chaos. They are used for the calibration alone. Without them the probabilities
            are calibrated on fresh paths of ``RegimeSwitchingHeston.equity_index()``, whose regimes are known, scaled
            to the root mean square of X: returns × c give the same probabilities.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            When X is no series of log returns, too short or constant, a regime turns out empty, y is not 0 and 1, or,
            without y, the scale of X is one that the detector does not know. A detector that was fitted before is then
            as it was.
        """
        self._check_settings()
        paths, single = as_paths(X)
        labels = (
            None if y is None else check_labels(y, paths.shape[1:] if single else paths.shape, warm_up=self.warm_up)
        )
        check_paths(paths, warm_up=self.warm_up)
        feature, rule, warm = self._fit_parts(paths, labels)
        if labels is None:
            known, known_labels, calibrated_on = known_paths(paths, feature.rms_range, seed=self.seed)
        else:
            known, known_labels, calibrated_on = paths, labels, "the true regimes of the fitted paths"
        score = rule.score(warm)
        check_both_regimes(score > 0.0)
        if known is not paths:
            score = rule.score(feature.transform(known)[:, self.warm_up :])
        calibration = PlattCalibration.fit(score, known_labels[:, self.warm_up :])
        return self._take(feature, rule, calibration, calibrated_on)

    def _take(self, feature: Feature, rule: Rule, calibration: PlattCalibration, calibrated_on: str) -> Self:
        """Be fitted."""
        self.feature_, self.rule_ = feature, rule
        self.calibration_, self.calibrated_on_, self.classes_ = calibration, calibrated_on, np.array([0, 1])
        return self.reset()

    def _check_settings(self) -> None:
        check_levels(self.enter_chaos, self.leave_chaos)
        check_count("warm_up", self.warm_up, least=0)

    def transform(self, X: ArrayLike) -> Floats:
        """Features per bar, of shape (..., n_bars, n_features)."""
        check_is_fitted(self, "calibration_")
        paths, single = as_paths(X)
        features = self.feature_.transform(paths)
        return features[0] if single else features

    def decision_function(self, X: ArrayLike) -> Floats:
        """Uncalibrated score per bar, larger is more chaotic, of the shape of X."""
        features = self.transform(X)
        return self.rule_.score(features)

    def confidence(self, X: ArrayLike) -> Floats:
        """Uncalibrated confidence in the stable regime per bar, in [0, 1], of the shape of X."""
        features = self.transform(X)
        return self.rule_.confidence(features)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Filtered, calibrated probability of each regime per bar.

        Returns
        -------
        ndarray of shape (..., n_bars, 2)
            Column 0 the stable regime, column 1 chaos. Bar t depends on returns up to t only.
        """
        score = self.decision_function(X)
        chaos = self.calibration_.p_chaos(score)
        return np.stack([1.0 - chaos, chaos], axis=-1)

    def predict(self, X: ArrayLike) -> NDArray[np.int8]:
        """Regime per bar after hysteresis, 0 stable and 1 chaos, of the shape of X. Causal."""
        p_chaos = self.predict_proba(X)[..., 1]
        return hysteresis(p_chaos, enter_chaos=self.enter_chaos, leave_chaos=self.leave_chaos)

    def known_scale(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Whether the returns of the last year or so are of a size that the detector was made for, of the shape of X.

        What `RegimeReading.known_scale` says bar by bar: always true where the feature has no unit, and in the warm-up.
        """
        check_is_fitted(self, "calibration_")
        paths, single = as_paths(X)
        known = scale_is_known(paths, self.feature_.rms_range)
        known[:, : self.warm_up] = True
        return known[0] if single else known

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Share of bars whose regime `predict` names rightly; `companion.evaluation` has better scores."""
        called, truth = self.predict(X), np.asarray(y)
        if truth.shape != called.shape:
            raise ValueError(f"y must have the shape of X, {called.shape}, got {truth.shape}")
        return float(np.mean(called == truth))

    def stepper(self) -> RegimeStepper:
        """The fitted detector as it is now, before the first bar of a path: from a raw return to a reading.

        Whoever fits or trains the detector further takes another.
        """
        check_is_fitted(self, "calibration_")
        return stepper_of(
            self.feature_,
            self.rule_,
            self.calibration_,
            enter_chaos=self.enter_chaos,
            leave_chaos=self.leave_chaos,
            warm_up=self.warm_up,
        )

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
        self._online: tuple[RegimeStepper, BarClock] = (self.stepper(), BarClock.start(bar, longest_gap))
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
        if "_online" not in self.__dict__:  # `check_is_fitted` takes longer than all the rest but the network
            check_is_fitted(self, "calibration_")
        stepper, clock = self._online
        after = clock.tick(timestamp)
        reading = stepper.update(log_return)
        self._online = (stepper, after)
        return reading

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "calibration_")

    def __getattr__(self, name: str) -> Any:
        """What a part has learned is the detector's, too: `detector.centroids_` is that of its rule."""
        if name.endswith("_") and not name.startswith("_") and name not in ("feature_", "rule_", "calibration_"):
            for part in ("rule_", "feature_"):
                found = getattr(self.__dict__.get(part), name, None)
                if found is not None:
                    return found
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
