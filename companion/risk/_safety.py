"""The kill switch: are the feed and the model's state what they were when the model was trained?

It has three sensors. `check_input` judges each return by the rules of `companion.risk._input_rules` before the model
sees it; `check_safety` judges the latent state that the model makes of it by its distance to the nearest regime, and
sees one strange bar; `check_past` judges the p-value that the detector gives its past, and sees many bars that are
strange together. Their thresholds are calibrated together on held-out paths (`companion.risk._conformal`), so that a
normal path is stopped by any of them with the stated probability over the stated horizon.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import as_paths
from companion.risk._conformal import check_enough, paths_for_units
from companion.risk._decimal import as_float
from companion.risk._distance import (
    CentroidDistance,
    Metric,
    as_centroids,
    checked_states,
    latents,
    normal_states,
    p_values_of,
)
from companion.risk._floats import Floats, as_floats
from companion.risk._input_rules import INPUT_RULES, Feed, InputRules
from companion.risk._safety_calibration import calibrate
from companion.risk._safety_reading import SafetyReading

_RULES, _REASONS = tuple(INPUT_RULES), tuple(f"{rule}: {what}" for rule, what in INPUT_RULES.items())


class SafetyMonitor:
    """Rules on the feed and a distance of the latent state, with one stated false-kill probability for all of them.

    What it can not see is as much a part of it: a sign that is flipped and white noise of the right volatility look
    ordinary to every rule, and volatility that trebles is noticed within 20 bars on about one path in 18.

    Parameters
    ----------
    train_states : array_like
        Latents the distance is measured in, shape (…, n_features).
    kmeans : array_like, or fitted KMeans or detector
        The centroids, shape (n_clusters, n_features), or what has them as `centroids_` or `cluster_centers_`.
    calibration_paths : iterable of array_like
        Latents of normal paths that neither the model nor the clusters were fitted on, each (n_bars, n_features), all
        of one length, warm-up bars removed: an array (n_paths, n_bars, n_features), or a generator where that would
        not fit in memory. Their number of bars is the horizon the promise is made for.
    calibration_returns : array_like, optional
        Log returns of the same paths, shape (n_paths, horizon + rules.warm_up) or longer: a live feed is warm, so the
        bars before the first state warm the rules up. Without them the monitor has no input rules.
    calibration_p_values : array_like, optional
        `companion.regimes.NeuralRegimeFilter.ood_p_value` of the same paths, shape (n_paths, horizon) or longer.
        Without them the monitor does not judge the past.
    false_kill : float
        Probability of stopping a normal path within the horizon.
    metric : {"mahalanobis", "euclidean"}
        Distance to the nearest centroid, in units of the spread around the centroids or plain as in the book.
    shrinkage : bool
        Shrink the covariance of the Mahalanobis distance (Ledoit & Wolf 2004), which 64 correlated features need.
    rules : InputRules
        Settings of the input rules.

    Attributes
    ----------
    horizon : int
        Number of bars the promise is made for.
    n_calibration : int
        Number of paths that set the thresholds, for `false_kill_interval`.

    Raises
    ------
    ValueError
        Names the argument that is non-finite or misshapen, or too few calibration paths for `false_kill`.
    """

    def __init__(
        self,
        train_states: ArrayLike,
        kmeans: Any,
        *,
        calibration_paths: Iterable[ArrayLike],
        calibration_returns: ArrayLike | None = None,
        calibration_p_values: ArrayLike | None = None,
        false_kill: float = 0.05,
        metric: Metric = "mahalanobis",
        shrinkage: bool = True,
        rules: InputRules | None = None,
    ) -> None:
        if not 0.0 < false_kill < 1.0:  # before the paths go through the model
            raise ValueError(f"false_kill must lie in (0, 1), got {false_kill}")
        centroids = as_centroids(kmeans)
        states = checked_states(train_states, "train_states", centroids.shape[1])
        self._distance = CentroidDistance.of_states(states, centroids, metric=metric, shrinkage=shrinkage)
        self._rules = rules or InputRules()
        thresholds, self.horizon, self.n_calibration = calibrate(
            self._distance,
            self._rules,
            states=calibration_paths,
            log_returns=calibration_returns,
            p_values=calibration_p_values,
            false_kill=false_kill,
        )
        self._take(thresholds)

    def _take(self, thresholds: Mapping[str, float]) -> None:
        """These are the thresholds, and no bar was seen."""
        self._thresholds, self._feed = dict(thresholds), Feed(self._rules)
        self._limits = tuple(thresholds[rule] for rule in _RULES if rule in thresholds)

    @classmethod
    def for_detector(
        cls,
        detector: Any,
        normal_returns: ArrayLike,
        *,
        false_kill: float = 0.05,
        metric: Metric = "mahalanobis",
        shrinkage: bool = True,
        rules: InputRules | None = None,
    ) -> Self:
        """Monitor of a fitted detector, from returns of normal paths that it was not fitted on.

        The first half of the paths gives the distance its unit, the other half calibrates the thresholds. The bars that
        warm the detector and the rules up, the longer of the two, are no part of the horizon. The past is judged where
        the detector gives it a p-value.

        Parameters
        ----------
        detector : fitted detector
            Its `transform` makes latents (…, n_bars, n_features) of log returns. Its centroids are `centroids_`, where
            it has them in that space, else the mean latent of each regime that it predicts.
        normal_returns : array_like
            Log returns of shape (n_paths, n_bars), with ``n_paths / 2`` at least 8 and ``4 / (3 false_kill)``.
        false_kill, metric, shrinkage, rules
            As in `SafetyMonitor`.

        Raises
        ------
        ValueError
            If the returns are no returns, or of too few paths or bars.
        """
        rules = rules or InputRules()
        paths, _ = as_paths(normal_returns, name="normal_returns")
        warm_up = max(rules.warm_up, getattr(detector, "warm_up", 0))
        if paths.shape[1] <= warm_up:
            raise ValueError(f"normal_returns must have more bars than the warm-up, {warm_up}, got {paths.shape[1]}")
        metric_paths, calibration = np.split(paths, [len(paths) // 2])
        if len(calibration) < 8:  # a unit takes two paths
            raise ValueError(f"normal_returns must be at least 15 paths, got {len(paths)}: half of them calibrate")
        n_setting = len(calibration) - paths_for_units(len(calibration))
        check_enough("three in eight of normal_returns", n_setting, false_kill)  # before they go through the model
        states, centroids = normal_states(detector, metric_paths, warm_up=warm_up)
        return cls(
            states,
            centroids,
            calibration_paths=latents(detector, calibration, warm_up=warm_up),
            calibration_returns=calibration,
            calibration_p_values=p_values_of(detector, calibration),
            false_kill=false_kill,
            metric=metric,
            shrinkage=shrinkage,
            rules=rules,
        )

    def parameters(self) -> dict[str, Any]:
        """All that calibration has set, as plain JSON types; `from_parameters` takes it back exactly."""
        return {
            "whiten": self._distance.whiten.tolist(),
            "centroids": self._distance.centroids.tolist(),
            "thresholds": self.thresholds,
            "horizon": self.horizon,
            "n_calibration": self.n_calibration,
            "rules": asdict(self._rules),
        }

    fingerprint_parts = parameters  # two monitors are the same if they judge alike

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """The calibrated monitor that `parameters` describes, before the first bar; a `ValueError` if it is none."""
        self = cls.__new__(cls)
        try:
            whiten, centroids = (as_floats(parameters[name], name) for name in ("whiten", "centroids"))
            thresholds = {str(rule): float(value) for rule, value in parameters["thresholds"].items()}
            self.horizon, self.n_calibration = int(parameters["horizon"]), int(parameters["n_calibration"])
            self._rules = InputRules(**parameters["rules"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"parameters must describe a SafetyMonitor, got others: {error!r}") from error
        known = thresholds.keys() - {"past"} in ({"distance"}, {"distance", *_RULES})
        if not known or whiten.shape != 2 * as_centroids(centroids).shape[1:]:
            raise ValueError(
                f"parameters must fit together, got whiten of shape {whiten.shape}, thresholds of {[*thresholds]}"
            )
        self._distance = CentroidDistance(whiten, centroids)
        self._take(thresholds)
        return self

    @property
    def thresholds(self) -> dict[str, float]:
        """Largest value of each rule that is safe."""
        return dict(self._thresholds)

    @property
    def threshold(self) -> float:
        """Largest distance that is safe."""
        return self._thresholds["distance"]

    def distance(self, states: ArrayLike) -> Floats:
        """Distance of each state to its nearest centroid, shape (…,) for (…, n_features); NaN where it has none."""
        return self._distance.many(states)

    def check_safety(self, state: ArrayLike) -> SafetyReading:
        """Judge one latent state of shape (n_features,).

        Safe is what is proven safe: a state with a NaN or an infinity, or so large that its distance is not a number,
        is unsafe. The distance has no memory; latching an alarm is the circuit breaker's work.
        """
        if type(x := state) is not np.ndarray or x.dtype != np.float64:
            try:
                x = as_floats(state, "state")
            except ValueError:  # no numbers at all: a breaker answers, it does not break
                x = np.full(self._distance.shape, np.nan)
        if x.shape != self._distance.shape:
            raise ValueError(f"state must have shape {self._distance.shape}, got {x.shape}")
        distance, threshold = self._distance.one(x), self._thresholds["distance"]
        if distance <= threshold:
            return SafetyReading(True, "safe", distance, threshold, "distance")
        finite = bool(np.all(np.isfinite(x)))
        reason = "out of distribution: far from every known regime" if finite else "non-finite state"
        return SafetyReading(False, reason, distance, threshold, "distance")

    def check_past(self, p_value: float) -> SafetyReading:
        """Judge the past by `RegimeReading.ood_p_value`; the value of the rule is its decimal logarithm, negated.

        What is no p-value is unsafe. The rule speaks late, since half of the weight lies on bars more than fifty bars
        old, and not always: within a year it sees a volatility that is a tenth as large for good on nine paths of ten,
        prices that climb by a sigma a bar on two of three, and a volatility ten times as large hardly ever.
        """
        p, threshold = as_float(p_value), self._past_threshold()
        value = 0.0 - math.log10(p) if 0.0 < p <= 1.0 else math.inf
        safe = value <= threshold
        reason = "safe" if safe else "out of distribution: the past is unlike any market of the detector's training"
        return SafetyReading(safe, reason, value, threshold, "past")

    def check_input(self, log_return: float, *, factor: float = 1.0) -> SafetyReading:
        """Judge one more log return, before the model sees it.

        The rules compare it with the bars that they were given before, replayed history included. An invalid return is
        reported and then forgotten; the model should be spared it, too.

        Parameters
        ----------
        log_return : float
            As the feed gave it.
        factor : float
            Usual volatility at its time of day over the average, as `companion.datasets.IntradayVolatility.factor`
            gives it, positive: jumps and collapses are judged in that unit, runs and repetitions as they are.
        """
        limits = self._limits or self._input_limits()
        if not isinstance(log_return, float) and np.ndim(log_return) != 0:
            raise ValueError(f"log_return must be one number, got shape {np.shape(log_return)}")
        values = self._feed.update(log_return, factor)
        shares = [value / limit for value, limit in zip(values, limits, strict=True)]
        worst = shares.index(max(shares))
        value, limit = values[worst], limits[worst]
        safe = value <= limit
        return SafetyReading(safe, "safe" if safe else _REASONS[worst], value, limit, _RULES[worst])

    def reset(self) -> None:
        """Forget the returns that `check_input` was given, not the calibration."""
        self._feed.reset()

    def state(self) -> dict[str, Any]:
        """What `check_input` remembers of the feed, as plain JSON types, exactly; `restore` takes it back."""
        return self._feed.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; a `ValueError` if it is none, or one of rules with another window."""
        self._feed.restore(state)

    def alarms(
        self,
        states: ArrayLike | None = None,
        log_returns: ArrayLike | None = None,
        p_values: ArrayLike | None = None,
    ) -> dict[str, NDArray[np.bool_]]:
        """Whether each rule fires at each bar of whole paths: what the checks say bar by bar.

        Parameters
        ----------
        states : array_like, optional
            Latents, shape (…, n_bars, n_features), for the distance.
        log_returns : array_like, optional
            Log returns of the same paths, for the input rules, shape (n_bars,) or (n_paths, n_bars), or longer: bars
            before the first state only warm the rules up.
        p_values : array_like, optional
            `companion.regimes.NeuralRegimeFilter.ood_p_value` of the same paths, for the past, of the shape of the log
            returns, or longer.

        Returns
        -------
        dict of str to ndarray
            Rule to alarms of shape (…, n_bars), of the rules that something was given for.
        """
        fired = {}
        if p_values is not None:
            values = as_floats(p_values, "p_values")
            known = (values > 0.0) & (values <= 1.0)
            fired["past"] = ~(
                -np.log10(values, where=known, out=np.full(values.shape, -np.inf)) <= self._past_threshold()
            )
        if log_returns is not None:
            above = self._rules.statistics(log_returns) > np.array(self._input_limits())
            fired |= {name: above[..., rule] for rule, name in enumerate(INPUT_RULES)}
        if states is None:
            return fired
        *paths, n_bars = (0, *np.shape(states)[:-1])
        for name, alarm in fired.items():
            if paths != [0, *alarm.shape[:-1]] or not 0 < n_bars <= alarm.shape[-1]:
                given = "p_values" if name == "past" else "log_returns"
                raise ValueError(
                    f"{given} must be of the paths of states {np.shape(states)}, got those of {alarm.shape}"
                )
        cut = {name: alarm[..., -n_bars:] for name, alarm in fired.items()}
        return {"distance": ~(self.distance(states) <= self.threshold)} | cut

    def _past_threshold(self) -> float:
        if "past" not in self._thresholds:
            raise ValueError("calibration_p_values must be given to judge the past, got none: this monitor does not")
        return self._thresholds["past"]

    def _input_limits(self) -> tuple[float, ...]:
        if not self._limits:
            raise ValueError(
                "calibration_returns must be given for input rules, got none: this monitor has no input rules"
            )
        return self._limits
