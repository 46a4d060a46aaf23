"""The compiled selective scan as a PyTorch operator: fake kernels for tracing, autograd."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.mamba import _scan_cpu as kernels
from companion.mamba._threads import array_of, run_tasks

_PARTS = 2**18  # elements of a segment's parts of dB, and of dC


def _blocks(dim: int) -> int:
    return -(-dim // kernels.LANES)


@torch.library.custom_op("companion::selective_scan", mutates_args=(), device_types="cpu")
def scan_operator(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    initial_state: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Output, last state, and the states before each tile that the backward pass starts from."""
    (batch, dim, length), states = u.shape, A.shape[1]
    arrays = [
        array_of(a, u, n) for a, n in ((u, 3), (delta, 3), (A, 2), (B, 3), (C, 3), (D, 1), (z, 3), (delta_bias, 1))
    ]
    tiles = -(-length // kernels.TILE)
    # numpy asks the system for large pages, PyTorch does not: fresh memory costs more than the scan that fills it.
    out = [np.empty(shape, arrays[0].dtype) for shape in (u.shape, (batch, dim, states), (batch, tiles, states, dim))]
    tasks = batch * _blocks(dim)
    run_tasks(
        kernels.scan_forward, tasks, u.numel() * states, *arrays, delta_softplus, array_of(initial_state, u, 3), *out
    )  # fmt: skip
    y, last, checkpoints = map(torch.from_numpy, out)
    return y, last, checkpoints


@scan_operator.register_fake
def _(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state):  # type: ignore[no-untyped-def]
    (batch, dim, length), states = u.shape, A.shape[1]
    tiles = -(-length // kernels.TILE)
    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    return y, u.new_empty(batch, dim, states), u.new_empty(batch, tiles, states, dim)


@torch.library.custom_op("companion::selective_scan_backward", mutates_args=(), device_types="cpu")
def scan_backward_operator(
    grad_y: Tensor,
    grad_last: Tensor,
    checkpoints: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, delta, A, B, C, D, z, delta_bias and initial_state, whether or not they were given."""
    (batch, dim, length), states, blocks = u.shape, A.shape[1], _blocks(u.shape[1])
    inputs = ((grad_y, 3), (u, 3), (delta, 3), (A, 2), (B, 3), (C, 3), (D, 1), (z, 3), (delta_bias, 1))
    arrays = [array_of(tensor, u, ndim) for tensor, ndim in inputs]
    dtype = arrays[0].dtype
    du, ddelta = np.empty((2, batch, dim, length), dtype)
    dz = np.empty((batch, dim, length) if z is not None else (0, 0, 0), dtype)
    dB, dC = np.empty((2, batch, states, length), dtype)
    dA, (dD, dbias) = np.zeros((batch, dim, states), dtype), np.zeros((2, batch, dim), dtype)
    dh = array_of(grad_last, u, 3).copy()
    saved = array_of(checkpoints, u, 4)
    for first, last in _segments(length, bar_size=blocks * batch * states):
        start, stop = first * kernels.TILE, min(last * kernels.TILE, length)
        parts = np.empty((2, blocks, batch, states, stop - start), dtype)
        run_tasks(
            kernels.scan_backward, batch * blocks, batch * dim * (stop - start) * states,
            first, last, *arrays, delta_softplus, saved, dh, du, ddelta, dA, *parts, dD, dz, dbias,
        )  # fmt: skip
        for total, part in zip((dB, dC), parts, strict=True):
            np.sum(part, axis=0, out=total[..., start:stop])
    results = (du, ddelta, dA.sum(0), dB, dC, dD.sum(0), dz, dbias.sum(0), dh)
    return tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in results)  # type: ignore[return-value]


def _segments(length: int, *, bar_size: int) -> list[tuple[int, int]]:
    """Ranges of tiles, the last first, short enough for the parts of dB and dC to stay in the processor's cache."""
    tiles = -(-length // kernels.TILE)
    size = max(1, _PARTS // max(1, bar_size * kernels.TILE))
    return [(first, min(first + size, tiles)) for first in range(0, tiles, size)][::-1]


@scan_backward_operator.register_fake
def _(grad_y, grad_last, checkpoints, u, delta, A, B, C, D, z, delta_bias, delta_softplus):  # type: ignore[no-untyped-def]
    (batch, dim, length), states = u.shape, A.shape[1]
    full, sequence, vector = (batch, dim, length), (batch, states, length), (dim,)
    shapes = (full, full, (dim, states), sequence, sequence, vector, full if z is not None else (0, 0, 0), vector)
    return tuple(u.new_empty(shape) for shape in (*shapes, (batch, dim, states)))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, delta_softplus, initial_state = inputs
    ctx.delta_softplus = delta_softplus
    ctx.has_initial_state = initial_state is not None
    ctx.save_for_backward(output[2], *tensors)


def _differentiate(ctx: Any, grad_y: Tensor, grad_last: Tensor, grad_checkpoints: Tensor) -> tuple[Tensor | None, ...]:
    checkpoints, *tensors = ctx.saved_tensors
    *grads, initial = scan_backward_operator(grad_y, grad_last, checkpoints, *tensors, ctx.delta_softplus)
    given = [grad if tensor is not None else None for grad, tensor in zip(grads, tensors, strict=True)]
    return *given, None, initial if ctx.has_initial_state else None


scan_operator.register_autograd(_differentiate, setup_context=_save)
