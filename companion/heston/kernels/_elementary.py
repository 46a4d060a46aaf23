"""Logarithm, exponential, sine and cosine from ``+ - * /`` alone.

The C library's versions differ in the last bit from one machine to the next, and a simulation would differ with them.
IEEE 754 fixes ``+ - * /`` and the square root to the bit, so these give the same bits on every machine. The
polynomials are those of Sun's fdlibm (``e_log.c``, ``e_exp.c``, ``k_sin.c``, ``k_cos.c``); the error is below 1 ulp
(2 ulp for the exponential). Only the arguments that the simulation needs are covered.
"""

import math
from typing import Any

import numpy as np

from companion._jit import compiled

# Inlined and free of Python's check for a division by zero, a loop over these functions becomes vector instructions.
INLINE: dict[str, Any] = {"error_model": "numpy", "forceinline": True}
KERNEL: dict[str, Any] = {"error_model": "numpy", "nogil": True}

LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
FIFTY_TWO = np.uint64(52)
MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)
ROOT_HALF = np.uint64(0x3FE6A09E667F3BCE)  # bits of the first number above sqrt(1/2)
TO_NEXT_POWER = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCE)
# An integer added to 2**52 stands in the low bits of the sum; to 1.5 * 2**52 also a negative one. Numbers turn into
# integers and back this way because few processors convert between the two in vector registers.
BEHIND_52 = np.uint64(0x4330000000000000)
SHIFT_52 = 6755399441055744.0
ONE, TWO, TO_SIGN = np.uint64(1), np.uint64(2), np.uint64(62)


@compiled(**INLINE)
def log(x: float) -> float:
    """Natural logarithm of a positive, normal, finite number."""
    bits = np.float64(x).view(np.uint64) + TO_NEXT_POWER  # raises the exponent where the mantissa exceeds sqrt(2)
    exponent = np.uint64((bits >> FIFTY_TWO) | BEHIND_52).view(np.float64) - (2.0**52 + 1023.0)
    mantissa = np.uint64((bits & MANTISSA) + ROOT_HALF).view(np.float64)  # within [sqrt(1/2), sqrt(2)]
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    even = z * (
        6.666666666666735130e-01
        + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    half = 0.5 * f * f
    return exponent * LN2_HIGH - ((half - (s * (half + odd + even) + exponent * LN2_LOW)) - f)


@compiled(**INLINE)
def exp(x: float) -> float:
    """Exponential of a number in [-700, 700]; numbers beyond are clipped to it."""
    x = min(max(x, -700.0), 700.0)
    n = np.floor(x * 1.44269504088896338700 + 0.5)
    high = x - n * LN2_HIGH
    low = n * LN2_LOW
    r = high - low
    t = r * r
    c = r - t * (
        1.66666666666666019037e-01
        + t
        * (
            -2.77777777770155933842e-03
            + t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))
        )
    )
    y = 1.0 - ((low - (r * c) / (2.0 - c)) - high)
    return y * np.uint64(np.float64(n + (SHIFT_52 + 1023.0)).view(np.uint64) << FIFTY_TWO).view(np.float64)


@compiled(**INLINE)
def expm1(x: float) -> float:
    """``exp(x) - 1`` without cancellation, by Kahan's correction."""
    x = min(max(x, -700.0), 700.0)
    y = exp(x)
    return x if y == 1.0 else (y - 1.0) * x / log(y)


@compiled(**INLINE)
def cos_sin_turns(u: float) -> tuple[float, float]:
    """Cosine and sine of ``2 pi u`` for u in [0, 1)."""
    quarter = np.floor(4.0 * u + 0.5)
    x = (4.0 * u - quarter) * (0.5 * math.pi)
    z = x * x
    s = x + x * z * (
        -1.66666666666666324348e-01
        + z
        * (
            8.33333333332248946124e-03
            + z
            * (
                -1.98412698298579493134e-04
                + z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10))
            )
        )
    )
    c = 1.0 - (
        0.5 * z
        - z
        * z
        * (
            4.16666666666666019037e-02
            + z
            * (
                -1.38888888888741095749e-03
                + z
                * (
                    2.48015872894767294178e-05
                    + z
                    * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 - z * 1.13596475577881948265e-11))
                )
            )
        )
    )
    q = np.float64(quarter + SHIFT_52).view(np.uint64)
    odd = (q & ONE) != np.uint64(0)
    cosine, sine = np.float64(s if odd else c), np.float64(c if odd else s)
    cosine_sign = np.uint64(((q + ONE) & TWO) << TO_SIGN)  # set in the second and third quarter
    sine_sign = np.uint64((q & TWO) << TO_SIGN)  # in the third and fourth
    return (
        np.uint64(cosine.view(np.uint64) ^ cosine_sign).view(np.float64),
        np.uint64(sine.view(np.uint64) ^ sine_sign).view(np.float64),
    )
