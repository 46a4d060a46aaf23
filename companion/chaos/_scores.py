"""Normal scores: the shape of a distribution is undone, the order is kept."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import rankdata

from companion._checks import Floats, check_varied_series


def normal_scores(series: ArrayLike) -> Floats:
    """Replace each value by the quantile of the normal law that belongs to its rank.

    Whatever increasing function a Gaussian process was seen through, its normal scores are close to the process itself.
    The third null hypothesis of surrogates, a linear Gaussian process seen through such a function, then becomes the
    second. That matters: on skewed series IAAFT surrogates are too much like the series, and their test rejects far
    too often where the hypothesis is true; on normal scores it keeps its level, as is measured:
    ``companion.datasets.load_study("surrogate_power")``.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Equal values get the score of their mean rank, so a series with many of them keeps steps.

    Returns
    -------
    ndarray of shape (n_points,)
        Of mean 0 (without ties exactly, but for rounding) and variance slightly below 1.

    Raises
    ------
    ValueError
        If the series is shorter than 2 points, constant or not finite.

    References
    ----------
    Blom (1958) for the plotting positions; Kugiumtzis (2002) for surrogates from Gaussian scores.
    """
    x = check_varied_series(series, least=2)
    return np.asarray(ndtri((rankdata(x) - 0.375) / (len(x) + 0.25)))
