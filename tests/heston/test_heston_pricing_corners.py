"""Prices where the integral is hard: correlation of 1 or -1, tiny variance that varies wildly, deep strikes."""

import math
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from companion.heston import HestonParams, heston_call_price, heston_put_price, variance_law
from companion.heston._pricing import _best_ray

POINTS = 40  # per unit of log x, at the first step: 76 units, halved a few times, are a few milliseconds


def _reference(params: HestonParams, strike: float, maturity: float) -> float:
    """Lewis's integral in 40 digits, on a ray chosen for its limit at infinity, octave by octave."""
    with mp.workdps(40):
        kappa, theta, xi, rho, v0 = (mp.mpf(getattr(params, name)) for name in ("kappa", "theta", "xi", "rho", "v0"))
        moneyness = mp.log(100 / mp.mpf(strike))
        toward = 1 if moneyness > rho * (v0 + kappa * theta * maturity) / xi else -1
        ray = mp.expjpi(mp.mpf(toward) / 5)

        def integrand(x: mp.mpf) -> mp.mpf:
            u = x * ray - 0.5j
            beta = kappa - 1j * rho * xi * u
            d = mp.sqrt(beta**2 + xi**2 * (u * u + 1j * u))
            g, decay = (beta - d) / (beta + d), mp.exp(-d * maturity)
            to_theta = (beta - d) * maturity - 2 * mp.log((1 - g * decay) / (1 - g))
            exponent = kappa * theta * to_theta + v0 * (beta - d) * (1 - decay) / (1 - g * decay)
            return (mp.exp(1j * x * ray * moneyness + exponent / xi**2) / (x * x * ray**2 + 0.25) * ray).real

        edges = [mp.mpf(0), *(mp.mpf(2) ** j for j in range(-4, 52))]
        total = mp.mpf(0)
        for a, b in pairwise(edges):
            total += mp.quad(integrand, [a, b], method="gauss-legendre", maxdegree=5)
            if abs(integrand(b)) * b < 1e-20:
                break
        return float(100 - mp.sqrt(100 * mp.mpf(strike)) / mp.pi * total)


# (kappa, theta, xi, rho, v0), maturity, strike, and what `_reference` gives
CORNERS = [
    ((0.5, 0.04, 1.0, -1.0, 0.04), 1 / 252, 101.0, 0.1295204038412434),
    ((0.5, 0.04, 1.0, -1.0, 0.04), 1.0, 102.0, 2.490114299005355),
    ((0.5, 0.04, 1.0, 1.0, 0.04), 1.0, 130.0, 3.1126071357488194),
    ((0.5, 0.04, 1.0, 1.0, 0.04), 10.0, 100.0, 19.758043877865397),
    ((2.0, 0.001, 3.0, -1.0, 0.0), 0.02, 100.0, 0.0013222106147916615),
    ((2.0, 0.001, 3.0, -1.0, 0.0), 5.0, 100.2, 0.11422690663227346),
    ((2.0, 0.001, 3.0, 1.0, 1e-06), 30.0, 101.0, 1.7953250650218118),
    ((2.0, 0.001, 3.0, 1.0, 1e-06), 0.25, 100.0, 0.016527797977646436),
    ((0.1, 0.02, 5.0, 0.999, 0.0001), 1 / 52, 99.0, 1.0000000002049472),
    ((0.1, 0.02, 5.0, 0.999, 0.0001), 2.0, 180.0, 0.1248325504033348),
    ((0.1, 0.02, 5.0, -0.999, 0.0001), 1.0, 40.0, 60.00542615848253),
    ((0.1, 0.02, 5.0, -0.999, 0.0001), 15.0, 100.0, 0.5551984303564858),
    ((5.0, 0.2, 2.5, 0.3, 1e-06), 1 / 252, 100.0, 0.09322731762532833),
    ((5.0, 0.2, 2.5, 0.3, 1e-06), 3.0, 300.0, 6.852164258820255),
    ((1.0, 0.01, 4.0, -0.7, 0.0), 0.5, 85.0, 15.051897281412062),
    ((1.0, 0.01, 4.0, -0.7, 0.0), 20.0, 75.0, 27.01961497513913),
    ((10.0, 0.01, 2.0, 1.0, 0.5), 0.1, 150.0, 0.6399122805811905),
    ((10.0, 0.01, 2.0, 1.0, 0.5), 1.0, 100.0, 8.905222592991544),
    ((0.01, 0.5, 0.5, -1.0, 0.001), 1 / 52, 100.0, 0.147725344645366),
    ((0.01, 0.5, 0.5, -1.0, 0.001), 8.0, 101.0, 5.006776566651621),
]


