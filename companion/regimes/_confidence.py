"""From distances to probabilities: the book's softmax, and Platt's calibration of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax


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
        raise ValueError(f"points must end in the axis of the centroids {centroids.shape}, got shape {points.shape}")
    return np.stack([np.linalg.norm(points - centroid, axis=-1) for centroid in centroids], axis=-1)


def get_regime_confidence(kmeans: Any, latent_state: ArrayLike, *, stable_cluster: int) -> Any:
    """Confidence that the market is in its stable regime: a softmax over negative distances to the centroids.

    ``exp(-d_stable) / sum_k exp(-d_k)``, in the form that can not overflow: distances of 800 and 900 give 1, not 0/0.
    It is a score, far from a calibrated probability; `PlattCalibration` makes one.

    Parameters
    ----------
    kmeans : fitted sklearn.cluster.KMeans, detector, or array_like of shape (n_clusters, n_features)
        Whatever has ``cluster_centers_`` or ``centroids_``, or the centroids themselves.
    latent_state : array_like of shape (n_features,) or (..., n_features)
        Latent state or states.
    stable_cluster : int
        Which cluster is the stable one. K-Means numbers its clusters at random, so this has no default; a detector's is
        0.

    Returns
    -------
    float, or ndarray of shape (...)
        Between 0 (chaos) and 1 (stable).

    Raises
    ------
    ValueError
        When a latent state is not finite, shapes disagree, or there is no such cluster.
    """
    latent_state = np.asarray(latent_state, dtype=np.float64)
    given = getattr(kmeans, "cluster_centers_", None)
    centroids = np.asarray(getattr(kmeans, "centroids_", kmeans) if given is None else given, dtype=np.float64)
    if not 0 <= stable_cluster < len(centroids):
        raise ValueError(f"stable_cluster must be one of 0 to {len(centroids) - 1}, got {stable_cluster}")
    if not np.isfinite(latent_state).all():
        raise ValueError("latent_state must be finite, got a value that is not")
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
            raise ValueError(f"regime must have the shape of score, {score.shape}, got {regime.shape}")
        if not np.array_equal(np.unique(regime), [0, 1]):
            raise ValueError(f"regime must hold both 0 and 1 and nothing else, got {np.unique(regime)[:5].tolist()}")
        from sklearn.linear_model import LogisticRegression

        logistic = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
        logistic.fit(score.reshape(-1, 1), regime.reshape(-1))
        return cls(slope=float(logistic.coef_[0, 0]), intercept=float(logistic.intercept_[0]))

    def p_chaos(self, score: ArrayLike) -> NDArray[np.float64]:
        """Calibrated P(chaos), of the shape of `score`."""
        return np.asarray(expit(self.slope * np.asarray(score, dtype=np.float64) + self.intercept))
