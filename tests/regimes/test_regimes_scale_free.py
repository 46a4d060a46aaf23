"""The filter for any market: the same answer in every unit, honest from the first bars on, near the best learner."""

import json

import numpy as np
import pytest
from scipy import stats

from companion.evaluation import auc, expected_calibration_error
from companion.heston import RegimeSwitchingHeston, WidePrior, grid_filter
from companion.regimes import NeuralRegimeFilter
from companion.regimes._filter_training import simulate_lessons


@pytest.fixture(scope="module")
def scale_free():
    return NeuralRegimeFilter.load_pretrained("scale_free")


@pytest.fixture(scope="module")
def minutes():
    """Minute returns (2, 900) of about .08 %."""
    market = RegimeSwitchingHeston.equity_index().scaled(volatility=0.08)
    return market.simulate(n_paths=2, n_steps=900, seed=4).log_returns


@pytest.fixture(scope="module")
def drawn():
    """Sixty paths of markets of the wide prior, that nobody has seen."""
    return simulate_lessons("scale_free", n_paths=60, n_bars=2500, n_particles=None, seed=990_018)


@pytest.mark.parametrize("factor", [1e-4, 1e-3, 0.1, 10.0, 100.0])
def test_no_unit_changes_a_probability(scale_free, minutes, factor):
    expected, found = (scale_free.predict_proba(x) for x in (minutes, factor * minutes))
    assert np.ptp(expected) > 0.2  # there is something to change
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-4, 1.0, 100.0])
def test_bar_by_bar_it_says_the_same_of_every_scale_and_knows_it(scale_free, minutes, factor):
    stepper, whole = scale_free.stepper(), scale_free.predict_proba(minutes[0])[:, 1]
    readings = [stepper.update(float(x)) for x in factor * minutes[0]]
    np.testing.assert_allclose([reading.p_chaos for reading in readings], whole, rtol=0, atol=1e-5)
    assert all(reading.known_scale for reading in readings)
    assert scale_free.known_scale(factor * minutes).all()


def test_it_goes_on_exactly_from_a_saved_state_and_refuses_that_of_another(scale_free, minutes):
    stepper, twin = scale_free.stepper(), scale_free.stepper()
    for x in minutes[0, :300].tolist():
        stepper.update(x)
    twin.restore(json.loads(json.dumps(stepper.state())))
    assert [stepper.update(x) for x in minutes[0, 300:400]] == [twin.update(x) for x in minutes[0, 300:400]]
    with pytest.raises(ValueError, match="same detector"):
        NeuralRegimeFilter.load_pretrained("universal").stepper().restore(stepper.state())


def test_its_probabilities_are_honest_early_and_late(scale_free, drawn):
    p = scale_free.predict_proba(drawn.log_returns)[..., 1]
    for first, last in ((60, 500), (500, 2500)):
        surprise = (drawn.regime - p)[:, first:last].mean(axis=1)
        assert abs(surprise.mean()) < 3 * stats.sem(surprise)
        weighted = ((drawn.regime - p) * (p - 0.5))[:, first:last].mean(axis=1)
        assert abs(weighted.mean()) < 3 * stats.sem(weighted)
    assert expected_calibration_error(drawn.regime[:, 500:], p[:, 500:]) < 0.06


def test_it_knows_most_of_what_is_to_be_known(scale_free, drawn):
    """Of who knows each market; ``studies.learner_ceiling`` has the fairer ceiling."""
    p = scale_free.predict_proba(drawn.log_returns)[..., 1]
    own, best = (auc(drawn.regime[:, 1500:], x[:, 1500:]) - 0.5 for x in (p, drawn.posterior))
    assert 0.7 < own / best < 1.0


@pytest.mark.parametrize("daily", [0.03, 0.005, 0.001])
def test_a_coin_an_index_and_a_bond_each_have_two_regimes(scale_free, daily):
    """Two constant volatilities, which no market of the prior has: it ranks the bars well, and calls neither all."""
    regime = (np.arange(6000) // 150) % 2
    noise = np.random.default_rng(0).standard_normal(6000)
    p = scale_free.predict_proba(daily * np.where(regime, 3.0, 1.0) * noise)[:, 1]
    assert 0.25 < p[1500:].mean() < 0.75
    assert auc(regime[None, 1500:], p[None, 1500:]) > 0.9


def test_a_split_that_nobody_adjusted_is_soon_forgotten(scale_free):
    """One for four, in calm: three hundred bars later the reading is what it would have been."""
    path = RegimeSwitchingHeston.equity_index().simulate(n_paths=20, n_steps=2500, seed=12).log_returns
    split = path.copy()
    split[:, 1000] -= np.log(4.0)
    usual, found = (scale_free.predict_proba(x)[:, 1300:, 1] for x in (path, split))
    assert abs(found.mean() - usual.mean()) < 0.03
    assert np.abs(found - usual).mean() < 0.05


def test_it_reads_a_market_of_the_prior_as_its_own_filter_does(scale_free):
    """Where the market is plain to see, who learns it is soon as good as who knows it."""
    quantiles = np.full(WidePrior.n_coordinates, 0.5)
    quantiles[[0, 1, 12]] = 0.9, 0.95, 0.9  # variance reverts fast, levels are far apart, no jumps
    market = WidePrior().market(quantiles)
    path = market.simulate(n_paths=4, n_steps=3000, seed=8)
    known = grid_filter(path.log_returns, market).p_regime[..., 1]
    said = scale_free.predict_proba(path.log_returns)[..., 1]
    truth = path.regime[:, 1001:]
    assert auc(truth, said[:, 1000:]) > auc(truth, known[:, 1000:]) - 0.02