@pytest.mark.parametrize(("numbers", "maturity", "strike", "expected"), CORNERS)
def test_price_in_a_corner(numbers: tuple[float, ...], maturity: float, strike: float, expected: float) -> None:
    params = HestonParams(0.0, *numbers)
    assert abs(heston_call_price(params, s0=100.0, strike=strike, maturity=maturity) - expected) < 1e-11


@pytest.mark.parametrize(("numbers", "maturity", "strike", "expected"), CORNERS[3::8])
def test_the_recorded_references(numbers: tuple[float, ...], maturity: float, strike: float, expected: float) -> None:
    assert _reference(HestonParams(0.0, *numbers), strike, maturity) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("strike", [99.0, 100.0, 105.0, 200.0])
@pytest.mark.parametrize("lifetimes", [0.05, 0.5, 1.5])
@pytest.mark.parametrize(("xi", "v0"), [(1.0, 0.04), (3.0, 1e-4), (0.2, 0.0)])
def test_price_by_the_law_of_the_variance(xi: float, v0: float, lifetimes: float, strike: float) -> None:
    """With ``rho = 1`` and ``xi = 2 kappa`` the price is a function of the variance, whose law has a closed form:
    ``log(S_T / F) = (v_T - v0 - kappa theta T) / xi``. Its characteristic function hardly dies out at all."""
    kappa = xi / 2
    params, maturity = HestonParams(mu=0.0, kappa=kappa, theta=0.02, xi=xi, rho=1.0, v0=v0), lifetimes / kappa
    start, law = v0 + kappa * params.theta * maturity, variance_law(params, maturity)
    least = start + xi * math.log(strike / 100.0)

    def payoff(v: float) -> float:
        return float((100.0 * math.exp((v - start) / xi) - strike) * law.pdf(v))

    pieces = [least, *(least + xi * np.geomspace(1e-3, 40 * math.exp(lifetimes), 12))]
    expected = sum(quad(payoff, a, b, epsabs=1e-11)[0] for a, b in pairwise(pieces)) if least > 0 else 100.0 - strike
    assert abs(heston_call_price(params, s0=100.0, strike=strike, maturity=maturity) - expected) < 1e-8


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    params=st.builds(
        HestonParams,
        mu=st.just(0.0),
        kappa=st.floats(1e-3, 20.0),
        theta=st.floats(1e-4, 1.0),
        xi=st.floats(0.01, 10.0),
        rho=st.one_of(st.sampled_from([-1.0, 1.0, -0.999999, 0.999999]), st.floats(-1.0, 1.0)),
        v0=st.one_of(st.sampled_from([0.0, 1e-8, 1e-4]), st.floats(0.0, 1.0)),
    ),
    maturity=st.one_of(st.sampled_from([1 / 252, 1 / 52, 30.0]), st.floats(1 / 252, 30.0)),
    rate=st.floats(-0.02, 0.1),
)
def test_no_arbitrage_in_any_corner(params: HestonParams, maturity: float, rate: float) -> None:
    discount = math.exp(-rate * maturity)
    strikes = 100.0 / discount * np.exp([-3.0, -1.0, -0.3, -0.05, -0.01, 0.0, 0.01, 0.05, 0.3, 1.0, 3.0])
    terms = [{"s0": 100.0, "strike": float(k), "maturity": maturity, "rate": rate} for k in strikes]
    calls = np.array([heston_call_price(params, **each) for each in terms])
    puts = np.array([heston_put_price(params, **each) for each in terms])
    noise = 1e-11
    assert (calls >= np.maximum(100.0 - discount * strikes, 0.0) - noise).all()
    assert (calls <= 100.0 + noise).all()
    np.testing.assert_allclose(calls - puts, 100.0 - discount * strikes, rtol=0, atol=1e-9)
    slopes = np.diff(calls) / np.diff(strikes)
    assert (slopes >= -discount - noise).all()
    assert (slopes <= noise).all()
    assert (np.diff(slopes) >= -noise).all()
    for strike in strikes:
        assert _best_ray(params, maturity, math.log(100.0 / discount / strike))[2] < POINTS
