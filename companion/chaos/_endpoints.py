"""The ends of a series: a Fourier surrogate takes them to meet, and a jump between them enters its spectrum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import check_count, check_varied_series

#: Fewest points of a series whose ends are judged.
FEWEST_POINTS = 32


@dataclass(frozen=True)
class EndpointMismatch:
    """How far the ends of a series are from meeting (Schreiber & Schmitz 2000, on periodicity artefacts).

    Attributes
    ----------
    jump : float
        Squared difference of first and last value, as a share of the sum of squares about the mean. It is 2 / n_points
        on average for independent values.
    slip : float
        Squared difference of first and last step, as such a share.
    """

    jump: float
    slip: float


def endpoint_mismatch(series: ArrayLike) -> EndpointMismatch:
    """How far the ends of a series, and its slopes there, are from meeting.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        At least 32 points, finite and not constant.

    Raises
    ------
    ValueError
        When the series is not as above.
    """
    x = check_varied_series(series, least=FEWEST_POINTS)
    squares = float(np.sum((x - x.mean()) ** 2))
    return EndpointMismatch(
        jump=float((x[0] - x[-1]) ** 2) / squares, slip=float((x[1] - x[0] - x[-1] + x[-2]) ** 2) / squares
    )


def match_endpoints(series: ArrayLike, *, max_drop: int) -> slice:
    """The stretch of a series whose ends meet best, by the mean of jump and slip, with few points left out.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        At least 32 points more than `max_drop`, finite and not constant.
    max_drop : int
        Most points left out, at both ends together. Time and memory grow with its square.

    Returns
    -------
    slice
        ``series[match_endpoints(series, max_drop=100)]`` is the stretch.

    Raises
    ------
    ValueError
        When an argument is not as above.
    """
    max_drop = check_count("max_drop", max_drop, least=0)
    x = check_varied_series(series, least=FEWEST_POINTS + max_drop, purpose=f"max_drop={max_drop}")
    first = np.arange(max_drop + 1)[:, None]
    last = len(x) - 1 - np.arange(max_drop + 1)[None, :]
    centered = x - x.mean()
    sums, squares = (np.concatenate([[0.0], np.cumsum(centered**power)]) for power in (1, 2))
    n_points = last - first + 1
    spread = squares[last + 1] - squares[first] - (sums[last + 1] - sums[first]) ** 2 / n_points
    gaps = (x[first] - x[last]) ** 2 + (x[first + 1] - x[first] - x[last] + x[last - 1]) ** 2
    # a stretch that is constant has no ends to speak of, and one that leaves out too much is not asked for
    allowed = (len(x) - n_points <= max_drop) & (spread > 0)
    costs = np.where(allowed, gaps / np.where(allowed, spread, 1.0), np.inf)
    i, j = np.unravel_index(np.argmin(costs), costs.shape)
    return slice(int(i), len(x) - int(j))
