r"""The slow scale that a model may carry along: what makes it the same for a bond and for a coin.

At bar t the scale is the root of the exponentially weighted mean square of the returns so far,

.. math:: s_t^2 = \sum_{k \ge 0} d^k \min(r_{t-k}^2, 144 s_{t-k-1}^2) \Big/ \sum_{k \ge 0} d^k,
          \qquad d = 2^{-1/\text{half-life}},

with both sums over the bars there are: the first bar's scale is its own size. Returns divided by it do not change with
the unit of the returns. The minimum is taken once the weights add up to 60. It keeps one bar, a split that nobody has
adjusted or a wrong price, from making the next years look calm; a market that has truly become wilder moves the scale
all the same, with a half-life of 2,000 bars by up to 2.5 % a bar.
"""

import numpy as np
from numpy.typing import NDArray

from companion._checks import decay
from companion.mamba._features import SCALE
from companion.mamba.kernels._slow_scale import rescale_bar, rescale_bars

Array = NDArray[np.float64]


def start_scale(n_paths: int) -> Array:
    """State before the first bar, (n_paths, 2): the weighted sum of squares and the sum of the weights."""
    return np.zeros((n_paths, 2))


def rescale(log_returns: Array, state: Array, kept: float) -> tuple[Array, Array]:
    """One bar's returns (n_paths,) in units of their scale, and the state after it; `state` stays as it is.

    `kept` is d. The returns come as if the scale were the 1 % that the model's inputs are made for; before the first
    move they are 0.
    """
    after, inside = state.copy(), np.empty((len(log_returns), 1))
    rescale_bars(log_returns[:, None], after, kept, inside)
    return SCALE * inside[:, 0], after


def rescale_in_place(log_return: float, state: Array, kept: float) -> float:
    """`rescale` of a single return, for whoever has one bar and owns its state (2,), which moves on."""
    return SCALE * float(rescale_bar(log_return, state, kept))


def rescaled(log_returns: Array, half_life: float) -> Array:
    """`rescale` of whole paths (..., n_bars), from their first bar."""
    paths = log_returns.reshape(-1, log_returns.shape[-1])
    inside = np.empty(paths.shape)
    rescale_bars(paths, start_scale(len(paths)), decay(half_life), inside)
    return SCALE * inside.reshape(log_returns.shape)
