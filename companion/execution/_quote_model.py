"""How wide and how deep the top of a simulated book is: a stated model, so that its moments are known."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_finite, check_positive

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SpreadShock:
    """A time at which liquidity is withdrawn: the book is wide and thin, and then recovers.

    Parameters
    ----------
    start_minute : float
        Minutes from the start of the market; not negative.
    minutes : float
        How long the shock stands in full; not negative.
    spread_factor : float
        Multiple of the mean spread, at least 1.
    depth_factor : float
        Multiple of the sizes, in (0, 1].

    Raises
    ------
    ValueError
        Names the argument that is out of range.
    """

    start_minute: float
    minutes: float
    spread_factor: float = 30.0
    depth_factor: float = 0.1

    def __post_init__(self) -> None:
        for name in ("start_minute", "minutes", "spread_factor"):
            least = 1 if name == "spread_factor" else 0
            if check_finite(name, getattr(self, name)) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}")
        if check_positive("depth_factor", self.depth_factor) > 1:
            raise ValueError(f"depth_factor must lie in (0, 1], got {self.depth_factor!r}")


@dataclass(frozen=True)
class QuoteModel:
    r"""Spread and sizes of a quote, given the variance of the moment and the shocks.

    With the variance :math:`v` over the typical one, :math:`w = v / v_{ref}`, and the factors :math:`f \ge 1` and
    :math:`g \le 1` of the shocks at the time,

    .. math::
        \text{spread in ticks} &= 1 + \mathrm{Poisson}(\lambda), \qquad 1 + \lambda = f\,(1 + a\,w) \\
        \text{size} &= \frac{g\,D}{1 + b\,w}\,e^{s Z}, \qquad Z \sim N(0, 1)

    drawn anew for each quote, and the size for each side. So the spread has mean :math:`1 + \lambda` and variance
    :math:`\lambda`, the size the median of the fraction, and that times :math:`e^{s^2/2}` as its mean. Sizes are
    rounded to the step and hold one at least.

    Parameters
    ----------
    widening : float, default 0.15
        :math:`a`, ticks beyond the first at the typical variance; not negative.
    median_size : float, default 4
        :math:`D`, in the base currency; positive.
    thinning : float, default 1
        :math:`b`; not negative.
    size_spread : float, default 0.8
        :math:`s`, standard deviation of the logarithm of a size; not negative.
    typical_variance : float, default 0.36
        :math:`v_{ref}`, annual; positive.
    recovery_half_life_s : float, default 60
        Seconds in which the logarithm of a shock's factors halves once its time is over; positive.

    Raises
    ------
    ValueError
        Names the argument that is out of range.
    """

    widening: float = 0.15
    median_size: float = 4.0
    thinning: float = 1.0
    size_spread: float = 0.8
    typical_variance: float = 0.36
    recovery_half_life_s: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = check_finite(field.name, getattr(self, field.name))
            if value < 0:
                raise ValueError(f"{field.name} must not be negative, got {value!r}")
        for name in ("median_size", "typical_variance", "recovery_half_life_s"):
            check_positive(name, getattr(self, name))

    def mean_spread_ticks(self, variance: Floats, spread_factor: Floats | float = 1.0) -> Floats:
        """Mean of the spread in ticks, in the shape of the annual `variance`; its variance is one less."""
        return spread_factor * (1.0 + self.widening * (variance / self.typical_variance))

    def median_sizes(self, variance: Floats, depth_factor: Floats | float = 1.0) -> Floats:
        """Median of the size of either side, in the shape of the annual `variance`."""
        return depth_factor * self.median_size / (1.0 + self.thinning * (variance / self.typical_variance))

    def shock_factors(self, minutes: Floats, shocks: Sequence[SpreadShock]) -> tuple[Floats, Floats]:
        """Factors of spread and size at times in minutes from the start; shocks at one time multiply."""
        log_spread, log_depth = np.zeros_like(minutes), np.zeros_like(minutes)
        for shock in shocks:
            first = int(np.searchsorted(minutes, shock.start_minute))
            over_s = 60.0 * np.maximum(minutes[first:] - shock.start_minute - shock.minutes, 0.0)
            weight = np.exp2(-over_s / self.recovery_half_life_s)
            log_spread[first:] += np.log(shock.spread_factor) * weight
            log_depth[first:] += np.log(shock.depth_factor) * weight
        return np.exp(log_spread), np.exp(log_depth)
