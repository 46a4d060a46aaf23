"""The selective scan: one call, several back ends, mamba-ssm's shapes."""

from importlib.util import find_spec
from typing import Literal, overload

import torch
from torch import Tensor

from companion.mamba._checks import check_scan
from companion.mamba.kernels._scan_chunked import chunked_scan
from companion.mamba.kernels._scan_op import scan_operator
from companion.mamba.kernels._scan_reference import reference_scan

BACKENDS = ("cpu", "cuda", "chunked", "reference")


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: Literal[False] = False,
    initial_state: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor: ...
@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    *,
    return_last_state: Literal[True],
    initial_state: Tensor | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    initial_state: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]: ...
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    initial_state: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Run the selective state-space recurrence over a batch of sequences.

    For each sequence, channel and state

    .. math:: x_t = e^{\Delta_t A} x_{t-1} + \Delta_t B_t u_t, \qquad y_t = C_t^\top x_t + D u_t,

    and, where `z` is given, the output is :math:`y_t \, z_t \, \sigma(z_t)`.

    Parameters
    ----------
    u, delta : Tensor of shape (batch, dim, length)
        Input and step size.
    A : Tensor of shape (dim, state)
        Decay rates; negative for a memory that fades.
    B, C : Tensor of shape (batch, state, length)
        How the input enters the state, how the state is read.
    D : Tensor of shape (dim,), optional
        Skip connection.
    z : Tensor of shape (batch, dim, length), optional
        Gate.
    delta_bias : Tensor of shape (dim,), optional
        Added to `delta` first.
    delta_softplus : bool
        Whether `delta` then passes through a softplus.
    return_last_state : bool
        Whether to return the state after the last bar too.
    initial_state : Tensor of shape (batch, dim, state), optional
        State before the first bar; zero if not given. Two halves chained through it equal the whole.
    backend : {"cpu", "cuda", "chunked", "reference"}, optional
        `cpu` is compiled and parallel. `cuda` is mamba-ssm's kernel, float32 and without `initial_state`. `chunked` is
        PyTorch on any device, parallel within chunks of bars. `reference` is the equations in plain PyTorch, bar by
        bar. All give the same to rounding, in float32 and float64, where no state grows (`A` not above zero, steps not
        below it); of states that grow, `chunked` leaves the range of floats earlier than the others. Without a choice,
        tensors on the processor take `cpu`; tensors on a CUDA device take `cuda` where mamba-ssm is installed and can
        do what is asked; all others take `chunked`.

    Returns
    -------
    Tensor of shape (batch, dim, length), or with `return_last_state` a pair of it and the last state
    (batch, dim, state).

    Raises
    ------
    ValueError
        If a tensor's shape, dtype or device does not fit, or the back end is not there; the message names it.

    References
    ----------
    Gu and Dao (2023), "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", equation 2 and algorithm 2.
    The arguments are those of `selective_scan_fn` in the mamba-ssm package.
    """
    check_scan(u, delta, A, B, C, D, z, delta_bias, initial_state)
    chosen = _chosen(backend, u, initial_state)
    if chosen == "cuda":
        return _mamba_ssm_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state)
    if chosen == "cpu":
        y, last, _ = scan_operator(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state)
    else:
        scan = reference_scan if chosen == "reference" else chunked_scan
        y, last = scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state)
    return (y, last) if return_last_state else y


def _chosen(backend: str | None, u: Tensor, initial_state: Tensor | None) -> str:
    """Return the back end to use; one that was asked for and can not do it is an error."""
    if backend not in (None, *BACKENDS):
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend is None and u.device.type == "cpu":
        return "cpu"
    if backend == "cpu" and u.device.type != "cpu":
        raise ValueError(
            f"backend must be another for u on {u.device}, got 'cpu', which is compiled for the processor: "
            "move the tensors with .cpu(), or ask for backend='chunked'"
        )
    if backend in (None, "cuda"):
        obstacle = _cuda_obstacle(u, initial_state)
        if backend and obstacle:
            reason, remedy = obstacle
            raise ValueError(
                f"backend must be another where {reason}, got 'cuda', which is mamba-ssm's kernel: {remedy}, "
                "or ask for backend='chunked'"
            )
        return "chunked" if obstacle else "cuda"
    return backend


def _cuda_obstacle(u: Tensor, initial_state: Tensor | None) -> tuple[str, str] | None:
    """What keeps mamba-ssm's kernel from running, and what helps."""
    if u.device.type != "cuda":
        return f"u is on {u.device}", "move the tensors with .cuda()"
    if find_spec("mamba_ssm") is None:
        return "mamba-ssm is not installed", "install the extra [gpu] on a machine with CUDA"
    if u.dtype != torch.float32:
        return f"the tensors are {u.dtype}", "convert them with .float()"
    if initial_state is not None:
        return "there is an initial_state", "leave it out"
    return None


def _mamba_ssm_scan(*arguments: object) -> Tensor | tuple[Tensor, Tensor]:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # only where there is CUDA

    return selective_scan_fn(*arguments)
