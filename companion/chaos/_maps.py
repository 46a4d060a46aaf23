"""Two maps with chaos: Hénon's of the plane, and the logistic map of the unit interval."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, check_finite, check_seed
from companion._jit import compiled
from companion.chaos._flow_kernels import orthonormalize
from companion.chaos._systems import (
    Seed,
    TangentGrowth,
    check_bounded,
    check_exponents,
    check_lengths,
    check_start,
    check_states,
)

#: Iterations after which an orbit is on the attractor.
TRANSIENT = 1000


@dataclass(frozen=True)
class Henon:
    """Hénon's (1976) map: ``x' = 1 - a x² + y``, ``y' = b x``.

    Parameters
    ----------
    a, b : float
        Strength of the fold, and the factor by which areas shrink (and turn over); `b` is not zero.

    Attributes
    ----------
    name : str
        ``"Hénon"``.
    coordinates : tuple of str
        ``("x", "y")``.
    dt : float
        1.

    Raises
    ------
    ValueError
        If a parameter is not finite, or `b` is zero.
    """

    a: float = 1.4
    b: float = 0.3
    name: ClassVar[str] = "Hénon"
    coordinates: ClassVar[tuple[str, ...]] = ("x", "y")
    dt: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_finite("a", self.a)
        if check_finite("b", self.b) == 0:
            raise ValueError("b must not be zero, where the map has one dimension: use LogisticMap, got 0")

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Iterate the map.

        Parameters
        ----------
        n_points : int
            Points to return.
        seed : int or numpy.random.Generator
            Draws the start where `initial` is None.
        initial : array_like of shape (2,), optional
            Where to start; by default near the origin.
        n_transient : int, optional
            Points to throw away first; by default none if `initial` is given, so that it is the first point, else 1000.

        Returns
        -------
        ndarray of shape (n_points, 2)

        Raises
        ------
        ValueError
            If an argument is not valid, or the orbit runs off to infinity.
        """
        check_seed(seed)
        n_points, n_transient = check_lengths(n_points, n_transient, initial=initial, default_transient=TRANSIENT)
        if initial is None:
            start = np.random.default_rng(seed).uniform(-0.1, 0.1, 2)
        else:
            start = check_start(initial, self.coordinates)
        points = _henon_orbit(self.a, self.b, start, n_transient + n_points)
        return check_bounded(points)[n_transient:]

    def iterate(self, states: ArrayLike) -> NDArray:
        """Images of `states`, shape (…, 2), in the same shape."""
        x, y = np.moveaxis(check_states(states, self.coordinates), -1, 0)
        return np.stack([1.0 - self.a * x**2 + y, self.b * x], axis=-1)

    def jacobian(self, states: ArrayLike) -> NDArray:
        """Matrix of derivatives at each of `states`, shape (…, 2) to (…, 2, 2)."""
        x = check_states(states, self.coordinates)[..., 0]
        one, zero = np.ones_like(x), np.zeros_like(x)
        return np.stack([np.stack([-2.0 * self.a * x, one], -1), np.stack([self.b * one, zero], -1)], -2)

    def tangent_growth(self, *, n_exponents: int | None, duration: float, n_blocks: int, seed: Seed) -> TangentGrowth:
        """Follow an orbit with a frame of perturbations; `duration` in iterations, a tenth more is thrown away first.

        Raises
        ------
        ValueError
            If an argument is not valid, or the orbit runs off to infinity.
        """
        n_exponents = check_exponents(n_exponents, 2)
        generator = np.random.default_rng(seed)
        point = self.simulate(1, seed=generator)[0]
        frame = np.linalg.qr(generator.standard_normal((2, 2)))[0][:n_exponents]
        per_block = math.ceil(duration / n_blocks)
        _henon_growth(self.a, self.b, point, frame, 1, math.ceil(n_blocks * per_block / 10))
        growth = _henon_growth(self.a, self.b, point, frame, n_blocks, per_block)
        check_bounded(point[None])
        return TangentGrowth(
            rates=growth / per_block,
            divergence=math.log(abs(self.b)),
            block_duration=float(per_block),
            n_dimensions=2.0,
        )


