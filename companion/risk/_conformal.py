"""Thresholds that keep a stated false-alarm rate: split conformal prediction with the path as the unit.

A monitor that stops for good on its first alarm has to be judged by the path, not by the bar. The 99.9th percentile of
training distances looks strict; over 2,440 bars it stops most healthy systems. So a threshold is set from the largest
value on each of n held-out paths: by exchangeability, the next normal path exceeds the k-th smallest of these maxima
with probability at most 1 - k/(n + 1) (Vovk, Gammerman & Shafer 2005; Angelopoulos & Bates 2021, section 1).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Share of the calibration paths that only sets how the rules compare; the others set the threshold.
UNITS_SHARE = 0.25
#: Share of these whose mean is one unit above the median: a tail, but one that a hundred paths can estimate.
TAIL_SHARE = 0.1


def conformal_threshold(path_maxima: ArrayLike, *, false_kill: float) -> float:
    """Threshold that the maximum of one more exchangeable path exceeds with probability at most `false_kill`.

    It is the k-th smallest of the n maxima with ``k = ceil((n + 1)(1 - false_kill))``; with continuous maxima the
    probability is exactly ``1 - k/(n + 1)``, on average over calibration sets. For one calibration set it is a draw
    from Beta(n + 1 - k, k): more paths, less luck.

    Parameters
    ----------
    path_maxima : array_like
        Largest distance of each held-out path, shape (n_paths,).
    false_kill : float
        Probability of stopping a normal path, in (0, 1).

    Raises
    ------
    ValueError
        If a maximum is not finite or there are too few paths for so small a `false_kill` (n ≥ 1/false_kill - 1).
    """
    maxima = np.asarray(path_maxima, dtype=np.float64)
    if maxima.ndim != 1 or not np.all(np.isfinite(maxima)):
        raise ValueError(f"path_maxima must be finite and of shape (n_paths,), got shape {maxima.shape}")
    return float(np.sort(maxima)[check_enough("path_maxima", maxima.size, false_kill) - 1])


def joint_thresholds(path_maxima: ArrayLike, *, false_kill: float, floors: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Thresholds of several rules, any of which stops a normal path with probability at most `false_kill` altogether.

    Rules differ in unit. The first quarter of the paths gives each rule a zero, its median, and a unit, from there to
    the mean of its largest tenth. The largest of the rules in these units is one number a path, and the other paths
    give *its* conformal threshold. The promise holds however the rules depend on one another, and no budget is lost on
    rules that fire on the same paths, or never, as it is when `false_kill` is divided by their number.

    Parameters
    ----------
    path_maxima : array_like
        Largest value of each rule on each held-out path, shape (n_paths, n_rules).
    false_kill : float
        Probability that a normal path is stopped by any of the rules, in (0, 1).
    floors : array_like
        Smallest threshold of each rule, shape (n_rules,) or one for all.

    Returns
    -------
    ndarray of shape (n_rules,)

    Raises
    ------
    ValueError
        If a maximum is not finite, a rule never rose above zero and has no floor, or there are too few paths for so
        small a `false_kill`.
    """
    maxima = np.asarray(path_maxima, dtype=np.float64)
    if maxima.ndim != 2 or not np.all(np.isfinite(maxima)):
        raise ValueError(f"path_maxima must be finite and of shape (n_paths, n_rules), got shape {maxima.shape}")
    n_units = paths_for_units(len(maxima))
    rank = check_enough("path_maxima", len(maxima) - n_units, false_kill)
    first, rest = np.sort(maxima[:n_units], axis=0), maxima[n_units:]
    zero = np.median(first, axis=0)
    unit = first[-max(1, int(TAIL_SHARE * n_units)) :].mean(axis=0) - zero
    base = np.maximum(zero, floors)
    with np.errstate(divide="ignore", invalid="ignore"):  # a rule that is constant at first and then rises: infinite
        largest = np.max(np.where(rest <= base, 0.0, (rest - zero) / unit), axis=1)
        setter = np.argsort(largest, kind="stable")[rank - 1]
        thresholds = np.maximum(base, zero + unit * largest[setter])
    # The path that sets them reaches one of them: exactly, not up to rounding.
    near = np.isclose(rest[setter], thresholds, rtol=1e-12, atol=0.0)
    thresholds = np.where(near, rest[setter], thresholds)
    if not np.all((thresholds > 0.0) & np.isfinite(thresholds)):
        raise ValueError(f"path_maxima must give positive thresholds, got {thresholds}: give longer paths, or a floor")
    return thresholds


def paths_for_units(n_paths: int) -> int:
    """How many of the calibration paths `joint_thresholds` spends on the units; the others set the threshold."""
    return max(1, int(UNITS_SHARE * n_paths))


def false_kill_interval(
    n_calibration: int, n_paths: int, *, false_kill: float, level: float = 0.95
) -> tuple[float, float]:
    """Range of the share of `n_paths` new normal paths that a calibrated monitor stops.

    It holds both kinds of luck: that of the calibration set, Beta(n + 1 - k, k), and that of the new paths, binomial.

    Parameters
    ----------
    n_calibration : int
        Paths that set the threshold.
    n_paths : int
        New paths.
    false_kill : float
        The stated probability.
    level : float
        Probability that the share lies in the range.

    Returns
    -------
    low, high : float
        Shares in [0, 1].
    """
    if not 0.0 < level < 1.0 or n_paths < 1:
        raise ValueError(f"level must lie in (0, 1) and n_paths be positive, got {level} and {n_paths}")
    from scipy.stats import betabinom  # here, so that the room opens without SciPy

    rank = check_enough("n_calibration", n_calibration, false_kill)
    low, high = betabinom.ppf([0.5 - level / 2, 0.5 + level / 2], n_paths, n_calibration + 1 - rank, rank)
    return float(low) / n_paths, float(high) / n_paths


def check_enough(name: str, n_paths: int, false_kill: float) -> int:
    """k of `conformal_threshold`, or a `ValueError` if the promise can not be kept with so few paths."""
    if not 0.0 < false_kill < 1.0:
        raise ValueError(f"false_kill must lie in (0, 1), got {false_kill}")
    # A rounding error in (n + 1)(1 - false_kill) must not cost a whole rank.
    rank = int(np.ceil((n_paths + 1) * (1.0 - false_kill) - 1e-9))
    if rank > n_paths:
        needed = int(np.ceil(1.0 / false_kill - 1.0 - 1e-9))
        raise ValueError(
            f"{name} must be at least {needed} paths, got {n_paths}: false_kill={false_kill} needs so many"
        )
    return rank
