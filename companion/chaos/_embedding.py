"""Delay embedding: a point of phase space from the present and the past of one series."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats, check_count, check_varied_series

#: Differences below are rounding, in standard deviations.
ROUNDING = 1e-9


def delay_embedding(series: ArrayLike, *, delay: int, dimension: int) -> Floats:
    """Stack delayed copies of a series into points: the newest value first, and nothing from the future.

    Takens (1981) proved that for almost every smooth observation of a deterministic system the points trace its
    attractor up to a smooth change of coordinates, if `dimension` is more than twice the dimension of the attractor
    and the observation is free of noise. Fewer coordinates are often enough; `false_nearest_neighbors` and `cao` count
    them.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Values in order of time.
    delay : int
        Steps between one coordinate and the next.
    dimension : int
        Number of coordinates.

    Returns
    -------
    ndarray of shape (n_points - (dimension - 1)·delay, dimension)
        Row i belongs to time t = i + (dimension - 1)·delay and holds x(t), x(t - delay), …,
        x(t - (dimension - 1)·delay): to line up other arrays with it, cut their first (dimension - 1)·delay rows.

    Raises
    ------
    ValueError
        If `delay` or `dimension` is not a positive integer, or `series` is not one series of finite numbers that vary,
        with at least one point more than the (dimension - 1)·delay that one row spans.

    Notes
    -----
    F. Takens, "Detecting strange attractors in turbulence", in Dynamical Systems and Turbulence, Warwick 1980, Lecture
    Notes in Mathematics 898, 366-381 (1981).

    Examples
    --------
    >>> delay_embedding([0, 1, 2, 3, 4, 5], delay=2, dimension=3)
    array([[4., 2., 0.],
           [5., 3., 1.]])
    """
    delay, dimension = check_count("delay", delay), check_count("dimension", dimension)
    span = (dimension - 1) * delay
    values = check_varied_series(series, least=span + 1, purpose=f"dimension={dimension}, delay={delay}")
    return _stacked(values, delay, dimension)


@dataclass(frozen=True)
class FuturePoints:
    """What the tests of dimension start from.

    Attributes
    ----------
    points : ndarray of shape (n_rows, max_dimension + n_more)
        Rows x(t), x(t + delay), …: the points of `delay_embedding`, oldest value first. The tests ask whether the next
        coordinate follows from those before, which a deterministic system promises of the future only: a state of the
        logistic map has one image, but two preimages.
    resolution : float
        Smallest difference between two values.

    Both are in standard deviations of the series.
    """

    points: Floats
    resolution: float


def future_points(series: ArrayLike, *, delay: int, max_dimension: int, theiler: int, n_more: int) -> FuturePoints:
    """Check the arguments of a test of dimension, and embed the standardized series for it.

    Raises
    ------
    ValueError
        As the tests state.
    """
    delay, max_dimension = check_count("delay", delay), check_count("max_dimension", max_dimension)
    theiler = check_count("theiler", theiler, least=0)
    dimension = max_dimension + n_more
    least = (dimension - 1) * delay + 2 * theiler + 2
    purpose = f"max_dimension={max_dimension}, delay={delay}, theiler={theiler}"
    values = check_varied_series(series, least=least, purpose=purpose)
    values = unit_deviations(values)
    values /= values.std()
    gaps = np.diff(np.sort(values))
    resolution = float(gaps[gaps > ROUNDING].min())
    return FuturePoints(np.ascontiguousarray(_stacked(values, delay, dimension)[:, ::-1]), resolution)


def unit_deviations(values: Floats) -> Floats:
    """Deviations from the mean in units of the largest of them, so that no square over- or underflows."""
    deviations = values / np.abs(values).max()
    deviations = deviations - deviations.mean()
    return deviations / np.abs(deviations).max()


def _stacked(values: Floats, delay: int, dimension: int) -> Floats:
    span = (dimension - 1) * delay
    n_rows = len(values) - span
    return np.column_stack([values[span - k * delay :][:n_rows] for k in range(dimension)])
