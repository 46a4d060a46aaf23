"""Statistics of delay vectors, for a surrogate test: how well the nearest forecast, and how often a series recurs."""

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats, check_count, check_positive, check_varied_series
from companion._jit import compiled
from companion.chaos._statistics import scaled


def prediction_error(
    series: ArrayLike,
    *,
    delay: int = 1,
    dimension: int = 3,
    n_neighbors: int = 8,
    theiler: int | None = None,
    horizon: int = 1,
) -> float:
    """Error of the forecast by the nearest delay vectors, in standard deviations of what was to be forecast.

    The forecast is the mean of what followed the `n_neighbors` delay vectors that are nearest in the largest difference
    of any coordinate. It is near 0 for a deterministic series, and about ``sqrt(1 + 1 / n_neighbors)`` for white noise.

    Parameters
    ----------
    series : array-like of shape (n_points,)
    delay, dimension : int
        The delay vector is ``(x[t], x[t - delay], ..., x[t - (dimension - 1) delay])``.
    n_neighbors : int
        All vectors as near as the last of them take part too, so that ties (integers, rounded prices) are not broken by
        chance.
    theiler : int, optional
        Only vectors more than this many points away in time are neighbors; by default ``(dimension - 1) delay +
        horizon``: a neighbor shares no point with what it forecasts, so that each forecast is out of sample.
    horizon : int
        Points ahead.

    Returns
    -------
    float
        Root mean square of the errors, over the standard deviation of the forecast points.

    Raises
    ------
    ValueError
        When the series is too short for every vector to have its neighbors, constant or not finite, or all points to
        be forecast are the same.

    Notes
    -----
    Farmer & Sidorowich (1987) and Sugihara & May (1990); Schreiber & Schmitz (1997) found an error of this kind to
    have the most power of the statistics they tried. Time is quadratic, memory linear in `n_points`.
    """
    for name, count in (
        ("delay", delay),
        ("dimension", dimension),
        ("n_neighbors", n_neighbors),
        ("horizon", horizon),
    ):
        check_count(name, count)
    span = (dimension - 1) * delay
    window = span + horizon if theiler is None else check_count("theiler", theiler, least=0)
    # a vector in the middle has the fewest left: half the others on each side, less the window
    least = span + horizon + 2 * window + 1 + n_neighbors
    purpose = f"dimension={dimension}, delay={delay}, n_neighbors={n_neighbors}, theiler={window}, horizon={horizon}"
    x = check_varied_series(series, least=least, purpose=purpose)
    x = scaled(x)
    targets = x[span + horizon :]
    spread = targets.std()
    if spread == 0.0:
        raise ValueError(f"series must not be constant after its first {span + horizon} points")
    errors = _neighbor_errors(x, delay, dimension, n_neighbors, window, horizon)
    return float(np.sqrt(np.mean(errors * errors)) / spread)


@compiled()
def _neighbor_errors(x: Floats, delay: int, dimension: int, n_neighbors: int, theiler: int, horizon: int) -> Floats:
    """Forecast less truth for each delay vector that has a future."""
    span = (dimension - 1) * delay
    n_vectors = len(x) - span - horizon
    targets = x[span + horizon :]
    errors, distances = np.empty(n_vectors), np.empty(n_vectors)
    nearest = np.empty(n_neighbors)
    candidates = np.empty(n_vectors, np.intp)
    for at in range(n_vectors):
        _distances(x, at, 0, delay, dimension, distances)
        distances[max(0, at - theiler) : at + theiler + 1] = np.inf
        nearest[:] = np.inf
        bound, n_candidates = np.inf, 0
        for other in range(n_vectors):
            distance = distances[other]
            if distance <= bound:
                candidates[n_candidates] = other
                n_candidates += 1
                slot = n_neighbors - 1
                while slot > 0 and nearest[slot - 1] > distance:
                    nearest[slot] = nearest[slot - 1]
                    slot -= 1
                nearest[slot] = distance
                bound = nearest[-1]
        total, count = 0.0, 0
        for other in candidates[:n_candidates]:
            if distances[other] <= bound:
                total += targets[other]
                count += 1
        errors[at] = total / count - targets[at]
    return errors


@compiled()
def _distances(x: Floats, at: int, first: int, delay: int, dimension: int, distances: Floats) -> None:
    """Write the largest difference of any coordinate, from the delay vector `at` to each from `first` on.

    One coordinate after the other: of a plain loop over neighboring numbers the compiler does several at once.
    """
    distances[:] = 0.0
    for coordinate in range(dimension):
        here, there = x[at + coordinate * delay], x[first + coordinate * delay :]
        for other in range(len(distances)):
            gap = abs(there[other] - here)
            distances[other] = gap if gap > distances[other] else distances[other]


def correlation_sum_at(
    series: ArrayLike, *, radius: float = 0.5, delay: int = 1, dimension: int = 3, theiler: int | None = None
) -> float:
    """Share of pairs of delay vectors that are within one radius of each other: how often the series recurs.

    Parameters
    ----------
    series : array-like of shape (n_points,)
    radius : float
        In standard deviations of the series; the distance is the largest difference of any coordinate.
    delay, dimension : int
        As for `prediction_error`.
    theiler : int, optional
        Only pairs more than this many points apart in time count; by default ``(dimension - 1) delay``: they share no
        point.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        When the series is too short for one pair, constant or not finite, or `radius` is not positive.

    Notes
    -----
    Grassberger & Procaccia (1983), with the window of Theiler (1986). Ties only count as pairs at distance 0. Time is
    quadratic, memory linear in `n_points`.
    """
    check_positive("radius", radius)
    check_count("delay", delay)
    span = (check_count("dimension", dimension) - 1) * delay
    window = span if theiler is None else check_count("theiler", theiler, least=0)
    least = span + window + 2
    x = check_varied_series(series, least=least, purpose=f"dimension={dimension}, delay={delay}, theiler={window}")
    x = scaled(x)
    n_apart = len(x) - span - window - 1
    return 2.0 * _near_pairs(x, delay, dimension, window, radius * x.std()) / (n_apart * (n_apart + 1))


@compiled()
def _near_pairs(x: Floats, delay: int, dimension: int, theiler: int, radius: float) -> int:
    """Pairs of delay vectors that are more than `theiler` apart in time and nearer than `radius`."""
    n_vectors = len(x) - (dimension - 1) * delay
    buffer, n_near = np.empty(n_vectors), 0
    for at in range(n_vectors - theiler - 1):
        first = at + theiler + 1
        distances = buffer[first:]
        _distances(x, at, first, delay, dimension, distances)
        for other in range(len(distances)):
            n_near += distances[other] < radius
    return n_near
