"""How many coordinates a delay embedding needs, and whether it is noise: Cao's method."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from companion._checks import Floats
from companion.chaos._dimension import MOST_TWINS, too_coarse
from companion.chaos._embedding import ROUNDING, future_points
from companion.chaos._neighbors import nearest

#: E1 from which on one more dimension changes nothing that matters; of an attractor it tends to 1.
SATURATED = 0.9
#: Share of independent series that leave the noise band in any dimension, at most.
_SIZE = 0.01
#: Half width that the noise band has at least: E2 of dependent noise is not exactly 1.
_LEAST_BAND = 0.1


@dataclass(frozen=True)
class Cao:
    """Cao's E1 and E2 against embedding dimension.

    Attributes
    ----------
    dimensions : ndarray of shape (max_dimension,)
        1, 2, …, max_dimension.
    e1 : ndarray of shape (max_dimension,)
        How much farther than in one dimension less a new coordinate moves neighbors: near 1 once there are enough.
    e2 : ndarray of shape (max_dimension,)
        How much worse than in one dimension less neighbors predict the next coordinate: 1 in every dimension if
        the past says nothing of it.
    e2_band : ndarray of shape (max_dimension,)
        How far from 1 independent noise leaves E2, at a level of 99 % over all dimensions together, and at least .1.
    twins : ndarray of shape (max_dimension,)
        Share of points whose nearest neighbor is at distance zero: ties.
    dimension : int or None
        First dimension from which on E1 stays above .9, that one and at least one more; None if there is none, if E2
        sees only noise, or if half of the points have a twin there.
    is_deterministic : bool
        Whether E2 leaves the band in some dimension.
    reason : str
        Why there is no dimension, else empty.
    """

    dimensions: NDArray[np.int64]
    e1: Floats
    e2: Floats
    e2_band: Floats
    twins: Floats
    dimension: int | None
    is_deterministic: bool
    reason: str


def cao(series: ArrayLike, *, delay: int, max_dimension: int, theiler: int = 0) -> Cao:
    """Find the embedding dimension without a threshold on distances, and a sign of determinism (Cao 1997).

    In d dimensions let E(d) be the mean factor by which one more coordinate moves a point and its nearest neighbor
    apart, and E*(d) the mean distance between these coordinates alone. Then E1(d) = E(d + 1)/E(d) and
    E2(d) = E*(d + 1)/E*(d). All distances are largest differences of coordinates.

    E2 separates chaos from independent noise, and from an AR(1) or GARCH process: more of the past does not help to
    predict them, and E2 stays 1. It does not separate chaos from every noise. An AR(2) process with a smooth path is
    better predicted from two coordinates than from one, and E2 says so. Surrogates are the test for that.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Values in order of time.
    delay : int
        Steps between coordinates.
    max_dimension : int
        Largest dimension that is reported, at least 2.
    theiler : int
        Steps in time up to which a point is no neighbor. Cao leaves out only the point itself.

    Raises
    ------
    ValueError
        If a parameter is out of range, or `series` is not one series of finite numbers that vary, with at least
        (max_dimension + 1)·delay + 2·theiler + 2 points.

    Notes
    -----
    L. Cao, "Practical method for determining the minimum embedding dimension of a scalar time series", Physica D 110,
    43-50 (1997).

    The same points are used in every dimension: those that have max_dimension + 1 later coordinates. A distance below
    the resolution of the series (the smallest difference between two values) counts as the resolution, so that ties
    divide by no zero. The band takes the distances of different points for independent. They are not, but E*(d) and
    E*(d + 1) share their luck, and on independent noise the band holds in at least 99 % of series.
    """
    future = future_points(series, delay=delay, max_dimension=max_dimension, theiler=theiler, n_more=2)
    if max_dimension < 2:
        raise ValueError(f"max_dimension must be at least 2, got {max_dimension}")
    points, resolution = future.points, future.resolution
    growth, apart, spread, twins = (np.empty(max_dimension + 1) for _ in range(4))
    for d in range(1, max_dimension + 2):
        distances, rows = nearest(points[:, :d], n_neighbors=1, theiler=theiler, norm=math.inf)
        near, away = distances[:, 0], np.abs(points[:, d] - points[rows[:, 0], d])
        twins[d - 1] = np.mean(near < ROUNDING)
        near = np.maximum(near, resolution)
        growth[d - 1] = np.mean(np.maximum(near, away) / near)
        apart[d - 1], spread[d - 1] = np.mean(away), np.var(away)
    if not apart.all():
        raise ValueError("series must not repeat itself exactly: every point has a twin that it never leaves")
    e1, e2 = growth[1:] / growth[:-1], apart[1:] / apart[:-1]
    squared_error = spread / apart**2 / len(points)
    quantile = float(norm.isf(_SIZE / 2 / max_dimension))
    band = np.maximum(quantile * np.sqrt(squared_error[1:] + squared_error[:-1]), _LEAST_BAND)
    deterministic = bool(np.any(np.abs(e2 - 1.0) > band))
    dimension, reason = _saturation(e1, twins, deterministic)
    return Cao(np.arange(1, max_dimension + 1), e1, e2, band, twins[:-1], dimension, deterministic, reason)


def _saturation(e1: Floats, twins: Floats, deterministic: bool) -> tuple[int | None, str]:
    if not deterministic:
        return None, "E2 stays 1 within what noise gives: more coordinates do not predict the next any better"
    below = np.flatnonzero(e1 < SATURATED)
    first = int(below[-1]) + 2 if len(below) else 1
    if first >= len(e1):
        return None, f"E1 does not stay above {SATURATED:g} up to max_dimension={len(e1)}"
    if twins[first - 1] > MOST_TWINS:
        return None, too_coarse(first, twins[first - 1])
    return first, ""
