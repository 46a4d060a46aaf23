"""The engine against pencil-and-paper accounting, and against the future."""

from decimal import Decimal, getcontext

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.backtest import run_backtest
from companion.backtest._costs import rebalance

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)


def random_market(seed, n_bars=60, low=-0.5, high=1.5):
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, n_bars)))
    return close, np.round(rng.uniform(low, high, n_bars), 3)


def cash_and_shares(close, position, *, cost_bp, delay, cash_rate):
    """Equity by accounting in Decimal: buy or sell shares until their value is the target share of what is left."""
    getcontext().prec = 40
    cost = Decimal(str(cost_bp)) / 10_000
    growth = (1 + Decimal(str(cash_rate))) ** (Decimal(1) / 252)
    cash, shares, equity = Decimal(1), Decimal(0), []
    for bar, price in enumerate(map(Decimal, close)):
        cash *= growth if bar else 1
        target = Decimal(position[bar - delay]) if bar >= delay else Decimal(0)
        wealth, value = cash + shares * price, shares * price
        # buying x costs c·x:  value + x = target·(wealth − c·x);  selling likewise with the other sign
        side = 1 if target * wealth > value else -1
        trade = (target * wealth - value) / (1 + side * cost * target)
        cash -= trade + cost * abs(trade)
        shares += trade / price
        equity.append(float(cash + shares * price))
    return np.array(equity)


@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize(("cost_bp", "cash_rate"), [(0.0, 0.0), (10.0, 0.0), (250.0, 0.05)])
def test_equity_is_what_accounting_in_cash_and_shares_says(delay, cost_bp, cash_rate):
    close, position = random_market(delay)
    result = run_backtest(close, position, cost_bp=cost_bp, delay=delay, cash_rate=cash_rate)
    expected = cash_and_shares(close, position, cost_bp=cost_bp, delay=delay, cash_rate=cash_rate)
    np.testing.assert_allclose(result.equity, expected, rtol=1e-12)


@given(seed=st.integers(0, 10_000), delay=st.integers(0, 3), cost_bp=st.sampled_from([0.0, 1.0, 10.0, 300.0]))
@PROPERTY
def test_accounting_holds_for_any_market_and_position(seed, delay, cost_bp):
    close, position = random_market(seed, n_bars=12, low=-2.0, high=3.0)
    result = run_backtest(close, position, cost_bp=cost_bp, delay=delay, cash_rate=0.03)
    expected = cash_and_shares(close, position, cost_bp=cost_bp, delay=delay, cash_rate=0.03)
    np.testing.assert_allclose(result.equity, expected, rtol=1e-12)


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_a_decision_earns_its_first_return_delay_plus_one_bars_later(delay):
    close = 100.0 * np.cumprod(1.0 + np.arange(10) / 100.0)
    position = np.zeros(10)
    position[3] = 1.0
    returns = run_backtest(close, position, cost_bp=0.0, delay=delay).returns
    assert np.flatnonzero(np.abs(returns) > 1e-15).tolist() == [3 + delay + 1]
    assert returns[3 + delay + 1] == pytest.approx((3 + delay + 1) / 100.0, rel=1e-12)


def test_buy_and_hold_pays_once_and_then_follows_the_price():
    close, _ = random_market(5)
    result = run_backtest(close, np.ones_like(close), cost_bp=10.0, delay=1)
    np.testing.assert_allclose(result.equity[1:], close[1:] / close[1] / 1.001, rtol=1e-12)
    np.testing.assert_allclose(result.turnover[2:], 0.0, atol=1e-15)


def test_a_round_trip_costs_what_the_textbook_says():
    result = run_backtest(np.full(4, 50.0), [1.0, 0.0, 0.0, 0.0], cost_bp=25.0, delay=1)
    assert result.equity[-1] == pytest.approx((1 - 0.0025) / (1 + 0.0025), rel=1e-14)


@pytest.mark.parametrize("delay", [0, 1])
def test_the_future_does_not_move_the_past(delay):
    close, position = random_market(11)
    bar = 30
    later_close, later_position = close.copy(), position.copy()
    later_close[bar + 1 :] *= 3.0
    later_position[bar + 1 :] = 0.123
    past = run_backtest(close, position, delay=delay)
    changed = run_backtest(later_close, later_position, delay=delay)
    for name in ("equity", "returns", "position", "turnover"):
        np.testing.assert_array_equal(getattr(past, name)[: bar + 1], getattr(changed, name)[: bar + 1])
    assert past.equity[-1] != changed.equity[-1]


def test_many_paths_are_many_backtests():
    markets = [random_market(seed) for seed in range(3)]
    together = run_backtest(np.stack([m[0] for m in markets]), np.stack([m[1] for m in markets]))
    for row, (close, position) in enumerate(markets):
        np.testing.assert_array_equal(together.equity[row], run_backtest(close, position).equity)
    table = together.by_path(start=5)
    assert len(table) == 3
    assert dict(table.iloc[2]) == vars(run_backtest(*markets[2]).performance(start=5))
    with pytest.raises(ValueError, match="one path"):
        together.performance()


def test_equity_compounds_returns_and_cost_is_rate_times_turnover():
    close, position = random_market(2)
    result = run_backtest(close, position, cost_bp=40.0)
    np.testing.assert_allclose(np.cumprod(1.0 + result.returns), result.equity, rtol=1e-13)
    free = run_backtest(close, position, cost_bp=0.0)
    np.testing.assert_allclose(1.0 + result.returns, (1.0 + free.returns) * (1.0 - result.cost), rtol=1e-12)


