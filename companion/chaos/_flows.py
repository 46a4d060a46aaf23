"""Two flows with a strange attractor: Lorenz's and Rössler's."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, check_finite, check_positive, check_seed
from companion.chaos import _flow_kernels as kernels
from companion.chaos._systems import (
    Seed,
    TangentGrowth,
    check_bounded,
    check_exponents,
    check_lengths,
    check_start,
    check_states,
)

#: A step is this share of a time that the parameters set (1 over 1 + the sum of their sizes). It leaves points within
#: 4e-10 of scipy's over 2 to 10 units of time, and the sum of a spectrum within 1e-7 of the mean divergence.
STEP_SHARE = 0.4
#: Steps after which a frame of perturbations is made orthonormal again.
STEPS_BETWEEN = 16


class _Flow(ABC):
    """What the two flows share: the integrator, and the arrays."""

    dt: float
    coordinates: ClassVar[tuple[str, ...]] = ("x", "y", "z")
    _kind: ClassVar[int]
    _transient: ClassVar[float]  # units of time after which an orbit is on the attractor
    _velocity: ClassVar[Callable[..., tuple[Any, Any, Any]]]
    _push: ClassVar[Callable[..., tuple[Any, Any, Any]]]

    @abstractmethod
    def _parameters(self) -> tuple[float, float, float]:
        """The three parameters of the equations."""

    @abstractmethod
    def _draw_start(self, generator: np.random.Generator) -> Floats:
        """A point from which orbits come to the attractor."""

    def field(self, states: ArrayLike) -> NDArray:
        """Velocity at each of `states`, shape (…, 3), in the same shape."""
        return np.stack(type(self)._velocity(*self._split(states), *self._parameters()), axis=-1)

    def jacobian(self, states: ArrayLike) -> NDArray:
        """Derivatives of the velocity (rows) by the state (columns) at each of `states`, shape (…, 3) to (…, 3, 3)."""
        x, y, z = self._split(states)
        pushed = [type(self)._push(x, y, z, *unit, *self._parameters()) for unit in np.eye(3)]
        columns = [np.broadcast_arrays(x, *push)[1:] for push in pushed]
        return np.stack([np.stack(column, axis=-1) for column in columns], axis=-1)

    def divergence(self, states: ArrayLike) -> NDArray:
        """Trace of the Jacobian at each of `states`, shape (…): the rate at which a small volume grows there."""
        return np.trace(self.jacobian(states), axis1=-2, axis2=-1)

    @property
    def step(self) -> float:
        """Longest step of the integrator, in units of time; a point takes the fewest equal steps that are no longer."""
        return STEP_SHARE / (1.0 + sum(abs(value) for value in self._parameters()))

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Integrate the equations at equal steps of eighth order, and return points `dt` apart.

        Parameters
        ----------
        n_points : int
            Points to return.
        seed : int or numpy.random.Generator
            Draws the start where `initial` is None.
        initial : array_like of shape (3,), optional
            Where to start; by default somewhere near the attractor.
        n_transient : int, optional
            Points to throw away first. By default none if `initial` is given, so that it is the first point; otherwise
            as many as it takes to be on the attractor.

        Returns
        -------
        ndarray of shape (n_points, 3)

        Raises
        ------
        ValueError
            If an argument is not valid, or the orbit runs off to infinity.
        """
        check_seed(seed)
        n_points, n_transient = check_lengths(
            n_points, n_transient, initial=initial, default_transient=math.ceil(self._transient / self.dt)
        )
        if initial is None:
            start = self._draw_start(np.random.default_rng(seed))
        else:
            start = check_start(initial, self.coordinates)
        parameters = np.array(self._parameters())
        substeps = math.ceil(self.dt / self.step)
        points = kernels.orbit(self._kind, parameters, start, n_transient + n_points, self.dt, substeps)
        return check_bounded(points)[n_transient:]

    def tangent_growth(self, *, n_exponents: int | None, duration: float, n_blocks: int, seed: Seed) -> TangentGrowth:
        """Follow an orbit with a frame of perturbations by the equations linearized along it.

        A tenth of `duration` is run first and thrown away, so that the frame finds its directions.

        Parameters
        ----------
        n_exponents : int or None
            Perturbations to follow; None for 3.
        duration : float
            Units of time; rounded up to whole blocks.
        n_blocks : int
            Blocks of equal length.
        seed : int or numpy.random.Generator
            Draws the start and the first frame.

        Raises
        ------
        ValueError
            If an argument is not valid, or the orbit runs off to infinity.
        """
        n_exponents = check_exponents(n_exponents, 3)
        generator = np.random.default_rng(seed)
        y = np.zeros(4 + 3 * n_exponents)
        y[:3] = self.simulate(1, seed=generator)[0]
        y[4:] = np.linalg.qr(generator.standard_normal((3, 3)))[0][:n_exponents].ravel()
        parameters, stretch = np.array(self._parameters()), STEPS_BETWEEN * self.step
        per_block = math.ceil(duration / (n_blocks * stretch))
        run = (STEPS_BETWEEN, self.step)
        kernels.follow_frame(self._kind, parameters, y, 1, math.ceil(n_blocks * per_block / 10), *run)
        growth, divergence = kernels.follow_frame(self._kind, parameters, y, n_blocks, per_block, *run)
        check_bounded(y[None, :3])
        return TangentGrowth(
            rates=growth / (per_block * stretch),
            divergence=float(divergence.sum() / (n_blocks * per_block * stretch)),
            block_duration=per_block * stretch,
            n_dimensions=3.0,
        )

    def _split(self, states: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
        x, y, z = np.moveaxis(check_states(states, self.coordinates), -1, 0)
        return x, y, z


@dataclass(frozen=True)
class Lorenz(_Flow):
    r"""Lorenz's (1963) convection: ``x' = sigma (y - x)``, ``y' = x (rho - z) - y``, ``z' = x y - beta z``.

    Parameters
    ----------
    sigma, rho, beta : float
        Prandtl number, relative Rayleigh number and shape of the cell; positive.
    dt : float
        Time between two points.

    Attributes
    ----------
    name : str
        ``"Lorenz"``.
    coordinates : tuple of str
        ``("x", "y", "z")``.

    Raises
    ------
    ValueError
        If a parameter is not a positive finite number.
    """

    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8.0 / 3.0
    dt: float = 0.02
    name: ClassVar[str] = "Lorenz"
    _kind = kernels.LORENZ
    _transient = 50.0
    _velocity = staticmethod(kernels.lorenz_field)
    _push = staticmethod(kernels.lorenz_push)

    def __post_init__(self) -> None:
        for field in ("sigma", "rho", "beta", "dt"):
            check_positive(field, getattr(self, field))

    def _parameters(self) -> tuple[float, float, float]:
        return self.sigma, self.rho, self.beta

    def _draw_start(self, generator: np.random.Generator) -> Floats:
        return generator.uniform((-10.0, -10.0, self.rho - 11.0), (10.0, 10.0, self.rho + 9.0))


@dataclass(frozen=True)
class Rossler(_Flow):
    r"""Rössler's (1976) band: ``x' = -y - z``, ``y' = x + a y``, ``z' = b + z (x - c)``.

    Parameters
    ----------
    a, b, c : float
        Growth of the spiral, inflow, and the height at which the orbit folds back.
    dt : float
        Time between two points; positive.

    Attributes
    ----------
    name : str
        ``"Rössler"``.
    coordinates : tuple of str
        ``("x", "y", "z")``.

    Raises
    ------
    ValueError
        If a parameter is not finite, or `dt` is not positive.
    """

    a: float = 0.2
    b: float = 0.2
    c: float = 5.7
    dt: float = 0.1
    name: ClassVar[str] = "Rössler"
    _kind = kernels.ROSSLER
    _transient = 300.0
    _velocity = staticmethod(kernels.rossler_field)
    _push = staticmethod(kernels.rossler_push)

    def __post_init__(self) -> None:
        for field in ("a", "b", "c"):
            check_finite(field, getattr(self, field))
        check_positive("dt", self.dt)

    def _parameters(self) -> tuple[float, float, float]:
        return self.a, self.b, self.c

    def _draw_start(self, generator: np.random.Generator) -> Floats:
        return generator.uniform((-4.0, -4.0, 0.0), (4.0, 4.0, 1.0))
