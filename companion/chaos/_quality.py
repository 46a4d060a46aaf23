"""How well a reconstruction stands for the true phase space, where that is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from companion._checks import Floats, check_count
from companion.chaos._neighbors import Indices, nearest

#: Sizes of the true neighborhoods that continuity is asked for, in standard deviations of a coordinate.
RADII = (0.05, 0.1, 0.2, 0.5, 1.0)
#: Points at which continuity is tested, evenly spaced: enough for an error of .02.
_CENTERS = 500


@dataclass(frozen=True)
class ReconstructionQuality:
    """How well a reconstruction stands for the true states.

    Attributes
    ----------
    neighbor_overlap : float
        Share of each point's nearest neighbors in the reconstruction that are among its nearest true ones.
    chance_overlap : float
        What neighbors drawn at random would reach.
    r_squared : ndarray of shape (n_coordinates,)
        Share of the variance of each true coordinate that the reconstruction explains in the held-out second half: the
        prediction is the mean over the nearest neighbors from the first half. nan where the second half is constant.
    radii : ndarray of shape (n_radii,)
        Sizes of true neighborhoods, in standard deviations of a coordinate.
    continuity : ndarray of shape (n_radii,)
        Confidence, between 0 and 1, that points near in the reconstruction are truly within this size, on average.
    chance_continuity : ndarray of shape (n_radii,)
        What a reconstruction that has nothing to do with the states would reach.
    """

    neighbor_overlap: float
    chance_overlap: float
    r_squared: Floats
    radii: Floats
    continuity: Floats
    chance_continuity: Floats


def reconstruction_quality(
    embedding: ArrayLike, states: ArrayLike, *, theiler: int, n_neighbors: int = 10
) -> ReconstructionQuality:
    """Compare a reconstruction with the true states it stands for: neighborhoods, prediction and continuity.

    A reconstruction is good if a smooth map leads from it to the true states. Then neighbors stay neighbors, the state
    can be read off from neighbors whose state is known, and what is near in the one is near in the other. True states
    are standardized coordinate by coordinate; the reconstruction is taken as it is, so its scales are the caller's.

    Parameters
    ----------
    embedding : array-like of shape (n_points, n_dimensions)
        Reconstructed points in order of time, such as a delay embedding or the latent of a model.
    states : array-like of shape (n_points, n_coordinates)
        True states at the same times.
    theiler : int
        Steps in time up to which a point is no neighbor; as many are left out between the halves.
    n_neighbors : int
        Neighbors of each point.

    Raises
    ------
    ValueError
        If `embedding` and `states` are not finite tables of one length, with at least
        2·(n_neighbors + theiler) + 2 rows, if a coordinate of the states is constant, or a count is out of range.

    Notes
    -----
    The test of continuity follows L. M. Pecora, T. L. Carroll and J. F. Heagy, "Statistics for mathematical properties
    of maps between time series embeddings", Physical Review E 52, 3420-3439 (1995). Let the true neighborhood of a
    point hold the share p of all others, and let its m nearest neighbors in the reconstruction lie in it, but not the
    next (m is at most k, `n_neighbors`). Chance does that well with probability p**m, so that 1 - p**m is the
    confidence in continuity. Without any relation it has the mean p (1 - p**(2k)) / (1 + p).
    """
    check_count("n_neighbors", n_neighbors)
    check_count("theiler", theiler, least=0)
    points, truth = _table("embedding", embedding), _table("states", states)
    least = 2 * (n_neighbors + theiler) + 2
    if len(points) != len(truth):
        raise ValueError(f"embedding and states must have one row a time each, got {len(points)} and {len(truth)} rows")
    if len(points) < least:
        raise ValueError(
            f"embedding must have at least {least} rows for n_neighbors={n_neighbors}, theiler={theiler}, "
            f"got {len(points)}"
        )
    constant = np.flatnonzero(np.ptp(truth, axis=0) == 0.0)
    if len(constant):
        raise ValueError(f"states[:, {constant[0]}] must vary, got {truth[0, constant[0]]:g} in every row")
    if not np.ptp(points, axis=0).any():
        raise ValueError("embedding must vary, got the same point in every row")
    truth = (truth - truth.mean(axis=0)) / truth.std(axis=0)
    near = nearest(points, n_neighbors=n_neighbors, theiler=theiler)[1]
    truly_near = nearest(truth, n_neighbors=n_neighbors, theiler=theiler)[1]
    continuity, chance = _continuity(truth, near, theiler)
    return ReconstructionQuality(
        _overlap(near, truly_near),
        float(np.mean(n_neighbors / _candidates(np.arange(len(points)), len(points), theiler))),
        _r_squared(points, truth, theiler, n_neighbors),
        np.array(RADII),
        continuity,
        chance,
    )


def _table(name: str, values: ArrayLike) -> Floats:
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a table of numbers: {' '.join(str(error).split())}") from error
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{name} must have shape (n_points, n_dimensions), got {table.shape}")
    if not np.isfinite(table).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(table))[0])
        raise ValueError(f"{name}[{row}, {column}] must be finite, got {table[row, column]}")
    return table


def _candidates(rows: Indices, n_points: int, theiler: int) -> Indices:
    """How many points lie outside the window of each row."""
    return n_points - (np.minimum(rows + theiler, n_points - 1) - np.maximum(rows - theiler, 0) + 1)


def _overlap(near: Indices, truly_near: Indices) -> float:
    """Share of pairs (point, neighbor) of the one array that are in the other."""
    first = np.arange(len(near))[:, None] * len(near)
    return float(np.mean(np.isin(first + near, first + truly_near)))


def _r_squared(points: Floats, truth: Floats, theiler: int, n_neighbors: int) -> Floats:
    half = len(points) // 2
    known, asked = truth[:half], truth[half + theiler :]
    rows = cKDTree(points[:half]).query(points[half + theiler :], k=np.arange(1, n_neighbors + 1))[1]
    error = np.mean((known[rows].mean(axis=1) - asked) ** 2, axis=0)
    varies = np.ptp(asked, axis=0) > 0.0
    return 1.0 - np.divide(error, asked.var(axis=0), out=np.full_like(error, np.nan), where=varies)


def _continuity(truth: Floats, near: Indices, theiler: int) -> tuple[Floats, Floats]:
    """Mean confidence for each radius, and its mean by chance."""
    n_points, n_neighbors = near.shape
    centers = np.unique(np.linspace(0, n_points - 1, _CENTERS).round().astype(np.int64))
    radii = np.array(RADII)
    tree = cKDTree(truth)
    inside = np.column_stack([tree.query_ball_point(truth[centers], radius, return_length=True) for radius in RADII])
    # Less those inside the window, the point itself among them.
    window = centers[:, None] + np.arange(-theiler, theiler + 1)
    exists = (window >= 0) & (window < n_points)
    in_window = _distances(truth, centers, window.clip(0, n_points - 1))
    in_window[~exists] = np.inf
    inside -= np.count_nonzero(in_window[:, :, None] <= radii, axis=1)
    share = inside / _candidates(centers, n_points, theiler)[:, None]
    is_inside = _distances(truth, centers, near[centers])[:, :, None] <= radii
    in_a_row = np.cumprod(is_inside, axis=1).sum(axis=1)
    confidence = 1.0 - share**in_a_row
    by_chance = share * (1.0 - share ** (2 * n_neighbors)) / (1.0 + share)
    return confidence.mean(axis=0), by_chance.mean(axis=0)


def _distances(truth: Floats, centers: Indices, others: Indices) -> Floats:
    """From each center, shape (n_centers,), to its others, shape (n_centers, n_others)."""
    return np.linalg.norm(truth[others] - truth[centers, None], axis=2)
