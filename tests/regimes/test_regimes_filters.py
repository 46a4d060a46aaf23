"""What holds for every detector: causal, calibrated, aligned, the same in batch and bar by bar, and strict."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from companion.evaluation import auc, expected_calibration_error
from companion.heston import RegimeSwitchingHeston
from companion.mamba import MarketMamba, MarketMambaConfig
from companion.regimes import (
    EwmaKMeans,
    GarchKMeans,
    GaussianHmmFilter,
    GjrKMeans,
    RegimeDetector,
)
from companion.regimes._hidden_markov import HiddenMarkov


def test_probabilities_are_probabilities(fitted, market):
    returns, _ = market
    probability = fitted.predict_proba(returns)
    assert probability.shape == (*returns.shape, 2)
    assert ((probability >= 0) & (probability <= 1)).all()
    np.testing.assert_allclose(probability.sum(axis=-1), 1.0, rtol=1e-12)
    confidence = fitted.confidence(returns)
    assert confidence.shape == returns.shape
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert set(np.unique(fitted.predict(returns))) == {0, 1}


def test_chaos_is_the_volatile_regime(fitted, market):
    returns, regime = market
    chaos = fitted.predict(returns) == 1
    assert returns[chaos].std() > 1.3 * returns[~chaos].std()
    assert auc(regime[:, 60:], fitted.predict_proba(returns)[:, 60:, 1]) > 0.7
    assert auc(regime[:, 60:], -fitted.confidence(returns)[:, 60:]) > 0.7
    assert fitted.calibration_.slope > 0
    assert fitted.predict_proba(returns)[:, 60:, 1].mean() == pytest.approx(regime[:, 60:].mean(), abs=1e-5)


def test_the_past_does_not_move_when_the_future_does(fitted, market):
    returns, _ = market
    changed = returns.copy()
    changed[:, 700:] = 3.0 * changed[:, 700:][:, ::-1]
    before, after = fitted.predict_proba(returns), fitted.predict_proba(changed)
    np.testing.assert_allclose(after[:, :700], before[:, :700], rtol=0, atol=1e-12)
    assert (fitted.predict(changed)[:, :700] == fitted.predict(returns)[:, :700]).all()
    assert np.abs(after[:, 700:] - before[:, 700:]).max() > 0.05


def test_one_path_is_a_row_of_many(fitted, market):
    returns, _ = market
    many, one = fitted.predict_proba(returns), fitted.predict_proba(returns[2])
    assert one.shape == (returns.shape[1], 2)
    np.testing.assert_allclose(one, many[2], rtol=0, atol=2e-5)
    assert fitted.transform(returns[2]).shape == fitted.transform(returns).shape[1:]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 101.5])
def test_a_bad_bar_is_refused_and_leaves_the_detector_as_it_was(fitted, market, bad):
    path = market[0][1, :6]
    fitted.reset()
    expected = [fitted.update(value) for value in path]
    fitted.reset()
    found = [fitted.update(value) for value in path[:3]]
    with pytest.raises(ValueError, match=r"log_return must be a log return, a number between ±10, got"):
        fitted.update(bad)
    for other, message in (
        (path, r"log_return must be one number, got shape \(6,\)"),
        ("one", "log_return must be an array of numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted.update(other)
    found += [fitted.update(value) for value in path[3:]]
    assert found == expected
    fitted.reset()


def test_two_fits_agree_and_a_clone_is_not_fitted(fitted, market):
    returns, regime = market
    again = clone(fitted)
    for call in (again.predict_proba, again.predict, again.transform, again.confidence, again.decision_function):
        with pytest.raises(NotFittedError):
            call(returns[0])
    with pytest.raises(NotFittedError):
        again.update(0.01)
    assert again.fit(returns, regime) is again
    np.testing.assert_allclose(again.predict_proba(returns[0]), fitted.predict_proba(returns[0]), rtol=0, atol=1e-9)


def test_parameters_follow_scikit_learn(fitted):
    parameters = fitted.get_params(deep=False)
    assert {"enter_chaos", "leave_chaos", "warm_up", "seed"} <= set(parameters)
    changed = clone(fitted).set_params(enter_chaos=0.6, leave_chaos=0.2)
    assert changed.get_params(deep=False) == {**parameters, "enter_chaos": 0.6, "leave_chaos": 0.2}


def test_accepts_a_series(fitted, market):
    path = market[0][0]
    dated = pd.Series(path, index=pd.date_range("2000-01-01", periods=len(path)))
    assert (fitted.predict(dated) == fitted.predict(path)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x, y: (np.where(np.arange(x.shape[1]) == 5, np.nan, x), y),
            r"X\[0, 5\] must be a log return, .* got nan",
        ),
        (lambda x, y: (np.full_like(x, 0.005), y), "X must vary after the warm-up, got path 0 constant at 0.005"),
        (lambda x, y: (np.where(np.arange(len(x)) == 3, 0.0, x.T).T, y), "X must vary .* got path 3 constant at 0.0"),
        (lambda x, y: (x[:, :159], y[:, :159]), "X must have at least 160 bars a path .*, got 159"),
        (lambda x, y: (x[None], y[None]), "X must have shape"),
        (lambda x, y: ([*x.astype(str).tolist(), ["?"]], y), "X must be an array of numbers"),
        (lambda x, y: (x[:0], y[:0]), "X must hold at least one bar"),
        (lambda x, y: (100 * np.exp(np.cumsum(x, axis=1)), y), "must be a log return, a number between"),
        (lambda x, y: (x, y[:, 1:]), r"y must have the shape of X, \(6, 1200\), got \(6, 1199\)"),
        (lambda x, y: (x, y + 1), r"y must hold 0 \(stable\) and 1 \(chaos\) only"),
        (lambda x, y: (x, np.zeros_like(y)), "y must hold both regimes .* got no bar of regime 1"),
    ],
)
def test_fit_refuses_what_it_can_not_learn_from(maker, change, message, market):
    with pytest.raises(ValueError, match=message):
        maker().fit(*change(*market))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"enter_chaos": 0.05}, "enter_chaos and leave_chaos must satisfy .*, got 0.05 and 0.1"),
        ({"warm_up": -1}, "warm_up must be a non-negative integer, got -1"),
    ],
)
def test_fit_refuses_bad_settings(maker, options, message, market):
    with pytest.raises(ValueError, match=message):
        maker(**options).fit(*market)


def test_settings_of_the_baselines_are_checked(market):
    with pytest.raises(ValueError, match="half_life must be a positive finite number, got 0"):
        EwmaKMeans(half_life=0).fit(*market)
    with pytest.raises(ValueError, match="n_restarts must be a positive integer, got 0"):
        GaussianHmmFilter(n_restarts=0).fit(*market)


def test_an_outlier_is_not_a_regime(maker):
    returns = 0.001 * np.random.default_rng(4).choice([-1.0, 1.0], 2000)
    returns[-5:] = 0.5
    with pytest.raises(ValueError, match="X must show two regimes"):
        maker().fit(returns)


def test_labels_are_used_for_calibration_alone(market):
    returns, regime = market
    with_labels, without = EwmaKMeans().fit(returns, regime), EwmaKMeans().fit(returns)
    np.testing.assert_array_equal(with_labels.centroids_, without.centroids_)
    assert with_labels.calibration_ != without.calibration_


def test_calibrated_on_simulated_paths_it_is_calibrated_on_others():
    test = RegimeSwitchingHeston.equity_index().simulate(n_paths=30, n_steps=2000, seed=77)
    train = RegimeSwitchingHeston.equity_index().simulate(n_paths=20, n_steps=1500, seed=78)
    detector = GarchKMeans().fit(train.log_returns)
    regime, probability = test.regime[:, 61:], detector.predict_proba(test.log_returns)[:, 60:, 1]
    assert expected_calibration_error(regime, probability) < 0.03
    naive = 1.0 - detector.confidence(test.log_returns)[:, 60:]
    assert expected_calibration_error(regime, naive) > 0.15


def test_ewma_is_the_closed_form_sum(market):
    path = market[0][0, :200]
    detector = EwmaKMeans(half_life=7).fit(*market)
    decay = 0.5 ** (1 / 7)
    weights = (1 - decay) * decay ** np.arange(199, -1, -1)
    expected = weights @ path**2 + decay**200 * detector.initial_variance_
    assert np.exp(detector.transform(path)[-1, 0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("maker_of", "falls"), [(GarchKMeans, 0), (GjrKMeans, 1)])
def test_garch_recursion_is_that_of_arch(maker_of, falls, market):
    from arch import arch_model

    returns, regime = market
    detector = maker_of().fit(returns, regime)
    assert detector.scale_ == pytest.approx(np.sqrt(np.mean(returns**2)))
    model = arch_model(returns[0] / detector.scale_, mean="Constant", vol="GARCH", p=1, o=falls, q=1, rescale=False)
    extra = [detector.gamma_] if falls else []
    parameters = [detector.mean_, detector.omega_, detector.alpha_, *extra, detector.beta_]
    expected = model.fix(parameters).conditional_volatility ** 2
    found = np.exp(detector.transform(returns[0])[:, 0])
    np.testing.assert_allclose(found[500:-1], expected[501:], rtol=1e-4)
    assert found[-1] == pytest.approx(model.fix(parameters).forecast(horizon=1).variance.iloc[-1, 0], rel=1e-4)


def test_falls_count_extra_in_a_gjr_garch_of_a_market_with_leverage(market):
    detector = GjrKMeans().fit(*market)
    assert detector.gamma_ > 0.0
    fall, rise = (detector.transform([sign * 0.03])[0, 0] for sign in (-1.0, 1.0))
    assert fall > rise


@pytest.fixture
def small_hmm():
    hmm = HiddenMarkov()
    hmm.scale_, hmm.means_, hmm.variances_ = 0.01, np.array([0.1, -0.2]), np.array([0.5, 4.0])
    hmm.start_probability_ = np.array([0.7, 0.3])
    hmm.transition_ = np.array([[0.95, 0.05], [0.2, 0.8]])
    return hmm


def test_hmm_filter_equals_the_sum_over_all_state_paths(small_hmm):
    path = np.random.default_rng(0).normal(0, 0.015, 8)
    found = np.exp(small_hmm.transform(path[None])[0])
    for n in range(1, len(path) + 1):
        weight = np.full(2, -np.inf)
        for states in itertools.product((0, 1), repeat=n):
            term = np.log(small_hmm.start_probability_[states[0]])
            term += sum(np.log(small_hmm.transition_[a, b]) for a, b in itertools.pairwise(states))
            deviations = np.sqrt(small_hmm.variances_[list(states)])
            term += norm.logpdf(100 * path[:n], small_hmm.means_[list(states)], deviations).sum()
            weight[states[-1]] = np.logaddexp(weight[states[-1]], term)
        np.testing.assert_allclose(found[n - 1], np.exp(weight - logsumexp(weight)), rtol=1e-10)


def test_hmm_survives_extreme_returns_and_zero_probabilities(small_hmm):
    small_hmm.start_probability_, small_hmm.transition_ = np.array([1.0, 0.0]), np.array([[0.9, 0.1], [0.0, 1.0]])
    log_posterior = small_hmm.transform(np.array([[0.0, 4.9, -4.9, 0.0, 0.0]]))[0]
    assert np.isfinite(log_posterior).all()
    np.testing.assert_allclose(np.exp(log_posterior[:, 1]), [0, 1, 1, 1, 1], atol=1e-9)


def test_hmm_states_are_ordered_by_variance_for_every_seed(market):
    returns, regime = market[0][:2, :700], market[1][:2, :700]
    for seed in range(4):
        fit = GaussianHmmFilter(n_restarts=1, seed=seed).fit(returns, regime)
        assert fit.variances_[0] < fit.variances_[1]
        np.testing.assert_allclose(fit.transition_.sum(axis=1), 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_kmeans_regimes_are_ordered_for_every_seed(market, seed):
    detector = EwmaKMeans(seed=seed).fit(*market)
    assert detector.centroids_[0, 0] < detector.centroids_[1, 0]


def test_detector_survives_json(market):
    returns, regime = market
    detector = RegimeDetector(enter_chaos=0.3).fit(returns, regime)
    stored = json.loads(json.dumps(detector.parameters()))
    again = RegimeDetector.from_parameters(stored)
    assert again.enter_chaos == 0.3
    np.testing.assert_array_equal(again.predict_proba(returns[0]), detector.predict_proba(returns[0]))
    assert again.update(0.01) == detector.update(0.01)
    for change, message in [
        ({"centroids": [[0.0], [1.0]]}, r"centroids must be .* got \(2, 1\)"),
        ({"color": "red"}, "color"),
    ]:
        with pytest.raises(ValueError, match=message):
            RegimeDetector.from_parameters({**stored, **change})
    with pytest.raises(ValueError, match="slope"):
        RegimeDetector.from_parameters({"centroids": stored["centroids"]})
    with pytest.raises(NotFittedError):
        RegimeDetector().parameters()


def test_detector_uses_the_model_it_is_given(market):
    model = MarketMamba(MarketMambaConfig(d_model=8, n_layers=1, d_state=4))
    detector = RegimeDetector(model).fit(*market)
    assert detector.centroids_.shape == (2, 8)
    assert detector.model_ is model
    assert detector.transform(market[0]).shape == (*market[0].shape, 8)
