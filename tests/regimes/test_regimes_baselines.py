"""HAR, the jump model and the ceiling: each against its own definition, and each as strict as every other detector."""

import itertools

import numpy as np
import pytest
from jumpmodels.jump import JumpModel
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from companion.evaluation import auc
from companion.heston import RegimeSwitchingHeston, bayes_filter
from companion.regimes import EwmaKMeans
from companion.regimes._baselines import log_ewma
from companion.regimes._ceiling import BayesCeiling
from companion.regimes._har import FLOOR, HarKMeans
from companion.regimes._jump_model import JumpModelFilter

MAKERS = {"har": HarKMeans, "jump": JumpModelFilter}
BASE = RegimeSwitchingHeston.equity_index()


@pytest.fixture(scope="module", params=MAKERS)
def fitted(request, market):
    return MAKERS[request.param]().fit(*market)


@pytest.fixture(scope="module")
def jump(market):
    return JumpModelFilter(penalty=3.0).fit(market[0][:2], market[1][:2])


def test_it_ranks_calls_and_calibrates(fitted, market):
    returns, regime = market
    probability = fitted.predict_proba(returns)
    np.testing.assert_allclose(probability.sum(axis=-1), 1.0, rtol=1e-12)
    assert auc(regime[:, 60:], probability[:, 60:, 1]) > 0.75
    assert auc(regime[:, 60:], -fitted.confidence(returns)[:, 60:]) > 0.7
    assert probability[:, 60:, 1].mean() == pytest.approx(regime[:, 60:].mean(), abs=1e-6)
    chaos = fitted.predict(returns) == 1
    assert returns[chaos].std() > 1.3 * returns[~chaos].std()


def test_the_past_does_not_move_when_the_future_does(fitted, market):
    returns = market[0]
    changed = returns.copy()
    changed[:, 700:] = 3.0 * changed[:, 700:][:, ::-1]
    before, after = fitted.predict_proba(returns), fitted.predict_proba(changed)
    np.testing.assert_array_equal(after[:, :700], before[:, :700])
    assert np.abs(after[:, 700:] - before[:, 700:]).max() > 0.05


def test_batch_equals_bar_by_bar(fitted, market):
    path = market[0][0, :200]
    readings = [fitted.reset().update(path[0]), *(fitted.update(value) for value in path[1:])]
    np.testing.assert_allclose([r.probability for r in readings], fitted.predict_proba(path)[:, 1], rtol=1e-12)
    np.testing.assert_allclose([r.confidence for r in readings], fitted.confidence(path), rtol=1e-12)
    assert [r.regime for r in readings] == fitted.predict(path).tolist()


def test_a_bad_bar_leaves_it_as_it_was(fitted, market):
    path = market[0][1, :4]
    expected = [fitted.reset().update(path[0]), *(fitted.update(value) for value in path[1:])]
    found = [fitted.reset().update(path[0]), fitted.update(path[1])]
    for bad in (np.nan, np.inf, 101.5):
        with pytest.raises(ValueError, match="log_return"):
            fitted.update(bad)
    assert [*found, *(fitted.update(value) for value in path[2:])] == expected


def test_two_fits_agree_and_a_clone_is_not_fitted(fitted, market):
    again = clone(fitted)
    with pytest.raises(NotFittedError):
        again.predict_proba(market[0])
    np.testing.assert_array_equal(again.fit(*market).predict_proba(market[0]), fitted.predict_proba(market[0]))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (np.where(np.arange(x.shape[1]) == 5, np.nan, x), y), r"X\[0, 5\] = nan"),
        (lambda x, y: (np.full_like(x, 0.01), y), "constant at 0.01"),
        (lambda x, y: (x[:, :159], y[:, :159]), "X has 159 bars a path: fit needs at least 160"),
        (lambda x, y: (x, np.zeros_like(y)), "y has no bar of regime 1"),
        (lambda x, y: (np.where(np.arange(x.shape[1]) % 2, 0.01, -0.01) + 0 * x, y), "one regime is empty"),
    ],
)
def test_fit_refuses_what_it_can_not_learn_from(name, change, message, market):
    with pytest.raises(ValueError, match=message):
        MAKERS[name]().fit(*change(*market))


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (HarKMeans(horizon=0), "horizon = 0 must lie between 1 and 570"),
        (HarKMeans(horizon=571), "horizon = 571"),
        (JumpModelFilter(half_life=0.0), "half_life = 0"),
        (JumpModelFilter(penalty=-1.0), "penalty = -1"),
        (JumpModelFilter(penalty=np.inf), "penalty = inf"),
        (JumpModelFilter(penalty=1e6), "no bar is worth a switch of penalty"),
    ],
)
def test_settings_are_checked(detector, message, market):
    with pytest.raises(ValueError, match=message):
        detector.fit(*market)


def test_har_is_the_regression_of_corsi(market):
    """Written out bar by bar: no window reaches past its bar, no target reaches into the past."""
    (returns, regime), horizon = (array[:2, 800:] for array in market), 7
    detector = HarKMeans(horizon).fit(returns, regime)
    floor = FLOOR * np.mean(returns**2)
    known, target = [], []
    for path in returns**2:
        for t in range(60, 400 - horizon):
            known.append([np.log(path[t + 1 - window : t + 1].mean() + floor) for window in (1, 5, 22)])
            target.append(np.log(path[t + 1 : t + 1 + horizon].mean() + floor))
    expected = LinearRegression().fit(known, target)
    np.testing.assert_allclose(detector.coefficients_, [expected.intercept_, *expected.coef_], rtol=1e-8)
    forecast = detector.transform(returns)[:, 60 : 400 - horizon, 0].reshape(-1)
    np.testing.assert_allclose(forecast, expected.predict(known), rtol=1e-10)


