"""Correlation sum and correlation dimension, with the Theiler window."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, check_count, check_varied_series
from companion.chaos._neighbors import check_radii
from companion.chaos._pair_counts import pairs_within
from companion.chaos._scaling import ScalingRegion, find_scaling_region
from companion.chaos._slope_interval import N_BLOCKS, slope_interval

#: Default radii, in standard deviations.
_RADII = np.geomspace(1e-4, 1.0, 60)
#: Pairs within a radius from which on its correlation sum is used, whichever block of time is left out.
FEWEST_PAIRS = 50
#: A scaling region ends where a tenth of all pairs is within the radius: beyond, the attractor has an edge.
LARGEST_SUM = 0.1
#: Tolerance of the local slope within a region, and least rise of log C: a factor of 20 in pairs.
TOLERANCE, LEAST_RISE, FEWEST_POINTS = 0.2, 3.0, 6
#: Share of values that have come before from which on a series is taken for rounded.
MOST_TIES = 0.5
#: The last three dimensions must agree within this share, and stay this share below the dimension of the embedding.
SATURATION = 0.1
_N_AGREE = 3


@dataclass(frozen=True, eq=False)
class CorrelationDimension:
    """The correlation dimension of a series' reconstructions.

    Attributes
    ----------
    dimension : float or None
        Mean of the last three of `by_dimension`; None unless they have scaling regions and agree.
    interval : ndarray of shape (2,)
        95 % interval: sampling error (jackknife over 30 blocks of time) and how far the choice of the region moves the
        slope, of the three together. NaN if there is no dimension.
    reason : str
        Why there is no dimension; empty if there is one.
    dimensions : ndarray of shape (n_dimensions,)
        Of the embeddings, ascending.
    by_dimension : ndarray of shape (n_dimensions,)
        Slope of log C against log r in the scaling region; NaN where there is none.
    regions : tuple of (ScalingRegion or None), n_dimensions long
        Indices are of `radii`.
    radii : ndarray of shape (n_radii,)
        In units of the series, ascending.
    correlation_sums : ndarray of shape (n_dimensions, n_radii)
        Share of pairs within the radius.
    local_slopes : ndarray of shape (n_dimensions, n_radii)
        d log C / d log r; NaN where too few pairs are within the radius.
    """

    dimension: float | None
    interval: Floats
    reason: str
    dimensions: NDArray[np.int64]
    by_dimension: Floats
    regions: tuple[ScalingRegion | None, ...]
    radii: Floats
    correlation_sums: Floats
    local_slopes: Floats


def correlation_sum(series: ArrayLike, radii: ArrayLike, *, delay: int, dimension: int, theiler: int) -> Floats:
    """Return the share of pairs of points nearer than each radius, of shape (n_radii,).

    Of the pairs more than `theiler` steps apart in time (Theiler, 1986); the distance is that of the coordinate that
    differs most (Grassberger & Procaccia, 1983).

    Parameters
    ----------
    series : array-like of shape (n_points,)
    radii : array-like of shape (n_radii,)
        Ascending, in units of the series.
    delay, dimension : int
        Of the embedding, see `delay_embedding`.
    theiler : int
        0 leaves out only the pairs of a point with itself.

    Raises
    ------
    ValueError
        If the series is too short, constant or not finite, or a setting is out of range.
    """
    numbers = _checked(series, delay, dimension, theiler)
    return pairs_within(numbers, check_radii(radii), delay, np.array([dimension]), theiler).sums[0]


def correlation_dimension(
    series: ArrayLike,
    *,
    delay: int,
    dimensions: Sequence[int],
    theiler: int,
    radii: ArrayLike | None = None,
) -> CorrelationDimension:
    """Estimate the correlation dimension, if there is one (Grassberger & Procaccia, 1983).

    For each dimension of the embedding the slope of log C(r) against log r is sought where it is constant; the answer
    is the slope at which larger embeddings no longer change it. There is none unless the last three slopes exist, agree
    within 10 % and stay 10 % below the dimension of their embedding.

    A number is no evidence of chaos: noise with a power-law spectrum has one as well (Osborne & Provenzale, 1989), and
    so has any smooth signal whose neighbors in time are not left out (Theiler, 1986).

    Parameters
    ----------
    series : array-like of shape (n_points,)
    delay : int
        Of the embedding, see `delay_embedding`.
    dimensions : sequence of int
        Of the embeddings, ascending, at least three.
    theiler : int
        Pairs closer in time do not count; several times the time in which the autocorrelation dies.
    radii : array-like of shape (n_radii,), optional
        Ascending, in units of the series. By default 60, from 0.0001 to 1 standard deviation.

    Raises
    ------
    ValueError
        If the series is too short, constant or not finite, or a setting is out of range.

    Notes
    -----
    Every pair is looked at, once for all radii and dimensions: the time grows with the square of the length, 8,300
    points take about a second; the memory does not.
    """
    embeddings = _check_dimensions(dimensions)
    numbers = _checked(series, delay, int(embeddings[-1]), theiler)
    sizes = numbers.std() * _RADII if radii is None else check_radii(radii)
    pairs = pairs_within(numbers, sizes, delay, embeddings, theiler)
    log_radii, log_sums = np.log(sizes), _log(pairs.sums)
    log_sums[(pairs.within - pairs.touched).min(axis=0) < FEWEST_PAIRS] = np.nan
    regions = [_region(log_radii, curve) for curve in log_sums]
    slopes = np.array([np.nan if region is None else region.slope for region in regions])
    reason = _ties(numbers) or _why_none(slopes, embeddings)
    dimension, interval = None, np.full(2, np.nan)
    if not reason:
        dimension = float(slopes[-_N_AGREE:].mean())
        last = list(enumerate(regions))[-_N_AGREE:]
        intervals = np.stack(
            [slope_interval(part, log_radii, _log(pairs.leave_one_out(m))) for m, part in last if part is not None]
        )
        interval = np.array([intervals[:, 0].min(), intervals[:, 1].max()])
    return CorrelationDimension(
        dimension=dimension,
        interval=interval,
        reason=reason,
        dimensions=embeddings,
        by_dimension=slopes,
        regions=tuple(regions),
        radii=sizes,
        correlation_sums=pairs.sums,
        local_slopes=np.gradient(log_sums, log_radii, axis=1),
    )


def _log(values: Floats) -> Floats:
    return np.log(values, out=np.full(values.shape, -np.inf), where=values > 0)


def _region(log_radii: Floats, log_sums: Floats) -> ScalingRegion | None:
    below = np.where(log_sums <= np.log(LARGEST_SUM), log_sums, np.nan)
    return find_scaling_region(log_radii, below, min_points=FEWEST_POINTS, min_rise=LEAST_RISE, tolerance=TOLERANCE)


def _ties(series: Floats) -> str:
    share = 1.0 - len(np.unique(series)) / len(series)
    if share <= MOST_TIES:
        return ""
    return f"{100 * share:.0f} % of the values have come before: the series is rounded or repeats itself"


def _why_none(slopes: Floats, embeddings: NDArray[np.int64]) -> str:
    last, largest = slopes[-_N_AGREE:], embeddings[-_N_AGREE:]
    if np.isnan(last).any():
        without = int(largest[np.isnan(last)][0])
        return f"log C(r) has no straight stretch in dimension {without}: no scaling region"
    if np.ptp(last) > SATURATION * last.mean():
        return f"the slope still changes with the dimension, from {last[0]:.2f} to {last[-1]:.2f}: it does not saturate"
    if last[-1] > (1 - SATURATION) * largest[0]:
        return f"a slope of {last[-1]:.2f} fills embeddings of dimension {largest[0]}: larger ones are needed"
    return ""


def _check_dimensions(dimensions: Sequence[int]) -> NDArray[np.int64]:
    values = [check_count("dimensions", value) for value in dimensions]
    if len(values) < _N_AGREE or any(b <= a for a, b in pairwise(values)):
        raise ValueError(f"dimensions must be at least {_N_AGREE} numbers that ascend, got {list(dimensions)}")
    return np.array(values, dtype=np.int64)


def _checked(series: ArrayLike, delay: int, dimension: int, theiler: int) -> Floats:
    check_count("delay", delay)
    check_count("dimension", dimension)
    check_count("theiler", theiler, least=0)
    least = (dimension - 1) * delay + theiler + N_BLOCKS
    given = f"dimension={dimension}, delay={delay}, theiler={theiler}"
    return check_varied_series(series, least=least, purpose=given)
