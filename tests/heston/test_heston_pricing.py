"""Prices against independent forms, limits and published prices; QuantLib has a file of its own."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.special import ndtr

from companion.heston import HestonParams, heston_call_price, heston_put_price
from companion.heston._pricing import characteristic_function

CALM = HestonParams(mu=0.3, kappa=1.5, theta=0.04, xi=0.3, rho=-0.7, v0=0.04)
WILD = HestonParams(mu=0.3, kappa=0.5, theta=0.04, xi=1.0, rho=-0.9, v0=0.04)
RISING = HestonParams(mu=0.3, kappa=0.2, theta=0.3, xi=2.0, rho=0.6, v0=0.01)


def _black_scholes(strike: float, maturity: float, rate: float, sigma: float) -> float:
    root = sigma * math.sqrt(maturity)
    d1 = (math.log(100.0 / strike) + rate * maturity) / root + root / 2
    return float(100.0 * ndtr(d1) - strike * math.exp(-rate * maturity) * ndtr(d1 - root))


def _riccati(u: complex, params: HestonParams, maturity: float) -> complex:
    """The characteristic function by integrating Heston's Riccati equations numerically."""

    def slope(_: float, y: np.ndarray) -> list[complex]:
        d = y[1]
        quadratic = 0.5 * params.xi**2 * d * d + (params.rho * params.xi * 1j * u - params.kappa) * d
        return [params.kappa * params.theta * d, quadratic - 0.5 * (u * u + 1j * u)]

    y = solve_ivp(slope, (0, maturity), [0j, 0j], rtol=1e-11, atol=1e-13, method="DOP853").y[:, -1]
    return complex(np.exp(y[0] + params.v0 * y[1]))


@pytest.mark.parametrize("params", [CALM, WILD, RISING])
@pytest.mark.parametrize("maturity", [0.1, 3.0, 15.0])
def test_characteristic_function_solves_the_riccati_equations(params: HestonParams, maturity: float) -> None:
    for u in (0.3 + 0j, 2.0 - 0.5j, 15.0 - 0.5j, 4.0 + 2.5j, 4.0 - 3.5j):  # also on the outermost rays of the price
        assert abs(characteristic_function(u, params, maturity) - _riccati(u, params, maturity)) < 1e-9


def test_characteristic_function_of_a_martingale() -> None:
    assert abs(characteristic_function(0j, WILD, 2.0) - 1) < 1e-14
    assert abs(characteristic_function(-1j, WILD, 2.0) - 1) < 1e-12


def test_characteristic_function_does_not_jump() -> None:
    """Heston's own form leaves its branch for long maturities: the argument then jumps by a multiple of 2 pi."""
    u = np.linspace(1e-6, 40, 20_001).astype(np.complex128)
    argument = np.unwrap(np.angle(characteristic_function(u, WILD, 15.0)))
    log_modulus = np.log(np.abs(characteristic_function(u, WILD, 15.0)))
    assert np.abs(np.diff(argument, 2)).max() < 1e-3
    assert np.abs(np.diff(log_modulus, 2)).max() < 1e-3


@pytest.mark.parametrize(
    ("params", "maturity", "published"),
    [
        (WILD, 10.0, (35.8498, 13.0847, 0.2958)),
        (HestonParams(mu=0, kappa=0.3, theta=0.04, xi=0.9, rho=-0.5, v0=0.04), 15.0, (37.1697, 16.6492, 5.1382)),
        (HestonParams(mu=0, kappa=1.0, theta=0.09, xi=1.0, rho=-0.3, v0=0.09), 5.0, (38.7720, 21.7953, 9.9831)),
    ],
)
def test_prices_of_andersens_three_cases(params: HestonParams, maturity: float, published: tuple) -> None:
    for strike, price in zip((70.0, 100.0, 140.0), published, strict=True):
        assert abs(heston_call_price(params, s0=100.0, strike=strike, maturity=maturity) - price) < 5.1e-5


@pytest.mark.parametrize("strike", [80.0, 100.0, 125.0])
def test_price_by_hestons_two_probabilities(strike: float) -> None:
    """Heston's (1993) equation 10 with two integrals, which shares only the characteristic function."""
    log_moneyness, maturity = math.log(100.0 / strike) + 0.05, 1.0

    def probability(shift: complex) -> float:
        def integrand(u: float) -> float:
            value = characteristic_function(u + shift, CALM, maturity) * np.exp(1j * u * log_moneyness)
            return float((value / (1j * u)).real)

        return 0.5 + quad(integrand, 1e-12, 200.0, limit=500, epsabs=1e-11)[0] / math.pi

    expected = 100.0 * probability(-1j) - strike * math.exp(-0.05) * probability(0j)
    assert abs(heston_call_price(CALM, s0=100.0, strike=strike, maturity=maturity, rate=0.05) - expected) < 1e-7


@pytest.mark.parametrize("strike", [60.0, 100.0, 160.0])
@pytest.mark.parametrize("maturity", [0.02, 1.0, 10.0])
def test_black_scholes_is_the_limit_of_small_xi(strike: float, maturity: float) -> None:
    flat = HestonParams(mu=0.0, kappa=2.0, theta=0.0625, xi=1e-7, rho=-0.5, v0=0.0625)
    price = heston_call_price(flat, s0=100.0, strike=strike, maturity=maturity, rate=0.02)
    assert abs(price - _black_scholes(strike, maturity, 0.02, 0.25)) < 1e-6


@pytest.mark.parametrize("params", [CALM, WILD, RISING])
def test_put_call_parity(params: HestonParams) -> None:
    for strike in (50.0, 100.0, 200.0):
        terms = {"s0": 100.0, "strike": strike, "maturity": 2.0, "rate": 0.04}
        gap = heston_call_price(params, **terms) - heston_put_price(params, **terms)
        assert abs(gap - (100.0 - strike * math.exp(-0.08))) < 1e-9


@pytest.mark.parametrize("params", [CALM, WILD, RISING, HestonParams(0, 1.5, 0.04, 0.5, -1.0, 0.04)])
@pytest.mark.parametrize("maturity", [1 / 52, 1.0, 15.0])
def test_no_arbitrage_across_strikes(params: HestonParams, maturity: float) -> None:
    strikes = np.geomspace(25.0, 400.0, 15)
    calls = np.array([heston_call_price(params, s0=100.0, strike=k, maturity=maturity) for k in strikes])
    slopes = np.diff(calls) / np.diff(strikes)
    assert (calls >= np.maximum(100.0 - strikes, 0) - 1e-9).all()
    assert (calls <= 100.0).all()
    assert (slopes <= 1e-9).all()
    assert (slopes >= -1 - 1e-9).all()
    assert (np.diff(slopes) >= -1e-9).all()


def test_price_scales_with_the_currency() -> None:
    one = heston_call_price(WILD, s0=1.0, strike=1.1, maturity=1.0)
    assert heston_call_price(WILD, s0=1e6, strike=1.1e6, maturity=1.0) == pytest.approx(1e6 * one, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, bad) for name in ("s0", "strike", "maturity") for bad in (0.0, -1.0, math.nan, math.inf, "1", None)]
    + [("rate", bad) for bad in (math.nan, math.inf, -1000.0, 701.0, None, "0")],
)
@pytest.mark.parametrize("price", [heston_call_price, heston_put_price])
def test_bad_argument_is_named(price: Callable[..., float], name: str, value: object) -> None:
    terms = {"s0": 100.0, "strike": 100.0, "maturity": 1.0, "rate": 0.0, name: value}
    with pytest.raises(ValueError, match=f"^{name} must"):
        price(CALM, **terms)
