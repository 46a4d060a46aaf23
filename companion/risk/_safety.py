"""The kill switch: are the feed and the model's state what they were when the model was trained?

It has two sensors. `check_input` judges each return by the rules of `companion.risk._input_rules` before the model sees
it; `check_safety` judges the latent state that the model makes of it by its distance to the nearest regime. Their
thresholds are calibrated together on held-out paths (`companion.risk._conformal`), so that a normal path is stopped by
any of them with the stated probability over the stated horizon.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from companion.risk._conformal import conformal_threshold, joint_thresholds, paths_for_units
from companion.risk._decimal import as_float
from companion.risk._input_rules import INPUT_RULES, SHORTEST_RUN, InputRules

#: Smallest thresholds, whatever calibration says: an invalid return always fires, a run of three at the earliest.
_FLOORS = {"invalid": 0.5, "frozen": SHORTEST_RUN - 0.5, "repeated": SHORTEST_RUN - 0.5}


@dataclass(frozen=True)
class SafetyReading:
    """One answer of the monitor.

    Attributes
    ----------
    safe : bool
        Whether it is safe to trade.
    reason : str
        "safe", or what is wrong.
    distance, threshold : float
        Value of the rule that came closest to its threshold, and that threshold.
    rule : str
        Name of that rule: "distance" or one of `INPUT_RULES`.
    """

    safe: bool
    reason: str
    distance: float
    threshold: float
    rule: str


class SafetyMonitor:
    """Rules on the feed and a distance of the latent state, with one stated false-kill probability for all of them.

    What it can not see is as much a part of it: a sign that is flipped and white noise of the right volatility look
    ordinary to every rule, and volatility that trebles is noticed within 20 bars on about one path in 18.

    Parameters
    ----------
    train_states : array_like
        Latents the distance is measured in, shape (…, n_features).
    kmeans : fitted KMeans
        Only its `cluster_centers_` are used.
    calibration_paths : iterable of array_like
        Latents of normal paths that neither the model nor the clusters were fitted on, each (n_bars, n_features), all
        of one length, warm-up bars removed: an array (n_paths, n_bars, n_features), or a generator where that would
        not fit in memory. Their number of bars is the horizon the promise is made for.
    calibration_returns : array_like, optional
        Log returns of the same paths, shape (n_paths, horizon + rules.warm_up) or longer: a live feed is warm, so the
        bars before the first state warm the rules up. Without them the monitor has no input rules.
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
    thresholds : dict of str to float
        Largest value of each rule that is safe; `threshold` is that of the distance.
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
        false_kill: float = 0.05,
        metric: Literal["mahalanobis", "euclidean"] = "mahalanobis",
        shrinkage: bool = True,
        rules: InputRules | None = None,
    ) -> None:
        centroids = np.asarray(kmeans.cluster_centers_, dtype=np.float64)
        if not np.all(np.isfinite(centroids)):
            raise ValueError("kmeans must have finite cluster_centers_")
        if not 0.0 < false_kill < 1.0:  # before the paths go through the model
            raise ValueError(f"false_kill must lie in (0, 1), got {false_kill}")
        states = _checked_states(train_states, "train_states", centroids.shape[1]).reshape(-1, centroids.shape[1])
        if metric not in ("mahalanobis", "euclidean"):
            raise ValueError(f"metric must be 'mahalanobis' or 'euclidean', got {metric!r}")
        self._whiten = np.eye(centroids.shape[1])
        if metric == "mahalanobis":
            self._whiten = _whitening(states, centroids, shrinkage=shrinkage)
        self._white_centroids = centroids @ self._whiten
        self._rules = rules or InputRules()
        maxima, self.horizon = self._calibrate_distance(calibration_paths)
        self.n_calibration = len(maxima)
        if calibration_returns is None:
            self.thresholds = {"distance": conformal_threshold(maxima, false_kill=false_kill)}
        else:
            inputs = self._calibrate_input(calibration_returns, len(maxima))
            names = ("distance", *INPUT_RULES)
            self.n_calibration -= paths_for_units(len(maxima))
            floors = [_FLOORS.get(name, 0.0) for name in names]
            joint = joint_thresholds(np.column_stack([maxima, inputs]), false_kill=false_kill, floors=floors)
            self.thresholds = dict(zip(names, joint.tolist(), strict=True))
        self._feed = self._rules.start(1)

    @property
    def threshold(self) -> float:
        """Largest distance that is safe."""
        return self.thresholds["distance"]

    def _calibrate_distance(self, paths: Iterable[ArrayLike]) -> tuple[NDArray[np.float64], int]:
        """Largest distance on each path, and the common number of bars."""
        n_features, maxima, lengths = len(self._whiten), [], set()
        for path in paths:
            states = _checked_states(path, "calibration_paths", n_features)
            if states.ndim != 2:
                raise ValueError(f"calibration_paths must be paths of shape (n_bars, {n_features}), got {states.shape}")
            maxima.append(self.distance(states).max())
            lengths.add(len(states))
        if len(lengths) != 1:
            raise ValueError(f"calibration_paths must be of one length, got {sorted(lengths)}")
        return np.asarray(maxima), lengths.pop()

    def _calibrate_input(self, returns: ArrayLike, n_paths: int) -> NDArray[np.float64]:
        """Largest value of each input rule on each path, shape (n_paths, n_rules)."""
        paths, warm_up = np.asarray(returns, dtype=np.float64), self._rules.warm_up
        if paths.ndim != 2 or len(paths) != n_paths or paths.shape[1] < self.horizon + warm_up:
            shape = f"({n_paths}, horizon {self.horizon} + rules.warm_up {warm_up} or more)"
            raise ValueError(f"calibration_returns must have shape {shape}, got {paths.shape}: drop the first states")
        if not np.all(np.isfinite(paths)):
            raise ValueError(f"calibration_returns must be finite, {np.sum(~np.isfinite(paths))} values are not")
        return self._rules.statistics(paths)[:, -self.horizon :].max(axis=1)

    def distance(self, states: ArrayLike) -> NDArray[np.float64]:
        """Distance of each state to its nearest centroid, shape (…,) for (…, n_features); NaN where it has none."""
        x = np.asarray(states, dtype=np.float64)
        n_features = self._white_centroids.shape[1]
        if x.ndim == 0 or x.shape[-1] != n_features:
            raise ValueError(f"states must have {n_features} features in the last axis, got shape {x.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            white = x.reshape(-1, n_features) @ self._whiten
        return cdist(white, self._white_centroids).min(axis=1).reshape(x.shape[:-1])

    def check_safety(self, state: ArrayLike) -> SafetyReading:
        """Judge one latent state of shape (n_features,).

        Safe is what is proven safe: a state with a NaN or an infinity, or so large that its distance is not a number,
        is unsafe. The distance has no memory; latching an alarm is the circuit breaker's work.
        """
        try:
            x = np.asarray(state, dtype=np.float64)
        except (TypeError, ValueError):  # no numbers at all: a breaker answers, it does not break
            x = np.full(self._white_centroids.shape[1:], np.nan)
        if x.shape != self._white_centroids.shape[1:]:
            raise ValueError(f"state must have shape {self._white_centroids.shape[1:]}, got {x.shape}")
        distance = float(self.distance(x))
        if not np.all(np.isfinite(x)):
            return SafetyReading(False, "non-finite state", distance, self.threshold, "distance")
        if not distance <= self.threshold:
            reason = "out of distribution: far from every known regime"
            return SafetyReading(False, reason, distance, self.threshold, "distance")
        return SafetyReading(True, "safe", distance, self.threshold, "distance")

    def check_input(self, log_return: float) -> SafetyReading:
        """Judge one more log return, before the model sees it.

        The rules compare it with the bars that they were given before, replayed history included. An invalid return is
        reported and then forgotten; the model should be spared it, too.
        """
        if np.ndim(log_return) != 0:
            raise ValueError(f"log_return must be one number, got shape {np.shape(log_return)}")
        limits = self._input_thresholds()
        values, self._feed = self._rules.advance([as_float(log_return)], self._feed)
        worst = int(np.argmax(values[0] / limits))
        rule, value, limit = list(INPUT_RULES)[worst], float(values[0, worst]), float(limits[worst])
        safe = value <= limit
        return SafetyReading(safe, "safe" if safe else f"{rule}: {INPUT_RULES[rule]}", value, limit, rule)

    def reset(self) -> None:
        """Forget the returns that `check_input` was given, not the calibration."""
        self._feed = self._rules.start(1)

    def alarms(
        self, states: ArrayLike | None = None, log_returns: ArrayLike | None = None
    ) -> dict[str, NDArray[np.bool_]]:
        """Whether each rule fires at each bar of whole paths: what the two checks say bar by bar.

        Parameters
        ----------
        states : array_like, optional
            Latents, shape (…, n_bars, n_features), for the distance.
        log_returns : array_like, optional
            Log returns of the same paths, for the input rules, shape (n_bars,) or (n_paths, n_bars), or longer: bars
            before the first state only warm the rules up.

        Returns
        -------
        dict of str to ndarray
            Rule to alarms of shape (…, n_bars).
        """
        fired = {} if states is None else {"distance": ~(self.distance(states) <= self.threshold)}
        if log_returns is not None:
            above = self._rules.statistics(log_returns) > self._input_thresholds()
            if states is not None:
                *paths, n_bars = (0, *np.shape(states)[:-1])
                if paths != [0, *above.shape[:-2]] or not 0 < n_bars <= above.shape[-2]:
                    raise ValueError(
                        f"log_returns must be of the paths of states {np.shape(states)}, got {np.shape(log_returns)}"
                    )
                above = above[..., -n_bars:, :]
            fired |= {name: above[..., rule] for rule, name in enumerate(INPUT_RULES)}
        return fired

    def _input_thresholds(self) -> NDArray[np.float64]:
        if len(self.thresholds) == 1:
            raise ValueError("calibration_returns were not given: this monitor has no input rules")
        return np.array([self.thresholds[name] for name in INPUT_RULES])


def _whitening(states: NDArray[np.float64], centroids: NDArray[np.float64], *, shrinkage: bool) -> NDArray[np.float64]:
    """Matrix W with W Wᵀ the inverse covariance of the states around their nearest centroid, shape (d, d)."""
    squared = np.stack([np.sum((states - c) ** 2, axis=-1) for c in centroids])
    residuals = states - centroids[np.argmin(squared, axis=0)]
    estimator = LedoitWolf if shrinkage else EmpiricalCovariance
    precision = estimator(assume_centered=True).fit(residuals).precision_
    values, vectors = np.linalg.eigh(precision)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)), dtype=np.float64)


def _checked_states(values: ArrayLike, name: str, n_features: int) -> NDArray[np.float64]:
    """Return finite states with `n_features` in the last axis, or raise a `ValueError` that names the argument."""
    states = np.asarray(values, dtype=np.float64)
    if states.ndim < 2 or states.shape[-1] != n_features or states.size == 0:
        raise ValueError(f"{name} must have shape (…, {n_features}) like the centroids, got {states.shape}")
    if not np.all(np.isfinite(states)):
        raise ValueError(f"{name} must be finite, {np.count_nonzero(~np.isfinite(states))} values are not")
    return states
