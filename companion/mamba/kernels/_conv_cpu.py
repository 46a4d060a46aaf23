"""The causal convolution and its SiLU together, forward and backward; a task is one channel of one sequence.

Shifted rows are slices: with `u[t - lag]` the compiler would have to allow for negative indices, and not vectorize.
"""

import numpy as np

from companion._jit import KERNEL, compiled
from companion._tile import row_of
from companion.mamba.kernels._scan_math import logistic


@compiled(forceinline=True, **KERNEL)
def _convolve(out, u, weight, bias):  # type: ignore[no-untyped-def]
    """out[t] = bias + sum over lags of u[t - lag] * weight[last tap - lag]; before the first bar u is 0."""
    taps = len(weight)
    out[:] = bias
    for lag in range(min(taps, len(u))):
        w, moved = weight[taps - 1 - lag], out[lag:]
        for t in range(len(moved)):
            moved[t] += w * u[t]


@compiled(**KERNEL)
def conv_forward(first_task, last_task, dim, length, u, weight, bias, y):  # type: ignore[no-untyped-def]
    """y = silu(convolution) for u (batch, dim, length), weight (dim, taps); an empty bias means that there is none."""
    real = weight.dtype.type
    for task in range(first_task, last_task):
        i, c = task // dim, task % dim
        out = row_of(y, i, c, 0, length)
        _convolve(out, row_of(u, i, c, 0, length), weight[c], bias[c] if bias.size > 0 else real(0))
        for t in range(len(out)):
            out[t] *= logistic(out[t], real)


@compiled(**KERNEL)
def conv_backward(  # type: ignore[no-untyped-def]
    first_task, last_task, dim, length, dy, u, weight, bias, du, dweight, dbias
):
    """Gradients of u, and parts of those of the weight (batch, dim, taps) and the bias (batch, dim), to be summed."""
    taps = weight.shape[1]
    real = weight.dtype.type
    g = np.empty(length, weight.dtype)
    for task in range(first_task, last_task):
        i, c = task // dim, task % dim
        source, target, above = row_of(u, i, c, 0, length), row_of(du, i, c, 0, length), row_of(dy, i, c, 0, length)
        _convolve(g, source, weight[c], bias[c] if bias.size > 0 else real(0))
        total = real(0)
        for t in range(length):
            x, p = g[t], logistic(g[t], real)
            g[t] = above[t] * p * (real(1) + x * (real(1) - p))
            total += g[t]
        dbias[i, c] = total
        target[:] = real(0)
        for lag in range(min(taps, length)):
            w, moved, total = weight[c, taps - 1 - lag], g[lag:], real(0)
            for t in range(len(moved)):
                target[t] += w * moved[t]
                total += moved[t] * source[t]
            dweight[i, c, taps - 1 - lag] = total
