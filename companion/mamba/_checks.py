"""What the operators refuse before compiled code runs, which checks no bounds: wrong types, shapes, dtypes, devices."""

import torch
from torch import Tensor

PRECISIONS = torch.float32, torch.float64


def check_scan(
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
    """Refuse what does not fit, by name, before compiled code sees it."""
    _check_u(u)
    if not isinstance(A, Tensor) or A.ndim != 2:
        raise ValueError(f"A must be a tensor of shape (dim, state), got {_describe(A)}")
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
        if tensor is not None or name not in ("D", "z", "delta_bias", "initial_state"):
            check_like(name, tensor, shape, u)


def check_conv(u: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """The same for the convolution of u (batch, dim, length) with weight (dim, taps) and bias (dim,)."""
    _check_u(u)
    if weight.ndim != 2:
        raise ValueError(f"weight must be a tensor of shape (dim, taps), got {_describe(weight)}")
    check_like("weight", weight, (u.shape[1], weight.shape[1]), u)
    if bias is not None:
        check_like("bias", bias, (u.shape[1],), u)


def _check_u(u: Tensor) -> None:
    if not isinstance(u, Tensor) or u.ndim != 3:
        raise ValueError(f"u must be a tensor of shape (batch, dim, length), got {_describe(u)}")
    if u.dtype not in PRECISIONS:
        raise ValueError(f"u must be float32 or float64, got {u.dtype}: convert the tensors with .float()")


def check_like(name: str, tensor: object, shape: tuple[int, ...], u: Tensor) -> None:
    """Refuse what is no tensor of that shape and of the dtype and device of `u`."""
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
        raise ValueError(f"{name} must be a tensor of shape {shape} to fit the others, got {_describe(tensor)}")
    if tensor.dtype != u.dtype:
        raise ValueError(f"{name} must be {u.dtype} as u is, got {tensor.dtype}")
    if tensor.device != u.device:
        raise ValueError(f"{name} must be on {u.device} as u is, got {tensor.device}")


def _describe(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
