"""Ways to spoil what a detector reads: noise, bars that never came, another scale.

Each function takes clean returns and gives the spoiled ones; a market that the detector was not made for is
`RegimeSwitchingHeston.scaled`. The true regimes stay those of the clean bars, so that a score before and one after can
be compared path by path.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter

from companion._checks import Floats, as_paths, check_positive, decay

Mask = NDArray[np.bool_]


def add_noise(log_returns: ArrayLike, size: float, *, seed: int | np.random.Generator) -> Floats:
    """Returns seen through white noise: ``r + size * rms(r) * z`` with standard normal z.

    Parameters
    ----------
    log_returns : array_like of shape (n_bars,) or (n_paths, n_bars)
    size : float
        Standard deviation of the noise as a multiple of the root mean square of all returns.
    seed : int or Generator
        The same seed gives the same z whatever the size.

    Raises
    ------
    ValueError
        When `size` is negative or not finite, or a return is not finite.
    """
    if not 0.0 <= size < np.inf:
        raise ValueError(f"size must be a finite number, not negative, got {size}")
    paths, single = as_paths(log_returns, name="log_returns")
    noise = np.random.default_rng(seed).standard_normal(paths.shape)
    noisy = paths + size * np.sqrt(np.mean(paths**2)) * noise
    return noisy[0] if single else noisy


def random_gaps(n_paths: int, n_bars: int, share: float, *, length: int = 1, seed: int | np.random.Generator) -> Mask:
    """Which bars arrive when gaps of `length` bars open at random places.

    The bars are divided into slots of `length`; the same number of slots is lost on every path, never the first one.

    Parameters
    ----------
    n_paths, n_bars : int
    share : float
        Of the bars that are lost, up to the rounding to whole slots; in [0, 1).
    length : int, default=1
        Of a gap, in bars. Neighbor slots can make a longer one.
    seed : int or Generator

    Returns
    -------
    bool ndarray of shape (n_paths, n_bars)
        True where the bar is seen.

    Raises
    ------
    ValueError
        When `share` is not in [0, 1), or there are not enough slots to lose so many.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"share must lie in [0, 1), got {share}")
    if not 1 <= length <= n_bars:
        raise ValueError(f"length must lie between 1 and n_bars, {n_bars}, got {length}")
    slots = n_bars // length
    n_lost = round(share * n_bars / length)
    if n_lost >= slots:
        raise ValueError(
            f"share must leave a slot besides the first, got {share}: {n_lost} of {slots} slots of {length} bars"
        )
    order = np.random.default_rng(seed).random((n_paths, slots - 1)).argsort(axis=1)
    seen = np.ones((n_paths, n_bars), dtype=bool)
    seen[:, length : slots * length] = np.repeat(order >= n_lost, length, axis=1)
    return seen


def _log_prices(log_returns: ArrayLike, seen: ArrayLike) -> tuple[Floats, Mask]:
    paths, _ = as_paths(log_returns, name="log_returns")
    mask = np.asarray(seen)
    if mask.shape != paths.shape or mask.dtype != np.bool_:
        raise ValueError(f"seen must hold booleans, in shape {paths.shape}, got {mask.dtype} in {mask.shape}")
    return np.cumsum(paths, axis=1), mask


def _last_seen(mask: Mask) -> NDArray[np.int64]:
    """Index of the last bar seen, -1 before the first."""
    return np.maximum.accumulate(np.where(mask, np.arange(mask.shape[1]), -1), axis=1)


def carry_forward(log_returns: ArrayLike, seen: ArrayLike) -> Floats:
    """Returns of a price that stands still while no bar is seen, and then catches up in one move.

    Parameters
    ----------
    log_returns : array_like of shape (n_paths, n_bars)
    seen : array_like of bool, of the same shape

    Returns
    -------
    ndarray of shape (n_paths, n_bars)
        0 where no bar is seen.
    """
    price, mask = _log_prices(log_returns, seen)
    start = np.zeros((len(price), 1))
    return np.diff(np.take_along_axis(np.hstack([start, price]), _last_seen(mask) + 1, axis=1), prepend=start)


def drop_unseen(log_returns: ArrayLike, seen: ArrayLike) -> Floats:
    """Returns from one seen bar to the next, the others left out as if time had stopped.

    Parameters
    ----------
    log_returns : array_like of shape (n_paths, n_bars)
    seen : array_like of bool, of the same shape
        With the same number of seen bars, at least one, on every path.

    Returns
    -------
    ndarray of shape (n_paths, n_seen)
    """
    price, mask = _log_prices(log_returns, seen)
    counts = np.unique(mask.sum(axis=1))
    if len(counts) != 1 or counts[0] == 0:
        raise ValueError(f"seen must hold the same number of bars on each path, at least 1, got {counts.tolist()}")
    return np.diff(price[mask].reshape(len(price), -1), prepend=0.0)


def hold_last(values: ArrayLike, seen: ArrayLike) -> NDArray[Any]:
    """What was said at the last seen bar: puts an answer to `drop_unseen` back on all bars.

    Parameters
    ----------
    values : array_like of shape (n_paths, n_seen)
    seen : array_like of bool, shape (n_paths, n_bars)
        The first bar of every path must be seen.

    Returns
    -------
    ndarray of shape (n_paths, n_bars)
    """
    answers, mask = np.asarray(values), np.asarray(seen, dtype=bool)
    if not (mask[:, 0].all() and (mask.sum(axis=1) == answers.shape[1]).all()):
        raise ValueError(
            f"seen must hold {answers.shape[1]} bars a path, as many as values, the first among them, got others"
        )
    return np.take_along_axis(answers, np.cumsum(mask, axis=1) - 1, axis=1)


def rescale_to_unit(log_returns: ArrayLike, *, half_life: float, daily_volatility: float) -> Floats:
    """Returns divided by their own slow volatility, so that any asset comes in the unit the detectors know.

    The volatility is the root of an exponentially weighted mean of the squared returns up to and including the bar,
    its weights summing to one at every bar. It is causal and forgets the scale of the input altogether.

    Parameters
    ----------
    log_returns : array_like of shape (n_bars,) or (n_paths, n_bars)
    half_life : float
        Bars after which a square has half its weight; `numpy.inf` for the plain mean of the whole past.
    daily_volatility : float
        Of the result, per bar.

    Raises
    ------
    ValueError
        When an argument is not above zero, or a return is not finite.
    """
    check_positive("daily_volatility", daily_volatility)
    keep = 1.0 if half_life == np.inf else decay(half_life)
    paths, single = as_paths(log_returns, name="log_returns")
    sums, weights = (lfilter([1.0], [1.0, -keep], x, axis=1) for x in (paths**2, np.ones_like(paths)))
    root = np.sqrt(sums / weights)
    scaled = daily_volatility * np.divide(paths, root, out=np.zeros_like(paths), where=root > 0)
    return scaled[0] if single else scaled
