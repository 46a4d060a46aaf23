"""What a fit asks of its paths, and the paths of known regimes that it is calibrated on where nobody has labels."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, Labels

#: Bars that a fit needs after the warm-up.
FEWEST_BARS = 100
#: A regime of fewer bars is an outlier.
FEWEST_BARS_IN_REGIME = 20


@lru_cache(maxsize=1)
def calibration_market(seed: int) -> tuple[Floats, Labels]:
    """Log returns and true regimes of 100 paths × 2,060 bars of the base market, each (n_paths, n_bars), read-only."""
    from companion.heston import RegimeSwitchingHeston

    fresh = np.random.default_rng(np.random.SeedSequence([seed, 0xCA11B]))
    paths = RegimeSwitchingHeston.equity_index().simulate(n_paths=100, n_steps=2060, seed=fresh)
    market = paths.log_returns, paths.regime[:, 1:]
    for array in market:
        array.flags.writeable = False
    return market


def known_paths(paths: Floats, rms_range: tuple[float, float] | None, *, seed: int) -> tuple[Floats, Labels, str]:
    """Simulated paths, their regimes and name: at the scale of `paths`, or at that of a feature that has one."""
    known, labels = calibration_market(seed)
    rms, base = float(np.sqrt(np.mean(paths**2))), float(np.sqrt(np.mean(known**2)))
    if rms_range is None:
        known = known * (rms / base)
    else:
        low, high = rms_range
        if not low <= rms <= high:
            raise ValueError(
                f"X must have a root mean square of {low:g} to {high:g} a bar, the scale of the model's training, "
                f"got {rms:.3g}: give the true regimes y, or take a detector without a scale such as EwmaKMeans"
            )
        rms = base
    return known, labels, f"100 simulated paths of the base market, at a root mean square of {rms:.3g} a bar"


def check_labels(y: ArrayLike, shape: tuple[int, ...], *, warm_up: int) -> Labels:
    """Regimes (n_paths, n_bars) of the shape of X, 0 and 1, both after the warm-up."""
    labels = np.asarray(y)
    if labels.shape != shape:
        raise ValueError(f"y must have the shape of X, {shape}, got {labels.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("y must hold 0 (stable) and 1 (chaos) only, got another value")
    for regime in (0, 1):
        if not (np.atleast_2d(labels)[:, warm_up:] == regime).any():
            raise ValueError(f"y must hold both regimes after the warm-up, got no bar of regime {regime}")
    return np.atleast_2d(labels).astype(np.int8)


def check_paths(paths: Floats, *, warm_up: int) -> None:
    """Refuse paths that are too short, or without variation."""
    if paths.shape[1] < warm_up + FEWEST_BARS:
        needed = f"at least {warm_up + FEWEST_BARS} bars a path to be fitted (warm-up of {warm_up} included)"
        raise ValueError(f"X must have {needed}, got {paths.shape[1]}")
    flat = np.flatnonzero(np.ptp(paths[:, warm_up:], axis=1) == 0.0)
    if len(flat):
        raise ValueError(f"X must vary after the warm-up, got path {flat[0]} constant at {paths[flat[0], -1]}")
    if np.ptp(np.abs(paths[:, warm_up:])) == 0.0:
        raise ValueError(f"X must show two regimes, got returns of one size, {abs(paths[0, -1])}")


def check_both_regimes(chaos: NDArray[np.bool_]) -> None:
    """Refuse an answer that knows one regime only."""
    for name, bars in (("stable", np.count_nonzero(~chaos)), ("chaos", np.count_nonzero(chaos))):
        if bars < FEWEST_BARS_IN_REGIME:
            raise ValueError(
                f"X must show two regimes, got one that is empty: {bars} of {chaos.size} bars are {name}, fewer than "
                f"{FEWEST_BARS_IN_REGIME}; fit on a longer series, or without its outliers"
            )
