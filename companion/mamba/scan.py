"""The selective scan: one call, several back ends, mamba-ssm's shapes."""

import torch
from torch import Tensor

from companion.mamba._scan_op import scan_operator
from companion.mamba._scan_reference import reference_scan

BACKENDS = ("cpu", "reference")


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

    .. math:: h_t = e^{\Delta_t A} h_{t-1} + \Delta_t B_t u_t, \qquad y_t = C_t^\top h_t + D u_t,

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
    backend : {"cpu", "reference"}, optional
        `cpu` is compiled and parallel, `reference` is the equations in plain PyTorch and runs on any device. Without
        one, tensors on the processor take `cpu`.

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
    _check(u, delta, A, B, C, D, z, delta_bias, initial_state)
    if _chosen(backend, u.device) == "reference":
        y, last = reference_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state)
    else:
        y, last, _ = scan_operator(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state)
    return (y, last) if return_last_state else y


def _chosen(backend: str | None, device: torch.device) -> str:
    if backend not in (None, *BACKENDS):
        raise ValueError(f"backend: {backend!r} is not one of {', '.join(BACKENDS)}")
    if backend != "reference" and device.type != "cpu":
        raise ValueError(
            f"backend: the compiled scan runs on the processor, u is on {device}; move the tensors with .cpu(), "
            "or ask for backend='reference'"
        )
    return backend or "cpu"


def _check(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
) -> None:
    """Refuse what does not fit before compiled code sees it."""
    if not isinstance(u, Tensor) or u.ndim != 3:
        raise ValueError(f"u: expected a tensor of shape (batch, dim, length), got {_describe(u)}")
    if u.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"u: expected float32 or float64, got {u.dtype}")
    if not isinstance(A, Tensor) or A.ndim != 2:
        raise ValueError(f"A: expected a tensor of shape (dim, state), got {_describe(A)}")
    (batch, dim, length), state = u.shape, A.shape[1]
    expected = {
        "delta": (delta, (batch, dim, length)),
        "A": (A, (dim, state)),
        "B": (B, (batch, state, length)),
        "C": (C, (batch, state, length)),
        "D": (D, (dim,)),
        "z": (z, (batch, dim, length)),
        "delta_bias": (delta_bias, (dim,)),
        "initial_state": (initial_state, (batch, dim, state)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is None and name in ("D", "z", "delta_bias", "initial_state"):
            continue
        if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
            raise ValueError(f"{name}: expected a tensor of shape {shape} to fit u and A, got {_describe(tensor)}")
        if tensor.dtype != u.dtype:
            raise ValueError(f"{name}: expected {u.dtype} as u has, got {tensor.dtype}")
        if tensor.device != u.device:
            raise ValueError(f"{name}: expected device {u.device} as u has, got {tensor.device}")


def _describe(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
