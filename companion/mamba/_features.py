"""What the model, and its baseline, see of a market at a bar: functions of the log returns up to it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

SCALE = 0.01
"""One percent a day: the fixed unit of returns inside the model. Nothing is estimated, so nothing can leak."""
N_FEATURES = 3
FLOOR = 0.02
"""Percent squared, added to a mean square before its log: a spell without a move counts as quiet, not as infinite."""
_CLIP = 10.0
_FLOOR_NOW = 0.01


def check_log_returns(log_returns: ArrayLike) -> NDArray[np.float64]:
    """Log returns as float64, (n_bars,) or (n_paths, n_bars), every one finite; else a `ValueError`."""
    array = np.asarray(log_returns, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise ValueError(f"log_returns: expected shape (n_bars,) or (n_paths, n_bars), got {array.shape}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise ValueError(f"log_returns: {array[where]} at index {where}; every return must be finite")
    return array


def market_features(log_returns: ArrayLike) -> NDArray[np.float32]:
    """Inputs of the model: the return, its size, and its log square, in units of 1 % and roughly centered.

    Parameters
    ----------
    log_returns : array of shape (n_bars,) or (n_paths, n_bars)

    Returns
    -------
    float32 array of shape (…, n_bars, 3), clipped to ±10. Bar t is a function of the return of bar t alone.
    """
    x = check_log_returns(log_returns) / SCALE
    columns = (x, np.abs(x) - 0.8, 0.5 * (np.log(x * x + _FLOOR_NOW) + 1.5))
    return np.stack([np.clip(column, -_CLIP, _CLIP) for column in columns], axis=-1).astype(np.float32)


def past_log_variance(log_returns: ArrayLike, windows: tuple[int, ...]) -> NDArray[np.float64]:
    r"""Regressors of the HAR baseline: :math:`\log(\frac{1}{W} \sum_{k=0}^{W-1} x_{t-k}^2 + 0.02)` for each window W.

    Parameters
    ----------
    log_returns : array of shape (n_bars,) or (n_paths, n_bars)
    windows : tuple of int
        Numbers of bars to average over, the current one included. The first bars average over what there is.

    Returns
    -------
    float64 array of shape (…, n_bars, len(windows)).

    References
    ----------
    Corsi (2009), "A Simple Approximate Long-Memory Model of Realized Volatility", equation 6, here in logs.
    """
    square = (check_log_returns(log_returns) / SCALE) ** 2
    total = np.concatenate([np.zeros((*square.shape[:-1], 1)), np.cumsum(square, axis=-1)], axis=-1)
    end = np.arange(1, square.shape[-1] + 1)
    starts = [np.maximum(end - window, 0) for window in windows]
    means = [(total[..., end] - total[..., start]) / (end - start) for start in starts]
    return np.log(np.stack(means, axis=-1) + FLOOR)
