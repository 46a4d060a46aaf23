"""Chaos: a test and a system of Part I against statsmodels and scipy.

`python benchmarks/chaos.py`. The contenders must agree before the clock starts.
"""

import numpy as np
from _timing import Row, main, race
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from statsmodels.tsa.stattools import bds

from companion.chaos import Lorenz, bds_test

Array = NDArray[np.float64]


def bds_rows(n_points: int, *, rounds: int) -> list[Row]:
    """The BDS statistics of dimensions two to five."""
    series = np.random.default_rng(0).standard_normal(n_points)

    def peer() -> Array:
        return np.asarray(bds(series, max_dim=5, distance=1.0)[0])

    np.testing.assert_allclose(bds_test(series, max_dimension=5)["z"], peer(), rtol=1e-8)
    contenders = {"companion": lambda: bds_test(series, max_dimension=5), "statsmodels": peer}
    return race(f"BDS, dimension 2 to 5, {n_points:,} points", contenders, rounds=rounds)


def flow_rows(duration: float, *, rounds: int) -> list[Row]:
    """A trajectory of Lorenz, as exact as the other's."""
    system, start = Lorenz(dt=0.02), np.array([1.0, 1.0, 20.0])
    n_points = round(duration / system.dt) + 1
    times = system.dt * np.arange(n_points)

    def field(_: float, state: Array) -> Array:
        return system.field(state)

    def peer() -> Array:
        done = solve_ivp(field, (0.0, times[-1]), start, "DOP853", times, rtol=1e-9, atol=1e-9)
        return np.asarray(done.y.T)

    def ours() -> Array:
        return system.simulate(n_points, seed=0, initial=start)

    early = slice(0, round(5 / system.dt))  # later their rounding has grown
    np.testing.assert_allclose(ours()[early], peer()[early], atol=1e-4)
    contenders = {"companion": ours, "scipy, DOP853": peer}
    return race(f"Lorenz, {duration:g} units of time", contenders, rounds=rounds)


def measure(tiny: bool) -> list[Row]:
    """Both."""
    rounds = 1 if tiny else 5
    return bds_rows(200 if tiny else 2000, rounds=rounds) + flow_rows(10.0 if tiny else 100.0, rounds=rounds)


if __name__ == "__main__":
    main("chaos", measure, "Chaos: a test of independence and a trajectory")
