"""How many coordinates a delay embedding needs: the share of false nearest neighbors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, check_positive
from companion.chaos._embedding import ROUNDING, future_points
from companion.chaos._neighbors import nearest

#: Share of false neighbors below which a dimension is enough (Kennel, Brown & Abarbanel 1992: one percent).
ENOUGH = 0.01
#: Share of points with a twin, at distance zero, from which on ties may hide what is false.
MOST_TWINS = 0.5


@dataclass(frozen=True)
class FalseNeighbors:
    """Share of false nearest neighbors against embedding dimension.

    Attributes
    ----------
    dimensions : ndarray of shape (max_dimension,)
        1, 2, …, max_dimension.
    fraction : ndarray of shape (max_dimension,)
        Share of points whose nearest neighbor is false.
    twins : ndarray of shape (max_dimension,)
        Share of points whose nearest neighbor is at distance zero: ties.
    dimension : int or None
        First dimension with less than one percent false neighbors; None if there is none, or half of the points have a
        twin there.
    reason : str
        Why there is none, else empty.
    """

    dimensions: NDArray[np.int64]
    fraction: Floats
    twins: Floats
    dimension: int | None
    reason: str


def false_nearest_neighbors(
    series: ArrayLike, *, delay: int, max_dimension: int, theiler: int, ratio: float = 15.0, size: float = 2.0
) -> FalseNeighbors:
    """Count neighbors that are near only because the embedding has too few dimensions (Kennel et al. 1992).

    One more coordinate pulls false neighbors apart. A neighbor is false if the new coordinate differs by more than
    `ratio` distances, or if the new distance exceeds `size` standard deviations of the series: where points are
    scattered so thinly that the nearest neighbor is as far away as anyone, it is no neighbor at all. That second
    criterion is what keeps independent noise from ever having a dimension. Noise that moves slowly beside the delay,
    a random walk for one, passes both: a dimension alone is no evidence of determinism.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Values in order of time.
    delay : int
        Steps between coordinates.
    max_dimension : int
        Largest dimension that is tried.
    theiler : int
        Steps in time up to which a point is no neighbor.
    ratio : float
        Growth of the distance that marks a false neighbor.
    size : float
        New distance, in standard deviations of the series, that marks a false neighbor.

    Raises
    ------
    ValueError
        If a parameter is out of range, or `series` is not one series of finite numbers that vary, with at least
        max_dimension·delay + 2·theiler + 2 points.

    Notes
    -----
    M. B. Kennel, R. Brown and H. D. I. Abarbanel, "Determining embedding dimension for phase-space reconstruction using
    a geometrical construction", Physical Review A 45, 3403-3411 (1992).

    The same points are used in every dimension: those that have max_dimension later coordinates. A distance below the
    resolution of the series (the smallest difference between two values) counts as the resolution, so that rounded
    values are not false neighbors for being rounded. Coarse rounding still hides false ones: Lorenz's x in steps of
    1/30 of its standard deviation seems to need two coordinates. So a dimension is reported only if fewer than half of
    its points have a twin.
    """
    check_positive("ratio", ratio)
    check_positive("size", size)
    future = future_points(series, delay=delay, max_dimension=max_dimension, theiler=theiler, n_more=1)
    points, resolution = future.points, future.resolution
    fraction, twins = np.empty(max_dimension), np.empty(max_dimension)
    for d in range(1, max_dimension + 1):
        distances, rows = nearest(points[:, :d], n_neighbors=1, theiler=theiler)
        near, away = distances[:, 0], np.abs(points[:, d] - points[rows[:, 0], d])
        twins[d - 1] = np.mean(near < ROUNDING)
        fraction[d - 1] = np.mean((away > ratio * np.maximum(near, resolution)) | (np.hypot(near, away) > size))
    dimension, reason = _first_enough(fraction, twins)
    return FalseNeighbors(np.arange(1, max_dimension + 1), fraction, twins, dimension, reason)


def _first_enough(fraction: Floats, twins: Floats) -> tuple[int | None, str]:
    enough = np.flatnonzero(fraction < ENOUGH)
    if not len(enough):
        best = int(np.argmin(fraction))
        return None, f"{fraction[best]:.1%} of the neighbors are false even in dimension {best + 1}, the best one"
    first = int(enough[0])
    if twins[first] > MOST_TWINS:
        return None, too_coarse(first + 1, twins[first])
    return first + 1, ""


def too_coarse(dimension: int, twins: float) -> str:
    """Why ties leave a dimension undecided."""
    return f"the values are too coarse: in dimension {dimension}, {twins:.0%} of the points have a twin"
