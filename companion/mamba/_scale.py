r"""The slow scale that a model may carry along: what makes it the same for a bond and for a coin.

At bar t the scale is the root of the exponentially weighted mean square of the returns so far,

.. math:: s_t^2 = \sum_{k \ge 0} d^k r_{t-k}^2 \Big/ \sum_{k \ge 0} d^k, \qquad d = 2^{-1/\text{half-life}},

with both sums over the bars there are: the first bar's scale is its own size. Returns divided by it do not change with
the unit of the returns.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from companion._checks import decay
from companion.mamba._features import SCALE

Array = NDArray[np.float64]


def start_scale(n_paths: int) -> Array:
    """State before the first bar, (n_paths, 2): the weighted sum of squares and the sum of the weights."""
    return np.zeros((n_paths, 2))


def rescale(log_returns: Array, state: Array, kept: float) -> tuple[Array, Array]:
    """One bar's returns (n_paths,) in units of their scale, and the state after it; `state` stays as it is.

    `kept` is d. The returns come as if the scale were the 1 % that the model's inputs are made for; before the first
    move they are 0.
    """
    after = kept * state
    after[:, 0] += log_returns**2
    after[:, 1] += 1.0
    return _divided(log_returns, after[:, 0], after[:, 1]), after


def rescale_in_place(log_return: float, state: Array, kept: float) -> float:
    """`rescale` of a single return, for whoever has one bar and owns its state (2,), which moves on."""
    state[0] = square = kept * state[0] + log_return * log_return
    state[1] = weight = kept * state[1] + 1.0
    return SCALE * log_return / math.sqrt(square / weight) if square > 0.0 else 0.0


def rescaled(log_returns: Array, half_life: float) -> Array:
    """`rescale` of whole paths (..., n_bars), from their first bar."""
    kept = decay(half_life)
    square, weight = (
        lfilter([1.0], [1.0, -kept], x, axis=-1) for x in (log_returns**2, np.ones(log_returns.shape[-1]))
    )
    return _divided(log_returns, square, weight)


def _divided(log_returns: Array, square: Array, weight: Array) -> Array:
    scale = np.sqrt(square / weight)
    return np.divide(SCALE * log_returns, scale, out=np.zeros_like(log_returns), where=scale > 0.0)
