"""The engine against pencil-and-paper accounting, and against the future."""

from decimal import Decimal, getcontext

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.backtest import run_backtest
from companion.backtest._kernel import rebalance

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)


def random_market(seed, n_bars=60, low=-0.5, high=1.5):
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, n_bars)))
    return close, np.round(rng.uniform(low, high, n_bars), 3)


def per_bar(yearly):
    return (1 + Decimal(str(yearly))) ** (Decimal(1) / 252) - 1


def cash_and_shares(
    close, position, *, delay, cost_bp=0.0, half_spread_bp=0.0, cash_rate=0.0, borrow_spread=0.0, short_fee=0.0
):
    """Equity by accounting in Decimal: buy or sell shares until their value is the target share of what is left."""
    getcontext().prec = 40
    cost = (Decimal(str(cost_bp)) + Decimal(str(half_spread_bp))) / 10_000
    interest = [per_bar(rate) for rate in np.broadcast_to(cash_rate, len(close))]
    spread, fee = per_bar(borrow_spread), per_bar(short_fee)
    cash, shares, equity, last = Decimal(1), Decimal(0), [], Decimal(0)
    for bar, price in enumerate(map(Decimal, close)):
        if bar:
            rate = interest[bar - 1] + (spread if cash < 0 else 0)
            cash += cash * rate + min(shares, 0) * last * fee
        target = Decimal(position[bar - delay]) if bar >= delay else Decimal(0)
        wealth, value = cash + shares * price, shares * price
        # buying x costs c·x:  value + x = target·(wealth − c·x);  selling likewise with the other sign
        side = 1 if target * wealth > value else -1
        trade = (target * wealth - value) / (1 + side * cost * target)
        cash -= trade + cost * abs(trade)
        shares += trade / price
        equity.append(float(cash + shares * price))
        last = price
    return np.array(equity)


TERMS = [
    {},
    {"cost_bp": 10.0},
    {"cost_bp": 250.0, "cash_rate": 0.05},
    {"cost_bp": 2.0, "half_spread_bp": 3.0, "cash_rate": 0.03, "borrow_spread": 0.015, "short_fee": 0.2},
    {"cash_rate": np.linspace(-0.01, 0.2, 60), "borrow_spread": 0.5},
]


@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize("terms", TERMS)
def test_equity_is_what_accounting_in_cash_and_shares_says(delay, terms):
    close, position = random_market(delay, low=-1.0, high=2.5)
    result = run_backtest(close, position, **{"cost_bp": 0.0, "delay": delay} | terms)
    np.testing.assert_allclose(result.equity, cash_and_shares(close, position, delay=delay, **terms), rtol=1e-12)


@given(
    seed=st.integers(0, 10_000),
    delay=st.integers(0, 3),
    cost_bp=st.sampled_from([0.0, 1.0, 10.0, 300.0]),
    short_fee=st.floats(0.0, 0.5),
)
@PROPERTY
def test_accounting_holds_for_any_market_and_position(seed, delay, cost_bp, short_fee):
    close, position = random_market(seed, n_bars=12, low=-2.0, high=3.0)
    terms = {"cost_bp": cost_bp, "delay": delay, "cash_rate": 0.03, "borrow_spread": 0.01, "short_fee": short_fee}
    result = run_backtest(close, position, **terms)
    np.testing.assert_allclose(result.equity, cash_and_shares(close, position, **terms), rtol=1e-12)


@given(seed=st.integers(0, 10_000), cost_bp=st.floats(0.0, 200.0), spread=st.floats(0.0, 1.0), fee=st.floats(0.0, 1.0))
@PROPERTY
def test_equity_is_the_start_plus_gains_less_costs_and_financing(seed, cost_bp, spread, fee):
    close, position = random_market(seed, low=-2.0, high=3.0)
    rates = np.random.default_rng(seed).uniform(0.0, 0.1, close.size)
    result = run_backtest(
        close, position, cost_bp=cost_bp, borrow_spread=spread, short_fee=fee, cash_rate=rates, half_spread_bp=1.5
    )
    before, weight = result.equity[:-1], result.position[:-1]
    gains = before * (
        weight * (close[1:] / close[:-1] - 1.0) + (1.0 - weight) * ((1.0 + rates[:-1]) ** (1 / 252) - 1.0)
    )
    financing = before * result.financing[1:]
    costs = (before + gains - financing) * result.cost[1:]
    assert result.equity[-1] == pytest.approx(1.0 + np.sum(gains - financing - costs), rel=1e-12)


