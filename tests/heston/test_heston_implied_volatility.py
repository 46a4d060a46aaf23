"""Implied volatility undoes the Black-Scholes price, deep strikes included, and refuses what has none."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from companion.heston import HestonParams, heston_call_price, heston_put_price, implied_volatility

TERMS = {"s0": 100.0, "maturity": 0.5, "rate": 0.04}


def _black_scholes(strike: float, sigma: float, *, s0: float, maturity: float, rate: float, sign: int) -> float:
    root, discounted = sigma * math.sqrt(maturity), strike * math.exp(-rate * maturity)
    d1 = math.log(s0 / discounted) / root + root / 2
    return float(sign * (s0 * ndtr(sign * d1) - discounted * ndtr(sign * (d1 - root))))


def _vega(strike: float, sigma: float, *, s0: float, maturity: float, rate: float) -> float:
    root, discounted = sigma * math.sqrt(maturity), strike * math.exp(-rate * maturity)
    d1 = math.log(s0 / discounted) / root + root / 2
    return s0 * math.sqrt(maturity / (2 * math.pi)) * math.exp(-d1 * d1 / 2)


@pytest.mark.parametrize("maturity", [7 / 365, 1.0, 15.0])
@pytest.mark.parametrize("sigma", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("option", ["call", "put"])
def test_round_trip_as_far_as_the_price_carries_the_volatility(maturity: float, sigma: float, option: str) -> None:
    """Within 1e-8, or within what the rounding of prices (of the size of the underlying) leaves where vega is small."""
    terms, sign, inverted = {**TERMS, "maturity": maturity}, 1 if option == "call" else -1, 0
    for strike in (20.0, 50.0, 80.0, 100.0, 125.0, 200.0, 500.0):
        attainable = 1e-14 * max(strike, 100.0) / max(_vega(strike, sigma, **terms), 1e-300)
        if attainable > 0.01 * sigma:
            continue
        price = _black_scholes(strike, sigma, **terms, sign=sign)
        back = implied_volatility(price, strike=strike, **terms, option=option)  # type: ignore[arg-type]
        assert abs(back - sigma) < max(1e-8, attainable)
        inverted += 1
    assert inverted >= 1


@pytest.mark.parametrize("n_deviations", [5, 10, 20])
def test_deep_out_of_the_money(n_deviations: int) -> None:
    """A price of 1e-8, 1e-24 or 1e-90 still has its volatility, to nine digits: it is all time value."""
    strike = 100.0 * math.exp(n_deviations * 0.2)
    price = _black_scholes(strike, 0.2, s0=100.0, maturity=1.0, rate=0.0, sign=1)
    assert implied_volatility(price, s0=100.0, strike=strike, maturity=1.0) == pytest.approx(0.2, rel=1e-9)


def test_heston_with_a_variance_that_stands_still_has_its_volatility() -> None:
    flat = HestonParams(mu=0.0, kappa=2.0, theta=0.0625, xi=1e-7, rho=-0.5, v0=0.0625)
    for strike in (80.0, 100.0, 120.0):
        call, put = heston_call_price(flat, strike=strike, **TERMS), heston_put_price(flat, strike=strike, **TERMS)
        assert implied_volatility(call, strike=strike, **TERMS) == pytest.approx(0.25, abs=1e-7)
        assert implied_volatility(put, strike=strike, **TERMS, option="put") == pytest.approx(0.25, abs=1e-7)


def test_the_smile_leans_with_rho() -> None:
    def slope(rho: float) -> float:
        model = HestonParams(mu=0.0, kappa=5.0, theta=0.04, xi=0.8, rho=rho, v0=0.04)
        low, high = (
            implied_volatility(heston_call_price(model, strike=k, **TERMS), strike=k, **TERMS) for k in (90.0, 115.0)
        )
        return high - low

    assert slope(-0.7) < -0.02
    assert slope(0.7) > 0.02


@pytest.mark.parametrize("option", ["call", "put"])
def test_price_outside_its_bounds_is_refused(option: str) -> None:
    discounted = 90.0 * math.exp(-0.02)
    low, high = (100.0 - discounted, 100.0) if option == "call" else (0.0, discounted)
    for price in (low, high, low - 1e-6, high + 1e-6, -1.0):
        with pytest.raises(ValueError, match=r"^price must lie between"):
            implied_volatility(price, strike=90.0, **TERMS, option=option)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, bad) for name in ("s0", "strike", "maturity") for bad in (0.0, -1.0, math.nan, "100", None, True, 1e51)]
    + [("rate", bad) for bad in (math.inf, math.nan, "0", None, True, -1400.0, 1400.0)]
    + [("option", bad) for bad in ("straddle", None)],
)
def test_bad_argument_is_named(name: str, value: object) -> None:
    terms = {**TERMS, "strike": 100.0, name: value}
    with pytest.raises(ValueError, match=f"^{name} must"):
        implied_volatility(np.float64(5.0), **terms)  # type: ignore[arg-type]


@pytest.mark.parametrize("price", ["5", None, True, math.nan, math.inf, [5.0]])
def test_a_price_that_is_no_number_is_named(price: object) -> None:
    with pytest.raises(ValueError, match=r"^price must be a finite number, got"):
        implied_volatility(price, strike=100.0, **TERMS)  # type: ignore[arg-type]
