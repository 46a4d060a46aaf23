"""Simulating Heston's model, against NumPy, hestonpy and QuantLib; the random numbers alone; the particle filter.

`python benchmarks/heston.py`. QuantLib draws one path a call; it is timed on fewer paths and scaled up. A path of its
generator is an object of its own; who wants the array that the others give must copy it, and both are shown.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import QuantLib as ql  # noqa: N813 - the name that its documentation uses
from _timing import Row, main, race
from hestonpy.models.heston import Heston
from numba import njit
from numpy.typing import NDArray

from companion.heston import HestonParams, RegimeSwitchingHeston, bayes_filter, simulate_heston
from companion.heston.kernels._blocks import for_blocks
from companion.heston.kernels._random import fill_normals, key_from_seed

PARAMS = HestonParams(mu=0.05, kappa=5.0, theta=0.04, xi=0.5, rho=-0.7, v0=0.04)
DT, S0 = 1 / 252, 100.0
LANES, BLOCK = 32, 256
QUANTLIB_SHARE = 100  # QuantLib gets one path in so many

Array = NDArray[np.float64]


def numpy_euler(n_paths: int, n_steps: int) -> tuple[Array, Array]:
    """Full-truncation Euler, all paths at once; time first, because that is the faster layout for it."""
    rng, p = np.random.default_rng(0), PARAMS
    price, variance = np.empty((n_steps + 1, n_paths)), np.empty((n_steps + 1, n_paths))
    x, v, rest = np.zeros(n_paths), np.full(n_paths, p.v0), math.sqrt(1 - p.rho**2)
    price[0], variance[0] = S0, p.v0
    for t in range(1, n_steps + 1):
        z_v, z = rng.standard_normal((2, n_paths))
        plus = np.maximum(v, 0)
        shock = np.sqrt(plus * DT)
        x += (p.mu - 0.5 * plus) * DT + shock * (p.rho * z_v + rest * z)
        v += p.kappa * (p.theta - plus) * DT + p.xi * shock * z_v
        price[t], variance[t] = S0 * np.exp(x), np.maximum(v, 0)
    return price.T, variance.T


def hestonpy_euler(n_paths: int, n_steps: int) -> Callable[[], object]:
    """hestonpy's Euler scheme."""
    p = PARAMS
    model = Heston(S0, p.v0, p.mu, p.kappa, p.theta, 0.0, p.xi, p.rho)
    return lambda: model.simulate(n_steps * DT, "euler", n_steps, n_paths)


def quantlib_euler(n_paths: int, n_steps: int, *, store: bool) -> Callable[[], object]:
    """QuantLib's full-truncation Euler: paths drawn only, or also copied into arrays as the others have them."""
    p, today = PARAMS, ql.Date(1, 1, 2024)
    rates = [ql.YieldTermStructureHandle(ql.FlatForward(today, rate, ql.Actual365Fixed())) for rate in (p.mu, 0.0)]
    spot = ql.QuoteHandle(ql.SimpleQuote(S0))
    process = ql.HestonProcess(*rates, spot, p.v0, p.kappa, p.theta, p.xi, p.rho, ql.HestonProcess.FullTruncation)
    uniforms = ql.UniformRandomSequenceGenerator(2 * n_steps, ql.UniformRandomGenerator(42))
    times = [DT * step for step in range(n_steps + 1)]
    generator = ql.GaussianMultiPathGenerator(process, times, ql.GaussianRandomSequenceGenerator(uniforms), False)
    price, variance = np.empty((n_paths, n_steps + 1)), np.empty((n_paths, n_steps + 1))

    def call() -> tuple[Array, Array]:
        for i in range(n_paths):
            path = generator.next().value()
            if store:
                price[i], variance[i] = list(path[0]), list(path[1])
        return price, variance

    return call


@njit(nogil=True, error_model="numpy")
def _normals(key: np.uint64, first: int, last: int, n_steps: int, drawn: Array) -> None:
    """Draw the normals that a simulation of these paths needs; what is drawn is overwritten at once."""
    for row in range(first, last, LANES):
        for step in range(n_steps):
            fill_normals(key, row, 0, step, drawn[0], drawn[1])


def random_numbers(n_paths: int, n_steps: int) -> Callable[[], object]:
    """Our random numbers alone, on as many threads as the simulation."""
    key = key_from_seed(0)

    def block(first: int, last: int) -> None:
        _normals(key, first, last, n_steps, np.empty((2, LANES)))

    return lambda: for_blocks(block, n_paths, block=BLOCK)


def particle_filter(n_paths: int, n_bars: int, n_particles: int) -> Row:
    """The ceiling of the base market, timed once, as it lasts seconds."""
    market = RegimeSwitchingHeston.equity_index()
    returns = market.simulate(n_paths=n_paths, n_steps=n_bars, seed=19).log_returns
    bayes_filter(returns[:1, :2], market, n_particles=n_particles, seed=0)  # compiled, or read from numba's cache
    start = time.perf_counter()
    bayes_filter(returns, market, n_particles=n_particles, seed=20)
    case = f"particle filter, {n_paths} x {n_bars:,}, {n_particles:,} particles"
    return Row(case, "companion", time.perf_counter() - start, "s")


def measure(tiny: bool) -> list[Row]:
    """Race both schemes against the others' Euler, and Euler against its random numbers; time the filter."""
    n_paths, n_steps, rounds = (200, 5, 1) if tiny else (20_000, 252, 15)
    size = f"{n_paths:,} x {n_steps}"

    def companion(scheme: str) -> Callable[[], object]:
        return lambda: simulate_heston(PARAMS, n_paths=n_paths, n_steps=n_steps, scheme=scheme, seed=0)  # type: ignore[arg-type]

    others: dict[str, Callable[[], object]] = {
        "NumPy, Euler": lambda: numpy_euler(n_paths, n_steps),
        "hestonpy, Euler": hestonpy_euler(n_paths, n_steps),
        "QuantLib, Euler, into arrays": quantlib_euler(n_paths // QUANTLIB_SHARE, n_steps, store=True),
        "QuantLib, Euler, drawn only": quantlib_euler(n_paths // QUANTLIB_SHARE, n_steps, store=False),
    }
    rows: list[Row] = []
    for scheme, name in (("euler", "Euler"), ("qe", "quadratic-exponential")):
        rows += race(f"{name}, {size}", {"companion": companion(scheme), **others}, rounds=rounds)
    rows = [_scaled(row) if row.contender.startswith("QuantLib") else row for row in rows]
    limits: dict[str, Callable[[], object]] = {
        "companion": companion("euler"),
        "its random numbers alone": random_numbers(n_paths, n_steps),
        "NumPy's standard_normal alone": lambda: np.random.default_rng(0).standard_normal((2 * n_steps, n_paths)),
    }
    rows += race(f"random numbers for Euler, {size}", limits, rounds=rounds)
    return [*rows, particle_filter(*((2, 20, 10) if tiny else (40, 2500, 3000)))]


def _scaled(row: Row) -> Row:
    assert row.ratio is not None
    return row._replace(value=row.value * QUANTLIB_SHARE, ratio=row.ratio * QUANTLIB_SHARE)


if __name__ == "__main__":
    main("heston", measure, "Simulating and filtering Heston's model; paths x steps, float64, price and variance kept")
