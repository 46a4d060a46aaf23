"""Linear state-space models that do not look at their input: discretization, kernel, HiPPO memory, Kalman filter.

The ancestors of the selective scan. Nothing here is fast; chapter 3 derives each and checks it against the next.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm, solve

from companion._checks import check_count, check_finite, check_positive

Array = NDArray[np.float64]


def discretize(
    A: ArrayLike, B: ArrayLike, dt: float, *, method: Literal["zoh", "bilinear", "euler"] = "zoh"
) -> tuple[Array, Array]:
    r"""Turn :math:`\dot x = A x + B u` into :math:`x_t = \bar A x_{t-1} + \bar B u_t` with steps of `dt`.

    Parameters
    ----------
    A : array of shape (state, state)
    B : array of shape (state,)
    dt : float
        Length of a step; positive.
    method : {"zoh", "bilinear", "euler"}
        `zoh` (zero-order hold) is exact for an input that is constant within a step. `bilinear` is Tustin's rule,
        `euler` the explicit one, which is unstable for long steps.

    Returns
    -------
    tuple of ndarray
        :math:`\bar A` of shape (state, state), :math:`\bar B` of shape (state,).

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is not finite, `dt` is not positive, or the method is unknown.

    References
    ----------
    Gu, Goel and Ré (2022), "Efficiently Modeling Long Sequences with Structured State Spaces", equation 3 (bilinear);
    Gu and Dao (2023), "Mamba", equation 4 (zero-order hold).
    """
    A, B = _square("A", A), np.asarray(B, dtype=np.float64)
    n = len(A)
    if B.shape != (n,) or not np.isfinite(B).all():
        raise ValueError(f"B must be {n} finite numbers to fit A, got shape {B.shape}: {B}")
    dt = check_positive("dt", dt)
    if method == "zoh":
        # exp of [[A, B], [0, 0]] dt holds both results, and needs no inverse of A
        whole = expm(dt * np.block([[A, B[:, None]], [np.zeros((1, n + 1))]]))
        return whole[:n, :n], whole[:n, n]
    identity = np.eye(n)
    if method == "bilinear":
        left = identity - dt / 2 * A
        return solve(left, identity + dt / 2 * A), solve(left, dt * B)
    if method == "euler":
        return identity + dt * A, dt * B
    raise ValueError(f"method must be 'zoh', 'bilinear' or 'euler', got {method!r}")


def ssm_kernel(A_bar: ArrayLike, B_bar: ArrayLike, C: ArrayLike, length: int) -> Array:
    r"""Return the convolution kernel :math:`K_k = C \bar A^k \bar B` for k = 0, …, length - 1.

    Convolving an input with it gives what the recurrence gives from a state of zero.

    Raises
    ------
    ValueError
        If the shapes do not fit or `length` is not positive.
    """
    A_bar, state, C = _square("A_bar", A_bar), np.asarray(B_bar, dtype=np.float64), np.asarray(C, dtype=np.float64)
    for name, vector in (("B_bar", state), ("C", C)):
        if vector.shape != (len(A_bar),):
            raise ValueError(f"{name} must have shape ({len(A_bar)},) to fit A_bar, got {vector.shape}")
    length = check_count("length", length)
    kernel = np.empty(length)
    for k in range(length):
        kernel[k] = C @ state
        state = A_bar @ state
    return kernel


def hippo_legs(order: int) -> tuple[Array, Array]:
    r"""Return A (order, order) and B (order,) of HiPPO-LegS, :math:`t\,\dot x = -A x + B u`.

    The state :math:`x_n(t) = \sqrt{2n+1}\,\frac1t\int_0^t u(s) \mathcal P_n(2s/t - 1)\,ds` holds the Legendre
    coefficients of the whole history, stretched to one unit of time.

    Raises
    ------
    ValueError
        If `order` is not positive.

    References
    ----------
    Gu, Dao, Ermon, Rudra and Ré (2020), "HiPPO: Recurrent Memory with Optimal Polynomial Projections", theorem 2.
    """
    n = np.arange(check_count("order", order))
    B = np.sqrt(2.0 * n + 1.0)
    return np.tril(np.outer(B, B), -1) + np.diag(n + 1.0), B


def legs_memory(history: ArrayLike, order: int) -> Array:
    r"""Read a history bar by bar with HiPPO-LegS and return its last state.

    On the clock :math:`\log t` the system does not depend on time, so zero-order hold with a step of
    :math:`\log((k+1)/k)` is exact for an input that is constant within each bar.

    Parameters
    ----------
    history : array of shape (length,)
    order : int
        Number of states.

    Returns
    -------
    ndarray of shape (order,)
        Legendre coefficients of the history. The first m of them do not depend on `order`.

    Raises
    ------
    ValueError
        If `history` is empty, not one-dimensional or not finite, or `order` is not positive.
    """
    f = np.asarray(history, dtype=np.float64)
    if f.ndim != 1 or not f.size or not np.isfinite(f).all():
        raise ValueError(f"history must be a non-empty array of finite numbers, got shape {f.shape}")
    A, B = hippo_legs(order)
    state = f[0] * np.eye(order)[0]
    for k in range(1, len(f)):
        A_bar, B_bar = discretize(-A, B, np.log1p(1 / k))
        state = A_bar @ state + B_bar * f[k]
    return state


def legs_reconstruct(coefficients: ArrayLike, length: int) -> Array:
    """Return the history (length,) that Legendre coefficients describe, at the middle of each bar, the oldest first.

    Raises
    ------
    ValueError
        If `coefficients` is empty, not one-dimensional or not finite, or `length` is not positive.
    """
    c = np.asarray(coefficients, dtype=np.float64)
    if c.ndim != 1 or not c.size or not np.isfinite(c).all():
        raise ValueError(f"coefficients must be a non-empty array of finite numbers, got shape {c.shape}")
    middles = (np.arange(check_count("length", length)) + 0.5) / length
    return np.asarray(legendre.legval(2 * middles - 1, c * np.sqrt(2 * np.arange(len(c)) + 1)))


def steady_state_gain(*, phi: float, q: float, r: float) -> tuple[float, float]:
    r"""Return the Kalman gain that the filter of an AR(1) under noise settles at, and its predicted variance.

    The state is :math:`x_t = \phi x_{t-1} + w_t`, the observation :math:`z_t = x_t + \varepsilon_t`, with variances `q`
    of w and `r` of :math:`\varepsilon`. The predicted variance is the positive root of
    :math:`\Sigma^2 + (r(1 - \phi^2) - q) \Sigma - q r = 0`.

    Raises
    ------
    ValueError
        If `phi` is not finite, or `q` or `r` is not positive.
    """
    q, r, phi = check_positive("q", q), check_positive("r", r), check_finite("phi", phi)
    half = (q - r * (1 - phi**2)) / 2
    root = np.hypot(half, np.sqrt(q * r))
    # the form without cancellation for each sign of `half`
    predicted = float(half + root if half >= 0 else q * r / (root - half))
    return predicted / (predicted + r), predicted


class KalmanPath(NamedTuple):
    """What the scalar Kalman filter says at each bar; arrays of the observations' shape."""

    mean: Array
    """Estimate of the state, given the observations so far."""
    variance: Array
    """Variance of its error."""
    gain: Array
    """Weight of the newest observation."""


