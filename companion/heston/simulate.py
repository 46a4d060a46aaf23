"""Simulate the Heston model: Andersen's quadratic-exponential scheme, and full-truncation Euler to compare it with."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from companion._jit import compiled
from companion.heston._blocks import for_blocks
from companion.heston._checks import check_count, check_positive
from companion.heston._elementary import INLINE, KERNEL, exp, expm1, log
from companion.heston._random import key_from_seed, normal_pair, uniform_pair
from companion.heston.params import HestonParams

NOISE, ATOM = 0, 1  # streams of the random numbers
PSI_SWITCH = 1.5  # Andersen's psi_c: any value in [1, 2] works
TINY = 1e-300
LANES = 32  # paths that one core carries side by side in its vector registers
BLOCK = 8 * LANES
TILE = 32  # steps that are kept with the lanes side by side, before they are written out path by path

Array = NDArray[np.float64]

Scheme = Literal["qe", "euler"]


@dataclass(frozen=True, eq=False)
class HestonPaths:
    """Paths of the Heston model.

    Attributes
    ----------
    price, variance : float64 arrays of shape (n_paths, n_steps + 1)
        Price and annual variance at the grid times; column 0 is the start.
    """

    price: NDArray[np.float64]
    variance: NDArray[np.float64]

    @property
    def log_returns(self) -> NDArray[np.float64]:
        """Log returns of the steps, shape (n_paths, n_steps)."""
        return np.diff(np.log(self.price), axis=1)


def simulate_heston(
    params: HestonParams,
    *,
    n_paths: int,
    n_steps: int,
    dt: float = 1 / 252,
    s0: float = 100.0,
    scheme: Scheme = "qe",
    seed: int | np.random.Generator,
) -> HestonPaths:
    """Simulate independent paths of the Heston model.

    ``"qe"`` is the quadratic-exponential scheme of Andersen (2008, sections 3.2 and 4.3): the variance matches the
    mean and variance of the exact transition, and the martingale correction makes ``E[S_T] = s0 exp(mu T)`` exact on
    every grid. Where that correction does not exist (``rho > 0`` and a long step, so that the step's exponential
    moment is infinite) the uncorrected constant of his equation 33 takes its place for that step.

    ``"euler"`` is Euler in (log price, variance) with full truncation (Lord, Koekkoek & van Dijk 2010): the variance
    may go below zero in between, drift and diffusion use its positive part, which is also what is returned.

    The Feller condition may be broken. Path i depends on `seed` and i only: not on the number of paths or threads,
    nor on the machine.

    Parameters
    ----------
    params : HestonParams
    n_paths, n_steps : int
        Number of paths, and of steps a path.
    dt : float
        Length of a step in years.
    s0 : float
        Price at the start.
    scheme : {"qe", "euler"}
    seed : int or numpy.random.Generator

    Returns
    -------
    HestonPaths
        ``price`` and ``variance`` of shape (n_paths, n_steps + 1).

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """
    price, variance = _simulate(params, n_paths, n_steps, dt, s0, scheme, seed, terminal=False)
    return HestonPaths(price, variance)


def simulate_heston_terminal(
    params: HestonParams,
    *,
    n_paths: int,
    n_steps: int,
    dt: float = 1 / 252,
    s0: float = 100.0,
    scheme: Scheme = "qe",
    seed: int | np.random.Generator,
) -> tuple[Array, Array]:
    """Price and variance at the last step only: the same bits as the last columns of `simulate_heston`.

    The memory is that of the result, two numbers a path, however many the steps.

    Parameters
    ----------
    params, n_paths, n_steps, dt, s0, scheme, seed
        As in `simulate_heston`.

    Returns
    -------
    price, variance : float64 arrays of shape (n_paths,)

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """
    price, variance = _simulate(params, n_paths, n_steps, dt, s0, scheme, seed, terminal=True)
    return price[:, 0], variance[:, 0]


def _simulate(
    params: HestonParams,
    n_paths: int,
    n_steps: int,
    dt: float,
    s0: float,
    scheme: Scheme,
    seed: int | np.random.Generator,
    *,
    terminal: bool,
) -> tuple[Array, Array]:
    """Arrays of shape (n_paths, n_steps + 1), or (n_paths, 1) for the last step alone."""
    if not isinstance(params, HestonParams):
        raise ValueError(f"params must be HestonParams, got {params!r}")  # noqa: TRY004 - one kind of error for arguments
    if scheme not in ("qe", "euler"):
        raise ValueError(f"scheme must be 'qe' or 'euler', got {scheme!r}")
    n_paths, n_steps = check_count("n_paths", n_paths), check_count("n_steps", n_steps)
    dt, s0, key = check_positive("dt", dt), check_positive("s0", s0), key_from_seed(seed)
    shape = (n_paths, 1 if terminal else n_steps + 1)
    price, variance = np.empty(shape), np.empty(shape)
    kernel = _qe_block if scheme == "qe" else _euler_block
    numbers = params.as_array()

    def block(first: int, last: int) -> None:
        kernel(key, first, numbers, dt, s0, n_steps, price[first:last], variance[first:last])

    for_blocks(block, n_paths, block=BLOCK)
    return price, variance


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
    for lane in range(min(LANES, price.shape[0] - row)):
        if price.shape[1] > 1:
            for t in range(steps):
                price[row + lane, start + t] = xs[t, lane]
                variance[row + lane, start + t] = vs[t, lane]
        elif start + steps > n_steps:
            price[row + lane, 0] = xs[first, lane]
            variance[row + lane, 0] = vs[first, lane]


@compiled(**KERNEL)
def _euler_block(
    key: np.uint64, first: int, params: Array, dt: float, s0: float, n_steps: int, price: Array, variance: Array
) -> None:
    """Fill `price` and `variance`, one row a path, with the paths from `first` on, `LANES` at a time."""
    mu, kappa, theta, xi, rho, v0 = params
    rest = math.sqrt(1.0 - rho * rho)
    x, v, xs, vs = np.empty(LANES), np.empty(LANES), np.empty((TILE, LANES)), np.empty((TILE, LANES))
    price[:, 0], variance[:, 0] = s0, v0
    for row in range(0, price.shape[0], LANES):
        x[:], v[:] = 0.0, v0
        for start in range(1, n_steps + 1, TILE):
            steps = min(TILE, n_steps + 1 - start)
            for t in range(steps):
                for lane in range(LANES):
                    z_v, z = normal_pair(key, first + row + lane, NOISE, start + t)
                    plus = max(v[lane], 0.0)
                    shock = math.sqrt(plus * dt)
                    x[lane] += (mu - 0.5 * plus) * dt + shock * (rho * z_v + rest * z)
                    v[lane] += kappa * (theta - plus) * dt + xi * shock * z_v
                    xs[t, lane], vs[t, lane] = x[lane], v[lane]
            _store(xs, vs, s0, row, start, steps, n_steps, price, variance)


@compiled(**INLINE)
def _quadratic(m: float, psi: float, z: float, tilt: float) -> tuple[float, float, bool]:
    """Andersen's equations 23, 27 and 28: ``a (b + z)**2`` with mean m and variance ``psi m**2``.

    Also the log of the mean of ``exp(tilt v)`` (his proposition 9) and whether that mean exists.
    """
    ratio = 2.0 / psi
    b2 = ratio - 1.0 + math.sqrt(max(ratio * (ratio - 1.0), 0.0))
    a = m / (1.0 + b2)
    root = math.sqrt(max(b2, 0.0)) + z
    gap = 1.0 - 2.0 * tilt * a
    exists = gap > TINY
    gap = max(gap, TINY)
    return a * root * root, tilt * b2 * a / gap - 0.5 * log(gap), exists


@compiled(**INLINE)
def _exponential(m: float, psi: float, u: float, tilt: float) -> tuple[float, float, bool]:
    """His equations 25, 29 and 30: an atom at zero with an exponential tail, of the same moments; as `_quadratic`."""
    p = max((psi - 1.0) / (psi + 1.0), 0.0)
    beta = (1.0 - p) / m
    tail = log(max((1.0 - p) / (1.0 - u), 1.0)) / beta
    gap = beta - tilt
    exists = gap > TINY
    return tail, log(p + beta * (1.0 - p) / max(gap, TINY)), exists


@compiled(**KERNEL)
def _qe_block(
    key: np.uint64, first: int, params: Array, dt: float, s0: float, n_steps: int, price: Array, variance: Array
) -> None:
    """As `_euler_block`.

    All lanes take the quadratic branch. Where some need the exponential one, all take that as well and each keeps its
    own, so that no loop over lanes has a jump.
    """
    mu, kappa, theta, xi, rho, v0 = params
    decay, relaxed = exp(-kappa * dt), -expm1(-kappa * dt)
    from_v = xi * xi * decay * relaxed / kappa
    from_theta = theta * xi * xi * relaxed * relaxed / (2.0 * kappa)
    middle = 0.5 * dt * (kappa * rho / xi - 0.5)  # the integral of v by the trapezoidal rule: gamma_1 = gamma_2 = 1/2
    k0, k1, k2 = -rho * kappa * theta / xi * dt, middle - rho / xi, middle + rho / xi
    k3 = 0.5 * dt * (1.0 - rho * rho)
    tilt = k2 + 0.5 * k3  # Andersen's A
    x, v, xs, vs = np.empty(LANES), np.empty(LANES), np.empty((TILE, LANES)), np.empty((TILE, LANES))
    noise, mean, spread, new, constant = (
        np.empty(LANES),
        np.empty(LANES),
        np.empty(LANES),
        np.empty(LANES),
        np.empty(LANES),
    )
    price[:, 0], variance[:, 0] = s0, v0
    for row in range(0, price.shape[0], LANES):
        x[:], v[:] = 0.0, v0
        for start in range(1, n_steps + 1, TILE):
            steps = min(TILE, n_steps + 1 - start)
            for t in range(steps):
                n_far = 0
                for lane in range(LANES):
                    z_v, noise[lane] = normal_pair(key, first + row + lane, NOISE, start + t)
                    m = theta * relaxed + v[lane] * decay
                    psi = (v[lane] * from_v + from_theta) / (m * m)
                    new[lane], log_mean, exists = _quadratic(m, psi, z_v, tilt)
                    constant[lane] = -log_mean - (k1 + 0.5 * k3) * v[lane] if exists else k0
                    mean[lane], spread[lane] = m, psi
                    n_far += psi > PSI_SWITCH
                if n_far > 0:
                    for lane in range(LANES):
                        u = uniform_pair(key, first + row + lane, ATOM, start + t)[0]
                        tail, log_mean, exists = _exponential(mean[lane], spread[lane], u, tilt)
                        far = -log_mean - (k1 + 0.5 * k3) * v[lane] if exists else k0
                        new[lane] = new[lane] if spread[lane] <= PSI_SWITCH else tail
                        constant[lane] = constant[lane] if spread[lane] <= PSI_SWITCH else far
                for lane in range(LANES):
                    old = v[lane]
                    drift = mu * dt + constant[lane] + k1 * old + k2 * new[lane]
                    x[lane] += drift + math.sqrt(k3 * (old + new[lane])) * noise[lane]
                    v[lane] = new[lane]
                    xs[t, lane], vs[t, lane] = x[lane], v[lane]
            _store(xs, vs, s0, row, start, steps, n_steps, price, variance)
