"""The selective scan as its equations say it: readable PyTorch, differentiated by autograd, one bar after the other."""

import torch
from torch import Tensor
from torch.nn import functional


def reference_scan(
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
) -> tuple[Tensor, Tensor]:
    """Output (batch, dim, length) and last state (batch, dim, state); the arguments of `selective_scan`."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = softplus(delta)
    h = u.new_zeros(*u.shape[:2], A.shape[1]) if initial_state is None else initial_state
    outputs = []
    for t in range(u.shape[2]):
        delta_t = delta[:, :, t, None]
        h = torch.exp(delta_t * A) * h + delta_t * u[:, :, t, None] * B[:, None, :, t]
        outputs.append((h * C[:, None, :, t]).sum(-1))
    y = torch.stack(outputs, -1) if outputs else torch.zeros_like(u)
    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * functional.silu(z)
    return y, h if outputs else h.clone()


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to the last digits of float32 and float64 alike, and its derivative.

    Above its threshold PyTorch gives x. Its default of 20 is rounding in float32, but not in float64; and from 88.7 on
    exp(x) is infinite in float32, and the derivative not a number. Above 40 the rest, exp(-x), is lost in either.
    """
    return functional.softplus(x, threshold=40.0)
