"""Beside `companion._exp2`, what else of the scan a compiler can run on many lanes at once: logistic and softplus."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from companion._exp2 import EXACT, LOG2_E, exp2
from companion._jit import KERNEL, compiled

# log1p(w) = 2 artanh(s) with s = w / (2 + w) <= 1/3 for w <= 1: the series in s squared, highest power first.
_LOG1P_32 = tuple(np.float32(2 / (2 * k + 1)) for k in range(8, -1, -1))
_LOG1P_64 = tuple(2 / (2 * k + 1) for k in range(16, -1, -1))


@intrinsic(prefer_literal=True)
def stack_array(typingctx: Any, like: Any, size: Any) -> Any:
    """Pointer to `size` (a constant) elements of `like`'s dtype on the stack, at the start of a cache line.

    LLVM knows that two such blocks never overlap, which is what lets it vectorize loops over several of them.
    """
    if not isinstance(size, types.IntegerLiteral):
        return None
    count = size.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(like.dtype)
        block = cgutils.alloca_once(builder, ir.ArrayType(element, count))
        block.align = 64
        return builder.bitcast(block, element.as_pointer())

    return types.CPointer(like.dtype)(like, size), codegen


@compiled(**EXACT)
def _log1p_32(w):  # type: ignore[no-untyped-def]
    s = w / (np.float32(2.0) + w)
    p = np.float32(0.0)
    for c in _LOG1P_32:
        p = p * (s * s) + c
    return p * s


@compiled(**EXACT)
def _log1p_64(w):  # type: ignore[no-untyped-def]
    s = w / (2.0 + w)
    p = 0.0
    for c in _LOG1P_64:
        p = p * (s * s) + c
    return p * s


def log1p_unit(w: Any) -> Any:
    """log(1 + w) for 0 <= w <= 1 inside compiled code."""
    raise NotImplementedError


@overload(log1p_unit)
def _log1p_overload(w):  # type: ignore[no-untyped-def]
    return (lambda w: _log1p_32(w)) if w == types.float32 else (lambda w: _log1p_64(w))


@compiled(forceinline=True, **KERNEL)
def softplus(x, real):  # type: ignore[no-untyped-def]
    """log(1 + exp(x)) for a scalar of the type `real` inside compiled code."""
    return max(x, real(0)) + log1p_unit(exp2(-abs(x) * real(LOG2_E)))


@compiled(forceinline=True, **KERNEL)
def logistic(x, real):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)) for a scalar of the type `real` inside compiled code."""
    w = exp2(-abs(x) * real(LOG2_E))
    return (real(1) if x > real(0) else w) / (real(1) + w)
