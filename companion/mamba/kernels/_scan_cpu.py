"""The selective scan compiled for the processor: forward and backward over blocks of channels and bars.

The tensors have mamba-ssm's shapes, with time contiguous. A task is one sequence and `LANES` of its channels. It walks
along time in tiles of `TILE` bars, copies the tile so that the channels lie side by side, and runs the recurrence one
state at a time over all lanes at once. No array has batch x length x dim x state elements: the forward pass keeps the
state at each tile's first bar, the backward pass recomputes the states inside the tile from it.

Every task writes to its own part of every output, so the result has the same bits for any number of threads. The sums
over tasks (gradients of A, B, C, D and the bias) are taken afterwards, in a fixed order.
"""

import numpy as np
from numba import carray

from companion._exp2 import LN_2, LOG2_E, exp2
from companion._jit import KERNEL, compiled
from companion._tile import load_tile, row_of, store_tile
from companion.mamba.kernels._scan_math import log1p_unit, logistic, stack_array

LANES = 64
TILE = 64
_SIZE = LANES * TILE
_SIZE_AND_START = _SIZE + LANES


@compiled(forceinline=True, **KERNEL)
def _step_size(delta, slope, bias, softplus, length):  # type: ignore[no-untyped-def]
    """In place: delta becomes delta + bias, or its softplus; `slope` gets the derivative."""
    real = delta.dtype.type
    for t in range(length):
        for k in range(LANES):
            delta[t, k] += bias[k]
            slope[t, k] = real(1)
    if softplus:
        for t in range(length):
            for k in range(LANES):
                x = delta[t, k]
                w = exp2(-abs(x) * real(LOG2_E))
                delta[t, k] = max(x, real(0)) + log1p_unit(w)
                slope[t, k] = (real(1) if x > real(0) else w) / (real(1) + w)


@compiled(forceinline=True, **KERNEL)
def _gate_tile(gy, gate, length):  # type: ignore[no-untyped-def]
    """In place: `gy`, the gradient after the gate, becomes the one before it; `gate` becomes d output / d z over y."""
    real = gy.dtype.type
    for t in range(length):
        for k in range(LANES):
            z, p = gate[t, k], logistic(gate[t, k], real)
            gate[t, k] = gy[t, k] * p * (real(1) + z * (real(1) - p))
            gy[t, k] *= z * p