def test_har_forgets_what_is_older_than_a_month(market):
    detector, path = HarKMeans().fit(*market), market[0][0]
    np.testing.assert_array_equal(detector.transform(path[100:])[22:], detector.transform(path)[122:])
    assert detector.transform(path[100:])[20, 0] != detector.transform(path)[120, 0]


def test_jump_score_is_the_difference_of_the_cheapest_sequences(jump, market):
    """Every sequence of states of eight bars is priced; the cheapest that ends in each state is what counts."""
    path = market[0][0, :8]
    variance, feature = np.array([jump.initial_variance_]), np.empty(8)
    for t, value in enumerate(path):
        level, variance = log_ewma(np.array([value]), variance, half_life=jump.half_life)
        feature[t] = (level[0] - jump.level_) / jump.scale_
    loss = 0.5 * (feature[:, None] - jump.centers_) ** 2
    for n in range(1, 9):
        cheapest = [np.inf, np.inf]
        for states in itertools.product((0, 1), repeat=n):
            switches = np.count_nonzero(np.diff(states))
            cost = loss[np.arange(n), states].sum() + jump.penalty * switches
            cheapest[states[-1]] = min(cheapest[states[-1]], cost)
        assert jump.decision_function(path)[n - 1] == pytest.approx(cheapest[0] - cheapest[1], rel=1e-9)


def test_jump_calls_what_the_library_calls_online(jump, market):
    path = market[0][3]
    variance, feature = np.array([jump.initial_variance_]), []
    for value in path:
        level, variance = log_ewma(np.array([value]), variance, half_life=jump.half_life)
        feature.append((level - jump.level_) / jump.scale_)
    library = JumpModel(n_components=2, jump_penalty=jump.penalty)
    library.centers_, library.feat_weights = jump.centers_[:, None], None
    library.check_jump_penalty_mx()
    called = library.predict_online(np.array(feature))
    assert 0 < np.abs(np.diff(called)).sum() < 100
    np.testing.assert_array_equal(jump.decision_function(path) > 0, called == 1)
    np.testing.assert_array_equal(library.predict_online(np.array(feature)[:500]), called[:500])


def test_without_penalty_the_jump_model_is_kmeans(market):
    returns, regime = (array[:2] for array in market)
    jump = JumpModelFilter(penalty=0.0).fit(returns, regime)
    kmeans = EwmaKMeans(half_life=5.0).fit(returns, regime)
    centers = jump.level_ + jump.scale_ * jump.centers_
    np.testing.assert_allclose(centers, kmeans.centroids_[:, 0], atol=0.02)
    np.testing.assert_allclose(jump.predict_proba(returns), kmeans.predict_proba(returns), atol=0.01)


def test_a_higher_penalty_makes_fewer_switches(market):
    returns, regime = (array[:2] for array in market)
    counts = [
        np.abs(np.diff(JumpModelFilter(penalty=penalty).fit(returns, regime).decision_function(returns) > 0)).sum()
        for penalty in (0.0, 1.0, 5.0)
    ]
    assert counts[0] > 1.3 * counts[1] > 1.5 * counts[2]


def test_the_ceiling_is_the_bayes_filter(market):
    returns, regime = market[0][:3, :400], market[1][:3, :400]
    ceiling = BayesCeiling(BASE, n_particles=500, seed=7)
    with pytest.raises(NotFittedError):
        ceiling.predict_proba(returns)
    probability = ceiling.fit(returns, regime).predict_proba(returns)
    np.testing.assert_allclose(probability, bayes_filter(returns, BASE, n_particles=500, seed=7), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(ceiling.confidence(returns), ceiling.transform(returns)[..., 0])
    assert ceiling.predict(returns).shape == returns.shape
    np.testing.assert_array_equal(ceiling.predict_proba(returns[:, :100]), probability[:, :100])


def test_the_ceiling_is_above_a_baseline(market):
    returns, regime = market
    best = BayesCeiling(BASE, n_particles=500).fit(returns).predict_proba(returns)
    other = HarKMeans().fit(returns, regime).predict_proba(returns)
    assert auc(regime[:, 60:], best[:, 60:, 1]) > auc(regime[:, 60:], other[:, 60:, 1]) + 0.02


def test_the_ceiling_says_what_it_can_not_do():
    ceiling = BayesCeiling(BASE, n_particles=100).fit([0.0])
    with pytest.raises(NotImplementedError, match="reads whole paths: give predict_proba the returns so far"):
        ceiling.update(0.01)
    with pytest.raises(ValueError, match="n_particles must be at least"):
        BayesCeiling(BASE, n_particles=1).fit([0.0]).predict_proba([0.0, 0.1])
    with pytest.raises(ValueError, match=r"X\[1\] = nan"):
        ceiling.fit([0.0, np.nan])
    three = RegimeSwitchingHeston((*BASE.regimes, BASE.regimes[1]), np.full((3, 3), 1 / 3))
    with pytest.raises(ValueError, match="market has 3 regimes"):
        BayesCeiling(three).fit([0.0])
