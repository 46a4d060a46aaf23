"""How far apart the coordinates of a delay embedding should be: autocorrelation and mutual information."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import chi2

from companion._checks import Floats, check_count, check_finite, check_varied_series
from companion.chaos._embedding import unit_deviations

#: A rise after a minimum counts from so many standard deviations of independent noise on.
_RISE = 6.0
#: Level of `MutualInformation.noise_nats`.
_NOISE_LEVEL = 0.95
#: Pairs from which on mutual information is estimated: three bins, and three pairs a cell.
_FEWEST_PAIRS = 27


@dataclass(frozen=True)
class AutocorrelationDelay:
    """Autocorrelation against delay, and where it first falls below a level.

    Attributes
    ----------
    delays : ndarray of shape (max_delay + 1,)
        0, 1, …, max_delay, in steps.
    autocorrelation : ndarray of shape (max_delay + 1,)
        Autocorrelation at these delays, 1 at delay 0.
    level : float
        What it is compared with.
    delay : int or None
        First delay at which it is below the level; None if there is none.
    reason : str
        Why there is none, else empty.
    """

    delays: NDArray[np.int64]
    autocorrelation: Floats
    level: float
    delay: int | None
    reason: str


def autocorrelation_delay(series: ArrayLike, *, level: float = 1.0 / math.e, max_delay: int) -> AutocorrelationDelay:
    """First delay at which the autocorrelation falls below `level`: the linear answer to how long a series remembers.

    The estimate at delay k is the sum of products of the n - k pairs of deviations from the mean, over the sum of all
    n squares. It is biased towards zero by the factor 1 - k/n, but never beyond ±1.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Values in order of time.
    level : float
        Between -1 and 1: 1/e is the usual time of decay, 0 the first zero.
    max_delay : int
        Largest delay that is looked at, in steps.

    Raises
    ------
    ValueError
        If `level` or `max_delay` is out of range, or `series` is not one series of finite numbers that vary, with at
        least max_delay + 2 points.
    """
    max_delay = check_count("max_delay", max_delay)
    level = check_finite("level", level)
    if not -1.0 < level < 1.0:
        raise ValueError(f"level must lie between -1 and 1, got {level}")
    values = check_varied_series(series, least=max_delay + 2, purpose=f"max_delay={max_delay}")
    n_padded = next_fast_len(len(values) + max_delay, real=True)
    spectrum = np.abs(rfft(unit_deviations(values), n_padded)) ** 2
    covariance = irfft(spectrum, n_padded)[: max_delay + 1]
    autocorrelation = covariance / covariance[0]
    below = np.flatnonzero(autocorrelation < level)
    delay = int(below[0]) if len(below) else None
    reason = "" if len(below) else f"the autocorrelation stays above {level:.3g} up to max_delay={max_delay}"
    return AutocorrelationDelay(np.arange(max_delay + 1), autocorrelation, level, delay, reason)


@dataclass(frozen=True)
class MutualInformation:
    """Mutual information between a series and its past, against delay.

    Attributes
    ----------
    delays : ndarray of shape (max_delay + 1,)
        0, 1, …, max_delay, in steps.
    nats : ndarray of shape (max_delay + 1,)
        Plug-in estimate at these delays, as counted, not corrected. At delay 0 it is the entropy of the bins.
    bias_nats : ndarray of shape (max_delay + 1,)
        What of it the finite number of pairs adds on average, to first order (Miller 1955): for m occupied cells of a
        table with a occupied rows and b columns, (m - a - b + 1)/(2 n_pairs). Subtract it to compare with a theory.
    noise_nats : float
        What 95 % of series without any dependence stay below, at the largest delay.
    n_bins : int
        Bins that hold anything; fewer than were asked for if values are tied across the edges of bins.
    first_minimum : int or None
        Delay of the first minimum that is above the noise and followed by a rise beyond it.
    reason : str
        Why there is none, else empty.
    """

    delays: NDArray[np.int64]
    nats: Floats
    bias_nats: Floats
    noise_nats: float
    n_bins: int
    first_minimum: int | None
    reason: str


def mutual_information(series: ArrayLike, *, max_delay: int, n_bins: int | None = None) -> MutualInformation:
    """Estimate how much the value `delay` steps ago tells of the present one, linear or not (Fraser & Swinney 1986).

    The estimator is the plug-in on equiprobable bins: edges are order statistics of the series, so that every bin
    holds as many points, and any increasing function of the series gives the same numbers. Equal values always share
    a bin. Its errors have opposite signs: bins hide what happens inside them, and few pairs a cell invent dependence
    (`bias_nats`).

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Values in order of time.
    max_delay : int
        Largest delay, in steps.
    n_bins : int, optional
        Bins a coordinate; the cube root of the number of pairs where not given.

    Raises
    ------
    ValueError
        If `max_delay` or `n_bins` is out of range, `series` is not one series of finite numbers that vary, with at
        least 27 and n_bins² points more than `max_delay`, or all of its points fall into one bin.

    Notes
    -----
    A. M. Fraser and H. L. Swinney, "Independent coordinates for strange attractors from mutual information", Physical
    Review A 33, 1134-1140 (1986). The bias: G. A. Miller, "Note on the bias of information estimates", in Information
    Theory in Psychology, 95-100 (1955).

    The first minimum is a rule of thumb for flows. Maps and noise usually have none: their dependence only falls. Of
    the small bumps that an estimate always has, one counts as a minimum if the curve then rises by more than six
    standard deviations of what independent noise gives, (n_bins - 1)/(√2 n_pairs) each, before it falls any lower.
    """
    max_delay = check_count("max_delay", max_delay)
    n_asked = None if n_bins is None else check_count("n_bins", n_bins)
    if n_asked == 1:
        raise ValueError(f"n_bins must be at least 2, got {n_bins}")
    fewest_pairs = _FEWEST_PAIRS if n_asked is None else max(_FEWEST_PAIRS, n_asked**2)
    purpose = f"max_delay={max_delay}" + ("" if n_asked is None else f", n_bins={n_asked}")
    values = check_varied_series(series, least=max_delay + fewest_pairs, purpose=purpose)
    n_pairs = len(values) - max_delay
    bins = equiprobable_bins(values, n_asked or round(n_pairs ** (1 / 3)))
    n_used = int(bins.max()) + 1
    if n_used == 1:
        raise ValueError("series must spread over at least 2 bins, but its ties leave 1: give a larger n_bins")
    delays = np.arange(max_delay + 1)
    estimates = [_plug_in(bins[: len(bins) - k], bins[k:], n_used) for k in delays]
    nats, bias = np.array([nat for nat, _ in estimates]), np.array([extra for _, extra in estimates])
    noise = float(chi2.ppf(_NOISE_LEVEL, (n_used - 1) ** 2)) / (2 * n_pairs)
    rise = _RISE * (n_used - 1) / (math.sqrt(2.0) * n_pairs)
    first, reason = _first_minimum(nats, noise, rise)
    return MutualInformation(delays, nats, bias, noise, n_used, first, reason)


def equiprobable_bins(values: Floats, n_bins: int) -> NDArray[np.int64]:
    """Bin of each value, from 0 on without a gap; equal values share the bin of the first of them in sorted order."""
    rank = np.searchsorted(np.sort(values), values, side="left")
    _, bins = np.unique(rank * n_bins // len(values), return_inverse=True)
    return bins.reshape(values.shape)


def _plug_in(past: NDArray[np.int64], present: NDArray[np.int64], n_bins: int) -> tuple[float, float]:
    """Mutual information of two series of bins in nats, and its bias to first order."""
    counts = np.bincount(past * n_bins + present, minlength=n_bins**2).reshape(n_bins, n_bins)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    row, column = np.nonzero(counts)
    cells, n_pairs = counts[row, column], len(past)
    nats = np.sum(cells * np.log(cells * n_pairs / (rows[row] * columns[column]))) / n_pairs
    excess = len(cells) - np.count_nonzero(rows) - np.count_nonzero(columns) + 1
    return float(nats), excess / (2 * n_pairs)


def _first_minimum(nats: Floats, noise: float, rise: float) -> tuple[int | None, str]:
    """First delay at which the curve is above the noise and after which it rises before it falls lower."""
    lowest = 1  # Delay 0, the entropy, is always higher.
    for delay in range(1, len(nats)):
        if nats[delay] < nats[lowest]:
            lowest = delay
        if nats[lowest] <= noise:
            return None, f"at delay {lowest} it falls to what independent noise gives, without a minimum before"
        if nats[delay] > nats[lowest] + rise:
            return lowest, ""
    return None, f"it has no minimum that it rises from again, up to max_delay={len(nats) - 1}"
