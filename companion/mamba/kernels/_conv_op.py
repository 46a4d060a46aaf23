"""The causal convolution with its SiLU as one operation, on the processor a compiled PyTorch operator."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from companion.mamba._checks import check_conv, check_like
from companion.mamba.kernels import _conv_cpu as kernels
from companion.mamba.kernels._threads import array_of, empty_rows, row_strides, rows_of, run_tasks

_COST = 20  # of an element, in multiplications


def causal_conv_silu(u: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """silu(convolution) of u (batch, dim, length), weight (dim, taps), bias (dim,); bar t sees bars 0 to t only."""
    if u.device.type == "cpu":
        return conv_operator(u, weight, bias)
    dim, taps = weight.shape
    return functional.silu(functional.conv1d(functional.pad(u, (taps - 1, 0)), weight[:, None], bias, groups=dim))


@torch.library.custom_op("companion::causal_conv_silu", mutates_args=(), device_types="cpu")
def conv_operator(u: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`causal_conv_silu` on the processor."""
    check_conv(u, weight, bias)
    batch, dim, length = u.shape
    (y,) = empty_rows(u)
    run_tasks(
        kernels.conv_forward, batch * dim, _COST * u.numel(), dim, length,
        rows_of(u, u), array_of(weight, u, 2), array_of(bias, u, 1), rows_of(y, u),
    )  # fmt: skip
    return y


@conv_operator.register_fake
def _(u, weight, bias):  # type: ignore[no-untyped-def]
    return u.new_empty_strided(u.shape, row_strides(u))


@torch.library.custom_op("companion::causal_conv_silu_backward", mutates_args=(), device_types="cpu")
def conv_backward_operator(
    grad_y: Tensor, u: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of u, weight and bias, whether or not there is one."""
    check_conv(u, weight, bias)
    check_like("grad_y", grad_y, tuple(u.shape), u)
    (batch, dim, length), taps = u.shape, weight.shape[1]
    (du,) = empty_rows(u)
    dweight, dbias = u.new_zeros(batch, dim, taps), u.new_zeros(batch, dim)
    run_tasks(
        kernels.conv_backward, batch * dim, _COST * u.numel(), dim, length,
        rows_of(grad_y, u), rows_of(u, u), array_of(weight, u, 2), array_of(bias, u, 1),
        rows_of(du, u), dweight.numpy(), dbias.numpy(),
    )  # fmt: skip
    return du, dweight.sum(0), dbias.sum(0)


@conv_backward_operator.register_fake
def _(grad_y, u, weight, bias):  # type: ignore[no-untyped-def]
    return u.new_empty_strided(u.shape, row_strides(u)), u.new_empty(weight.shape), u.new_empty(weight.shape[0])


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
    ctx.has_bias = inputs[2] is not None
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad_y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    du, dweight, dbias = conv_backward_operator(grad_y, *ctx.saved_tensors)
    return du, dweight, dbias if ctx.has_bias else None


conv_operator.register_autograd(_differentiate, setup_context=_save)
