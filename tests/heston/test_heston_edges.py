"""Where a parameter tends to zero: schemes, law and price tend to the same limit, or say what they refuse."""

import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from companion.heston import (
    HestonParams,
    heston_call_price,
    heston_put_price,
    simulate_heston,
    variance_law,
    weak_error,
)
from companion.heston._simulate import simulate_heston_terminal

BASE = HestonParams(mu=0.03, kappa=2.0, theta=0.04, xi=0.3, rho=-0.7, v0=0.09)
TERMS = {"s0": 100.0, "maturity": 1.0, "rate": 0.03}
N_PATHS = 40_000


def _changed(**changes: float) -> HestonParams:
    return HestonParams(**{**vars(BASE), **changes})


def _mean_variance(params: HestonParams, t: float) -> float:
    """Mean of the variance over [0, t]."""
    x = params.kappa * t
    weight = -math.expm1(-x) / x if x > 1e-12 else 1.0
    return params.theta + (params.v0 - params.theta) * weight


def _black_scholes(strike: float, variance: float) -> float:
    root, discounted = math.sqrt(variance), strike * math.exp(-0.03)
    d1 = math.log(100.0 / discounted) / root + root / 2
    return float(100.0 * ndtr(d1) - discounted * ndtr(d1 - root))


@pytest.mark.parametrize("xi", [1e-6, 1e-8, 1e-10, 1e-12, 1e-20, 1e-50])
@pytest.mark.parametrize("scheme", ["qe", "euler"])
@pytest.mark.parametrize("rho", [-1.0, -0.7, 0.0, 0.9])
def test_with_little_xi_the_market_is_that_of_black_and_scholes(xi: float, scheme: str, rho: float) -> None:
    """The variance runs along its mean, the log price is normal, and the exact price is that of Black and Scholes."""
    params = _changed(xi=xi, rho=rho)
    price, variance = simulate_heston_terminal(
        params,
        n_paths=N_PATHS,
        n_steps=252,
        dt=1 / 252,
        scheme=scheme,
        seed=1,  # type: ignore[arg-type]
    )
    total = _mean_variance(params, 1.0)
    level = params.theta + (params.v0 - params.theta) * math.exp(-params.kappa)
    np.testing.assert_allclose(variance, level, rtol=1e-12 if scheme == "qe" else 0.01, atol=10 * xi)
    log_price = np.log(price / 100.0)
    assert log_price.mean() == pytest.approx(0.03 - total / 2, abs=4 * math.sqrt(total / N_PATHS))
    assert log_price.var() == pytest.approx(total, rel=4 * math.sqrt(2 / N_PATHS) + 0.005)
    for strike in (80.0, 100.0, 120.0):
        exact = heston_call_price(params, strike=strike, **TERMS)
        assert exact == pytest.approx(_black_scholes(strike, total), abs=max(1e-8, 10 * xi))


@pytest.mark.parametrize(("near", "far"), [(1.001e-7, 0.999e-7)])
@pytest.mark.parametrize("dt", [1 / 4, 1 / 252])
def test_taking_the_limit_makes_no_step(near: float, far: float, dt: float) -> None:
    """On either side of the xi from which on QE takes the limit, at the same random numbers."""
    root = math.sqrt(max(BASE.theta, BASE.v0))
    one, two = (
        simulate_heston(_changed(xi=share * root), n_paths=100, n_steps=round(1 / dt), dt=dt, seed=2)
        for share in (near, far)
    )
    np.testing.assert_allclose(one.price, two.price, rtol=2e-6)
    np.testing.assert_allclose(one.variance, two.variance, rtol=1e-8)


@pytest.mark.parametrize(
    "change",
    [
        {"kappa": 1e-8},
        {"kappa": 1e-12},
        {"kappa": 1e-17},
        {"kappa": 1e-50},
        {"theta": 1e-12},
        {"theta": 1e-50},
        {"v0": 0.0},
        {"v0": 1e-300},
        {"rho": 1.0},
        {"rho": -1.0},
        {"kappa": 1e-50, "theta": 1e-50},
    ],
)
def test_the_schemes_agree_with_each_other_and_the_law_at_an_edge(change: dict[str, float]) -> None:
    params, law = _changed(**change), variance_law(_changed(**change), 1.0)
    results = []
    for scheme, n_steps in (("qe", 252), ("euler", 1008)):
        price, variance = simulate_heston_terminal(
            params,
            n_paths=N_PATHS,
            n_steps=n_steps,
            dt=1 / n_steps,
            scheme=scheme,
            seed=3,  # type: ignore[arg-type]
        )
        assert variance.mean() == pytest.approx(law.mean(), abs=4 * law.std() / math.sqrt(N_PATHS) + 0.005 * law.mean())
        payoff = math.exp(-0.03) * np.maximum(price - 100.0, 0.0)
        error = payoff.std() / math.sqrt(N_PATHS)
        assert payoff.mean() == pytest.approx(heston_call_price(params, strike=100.0, **TERMS), abs=4 * error + 0.02)
        results.append((np.log(price).std(), variance.std()))
    np.testing.assert_allclose(*results, rtol=0.05)


