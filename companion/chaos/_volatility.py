"""The phase space of volatility: log realized variance from returns, and the map from its present to its next value."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, check_count, check_log_returns, check_varied_series
from companion.chaos._map_fit import Polynomial, sum_covariance

#: Pairs a bin must hold; a standard deviation of fewer is known to a quarter of itself at best.
FEWEST_IN_BIN = 10


def log_realized_variance(log_returns: ArrayLike, *, window: int, step: int | None = None) -> Floats:
    """Logarithm of the mean squared return of windows, each known when its last bar is.

    Windows follow each other without overlap unless `step` says otherwise, from the first bar on; a shorter last window
    is dropped. Bars that come later change nothing that is already there, so the series may serve as a feature.

    The mean is taken, not the sum: the level is that of one bar's variance whatever the window. Where returns are
    Gaussian and their variance is constant, the standard deviation of the result is about ``sqrt(2 / window)``: noise
    of the measurement, which no model of volatility has to explain.

    Parameters
    ----------
    log_returns : array_like of shape (n_bars,) or (n_paths, n_bars)
    window : int
        Bars a window: 21 for a month of days.
    step : int, optional
        Bars from the end of one window to the end of the next; `window` where not given, 1 for one value a bar.

    Returns
    -------
    ndarray of shape (n_windows,) or (n_paths, n_windows)
        ``n_windows = (n_bars - window) // step + 1``; value i belongs to the bars up to ``window + i * step``.

    Raises
    ------
    ValueError
        If `log_returns` are not log returns or fewer than `window`, or all returns of a window are zero, where the
        logarithm does not exist.

    Notes
    -----
    Realized variance as a measurement of volatility: Andersen, Bollerslev, Diebold & Labys (2003).
    """
    returns, window = check_log_returns(log_returns), check_count("window", window)
    step = window if step is None else check_count("step", step)
    if returns.shape[-1] < window:
        raise ValueError(f"log_returns must have at least window = {window} bars, got {returns.shape[-1]}")
    windows = np.lib.stride_tricks.sliding_window_view(returns, window, axis=-1)[..., ::step, :]
    variance = np.einsum("...i,...i->...", windows, windows) / window
    if not variance.all():
        *path, i = (int(place) for place in np.argwhere(variance == 0.0)[0])
        of = f"log_returns[{path[0]}]" if path else "log_returns"
        raise ValueError(
            f"{of} must move in every window, got {window} returns of zero from bar {i * step} on, which have no log "
            f"variance: take out the bars of a feed that stood still, or take a longer window"
        )
    return np.asarray(np.log(variance))


@dataclass(frozen=True, eq=False)
class ReturnMap:
    """What a series does next, against what it does now.

    Intervals are of 95 %; how they are made: `return_map`.

    Attributes
    ----------
    present : ndarray of shape (n_bins,)
        Mean present value of each bin, ascending.
    count : int array of shape (n_bins,)
        Pairs a bin.
    mean : ndarray of shape (n_bins,)
        Mean next value given the bin.
    mean_interval : ndarray of shape (n_bins, 2)
    deviation : ndarray of shape (n_bins,)
        Standard deviation of the next value given the present one, about a straight line in each bin: so it is noise
        of the map, not the width of the bin.
    deviation_interval : ndarray of shape (n_bins, 2)
    slope : float
        Of the straight line through all pairs.
    slope_interval : ndarray of shape (2,)
    curvature : float
        Second derivative of the parabola through all pairs, per unit of the series.
    curvature_interval : ndarray of shape (2,)
    fixed_point : float or None
        Where the parabola crosses the diagonal within the range of the series. Of two crossings the one with the
        flatter parabola; none where there is no crossing.
    fixed_point_interval : ndarray of shape (2,)
        NaN where there is no fixed point.
    fixed_point_slope : float or None
        Slope of the parabola there. Between -1 and 1 a deviation dies out; beyond, it grows.
    fixed_point_slope_interval : ndarray of shape (2,)
    end_slopes : ndarray of shape (2,)
        Slope of the parabola at the first and at the last of `present`.
    end_slope_intervals : ndarray of shape (2, 2)
    unexplained : float
        Share of the variance of the next value that the parabola leaves: 0 for a quadratic map, 1 for noise.
    """

    present: Floats
    count: NDArray[np.int64]
    mean: Floats
    mean_interval: Floats
    deviation: Floats
    deviation_interval: Floats
    slope: float
    slope_interval: Floats
    curvature: float
    curvature_interval: Floats
    fixed_point: float | None
    fixed_point_interval: Floats
    fixed_point_slope: float | None
    fixed_point_slope_interval: Floats
    end_slopes: Floats
    end_slope_intervals: Floats
    unexplained: float

    @property
    def fold(self) -> bool:
        """Whether the map surely rises at one end and falls at the other, as the logistic map does.

        Both intervals of `end_slope_intervals` must exclude zero, on opposite sides (Lind & Mehlum 2010). No fold found
        is not a proof that there is none; without one, no map of one dimension can be chaotic.
        """
        (first_low, first_high), (last_low, last_high) = self.end_slope_intervals
        return bool((first_low > 0 and last_high < 0) or (first_high < 0 and last_low > 0))


def return_map(series: ArrayLike, *, n_bins: int = 8) -> ReturnMap:
    """Next value against present value: conditional mean and deviation by bin, slope, curvature, fixed point and fold.

    Bins hold equally many pairs. Intervals allow for residuals that depend on one another and have no common variance:
    the long-run variance is the mean over the lowest cosine frequencies, with Student's t of as many degrees of freedom
    (Lazarus, Lewis, Stock & Watson 2018); deviations and fixed point by the delta method. There are ``sqrt(n) / 2``
    frequencies, fewer than theirs: volatility is more persistent than the series they had in mind. Of 1,000 series of
    395 points the intervals held the truth in 93 to 95 % where the series was an AR(1) of .7, and in 86 to 92 % where
    it was an AR(1) of .95 under noise. A simulated market of the same length is the surer yardstick.

    Parameters
    ----------
    series : array_like of shape (n,)
        Equally spaced, such as `log_realized_variance` of windows that do not overlap. Where windows overlap, a value
        shares bars with the next, and the map shows that.
    n_bins : int, default=8

    Raises
    ------
    ValueError
        If `series` is not finite, constant or too short, or so tied that a bin holds fewer than 10 pairs.
    """
    x, n_bins = _checked(series, n_bins)
    center, scale = float(x.mean()), float(x.std())
    z = (x - center) / scale
    now, then = z[:-1], z[1:]
    inside = _bins(now, n_bins)
    count = inside.sum(axis=1)
    present = inside @ now / count
    mean, mean_half = _bin_means(inside, then)
    square, square_half = _bin_means(inside, _off_the_line(inside, now - present @ inside, then - mean @ inside) ** 2)
    deviation = scale * np.sqrt(square * count / (count - 2))
    spread = np.exp(square_half / np.where(square > 0.0, 2.0 * square, 1.0))
    line, parabola = Polynomial.fit(now, then, degree=1), Polynomial.fit(now, then, degree=2)
    fixed = parabola.fixed_point(z.min(), z.max())
    ends = [parabola.slope(place) for place in present[[0, -1]]]
    return ReturnMap(
        present=center + scale * present,
        count=count,
        mean=center + scale * mean,
        mean_interval=center + scale * np.stack([mean - mean_half, mean + mean_half], axis=1),
        deviation=deviation,
        deviation_interval=np.stack([deviation / spread, deviation * spread], axis=1),
        slope=float(line.coefficients[1]),
        slope_interval=line.interval(line.coefficients[1], np.array([0.0, 1.0])),
        curvature=float(2.0 * parabola.coefficients[2] / scale),
        curvature_interval=parabola.interval(2.0 * parabola.coefficients[2], np.array([0.0, 0.0, 2.0])) / scale,
        fixed_point=None if fixed is None else center + scale * fixed,
        fixed_point_interval=center + scale * parabola.fixed_point_interval(fixed),
        fixed_point_slope=None if fixed is None else parabola.slope(fixed)[0],
        fixed_point_slope_interval=parabola.fixed_point_slope_interval(fixed),
        end_slopes=np.array([slope for slope, _ in ends]),
        end_slope_intervals=np.stack([interval for _, interval in ends]),
        unexplained=parabola.unexplained,
    )


def _checked(series: ArrayLike, n_bins: int) -> tuple[Floats, int]:
    n_bins = check_count("n_bins", n_bins)
    if n_bins < 2:
        raise ValueError(f"n_bins must be at least 2, got {n_bins}")
    return check_varied_series(series, least=FEWEST_IN_BIN * n_bins + 1, purpose=f"n_bins={n_bins}"), n_bins


def _bins(now: Floats, n_bins: int) -> NDArray[np.bool_]:
    """Which values lie in which bin of equal count, shape (n_bins, n)."""
    edges = np.quantile(now, np.linspace(0.0, 1.0, n_bins + 1)[1:-1])
    inside = np.searchsorted(edges, now, side="right") == np.arange(n_bins)[:, None]
    n_values, fewest = len(np.unique(now)), int(inside.sum(axis=1).min())
    if fewest < FEWEST_IN_BIN or n_values < 3:
        raise ValueError(
            f"series has too many ties for n_bins={n_bins}: its {len(now)} present values are {n_values} different "
            f"ones, and a bin would hold {fewest} pairs, less than {FEWEST_IN_BIN}"
            if n_values >= 3
            else f"series must take at least 3 different values, got {n_values}"
        )
    return inside


def _bin_means(inside: NDArray[np.bool_], values: Floats) -> tuple[Floats, Floats]:
    """Mean by bin and half the width of its interval."""
    count = inside.sum(axis=1)
    mean = inside @ values / count
    covariance, quantile = sum_covariance((inside * (values - mean[:, None])).T)
    return mean, quantile * np.sqrt(np.diag(covariance)) / count


def _off_the_line(inside: NDArray[np.bool_], now: Floats, then: Floats) -> Floats:
    """What a straight line a bin leaves of `then`, both measured from their means in the bin."""
    square = inside @ now**2
    slope = inside @ (now * then) / np.where(square > 0.0, square, 1.0)
    return then - now * (slope @ inside)
