"""The exact law of Heston's variance, the square-root process of Cox, Ingersoll & Ross (1985)."""

import math

from scipy import stats
from scipy.stats.distributions import rv_frozen

from companion._checks import check_positive
from companion.heston._params import HestonParams


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
        With ``mean()``, ``var()``, ``pdf(v)``, ``cdf(v)``…

    Raises
    ------
    ValueError
        If `t` is not positive.
    """
    degrees = 4 * params.kappa * params.theta / params.xi**2
    if t == math.inf:
        return stats.gamma(degrees / 2, scale=params.xi**2 / (2 * params.kappa))
    t = check_positive("t", t)
    scale = params.xi**2 * -math.expm1(-params.kappa * t) / (4 * params.kappa)
    return stats.ncx2(degrees, params.v0 * math.exp(-params.kappa * t) / scale, scale=scale)
