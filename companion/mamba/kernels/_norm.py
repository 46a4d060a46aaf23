"""The root-mean-square norm as one operation, on the processor a compiled PyTorch operator.

PyTorch builds it from eight operations that each write an array of the size of the input; beside a fast scan they cost
as much as the scan does.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from companion._jit import KERNEL, compiled
from companion.mamba.kernels._threads import array_of, run_tasks

_COST = 10  # of an element, in multiplications
_CHUNK = 64  # rows whose part of the weight's gradient is summed first, whatever the number of threads


class RMSNorm(nn.RMSNorm):
    """`torch.nn.RMSNorm` over the last axis, with its parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x (…, width) divided by the root mean square of each row and multiplied by the weight."""
        if x.shape[-1:] != self.weight.shape:  # checked before compiled code runs
            raise ValueError(f"x must have shape (…, {len(self.weight)}), got {tuple(x.shape)}")
        if x.device.type == "cpu" and x.dtype == self.weight.dtype and x.dtype in (torch.float32, torch.float64):
            return norm_operator(x, self.weight, self.eps)[0]
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)


@compiled(**KERNEL)
def _forward(first_task, last_task, x, weight, eps, y, scale):  # type: ignore[no-untyped-def]
    """y = x * scale * weight for rows x (n, width), with scale (n,) one over the root mean square; a task is a row."""
    width = len(weight)
    real = weight.dtype.type
    for row in range(first_task, last_task):
        source, target = x[row], y[row]
        total = real(0)
        for k in range(width):
            total += source[k] * source[k]
        s = real(1) / np.sqrt(total / real(width) + real(eps))
        for k in range(width):
            target[k] = source[k] * s * weight[k]
        scale[row] = s


@compiled(**KERNEL)
def _backward(first_task, last_task, dy, x, weight, scale, dx, dweight):  # type: ignore[no-untyped-def]
    """Gradient of x, and parts (chunks, width) of that of the weight; a task is a chunk of rows."""
    rows, width = x.shape
    real = weight.dtype.type
    for chunk in range(first_task, last_task):
        part = dweight[chunk]
        for row in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, rows)):
            source, above, target, s = x[row], dy[row], dx[row], scale[row]
            along = real(0)
            for k in range(width):
                along += above[k] * weight[k] * source[k]
            along *= s * s / real(width)
            for k in range(width):
                target[k] = s * (above[k] * weight[k] - along * source[k])
                part[k] += above[k] * source[k] * s


@torch.library.custom_op("companion::rms_norm", mutates_args=(), device_types="cpu")
def norm_operator(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The normalized x (…, width), and one over the root mean square of its rows."""
    rows, factors = _rows(x), array_of(weight, x, 1)
    y, scale = np.empty(rows.shape, rows.dtype), np.empty(len(rows), rows.dtype)
    run_tasks(_forward, len(rows), _COST * x.numel(), rows, factors, eps, y, scale)
    return torch.from_numpy(y).view(x.shape), torch.from_numpy(scale)


@norm_operator.register_fake
def _(x, weight, eps):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape), x.new_empty(x.shape[:-1].numel())


@torch.library.custom_op("companion::rms_norm_backward", mutates_args=(), device_types="cpu")
def norm_backward_operator(grad_y: Tensor, x: Tensor, weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and weight."""
    rows, factors = _rows(x), array_of(weight, x, 1)
    dx, dweight = np.empty(rows.shape, rows.dtype), np.zeros((-(-len(rows) // _CHUNK), len(factors)), rows.dtype)
    arguments = _rows(grad_y), rows, factors, scale.numpy(), dx, dweight
    run_tasks(_backward, len(dweight), _COST * x.numel(), *arguments)
    return torch.from_numpy(dx).view(x.shape), torch.from_numpy(dweight.sum(0))


@norm_backward_operator.register_fake
def _(grad_y, x, weight, scale):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape), weight.new_empty(weight.shape)


def _rows(x: Tensor) -> np.ndarray:
    """x (…, width) as a contiguous array (n, width)."""
    return array_of(x, x, x.ndim).reshape(-1, x.shape[-1])


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], output[1])
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: Any, grad_y: Tensor, grad_scale: Tensor) -> tuple[Tensor, Tensor, None]:
    return *norm_backward_operator(grad_y, *ctx.saved_tensors), None


norm_operator.register_autograd(_differentiate, setup_context=_save)