@given(seed=st.integers(0, 10_000), unit=st.floats(1e-6, 1e6), delay=st.integers(0, 3))
@PROPERTY
def test_the_unit_of_the_prices_changes_nothing(seed, unit, delay):
    close, position = random_market(seed)
    ours, theirs = (run_backtest(prices, position, delay=delay) for prices in (close, close * unit))
    np.testing.assert_allclose(theirs.equity, ours.equity, rtol=1e-12)
    np.testing.assert_allclose(theirs.turnover, ours.turnover, atol=1e-12)


@given(seed=st.integers(0, 10_000), delay=st.integers(0, 70))
@PROPERTY
def test_a_delay_is_a_shift_of_the_positions(seed, delay):
    close, position = random_market(seed)
    shifted = np.concatenate([np.zeros(delay), position])[: position.size]
    late, moved = run_backtest(close, position, delay=delay), run_backtest(close, shifted, delay=0)
    for name in ("equity", "returns", "position", "turnover"):
        np.testing.assert_array_equal(getattr(late, name), getattr(moved, name))


def test_borrowed_cash_pays_the_spread_and_a_short_the_fee():
    terms = {
        "cost_bp": 0.0,
        "delay": 0,
        "bars_per_year": 1,
        "cash_rate": 0.02,
        "borrow_spread": 0.01,
        "short_fee": 0.04,
    }
    # one year, price + 10 %:  3·10 % − 2·(2 % + 1 %)  and  −1·10 % + 2·2 % − 4 %;  a weight of ½ pays neither
    for weight, earned in ((3.0, 0.24), (-1.0, -0.10), (0.5, 0.06)):
        result = run_backtest([100.0, 110.0], [weight, 0.0], **terms)
        assert result.returns[1] == pytest.approx(earned, rel=1e-13)
        assert result.financing[1] == pytest.approx({3.0: 0.02, -1.0: 0.04, 0.5: 0.0}[weight], abs=1e-16)


def test_a_rate_is_earned_from_the_close_at_which_it_is_known():
    result = run_backtest(np.ones(4), np.zeros(4), cash_rate=[0.0, 0.1, 0.0, 0.9], bars_per_year=1)
    np.testing.assert_allclose(result.returns, [0.0, 0.0, 0.1, 0.0], atol=1e-15)
    np.testing.assert_allclose(result.excess, 0.0, atol=1e-15)


def test_cash_alone_has_no_sharpe_ratio_at_any_rates():
    """Its returns vary, but not in excess of the cash of the very bar."""
    rates = np.random.default_rng(0).uniform(0.0, 0.1, 500)
    summary = run_backtest(np.ones(500), np.zeros(500), cash_rate=rates).performance()
    assert summary.volatility > 0.0
    assert np.isnan(summary.sharpe)


def test_excess_returns_are_what_the_ratios_are_made_of():
    close, position = random_market(3)
    rates = np.random.default_rng(1).uniform(0.0, 0.1, close.size)
    result = run_backtest(close, position, cash_rate=rates)
    summary, excess = result.performance(start=10), result.excess[10:]
    assert summary.sharpe == pytest.approx(excess.mean() / excess.std(ddof=1) * np.sqrt(252), rel=1e-12)
    downside = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2))
    assert summary.sortino == pytest.approx(excess.mean() / downside * np.sqrt(252), rel=1e-12)
    constant = run_backtest(close, position, cash_rate=0.05).performance(start=10)
    in_every_bar = run_backtest(close, position, cash_rate=np.full(close.size, 0.05)).performance(start=10)
    assert constant == in_every_bar


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
    assert np.all(result.turnover[2:] == 0.0)
    assert result.performance().total_return == -1.0
    assert result.performance().calmar == -1.0


@pytest.mark.parametrize("money", [{"borrow_spread": 1e4, "bars_per_year": 1}, {"cost_bp": 3000.0}])
def test_financing_and_costs_can_ruin_too(money):
    """The debt grows beyond the holding; or 3 times the equity, by then 3.9 times, is sold at a cost of 30 %."""
    result = run_backtest([100.0, 90.0, 120.0, 100.0], [3.0, 0.0, 1.0, 0.0], **{"cost_bp": 0.0, "delay": 0} | money)
    np.testing.assert_array_equal(result.equity[1:], 0.0)


def test_leverage_up_to_its_limit_is_allowed():
    close, position = random_market(4)
    limit = np.abs(position).max()
    assert np.array_equal(
        run_backtest(close, position, max_leverage=limit).equity, run_backtest(close, position).equity
    )


