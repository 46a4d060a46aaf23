"""Forward and backward pass of the selective scan, against mambapy's parallel scan and two plain loops.

`python benchmarks/scan.py`; the loop that discretizes first takes minutes.
"""

from collections.abc import Callable

import torch
from _timing import Row, main, race
from mambapy.pscan import pscan
from torch import Tensor
from torch.nn import functional

from companion.mamba import selective_scan

BATCH, DIM, STATE = 16, 128, 16
Inputs = dict[str, Tensor]


def make_inputs(batch: int, dim: int, length: int, state: int) -> Inputs:
    """Random inputs, time contiguous, step sizes before the softplus."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    A = -torch.arange(1.0, state + 1).repeat(dim, 1)
    sequence = (batch, state, length)
    inputs = {"u": draw(batch, dim, length), "delta": draw(batch, dim, length) - 2, "A": A}
    inputs |= {"B": draw(*sequence), "C": draw(*sequence), "D": draw(dim)}
    return {name: tensor.requires_grad_() for name, tensor in inputs.items()}


def companion(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """The compiled scan."""
    y = selective_scan(u, delta, A, B, C, D, delta_softplus=True)
    assert isinstance(y, Tensor)
    return y


def plain_loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """One step a bar, discretized inside the loop."""
    y = selective_scan(u, delta, A, B, C, D, delta_softplus=True, backend="reference")
    assert isinstance(y, Tensor)
    return y


def discretize_first(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """All bars discretized at once, then a loop over slices, as the reference code of mamba-ssm does it."""
    delta = functional.softplus(delta)
    decay = torch.exp(torch.einsum("bdl,dn->bdln", delta, A))
    entering = torch.einsum("bdl,bnl,bdl->bdln", delta, B, u)
    h, outputs = u.new_zeros(*u.shape[:2], A.shape[1]), []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + entering[:, :, t]
        outputs.append(torch.einsum("bdn,bn->bd", h, C[:, :, t]))
    return torch.stack(outputs, 2) + D[:, None] * u


def mambapy_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """mambapy's parallel scan, written as its block uses it: all tensors (batch, length, …)."""
    delta = functional.softplus(delta)
    states = pscan(torch.exp(delta[..., None] * A), delta[..., None] * B[:, :, None] * u[..., None])
    return (states @ C[..., None]).squeeze(3) + D * u


def both_passes(scan: Callable[..., Tensor], inputs: Inputs) -> Callable[[], object]:
    """Return a call that runs the scan and all its gradients."""
    leaves, slope = tuple(inputs.values()), torch.ones_like(inputs["u"])

    def call() -> object:
        return torch.autograd.grad(scan(**inputs), leaves, slope)

    return call


def measure(tiny: bool) -> list[Row]:
    """Race at lengths 256 and 1,024; the loop over slices, whose cost grows with the square, at the first only."""
    rows: list[Row] = []
    for length in (8, 16) if tiny else (256, 1024):
        inputs = make_inputs(BATCH, DIM, length, STATE)
        time_first = {
            name: tensor.detach().mT.contiguous().requires_grad_() if tensor.ndim == 3 else tensor
            for name, tensor in inputs.items()
        }
        case = f"({BATCH}, {length}, {DIM}, {STATE})"
        contenders = {
            "companion": both_passes(companion, inputs),
            "mambapy, parallel scan": both_passes(mambapy_scan, time_first),
            "loop, discretized inside": both_passes(plain_loop, inputs),
        }
        race_rows = race(case, contenders, rounds=1 if tiny else 7)
        rows += race_rows
        if length <= 256:
            contenders = {
                "companion": contenders["companion"],
                "loop, discretized first and sliced": both_passes(discretize_first, inputs),
            }
            rows += race(case, contenders, rounds=1 if tiny else 2)[1:]
    return rows


if __name__ == "__main__":
    main("scan", measure, "Selective scan, forward and backward; (batch, length, dim, state)")
