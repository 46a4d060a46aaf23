"""What every system offers: points on its attractor, and how fast volumes around them grow, where that is defined."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, check_count

Seed = int | np.random.Generator


class System(Protocol):
    """A source of series, deterministic or stochastic.

    Attributes
    ----------
    name : str
        What the system is called in a table or a legend.
    coordinates : tuple of str
        Names of the coordinates, the columns of what `simulate` returns.
    dt : float
        Time between two points; 1 for maps and for processes that count bars.
    """

    @property
    def name(self) -> str:
        """What the system is called in a table or a legend."""
        ...

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the coordinates, the columns of what `simulate` returns."""
        ...

    @property
    def dt(self) -> float:
        """Time between two points."""
        ...

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Return points of shape (n_points, n_coordinates), after `n_transient` that are thrown away."""
        ...


@dataclass(frozen=True)
class TangentGrowth:
    """How small volumes grew along one orbit, block by block of equal length.

    Attributes
    ----------
    rates : ndarray of shape (n_blocks, n_exponents)
        Mean rate of growth along each direction of the moving orthonormal frame, in nats per unit of time.
    divergence : float
        Mean over the whole orbit of the divergence of a flow, or of log|det J| of a map; NaN where the phase space is
        infinite. By Liouville's formula it is the sum of the full spectrum.
    block_duration : float
        Length of a block in units of time, or iterations.
    n_dimensions : float
        Dimension of the phase space; infinite for a delay equation.
    """

    rates: Floats
    divergence: float
    block_duration: float
    n_dimensions: float


@runtime_checkable
class DeterministicSystem(System, Protocol):
    """A system with known equations: it can also follow small perturbations of an orbit."""

    def tangent_growth(self, *, n_exponents: int | None, duration: float, n_blocks: int, seed: Seed) -> TangentGrowth:
        """Follow an orbit and an orthonormal frame of `n_exponents` perturbations, for at least `duration`."""
        ...


def check_start(initial: ArrayLike, coordinates: tuple[str, ...]) -> Floats:
    """`initial` as finite floats, one for each coordinate; else a `ValueError`."""
    point = np.asarray(initial)
    if point.shape != (len(coordinates),) or point.dtype.kind not in "fiu" or not np.isfinite(point).all():
        raise ValueError(f"initial must be finite numbers, one for each of {coordinates}, got {initial!r}")
    return point.astype(np.float64)


def check_states(states: ArrayLike, coordinates: tuple[str, ...]) -> NDArray:
    """Points of shape (…, n_coordinates) as float64, or complex as they are; else a `ValueError`."""
    given = np.asarray(states)
    if given.ndim == 0 or given.shape[-1] != len(coordinates) or given.dtype.kind not in "fiuc":
        raise ValueError(
            f"states must be numbers of shape (…, {len(coordinates)}), got shape {given.shape} of {given.dtype}"
        )
    return given.astype(np.result_type(given, np.float64))


def check_lengths(
    n_points: Any, n_transient: Any, *, initial: ArrayLike | None, default_transient: int
) -> tuple[int, int]:
    """Points to keep and to throw away: by default none of an orbit whose start was given, else `default_transient`."""
    n_points = check_count("n_points", n_points)
    if n_transient is None:
        return n_points, default_transient if initial is None else 0
    return n_points, check_count("n_transient", n_transient, least=0)


def check_exponents(n_exponents: Any, n_dimensions: int) -> int:
    """Number of exponents, all of them if None; a `ValueError` if there are not that many."""
    if n_exponents is None:
        return n_dimensions
    if check_count("n_exponents", n_exponents) > n_dimensions:
        raise ValueError(f"n_exponents must be at most {n_dimensions}, the dimension, got {n_exponents!r}")
    return int(n_exponents)


def check_bounded(points: Floats) -> Floats:
    """`points` if they are finite; a `ValueError` if the orbit ran off to infinity."""
    if not np.isfinite(points).all():
        raise ValueError(
            "initial must lie in the basin of a bounded attractor, got an orbit that ran off to infinity: start "
            "elsewhere, or choose other parameters"
        )
    return points
