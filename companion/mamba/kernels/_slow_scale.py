"""The compiled bar of the slow scale that a model carries along (`companion.mamba._scale`)."""

import math

import numpy as np
from numpy.typing import NDArray

from companion._jit import compiled

FAR = 12.0
"""A return beyond so many scales counts as one of so many. Of the wide prior's bars one in a hundred thousand does."""
SETTLED = 60.0
"""Weight of the bars so far from which on one can be beyond: a scale of fewer is luck."""

Array = NDArray[np.float64]


@compiled(nogil=True, error_model="numpy")
def rescale_bar(log_return: float, state: Array, kept: float) -> float:
    """A return in units of the scale with it; `state` (2,), the weighted sums of squares and of weights, moves on."""
    counted = log_return * log_return
    if state[1] >= SETTLED and state[0] > 0.0:
        counted = min(counted, FAR * FAR * state[0] / state[1])
    state[0] = counted + kept * state[0]
    state[1] = 1.0 + kept * state[1]
    return log_return / math.sqrt(state[0] / state[1]) if state[0] > 0.0 else 0.0


@compiled(nogil=True, error_model="numpy")
def rescale_bars(log_returns: Array, state: Array, kept: float, out: Array) -> None:
    """`rescale_bar` of returns (n_paths, n_bars), bar by bar, into `out`; `state` (n_paths, 2) moves on."""
    for path in range(len(log_returns)):
        for bar in range(log_returns.shape[1]):
            out[path, bar] = rescale_bar(log_returns[path, bar], state[path], kept)
