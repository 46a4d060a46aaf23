"""The selective scan in chunks of bars, in plain PyTorch: for any device, parallel along time inside a chunk.

Two bars compose as (a, x) then (b, y) -> (b a, b x + y), which is associative, so a chunk's states follow in
log2(chunk) rounds of doubling (Hillis and Steele 1986). Only products of decays occur, no quotient and no logarithm:
a decay that underflows is a state that is forgotten. Chunks follow one another, and for the backward pass each is
computed again, so that batch x dim x state x length elements never exist at once.
"""

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from companion.mamba.kernels._scan_reference import softplus

CHUNK = 64


def chunked_scan(
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
    h = u.new_zeros(*u.shape[:2], A.shape[1]) if initial_state is None else initial_state.clone()
    outputs = [u[..., :0]]
    for part in zip(*(tensor.split(CHUNK, dim=-1) for tensor in (u, delta, B, C)), strict=True):
        chunk = (*part, A, h)
        if torch.is_grad_enabled():
            y, h = checkpoint(_chunk, *chunk, use_reentrant=False, preserve_rng_state=False)
        else:
            y, h = _chunk(*chunk)
        outputs.append(y)
    y = torch.cat(outputs, -1)
    if D is not None:
        y = y + D[:, None] * u
    return (y if z is None else y * functional.silu(z)), h


def _chunk(u: Tensor, delta: Tensor, B: Tensor, C: Tensor, A: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of a chunk's bars and the state after it."""
    if not u.shape[-1]:  # splitting no bars gives one chunk of none
        return torch.zeros_like(u), h
    decay = torch.exp(delta[:, :, None] * A[:, :, None])
    states = (delta * u)[:, :, None] * B[:, None]
    states = torch.cat([states[..., :1] + decay[..., :1] * h[..., None], states[..., 1:]], -1)
    shift = 1
    while shift < u.shape[-1]:
        moved = states[..., shift:] + decay[..., shift:] * states[..., :-shift]
        states = torch.cat([states[..., :shift], moved], -1)
        decay = torch.cat([decay[..., :shift], decay[..., shift:] * decay[..., :-shift]], -1)
        shift *= 2
    return (states * C[:, None]).sum(2), states[..., -1]
