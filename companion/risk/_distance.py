"""How far a latent state is from the nearest regime, in units of the spread around the centroids."""

import math
from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from companion.risk._floats import Floats, as_floats

Metric = Literal["mahalanobis", "euclidean"]
#: Paths that go through a detector at once, and states that are enough for a covariance.
PATHS_AT_ONCE, ENOUGH_STATES = 16, 100_000


class CentroidDistance:
    """Distance to the nearest centroid: whitened once, it costs a bar one product of matrix and vector.

    Parameters
    ----------
    whiten : ndarray of shape (n_features, n_features)
        What a state is multiplied by, so that its spread is 1 in every direction.
    centroids : ndarray of shape (n_clusters, n_features)
    """

    def __init__(self, whiten: Floats, centroids: Floats) -> None:
        self.whiten, self.centroids, self.shape = whiten, centroids, centroids.shape[1:]
        self._centroids = centroids @ whiten

    @classmethod
    def of_states(cls, states: Floats, centroids: Floats, *, metric: Metric, shrinkage: bool) -> Self:
        """In units of the spread of normal states (…, n_features), or plain where the metric is "euclidean".

        With `shrinkage` the covariance is shrunk (Ledoit & Wolf 2004).
        """
        if metric not in ("mahalanobis", "euclidean"):
            raise ValueError(f"metric must be 'mahalanobis' or 'euclidean', got {metric!r}")
        n_features = centroids.shape[1]
        if metric == "euclidean":
            return cls(np.eye(n_features), centroids)
        return cls(_whitening(states.reshape(-1, n_features), centroids, shrinkage=shrinkage), centroids)

    def one(self, state: Floats) -> float:
        """Distance of one state of shape (n_features,); NaN or infinite for one that is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):  # a state too large for a distance has none
            gaps = state.dot(self.whiten) - self._centroids
            return math.sqrt(min([gap.dot(gap) for gap in gaps]))

    def many(self, states: ArrayLike) -> Floats:
        """Distance of each state, shape (…,) for (…, n_features)."""
        from scipy.spatial.distance import cdist  # here, so that the room opens without SciPy

        x = as_floats(states, "states")
        if x.ndim == 0 or x.shape[-1:] != self.shape:
            raise ValueError(f"states must have {self.shape[0]} features in the last axis, got shape {x.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            white = x.reshape(-1, *self.shape) @ self.whiten
        return np.asarray(cdist(white, self._centroids).min(axis=1).reshape(x.shape[:-1]))


def as_centroids(source: Any) -> Floats:
    """Centroids (n_clusters, n_features): an array, or what has them as `centroids_` or `cluster_centers_`.

    Raises
    ------
    ValueError
        If there are none, or they are not finite.
    """
    for name in ("centroids_", "cluster_centers_"):
        if hasattr(source, name):
            return as_centroids(getattr(source, name))
    if hasattr(source, "fit"):
        raise ValueError(f"kmeans must have centroids, got {type(source).__name__}: fit it, or use for_detector")
    centroids = as_floats(source, "kmeans")
    if centroids.ndim != 2 or centroids.size == 0 or not np.all(np.isfinite(centroids)):
        raise ValueError(
            f"kmeans must have finite centroids of shape (n_clusters, n_features), got shape {centroids.shape}"
        )
    return centroids


def checked_states(values: ArrayLike, name: str, n_features: int) -> Floats:
    """Return finite states with `n_features` in the last axis, or raise a `ValueError` that names the argument."""
    states = as_floats(values, name)
    if states.ndim < 2 or states.shape[-1] != n_features or states.size == 0:
        raise ValueError(f"{name} must have shape (…, {n_features}) like the centroids, got {states.shape}")
    if not np.all(np.isfinite(states)):
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(states))} values that are not")
    return states


def latents(detector: Any, paths: Floats, *, warm_up: int) -> Iterator[Floats]:
    """Latents (n_bars - warm_up, n_features) path by path; all at once they could fill the memory."""
    for first in range(0, len(paths), PATHS_AT_ONCE):
        yield from np.asarray(detector.transform(paths[first : first + PATHS_AT_ONCE]))[:, warm_up:]


def p_values_of(detector: Any, paths: Floats) -> Floats | None:
    """What the detector says of each past, shape of `paths`; None where it has no markets to compare with."""
    if not getattr(detector, "judges_past", False):
        return None
    chunks = range(0, len(paths), PATHS_AT_ONCE)
    return np.concatenate([detector.ood_p_value(paths[first : first + PATHS_AT_ONCE]) for first in chunks])


def normal_states(detector: Any, paths: Floats, *, warm_up: int) -> tuple[Floats, Floats]:
    """States of normal paths, enough for a covariance, and the centroids of a detector among them.

    The centroids are its own, or where it has none in the space of its latents, the mean of each regime it predicts.
    """
    step = max(1, len(paths) * (paths.shape[1] - warm_up) // ENOUGH_STATES)
    states = np.concatenate([path[::step] for path in latents(detector, paths, warm_up=warm_up)])
    own = np.asarray(getattr(detector, "centroids_", ()))
    if own.ndim == 2 and own.shape[1] == states.shape[1]:
        return states, own
    regime = np.asarray(detector.predict(paths))[:, warm_up:][:, ::step].ravel()
    return states, np.stack([states[regime == one].mean(axis=0) for one in np.unique(regime)])


def _whitening(states: Floats, centroids: Floats, *, shrinkage: bool) -> Floats:
    """Matrix W with W Wᵀ the inverse covariance of the states around their nearest centroid, shape (d, d)."""
    from sklearn.covariance import EmpiricalCovariance, LedoitWolf  # here, so that the room opens without scikit-learn

    squared = np.stack([np.sum((states - c) ** 2, axis=-1) for c in centroids])
    residuals = states - centroids[np.argmin(squared, axis=0)]
    estimator = LedoitWolf if shrinkage else EmpiricalCovariance
    precision = estimator(assume_centered=True).fit(residuals).precision_
    values, vectors = np.linalg.eigh(precision)
    return np.ascontiguousarray(vectors * np.sqrt(np.maximum(values, 0.0)), dtype=np.float64)
