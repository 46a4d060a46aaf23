"""Stylized facts against processes whose answers are known."""

import math

import numpy as np
import pytest

from companion.datasets import aggregate, autocorrelation, excess_kurtosis, leverage_effect, skewness
from companion.heston import RegimeSwitchingHeston

RNG = np.random.default_rng(0)
GAUSS = 0.01 * RNG.normal(size=(4, 50_000))  # daily returns: a volatility of 1 %


def test_a_gaussian_has_none_of_the_facts() -> None:
    n = GAUSS.shape[1]
    assert np.abs(excess_kurtosis(GAUSS)).max() < 4 * math.sqrt(24 / n)
    assert np.abs(skewness(GAUSS)).max() < 4 * math.sqrt(6 / n)
    assert np.abs(autocorrelation(np.abs(GAUSS), 10)).max() < 4.5 / math.sqrt(n)
    assert np.abs(leverage_effect(GAUSS, 10)).max() < 4.5 / math.sqrt(n)


def test_moments_of_a_skewed_law() -> None:
    x = 0.01 * (RNG.gamma(4.0, size=200_000) - 4.0)
    assert skewness(x) == pytest.approx(1.0, abs=0.05)
    assert excess_kurtosis(x) == pytest.approx(1.5, abs=0.2)


def test_autocorrelation_of_an_autoregression() -> None:
    x = np.zeros(100_000)
    for t in range(1, len(x)):
        x[t] = 0.8 * x[t - 1] + GAUSS[t % 4, t // 4]
    np.testing.assert_allclose(autocorrelation(x, 5), 0.8 ** np.arange(1, 6), atol=0.02)


def test_leverage_sees_the_order_of_time() -> None:
    """Today's squared return follows from yesterday's sign: negative one way, nothing the other way."""
    z = GAUSS[0]
    r = z.copy()
    r[1:] *= np.where(z[:-1] < 0, 2.0, 1.0)
    assert leverage_effect(r, 1)[0] < -0.1
    assert abs(leverage_effect(r[::-1], 1)[0]) < abs(leverage_effect(r, 1)[0]) / 2


def test_aggregate_adds_log_returns() -> None:
    np.testing.assert_allclose(aggregate([0.01, 0.02, 0.03, 0.04, 0.09], 2), [0.03, 0.07])
    assert aggregate(GAUSS, 5).shape == (4, 10_000)


def test_one_path_agrees_with_many() -> None:
    for fact in (excess_kurtosis, skewness, lambda x: autocorrelation(x, 3), lambda x: leverage_effect(x, 3)):
        np.testing.assert_allclose(fact(GAUSS)[2], fact(GAUSS[2]), rtol=1e-12)


def test_the_base_market_has_the_facts_of_a_stock_index() -> None:
    r = RegimeSwitchingHeston.equity_index().simulate(n_paths=40, n_steps=2500, seed=1).log_returns
    assert excess_kurtosis(r).mean() > 3
    assert skewness(r).mean() < -0.2
    assert np.abs(autocorrelation(r, 5).mean(axis=0)).max() < 0.02
    assert (autocorrelation(np.abs(r), 20).mean(axis=0) > 0.1).all()
    assert (leverage_effect(r, 5).mean(axis=0) < -0.02).all()
    assert excess_kurtosis(aggregate(r.reshape(-1), 500)) < excess_kurtosis(r.reshape(-1)) / 2


def test_squared_returns_of_a_garch_process() -> None:
    """GARCH(1, 1) has a closed form for kurtosis and for the autocorrelation of squares (Bollerslev 1986, 1988)."""
    alpha, beta, n = 0.1, 0.8, 50_000
    r, variance = np.empty((4, n)), np.full(4, 1e-4)
    for t in range(n):
        r[:, t] = np.sqrt(variance) * 100 * GAUSS[:, t]
        variance = (1 - alpha - beta) * 1e-4 + alpha * r[:, t] ** 2 + beta * variance
    persistence = alpha + beta
    first = alpha * (1 - alpha * beta - beta**2) / (1 - 2 * alpha * beta - beta**2)
    measured = autocorrelation(r**2, 10)
    error = measured.std(axis=0, ddof=1) / 2
    np.testing.assert_allclose(measured.mean(axis=0), first * persistence ** np.arange(10), atol=0.03)
    assert (error < 0.02).all()
    excess = 6 * alpha**2 / (1 - beta**2 - 2 * alpha * beta - 3 * alpha**2)
    assert excess_kurtosis(r).mean() == pytest.approx(excess, abs=0.12)
    assert np.abs(leverage_effect(r, 5).mean(axis=0)).max() < 0.02


def test_kurtosis_of_a_sum_falls_with_its_length() -> None:
    """Of n independent returns it is the n-th part: the central limit theorem at its simplest."""
    x = 0.01 * RNG.uniform(-1.0, 1.0, size=(8, 100_000))
    for n_bars in (1, 2, 4):
        assert excess_kurtosis(aggregate(x, n_bars)).mean() == pytest.approx(-1.2 / n_bars, abs=0.04)


def test_the_base_market_has_the_measured_facts_within_their_errors() -> None:
    """What was once measured on 40 paths lies within two standard errors, over paths, of what 400 paths give."""
    paths = RegimeSwitchingHeston.equity_index().simulate(n_paths=400, n_steps=2500, seed=6)
    returns, regime = paths.log_returns, paths.regime[:, 1:]

    def facts(chosen: np.ndarray) -> np.ndarray:
        r, k = returns[chosen], regime[chosen]
        volatilities = [100 * math.sqrt(252) * sample.std() for sample in (r, r[k == 0], r[k == 1])]
        return np.array([*volatilities, float(skewness(r.ravel())), float(excess_kurtosis(r.ravel()))])

    draws = np.random.default_rng(0).integers(0, 400, (40, 40))
    error = np.std([facts(draw) for draw in draws], axis=0)
    assert (error < (0.6, 0.4, 0.9, 0.08, 0.7)).all()
    assert (np.abs(facts(np.arange(400)) - (17.3, 14.0, 26.7, -0.39, 5.9)) < 2 * error).all()


@pytest.mark.parametrize(
    "bad",
    [
        [0.1, math.nan, 0.2, 0.1],
        [0.1, math.inf, 0.2],
        [0.1, 0.2],
        [],
        np.ones(5),
        [[[1.0, 2, 3]]],
        100 * np.exp(np.cumsum(GAUSS[0, :200])),
        np.log(100) + np.cumsum(GAUSS[0, :200]),
    ],
)
def test_bad_returns_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"^returns.* must"):
        skewness(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: autocorrelation([0.1, math.nan, 0.2], 1), "series"),
        (lambda: autocorrelation(np.ones(9), 1), "series"),
        (lambda: autocorrelation(GAUSS[0, :5], 5), "n_lags"),
        (lambda: leverage_effect(GAUSS, 0), "n_lags"),
        (lambda: aggregate(GAUSS[0, :5], 3), "n_bars"),
    ],
)
def test_bad_argument_is_named(call, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        call()
