"""The observer who learns the market: closed forms, calibration over the prior, causality."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from companion.heston import RegimeSwitchingHeston, bayes_filter, learner_filter, run_bayes_filter

BASE = RegimeSwitchingHeston.equity_index()
LOUD = BASE.scaled(volatility=3.0)
RETURNS = BASE.simulate(n_paths=2, n_steps=300, seed=1).log_returns


def test_who_knows_of_one_market_is_who_knows_it():
    learner = learner_filter(RETURNS, [BASE], n_particles=200, seed=7)
    known = run_bayes_filter(RETURNS, BASE, n_particles=200, seed=np.random.default_rng(7))
    np.testing.assert_allclose(learner.p_regime, known.p_regime, rtol=1e-12)
    np.testing.assert_allclose(learner.log_likelihood, known.log_likelihood, rtol=0, atol=1e-9)
    np.testing.assert_allclose(learner.effective_markets, 1.0, rtol=1e-12)


def test_weights_are_the_likelihoods():
    markets = [BASE, LOUD, BASE.scaled(volatility=1.2)]
    learner = learner_filter(RETURNS, markets, n_particles=200, seed=7)
    rng = np.random.default_rng(7)
    runs = [run_bayes_filter(RETURNS, market, n_particles=200, seed=rng) for market in markets]
    weight = np.cumsum([run.log_likelihood for run in runs], axis=-1)
    weight = np.exp(weight - logsumexp(weight, axis=0))
    expected = np.einsum("mpt,mptk->ptk", weight, [run.p_regime for run in runs])
    np.testing.assert_allclose(learner.p_regime, expected, rtol=1e-9)
    np.testing.assert_allclose(learner.effective_markets, 1 / (weight**2).sum(axis=0), rtol=1e-9)
    total = logsumexp([run.log_likelihood.sum(axis=-1) for run in runs], axis=0) - math.log(3)
    np.testing.assert_allclose(learner.log_likelihood.sum(axis=-1), total, rtol=1e-12)


def test_he_soon_knows_a_market_that_is_unlike_the_others():
    learner = learner_filter(RETURNS, [LOUD, BASE, BASE.scaled(volatility=1 / 3)], n_particles=200, seed=3)
    assert (learner.effective_markets[:, 0] > 1.05).all()
    assert (learner.effective_markets[:, -50:] < 1.05).all()
    known = bayes_filter(RETURNS, BASE, n_particles=2000, seed=4)
    assert np.abs(learner.p_regime - known)[:, -50:].mean() < 0.03


@pytest.fixture(scope="module")
def drawn():
    """Paths of markets drawn from a prior of 12, each once and again; and what the learner says of all."""
    markets = [RegimeSwitchingHeston.random(seed) for seed in range(12)]
    paths = [market.simulate(n_paths=6, n_steps=400, seed=100 + i) for i, market in enumerate(markets)]
    returns = np.concatenate([path.log_returns for path in paths])
    regime = np.concatenate([path.regime for path in paths])
    return regime[:, 1:], learner_filter(returns, markets, n_particles=150, seed=5).p_regime[..., 1], paths, markets


def test_over_the_prior_the_regime_is_on_average_what_he_said_of_it(drawn):
    truth, p, _, _ = drawn
    for part in (slice(0, 100), slice(100, 400)):
        surprise = (truth - p)[:, part].mean(axis=1)
        assert abs(surprise.mean()) < 3 * stats.sem(surprise)
        weighted = ((truth - p) * (p - 0.5))[:, part].mean(axis=1)
        assert abs(weighted.mean()) < 3 * stats.sem(weighted)


def test_who_knows_the_market_knows_more(drawn):
    truth, p, paths, markets = drawn
    said = [
        bayes_filter(path.log_returns, market, n_particles=300, seed=9)[..., 1]
        for path, market in zip(paths, markets, strict=True)
    ]
    known = np.concatenate(said)
    brier = [np.mean((truth - q) ** 2) for q in (known, p)]
    assert brier[0] < brier[1]
    assert roc_auc_score(truth.ravel(), known.ravel()) > roc_auc_score(truth.ravel(), p.ravel())


def test_the_past_does_not_move_when_the_future_changes():
    changed = RETURNS.copy()
    changed[:, 200:] *= 3
    markets = [BASE, LOUD]
    one, other = (learner_filter(x, markets, n_particles=100, seed=1) for x in (RETURNS, changed))
    np.testing.assert_array_equal(one.p_regime[:, :200], other.p_regime[:, :200])
    np.testing.assert_array_equal(one.effective_markets[:, :200], other.effective_markets[:, :200])
    alone = learner_filter(RETURNS[0], markets, n_particles=100, seed=1)
    np.testing.assert_array_equal(alone.p_regime, one.p_regime[0])
    assert alone.log_likelihood.shape == (300,)


def test_bad_markets_are_named():
    three = RegimeSwitchingHeston((*BASE.regimes, BASE.regimes[1]), np.full((3, 3), 1 / 3))
    with pytest.raises(ValueError, match=r"^markets must hold at least one"):
        learner_filter(RETURNS, [], seed=0)
    with pytest.raises(ValueError, match=r"^markets must have as many regimes each, got 2 and 3"):
        learner_filter(RETURNS, [BASE, three], seed=0)
    with pytest.raises(ValueError, match=r"^market must be a RegimeSwitchingHeston"):
        learner_filter(RETURNS, ["base"], seed=0)
    with pytest.raises(ValueError, match=r"^seed must"):
        learner_filter(RETURNS, [BASE], seed=-1)
