"""The Mackey–Glass equation: a flow whose present depends on a past, so that its state is a function."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats, check_positive, check_seed
from companion._jit import compiled
from companion.chaos._flow_kernels import dot
from companion.chaos._systems import (
    Seed,
    TangentGrowth,
    check_bounded,
    check_exponents,
    check_lengths,
    check_start,
)

#: A step is this share of the time in which the equation can change a perturbation by its own size.
STEP_SHARE = 0.1
#: Delays after which an orbit is on the attractor.
TRANSIENT = 100
#: Exponents by default: enough for the dimension of the attractor up to a delay of about 30.
N_EXPONENTS = 4


@dataclass(frozen=True)
class MackeyGlass:
    r"""The Mackey–Glass (1977) model of blood cells, a delay equation.

    .. math:: x'(t) = \frac{\beta\,x(t - \tau)}{1 + x(t - \tau)^n} - \gamma\,x(t)

    Parameters
    ----------
    beta, gamma, n : float
        Production, decay and steepness; positive.
    tau : float
        Delay, in units of time; positive. Chaos begins near 17 with the other parameters as they are by default.
    dt : float
        Time between two points; positive.

    Attributes
    ----------
    name : str
        ``"Mackey–Glass"``.
    coordinates : tuple of str
        ``("x",)``, the present; the state is all of x over one delay.

    Raises
    ------
    ValueError
        If a parameter is not a positive finite number.

    Notes
    -----
    The method of steps: within a delay the past is known, and the equation is an ordinary one. It is solved by the
    classical Runge-Kutta scheme, `n_steps` to a delay; between nodes the past, and the points that are returned, are
    Hermite's cubic through values and slopes. The whole is of fourth order.
    """

    beta: float = 0.2
    gamma: float = 0.1
    n: float = 10.0
    tau: float = 17.0
    dt: float = 1.0
    name: ClassVar[str] = "Mackey–Glass"
    coordinates: ClassVar[tuple[str, ...]] = ("x",)

    def __post_init__(self) -> None:
        for field in ("beta", "gamma", "n", "tau", "dt"):
            check_positive(field, getattr(self, field))

    @property
    def n_steps(self) -> int:
        """Steps of the integrator in one delay."""
        # The slope of the production is beta at zero, and at its steepest fall -beta (n - 1)² / (4 n).
        steepest = self.gamma + self.beta * max(1.0, (self.n - 1.0) ** 2 / (4.0 * self.n))
        return max(math.ceil(self.tau * steepest / STEP_SHARE), 8)

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Integrate from a constant past, and return points `dt` apart.

        Parameters
        ----------
        n_points : int
            Points to return.
        seed : int or numpy.random.Generator
            Draws the past where `initial` is None.
        initial : array_like of shape (1,), optional
            Value of x at time zero and all times before; not negative. By default between .5 and 1.3.
        n_transient : int, optional
            Points to throw away first. By default none if `initial` is given, so that it is the first point; otherwise
            100 delays.

        Returns
        -------
        ndarray of shape (n_points, 1)

        Raises
        ------
        ValueError
            If an argument is not valid.
        """
        check_seed(seed)
        transient = math.ceil(TRANSIENT * self.tau / self.dt)
        n_points, n_transient = check_lengths(n_points, n_transient, initial=initial, default_transient=transient)
        if initial is None:
            start = self._draw_start(np.random.default_rng(seed))
        else:
            start = float(check_start(initial, self.coordinates)[0])
            if start < 0:
                raise ValueError(f"initial must not be negative, got {initial!r}")
        return _delay_orbit(self._parameters(), start, self.n_steps, n_transient + n_points, self.dt)[
            n_transient:, None
        ]

    def tangent_growth(self, *, n_exponents: int | None, duration: float, n_blocks: int, seed: Seed) -> TangentGrowth:
        """Follow an orbit with perturbations of its whole past, by the equation linearized along it (Farmer 1982).

        A hundred delays bring the orbit to the attractor; then a tenth of `duration` is run and thrown away, so that
        the frame finds its directions.

        Parameters
        ----------
        n_exponents : int or None
            Perturbations to follow, of infinitely many; None for 4.
        duration : float
            Units of time; rounded up to whole delays in a block.
        n_blocks : int
            Blocks of equal length.
        seed : int or numpy.random.Generator
            Draws the start and the first frame.

        Raises
        ------
        ValueError
            If an argument is not valid.
        """
        n_nodes = self.n_steps + 1
        n_exponents = check_exponents(N_EXPONENTS if n_exponents is None else n_exponents, n_nodes)
        generator = np.random.default_rng(seed)
        past, frame = np.zeros((2, n_nodes)), np.zeros((2, n_exponents, n_nodes))
        past[0] = self._draw_start(generator)
        frame[0] = generator.standard_normal((n_exponents, n_nodes))
        per_block = math.ceil(duration / (n_blocks * self.tau))
        warm_up = TRANSIENT + math.ceil(n_blocks * per_block / 10)
        _delay_growth(self._parameters(), past, frame, 1, warm_up)
        growth = _delay_growth(self._parameters(), past, frame, n_blocks, per_block)
        check_bounded(past[:1])
        return TangentGrowth(
            rates=growth / (per_block * self.tau),
            divergence=math.nan,
            block_duration=per_block * self.tau,
            n_dimensions=math.inf,
        )

    def _parameters(self) -> Floats:
        return np.array([self.beta, self.gamma, self.n, self.tau])

    def _draw_start(self, generator: np.random.Generator) -> float:
        return generator.uniform(0.5, 1.3)


