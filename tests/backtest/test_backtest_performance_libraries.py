"""Our measures against independent libraries, to ten digits; and where a library says something else, how."""

import numpy as np
import pandas as pd
import pytest

from companion.backtest import drawdown, performance, sharpe_ratio, sortino_ratio

ffn = pytest.importorskip("ffn")
stats = pytest.importorskip("quantstats.stats")
measures = pytest.importorskip("skfolio.measures")

EQUAL = {"rel": 1e-10}
CASH = 0.03


@pytest.fixture(params=range(3), scope="module")
def returns(request):
    """Seven years of working days, with fat tails."""
    values = 0.0005 + 0.008 * np.random.default_rng(request.param).standard_t(4, 1764)
    return pd.Series(values, pd.bdate_range("2010-01-04", periods=1764))


def prices_of(returns):
    """The curve that a library wants to see, with a day before the first return."""
    start = pd.Series(1.0, returns.index[:1] - pd.offsets.BDay())
    return pd.concat([start, (1.0 + returns).cumprod()])


def test_ratios_are_those_of_two_libraries(returns):
    ours = sharpe_ratio(returns), sortino_ratio(returns)
    assert ours == pytest.approx((stats.sharpe(returns), stats.sortino(returns)), **EQUAL)
    assert ours == pytest.approx(
        (ffn.calc_sharpe(returns, nperiods=252), ffn.calc_sortino_ratio(returns, nperiods=252))
    )
    above = sharpe_ratio(returns, cash_rate=CASH), sortino_ratio(returns, cash_rate=CASH)
    assert above == pytest.approx((stats.sharpe(returns, rf=CASH), stats.sortino(returns, rf=CASH)), **EQUAL)


def test_growth_and_risk_are_those_of_quantstats(returns):
    ours = performance(returns)
    assert ours.cagr == pytest.approx(stats.cagr(returns), **EQUAL)
    assert ours.total_return == pytest.approx(stats.comp(returns), **EQUAL)
    assert ours.volatility == pytest.approx(stats.volatility(returns), **EQUAL)
    assert ours.calmar == pytest.approx(stats.calmar(returns), **EQUAL)
    assert ours.max_drawdown == pytest.approx(stats.max_drawdown(returns), **EQUAL)
    assert ours.tail_ratio == pytest.approx(stats.tail_ratio(returns), **EQUAL)


def test_drawdowns_are_those_of_skfolio_and_ffn(returns):
    curve = measures.get_drawdowns(returns.to_numpy(), compounded=True)
    np.testing.assert_allclose(drawdown(np.cumprod(1.0 + returns)), curve, atol=1e-10)
    ours = performance(returns).max_drawdown
    assert ours == pytest.approx(-measures.max_drawdown(curve), **EQUAL)
    assert ours == pytest.approx(ffn.calc_max_drawdown(prices_of(returns)), **EQUAL)


def test_skfolio_makes_a_drawdown_of_whatever_it_is_given(returns):
    """Its `max_drawdown` wants drawdowns. Of cumulative returns it makes another number, without an error."""
    wrong = measures.max_drawdown(np.cumsum(returns.to_numpy()))
    assert abs(wrong + performance(returns).max_drawdown) > 0.02


def test_the_calmar_ratio_of_ffn_counts_calendar_years(returns):
    """Beside a Sharpe ratio of 252 days a year it is another year: ours with as many bars as its calendar has."""
    prices = prices_of(returns)
    calendar = returns.size / ((prices.index[-1] - prices.index[0]).days / 365.25)
    theirs = ffn.calc_calmar_ratio(prices)
    assert theirs == pytest.approx(performance(returns, bars_per_year=calendar).calmar, rel=1e-5)
    assert theirs != pytest.approx(performance(returns, bars_per_year=252).calmar, rel=1e-3)


def test_quantstats_loses_the_sign_of_a_tail(returns):
    """It takes the size of both percentiles: a strategy that only loses has the tail ratio of one that only gains."""
    losses = -returns.abs() - 0.001
    ours = performance(losses).tail_ratio
    assert ours < 0.0
    assert stats.tail_ratio(losses) == pytest.approx(-ours, **EQUAL)
