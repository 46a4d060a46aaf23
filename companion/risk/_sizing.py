"""The sizing law, one step a function: signal → expected return → fraction of equity → quantity, and its cap.

Signals, returns and volatilities are floats, money and quantities `Decimal`. Bad *data* (not finite, not positive,
absurd) gives zero: flat. A bad *parameter* is a `ValueError`. All returns and volatilities are per decision interval.
"""

import math
from decimal import Decimal

from companion.risk._decimal import (
    ZERO,
    Amount,
    as_float,
    divide_down,
    from_float,
    is_amount,
    multiply_down,
    refuse_unless_positive,
    to_decimal,
)

Z_MAX = 3.0


def mu_from_z(z_t: float, kappa: float, z_sat: float = 1.5) -> float:
    """Expected return of a signal, ``kappa * tanh(z_t / z_sat)``, with `z_t` clipped to [-3, 3].

    Parameters
    ----------
    z_t : float
        Normalized signal. Not finite: 0.
    kappa : float
        Largest expected return per decision interval, positive.
    z_sat : float
        Signal at which the response saturates, positive.

    Raises
    ------
    ValueError
        If `kappa` or `z_sat` is not finite and positive.
    """
    refuse_unless_positive(kappa=kappa, z_sat=z_sat)
    z = as_float(z_t)
    return checked_mu(z, float(kappa), float(z_sat)) if math.isfinite(z) else 0.0


def frac_from_mu_sigma(mu_t: float, sigma_t: float, gamma: float, f_max: float) -> float:
    """Fraction of equity of a CRRA investor in continuous time, ``mu / (gamma sigma²)``, clipped to ±`f_max`.

    ``gamma = 1`` is Kelly's criterion, ``gamma = 2`` half of it (Merton 1969).

    Parameters
    ----------
    mu_t, sigma_t : float
        Expected return and volatility per decision interval. Not finite, or ``sigma_t <= 0``: 0.
    gamma : float
        Relative risk aversion, positive.
    f_max : float
        Largest absolute fraction, positive.

    Raises
    ------
    ValueError
        If `gamma` or `f_max` is not finite and positive.
    """
    refuse_unless_positive(gamma=gamma, f_max=f_max)
    mu, sigma = as_float(mu_t), as_float(sigma_t)
    if not (math.isfinite(mu) and 0.0 < sigma < math.inf):
        return 0.0
    return checked_fraction(mu, sigma, float(gamma), float(f_max))


def qty_from_fraction_equity_price(f_t: float, equity: Decimal | Amount, ref_price: Decimal | Amount) -> Decimal:
    """Signed quantity whose notional is a fraction of equity, ``f_t * equity / ref_price``, rounded toward zero.

    Parameters
    ----------
    f_t : float
        Signed fraction of equity. Not finite: 0.
    equity, ref_price : Decimal or amount
        In the quote currency; `Decimal`, or anything with ``as_decimal()`` such as a Nautilus `Money` or `Price`.
        Not finite, not positive or absurd: 0.

    Raises
    ------
    ValueError
        If an amount is of another type, such as text.
    """
    money, price = to_decimal(equity, "equity"), to_decimal(ref_price, "ref_price")
    fraction = as_float(f_t)
    if not (math.isfinite(fraction) and is_amount(money) and is_amount(price)):
        return ZERO
    return checked_qty(from_float(fraction), money, price)


def vol_target_qty_cap(
    equity: Decimal | Amount, ref_price: Decimal | Amount, sigma_t: float, sigma_target: float
) -> Decimal:
    """Largest quantity whose volatility is at most a share of equity.

    It is ``sigma_target * equity / (ref_price * sigma_t)``, rounded down.

    Parameters
    ----------
    equity, ref_price : Decimal or amount
        As in `qty_from_fraction_equity_price`.
    sigma_t : float
        Volatility per decision interval. Not finite or not positive: the cap is 0, which allows nothing.
    sigma_target : float
        Volatility of equity that is allowed per decision interval, positive.

    Raises
    ------
    ValueError
        If `sigma_target` is not finite and positive, or an amount is of another type.
    """
    refuse_unless_positive(sigma_target=sigma_target)
    money, price = to_decimal(equity, "equity"), to_decimal(ref_price, "ref_price")
    sigma = as_float(sigma_t)
    if not (0.0 < sigma < math.inf and is_amount(money) and is_amount(price)):
        return ZERO
    return checked_cap(money, price, from_float(sigma), from_float(float(sigma_target)))


def checked_mu(z: float, kappa: float, z_sat: float) -> float:
    """`mu_from_z` of values that somebody has checked."""
    if abs(z) > Z_MAX:
        z = math.copysign(Z_MAX, z)
    return kappa * math.tanh(z / z_sat)


def checked_fraction(mu: float, sigma: float, gamma: float, f_max: float) -> float:
    """`frac_from_mu_sigma` of values that somebody has checked."""
    # One division at a time: the square of a tiny volatility would be zero.
    fraction = mu / sigma / sigma / gamma
    return fraction if abs(fraction) <= f_max else math.copysign(f_max, mu)


def checked_qty(fraction: Decimal, equity: Decimal, price: Decimal) -> Decimal:
    """`qty_from_fraction_equity_price` of values that somebody has checked."""
    return divide_down(multiply_down(fraction, equity), price)


def checked_cap(equity: Decimal, price: Decimal, sigma: Decimal, sigma_target: Decimal) -> Decimal:
    """`vol_target_qty_cap` of values that somebody has checked."""
    return divide_down(divide_down(multiply_down(sigma_target, equity), sigma), price)