@compiled(error_model="numpy")
def _produce(x: float, beta: float, n: float) -> tuple[float, float]:
    """Production that follows from a past of `x`, and its derivative."""
    share = 1.0 / (1.0 + x**n)
    return beta * x * share, beta * share * (1.0 - n * (1.0 - share))


@compiled(error_model="numpy")
def _runge_kutta(x: float, gamma: float, step: float, before: float, middle: float, after: float) -> float:
    """Solution of ``x' = -gamma x + input`` a step later, from the input at three times."""
    k1 = before - gamma * x
    k2 = middle - gamma * (x + 0.5 * step * k1)
    k3 = middle - gamma * (x + 0.5 * step * k2)
    k4 = after - gamma * (x + step * k3)
    return x + step * (k1 + 2.0 * (k2 + k3) + k4) / 6.0


@compiled(error_model="numpy")
def _one_delay(p: Floats, past: Floats, frame: Floats) -> tuple[Floats, Floats]:
    """The next delay, of the orbit and of its perturbations: values and slopes at the nodes, in the same shapes."""
    beta, gamma, n, tau = p
    n_steps, n_vectors = past.shape[1] - 1, frame.shape[1]
    step = tau / n_steps
    future, pushed = np.empty_like(past), np.empty_like(frame)
    made, slope = _produce(past[0, 0], beta, n)
    future[0, 0] = past[0, n_steps]
    future[1, 0] = made - gamma * future[0, 0]
    for k in range(n_vectors):
        pushed[0, k, 0] = frame[0, k, n_steps]
        pushed[1, k, 0] = slope * frame[0, k, 0] - gamma * pushed[0, k, 0]
    for i in range(n_steps):
        middle = 0.5 * (past[0, i] + past[0, i + 1]) + 0.125 * step * (past[1, i] - past[1, i + 1])
        made_middle, slope_middle = _produce(middle, beta, n)
        made_after, slope_after = _produce(past[0, i + 1], beta, n)
        future[0, i + 1] = _runge_kutta(future[0, i], gamma, step, made, made_middle, made_after)
        future[1, i + 1] = made_after - gamma * future[0, i + 1]
        for k in range(n_vectors):
            middle = 0.5 * (frame[0, k, i] + frame[0, k, i + 1]) + 0.125 * step * (frame[1, k, i] - frame[1, k, i + 1])
            after = slope_after * frame[0, k, i + 1]
            pushed[0, k, i + 1] = _runge_kutta(
                pushed[0, k, i], gamma, step, slope * frame[0, k, i], slope_middle * middle, after
            )
            pushed[1, k, i + 1] = after - gamma * pushed[0, k, i + 1]
        made, slope = made_after, slope_after
    return future, pushed


@compiled(error_model="numpy")
def _delay_orbit(p: Floats, start: float, n_steps: int, n_points: int, dt: float) -> Floats:
    """Points `dt` apart, the first at time zero, after a past that is all `start`."""
    tau, step = p[3], p[3] / n_steps
    past, no_frame = np.zeros((2, n_steps + 1)), np.zeros((2, 0, n_steps + 1))
    past[0] = start
    points = np.empty(n_points)
    filled, n_delays = 0, 0
    while filled < n_points:
        past, _ = _one_delay(p, past, no_frame)
        while filled < n_points and filled * dt < (n_delays + 1) * tau:
            at = (filled * dt - n_delays * tau) / step
            i = min(max(int(at), 0), n_steps - 1)
            s = at - i
            points[filled] = (
                (1.0 + 2.0 * s) * (1.0 - s) ** 2 * past[0, i]
                + s * (1.0 - s) ** 2 * step * past[1, i]
                + s**2 * (3.0 - 2.0 * s) * past[0, i + 1]
                + s**2 * (s - 1.0) * step * past[1, i + 1]
            )
            filled += 1
        n_delays += 1
    return points


@compiled(error_model="numpy")
def _delay_growth(p: Floats, past: Floats, frame: Floats, n_blocks: int, per_block: int) -> Floats:
    """Logarithmic growth of each perturbation over blocks of `per_block` delays; `past` and `frame` are moved along."""
    n_vectors = frame.shape[1]
    growth = np.zeros((n_blocks, n_vectors))
    for block in range(n_blocks):
        for _ in range(per_block):
            future, pushed = _one_delay(p, past, frame)
            for part in range(2):
                for node in range(past.shape[1]):
                    past[part, node] = future[part, node]
                    for i in range(n_vectors):
                        frame[part, i, node] = pushed[part, i, node]
            # Values and slopes make one vector: slopes must undergo what makes the values orthonormal.
            for i in range(n_vectors):
                for j in range(i):
                    overlap = dot(frame[0, i], frame[0, j])
                    for node in range(past.shape[1]):
                        frame[0, i, node] -= overlap * frame[0, j, node]
                        frame[1, i, node] -= overlap * frame[1, j, node]
                length = np.sqrt(dot(frame[0, i], frame[0, i]))
                for node in range(past.shape[1]):
                    frame[0, i, node] /= length
                    frame[1, i, node] /= length
                growth[block, i] += np.log(length)
    return growth
