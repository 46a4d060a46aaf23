"""What a perpetual future pays between its longs and shorts every eight hours, so that it stays near its index."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_positive
from companion.datasets._market_arrays import SECOND_NS

FUNDING_PERIOD_NS = 8 * 3600 * SECOND_NS
"""From one payment to the next; they fall on 00:00, 08:00 and 16:00 UTC."""


@dataclass(frozen=True)
class FundingModel:
    r"""Rates of funding, from a premium of the perpetual over its index that reverts to zero.

    The premium, averaged over the eight hours of a payment, is :math:`P_k = \phi P_{k-1} + \sqrt{1 - \phi^2}\,s\,Z_k`
    with :math:`P_0 \sim N(0, s^2)`. From it the exchange's rule gives the rate of the payment,
    :math:`P_k + \mathrm{clip}(I - P_k, \pm c)`: the interest :math:`I` while the premium is within :math:`c` of it.

    Parameters
    ----------
    interest : float, default 0.0001
        :math:`I`, per payment.
    clamp : float, default 0.0005
        :math:`c`; positive.
    premium_sd : float, default 0.0004
        :math:`s`; positive.
    persistence : float, default 0.7
        :math:`\phi`, in [0, 1).

    Raises
    ------
    ValueError
        Names the argument that is out of range.

    References
    ----------
    Binance, "Introduction to Binance Futures Funding Rates".
    """

    interest: float = 0.0001
    clamp: float = 0.0005
    premium_sd: float = 0.0004
    persistence: float = 0.7

    def __post_init__(self) -> None:
        check_positive("clamp", self.clamp)
        check_positive("premium_sd", self.premium_sd)
        if not abs(self.interest) < 1:
            raise ValueError(f"interest must lie within ±1, got {self.interest!r}")
        if not 0 <= self.persistence < 1:
            raise ValueError(f"persistence must lie in [0, 1), got {self.persistence!r}")

    def rates(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Rates of `n` payments in a row, shape (n,)."""
        premium = self.premium_sd * rng.standard_normal(n)
        for k in range(1, n):
            premium[k] = self.persistence * premium[k - 1] + (1 - self.persistence**2) ** 0.5 * premium[k]
        return premium + np.clip(self.interest - premium, -self.clamp, self.clamp)


def funding_times(start_ns: int, end_ns: int) -> NDArray[np.int64]:
    """Times of the payments after `start_ns` and up to `end_ns`, in nanoseconds since 1970."""
    first = (start_ns // FUNDING_PERIOD_NS + 1) * FUNDING_PERIOD_NS
    return np.arange(first, end_ns + 1, FUNDING_PERIOD_NS, dtype=np.int64)


def funding_payment(quantity: Decimal, price: Decimal, rate: float) -> Decimal:
    """What funding adds to the balance of a position: longs pay shorts where the rate is positive.

    Parameters
    ----------
    quantity : Decimal
        Signed position at the time of the payment.
    price : Decimal
        Mark price at that time.
    rate : float
    """
    return -quantity * price * Decimal(repr(float(rate)))
