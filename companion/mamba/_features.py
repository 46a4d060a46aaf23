"""What the model, and its baseline, see of a market at a bar: functions of the log returns up to it."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import check_log_returns

SCALE = 0.01
"""One percent a day: the fixed unit of returns inside the model. Nothing is estimated, so nothing can leak."""
N_FEATURES = 3
FLOOR = 0.02
"""Percent squared, added to a mean square before its log: a spell without a move counts as quiet, not as infinite."""
_CLIP = 10.0
_FLOOR_NOW = 0.01


def market_features(log_returns: ArrayLike) -> NDArray[np.float32]:
    """Inputs of the model: the return, its size, and its log square, in units of 1 % and roughly centered.

    Parameters
    ----------
    log_returns : array of shape (n_bars,) or (n_paths, n_bars)

    Returns
    -------
    float32 array of shape (…, n_bars, 3), clipped to ±10. Bar t is a function of the return of bar t alone.
    """
    return features_of(check_log_returns(log_returns))


def features_of(log_returns: NDArray[np.float64]) -> NDArray[np.float32]:
    """`market_features` of returns of any shape (…), (…, 3), that somebody has checked."""
    x = log_returns / SCALE
    columns = (x, np.abs(x) - 0.8, 0.5 * (np.log(x * x + _FLOOR_NOW) + 1.5))
    return np.stack([np.clip(column, -_CLIP, _CLIP) for column in columns], axis=-1).astype(np.float32)


def features_of_one(log_return: float) -> tuple[float, float, float]:
    """`features_of` a single return, before it is rounded to float32: for whoever has one bar and no time."""
    x = log_return / SCALE
    size, logarithm = abs(x) - 0.8, 0.5 * (math.log(x * x + _FLOOR_NOW) + 1.5)
    return (
        x if -_CLIP < x < _CLIP else math.copysign(_CLIP, x),
        size if size < _CLIP else _CLIP,
        logarithm if logarithm < _CLIP else _CLIP,
    )


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
