"""QLIKE ranks by the truth whatever the proxy's noise, and the Diebold–Mariano test rejects as often as it says."""

import numpy as np
import pytest
from arch.covariance.kernel import Bartlett
from scipy import stats

from companion.evaluation._forecasts import (
    LogVarianceRegression,
    diebold_mariano,
    expanding_forecast,
    qlike,
    realized_variance,
)


def test_realized_variance_is_the_mean_of_the_next_squares():
    r = np.array([9.0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(realized_variance(r, 2), [0.025, 0.065, 0.125])
    np.testing.assert_allclose(realized_variance(np.stack([r, r]), 2)[1], realized_variance(r, 2))


def test_qlike_is_zero_at_the_truth_and_least_there_under_a_noisy_proxy():
    assert qlike([2.0], [2.0]) == [0.0]
    np.testing.assert_allclose(qlike([2.0], [1.0]), 1 - np.log(2))
    truth = 1e-4 * np.exp(np.random.default_rng(0).standard_normal(200_000))
    proxy = truth * np.random.default_rng(1).chisquare(1, truth.size)
    mean = {factor: qlike(proxy, factor * truth).mean() for factor in (0.8, 0.95, 1.0, 1.05, 1.25)}
    assert min(mean, key=mean.get) == 1.0
    assert mean[0.8] > mean[1.25]  # too low is worse


def _overlapping_losses(rng, n_bars, horizon):
    """Losses of two forecasts of equal accuracy, each summed over `horizon` bars."""
    shocks = rng.standard_normal((2, n_bars + horizon - 1)) ** 2
    return [np.convolve(row, np.ones(horizon), "valid") for row in shocks]


@pytest.mark.parametrize(("horizon", "n_bars"), [(1, 400), (5, 1000), (20, 2000)])
def test_equal_forecasts_are_told_apart_about_as_often_as_stated(horizon, n_bars):
    rng = np.random.default_rng(horizon)
    found = [diebold_mariano(*_overlapping_losses(rng, n_bars, horizon), horizon=horizon) for _ in range(600)]
    rejected = np.mean([test.p_value < 0.05 for test in found])
    assert 0.03 < rejected < 0.10
    assert abs(np.mean([test.statistic for test in found])) < 0.15


def test_without_the_overlap_the_test_would_be_fooled():
    rng = np.random.default_rng(7)
    found = [diebold_mariano(*_overlapping_losses(rng, 1000, 20), horizon=20, lags=0) for _ in range(200)]
    assert np.mean([test.p_value < 0.05 for test in found]) > 0.4


def test_a_better_forecast_is_found_and_the_sign_says_which():
    rng = np.random.default_rng(3)
    worse, better = rng.standard_normal(800) ** 2 + 0.3, rng.standard_normal(800) ** 2
    there, back = diebold_mariano(better, worse, horizon=1), diebold_mariano(worse, better, horizon=1)
    assert there.statistic < -2
    assert there.p_value < 0.05
    assert (back.statistic, back.p_value) == pytest.approx((-there.statistic, there.p_value))
    assert there.difference == pytest.approx((better - worse).mean())


def test_one_step_ahead_without_lags_it_is_the_t_test():
    a, b = np.random.default_rng(5).standard_normal((2, 50))
    found, expected = diebold_mariano(a, b, horizon=1, lags=0), stats.ttest_rel(a, b)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))


@pytest.mark.parametrize(("horizon", "lags"), [(1, 3), (5, 0), (5, 12), (20, 60)])
def test_the_statistic_is_that_of_the_two_papers(horizon, lags):
    """Newey and West's long-run variance as `arch` has it, and the factor of Harvey, Leybourne and Newbold (1997)."""
    one, other = _overlapping_losses(np.random.default_rng(lags), 200, horizon)
    found, n = diebold_mariano(one, other, horizon=horizon, lags=lags), 200
    long_run = float(np.squeeze(Bartlett(one - other, bandwidth=lags).cov.long_run))
    factor = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n  # their equation 9
    statistic = factor**0.5 * (one - other).mean() / (long_run / n) ** 0.5
    assert found.statistic == pytest.approx(statistic, rel=1e-12)
    assert found.standard_error == pytest.approx((long_run / n / factor) ** 0.5, rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.t(n - 1).sf(abs(statistic)), rel=1e-10)


def test_the_regression_finds_the_law_and_its_scale_the_mean():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((50_000, 2))
    v = np.exp(-9.0 + x @ [0.5, -0.2] + 0.8 * rng.standard_normal(len(x)))
    model = LogVarianceRegression.fit(x, v)
    np.testing.assert_allclose([model.intercept, *model.slopes], [-9.0, 0.5, -0.2], atol=0.02)
    assert model.scale == pytest.approx(np.exp(0.32), rel=0.03)
    losses = [qlike(v, factor * model.predict(x)).mean() for factor in (0.97, 1.0, 1.03)]
    assert np.argmin(losses) == 1


def test_an_expanding_forecast_knows_only_the_past():
    rng = np.random.default_rng(4)
    r, x = 0.01 * rng.standard_normal(500), rng.standard_normal((500, 2))
    settings = {"horizon": 10, "start": 200, "every": 50}
    said = expanding_forecast(x, r, **settings)
    assert said.shape == (300,)
    changed = r.copy()
    changed[300:] *= 5  # known from the fit at 300 on
    late = expanding_forecast(x, changed, **settings)
    np.testing.assert_array_equal(late[:100], said[:100])
    assert (late[150:] > 1.1 * said[150:]).all()
    first = LogVarianceRegression.fit(x[:191], realized_variance(r[:201], 10))
    np.testing.assert_allclose(said[:50], first.predict(x[200:250]), rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: realized_variance(np.zeros(5), 5), "horizon must be below the 5 bars of the returns, got 5"),
        (lambda: realized_variance(np.zeros(5), 0), "horizon must be a positive integer, got 0"),
        (lambda: qlike([1.0, 0.0], [1.0, 1.0]), "realized must hold positive finite variances, got 0.0"),
        (lambda: qlike([1.0], [np.inf]), "forecast must hold positive finite variances, got inf"),
        (lambda: qlike([1.0], [1.0, 2.0]), "forecast must have the shape of realized"),
        (lambda: diebold_mariano(np.zeros(9), np.ones(9), horizon=1, lags=1), "must differ by more than a constant"),
        (lambda: diebold_mariano(np.zeros(9), np.arange(9.0), horizon=5), "below half of the 9 bars, got 5 and 15"),
        (
            lambda: diebold_mariano(np.zeros(9), np.arange(9.0), horizon=1, lags=-1),
            "lags must be a non-negative integer",
        ),
        (lambda: diebold_mariano(np.zeros(9), np.arange(9.0), horizon=0), "horizon must be a positive integer"),
        (lambda: diebold_mariano([0.0, np.nan], [0.0, 1.0], horizon=1, lags=0), "loss and other_loss must be finite"),
        (lambda: diebold_mariano(np.zeros(3), np.zeros(4), horizon=1), "must be two series of one length"),
        (lambda: LogVarianceRegression.fit(np.zeros((3, 1)), [1.0, 0.0, 1.0]), "realized must hold positive .*got 0.0"),
        (
            lambda: expanding_forecast(np.zeros((50, 1)), np.zeros(50), horizon=5, start=5, every=1),
            "start must be .*got 5",
        ),
        (
            lambda: expanding_forecast(np.zeros((50, 1)), np.zeros(50), horizon=5, start=9, every=0),
            "every must be a pos",
        ),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()
