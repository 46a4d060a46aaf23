"""The compiled selective scan as a PyTorch operator: fake kernels for tracing, autograd."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.mamba._checks import check_like, check_scan
from companion.mamba.kernels import _scan_cpu as kernels
from companion.mamba.kernels._threads import array_of, empty_rows, row_strides, rows_of, run_tasks

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
    check_scan(u, delta, A, B, C, D, z, delta_bias, initial_state)
    (batch, dim, length), states = u.shape, A.shape[1]
    tiles = -(-length // kernels.TILE)
    (y,) = empty_rows(u)
    last, checkpoints = (y.new_empty(shape) for shape in ((batch, dim, states), (batch, tiles, states, dim)))
    run_tasks(
        kernels.scan_forward, batch * _blocks(dim), u.numel() * states, dim, length,
        *_inputs(u, delta, A, B, C, D, z, delta_bias), delta_softplus, array_of(initial_state, u, 3),
        rows_of(y, u), last.numpy(), checkpoints.numpy(),
    )  # fmt: skip
    return y, last, checkpoints


def _inputs(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None, bias: Tensor | None
) -> tuple[Any, ...]:
    """What both kernels take, as they take it."""
    u_delta, B_C = (rows_of(u, u), rows_of(delta, u)), (rows_of(B, u), rows_of(C, u))
    return *u_delta, array_of(A, u, 2), *B_C, array_of(D, u, 1), rows_of(z, u), array_of(bias, u, 1)


@scan_operator.register_fake
def _(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state):  # type: ignore[no-untyped-def]
    (batch, dim, length), states = u.shape, A.shape[1]
    tiles = -(-length // kernels.TILE)
    y = u.new_empty_strided(u.shape, row_strides(u))
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
    check_scan(u, delta, A, B, C, D, z, delta_bias, None)
    (batch, dim, length), states, blocks = u.shape, A.shape[1], _blocks(u.shape[1])
    check_like("grad_y", grad_y, (batch, dim, length), u)
    check_like("grad_last", grad_last, (batch, dim, states), u)
    check_like("checkpoints", checkpoints, (batch, -(-length // kernels.TILE), states, dim), u)
    arrays = _inputs(u, delta, A, B, C, D, z, delta_bias)
    du, ddelta, *gate = empty_rows(u, 2 if z is None else 3)
    dz = gate[0] if gate else u.new_empty(0, 0, 0)
    dB, dC = *empty_rows(B), *empty_rows(C)
    outputs = [rows_of(tensor, u) for tensor in (du, ddelta, dz)]
    dtype = arrays[2].dtype
    dA, (dD, dbias) = np.zeros((batch, dim, states), dtype), np.zeros((2, batch, dim), dtype)
    dh, saved = array_of(grad_last, u, 3).copy(), array_of(checkpoints, u, 4)
    for first, last in _segments(length, bar_size=blocks * batch * states):
        start, stop = first * kernels.TILE, min(last * kernels.TILE, length)
        parts = np.empty((2, blocks, batch, states, stop - start), dtype)
        run_tasks(
            kernels.scan_backward, batch * blocks, batch * dim * (stop - start) * states, dim, length,
            first, last, rows_of(grad_y, u), *arrays, delta_softplus, saved, dh, *outputs, dA, *parts, dD, dbias,
        )  # fmt: skip
        for total, part in zip((dB, dC), parts, strict=True):
            np.sum(part, axis=0, out=total[..., start:stop].numpy())
    sums = [torch.from_numpy(part.sum(0)) for part in (dA, dD, dbias)]
    return du, ddelta, sums[0], dB, dC, sums[1], dz, sums[2], torch.from_numpy(dh)


def _segments(length: int, *, bar_size: int) -> list[tuple[int, int]]:
    """Ranges of tiles, the last first, short enough for the parts of dB and dC to stay in the processor's cache."""
    tiles = -(-length // kernels.TILE)
    size = max(1, _PARTS // max(1, bar_size * kernels.TILE))
    return [(first, min(first + size, tiles)) for first in range(0, tiles, size)][::-1]


@scan_backward_operator.register_fake
def _(grad_y, grad_last, checkpoints, u, delta, A, B, C, D, z, delta_bias, delta_softplus):  # type: ignore[no-untyped-def]
    (batch, dim, _), states = u.shape, A.shape[1]
    du, ddelta, dz = (u.new_empty_strided(u.shape, row_strides(u)) for _ in range(3))
    dB, dC = (u.new_empty_strided(like.shape, row_strides(like)) for like in (B, C))
    dA, dD, dbias, dh = (u.new_empty(shape) for shape in ((dim, states), dim, dim, (batch, dim, states)))
    return du, ddelta, dA, dB, dC, dD, dz if z is not None else u.new_empty(0, 0, 0), dbias, dh


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
