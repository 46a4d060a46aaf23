"""European options under Heston: one integral of the characteristic function, in a form that stays on one branch."""

import cmath
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import log1p, ndtr

from companion.heston._checks import check_positive
from companion.heston.params import HestonParams

TOLERANCE = 1e-13  # of each piece of the integral, whose unit is about the price of the underlying
LARGEST_ERROR = 1e-8
MOST_INTERVALS = 2000
MOST_PIECES = 60


def heston_call_price(params: HestonParams, *, s0: float, strike: float, maturity: float, rate: float = 0.0) -> float:
    r"""Price of a European call; semi-analytic.

    The drift is the risk-neutral one: `rate` takes the place of ``params.mu``. The other parameters are read as
    risk-neutral. The price is Lewis's (2001) single integral with the Black-Scholes price of the same mean variance
    as a control (Andersen & Piterbarg 2010, section 2.5): with :math:`k = \log(F/K)` and :math:`w` that variance,

    .. math::
        C = C_{BS}(w) + \frac{e^{-rT}\sqrt{FK}}{\pi} \int_0^\infty
            \Re\left[e^{iuk}\,\frac{\varphi_{BS}(u - i/2) - \varphi(u - i/2)}{u^2 + 1/4}\right] du

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
    s0, strike, maturity = (
        check_positive("s0", s0),
        check_positive("strike", strike),
        check_positive("maturity", maturity),
    )
    if not math.isfinite(rate):
        raise ValueError(f"rate must be finite, got {rate!r}")
    discount = math.exp(-rate * maturity)
    forward, variance = s0 / discount, _mean_variance(params, maturity)
    moneyness = math.log(forward / strike)
    scale = math.sqrt(forward * strike)

    def integrand(u: float) -> float:
        weight = u * u + 0.25
        gap = math.exp(-0.5 * variance * weight) - cmath.exp(_log_characteristic(u - 0.5j, params, maturity))
        return (cmath.exp(1j * u * moneyness) * gap).real / weight

    integral = _integrate(integrand, params, maturity)
    price = _black_scholes(forward, strike, variance) + scale * integral / math.pi
    return discount * min(max(price, forward - strike, 0.0), forward)


def heston_put_price(params: HestonParams, *, s0: float, strike: float, maturity: float, rate: float = 0.0) -> float:
    """Price of a European put by put-call parity; arguments and errors as in `heston_call_price`."""
    call = heston_call_price(params, s0=s0, strike=strike, maturity=maturity, rate=rate)
    return max(call - s0 + strike * math.exp(-rate * maturity), 0.0)


def characteristic_function(
    u: complex | NDArray[np.complex128], params: HestonParams, maturity: float
) -> complex | NDArray[np.complex128]:
    """``E[exp(i u log(S_T / F))]`` with F the forward, so that it is 1 at ``u = 0`` and at ``u = -i``.

    The form of Albrecher, Mayer, Schoutens & Tistaert (2007, "The little Heston trap"), which Lord & Kahl (2010) show
    to stay on the principal branch of the logarithm.
    """
    exponent: complex | NDArray[np.complex128] = np.exp(_log_characteristic(u, params, maturity))
    return exponent


def _log_characteristic(u, params: HestonParams, maturity: float):  # type: ignore[no-untyped-def]
    """Its logarithm; ``(beta - d) / xi**2`` is written free of cancellation, so that `xi` may be tiny."""
    beta = params.kappa - params.rho * params.xi * 1j * u
    curve = 1j * u + u * u
    d = np.sqrt(beta * beta + params.xi**2 * curve)
    slope = -curve / (beta + d)
    g = params.xi**2 * slope / (beta + d)
    decay = np.exp(-d * maturity)
    to_v0 = slope * (1 - decay) / (1 - g * decay)
    to_theta = slope * maturity - 2 / params.xi**2 * log1p(g * (1 - decay) / (1 - g))
    return params.kappa * params.theta * to_theta + params.v0 * to_v0


def _mean_variance(params: HestonParams, maturity: float) -> float:
    """Mean of the variance integrated from 0 to `maturity`."""
    relaxed = -math.expm1(-params.kappa * maturity) / params.kappa
    return params.theta * maturity + (params.v0 - params.theta) * relaxed


def _black_scholes(forward: float, strike: float, variance: float) -> float:
    """Undiscounted call with total variance `variance`."""
    root = math.sqrt(variance)
    d1 = math.log(forward / strike) / root + 0.5 * root
    return float(forward * ndtr(d1) - strike * ndtr(d1 - root))


def _integrate(integrand: Callable[[float], float], params: HestonParams, maturity: float) -> float:
    """Integrate over u > 0, in pieces of doubling width, until the characteristic function has died out."""
    width = 4.0 / math.sqrt(_mean_variance(params, maturity))
    start, total, error = 0.0, 0.0, 0.0
    for _ in range(MOST_PIECES):
        value, doubt, *_ = quad(
            integrand, start, start + width, epsabs=TOLERANCE, epsrel=0, limit=MOST_INTERVALS, full_output=1
        )
        start, total, error, width = start + width, total + value, error + doubt, 2.0 * width
        if math.exp(_log_characteristic(start - 0.5j, params, maturity).real) / start < TOLERANCE:
            break
    else:
        error = math.inf
    if not error <= LARGEST_ERROR:
        raise ArithmeticError(f"the price integral did not converge: its error estimate is {error:.1e}")
    return total
