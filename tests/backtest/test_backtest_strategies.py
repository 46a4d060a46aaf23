"""The ready-made strategies: each against its definition, and none of them sees the future."""

import numpy as np
import pandas as pd
import pytest
from arch import arch_model

from companion.backtest import (
    Constant,
    MovingAverage,
    VarianceRank,
    VolatilityTarget,
    WalkForward,
    ZeroOne,
    buy_and_hold,
    run_backtest,
    walk_forward,
)
from companion.heston import RegimeSwitchingHeston

MARKET = RegimeSwitchingHeston.equity_index().simulate(n_paths=1, n_steps=1500, seed=8)
CLOSE = pd.Series(MARKET.price[0], pd.bdate_range("2010-01-01", periods=1501))
RETURNS = np.diff(np.log(CLOSE.to_numpy()))
FITTED = {
    "ewma target": VolatilityTarget(0.1),
    "garch target": VolatilityTarget(0.1, volatility="garch"),
    "gjr target": VolatilityTarget(0.1, volatility="gjr", max_leverage=2.0),
}
READY = {"hold": buy_and_hold, "half": Constant(0.5), "average": MovingAverage(50)} | {
    name: strategy.fit(RETURNS[:700]) for name, strategy in FITTED.items()
}


@pytest.mark.parametrize("name", READY)
@pytest.mark.parametrize("bar", [1, 49, 50, 800, 1500])
def test_the_future_does_not_move_the_past(name, bar):
    strategy, changed = READY[name], CLOSE.copy()
    changed.iloc[bar:] *= np.exp(np.random.default_rng(0).normal(0.0, 0.05, 1501 - bar).cumsum())
    np.testing.assert_array_equal(strategy(CLOSE)[:bar], strategy(changed)[:bar])
    np.testing.assert_array_equal(strategy(CLOSE)[:bar], strategy(CLOSE[:bar]))


def test_the_average_with_pencil_and_paper():
    close = pd.Series([1.0, 2.0, 3.0, 1.0, 2.0, 2.0, 2.0])
    # means of three: 2, 2, 2, 5/3, 2
    assert MovingAverage(3)(close).tolist() == [0, 0, 1, 0, 1, 1, 1]
    assert MovingAverage(8)(close).tolist() == [0] * 7
    assert MovingAverage(1)(close).tolist() == [1] * 7


def test_the_average_does_not_depend_on_where_the_history_began():
    whole, late = MovingAverage(200)(CLOSE), MovingAverage(200)(CLOSE[321:])
    np.testing.assert_array_equal(whole[321 + 199 :], late[199:])


def test_a_constant_matches_the_mean_weight_that_earned_a_return():
    result = run_backtest(CLOSE, MovingAverage(50)(CLOSE))
    matched = Constant.matching(result)
    assert matched.weight == pytest.approx(result.performance().time_invested)
    assert run_backtest(CLOSE, matched(CLOSE), delay=0).position.mean() == pytest.approx(matched.weight)
    with pytest.raises(ValueError, match=r"result must be of one path .*, got shape \(2, 1501\)"):
        Constant.matching(run_backtest(np.stack([CLOSE, CLOSE]), np.ones((2, 1501))))


def test_the_target_is_the_ratio_to_the_ewma_up_to_the_limit():
    strategy = VolatilityTarget(0.15, half_life=10.0, max_leverage=1.5, bars_per_year=260.0).fit(RETURNS[:700])
    variance, decay, expected = np.mean(RETURNS[:700] ** 2), 0.5**0.1, [0.0]
    for value in RETURNS:
        variance = decay * variance + (1 - decay) * value**2
        expected.append(min(1.5, 0.15 / np.sqrt(260.0 * variance)))
    np.testing.assert_allclose(strategy(CLOSE), expected, rtol=1e-5)
    assert strategy(CLOSE).max() == 1.5 > strategy(CLOSE).median()


@pytest.mark.parametrize(("volatility", "falls"), [("garch", 0), ("gjr", 1)])
def test_the_target_reads_the_forecast_of_arch(volatility, falls):
    strategy = VolatilityTarget(0.05, volatility=volatility, max_leverage=10.0).fit(RETURNS)
    scale = np.sqrt(np.mean(RETURNS**2))
    model = arch_model(RETURNS / scale, mean="Constant", p=1, o=falls, q=1, rescale=False)
    fitted = model.fit(disp="off", show_warning=False)
    forecast = scale * np.sqrt(252 * fitted.forecast(horizon=1).variance.iloc[-1, 0])
    assert strategy(CLOSE).iloc[-1] == pytest.approx(0.05 / forecast, rel=1e-4)


def test_the_realized_volatility_of_a_target_is_near_it():
    result = walk_forward(CLOSE, VolatilityTarget(0.1), splitter=WalkForward(700, 200), cost_bp=0.0)
    assert result.audit["fitted"].unique().tolist() == ["window"]
    assert 0.085 < result.backtest.performance().volatility < 0.11


def test_the_rank_is_the_share_of_the_training_bars_with_no_higher_forecast():
    rank = VarianceRank(half_life=10.0, warm_up=0).fit(RETURNS[:700])
    forecast = rank.feature_.transform(RETURNS[None])[0, :, 0]
    expected = [(forecast[:700] <= value).mean() for value in forecast]
    probability = rank.predict_proba(RETURNS)
    np.testing.assert_allclose(probability[:, 1], expected)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert {0.0, 1.0} <= set(rank.predict_proba(np.concatenate([RETURNS[:700], [0.3], np.zeros(300)]))[:, 1])


@pytest.mark.parametrize("volatility", ["ewma", "garch", "gjr"])
def test_the_threshold_of_a_rank_is_set_on_the_past_alone(volatility):
    changed = CLOSE.copy()
    changed.iloc[1200:] *= np.exp(np.random.default_rng(0).normal(0.0, 0.05, 301).cumsum())
    splitter, rule = WalkForward(700, 400), ZeroOne(0.9, 0.7)
    past, other = (
        walk_forward(close, VarianceRank(volatility), splitter=splitter, rule=rule) for close in (CLOSE, changed)
    )
    np.testing.assert_array_equal(past.p_chaos[:500], other.p_chaos[:500])
    assert not np.array_equal(past.p_chaos[500:], other.p_chaos[500:])
    # By the rank's meaning a bar of the past was above .9 in one of ten.
    assert 0.0 < (past.position == 0).mean() < 0.6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Constant(np.nan), "weight must be a finite number, got nan"),
        (lambda: MovingAverage(0), "window must be a positive integer, got 0"),
        (lambda: VolatilityTarget(0.0).fit(RETURNS), r"target must be a positive finite number, got 0\.0"),
        (lambda: VolatilityTarget(max_leverage=-1).fit(RETURNS), "max_leverage must be a positive finite number"),
        (lambda: VolatilityTarget(volatility="har").fit(RETURNS), "volatility must be one of ewma, garch, gjr, got"),
        (lambda: VolatilityTarget(half_life=0).fit(RETURNS), "half_life must be a positive finite number, got 0"),
        (lambda: VolatilityTarget()(CLOSE), "not fitted"),
        (lambda: VarianceRank().fit(np.zeros(500)), "X must vary, got returns that are all zero"),
        (lambda: VarianceRank(warm_up=500).fit(RETURNS[:500]), "X must vary after the warm-up of 500 bars, got 500"),
        (lambda: VarianceRank().fit(CLOSE), "X.* must be a log return"),
    ],
)
def test_bad_settings_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
