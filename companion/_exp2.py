"""2**x for compiled code, in a form that a compiler can run on many lanes at once.

The C library's `exp` is one scalar call an element. This is a polynomial and a few integer operations, so that LLVM
turns a loop over it into vector code. No table, no branch, the same accuracy on every processor.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from companion._jit import compiled

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453

# Chebyshev interpolation of 2**x on [-1/2, 1/2], highest power first; relative error 2e-9 and 3e-18.
_EXP2_32 = tuple(
    np.float32(c)
    for c in (
        1.5461444698569129e-4,
        1.3400428177615838e-3,
        9.6180566785246381e-3,
        5.5503272266703021e-2,
        2.4022650922288758e-1,
        6.9314720670283260e-1,
        1.0,
    )
)
_EXP2_64 = (
    4.4558179083360645e-10,
    7.074194297288521e-9,
    1.0178057087733941e-7,
    1.3215432535912376e-6,
    1.5252733841556773e-5,
    1.5403530463724354e-4,
    1.3333558146406471e-3,
    9.6181291075872567e-3,
    5.5504108664821627e-2,
    2.402265069591016e-1,
    6.9314718055994531e-1,
    1.0,
)
# Fastmath is said explicitly because numba hands a caller's flags down, and with leave to reassociate the compiler
# would cancel the rounding below. Helpers are inlined by force: those that are not are shared by the kernels that call
# them, the one loaded first wins, and the last bits would depend on what was compiled anew and what was cached.
EXACT: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "forceinline": True}

# Adding 1.5 * 2**(mantissa bits) rounds to the nearest integer and leaves it in the low bits of the mantissa.
_ROUND_32, _ROUND_64 = np.float32(12582912.0), 6755399441055744.0


@intrinsic
def _power_of_two(typingctx: Any, shifted: Any) -> Any:
    """2**n as a float of the same width, where n is the integer that the rounding left in the low bits of `shifted`.

    The bits are added and shifted here and not in Python because numba would widen 32-bit integers to 64.
    """
    mantissa, bias = (23, 127) if shifted == types.float32 else (52, 1023)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(shifted.bitwidth)
        exponent = builder.add(builder.bitcast(args[0], integer), integer(bias))
        return builder.bitcast(builder.shl(exponent, integer(mantissa)), args[0].type)

    return shifted(shifted), codegen


@compiled(**EXACT)
def _exp2_32(x):  # type: ignore[no-untyped-def]
    t = np.float32(-127.0) if x < np.float32(-127.0) else x
    t = np.float32(128.0) if t > np.float32(128.0) else t
    shifted = t + _ROUND_32
    f = t - (shifted - _ROUND_32)
    p = _EXP2_32[0]
    for c in _EXP2_32[1:]:
        p = p * f + c
    return p * _power_of_two(shifted)


@compiled(**EXACT)
def _exp2_64(x):  # type: ignore[no-untyped-def]
    t = -1023.0 if x < -1023.0 else x
    t = 1024.0 if t > 1024.0 else t
    shifted = t + _ROUND_64
    f = t - (shifted - _ROUND_64)
    p = _EXP2_64[0]
    for c in _EXP2_64[1:]:
        p = p * f + c
    return p * _power_of_two(shifted)


def exp2(x: Any) -> Any:
    """2**x for a float32 or float64 scalar inside compiled code; 0 below the normal range, infinity above it."""
    raise NotImplementedError


@overload(exp2)
def _exp2_overload(x):  # type: ignore[no-untyped-def]  # numba compares this signature with the lambda's
    return (lambda x: _exp2_32(x)) if x == types.float32 else (lambda x: _exp2_64(x))
