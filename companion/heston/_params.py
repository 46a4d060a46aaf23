"""The parameters of one Heston market."""

import math
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray


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
        Speed at which the variance reverts, per year; positive.
    theta : float
        Variance it reverts to, per year; positive (0.04 is a volatility of 20 %).
    xi : float
        Volatility of the variance; positive.
    rho : float
        Correlation of price and variance, in [-1, 1].
    v0 : float
        Variance at the start; not negative.

    Raises
    ------
    ValueError
        If a parameter is not finite or outside its range. The Feller condition may be broken.
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
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
                raise ValueError(f"{field.name} must be a finite number, got {value!r}")
        for name in ("kappa", "theta", "xi"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
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
        return np.array(astuple(self), dtype=np.float64)
