"""How a feature becomes a call: a score, positive where chaos is called, and a confidence in the stable regime."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from companion._checks import Floats
from companion.regimes._confidence import centroid_distances


class Rule(ABC):
    """From features (..., n_features) to a score (...) and to an uncalibrated confidence in the stable regime."""

    @abstractmethod
    def fit(self, features: Floats, paths: Floats, *, seed: int) -> Self:
        """Learn from features (n_paths, n_bars, n_features) and the returns (n_paths, n_bars) of the same bars."""

    @abstractmethod
    def score(self, features: Floats) -> Floats:
        """Larger is more chaotic."""

    @abstractmethod
    def confidence(self, features: Floats) -> Floats:
        """Confidence in the stable regime, in [0, 1]."""


@dataclass
class TwoMeans(Rule):
    """Two K-Means clusters of the features, the one whose bars are calmer first.

    The score is the difference of the squared distances to the two centroids: the log-odds of two spherical Gaussians,
    which makes it the natural input of Platt's calibration.

    Attributes
    ----------
    centroids_ : ndarray of shape (2, n_features)
        Row 0 the stable regime, row 1 chaos.
    """

    centroids_: Floats = field(init=False, repr=False)

    def fit(self, features: Floats, paths: Floats, *, seed: int) -> Self:
        """Cluster; ValueError where all features are the same."""
        from sklearn.cluster import KMeans

        points = features.reshape(-1, features.shape[-1])
        if (points == points[0]).all():
            raise ValueError("X must show two regimes, got features that are the same at every bar")
        kmeans = KMeans(n_clusters=2, n_init=4, random_state=seed).fit(points)
        self.centroids_ = kmeans.cluster_centers_[order_by_volatility(kmeans.labels_, paths)].astype(np.float64)
        return self

    def score(self, features: Floats) -> Floats:
        """Squared distance to the stable centroid less that to the other."""
        distances = centroid_distances(features, self.centroids_)
        return np.asarray(distances[..., 0] ** 2 - distances[..., 1] ** 2)

    def confidence(self, features: Floats) -> Floats:
        """The book's softmax over negative distances."""
        return np.asarray(softmax(-centroid_distances(features, self.centroids_), axis=-1)[..., 0])


@dataclass
class Linear(Rule):
    """Log-odds of chaos that are linear in the features, known beforehand: there is nothing to learn.

    Parameters
    ----------
    weight : float64 array of shape (n_features,)
    bias : float, default=0.0
    """

    weight: Floats
    bias: float = 0.0

    def fit(self, features: Floats, paths: Floats, *, seed: int) -> Self:
        """Learn nothing."""
        return self

    def score(self, features: Floats) -> Floats:
        """The log-odds."""
        return np.asarray(features @ self.weight + self.bias)

    def confidence(self, features: Floats) -> Floats:
        """The probability of the stable regime that the log-odds are."""
        return np.asarray(expit(-self.score(features)))


def order_by_volatility(labels: NDArray[np.integer], log_returns: Floats, *, n_clusters: int = 2) -> NDArray[np.intp]:
    """Clusters from the calmest to the wildest, by the mean squared return of their bars.

    Parameters
    ----------
    labels : ndarray of int
        Cluster of each bar.
    log_returns : ndarray of the same shape
        Return of each bar.
    n_clusters : int, default=2
        Clusters are numbered from 0 to ``n_clusters - 1``.

    Returns
    -------
    ndarray of shape (n_clusters,)
        ``order[0]`` is the number of the calmest cluster.

    Raises
    ------
    ValueError
        When a cluster has no bar.
    """
    bars = np.bincount(labels.reshape(-1), minlength=n_clusters)
    if bars.min() == 0:
        raise ValueError(f"labels must hold every cluster, got none of cluster {bars.argmin()} in {bars.sum()} bars")
    energy = np.bincount(labels.reshape(-1), weights=log_returns.reshape(-1) ** 2, minlength=n_clusters)
    return np.argsort(energy / bars, kind="stable")
