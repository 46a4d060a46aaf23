"""The compiled kernel of a regime-switching market: full-truncation Euler in a few substeps a bar."""

import math

import numpy as np
from numpy.typing import NDArray

from companion._jit import compiled
from companion.heston.kernels._elementary import INLINE, KERNEL, exp
from companion.heston.kernels._random import box_muller, fill_normals, uniform_pair
from companion.heston.kernels._schemes import LANES, TILE

VARIANCE_FLOOR = 1e-8
BURN_IN_BARS = 250
NOISE, SWITCHES, JUMPS, JUMP_SIZES = 0, 1, 2, 3  # streams of the random numbers

Array = NDArray[np.float64]
Regimes = NDArray[np.int8]


@compiled(**INLINE)
def _pick(cumulative: Array, u: float) -> int:
    """Index of the first entry of a cumulative law that exceeds the uniform `u`."""
    k = 0
    while k < len(cumulative) - 1 and u >= cumulative[k]:
        k += 1
    return k


@compiled(**KERNEL)
def _store(
    xs: Array, vs: Array, ks: Regimes, s0: float, row: int, start: int, price: Array, variance: Array, regime: Regimes
) -> None:
    """Write a tile of log prices, variances and regimes, (TILE, LANES), to the rows from `row`, columns from `start`.

    Columns before the first are the burn-in.
    """
    first, last = max(-start, 0), min(TILE, price.shape[1] - start)
    for t in range(first, last):
        for lane in range(LANES):
            xs[t, lane] = s0 * exp(xs[t, lane])
            vs[t, lane] = max(vs[t, lane], VARIANCE_FLOOR)
    for lane in range(min(LANES, price.shape[0] - row)):
        for t in range(first, last):
            price[row + lane, start + t] = xs[t, lane]
            variance[row + lane, start + t] = vs[t, lane]
            regime[row + lane, start + t] = ks[t, lane]


@compiled(**KERNEL)
def simulate_block(
    key: np.uint64,
    first: int,
    params: Array,
    law: Array,
    transition: Array,
    dt: float,
    s0: float,
    substeps: int,
    price: Array,
    variance: Array,
    regime: Regimes,
) -> None:
    """Fill the arrays, (n_rows, n_steps + 1), with the paths from `first` on; `LANES` paths side by side.

    `params` is (n_regimes, 6) in the order of `HestonParams`; `law` and `transition` are cumulative.
    """
    h = dt / substeps
    x, v, u, k = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES, np.int64)
    p = np.empty((6, LANES))  # the parameters in force, a column a lane; sqrt(1 - rho**2) in the place of v0
    xs, vs, ks = np.empty((TILE, LANES)), np.empty((TILE, LANES)), np.empty((TILE, LANES), np.int8)
    z_v, z = np.empty(LANES), np.empty(LANES)
    for row in range(0, price.shape[0], LANES):
        for lane in range(LANES):
            k[lane] = _pick(law, uniform_pair(key, first + row + lane, SWITCHES, 0)[0])
            v[lane] = params[k[lane], 5]
        for start in range(-BURN_IN_BARS, price.shape[1], TILE):
            for t in range(min(TILE, price.shape[1] - start)):
                step = BURN_IN_BARS + start + t
                for lane in range(LANES):
                    x[lane] = x[lane] if start + t > 0 else 0.0
                    xs[t, lane], vs[t, lane], ks[t, lane] = x[lane], v[lane], k[lane]
                    u[lane] = uniform_pair(key, first + row + lane, SWITCHES, step + 1)[0]
                for lane in range(LANES):
                    k[lane] = _pick(transition[k[lane]], u[lane])
                    for i in range(5):
                        p[i, lane] = params[k[lane], i]
                for lane in range(LANES):
                    p[5, lane] = math.sqrt(1.0 - p[4, lane] * p[4, lane])
                for sub in range(substeps):
                    fill_normals(key, first + row, NOISE, step * substeps + sub, z_v, z)
                    for lane in range(LANES):
                        mu, kappa, theta, xi, rho = p[0, lane], p[1, lane], p[2, lane], p[3, lane], p[4, lane]
                        plus = max(v[lane], VARIANCE_FLOOR)
                        shock = math.sqrt(plus * h)
                        x[lane] += (mu - 0.5 * plus) * h + shock * (rho * z_v[lane] + p[5, lane] * z[lane])
                        v[lane] += kappa * (theta - plus) * h + xi * shock * z_v[lane]
            _store(xs, vs, ks, s0, row, start, price, variance, regime)


@compiled(**KERNEL)
def add_jumps(key: np.uint64, first: int, rate: float, size: float, price: Array) -> None:
    """Let the prices (n_rows, n_steps + 1) of the paths from `first` on jump: in each bar once, or not at all."""
    for row in range(price.shape[0]):
        total = 0.0
        for t in range(1, price.shape[1]):
            if uniform_pair(key, first + row, JUMPS, t)[0] < rate:
                u, w = uniform_pair(key, first + row, JUMP_SIZES, t)
                total += size * box_muller(u, w)[0]
            price[row, t] *= exp(total)
