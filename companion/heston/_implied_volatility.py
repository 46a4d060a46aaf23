"""Implied volatility: the Black-Scholes volatility that gives an option its price."""

import math
from typing import Literal

import lets_be_rational

from companion._checks import check_finite
from companion.heston._params import check_rate, check_scale


def implied_volatility(
    price: float,
    *,
    s0: float,
    strike: float,
    maturity: float,
    rate: float = 0.0,
    option: Literal["call", "put"] = "call",
) -> float:
    """Volatility at which the Black-Scholes price of a European option is `price`.

    The inversion is that of Jäckel (2015, "Let's be rational"), by the library `lets_be_rational`: two iterations to
    machine precision, wings included. What limits the answer is the price: an absolute error in it becomes that error
    over the option's vega. Of two options with one strike invert the one out of the money, whose price is all time
    value; the price of one deep in the money has lost the digits.

    Parameters
    ----------
    price : float
        Price today, in the currency of `s0`.
    s0, strike : float
        Price of the underlying today and strike; positive.
    maturity : float
        Years to expiry; positive.
    rate : float
        Continuously compounded interest rate per year.
    option : {"call", "put"}

    Returns
    -------
    float
        Annual volatility; 0.2 is 20 %.

    Raises
    ------
    ValueError
        If no positive volatility gives `price`, since it is not inside its no-arbitrage bounds, or if another argument
        is out of range; the message names it.
    """
    price, s0, strike = check_finite("price", price), check_scale("s0", s0), check_scale("strike", strike)
    maturity = check_scale("maturity", maturity)
    rate = check_rate(rate, maturity)
    if option not in ("call", "put"):
        raise ValueError(f"option must be 'call' or 'put', got {option!r}")
    discount = math.exp(-rate * maturity)
    sign, paid = 1.0 if option == "call" else -1.0, strike * discount
    low, high = max(sign * (s0 - paid), 0.0), s0 if option == "call" else paid
    if not low < price < high:
        raise ValueError(f"price must lie between the no-arbitrage bounds {low!r} and {high!r}, got {price!r}")
    volatility = lets_be_rational.implied_volatility_from_a_transformed_rational_guess(
        price / discount, s0 / discount, strike, maturity, sign
    )
    return float(volatility)