@given(h=st.floats(-3, 3), w=st.floats(-3, 3), cost_bp=st.floats(0, 1000))
@PROPERTY
def test_rebalancing_solves_its_own_equation(h, w, cost_bp):
    kept, turnover = rebalance(h, w, cost_bp * 1e-4)
    assert kept == pytest.approx(1.0 - cost_bp * 1e-4 * abs(w * kept - h), rel=1e-12, abs=1e-12)
    assert turnover == pytest.approx(abs(w * kept - h), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": [1.0, np.nan, 2.0]}, "close must be finite and positive, got nan at bar 1"),
        ({"close": [1.0, 1.0, 0.0]}, "close .* got 0.0 at bar 2"),
        ({"close": [1.0, -1.0, 1.0]}, "close .* got -1.0 at bar 1"),
        ({"close": []}, "close must hold at least one bar"),
        (
            {"close": [[1.0, 1.1, 1.2], [1.0, -1.0, 1.0]]},
            "close .* got -1.0 at bar 1 of path 1: drop the bar or repair",
        ),
        ({"close": ["1", "2", "3"]}, "close must be an array of numbers"),
        ({"position": [True, False, True]}, "position must be an array of numbers, got one of bool"),
        ({"position": [0.0, 1.0]}, "position must have the shape of close"),
        (
            {"position": [0.0, np.inf, 1.0]},
            "position must be finite, got inf at bar 1: give 0 where there is no decision",
        ),
        ({"cost_bp": -1.0}, "cost_bp"),
        ({"cost_bp": float("nan")}, "cost_bp"),
        ({"cost_bp": 5000.0, "position": [1.0, 3.0, 3.0]}, "position must cost less than the equity .* 3.0 at bar 1"),
        ({"cost_bp": 6000.0, "half_spread_bp": 4000.0}, "cost_bp and half_spread_bp must together be below 10000"),
        ({"half_spread_bp": -1.0}, "half_spread_bp must lie in"),
        ({"borrow_spread": -0.01}, "borrow_spread must be a finite yearly rate, zero or above, got -0.01"),
        ({"short_fee": float("inf")}, "short_fee must be a finite yearly rate"),
        ({"max_leverage": 0.0}, "max_leverage must be a positive finite number"),
        ({"max_leverage": 1.0, "position": [0.0, -1.5, 1.0]}, "within max_leverage=1, got -1.5 at bar 1: lower"),
        ({"cash_rate": [0.0, -2.0, 0.0]}, "cash_rate must be finite and above -1, got -2.0 at bar 1"),
        ({"cash_rate": [0.0, 0.1]}, "cash_rate must be a number or have a rate for each of 3 bars"),
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
    assert list(result.to_frame()) == ["equity", "returns", "position", "turnover", "cost", "financing"]


DATES = pd.date_range("2020-01-01", periods=3)
DATED = pd.Series([1.0, 1.1, 1.2], DATES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": DATED.where(DATED != 1.1)}, r"close .* got nan at 2020-01-02 \(bar 1\): drop the bar or repair"),
        ({"close": -DATED}, r"close .* got -1.0 at 2020-01-01 \(bar 0\)"),
        ({"close": DATED[::-1]}, "close must have dates that ascend, each once, got 2020-01-02 after 2020-01-03"),
        ({"close": DATED.iloc[[0, 1, 1]]}, "close must have dates that ascend, .*2020-01-02 after 2020-01-02"),
        ({"position": DATED.where(DATED != 1.2)}, r"position must be finite, got nan at 2020-01-03 \(bar 2\): give 0"),
        ({"position": DATED, "max_leverage": 1.1}, r"within max_leverage=1.1, got 1.2 at 2020-01-03 \(bar 2\)"),
        ({"cash_rate": -10 * DATED}, r"cash_rate .* got -10.0 at 2020-01-01 \(bar 0\)"),
        ({"cash_rate": DATED[:2]}, "cash_rate must have the index of close, got the end at bar 2 where .* 2020-01-03"),
        (
            {"position": DATED.shift(freq="D")},
            "position must have the index of close, got 2020-01-02 .* at bar 0 where close has 2020-01-01",
        ),
        (
            {"position": DATED.tz_localize("UTC")},
            r"position .* got 2020-01-01 00:00:00\+00:00 at bar 0 .*\(datetime64\[ns, UTC\] for datetime64\[ns\]\)",
        ),
        ({"position": DATED.reset_index(drop=True)}, r"got 0 at bar 0 .* 2020-01-01 .*\(int64 for datetime64\[ns\]\)"),
    ],
)
def test_bad_bars_are_named_by_their_date(change, message):
    arguments = {"close": DATED, "position": 0.5 * DATED, "bars_per_year": 252} | change
    with pytest.raises(ValueError, match=message) as caught:
        run_backtest(**arguments)
    assert "\n" not in str(caught.value)


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
