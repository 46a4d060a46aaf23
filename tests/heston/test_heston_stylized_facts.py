"""Stylized facts against processes whose answers are known."""

import math

import numpy as np
import pytest

from companion.heston import RegimeSwitchingHeston, aggregate, autocorrelation, excess_kurtosis, leverage, skewness

RNG = np.random.default_rng(0)
GAUSS = RNG.normal(size=(4, 50_000))


def test_a_gaussian_has_none_of_the_facts() -> None:
    n = GAUSS.shape[1]
    assert np.abs(excess_kurtosis(GAUSS)).max() < 4 * math.sqrt(24 / n)
    assert np.abs(skewness(GAUSS)).max() < 4 * math.sqrt(6 / n)
    assert np.abs(autocorrelation(np.abs(GAUSS), 10)).max() < 4.5 / math.sqrt(n)
    assert np.abs(leverage(GAUSS, 10)).max() < 4.5 / math.sqrt(n)


def test_moments_of_a_skewed_law() -> None:
    x = RNG.gamma(4.0, size=200_000)
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
    assert leverage(r, 1)[0] < -0.1
    assert abs(leverage(r[::-1], 1)[0]) < abs(leverage(r, 1)[0]) / 2


def test_aggregate_adds_log_returns() -> None:
    np.testing.assert_allclose(aggregate([1.0, 2.0, 3.0, 4.0, 9.0], 2), [3.0, 7.0])
    assert aggregate(GAUSS, 5).shape == (4, 10_000)


def test_one_path_agrees_with_many() -> None:
    for fact in (excess_kurtosis, skewness, lambda x: autocorrelation(x, 3), lambda x: leverage(x, 3)):
        np.testing.assert_allclose(fact(GAUSS)[2], fact(GAUSS[2]), rtol=1e-12)


def test_the_base_market_has_the_facts_of_a_stock_index() -> None:
    r = RegimeSwitchingHeston.equity_index().simulate(n_paths=40, n_steps=2500, seed=1).log_returns
    assert excess_kurtosis(r).mean() > 3
    assert skewness(r).mean() < -0.2
    assert np.abs(autocorrelation(r, 5).mean(axis=0)).max() < 0.02
    assert (autocorrelation(np.abs(r), 20).mean(axis=0) > 0.1).all()
    assert (leverage(r, 5).mean(axis=0) < -0.02).all()
    assert excess_kurtosis(aggregate(r.reshape(-1), 500)) < excess_kurtosis(r.reshape(-1)) / 2


@pytest.mark.parametrize(
    "bad", [[0.1, math.nan, 0.2, 0.1], [0.1, math.inf, 0.2], [0.1, 0.2], [], np.ones(5), [[[1.0, 2, 3]]]]
)
def test_bad_returns_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"^returns must"):
        skewness(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: autocorrelation(GAUSS[0, :5], 5), "n_lags"),
        (lambda: leverage(GAUSS, 0), "n_lags"),
        (lambda: aggregate(GAUSS[0, :5], 3), "n_bars"),
    ],
)
def test_bad_argument_is_named(call, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        call()
