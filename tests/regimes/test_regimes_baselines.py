"""HAR, the jump model and the ceiling: each against its own definition."""

import itertools

import numpy as np
import pytest
from jumpmodels.jump import JumpModel
from sklearn.linear_model import LinearRegression

from companion.evaluation import auc
from companion.heston import RegimeSwitchingHeston, WidePrior, bayes_filter, grid_filter, learner_filter
from companion.regimes import (
    ENTER_CHAOS,
    LEAVE_CHAOS,
    BayesCeiling,
    BayesLearner,
    EwmaKMeans,
    HarKMeans,
    JumpModelFilter,
    hysteresis,
)
from companion.regimes._features import HAR_FLOOR, Ewma

BASE = RegimeSwitchingHeston.equity_index()


@pytest.fixture(scope="module")
def jump(market):
    return JumpModelFilter(penalty=3.0).fit(market[0][:2], market[1][:2])


@pytest.mark.parametrize("maker", [HarKMeans, JumpModelFilter])
def test_returns_of_one_size_show_no_regimes(maker, market):
    returns, regime = market
    same = np.where(np.arange(returns.shape[1]) % 2, 0.01, -0.01) + 0 * returns
    with pytest.raises(ValueError, match="X must show two regimes, got"):
        maker().fit(same, regime)


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (HarKMeans(horizon=0), "horizon must be a positive integer, got 0"),
        (HarKMeans(horizon=571), "horizon must be at most 570, half of the fitted bars, got 571"),
        (JumpModelFilter(half_life=0.0), "half_life must be a positive finite number, got 0.0"),
        (JumpModelFilter(penalty=-1.0), "penalty must be a finite number, not negative, got -1.0"),
        (JumpModelFilter(penalty=np.inf), "penalty must be a finite number, not negative, got inf"),
        (JumpModelFilter(penalty=1e6), "penalty must let two regimes appear, got 1000000.0"),
    ],
)
def test_settings_are_checked(detector, message, market):
    with pytest.raises(ValueError, match=message):
        detector.fit(*market)


def test_har_is_the_regression_of_corsi(market):
    """Written out bar by bar: no window reaches past its bar, no target reaches into the past."""
    (returns, regime), horizon = (array[:2, 800:] for array in market), 7
    detector = HarKMeans(horizon).fit(returns, regime)
    floor = HAR_FLOOR * np.mean(returns**2)
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


def standardized(jump, market, path):
    """What the jump model clusters, at each bar of a path."""
    average = Ewma(jump.half_life).fit(market[0][:2], warm_up=60, seed=0)
    return (average.transform(path[None])[0, :, 0] - jump.level_) / jump.scale_


def test_jump_score_is_the_difference_of_the_cheapest_sequences(jump, market):
    """Every sequence of states of eight bars is priced; the cheapest that ends in each state is what counts."""
    path = market[0][0, :8]
    feature = standardized(jump, market, path)
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
    feature = standardized(jump, market, path)[:, None]
    library = JumpModel(n_components=2, jump_penalty=jump.penalty)
    library.centers_, library.feat_weights = jump.centers_[:, None], None
    library.check_jump_penalty_mx()
    called = library.predict_online(feature)
    assert 0 < np.abs(np.diff(called)).sum() < 100
    np.testing.assert_array_equal(jump.decision_function(path) > 0, called == 1)
    np.testing.assert_array_equal(library.predict_online(feature[:500]), called[:500])


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
    returns = market[0][:3, :400]
    ceiling = BayesCeiling(BASE, n_particles=500, seed=7)
    assert ceiling.fit(returns) is ceiling
    probability = ceiling.predict_proba(returns)
    np.testing.assert_array_equal(probability, bayes_filter(returns, BASE, n_particles=500, seed=7))
    np.testing.assert_array_equal(ceiling.predict_proba(returns[:, :100]), probability[:, :100])
    held = hysteresis(probability[..., 1], enter_chaos=ENTER_CHAOS, leave_chaos=LEAVE_CHAOS)
    np.testing.assert_array_equal(ceiling.predict(returns), held)
    assert ceiling.predict_proba(returns[0]).shape == (400, 2)


