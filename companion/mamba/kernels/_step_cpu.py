"""One bar through a stack of Mamba blocks, compiled: no tensor is made between the first layer and the last.

The kernel reads the weights where PyTorch keeps them, by their addresses, so a weight that is changed in place is seen
at the next bar. `companion.mamba.kernels._step` makes the table of addresses and answers for its being right.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from companion._jit import compiled
from companion.mamba.kernels._scan_math import KERNEL, LOG2_E, exp2, log1p_unit

# Columns of the table of addresses: a row a block; 0 where a block has no such weight.
NORM, IN_PROJ, IN_BIAS, CONV, CONV_BIAS, X_PROJ, DT_PROJ, DT_BIAS, A_LOG, SKIP, OUT_PROJ, OUT_BIAS = range(12)
COLUMNS = 12
# Columns of the state's table, a row a block, and entries of the stack's own.
CONV_IN, HIDDEN_IN, CONV_OUT, HIDDEN_OUT = range(4)
EMBEDDING, EMBEDDING_BIAS, FINAL_NORM, X, Y = range(5)


@intrinsic
def _pointer(typingctx: Any, address: Any, like: Any) -> Any:
    """The address as a pointer to `like`'s dtype."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(like.dtype)
        return builder.inttoptr(args[0], ir.PointerType(element))

    return types.CPointer(like.dtype)(address, like), codegen


@compiled(**KERNEL)
def _affine(y, weight, bias, x, rows, columns, like):  # type: ignore[no-untyped-def]
    """y = weight @ x + bias, or without the bias where its address is 0."""
    w = carray(_pointer(weight, like), (rows, columns))
    b = carray(_pointer(bias, like), (rows,))
    for r in range(rows):
        total = like.dtype.type(0)
        for c in range(columns):
            total += w[r, c] * x[c]
        y[r] = total + b[r] if bias != 0 else total


@compiled(**KERNEL)
def _rms_norm(y, x, weight, eps, size, like):  # type: ignore[no-untyped-def]
    """y = x / rms(x) * weight, or x itself where the weight's address is 0."""
    if weight == 0:
        y[:size] = x[:size]
        return
    w = carray(_pointer(weight, like), (size,))
    total = like.dtype.type(0)
    for c in range(size):
        total += x[c] * x[c]
    scale = like.dtype.type(1) / np.sqrt(total / like.dtype.type(size) + like.dtype.type(eps))
    for c in range(size):
        y[c] = x[c] * scale * w[c]


@compiled(**KERNEL)
def _silu(x, real):  # type: ignore[no-untyped-def]
    w = exp2(-abs(x) * real(LOG2_E))
    return x * (real(1) if x > real(0) else w) / (real(1) + w)


@compiled(**KERNEL)
def _softplus(x, real):  # type: ignore[no-untyped-def]
    return max(x, real(0)) + log1p_unit(exp2(-abs(x) * real(LOG2_E)))


@compiled(**KERNEL)
def _convolve(u, row, state, i, inner, taps, like):  # type: ignore[no-untyped-def]
    """In place: u becomes silu(convolution of the last bars and u); the window moves on by one bar."""
    real = like.dtype.type
    size = (i + 1, inner, taps - 1)
    before = carray(_pointer(state[CONV_IN], like), size)[i]
    after = carray(_pointer(state[CONV_OUT], like), size)[i]
    weight = carray(_pointer(row[CONV], like), (inner, taps))
    bias = carray(_pointer(row[CONV_BIAS], like), (inner,))
    for c in range(inner):
        total = u[c] * weight[c, taps - 1]
        if row[CONV_BIAS] != 0:
            total += bias[c]
        for k in range(taps - 1):
            total += before[c, k] * weight[c, k]
            after[c, k] = before[c, k + 1] if k < taps - 2 else u[c]
        u[c] = total
    for c in range(inner):
        u[c] = _silu(u[c], real)


@compiled(**KERNEL)
def _scan_step(y, u, delta, B, C, row, state, i, inner, states, like):  # type: ignore[no-untyped-def]
    """The recurrence by one bar for all channels of sequence i."""
    real = like.dtype.type
    size = (i + 1, inner, states)
    before = carray(_pointer(state[HIDDEN_IN], like), size)[i]
    after = carray(_pointer(state[HIDDEN_OUT], like), size)[i]
    a_log = carray(_pointer(row[A_LOG], like), (inner, states))
    skip = carray(_pointer(row[SKIP], like), (inner,))
    for c in range(inner):
        d, du, total = delta[c] * real(-LOG2_E), delta[c] * u[c], real(0)
        for n in range(states):
            h = exp2(d * exp2(a_log[c, n] * real(LOG2_E))) * before[c, n] + du * B[n]
            after[c, n] = h
            total += h * C[n]
        y[c] = total + skip[c] * u[c]


@compiled(**KERNEL)
def stack_step(batch, n_in, d_model, inner, states, taps, rank, eps, stack, blocks, state, like):  # type: ignore[no-untyped-def]
    """Advance every sequence of a batch by one bar.

    `stack` (5,) holds the addresses of the embedding, its bias, the last norm, the input (batch, n_in) and the output
    (batch, d_model); `blocks` (layers, COLUMNS) those of the weights; `state` (layers, 4) those of the state before and
    after. Without a norm a block is not residual. `like` is an array of the dtype of all of them.
    """
    inputs = carray(_pointer(stack[X], like), (batch, n_in))
    outputs = carray(_pointer(stack[Y], like), (batch, d_model))
    x, normed = np.empty(d_model, like.dtype), np.empty(d_model, like.dtype)
    uz, y, delta = np.empty(2 * inner, like.dtype), np.empty(inner, like.dtype), np.empty(inner, like.dtype)
    selected = np.empty(rank + 2 * states, like.dtype)
    for i in range(batch):
        if stack[EMBEDDING] != 0:
            _affine(x, stack[EMBEDDING], stack[EMBEDDING_BIAS], inputs[i], d_model, n_in, like)
        else:
            x[:] = inputs[i]
        for layer in range(len(blocks)):
            row, part = blocks[layer], state[layer]
            _rms_norm(normed, x, row[NORM], eps, d_model, like)
            _affine(uz, row[IN_PROJ], row[IN_BIAS], normed, 2 * inner, d_model, like)
            u, z = uz[:inner], uz[inner:]
            _convolve(u, row, part, i, inner, taps, like)
            _affine(selected, row[X_PROJ], 0, u, rank + 2 * states, inner, like)
            _affine(delta, row[DT_PROJ], row[DT_BIAS], selected, inner, rank, like)
            for c in range(inner):
                delta[c] = _softplus(delta[c], like.dtype.type)
            B, C = selected[rank : rank + states], selected[rank + states :]
            _scan_step(y, u, delta, B, C, row, part, i, inner, states, like)
            for c in range(inner):
                y[c] *= _silu(z[c], like.dtype.type)
            _affine(normed, row[OUT_PROJ], row[OUT_BIAS], y, d_model, inner, like)
            for c in range(d_model):
                x[c] = normed[c] + (x[c] if row[NORM] != 0 else like.dtype.type(0))
        _rms_norm(normed, x, stack[FINAL_NORM], eps, d_model, like)
        outputs[i] = normed