@dataclass(frozen=True)
class LogisticMap:
    """The logistic map, ``x' = r x (1 - x)`` (May 1976); at ``r = 4`` its exponent is log 2.

    Parameters
    ----------
    r : float
        Between 0 and 4, so that the unit interval is mapped into itself; 0 excluded.

    Attributes
    ----------
    name : str
        ``"logistic map"``.
    coordinates : tuple of str
        ``("x",)``.
    dt : float
        1.

    Raises
    ------
    ValueError
        If `r` is outside (0, 4].

    Notes
    -----
    In double precision every orbit ends in a cycle. At ``r = 4`` twelve orbits from random starts all ended in one
    cycle of 5,638,349 points, after 14 to 140 million iterations: series of a few million points are not touched. A
    start that is a short binary fraction (.5, .75) is, and ends at a fixed point at once.
    """

    r: float = 4.0
    name: ClassVar[str] = "logistic map"
    coordinates: ClassVar[tuple[str, ...]] = ("x",)
    dt: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not 0 < check_finite("r", self.r) <= 4:
            raise ValueError(f"r must lie above 0 and be at most 4, got {self.r!r}")

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Iterate the map.

        Parameters
        ----------
        n_points : int
            Points to return.
        seed : int or numpy.random.Generator
            Draws the start where `initial` is None.
        initial : array_like of shape (1,), optional
            Where to start, in [0, 1]; by default anywhere there.
        n_transient : int, optional
            Points to throw away first; by default none if `initial` is given, so that it is the first point, else 1000.

        Returns
        -------
        ndarray of shape (n_points, 1)

        Raises
        ------
        ValueError
            If an argument is not valid.
        """
        check_seed(seed)
        n_points, n_transient = check_lengths(n_points, n_transient, initial=initial, default_transient=TRANSIENT)
        if initial is None:
            start = np.random.default_rng(seed).uniform(size=1)
        else:
            start = check_start(initial, self.coordinates)
            if not 0 <= start[0] <= 1:
                raise ValueError(f"initial must lie in [0, 1], got {initial!r}")
        return _logistic_orbit(self.r, start[0], n_transient + n_points)[n_transient:, None]

    def iterate(self, states: ArrayLike) -> NDArray:
        """Images of `states`, shape (…, 1), in the same shape."""
        x = check_states(states, self.coordinates)
        return self.r * x * (1.0 - x)

    def jacobian(self, states: ArrayLike) -> NDArray:
        """Derivative at each of `states`, shape (…, 1) to (…, 1, 1)."""
        return self.r * (1.0 - 2.0 * check_states(states, self.coordinates)[..., None])

    def tangent_growth(self, *, n_exponents: int | None, duration: float, n_blocks: int, seed: Seed) -> TangentGrowth:
        """Mean of log|derivative| over blocks of one orbit; `duration` in iterations.

        Raises
        ------
        ValueError
            If an argument is not valid.
        """
        check_exponents(n_exponents, 1)
        start = self.simulate(1, seed=seed)[0, 0]
        per_block = math.ceil(duration / n_blocks)
        rates = _logistic_growth(self.r, start, n_blocks, per_block)[:, None] / per_block
        return TangentGrowth(
            rates=rates, divergence=float(rates.mean()), block_duration=float(per_block), n_dimensions=1.0
        )


@compiled(error_model="numpy")
def _henon_orbit(a: float, b: float, start: Floats, n_points: int) -> Floats:
    points = np.empty((n_points, 2))
    points[0, 0], points[0, 1] = start[0], start[1]
    for t in range(1, n_points):
        points[t, 0] = 1.0 - a * points[t - 1, 0] ** 2 + points[t - 1, 1]
        points[t, 1] = b * points[t - 1, 0]
    return points


@compiled(error_model="numpy")
def _henon_growth(a: float, b: float, point: Floats, frame: Floats, n_blocks: int, per_block: int) -> Floats:
    """Logarithmic growth of the rows of `frame` by block; `point` and `frame` are moved along."""
    growth = np.zeros((n_blocks, len(frame)))
    for block in range(n_blocks):
        for _ in range(per_block):
            for i in range(len(frame)):
                frame[i, 0], frame[i, 1] = -2.0 * a * point[0] * frame[i, 0] + frame[i, 1], b * frame[i, 0]
            point[0], point[1] = 1.0 - a * point[0] ** 2 + point[1], b * point[0]
            orthonormalize(frame, growth[block])
    return growth


@compiled(error_model="numpy")
def _logistic_orbit(r: float, x: float, n_points: int) -> Floats:
    points = np.empty(n_points)
    for t in range(n_points):
        points[t] = x
        x = r * x * (1.0 - x)
    return points


@compiled(error_model="numpy")
def _logistic_growth(r: float, x: float, n_blocks: int, per_block: int) -> Floats:
    growth = np.zeros(n_blocks)
    for block in range(n_blocks):
        for _ in range(per_block):
            growth[block] += np.log(np.abs(r * (1.0 - 2.0 * x)))
            x = r * x * (1.0 - x)
    return growth
