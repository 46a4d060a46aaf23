"""A detector that learns from the returns knows no unit: a coin, an index and a bond fund are told apart alike."""

from functools import cache

import numpy as np
import pytest

from companion.evaluation import auc
from companion.regimes import (
    EwmaKMeans,
    GarchKMeans,
    GaussianHmmFilter,
    HarKMeans,
    JumpModelFilter,
    NeuralRegimeFilter,
    RegimeDetector,
)
from companion.regimes._fitting import calibration_market
from tests.regimes.conftest import of_any_scale

WITHOUT_SCALE = {
    "ewma": EwmaKMeans,
    "garch": GarchKMeans,
    "har": HarKMeans,
    "jump": JumpModelFilter,
    "hmm": lambda: GaussianHmmFilter(n_restarts=2),
}
WITH_SCALE = {"mamba": RegimeDetector, "neural": lambda: NeuralRegimeFilter(steps=0)}
#: A volatility of one tenth of a percent a bar, and of three in every other spell of 150 bars.
TRUTH = (np.arange(1500) // 150) % 2
RETURNS = 0.001 * np.where(TRUTH, 3.0, 1.0) * np.random.default_rng(0).standard_normal(1500)


@cache
def _answer(name, factor):
    """Fitted without labels on the returns times a factor, and read on them."""
    detector = WITHOUT_SCALE[name]().fit(factor * RETURNS)
    return detector.predict_proba(factor * RETURNS)[:, 1], detector.predict(factor * RETURNS)


@pytest.mark.parametrize("name", WITHOUT_SCALE)
@pytest.mark.parametrize("factor", [1e-4, 0.37, 100.0])
def test_returns_in_another_unit_give_the_same_probabilities(name, factor):
    """Digits that are lost in a likelihood's optimizer are as many as its own tolerance leaves."""
    p, regime = _answer(name, factor)
    np.testing.assert_allclose(p, _answer(name, 1.0)[0], rtol=0, atol=1e-6 if name in ("garch", "hmm") else 1e-12)
    np.testing.assert_array_equal(regime, _answer(name, 1.0)[1])


@pytest.mark.parametrize("factor", [1e-4, 1e-2, 0.37, 7.0, 100.0])
def test_a_network_with_a_scale_of_its_own_knows_no_unit(factor, market):
    """Read in whole and bar by bar, from the first bar on; and fitted, with labels and without."""
    returns, truth = 0.1 * market[0], market[1]
    path = np.concatenate([[0.0, 0.0], 0.5 * returns[4, :200], [0.0]])
    one, other = of_any_scale().fit(returns, truth), of_any_scale().fit(factor * returns, truth)
    expected = one.predict_proba(path)[:, 1]
    np.testing.assert_allclose(one.predict_proba(factor * path)[:, 1], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose([one.update(factor * r).p_chaos for r in path], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(other.predict_proba(factor * path)[:, 1], expected, rtol=0, atol=1e-4)
    free, scaled = (of_any_scale(model=one.model_).fit(x) for x in (returns, factor * returns))
    np.testing.assert_allclose(scaled.predict_proba(factor * path), free.predict_proba(path), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", WITHOUT_SCALE)
@pytest.mark.parametrize("power", [-13, 6])
def test_a_power_of_two_changes_no_digit(name, power):
    """No product is rounded otherwise; the logarithm of a scaled variance alone is."""
    exact = name in ("garch", "hmm")  # they count in units of the fitted returns before anything else
    np.testing.assert_allclose(_answer(name, 2.0**power)[0], _answer(name, 1.0)[0], rtol=0, atol=0 if exact else 1e-12)


@pytest.mark.parametrize("name", WITHOUT_SCALE)
@pytest.mark.parametrize("daily", [0.03, 0.005, 0.001])
def test_two_regimes_are_called_as_two_on_any_scale(name, daily):
    """Half of the bars are of each: a coin, an index, a short bond fund."""
    p, regime = _answer(name, daily / 0.001)
    assert auc(TRUTH, p) > 0.97
    assert regime.mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("name", WITHOUT_SCALE)
def test_the_calibration_says_at_which_scale_it_was_made(name):
    rms = np.sqrt(np.mean(RETURNS**2))
    detector = WITHOUT_SCALE[name]().fit(5 * RETURNS)
    assert (
        detector.calibrated_on_
        == f"100 simulated paths of the base market, at a root mean square of {5 * rms:.3g} a bar"
    )
    detector.fit(5 * RETURNS, TRUTH)
    assert detector.calibrated_on_ == "the true regimes of the fitted paths"


@pytest.mark.parametrize("name", WITH_SCALE)
def test_a_network_knows_the_scale_it_was_trained_on(name, market):
    returns = market[0][:2, :500]
    detector, rms = WITH_SCALE[name](), np.sqrt(np.mean(returns**2))
    for factor in (0.0039 / rms, 0.0301 / rms):
        with pytest.raises(
            ValueError, match=r"X must have a root mean square of 0.004 to 0.03 .*, got 0.0.*: give the"
        ):
            detector.fit(factor * returns)
        assert not hasattr(detector, "calibration_")
    base = np.sqrt(np.mean(calibration_market(0)[0] ** 2))
    assert 0.004 < base < 0.03
    said = f"100 simulated paths of the base market, at a root mean square of {base:.3g} a bar"
    assert detector.fit(returns).calibrated_on_ == said


def test_who_has_the_true_regimes_may_fit_a_network_at_any_scale(market):
    detector = RegimeDetector().fit(0.1 * market[0][:2, :500], market[1][:2, :500])
    assert detector.calibrated_on_ == "the true regimes of the fitted paths"


def test_a_fit_that_fails_leaves_the_detector_as_it_was(fitted, market):
    before, called = fitted.predict_proba(market[0][0, :200]), fitted.update(0.01)
    for bad in (np.full((1, 400), 0.001), 0.001 * np.resize([1.0, -1.0], (1, 400))):
        with pytest.raises(ValueError, match="X must"):
            fitted.fit(bad)
    np.testing.assert_array_equal(fitted.predict_proba(market[0][0, :200]), before)
    assert fitted.update(0.01).n_bars == called.n_bars + 1


def test_what_ships_says_where_its_calibration_comes_from(load_shipped):
    assert load_shipped().calibrated_on_ in ("whatever gave the stored parameters", "the markets of its training")
