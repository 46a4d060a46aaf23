"""Two clusters that mean something: K-Means, with its arbitrary numbers replaced by the order of volatility."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.cluster import KMeans

from companion.regimes._confidence import centroid_distances
from companion.regimes._filter import Floats, RegimeFilter


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
        raise ValueError(f"labels: cluster {bars.argmin()} has none of the {bars.sum()} bars, so it has no volatility")
    energy = np.bincount(labels.reshape(-1), weights=log_returns.reshape(-1) ** 2, minlength=n_clusters)
    return np.argsort(energy / bars, kind="stable")


class KMeansRegimes(RegimeFilter):
    """A detector whose regimes are two K-Means clusters of its features, the calmer one first.

    Its score is the difference of the squared distances to the two centroids, positive where chaos is nearer: the
    log-odds of two spherical Gaussians, which makes it the natural input of Platt's calibration.

    Attributes
    ----------
    centroids_ : ndarray of shape (2, n_features)
        Row 0 the stable regime, row 1 chaos.
    """

    centroids_: Floats

    def _fit_regimes(self, features: Floats, paths: Floats) -> None:
        points = features.reshape(-1, features.shape[-1])
        if (points == points[0]).all():
            raise ValueError("X: one regime is empty: the features are the same at every bar")
        kmeans = KMeans(n_clusters=2, n_init=4, random_state=self.seed).fit(points)
        self.centroids_ = kmeans.cluster_centers_[order_by_volatility(kmeans.labels_, paths)].astype(np.float64)

    def _score(self, features: Floats) -> Floats:
        distances = centroid_distances(features, self.centroids_)
        return np.asarray(distances[..., 0] ** 2 - distances[..., 1] ** 2)

    def _confidence(self, features: Floats) -> Floats:
        return np.asarray(softmax(-centroid_distances(features, self.centroids_), axis=-1)[..., 0])
