"""Compiled equations of the flows, and one step of eighth order for a point together with its perturbations.

The tableau is that of Dormand and Prince's DOP853 (Hairer, Nørsett and Wanner 1993), as scipy holds it. At a fixed step
the map from start to end is smooth and the same on every machine, which an adaptive step is not.
"""

from typing import Any

import numpy as np
from scipy.integrate import DOP853

from companion._checks import Floats
from companion._jit import compiled

LORENZ, ROSSLER = 0, 1
N_STAGES = int(DOP853.n_stages)
COUPLING = np.ascontiguousarray(DOP853.A[:N_STAGES, :N_STAGES])
WEIGHTS = np.ascontiguousarray(DOP853.B)


def lorenz_field(x: Any, y: Any, z: Any, sigma: float, rho: float, beta: float) -> tuple[Any, Any, Any]:
    """Velocity of Lorenz's flow at a point, or at arrays of points."""
    return sigma * (y - x), x * (rho - z) - y, x * y - beta * z


def lorenz_push(
    x: Any, y: Any, z: Any, u: Any, v: Any, w: Any, sigma: float, rho: float, beta: float
) -> tuple[Any, Any, Any]:
    """Jacobian of Lorenz's flow at (x, y, z), times the perturbation (u, v, w)."""
    return sigma * (v - u), (rho - z) * u - v - x * w, y * u + x * v - beta * w


def rossler_field(x: Any, y: Any, z: Any, a: float, b: float, c: float) -> tuple[Any, Any, Any]:
    """Velocity of Rössler's flow at a point, or at arrays of points."""
    return -y - z, x + a * y, b + z * (x - c)


def rossler_push(x: Any, y: Any, z: Any, u: Any, v: Any, w: Any, a: float, b: float, c: float) -> tuple[Any, Any, Any]:
    """Jacobian of Rössler's flow at (x, y, z), times the perturbation (u, v, w)."""
    return -v - w, u + a * v, z * u + (x - c) * w


_lorenz_field, _lorenz_push = compiled()(lorenz_field), compiled()(lorenz_push)
_rossler_field, _rossler_push = compiled()(rossler_field), compiled()(rossler_push)


@compiled()
def _fill_rates(kind: int, p: Floats, y: Floats, rate: Floats) -> None:
    """Rates of change of `y`: a point (3), the integral of the divergence along its orbit, perturbations (3 each)."""
    if kind == LORENZ:
        rate[0], rate[1], rate[2] = _lorenz_field(y[0], y[1], y[2], p[0], p[1], p[2])
        rate[3] = -p[0] - 1.0 - p[2]
        for i in range(4, len(y), 3):
            rate[i], rate[i + 1], rate[i + 2] = _lorenz_push(
                y[0], y[1], y[2], y[i], y[i + 1], y[i + 2], p[0], p[1], p[2]
            )
    else:
        rate[0], rate[1], rate[2] = _rossler_field(y[0], y[1], y[2], p[0], p[1], p[2])
        rate[3] = p[0] + y[0] - p[2]
        for i in range(4, len(y), 3):
            rate[i], rate[i + 1], rate[i + 2] = _rossler_push(
                y[0], y[1], y[2], y[i], y[i + 1], y[i + 2], p[0], p[1], p[2]
            )


@compiled(error_model="numpy")
def advance(kind: int, p: Floats, y: Floats, step: float, n_steps: int) -> None:
    """Move `y` by `n_steps` steps, in place; it is laid out as `_fill_rates` says."""
    n = len(y)
    rates, at = np.empty((N_STAGES, n)), np.empty(n)
    for _ in range(n_steps):
        for stage in range(N_STAGES):
            for i in range(n):
                at[i] = y[i]
            for earlier in range(stage):
                weight = step * COUPLING[stage, earlier]
                if weight != 0.0:
                    for i in range(n):
                        at[i] += weight * rates[earlier, i]
            _fill_rates(kind, p, at, rates[stage])
        for stage in range(N_STAGES):
            weight = step * WEIGHTS[stage]
            if weight != 0.0:
                for i in range(n):
                    y[i] += weight * rates[stage, i]


@compiled(error_model="numpy")
def orbit(kind: int, p: Floats, start: Floats, n_points: int, dt: float, n_substeps: int) -> Floats:
    """Points `dt` apart from `start` on, shape (n_points, 3)."""
    points, y = np.empty((n_points, 3)), np.zeros(4)
    for i in range(3):
        y[i] = start[i]
    for t in range(n_points):
        for i in range(3):
            points[t, i] = y[i]
        advance(kind, p, y, dt / n_substeps, n_substeps)
    return points


@compiled()
def dot(a: Floats, b: Floats) -> float:
    """Sum of products; numpy's would call a library, which is slow for three numbers."""
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled(error_model="numpy")
def orthonormalize(frame: Floats, log_lengths: Floats) -> None:
    """Modified Gram-Schmidt on the rows of `frame`, in place; adds to `log_lengths` the logs of R's diagonal."""
    for i in range(len(frame)):
        for j in range(i):
            overlap = dot(frame[i], frame[j])
            for c in range(frame.shape[1]):
                frame[i, c] -= overlap * frame[j, c]
        length = np.sqrt(dot(frame[i], frame[i]))
        for c in range(frame.shape[1]):
            frame[i, c] /= length
        log_lengths[i] += np.log(length)


@compiled(error_model="numpy")
def follow_frame(
    kind: int, p: Floats, y: Floats, n_blocks: int, per_block: int, n_steps: int, step: float
) -> tuple[Floats, Floats]:
    """Follow `y` with its frame over blocks of `per_block` stretches of `n_steps` steps, orthonormalized after each.

    Returns the logarithmic growth (n_blocks, n_vectors) and the integral of the divergence (n_blocks,) of each block.
    """
    frame = y[4:].reshape(-1, 3)
    growth, divergence = np.zeros((n_blocks, len(frame))), np.zeros(n_blocks)
    for block in range(n_blocks):
        y[3] = 0.0
        for _ in range(per_block):
            advance(kind, p, y, step, n_steps)
            orthonormalize(frame, growth[block])
        divergence[block] = y[3]
    return growth, divergence
