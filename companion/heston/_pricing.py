"""European options under Heston: one integral of the characteristic function, along a ray on which it dies out."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log1p

from companion.heston._params import HestonParams, check_rate, check_scale

ANGLES = np.linspace(-0.75, 0.75, 9)  # of the rays to choose from; the middle one is the real axis
START, END = -38.0, 38.0  # of log |u|; what lies beyond is below 1e-16 of the integral
NEGLIGIBLE = math.log(1e-17)
GROWTH = 4.0  # in the logarithm: a ray may cost two digits
STEP = 0.1  # in log |u|
TOLERANCE = 1e-12
MOST_HALVINGS = 8
MOST_POINTS = 5_000_000


def heston_call_price(params: HestonParams, *, s0: float, strike: float, maturity: float, rate: float = 0.0) -> float:
    r"""Price of a European call; semi-analytic.

    The drift is the risk-neutral one: `rate` takes the place of ``params.mu``. The other parameters are read as
    risk-neutral. The price is Lewis's (2001) single integral: with :math:`k = \log(F/K)`,

    .. math::
        C = s_0 - \frac{e^{-rT}\sqrt{FK}}{\pi} \int_0^\infty
            \Re\left[e^{iuk}\,\frac{\varphi(u - i/2)}{u^2 + 1/4}\right] du

    On the real axis the integrand may oscillate for long (`rho` near 1 or -1, a tiny `v0`, a deep strike). So u goes
    along a ray :math:`u = x e^{i\omega}` instead (Andersen & Lake 2018), the one of nine on which the phase turns
    least, and the trapezoidal rule in :math:`\log x` converges exponentially.

    Parameters
    ----------
    params : HestonParams
    s0, strike : float
        Price today and strike; positive.
    maturity : float
        Years to expiry; positive.
    rate : float
        Continuously compounded interest rate per year.

    Returns
    -------
    float
        Price in the currency of `s0`.

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    ArithmeticError
        If the integral does not reach its tolerance.
    """
    if not isinstance(params, HestonParams):
        raise ValueError(f"params must be HestonParams, got {params!r}")  # noqa: TRY004 - one kind of error for arguments
    s0, strike, maturity = check_scale("s0", s0), check_scale("strike", strike), check_scale("maturity", maturity)
    rate = check_rate(rate, maturity)
    discount = math.exp(-rate * maturity)
    forward = s0 / discount
    integral = _integral(params, maturity, math.log(forward / strike))
    price = forward - math.sqrt(forward * strike) * integral / math.pi
    return discount * min(max(price, forward - strike, 0.0), forward)


def heston_put_price(params: HestonParams, *, s0: float, strike: float, maturity: float, rate: float = 0.0) -> float:
    """Price of a European put by put-call parity; arguments and errors as in `heston_call_price`."""
    call = heston_call_price(params, s0=s0, strike=strike, maturity=maturity, rate=rate)
    return max(call - s0 + strike * math.exp(-rate * maturity), 0.0)


def characteristic_function(
    u: complex | NDArray[np.complex128], params: HestonParams, maturity: float
) -> complex | NDArray[np.complex128]:
    """``E[exp(i u log(S_T / F))]`` with F the forward, so that it is 1 at ``u = 0`` and at ``u = -i``.

    The form of Albrecher, Mayer, Schoutens & Tistaert (2007, "The little Heston trap"): it stays on
    the principal branch of the logarithm, as they prove, and Lord & Kahl (2010) without any restriction.
    """
    exponent: complex | NDArray[np.complex128] = np.exp(_log_characteristic(u, params, maturity))
    return exponent


def _log_characteristic(u: Any, params: HestonParams, maturity: float) -> Any:
    """Its logarithm, free of cancellation: `xi` may be tiny and `rho` 1 or -1."""
    kappa, xi, rho = params.kappa, params.xi, params.rho
    beta, curve = kappa - 1j * rho * xi * u, u * (u + 1j)
    d = np.sqrt(kappa**2 + 1j * xi * (xi - 2 * kappa * rho) * u + xi**2 * (1 - rho) * (1 + rho) * u * u)
    slope = -curve / (beta + d)  # (beta - d) / xi**2
    faded = -np.expm1(-d * maturity)
    to_v0 = -curve * faded / (beta * faded + d * (2 - faded))
    to_theta = slope * maturity - 2 / xi**2 * log1p(0.5 * xi**2 * slope * faded / d)
    return kappa * params.theta * to_theta + params.v0 * to_v0


def _integral(params: HestonParams, maturity: float, moneyness: float) -> float:
    """Lewis's integral: the trapezoidal rule in log x along the best ray, its step halved until nothing changes."""

    def total(first: float, step: float) -> float:
        count = math.ceil((end - first) / step)
        if count > MOST_POINTS:
            raise ArithmeticError(f"the price integral would take {count:,} points: its variance is all rounding")
        t = first + step * np.arange(count)
        size, phase = _integrand(t, angle, params, maturity, moneyness)
        return step * float((np.exp(size) * np.cos(phase)).sum())

    angle, end, speed = _best_ray(params, maturity, moneyness)
    step = STEP / max(1.0, STEP * speed)
    value, error = total(START, step), math.inf
    for _ in range(MOST_HALVINGS):
        finer = 0.5 * (value + total(START + 0.5 * step, step))
        value, error, step = finer, abs(finer - value), 0.5 * step
        if error < TOLERANCE:
            return value
    raise ArithmeticError(f"the price integral did not converge: its error estimate is {error:.1e}")


def _integrand(t: Any, angle: Any, params: HestonParams, maturity: float, moneyness: float) -> Any:
    """Logarithm of the modulus, and phase, of Lewis's integrand times ``du / dt`` at ``u = exp(t + i angle)``."""
    u = np.exp(t + 1j * angle)
    exponent = 1j * moneyness * u + _log_characteristic(u - 0.5j, params, maturity) + t + 1j * angle
    weight = u * u + 0.25
    return exponent.real - np.log(np.abs(weight)), exponent.imag - np.angle(weight)


def _best_ray(params: HestonParams, maturity: float, moneyness: float) -> tuple[float, float, float]:
    """Angle of the ray on which the integrand turns least, where to leave it, and radians turned per unit of log x.

    Off the imaginary axis the integrand is analytic, so that all rays give the same integral, up to the arc that
    closes the contour. A ray is left where the integrand is negligible on that arc and on the real axis from there.
    """
    t = np.arange(START, END, 0.2)
    size, phase = _integrand(t, ANGLES[:, np.newaxis], params, maturity, moneyness)
    axis = len(ANGLES) // 2
    above = np.maximum.accumulate(size[axis:], axis=0)
    below = np.maximum.accumulate(size[axis::-1], axis=0)[::-1]
    arc = np.concatenate([below[:-1], above])
    beyond = np.maximum.accumulate(size[axis, ::-1])[::-1]
    gone = np.maximum(arc, beyond) < NEGLIGIBLE
    last = np.where(gone.any(axis=1), gone.argmax(axis=1), len(t) - 1)
    inside = np.arange(len(t)) <= last[:, np.newaxis]
    peak = np.where(inside, size, -np.inf).max(axis=1)
    turns = np.abs(np.diff(phase, axis=1)) / 0.2
    speed = np.where(inside[:, 1:] & (size[:, 1:] > NEGLIGIBLE), turns, 0.0).max(axis=1)
    best = int(np.where(peak < peak.min() + GROWTH, speed, np.inf).argmin())
    return float(ANGLES[best]), float(t[last[best]]), float(speed[best])