@compiled(**KERNEL)
def scan_forward(  # type: ignore[no-untyped-def]
    first_task, last_task, dim, length, u, delta, A, B, C, D, z, bias, softplus, initial, y, last, checkpoints
):
    """Tasks `first_task` to `last_task` of the forward pass. Empty D, z, bias, initial mean that there is none.

    u, delta, B, C, z and y are given as `_threads.Rows`. Writes y (batch, dim, length), last (batch, dim, state) and
    checkpoints (batch, tiles, state, dim), the state before each tile.
    """
    states = A.shape[1]
    blocks = (dim + LANES - 1) // LANES
    real = A.dtype.type
    x = carray(stack_array(A, _SIZE), (TILE, LANES))
    d = carray(stack_array(A, _SIZE), (TILE, LANES))
    out = carray(stack_array(A, _SIZE), (TILE, LANES))
    gate = carray(stack_array(A, _SIZE), (TILE, LANES))
    shift = carray(stack_array(A, LANES), (LANES,))
    skip = carray(stack_array(A, LANES), (LANES,))
    h = carray(stack_array(A, LANES), (LANES,))
    a = carray(stack_array(A, LANES), (LANES,))
    rate, state = np.empty((states, LANES), A.dtype), np.empty((states, LANES), A.dtype)
    for task in range(first_task, last_task):
        i, c = task // blocks, task % blocks * LANES
        width = min(LANES, dim - c)
        for k in range(LANES):
            shift[k] = bias[c + k] if bias.size > 0 and k < width else real(0)
            skip[k] = D[c + k] if D.size > 0 and k < width else real(0)
            for n in range(states):
                rate[n, k] = A[c + k, n] * real(LOG2_E) if k < width else real(0)
                state[n, k] = initial[i, c + k, n] if initial.size > 0 and k < width else real(0)
        for tile in range((length + TILE - 1) // TILE):
            t0 = tile * TILE
            bars = min(TILE, length - t0)
            load_tile(x, u, i, c, width, t0, bars)
            load_tile(d, delta, i, c, width, t0, bars)
            _step_size(d, gate, shift, softplus, bars)
            for t in range(bars):
                for k in range(LANES):
                    out[t, k] = skip[k] * x[t, k]
                    x[t, k] *= d[t, k]
            for n in range(states):
                for k in range(LANES):
                    h[k], a[k] = state[n, k], rate[n, k]
                for k in range(width):
                    checkpoints[i, tile, n, c + k] = h[k]
                b, readout = row_of(B, i, n, t0, bars), row_of(C, i, n, t0, bars)
                for t in range(bars):
                    b_t, c_t = b[t], readout[t]
                    for k in range(LANES):
                        v = exp2(d[t, k] * a[k]) * h[k] + x[t, k] * b_t
                        h[k] = v
                        out[t, k] += v * c_t
                for k in range(LANES):
                    state[n, k] = h[k]
            if z[0].size > 0:
                load_tile(gate, z, i, c, width, t0, bars)
                for t in range(bars):
                    for k in range(LANES):
                        out[t, k] *= gate[t, k] * logistic(gate[t, k], real)
            store_tile(y, out, i, c, width, t0, bars)
        for k in range(width):
            for n in range(states):
                last[i, c + k, n] = state[n, k]


@compiled(**KERNEL)
def scan_backward(  # type: ignore[no-untyped-def]
    first_task, last_task, dim, length, first_tile, last_tile, dy, u, delta, A, B, C, D, z, bias, softplus, checkpoints,
    dh, du, ddelta, dz, dA, dB, dC, dD, dbias,
):  # fmt: skip
    """Tasks `first_task` to `last_task` of the backward pass over a segment of tiles, from its last to its first.

    dh (batch, dim, state) is the gradient of the state after the segment, and becomes that of the state before it. dA
    (batch, dim, state), dD and dbias (batch, dim) are added to; dB and dC (blocks, batch, state, bars of the segment)
    are parts to be summed over blocks.
    """
    states = A.shape[1]
    blocks = (dim + LANES - 1) // LANES
    real = A.dtype.type
    x = carray(stack_array(A, _SIZE), (TILE, LANES))
    d = carray(stack_array(A, _SIZE), (TILE, LANES))
    slope = carray(stack_array(A, _SIZE), (TILE, LANES))
    dx = carray(stack_array(A, _SIZE), (TILE, LANES))
    gy = carray(stack_array(A, _SIZE), (TILE, LANES))
    gate = carray(stack_array(A, _SIZE), (TILE, LANES))
    out = carray(stack_array(A, _SIZE), (TILE, LANES))
    gx = carray(stack_array(A, _SIZE), (TILE, LANES))
    gd = carray(stack_array(A, _SIZE), (TILE, LANES))
    decay = carray(stack_array(A, _SIZE), (TILE, LANES))
    hs = carray(stack_array(A, _SIZE_AND_START), (TILE + 1, LANES))
    shift = carray(stack_array(A, LANES), (LANES,))
    skip = carray(stack_array(A, LANES), (LANES,))
    h = carray(stack_array(A, LANES), (LANES,))
    g = carray(stack_array(A, LANES), (LANES,))
    a = carray(stack_array(A, LANES), (LANES,))
    ga = carray(stack_array(A, LANES), (LANES,))
    gskip = carray(stack_array(A, LANES), (LANES,))
    gshift = carray(stack_array(A, LANES), (LANES,))
    rate, grate = np.empty((states, LANES), A.dtype), np.empty((states, LANES), A.dtype)
    adjoint = np.empty((states, LANES), A.dtype)
    for task in range(first_task, last_task):
        i, block = task // blocks, task % blocks
        c = block * LANES
        width = min(LANES, dim - c)
        for k in range(LANES):
            shift[k] = bias[c + k] if bias.size > 0 and k < width else real(0)
            skip[k] = D[c + k] if D.size > 0 and k < width else real(0)
            gskip[k] = gshift[k] = real(0)
            for n in range(states):
                rate[n, k] = A[c + k, n] * real(LOG2_E) if k < width else real(0)
                adjoint[n, k] = dh[i, c + k, n] if k < width else real(0)
                grate[n, k] = real(0)
        for tile in range(last_tile - 1, first_tile - 1, -1):
            t0, s0 = tile * TILE, (tile - first_tile) * TILE
            bars = min(TILE, length - t0)
            load_tile(x, u, i, c, width, t0, bars)
            load_tile(d, delta, i, c, width, t0, bars)
            load_tile(gy, dy, i, c, width, t0, bars)
            _step_size(d, slope, shift, softplus, bars)
            if z[0].size > 0:
                load_tile(gate, z, i, c, width, t0, bars)
                _gate_tile(gy, gate, bars)
            for t in range(bars):
                for k in range(LANES):
                    out[t, k] = skip[k] * x[t, k]
                    dx[t, k] = d[t, k] * x[t, k]
                    gx[t, k] = gd[t, k] = real(0)
            for n in range(states):
                for k in range(LANES):
                    h[k] = hs[0, k] = checkpoints[i, tile, n, c + k] if k < width else real(0)
                    a[k], ga[k], g[k] = rate[n, k], grate[n, k], adjoint[n, k]
                b, readout = row_of(B, i, n, t0, bars), row_of(C, i, n, t0, bars)
                for t in range(bars):
                    b_t, c_t = b[t], readout[t]
                    for k in range(LANES):
                        e = exp2(d[t, k] * a[k])
                        decay[t, k] = e
                        v = e * h[k] + dx[t, k] * b_t
                        h[k] = hs[t + 1, k] = v
                        out[t, k] += v * c_t
                for t in range(bars - 1, -1, -1):
                    b_t, c_t = b[t], readout[t]
                    sum_b = sum_c = real(0)
                    for k in range(LANES):
                        v = g[k] + gy[t, k] * c_t
                        sum_c += gy[t, k] * hs[t + 1, k]
                        sum_b += v * dx[t, k]
                        gx[t, k] += v * b_t
                        v *= decay[t, k]
                        g[k] = v
                        v *= hs[t, k]
                        ga[k] += v * d[t, k]
                        gd[t, k] += v * a[k]
                    dB[block, i, n, s0 + t] = sum_b
                    dC[block, i, n, s0 + t] = sum_c
                for k in range(LANES):
                    grate[n, k], adjoint[n, k] = ga[k], g[k]
            for t in range(bars):
                for k in range(LANES):
                    gd[t, k] = (gd[t, k] * real(LN_2) + gx[t, k] * x[t, k]) * slope[t, k]
                    gx[t, k] = gx[t, k] * d[t, k] + gy[t, k] * skip[k]
                    gshift[k] += gd[t, k]
                    gskip[k] += gy[t, k] * x[t, k]
            store_tile(du, gx, i, c, width, t0, bars)
            store_tile(ddelta, gd, i, c, width, t0, bars)
            if z[0].size > 0:
                for t in range(bars):
                    for k in range(LANES):
                        out[t, k] *= gate[t, k]
                store_tile(dz, out, i, c, width, t0, bars)
        for k in range(width):
            dD[i, c + k] += gskip[k]
            dbias[i, c + k] += gshift[k]
            for n in range(states):
                dA[i, c + k, n] += grate[n, k]
                dh[i, c + k, n] = adjoint[n, k]
