"""Where a curve is straight: the longest stretch with one slope, or none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, check_count, check_positive

#: Every pair of ends is tried, so the work grows with the square of the points.
MOST_POINTS = 1500


@dataclass(frozen=True, eq=False)
class ScalingRegion:
    """A straight stretch of a curve.

    Attributes
    ----------
    start : int
        Index of the first point, of those given.
    stop : int
        Index of the first point after the last.
    slope : float
        Of the least-squares line through them, in units of y per unit of x.
    interval : ndarray of shape (2,)
        Smallest and largest slope of the stretch, its first, middle and last third: how far the choice of the stretch
        could move the slope. It knows nothing of sampling error.
    curvature : float
        Width of that interval as a share of `slope`: 0 is perfectly straight.
    r_squared : float
        Share of the variance of y within the stretch that the line explains.
    rise : float
        What the line rises over the stretch, in units of y.
    """

    start: int
    stop: int
    slope: float
    interval: Floats
    curvature: float
    r_squared: float
    rise: float

    @property
    def n_points(self) -> int:
        """Points in the stretch."""
        return self.stop - self.start


def find_scaling_region(
    x: ArrayLike,
    y: ArrayLike,
    *,
    min_points: int = 5,
    min_rise: float = 1.0,
    tolerance: float = 0.3,
) -> ScalingRegion | None:
    """Return the stretch with the largest rise whose slope is one and the same within `tolerance`, or None.

    A stretch counts when it has at least `min_points`, rises by at least `min_rise`, and is straight: the slopes of
    its thirds differ by at most `tolerance` of its slope (two points of inflection or one bend do not pass), and the
    standard deviation about its line is at most ``tolerance / 4`` of its rise (nor does an oscillation). A point where
    y is not finite divides the curve; no stretch contains one.

    Parameters
    ----------
    x : array-like of shape (n_points,)
        Ascending, such as times or logarithms of radii; 1,500 points at most.
    y : array-like of shape (n_points,)
        Such as mean log distances; NaN or infinite where there is nothing to see.
    min_points : int
        Fewest points of a stretch, at least 4.
    min_rise : float
        Smallest rise of a stretch, in units of y. Positive: a flat stretch is none.
    tolerance : float
        Largest share of the slope by which the slopes of the thirds may differ.

    Raises
    ------
    ValueError
        If x and y differ in shape, are too many, x does not ascend, or a setting is out of range.
    """
    abscissa, ordinate = _check_curve(x, y)
    if check_count("min_points", min_points) < 4:
        raise ValueError(f"min_points must be at least 4, got {min_points}")
    check_positive("min_rise", min_rise)
    check_positive("tolerance", tolerance)
    lines = _Lines(abscissa, ordinate)
    starts, stops = lines.stretches(min_points)
    rises = lines.rises(starts, stops)
    keep = rises >= min_rise
    starts, stops, rises = starts[keep], stops[keep], rises[keep]
    curvatures = lines.curvatures(starts, stops)
    scatters = lines.scatters(starts, stops)
    keep = (curvatures <= tolerance) & (scatters <= tolerance / 4 * rises)
    if not keep.any():
        return None
    best = int(np.argmax(np.where(keep, rises, -np.inf)))
    return lines.region(int(starts[best]), int(stops[best]))


def _check_curve(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    abscissa, ordinate = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if abscissa.ndim != 1 or abscissa.shape != ordinate.shape:
        raise ValueError(f"x and y must have one shape (n_points,), got {abscissa.shape} and {ordinate.shape}")
    if len(abscissa) > MOST_POINTS:
        raise ValueError(f"x must have at most {MOST_POINTS} points, got {len(abscissa)}: thin the curve")
    if not (np.isfinite(abscissa).all() and (np.diff(abscissa) > 0).all()):
        raise ValueError("x must be finite and ascend")
    return abscissa, ordinate


class _Lines:
    """Least-squares lines through every stretch of a curve, from running sums."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.finite = np.isfinite(y)
        # centered, so that the differences of running sums below lose no digits
        self.x = x - x.mean() if len(x) else x
        center = y[self.finite].mean() if self.finite.any() else 0.0
        self.y = np.where(self.finite, y - center, 0.0)

        def running(values: Floats) -> Floats:
            return np.concatenate(([0.0], np.cumsum(values)))

        self.sums = [running(v) for v in (self.x, self.y, self.x**2, self.x * self.y, self.y**2)]

    def stretches(self, min_points: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Starts and stops of all stretches of at least `min_points`, none over a gap."""
        n = len(self.x)
        if n < min_points:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        starts, lasts = np.triu_indices(n, k=min_points - 1)
        gaps = np.concatenate(([0], np.cumsum(~self.finite)))
        whole = gaps[lasts + 1] == gaps[starts]
        return starts[whole], lasts[whole] + 1

    def _moments(self, starts: NDArray[np.intp], stops: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """Sums of squares and products about the mean: xx, xy, yy."""
        n = stops - starts
        x, y, xx, xy, yy = (s[stops] - s[starts] for s in self.sums)
        return xx - x * x / n, xy - x * y / n, np.maximum(yy - y * y / n, 0.0)

    def slopes(self, starts: NDArray[np.intp], stops: NDArray[np.intp]) -> Floats:
        xx, xy, _ = self._moments(starts, stops)
        return xy / xx

    def rises(self, starts: NDArray[np.intp], stops: NDArray[np.intp]) -> Floats:
        return self.slopes(starts, stops) * (self.x[stops - 1] - self.x[starts])

    def scatters(self, starts: NDArray[np.intp], stops: NDArray[np.intp]) -> Floats:
        xx, xy, yy = self._moments(starts, stops)
        return np.sqrt(np.maximum(yy - xy * xy / xx, 0.0) / (stops - starts))

    def thirds(self, starts: NDArray[np.intp], stops: NDArray[np.intp]) -> Floats:
        """Slopes of the first, middle and last third, which share their ends: (3, n_stretches)."""
        steps = stops - 1 - starts
        first, second = starts + np.maximum(steps // 3, 1), starts + np.minimum(steps - steps // 3, steps - 1)
        return np.stack(
            [self.slopes(starts, first + 1), self.slopes(first, second + 1), self.slopes(second, stops)], axis=0
        )

    def curvatures(self, starts: NDArray[np.intp], stops: NDArray[np.intp]) -> Floats:
        slopes = np.vstack((self.thirds(starts, stops), self.slopes(starts, stops)))
        return np.ptp(slopes, axis=0) / slopes[-1]

    def region(self, start: int, stop: int) -> ScalingRegion:
        ends = np.array([start]), np.array([stop])
        slopes = np.append(self.thirds(*ends), self.slopes(*ends))
        _, _, yy = self._moments(*ends)
        unexplained = self.scatters(*ends)[0] ** 2 * (stop - start)
        return ScalingRegion(
            start=start,
            stop=stop,
            slope=float(slopes[-1]),
            interval=np.array([slopes.min(), slopes.max()]),
            curvature=float(self.curvatures(*ends)[0]),
            r_squared=float(1.0 - unexplained / yy[0]),
            rise=float(self.rises(*ends)[0]),
        )