@pytest.mark.parametrize("dt", [1e-50, 1e-12])
@pytest.mark.parametrize("scheme", ["qe", "euler"])
def test_a_tiny_step_moves_nothing_by_much(dt: float, scheme: str) -> None:
    paths = simulate_heston(BASE, n_paths=50, n_steps=10, dt=dt, scheme=scheme, seed=4)  # type: ignore[arg-type]
    np.testing.assert_allclose(paths.price, 100.0, rtol=1e-4)
    np.testing.assert_allclose(paths.variance, 0.09, rtol=1e-4)


tiny_or_plain = st.one_of(st.sampled_from([1e-50, 1e-17, 1e-12, 1e-8, 1e50]), st.floats(1e-4, 20.0))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    params=st.builds(
        HestonParams,
        mu=st.floats(-1, 1),
        kappa=tiny_or_plain,
        theta=tiny_or_plain,
        xi=tiny_or_plain,
        rho=st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-1, 1)),
        v0=st.one_of(st.sampled_from([0.0, 1e-300, 1e50]), tiny_or_plain),
    ),
    dt=st.one_of(st.sampled_from([1e-50, 1e-12, 1e4, 1e50]), st.floats(1e-6, 1.0)),
    scheme=st.sampled_from(["qe", "euler"]),
)
def test_whatever_is_accepted_gives_finite_paths(params: HestonParams, dt: float, scheme: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = simulate_heston(params, n_paths=8, n_steps=16, dt=dt, scheme=scheme, seed=8)  # type: ignore[arg-type]
    assert np.isfinite(paths.price).all()
    assert (paths.price > 0).all()
    assert np.isfinite(paths.variance).all()
    assert (paths.variance >= 0).all()


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    params=st.builds(
        HestonParams,
        mu=st.just(0.0),
        kappa=st.sampled_from([1e-50, 1e-12, 2.0, 1e4]),
        theta=st.sampled_from([1e-50, 1e-12, 0.04]),
        xi=st.sampled_from([1e-50, 1e-12, 1e-8, 0.3, 1e3]),
        rho=st.sampled_from([-1.0, -0.7, 0.0, 1.0]),
        v0=st.sampled_from([0.0, 1e-300, 1e-12, 0.04]),
    ),
    strike=st.sampled_from([60.0, 100.0, 103.0, 170.0]),
    maturity=st.sampled_from([1e-50, 1e-6, 1.0, 100.0]),
)
def test_a_price_at_an_edge_is_one(params: HestonParams, strike: float, maturity: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call = heston_call_price(params, s0=100.0, strike=strike, maturity=maturity)
        put = heston_put_price(params, s0=100.0, strike=strike, maturity=maturity)
    assert max(100.0 - strike, 0.0) <= call <= 100.0
    assert call - put == pytest.approx(100.0 - strike, abs=1e-9)


@pytest.mark.parametrize("xi", [1e-3, 1e-5, 1e-6, 1e-8, 1e-12, 1e-50])
@pytest.mark.parametrize("t", [1e-3, 1.0, math.inf])
def test_the_law_of_a_variance_that_hardly_moves_is_normal(xi: float, t: float) -> None:
    params = _changed(xi=xi)
    law = variance_law(params, t)
    faded = -math.expm1(-params.kappa * t)
    mean = params.theta * faded + params.v0 * (1 - faded)
    assert law.mean() == pytest.approx(mean, rel=1e-14)
    spread = xi * math.sqrt((params.v0 * (1 - faded) * faded + params.theta * faded**2 / 2) / params.kappa)
    assert law.std() == pytest.approx(spread, rel=1e-9)
    if law.std() > 1e-13 * mean:  # else the rounding of the argument is most of it
        found = law.cdf(mean + law.std() * np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
        np.testing.assert_allclose(found, ndtr([-2.0, -1.0, 0.0, 1.0, 2.0]), atol=max(1e-3, 0.2 * xi))


@pytest.mark.parametrize("scheme", ["qe", "euler"])
@pytest.mark.parametrize("change", [{"xi": 1e-12}, {"theta": 1e-50, "v0": 0.0, "kappa": 1e-50}])
def test_the_weak_error_at_an_edge_is_small(scheme: str, change: dict[str, float]) -> None:
    """Where the price is certain there is no variance to divide by."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = weak_error(
            _changed(**change),
            strikes=(90.0,),
            maturity=1.0,
            steps_per_year=[64],
            n_paths=5000,
            scheme=scheme,
            seed=5,  # type: ignore[arg-type]
        )
    assert np.all(np.abs(found.error) <= 4 * found.standard_error + 0.02)


@pytest.mark.parametrize("t", [0.0, -1.0, math.nan, 1e-51, None])
def test_the_law_wants_a_time(t: float) -> None:
    with pytest.raises(ValueError, match=r"^t must be"):
        variance_law(BASE, t)


@pytest.mark.parametrize(("name", "value"), [("dt", 1e-51), ("dt", 1e51), ("s0", 1e51), ("s0", 1e-300)])
def test_what_leaves_the_range_of_floats_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} must be between 1e-50 and 1e+50, got {value}")):
        simulate_heston(BASE, **{"n_paths": 1, "n_steps": 1, "seed": 0, name: value})  # type: ignore[arg-type]
