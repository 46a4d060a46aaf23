"""The compiled kernels of the two schemes: full-truncation Euler, and Andersen's quadratic-exponential scheme.

`LANES` paths go side by side through the steps, so that a loop over them becomes vector instructions.
"""

import math

import numpy as np
from numpy.typing import NDArray

from companion._jit import compiled
from companion._tile import store_tile
from companion.heston.kernels._elementary import INLINE, KERNEL, exp, expm1, log
from companion.heston.kernels._random import fill_normals, uniform_pair

NOISE, ATOM = 0, 1  # streams of the random numbers
PSI_SWITCH = 1.5  # Andersen's psi_c: any value in [1, 2] works
TINY = 1e-300
LEAST_MEAN = 1e-150  # of the variance of a step, which is divided by the square of it
LEAST_SPREAD = 1e-30  # psi: the standard deviation is then 1e-15 of the mean
LEAST_XI = 1e-7  # in roots of the variance; below, rho / xi would magnify the rounding of the variance in the price
LANES = 32  # paths that one core carries side by side in its vector registers
TILE = 32  # steps that are kept with the lanes side by side, before they are written out path by path

Array = NDArray[np.float64]


@compiled(**KERNEL)
def _store(
    xs: Array, vs: Array, s0: float, row: int, start: int, steps: int, n_steps: int, price: Array, variance: Array
) -> None:
    """Write a tile of log prices and variances, (TILE, LANES), to the rows from `row` and the columns from `start`.

    Arrays with one column get the last step alone.
    """
    first = 0 if price.shape[1] > 1 else steps - 1
    for t in range(first, steps):
        for lane in range(LANES):
            xs[t, lane] = s0 * exp(xs[t, lane])
            vs[t, lane] = max(vs[t, lane], 0.0)
    width = min(LANES, price.shape[0] - row)
    if price.shape[1] > 1:
        store_tile((price.reshape(-1), 0, price.shape[1]), xs, 0, row, width, start, steps)
        store_tile((variance.reshape(-1), 0, price.shape[1]), vs, 0, row, width, start, steps)
    elif start + steps > n_steps:
        price[row : row + width, 0], variance[row : row + width, 0] = xs[first, :width], vs[first, :width]


@compiled(**KERNEL)
def euler_block(
    key: np.uint64, first: int, params: Array, dt: float, s0: float, n_steps: int, price: Array, variance: Array
) -> None:
    """Fill `price` and `variance`, one row a path, with the paths from `first` on, `LANES` at a time."""
    mu, kappa, theta, xi, rho, v0 = params
    rest = math.sqrt(1.0 - rho * rho)
    x, v, xs, vs = np.empty(LANES), np.empty(LANES), np.empty((TILE, LANES)), np.empty((TILE, LANES))
    z_v, z = np.empty(LANES), np.empty(LANES)
    price[:, 0], variance[:, 0] = s0, v0
    for row in range(0, price.shape[0], LANES):
        x[:], v[:] = 0.0, v0
        for start in range(1, n_steps + 1, TILE):
            steps = min(TILE, n_steps + 1 - start)
            for t in range(steps):
                fill_normals(key, first + row, NOISE, start + t, z_v, z)
                for lane in range(LANES):
                    plus = max(v[lane], 0.0)
                    shock = math.sqrt(plus * dt)
                    x[lane] += (mu - 0.5 * plus) * dt + shock * (rho * z_v[lane] + rest * z[lane])
                    v[lane] += kappa * (theta - plus) * dt + xi * shock * z_v[lane]
                    xs[t, lane], vs[t, lane] = x[lane], v[lane]
            _store(xs, vs, s0, row, start, steps, n_steps, price, variance)


@compiled(**INLINE)
def _quadratic(m: float, psi: float, z: float, tilt: float) -> tuple[float, float, float]:
    """Andersen's equations 23, 27 and 28: ``a (b + z)**2`` with mean m and variance ``psi m**2``.

    Also the two parts of the log of the mean of ``exp(tilt v)`` (his proposition 9): it is the first less half the
    log of the second, and there is no such mean where the second is not positive.
    """
    ratio = 2.0 / psi
    b2 = ratio - 1.0 + math.sqrt(max(ratio * (ratio - 1.0), 0.0))
    a = m / (1.0 + b2)
    root = math.sqrt(max(b2, 0.0)) + z
    gap = 1.0 - 2.0 * tilt * a
    return a * root * root, tilt * b2 * a / max(gap, TINY), gap


