"""Sensitivity seen: two orbits that start next to each other."""

import numpy as np

from companion._checks import Floats, check_positive, check_seed
from companion.chaos._flows import Lorenz, Rossler
from companion.chaos._maps import Henon, LogisticMap
from companion.chaos._systems import Seed


def separation(
    system: Lorenz | Rossler | Henon | LogisticMap, *, distance: float, duration: float, seed: Seed
) -> tuple[Floats, Floats]:
    """Follow two orbits that start `distance` apart, in a random direction from a point on the attractor.

    Parameters
    ----------
    system : Lorenz, Rossler, Henon or LogisticMap
        A system whose state is its coordinates, which that of a delay equation or a process is not.
    distance : float
        Distance at the start; small beside the attractor.
    duration : float
        Time to follow them, or iterations.
    seed : int or numpy.random.Generator
        Draws the point and the direction.

    Returns
    -------
    times : ndarray of shape (n_points,)
        From 0 on, in steps of the system's `dt`.
    distances : ndarray of shape (n_points,)
        Euclidean distance of the two orbits; it grows as the exponential of the largest Lyapunov exponent until it is
        as large as the attractor.

    Raises
    ------
    ValueError
        If the system is of another kind, if `distance` or `duration` is not positive, if the second orbit leaves the
        basin, or if `seed` is not valid.
    """
    if not isinstance(system, Lorenz | Rossler | Henon | LogisticMap):
        name = getattr(system, "name", type(system).__name__)
        raise ValueError(f"system must be Lorenz, Rossler, Henon or LogisticMap, whose state is a point, got {name}")  # noqa: TRY004
    check_positive("distance", distance)
    check_seed(seed)
    n_points = int(check_positive("duration", duration) / system.dt * (1 + 1e-12)) + 1
    generator = np.random.default_rng(seed)
    start = system.simulate(1, seed=generator)[0]
    direction = generator.standard_normal(len(start))
    direction /= np.linalg.norm(direction)
    if isinstance(system, LogisticMap):
        direction = np.where(start < 0.5, 1.0, -1.0)  # towards the middle, so that both are in the unit interval
    first = system.simulate(n_points, seed=generator, initial=start)
    second = system.simulate(n_points, seed=generator, initial=start + distance * direction)
    return system.dt * np.arange(n_points, dtype=np.float64), np.sqrt(((second - first) ** 2).sum(axis=1))