def kalman_filter(
    observations: ArrayLike, *, phi: float, q: float, r: ArrayLike, mean: float = 0.0, variance: float = 1.0
) -> KalmanPath:
    r"""Filter :math:`z_t = x_t + \varepsilon_t` for the hidden :math:`x_t = \phi x_{t-1} + w_t`, bar by bar.

    Parameters
    ----------
    observations : array of shape (length,) or (n_paths, length)
    phi, q : float
        Coefficient and innovation variance of the hidden state.
    r : float or array of the observations' shape
        Variance of the observation noise, known at each bar.
    mean, variance : float
        Belief about the state one bar before the first observation.

    Raises
    ------
    ValueError
        If an array is not finite or the lengths differ, or a variance is negative (`r`: not positive).

    References
    ----------
    Kalman (1960), "A New Approach to Linear Filtering and Prediction Problems".
    """
    z = np.asarray(observations, dtype=np.float64)
    if z.ndim not in (1, 2) or not np.isfinite(z).all():
        raise ValueError(f"observations must be finite numbers of one or two dimensions, got shape {z.shape}")
    noise = np.asarray(r, dtype=np.float64)
    if noise.shape not in ((), z.shape) or not (np.isfinite(noise) & (noise > 0)).all():
        raise ValueError(f"r must be a positive number, or one for each of shape {z.shape}, got {noise}")
    phi, mean = check_finite("phi", phi), check_finite("mean", mean)
    for name, value in (("q", q), ("variance", variance)):
        if check_finite(name, value) < 0:
            raise ValueError(f"{name} must not be negative, got {value!r}")
    noise = np.broadcast_to(noise, z.shape)
    path = KalmanPath(np.empty_like(z), np.empty_like(z), np.empty_like(z))
    m, p = np.full(z.shape[:-1], mean), np.full(z.shape[:-1], variance)
    for t in range(z.shape[-1]):
        m, p = phi * m, phi**2 * p + q
        gain = p / (p + noise[..., t])
        m, p = m + gain * (z[..., t] - m), (1 - gain) * p
        path.mean[..., t], path.variance[..., t], path.gain[..., t] = m, p, gain
    return path


def _square(name: str, A: ArrayLike) -> Array:
    matrix = np.asarray(A, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise ValueError(f"{name} must be a square matrix of finite numbers, got shape {matrix.shape}")
    return matrix
