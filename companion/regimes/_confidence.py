"""From distances to probabilities: the book's softmax, and Platt's calibration of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression


def centroid_distances(points: ArrayLike, centroids: ArrayLike) -> NDArray[np.float64]:
    """Euclidean distance of every point to every centroid.

    Parameters
    ----------
    points : array_like of shape (..., n_features)
    centroids : array_like of shape (n_clusters, n_features)

    Returns
    -------
    ndarray of shape (..., n_clusters)
    """
    points, centroids = np.asarray(points, dtype=np.float64), np.asarray(centroids, dtype=np.float64)
    if points.shape[-1:] != centroids.shape[-1:]:
        raise ValueError(f"points have shape {points.shape}, centroids {centroids.shape}: the last axes must agree")
    return np.stack([np.linalg.norm(points - centroid, axis=-1) for centroid in centroids], axis=-1)


def get_regime_confidence(kmeans: Any, latent_state: ArrayLike, *, stable_cluster: int) -> Any:
    """Confidence that the market is in its stable regime: a softmax over negative distances to the centroids.

    ``exp(-d_stable) / sum_k exp(-d_k)``, in the form that can not overflow: distances of 800 and 900 give 1, not 0/0.
    It is a score, far from a calibrated probability; `PlattCalibration` makes one.

    Parameters
    ----------
    kmeans : fitted sklearn.cluster.KMeans
        Or any object with ``cluster_centers_`` of shape (n_clusters, n_features).
    latent_state : array_like of shape (n_features,) or (..., n_features)
        Latent state or states.
    stable_cluster : int
        Which cluster is the stable one. K-Means numbers its clusters at random, so this has no default.

    Returns
    -------
    float, or ndarray of shape (...)
        Between 0 (chaos) and 1 (stable).

    Raises
    ------
    ValueError
        When a latent state is not finite, shapes disagree, or there is no such cluster.
    """
    latent_state, centroids = np.asarray(latent_state, dtype=np.float64), kmeans.cluster_centers_
    if not 0 <= stable_cluster < len(centroids):
        raise ValueError(f"stable_cluster = {stable_cluster}, but the clusters are 0 to {len(centroids) - 1}")
    if not np.isfinite(latent_state).all():
        raise ValueError("latent_state holds a value that is not finite")
    confidence = softmax(-centroid_distances(latent_state, centroids), axis=-1)[..., stable_cluster]
    return float(confidence) if np.ndim(confidence) == 0 else confidence


@dataclass(frozen=True)
class PlattCalibration:
    """P(chaos | score) = sigmoid(slope × score + intercept), after Platt (1999).

    Attributes
    ----------
    slope : float
        Per unit of the score.
    intercept : float
        Log-odds of chaos at score 0.
    """

    slope: float
    intercept: float

    @classmethod
    def fit(cls, score: ArrayLike, regime: ArrayLike) -> "PlattCalibration":
        """Maximum-likelihood slope and intercept.

        Parameters
        ----------
        score : array_like of any shape
            Larger means more chaotic.
        regime : array_like of the same shape
            True regimes, 0 or 1, both present.

        Raises
        ------
        ValueError
            When the shapes disagree, or `regime` does not hold both regimes and nothing else.
        """
        score, regime = np.asarray(score, dtype=np.float64), np.asarray(regime)
        if score.shape != regime.shape:
            raise ValueError(f"regime has shape {regime.shape}, but score has {score.shape}")
        if not np.array_equal(np.unique(regime), [0, 1]):
            raise ValueError(f"regime holds {np.unique(regime)[:5].tolist()}: calibration needs both 0 and 1")
        logistic = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
        logistic.fit(score.reshape(-1, 1), regime.reshape(-1))
        return cls(slope=float(logistic.coef_[0, 0]), intercept=float(logistic.intercept_[0]))

    def probability(self, score: ArrayLike) -> NDArray[np.float64]:
        """Calibrated P(chaos), of the shape of `score`."""
        return np.asarray(expit(self.slope * np.asarray(score, dtype=np.float64) + self.intercept))
