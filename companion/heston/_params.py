"""The parameters of one Heston market."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_finite, check_positive

SMALLEST, LARGEST = 1e-50, 1e50  # six such numbers multiplied are still a float, and so are their squares
LARGEST_EXPONENT = 700.0  # whose exponential is a float


@dataclass(frozen=True)
class HestonParams:
    r"""The Heston (1993) model, in annual units.

    .. math::
        dS_t / S_t &= \mu\,dt + \sqrt{v_t}\,dW^S_t \\
        dv_t &= \kappa(\theta - v_t)\,dt + \xi\sqrt{v_t}\,dW^v_t, \qquad d\langle W^S, W^v\rangle_t = \rho\,dt

    Parameters
    ----------
    mu : float
        Drift of the price, per year.
    kappa : float
        Speed at which the variance reverts, per year; positive. As it tends to zero the variance keeps no level.
    theta : float
        Variance it reverts to, per year; positive (0.04 is a volatility of 20 %).
    xi : float
        Volatility of the variance; positive. As it tends to zero the variance becomes a function of time, and the
        market that of Black and Scholes.
    rho : float
        Correlation of price and variance, in [-1, 1].
    v0 : float
        Variance at the start; not negative.

    Raises
    ------
    ValueError
        If a parameter is not finite or outside its range, or so small or large that products of parameters leave the
        range of floats: `kappa`, `theta` and `xi` below 1e-50, or any beyond 1e50. The Feller condition may be broken.
    """

    mu: float
    kappa: float
    theta: float
    xi: float
    rho: float
    v0: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if abs(check_finite(field.name, value)) > LARGEST:
                raise ValueError(f"{field.name} must be within ±{LARGEST:g}, got {value!r}")
        for name in ("kappa", "theta", "xi"):
            check_scale(name, getattr(self, name))
        if abs(self.rho) > 1:
            raise ValueError(f"rho must lie in [-1, 1], got {self.rho!r}")
        if self.v0 < 0:
            raise ValueError(f"v0 must not be negative, got {self.v0!r}")

    @property
    def feller(self) -> bool:
        """Whether ``2 kappa theta >= xi**2``, so that the variance never reaches zero."""
        return bool(2 * self.kappa * self.theta >= self.xi**2)

    def as_array(self) -> NDArray[np.float64]:
        """The six numbers in the order of the constructor, as the compiled kernels read them."""
        return np.array([self.mu, self.kappa, self.theta, self.xi, self.rho, self.v0])


def check_scale(name: str, value: Any) -> float:
    """`value` as a positive float that can be multiplied and squared together with others; else a `ValueError`."""
    number = check_positive(name, value)
    if not SMALLEST <= number <= LARGEST:
        raise ValueError(f"{name} must be between {SMALLEST:g} and {LARGEST:g}, got {value!r}")
    return number


def check_rate(rate: Any, maturity: float) -> float:
    """An interest rate whose discount factor over `maturity` years is a float, neither 0 nor infinite."""
    if abs(check_finite("rate", rate) * maturity) >= LARGEST_EXPONENT:
        raise ValueError(f"rate must keep rate times maturity within ±{LARGEST_EXPONENT:g}, got {rate!r}")
    return float(rate)