def test_the_ceiling_is_above_a_baseline(market):
    returns, regime = market
    best = BayesCeiling(BASE, n_particles=500).predict_proba(returns)
    other = HarKMeans().fit(returns, regime).predict_proba(returns)
    assert auc(regime[:, 60:], best[:, 60:, 1]) > auc(regime[:, 60:], other[:, 60:, 1]) + 0.02


def test_the_ceiling_says_what_it_can_not_do():
    with pytest.raises(ValueError, match="n_particles must be"):
        BayesCeiling(BASE, n_particles=1).predict_proba([0.0, 0.1])
    with pytest.raises(ValueError, match=r"X\[1\] must be a log return, .* got nan"):
        BayesCeiling(BASE).fit([0.0, np.nan])
    with pytest.raises(ValueError, match="enter_chaos and leave_chaos must satisfy"):
        BayesCeiling(BASE, enter_chaos=0.1, leave_chaos=0.2)
    three = RegimeSwitchingHeston((*BASE.regimes, BASE.regimes[1]), np.full((3, 3), 1 / 3))
    with pytest.raises(ValueError, match="market must have two regimes to tell apart, got 3"):
        BayesCeiling(three)
    assert not hasattr(BayesCeiling(BASE), "update")  # it reads whole paths: it is no detector


LEARNER = BayesLearner(n_markets=16, n_runs=3, seed=2)


def test_the_learner_is_the_mean_of_its_runs_and_never_looks_ahead(market):
    returns = market[0][:2, :90]
    assert LEARNER.fit(returns) is LEARNER
    probability = LEARNER.predict_proba(returns)
    runs = learner_filter(np.repeat(returns, 3, axis=0), WidePrior(), n_markets=16, seed=2).p_regime
    np.testing.assert_allclose(probability, (runs[[0, 3]] + runs[[1, 4]] + runs[[2, 5]]) / 3, rtol=1e-12)
    np.testing.assert_array_equal(LEARNER.predict_proba(returns[:, :57]), probability[:, :57])
    held = hysteresis(probability[..., 1], enter_chaos=0.5, leave_chaos=0.25)
    np.testing.assert_array_equal(LEARNER.predict(returns), held)
    assert LEARNER.predict_proba(returns[0]).shape == (90, 2)


def test_the_learner_of_one_market_is_the_observer_who_knows_it(market):
    class Known:
        n_coordinates = 1

        def market(self, quantiles):
            return BASE

    returns = market[0][0, :150]
    known = BayesLearner(Known(), n_markets=16, n_runs=1).predict_proba(returns)
    np.testing.assert_allclose(known, grid_filter(returns, BASE).p_regime, rtol=1e-9, atol=1e-12)


def test_the_learner_says_what_it_can_not_do():
    with pytest.raises(ValueError, match="n_runs must be a positive integer, got 0"):
        BayesLearner(n_runs=0)
    with pytest.raises(ValueError, match="n_markets must be a multiple of 4"):
        BayesLearner(n_markets=18).predict_proba([0.0, 0.1])
    with pytest.raises(ValueError, match=r"X\[1\] must be a log return, .* got nan"):
        LEARNER.fit([0.0, np.nan])
    with pytest.raises(ValueError, match="enter_chaos and leave_chaos must satisfy"):
        BayesLearner(enter_chaos=0.1, leave_chaos=0.2)

    for scale in (1e-4, 20.0):
        with pytest.raises(ValueError, match=r"X must have a root mean square of 0\.0001 to 0\.15 a bar, .* in path 1"):
            LEARNER.predict_proba([[0.01, -0.01], [0.01 * scale, -0.01 * scale]])

    class Three:
        n_coordinates = 1

        def market(self, quantiles):
            return RegimeSwitchingHeston((*BASE.regimes, BASE.regimes[1]), np.full((3, 3), 1 / 3))

    with pytest.raises(ValueError, match="prior must draw markets of two regimes to tell apart, got 3"):
        BayesLearner(Three(), n_markets=16, n_runs=1).predict_proba([0.0, 0.1])
