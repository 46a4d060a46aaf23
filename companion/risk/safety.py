"""The kill switch: is the model's state one that it was trained on?

A monitor that stops for good on its first alarm has to be judged by the path, not by the bar. The 99.9th percentile of
training distances looks strict; over 2,440 bars it stops most healthy systems. So the threshold is set from the
largest distance of whole held-out paths: by exchangeability, the next normal path exceeds the k-th smallest of n such
maxima with probability at most 1 - k/(n + 1). This is split conformal prediction (Vovk, Gammerman & Shafer 2005;
Angelopoulos & Bates 2021, section 1) with the path as the unit.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.covariance import EmpiricalCovariance, LedoitWolf


@dataclass(frozen=True)
class SafetyReading:
    """One answer of the monitor: whether it is safe to trade, why not, and how far the state is from what is known."""

    safe: bool
    reason: str
    distance: float
    threshold: float


def conformal_threshold(path_maxima: ArrayLike, *, false_kill: float) -> float:
    """Threshold that the maximum of one more exchangeable path exceeds with probability at most `false_kill`.

    It is the k-th smallest of the n maxima with ``k = ceil((n + 1)(1 - false_kill))``; with continuous maxima the
    probability is exactly ``1 - k/(n + 1)``, on average over calibration sets. For one calibration set it is a draw
    from Beta(n + 1 - k, k): more paths, less luck.

    Parameters
    ----------
    path_maxima : array_like
        Largest distance of each held-out path, shape (n_paths,).
    false_kill : float
        Probability of stopping a normal path, in (0, 1).

    Raises
    ------
    ValueError
        If a maximum is not finite or there are too few paths for so small a `false_kill` (n ≥ 1/false_kill - 1).
    """
    maxima = np.sort(np.asarray(path_maxima, dtype=np.float64))
    if not 0.0 < false_kill < 1.0:
        raise ValueError(f"false_kill must lie in (0, 1), got {false_kill}")
    if maxima.ndim != 1 or not np.all(np.isfinite(maxima)):
        raise ValueError(f"path_maxima must be finite and of shape (n_paths,), got shape {maxima.shape}")
    # A rounding error in (n + 1)(1 - false_kill) must not cost a whole rank.
    rank = int(np.ceil((maxima.size + 1) * (1.0 - false_kill) - 1e-9))
    if rank > maxima.size:
        needed = int(np.ceil(1.0 / false_kill - 1.0 - 1e-9))
        raise ValueError(f"path_maxima: false_kill={false_kill} needs at least {needed} paths, got {maxima.size}")
    return float(maxima[rank - 1])


class SafetyMonitor:
    """Distance of a latent state from the regimes the model knows, with a threshold of stated false-kill probability.

    Parameters
    ----------
    train_states : array_like
        Latents the distance is measured in, shape (…, n_features).
    kmeans : fitted KMeans
        Only its `cluster_centers_` are used.
    calibration_paths : array_like
        Latents of normal paths that neither the model nor the clusters were fitted on, shape (n_paths, n_bars,
        n_features), warm-up bars removed. Their number of bars is the horizon the promise is made for.
    false_kill : float
        Probability of stopping a normal path within the horizon.
    metric : {"mahalanobis", "euclidean"}
        Distance to the nearest centroid, in units of the spread around the centroids or plain as in the book.
    shrinkage : bool
        Shrink the covariance of the Mahalanobis distance (Ledoit & Wolf 2004), which 64 correlated features need.

    Attributes
    ----------
    threshold : float
        Largest distance that is safe.
    horizon : int
        Number of bars the promise is made for.

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
        calibration_paths: ArrayLike,
        false_kill: float = 0.05,
        metric: Literal["mahalanobis", "euclidean"] = "mahalanobis",
        shrinkage: bool = True,
    ) -> None:
        centroids = np.asarray(kmeans.cluster_centers_, dtype=np.float64)
        states = _checked_states(train_states, "train_states", centroids.shape[1]).reshape(-1, centroids.shape[1])
        paths = _checked_states(calibration_paths, "calibration_paths", centroids.shape[1])
        if paths.ndim != 3:
            raise ValueError(f"calibration_paths must have shape (n_paths, n_bars, n_features), got {paths.shape}")
        if metric not in ("mahalanobis", "euclidean"):
            raise ValueError(f"metric must be 'mahalanobis' or 'euclidean', got {metric!r}")
        self._whiten = np.eye(centroids.shape[1])
        if metric == "mahalanobis":
            self._whiten = _whitening(states, centroids, shrinkage=shrinkage)
        self._white_centroids = centroids @ self._whiten
        self.horizon = paths.shape[1]
        self.threshold = conformal_threshold([self.distance(path).max() for path in paths], false_kill=false_kill)

    def distance(self, states: ArrayLike) -> NDArray[np.float64]:
        """Distance of each state to its nearest centroid, shape (…,) for (…, n_features); NaN where it has none."""
        x = np.asarray(states, dtype=np.float64)
        n_features = self._white_centroids.shape[1]
        if x.ndim == 0 or x.shape[-1] != n_features:
            raise ValueError(f"states must have {n_features} features in the last axis, got shape {x.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            white = x @ self._whiten
            return np.min([np.sqrt(np.sum((white - c) ** 2, axis=-1)) for c in self._white_centroids], axis=0)

    def check_safety(self, state: ArrayLike) -> SafetyReading:
        """Judge one latent state of shape (n_features,).

        Safe is what is proven safe: a state with a NaN or an infinity, or so large that its distance is not a number,
        is unsafe. The monitor has no memory; latching the alarm is the circuit breaker's work.
        """
        x = np.asarray(state, dtype=np.float64).reshape(-1)
        distance = float(self.distance(x))
        if not np.all(np.isfinite(x)):
            return SafetyReading(False, "non-finite state", distance, self.threshold)
        if not distance <= self.threshold:
            return SafetyReading(False, "out of distribution: far from every known regime", distance, self.threshold)
        return SafetyReading(True, "safe", distance, self.threshold)


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
