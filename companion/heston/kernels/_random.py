"""Counter-based random numbers: a draw is a function of (seed, path, stream, index), not of what was drawn before.

Path 7 is therefore the same bits whether it is drawn alone, among a million, in blocks, or on another machine. The
function is Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"), a
bijection of 128-bit counters for each 64-bit key; normals come in pairs by Box and Muller's transform.
"""

import math

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_seed
from companion._jit import compiled
from companion.heston.kernels._elementary import INLINE, cos_sin_turns, log

MULTIPLIER_0 = np.uint64(0xD2511F53)
MULTIPLIER_1 = np.uint64(0xCD9E8D57)
WEYL_0 = np.uint64(0x9E3779B9)
WEYL_1 = np.uint64(0xBB67AE85)
LOW_32 = np.uint64(0xFFFFFFFF)
SHIFT_32 = np.uint64(32)
SHIFT_12 = np.uint64(12)
ONE_BITS = np.uint64(0x3FF0000000000000)
HALF_STEP = 2.0**-53

Array = NDArray[np.float64]


def key_from_seed(seed: int | np.random.Generator) -> np.uint64:
    """The 64-bit key of a seed; a generator gives the next 64 bits of its stream.

    Raises
    ------
    ValueError
        If `seed` is neither a non-negative integer nor a ``numpy.random.Generator``.
    """
    check_seed(seed)
    if isinstance(seed, np.random.Generator):
        return np.uint64(seed.integers(0, 2**64, dtype=np.uint64))
    return np.uint64(np.random.SeedSequence(int(seed)).generate_state(1, np.uint64)[0])


@compiled(**INLINE)
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Philox4x32-10: four 32-bit words (each in a uint64) from a counter of four and a key of two."""
    for _ in range(10):
        product_0 = MULTIPLIER_0 * c0
        product_1 = MULTIPLIER_1 * c2
        c0 = (product_1 >> SHIFT_32) ^ c1 ^ k0
        c1 = product_1 & LOW_32
        c2 = (product_0 >> SHIFT_32) ^ c3 ^ k1
        c3 = product_0 & LOW_32
        k0 = (k0 + WEYL_0) & LOW_32
        k1 = (k1 + WEYL_1) & LOW_32
    return c0, c1, c2, c3


@compiled(**INLINE)
def uniform_pair(key: np.uint64, path: int, stream: int, index: int) -> tuple[float, float]:
    """Two independent uniforms in the open interval (0, 1): odd multiples of 2**-53."""
    p, i = np.uint64(path), np.uint64(index)
    w0, w1, w2, w3 = philox(i & LOW_32, np.uint64(stream), p & LOW_32, p >> SHIFT_32, key & LOW_32, key >> SHIFT_32)
    first = np.uint64((((w0 << SHIFT_32) | w1) >> SHIFT_12) | ONE_BITS)  # 52 random bits behind the exponent of 1.0
    second = np.uint64((((w2 << SHIFT_32) | w3) >> SHIFT_12) | ONE_BITS)
    return first.view(np.float64) - 1.0 + HALF_STEP, second.view(np.float64) - 1.0 + HALF_STEP


@compiled(**INLINE)
def box_muller(u: float, w: float) -> tuple[float, float]:
    """Two independent standard normals of two independent uniforms (Box & Muller 1958)."""
    radius = math.sqrt(-2.0 * log(u))
    cosine, sine = cos_sin_turns(w)
    return radius * cosine, radius * sine


@compiled(**INLINE)
def fill_normals(key: np.uint64, path: int, stream: int, index: int, first: Array, second: Array) -> None:
    """Two independent standard normals of each path from `path` on, as many as the two arrays are long."""
    # Two loops are a third faster than one: their chains of dependent instructions overlap more.
    for lane in range(len(first)):
        first[lane], second[lane] = uniform_pair(key, path + lane, stream, index)
    for lane in range(len(first)):
        first[lane], second[lane] = box_muller(first[lane], second[lane])