def test_cash_earns_the_stated_rate_over_a_year():
    result = run_backtest(np.full(253, 10.0), np.zeros(253), cash_rate=0.04)
    assert result.equity[-1] == pytest.approx(1.04, rel=1e-12)


def test_bankruptcy_is_final():
    close = np.array([100.0, 100.0, 60.0, 120.0, 240.0])
    result = run_backtest(close, np.full(5, 3.0), cost_bp=0.0, delay=0)
    np.testing.assert_array_equal(result.equity[2:], 0.0)
    np.testing.assert_array_equal(result.position[2:], 0.0)
    assert result.returns[2] == -1.0
    assert np.all(result.returns[3:] == 0.0)
    assert result.performance().total_return == -1.0


@given(h=st.floats(-3, 3), w=st.floats(-3, 3), cost_bp=st.floats(0, 1000))
@PROPERTY
def test_rebalancing_solves_its_own_equation(h, w, cost_bp):
    kept, turnover = rebalance(h, w, cost_bp=cost_bp)
    assert kept == pytest.approx(1.0 - cost_bp * 1e-4 * abs(w * kept - h), rel=1e-12, abs=1e-12)
    assert turnover == pytest.approx(abs(w * kept - h), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": [1.0, np.nan, 2.0]}, "close must be finite and positive, got nan at bar 1"),
        ({"close": [1.0, 1.0, 0.0]}, "close .* got 0.0 at bar 2"),
        ({"close": [1.0, -1.0, 1.0]}, "close .* got -1.0 at bar 1"),
        ({"close": []}, "close must have shape"),
        ({"position": [0.0, 1.0]}, "position must have the shape of close"),
        ({"position": [0.0, np.inf, 1.0]}, "position must be finite .* got inf at bar 1"),
        ({"cost_bp": -1.0}, "cost_bp"),
        ({"cost_bp": float("nan")}, "cost_bp"),
        ({"cost_bp": 5000.0, "position": [3.0, 3.0, 3.0]}, "costs more than the equity"),
        ({"delay": -1}, "delay"),
        ({"delay": 1.5}, "delay"),
        ({"delay": True}, "delay"),
        ({"cash_rate": float("nan")}, "cash_rate"),
        ({"bars_per_year": 0.0}, "bars_per_year must be a positive finite number, got 0.0"),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    arguments = {"close": [1.0, 1.1, 1.2], "position": [0.0, 1.0, 1.0]} | change
    with pytest.raises(ValueError, match=message):
        run_backtest(**arguments)


def test_series_keep_their_index_and_must_share_it():
    dates = pd.date_range("2020-01-01", periods=3)
    close = pd.Series([1.0, 1.1, 1.2], index=dates)
    result = run_backtest(close, pd.Series([1.0, 1.0, 0.0], index=dates), bars_per_year=365.25)
    assert result.to_frame().index.equals(dates)
    assert list(result.to_frame()) == ["equity", "returns", "position", "turnover", "cost"]
    with pytest.raises(ValueError, match="position must have the index of close"):
        run_backtest(close, pd.Series([1.0, 1.0, 0.0], index=dates + pd.Timedelta(days=1)))


@pytest.mark.parametrize(("frequency", "year"), [("D", 365.25), ("W", 365.25 / 7), ("B", 365.25 * 5 / 7)])
def test_the_bars_of_a_year_come_from_the_dates(frequency, year):
    dates = pd.date_range("2019-01-07", periods=701, freq=frequency)  # 140 weeks of working days, 100 of all, 700
    close = pd.Series(np.exp(np.random.default_rng(0).normal(0, 0.01, 701).cumsum()), dates)
    result = run_backtest(close, np.ones(701), delay=0, cost_bp=0.0)
    assert result.bars_per_year == pytest.approx(year, rel=1e-12)
    years = (dates[-1] - dates[0]).days / 365.25
    growth = (close.iloc[-1] / close.iloc[0]) ** (1 / years) - 1
    assert result.performance().cagr == pytest.approx(growth, rel=1e-9)
    assert result.performance().volatility == pytest.approx(close.pct_change().std() * np.sqrt(year), rel=1e-9)
    assert run_backtest(close.to_numpy(), np.ones(701)).bars_per_year == 252
    assert run_backtest(close, np.ones(701), bars_per_year=10).bars_per_year == 10


def test_dates_that_do_not_tell_the_bars_of_a_year_ask_for_them():
    close = pd.Series(1.0, pd.date_range("2020-01-01", periods=20))
    with pytest.raises(ValueError, match="bars_per_year must be given where dates do not tell it"):
        run_backtest(close, np.ones(20))


def test_cash_earns_its_yearly_rate_whatever_the_bars():
    dates = pd.date_range("2015-01-04", periods=53, freq="W")
    growth = run_backtest(pd.Series(10.0, dates), np.zeros(53), cash_rate=0.04).equity[-1]
    assert growth == pytest.approx(1.04 ** (364 / 365.25), rel=1e-12)


def test_performance_of_a_period_uses_the_position_that_earned_it():
    close, position = random_market(8)
    result = run_backtest(close, (position > 0).astype(float))
    summary = result.performance(start=20)
    assert summary.n_bars == 40
    assert summary.time_invested == np.mean(result.position[19:-1] != 0)
    late = run_backtest(np.ones(10), np.eye(10)[8], delay=1)  # traded at the last close, so it never earns a return
    assert late.performance().time_invested == 0.0
    assert summary.cost_paid == pytest.approx(result.cost[20:].sum())
    with pytest.raises(ValueError, match="start"):
        result.performance(start=0)
