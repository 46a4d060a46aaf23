"""The exact law of Heston's variance, the square-root process of Cox, Ingersoll & Ross (1985)."""

import math

from scipy import stats
from scipy.stats.distributions import rv_frozen

from companion.heston._params import HestonParams, check_scale

NORMAL_FROM = 1e9  # degrees of freedom and non-centrality; the skewness is then below 1e-4


def variance_law(params: HestonParams, t: float) -> rv_frozen:
    r"""Law of the variance at time `t`, started from ``params.v0``: a scaled non-central chi-squared.

    With :math:`c = \xi^2 (1 - e^{-\kappa t}) / (4 \kappa)`, :math:`v_t / c` has :math:`4 \kappa \theta / \xi^2`
    degrees of freedom and non-centrality :math:`v_0 e^{-\kappa t} / c` (Cox, Ingersoll & Ross 1985, equation 18).

    Parameters
    ----------
    params : HestonParams
    t : float
        Years; positive. ``inf`` gives the stationary law, a gamma.

    Returns
    -------
    scipy.stats frozen distribution
        With ``mean()``, ``var()``, ``pdf(v)``, ``cdf(v)``… As `xi` or `t` tends to zero the law tends to a normal
        one of the same mean and variance. That one is returned where all probabilities agree to 1e-6; not far
        beyond, the chi-squared can no longer be computed.

    Raises
    ------
    ValueError
        If `t` is not positive, or out of the range of `HestonParams`.
    """
    kappa, theta, square = params.kappa, params.theta, params.xi**2
    degrees = 4 * kappa * theta / square
    if t == math.inf:
        spread = math.sqrt(theta * square / (2 * kappa))
        return (
            stats.norm(theta, spread) if degrees > NORMAL_FROM else stats.gamma(degrees / 2, scale=square / 2 / kappa)
        )
    t = check_scale("t", t)
    faded, left = -math.expm1(-kappa * t), math.exp(-kappa * t)
    scale = square * (faded / kappa) / 4
    offset = params.v0 * left / scale
    if degrees + offset > NORMAL_FROM:
        return stats.norm(theta * faded + params.v0 * left, scale * math.sqrt(2 * (degrees + 2 * offset)))
    return stats.ncx2(degrees, offset, scale=scale)
