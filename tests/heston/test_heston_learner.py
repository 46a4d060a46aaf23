"""The observer who learns the market: closed forms on small priors, calibration over a wide one, causality."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from companion.heston import RegimeSwitchingHeston, grid_filter, learner_filter

BASE = RegimeSwitchingHeston.equity_index()
LOUD = BASE.scaled(volatility=3.0)
RETURNS = BASE.simulate(n_paths=2, n_steps=300, seed=1).log_returns


class One:
    """One market, for certain."""

    n_coordinates = 1

    def market(self, quantiles):
        return BASE


class Either(One):
    """Three times as volatile, or not."""

    def market(self, quantiles):
        return LOUD if quantiles[0] < 0.5 else BASE


class Scale(One):
    """A volatility between a tenth and ten times that of the base market, uniform in the logarithm."""

    def market(self, quantiles):
        return BASE.scaled(volatility=10.0 ** (2 * quantiles[0] - 1))


def test_who_knows_of_one_market_is_who_knows_it():
    learner, known = learner_filter(RETURNS, One(), n_markets=16, seed=7), grid_filter(RETURNS, BASE)
    np.testing.assert_allclose(learner.p_regime, known.p_regime, rtol=1e-9)
    np.testing.assert_allclose(learner.log_likelihood, known.log_likelihood, rtol=0, atol=1e-9)
    np.testing.assert_allclose(learner.effective_markets, 16.0, rtol=1e-9)
    assert (learner.n_refined == 0).all()


def test_of_two_markets_he_soon_knows_the_right_one():
    learner = learner_filter(RETURNS[0], Either(), n_markets=64, seed=7)
    runs = [grid_filter(RETURNS[0], market) for market in (LOUD, BASE)]
    np.testing.assert_allclose(learner.p_regime[-50:], runs[1].p_regime[-50:], atol=1e-6)
    exact = logsumexp([run.log_likelihood.sum() for run in runs]) - math.log(2)
    assert learner.log_likelihood.sum() == pytest.approx(exact, abs=0.4)  # of 64 draws not just 32 are right


def test_where_only_the_scale_is_unknown_he_says_what_quadrature_says():
    quantiles = (np.arange(400) + 0.5) / 400
    runs = [grid_filter(RETURNS[0], Scale().market([u])) for u in quantiles]
    weight = np.cumsum([run.log_likelihood for run in runs], axis=1)
    evidence = logsumexp(weight[:, -1]) - math.log(400)
    weight = np.exp(weight - logsumexp(weight, axis=0))
    exact = np.einsum("mt,mt->t", weight, [run.p_regime[:, 1] for run in runs])
    learner = learner_filter(RETURNS[0], Scale(), n_markets=256, seed=3)
    assert learner.n_refined >= 1
    assert np.sqrt(np.mean((learner.p_regime[:, 1] - exact) ** 2)) < 0.02
    assert learner.log_likelihood.sum() == pytest.approx(evidence, abs=0.4)  # its standard deviation is about .1


class Family(One):
    """The base market with another scale, other spells and another speed of reversion."""

    n_coordinates = 3

    def market(self, quantiles):
        scale, spells, speed = (3.0 ** (2 * u - 1) for u in quantiles)
        return BASE.scaled(volatility=scale, duration=spells, reversion=speed)


@pytest.fixture(scope="module")
def drawn():
    """Paths of markets of a prior, their regimes, and what the learner says of them."""
    prior, rng = Family(), np.random.default_rng(11)
    paths = [prior.market(rng.random(3)).simulate(n_paths=1, n_steps=250, seed=rng) for _ in range(40)]
    returns = np.concatenate([path.log_returns for path in paths])
    regime = np.concatenate([path.regime for path in paths])
    return regime[:, 1:], learner_filter(returns, prior, n_markets=64, spacing=1.4, seed=5)


def test_over_the_prior_the_regime_is_on_average_what_he_said_of_it(drawn):
    truth, learner = drawn
    p = learner.p_regime[..., 1]
    surprise = (truth - p).mean(axis=1)
    assert abs(surprise.mean()) < 3 * stats.sem(surprise)
    weighted = ((truth - p) * (p - 0.5)).mean(axis=1)
    assert abs(weighted.mean()) < 3 * stats.sem(weighted)
    assert np.mean((truth - p) ** 2) < 0.9 * np.mean((truth - truth.mean()) ** 2)


def test_few_markets_are_never_left_for_long(drawn):
    _, learner = drawn
    assert np.mean(learner.n_refined >= 1) > 0.7
    assert np.mean(learner.effective_markets > 12) > 0.9


def test_the_past_does_not_move_when_the_future_changes():
    changed = RETURNS[:, :240].copy()
    changed[:, 200:] *= 3
    one, other = (learner_filter(x, Scale(), n_markets=16, seed=1) for x in (RETURNS[:, :240], changed))
    np.testing.assert_array_equal(one.p_regime[:, :200], other.p_regime[:, :200])
    np.testing.assert_array_equal(one.effective_markets[:, :200], other.effective_markets[:, :200])
    alone = learner_filter(RETURNS[0, :240], Scale(), n_markets=16, seed=1)
    np.testing.assert_array_equal(alone.p_regime, one.p_regime[0])
    assert alone.n_refined == one.n_refined[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_markets": 30}, "n_markets must be a multiple of 4, at least 16, got 30"),
        ({"n_markets": 8}, "n_markets must be a multiple of 4, at least 16, got 8"),
        ({"seed": -1}, "seed must"),
        ({"dt": -1.0}, "dt must be a positive"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        learner_filter(RETURNS, One(), **{"seed": 0} | settings)
