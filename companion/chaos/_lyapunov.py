"""The largest Lyapunov exponent from data: a number where neighbors part exponentially, and none where they do not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats, check_count, check_positive, check_varied_series
from companion.chaos._divergence import DivergenceCurve, balls_curves, nearest_pairs_curve, saturation
from companion.chaos._neighbors import check_radii
from companion.chaos._scaling import MOST_POINTS, ScalingRegion, find_scaling_region
from companion.chaos._slope_interval import N_BLOCKS, slope_interval

#: A straight stretch ends this far below saturation, in nats: nearer, some pairs have saturated and bend the mean.
BELOW_SATURATION = 1.0
#: Fewest points of a straight stretch.
FEWEST_POINTS = 5
#: Tolerance of the slope and least rise in nats, tried in this order. The straightest stretch gives the best number; a
#: looser line must be longer, or the bend of a smooth random process would pass for one.
LINES = ((0.1, 1.0), (0.2, 1.2), (0.3, 1.4))
#: Share of distances of exactly zero from which on a series is taken for rounded.
MOST_TIES = 0.05
#: Below this memory the small distances are set by noise, not by the dynamics.
LEAST_MEMORY = 0.6
#: Most pairs are followed from both ends, in two blocks: leaving one block out tells of half of them.
_BOTH_ENDS = np.sqrt(2.0)


@dataclass(frozen=True, eq=False)
class LyapunovEstimate:
    """What a series says about its largest Lyapunov exponent.

    Attributes
    ----------
    exponent : float or None
        In nats per unit of time; None if the curve has no straight stretch.
    interval : ndarray of shape (2,)
        95 % interval: sampling error (jackknife over 30 blocks of time) and how far the choice of the stretch moves the
        slope. It does not hold the bias of noise in the observation, see `is_lower_bound`. NaN if there is no exponent.
    region : ScalingRegion or None
        The stretch of `divergence` whose slope the exponent is.
    reason : str
        Why there is no exponent; empty if there is one.
    times : ndarray of shape (horizon + 1,)
        Since the neighbors were chosen, in units of time.
    divergence : ndarray of shape (horizon + 1,)
        Mean log distance of neighbors in nats, of the series in units of its standard deviation.
    curves : ndarray of shape (n_curves, horizon + 1)
        The same for every radius (Kantz), or the one curve (Rosenstein).
    radii : ndarray of shape (n_curves,)
        Of the neighborhoods, in units of the series; empty for Rosenstein.
    saturation : float
        Mean log distance of points that have nothing to do with each other (Kantz: log of their mean distance), where
        every curve ends.
    memory : float
        How much of a difference in log distance at the start is left within the region: near 1 if the dynamics alone
        drives the pairs apart, near 0 if noise has set their distance. NaN if there is no region, and for Kantz, whose
        neighbors all begin at nearly the same distance.
    """

    exponent: float | None
    interval: Floats
    region: ScalingRegion | None
    reason: str
    times: Floats
    divergence: Floats
    curves: Floats
    radii: Floats
    saturation: float
    memory: float

    @property
    def is_lower_bound(self) -> bool:
        """Whether noise has set the small distances: the exponent is then too small, and its interval with it.

        A rule of thumb, `memory` below 0.6: sure for maps (clean at least .74, with 1 % of noise .1 on the logistic
        map); of 50 clean Lorenz series of 2,500 points 11 were flagged too, and 7 of 50 of 5,000 points.
        """
        return self.memory < LEAST_MEMORY


def lyapunov_rosenstein(
    series: ArrayLike, *, delay: int, dimension: int, theiler: int, horizon: int, dt: float = 1.0
) -> LyapunovEstimate:
    """Estimate the largest Lyapunov exponent from each point's nearest neighbor (Rosenstein, Collins & De Luca, 1993).

    Neighbors are chosen in the delay embedding, by Euclidean distance; what is followed is the distance of the newest
    coordinate, of which later values have no part in the choice. In a chaotic system its mean logarithm grows linearly,
    with the exponent for a slope, from the first steps until the distance is that of the whole attractor.

    There is a number only if there is such a line: at least five points between the first step after the choice and
    one nat below saturation, that rise by 1.0, 1.2 or 1.4 nats with slopes of the thirds within 10, 20 or 30 %.
    Noise has none: one step after the choice its distances are within a nat of saturation, or, if it is smooth or
    remembers long, they grow as a power of time, which is curved.

    Of 50 Lorenz series, sampled every .05, all had a number. It was a little too small: of 2,500 points .89 on average
    for .906, and 46 intervals held the truth; of 5,000 points .87, and only 38 did.

    Parameters
    ----------
    series : array-like of shape (n_points,)
    delay, dimension : int
        Of the embedding, see `delay_embedding`.
    theiler : int
        Points closer in time are no neighbors; at least the time in which the autocorrelation dies.
    horizon : int
        Steps for which neighbors are followed: enough to reach saturation.
    dt : float
        Time between two points.

    Raises
    ------
    ValueError
        If the series is too short for the settings, constant or not finite, or a setting is out of range.
    """
    numbers, _ = _standardized(series, delay, dimension, theiler, horizon)
    check_positive("dt", dt)
    curve = nearest_pairs_curve(numbers, delay=delay, dimension=dimension, theiler=theiler, horizon=horizon)
    level, _ = saturation(numbers, theiler=theiler)
    return _judged([curve], np.empty(0), level, dt)


def lyapunov_kantz(
    series: ArrayLike,
    *,
    delay: int,
    dimension: int,
    theiler: int,
    horizon: int,
    radii: ArrayLike | None = None,
    dt: float = 1.0,
) -> LyapunovEstimate:
    """Estimate the largest Lyapunov exponent from all neighbors within a radius (Kantz, 1994).

    As `lyapunov_rosenstein`, with the mean distance to all neighbors (at least five, largest coordinate) in place of
    that to the nearest. There is a curve for every radius, and a number only if every curve has a straight stretch: it
    is that of the smallest radius, its interval spans those of all.

    The mean is that of the pairs that part fastest: the exponent comes out some percent too large for maps (Hénon,
    5,000 points: .433 for .419), which its interval does not hold. On a flow it needs far more points than Rosenstein's
    method to have a number at all, and the number may be wrong: of 25 Lorenz series of 5,000 points one had any, 1.28
    for .906, and the interval missed the truth. For flows use `lyapunov_rosenstein`.

    Parameters
    ----------
    series : array-like of shape (n_points,)
    delay, dimension, theiler, horizon, dt
        As for `lyapunov_rosenstein`.
    radii : array-like of shape (n_radii,), optional
        Ascending, in units of the series. By default the radius in which half of the points have five neighbors, and
        √2 and 2 times as much.

    Raises
    ------
    ValueError
        As `lyapunov_rosenstein`; or if the radii are not positive, do not ascend, or hold more than 20 million pairs.
    """
    numbers, scale = _standardized(series, delay, dimension, theiler, horizon)
    check_positive("dt", dt)
    wanted = None if radii is None else check_radii(radii) / scale
    sizes, curves = balls_curves(
        numbers, delay=delay, dimension=dimension, theiler=theiler, horizon=horizon, radii=wanted
    )
    _, level = saturation(numbers, theiler=theiler)
    return _judged(curves, sizes * scale, level, dt)


def _standardized(series: ArrayLike, delay: int, dimension: int, theiler: int, horizon: int) -> tuple[Floats, float]:
    """The series with mean 0 and variance 1, and its standard deviation, after all checks."""
    for name, value in (("delay", delay), ("dimension", dimension), ("horizon", horizon)):
        check_count(name, value)
    check_count("theiler", theiler, least=0)
    if horizon >= MOST_POINTS:
        raise ValueError(f"horizon must be below {MOST_POINTS} steps, got {horizon}: keep every second point")
    numbers = check_varied_series(
        series,
        least=(dimension - 1) * delay + horizon + 2 * theiler + 2 * N_BLOCKS,
        purpose=f"dimension={dimension}, delay={delay}, theiler={theiler}, horizon={horizon}",
    )
    scale = float(numbers.std())
    return (numbers - numbers.mean()) / scale, scale


def _judged(curves: list[DivergenceCurve], radii: Floats, level: float, dt: float) -> LyapunovEstimate:
    """The exponent, or the reason why there is none."""
    means = np.stack([curve.mean for curve in curves])
    times = np.asarray(dt * np.arange(means.shape[1]), dtype=np.float64)
    regions = [straight_part(times, mean, level) for mean in means]
    found = [(curve, region) for curve, region in zip(curves, regions, strict=True) if region is not None]
    shown = next((i for i, region in enumerate(regions) if region is not None), 0)
    exponent, interval, region, memory = None, np.full(2, np.nan), None, np.nan
    reason = _ties(curves)
    if not reason and len(found) < len(curves):
        reason = _no_region(means[shown], level) if not found else "not every radius has a straight stretch"
    if not reason:
        curve, region = found[0]
        exponent = region.slope
        memory = np.nan if len(radii) else float(curve.memory[region.start : region.stop].mean())
        intervals = np.stack(
            [slope_interval(part, times, each.leave_one_out(), factor=_BOTH_ENDS) for each, part in found]
        )
        interval = np.array([intervals[:, 0].min(), intervals[:, 1].max()])
    return LyapunovEstimate(
        exponent=exponent,
        interval=interval,
        region=region,
        reason=reason,
        times=times,
        divergence=means[shown],
        curves=means,
        radii=radii,
        saturation=level,
        memory=memory,
    )


def _end(curve: Floats, level: float) -> int:
    """The first step, after the choice, that is within a nat of saturation or has no pairs."""
    outside = np.flatnonzero(~(curve[1:] <= level - BELOW_SATURATION))
    return int(outside[0]) + 1 if len(outside) else len(curve)


def straight_part(times: Floats, curve: Floats, level: float) -> ScalingRegion | None:
    """The part of a curve that counts: straight, after the choice of neighbors, a nat or more below `level`."""
    between = np.full(len(curve), np.nan)
    between[1 : _end(curve, level)] = curve[1 : _end(curve, level)]
    for tolerance, rise in LINES:
        region = find_scaling_region(times, between, min_points=FEWEST_POINTS, min_rise=rise, tolerance=tolerance)
        if region is not None:
            return region
    return None


def _ties(curves: list[DivergenceCurve]) -> str:
    share = max(curve.share_of_ties for curve in curves)
    if share <= MOST_TIES:
        return ""
    return f"{100 * share:.0f} % of the distances are exactly zero: the series is rounded or repeats itself"


def _no_region(curve: Floats, level: float) -> str:
    if not np.isfinite(curve).any():
        return "no point has enough neighbors within the largest radius"
    end = _end(curve, level)
    if end == len(curve):
        return (
            f"after the horizon of {_steps(end - 1)} neighbors are still {level - curve[-1]:.1f} nats from the "
            f"distance of unrelated points, and came there on no line: it is too short, or there is no exponential "
            f"growth"
        )
    if end <= FEWEST_POINTS:
        return (
            f"after {_steps(end)} neighbors are within {BELOW_SATURATION:g} nat of the distance of unrelated points: "
            f"what is near does not stay near"
        )
    return (
        f"the {end - 1} steps before saturation hold no straight stretch of {FEWEST_POINTS} points and {LINES[0][1]:g} "
        f"nat: neighbors part, but not exponentially"
    )


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"
