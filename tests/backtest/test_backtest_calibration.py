"""Do the intervals and probabilities keep their promise: markets without an edge, and one with an edge that is known.

Heavy for a test, some 25 s of one core: 6,000 intervals of 1,000 resamples, and the searches and histories besides.
"""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binomtest

from companion.backtest import deflated_sharpe_ratio, expected_max_sharpe, power_of, sharpe_difference_interval
from companion.heston import HestonParams, simulate_heston


def garch(rng, n_paths, n_bars):
    """Returns without drift and their volatilities: GJR-GARCH(1, 1) with Student shocks, after 250 bars unseen."""
    shocks = rng.standard_t(6, (n_paths, 250 + n_bars)) * np.sqrt(4 / 6)
    variances = np.empty_like(shocks)
    variance = np.ones(n_paths)
    for bar in range(shocks.shape[1]):
        variances[:, bar] = variance
        variance = 0.03 + (0.9 + (0.02 + 0.1 * (shocks[:, bar] < 0.0)) * shocks[:, bar] ** 2) * variance
    volatility = 0.01 * np.sqrt(variances)
    return (volatility * shocks)[:, 250:], volatility[:, 250:]


def heston(rng, n_paths, n_bars):
    """Returns without drift and their volatilities, after a year unseen."""
    params = HestonParams(mu=0.0, kappa=3.0, theta=0.04, xi=0.5, rho=-0.7, v0=0.04)
    paths = simulate_heston(params, n_paths=n_paths, n_steps=252 + n_bars, seed=rng)
    price = paths.price[:, 252:]
    return price[:, 1:] / price[:, :-1] - 1.0, np.sqrt(paths.variance[:, 252:-1] / 252)


def at_random(rng, returns, volatility):
    """In and out, a bar in fifty."""
    return np.cumsum(rng.random(returns.shape) < 0.02, axis=1) % 2


def volatility_target(rng, returns, volatility):
    """Exposure that depends on volatility, three times at most."""
    return np.minimum(0.01 / volatility, 3.0)


def trend(rng, returns, volatility):
    """In above the 50-bar average of the price, as of the bar before."""
    level = np.cumsum(returns, axis=1)
    average = np.stack([np.convolve(path, np.full(50, 1 / 50), "valid") for path in level])
    weight = np.zeros_like(returns)
    weight[:, 50:] = level[:, 49:-1] > average[:, :-1]
    return weight


def excludes_zero(weights, returns):
    """Whether the interval of each market says that a strategy's Sharpe ratio is not that of holding."""
    markets = enumerate(zip(weights, returns, strict=True))
    return [sharpe_difference_interval(w * earned, earned, seed=n).excludes_zero for n, (w, earned) in markets]


@pytest.mark.parametrize("market", [garch, heston])
def test_where_nothing_has_an_edge_an_interval_excludes_zero_as_often_as_it_says(market):
    """All true Sharpe ratios are zero, for nobody knows the sign of the next return.

    1,000 markets leave a standard error of .007 about the nominal .05 for one strategy.
    """
    rng = np.random.default_rng(0)
    returns, volatility = market(rng, 1000, 1260)
    found = [
        np.mean(excludes_zero(strategy(rng, returns, volatility), returns))
        for strategy in (at_random, volatility_target, trend)
    ]
    assert 0.035 <= np.mean(found) <= 0.065
    assert 0.03 <= min(found) <= max(found) <= 0.07


def test_a_known_edge_is_found_as_often_as_the_power_analysis_says():
    """A strategy and its baseline share volatility and .7 of their luck; true Sharpe ratios 1.1 and .4, ten years."""
    rng = np.random.default_rng(1)
    _, volatility = garch(rng, 400, 2520)
    shocks = rng.normal(size=(2, 400, 2520))
    shocks[1] = 0.7 * shocks[0] + np.sqrt(1.0 - 0.7**2) * shocks[1]
    typical = np.sqrt(np.mean(volatility**2))
    baseline, strategy = (volatility * z + s / np.sqrt(252) * typical for z, s in zip(shocks, (0.4, 1.1), strict=True))
    found = [
        sharpe_difference_interval(a, b, seed=number).low > 0.0
        for number, (a, b) in enumerate(zip(strategy, baseline, strict=True))
    ]
    said = power_of(0.7, years=10, correlation=0.7, sharpe=0.4)
    assert said == pytest.approx(0.81, abs=0.01)
    assert binomtest(sum(found), len(found), said).pvalue > 0.01


@pytest.mark.parametrize(("n_trials", "correlation"), [(1, 0.0), (2, 0.0), (10, 0.0), (10, 0.5), (10, 0.9), (50, 0.9)])
def test_the_deflated_ratio_rejects_at_its_level(n_trials, correlation):
    """The best of `n_trials` strategies without an edge, 1,000 searches, two years each.

    With the law of the largest it passes .95 in one search of twenty, whatever the trials share; the binomial error is
    .007. That of the paper is exact in the mean, and takes its error for that of one strategy. That is right where the
    trials share their luck, and far too careful where they do not, for the largest of many hardly varies. Beside its
    rate stands that of normal ratios without the noise of their moments.
    """
    rng = np.random.default_rng(n_trials)
    shared, own = np.sqrt([correlation, 1.0 - correlation])
    false_alarms = dict.fromkeys(("one", "largest"), 0)
    for _ in range(1000):
        returns = 0.01 * (shared * rng.normal(size=(500, 1)) + own * rng.normal(size=(500, n_trials)))
        ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1) * np.sqrt(252)
        for error in false_alarms:
            chance = deflated_sharpe_ratio(returns[:, ratios.argmax()], trials=ratios, error=error)
            false_alarms[error] += chance > 0.95
    scores = shared * rng.normal(size=(20_000, 1)) + own * rng.normal(size=(20_000, n_trials))
    spread = scores.std(axis=1, ddof=1) if n_trials > 1 else np.zeros(20_000)
    limit = np.mean(scores.max(axis=1) - spread * expected_max_sharpe(n_trials, 1.0) > ndtri(0.95))
    assert 0.035 <= false_alarms["largest"] / 1000 <= 0.065
    assert false_alarms["one"] / 1000 <= 0.065
    assert false_alarms["one"] / 1000 == pytest.approx(limit, abs=0.02)
