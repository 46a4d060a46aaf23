"""Nearest neighbors that are near in space but not in time."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from companion._checks import Floats, check_count

Indices = NDArray[np.int64]

#: Candidates held in memory at once, over all points: 16 MB of indices, and as much of distances.
_CANDIDATES_AT_ONCE = 2_000_000
#: Candidates that a point is first given beyond the neighbors asked for; who finds too few gets twice as many.
_SPARE = 4


def nearest(points: Floats, *, n_neighbors: int, theiler: int, norm: float = 2.0) -> tuple[Floats, Indices]:
    """Find each point's nearest neighbors among the points more than `theiler` steps away in time.

    Points that follow each other on a trajectory are near because no time has passed, not because the system came
    back. The window leaves them out (Theiler 1986). The answer is exact. It takes O(n log n) on a kd-tree: a point
    asks for a few neighbors, and only who finds them inside the window asks again, for twice as many.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_dimensions)
        In order of time.
    n_neighbors : int
        How many neighbors each point gets.
    theiler : int
        Steps in time up to which a point is no neighbor; 0 leaves out only the point itself.
    norm : float
        Order of the Minkowski norm: 2 is the Euclidean norm, infinity the largest coordinate.

    Returns
    -------
    distances : ndarray of shape (n_points, n_neighbors)
        In ascending order.
    indices : ndarray of shape (n_points, n_neighbors)
        Rows of `points`. Which of several points at one distance comes first is not defined, but always the same.

    Raises
    ------
    ValueError
        If the points are too few for every one of them to have so many neighbors outside the window.

    Notes
    -----
    J. Theiler, "Spurious dimension from correlation algorithms applied to limited time-series data", Physical Review A
    34, 2427-2432 (1986).
    """
    check_count("n_neighbors", n_neighbors)
    check_count("theiler", theiler, least=0)
    least = n_neighbors + 2 * theiler + 1
    if len(points) < least:
        raise ValueError(
            f"points must be at least {least} for n_neighbors={n_neighbors}, theiler={theiler}, got {len(points)}"
        )
    tree = cKDTree(points)
    distances = np.empty((len(points), n_neighbors))
    indices = np.empty((len(points), n_neighbors), dtype=np.int64)
    open_rows = np.arange(len(points))
    n_candidates = n_neighbors + 1 + min(_SPARE, 2 * theiler)
    while len(open_rows):
        still_open = []
        for rows in np.array_split(open_rows, len(open_rows) * n_candidates // _CANDIDATES_AT_ONCE + 1):
            far, near = tree.query(points[rows], k=n_candidates, p=norm)
            outside = np.abs(near - rows[:, None]) > theiler
            found = np.count_nonzero(outside, axis=1) >= n_neighbors
            # A stable sort moves what is outside the window to the front and keeps the order of distances.
            first = np.argsort(~outside[found], axis=1, kind="stable")[:, :n_neighbors]
            distances[rows[found]] = np.take_along_axis(far[found], first, axis=1)
            indices[rows[found]] = np.take_along_axis(near[found], first, axis=1)
            still_open.append(rows[~found])
        open_rows = np.concatenate(still_open)
        # So many are always enough: all that the window can hold, and the neighbors asked for.
        n_candidates = min(2 * n_candidates, least)
    return distances, indices


def check_radii(radii: ArrayLike) -> Floats:
    """Return radii as float64 of shape (n_radii,); a `ValueError` unless they are positive, finite and ascend."""
    values = np.atleast_1d(np.asarray(radii, dtype=np.float64))
    if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"radii must be positive finite numbers, got {radii!r}")
    if (np.diff(values) <= 0).any():
        raise ValueError(f"radii must ascend, got {radii!r}")
    return values