@compiled(**INLINE)
def _exponential(m: float, psi: float, u: float, tilt: float) -> tuple[float, float, bool]:
    """His equations 25, 29 and 30: an atom at zero with an exponential tail, of the same moments; as `_quadratic`."""
    p = max((psi - 1.0) / (psi + 1.0), 0.0)
    rest = 1.0 - p
    rest = rest if psi < 1e8 else 2.0 / (psi + 1.0)  # where the difference would lose its digits, and then all of them
    beta = rest / m
    tail = log(max(rest / (1.0 - u), 1.0)) / beta
    gap = beta - tilt
    exists = gap > TINY
    return tail, log(p + beta * rest / max(gap, TINY)), exists


@compiled(**KERNEL)
def qe_block(
    key: np.uint64, first: int, params: Array, dt: float, s0: float, n_steps: int, price: Array, variance: Array
) -> None:
    """As `euler_block`.

    All lanes take the quadratic branch. Where some need the exponential one, all take that as well and each keeps its
    own, so that no loop over lanes has a jump. Several short loops are faster than one: see `fill_normals`.
    """
    mu, kappa, theta, xi, rho, v0 = params
    calm = xi < LEAST_XI * math.sqrt(max(theta, v0))
    decay, relaxed = exp(-kappa * dt), -expm1(-kappa * dt)
    from_v = xi * xi * decay * relaxed / kappa
    from_theta = theta * xi * xi * relaxed * relaxed / (2.0 * kappa)
    middle = 0.5 * dt * (kappa * rho / xi - 0.5)  # the integral of v by the trapezoidal rule: gamma_1 = gamma_2 = 1/2
    k0, k1, k2 = -rho * kappa * theta / xi * dt, middle - rho / xi, middle + rho / xi
    k3 = 0.5 * dt * (1.0 - rho * rho)
    tilt = k2 + 0.5 * k3  # Andersen's A
    pull = rho * (1.0 + 0.5 * kappa * dt) / xi
    if calm:
        k1 = k2 = -0.5 * k3
    x, v, xs, vs = np.empty(LANES), np.empty(LANES), np.empty((TILE, LANES)), np.empty((TILE, LANES))
    z_v, z, mean, spread = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    new, part, gap, constant = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    price[:, 0], variance[:, 0] = s0, v0
    for row in range(0, price.shape[0], LANES):
        x[:], v[:] = 0.0, v0
        for start in range(1, n_steps + 1, TILE):
            steps = min(TILE, n_steps + 1 - start)
            for t in range(steps):
                n_far = 0
                fill_normals(key, first + row, NOISE, start + t, z_v, z)
                for lane in range(LANES):
                    m = max(theta * relaxed + v[lane] * decay, LEAST_MEAN)
                    psi = max((v[lane] * from_v + from_theta) / (m * m), LEAST_SPREAD)
                    new[lane], part[lane], gap[lane] = _quadratic(m, psi, z_v[lane], tilt)
                    mean[lane], spread[lane] = m, psi
                    n_far += psi > PSI_SWITCH
                for lane in range(LANES):
                    log_mean = part[lane] - 0.5 * log(max(gap[lane], TINY))
                    constant[lane] = -log_mean - (k1 + 0.5 * k3) * v[lane] if gap[lane] > TINY else k0
                if n_far > 0:
                    for lane in range(LANES):
                        u = uniform_pair(key, first + row + lane, ATOM, start + t)[0]
                        tail, log_mean, exists = _exponential(mean[lane], spread[lane], u, tilt)
                        far = -log_mean - (k1 + 0.5 * k3) * v[lane] if exists else k0
                        new[lane] = new[lane] if spread[lane] <= PSI_SWITCH else tail
                        constant[lane] = constant[lane] if spread[lane] <= PSI_SWITCH else far
                if calm:  # what rho / xi times the noise of v tends to, with its correction
                    for lane in range(LANES):
                        shock = pull * math.sqrt(v[lane] * from_v + from_theta)
                        constant[lane] = shock * (z_v[lane] - 0.5 * shock)
                for lane in range(LANES):
                    old = v[lane]
                    drift = mu * dt + constant[lane] + k1 * old + k2 * new[lane]
                    x[lane] += drift + math.sqrt(k3 * (old + new[lane])) * z[lane]
                    v[lane] = new[lane]
                    xs[t, lane], vs[t, lane] = x[lane], v[lane]
            _store(xs, vs, s0, row, start, steps, n_steps, price, variance)
