"""The test of Brock, Dechert, Scheinkman & LeBaron: are the values of a series independent and alike?"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from companion._checks import Floats, check_count, check_positive, check_varied_series
from companion._jit import compiled

POINTS_PER_DIMENSION = 20
"""Least length for each dimension. The normal approximation asks for more: some 200, by the authors' simulations."""


def bds_test(series: ArrayLike, *, max_dimension: int = 5, distance: float = 1.0) -> pd.DataFrame:
    """Test whether the values of a series are independent and identically distributed, against anything else.

    Of independent values, m in a row are all near m others as often as one is near another, to the power m. The
    statistic is how far the two are apart, in standard errors.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        At least ``20 * max_dimension`` points; p is near what it says from about ``200 * max_dimension`` on.
    max_dimension : int
        Longest row of values, at least 2.
    distance : float
        Two values are near if nearer than this many standard deviations; .5 to 2 are common.

    Returns
    -------
    DataFrame
        A row for each ``dimension`` from 2 to `max_dimension`: ``z``, standard normal for independent values, positive
        where patterns recur more often; ``p``, two-sided.

    Raises
    ------
    ValueError
        When the series is too short, constant or not finite, or nearly all or nearly no pairs are near, as happens when
        most values are tied.

    Notes
    -----
    Brock, Dechert, Scheinkman & LeBaron (1996). The same numbers as ``statsmodels.tsa.stattools.bds``, which holds
    matrices of ``n_points`` by ``n_points``; here memory is linear in `n_points`.

    On the residuals of a linear model that was fitted p holds as it does on noise. On the standardized residuals of a
    fitted GARCH the test rejects too seldom (Brock, Hsieh & LeBaron 1991); on the logarithms of their squares p holds
    again. How often it rejects is measured: ``companion.datasets.load_study("surrogate_power")``.
    """
    if check_count("max_dimension", max_dimension) < 2:
        raise ValueError(f"max_dimension must be at least 2, got {max_dimension}")
    check_positive("distance", distance)
    least = POINTS_PER_DIMENSION * max_dimension
    x = check_varied_series(series, least=least, purpose=f"max_dimension={max_dimension}")
    pairs, singles, near = _count_near(x, distance * x.std(ddof=1), max_dimension)
    n = len(x)
    dimensions = np.arange(2, max_dimension + 1)
    c = pairs[0] / (n * (n - 1) / 2)
    # of all triples, the share whose second and third are both near the first
    k = float((near * near - near).sum()) / (n * (n - 1) * (n - 2))
    variance = np.array([_variance(m, c, k) for m in range(2, max_dimension + 1)])
    if not (variance > 1e-9 * k**dimensions).all():
        raise ValueError(
            f"distance must leave some pairs near and others not, got {distance:g} with {c:.1%} of the pairs near"
        )
    lengths = n - dimensions + 1
    n_pairs = lengths * (lengths - 1) / 2
    effect = pairs[1:] / n_pairs - (singles[1:] / n_pairs) ** dimensions
    z = np.sqrt(lengths / variance) * effect
    return pd.DataFrame({"dimension": dimensions, "z": z, "p": 2.0 * stats.norm.sf(np.abs(z))})


def _variance(m: int, c: float, k: float) -> float:
    """Variance of dimension m, times the number of points; `c` and `k`: shares of near pairs and triples."""
    mixed = sum(k ** (m - j) * c ** (2 * j) for j in range(1, m))
    return float(4.0 * (k**m + 2.0 * mixed + (m - 1) ** 2 * c ** (2 * m) - m**2 * k * c ** (2 * m - 2)))


@compiled()
def _count_near(
    x: Floats, radius: float, max_dimension: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count what is nearer than `radius`.

    Returns
    -------
    pairs : of shape (max_dimension,)
        Pairs of rows of m values of which each is near its counterpart, for m = 1, 2, ...
    singles : of shape (max_dimension,)
        Pairs of values, without the first m - 1 of the series.
    near : of shape (n_points,)
        For each value the number of others that are near.
    """
    n = len(x)
    pairs, singles = np.zeros(max_dimension, np.int64), np.zeros(max_dimension, np.int64)
    near = np.zeros(n, np.int64)
    for lag in range(1, n):
        run = 0
        for late in range(lag, n):
            early = late - lag
            if abs(x[late] - x[early]) >= radius:
                run = 0
                continue
            run += 1
            near[late] += 1
            near[early] += 1
            pairs[min(run, max_dimension) - 1] += 1
            singles[min(early, max_dimension - 1)] += 1
    # a row of m near values holds one of each shorter length
    return np.cumsum(pairs[::-1])[::-1], np.cumsum(singles[::-1])[::-1], near
