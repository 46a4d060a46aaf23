"""Summary numbers against closed forms, and intervals against their promise."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from companion.backtest import (
    drawdown,
    performance,
    sharpe_difference_interval,
    sharpe_interval,
    sharpe_ratio,
    sortino_ratio,
)

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
ELEMENTS = st.floats(-0.9, 1.0).map(lambda x: x if abs(x) > 1e-100 else 0.0)  # whose squares are floats, too
RETURNS = arrays(np.float64, st.integers(2, 60), elements=ELEMENTS)


def test_sharpe_of_two_values_is_known():
    # mean (a+b)/2, sample standard deviation |a-b|/√2
    assert sharpe_ratio([0.01, 0.03]) == pytest.approx(0.02 / (0.02 / np.sqrt(2)) * np.sqrt(252), rel=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.001, -0.0003, 0.1])
def test_a_constant_series_has_no_sharpe(constant):
    assert np.isnan(sharpe_ratio(np.full(300, constant)))
    with pytest.raises(ValueError, match="undefined"):
        sharpe_interval(np.full(300, constant), seed=0)


def test_sharpe_is_measured_against_cash():
    returns = np.tile([0.011, -0.009], 126)
    cash = (1.0 + sharpe_cash()) ** 252 - 1.0
    assert sharpe_ratio(returns, cash_rate=cash) == pytest.approx(0.0, abs=1e-10)
    assert sharpe_ratio(returns) > 1.0


def sharpe_cash():
    return 0.001


@given(RETURNS, st.floats(0.0, 0.3))
@PROPERTY
def test_a_rate_for_each_bar_may_be_the_same_in_all(returns, rate):
    for ratio in (sharpe_ratio, sortino_ratio):
        one, many = (ratio(returns, cash_rate=cash) for cash in (rate, np.full(returns.size, rate)))
        assert one == many or np.isnan([one, many]).all()


def test_sortino_counts_only_the_downside():
    assert sortino_ratio([0.02, -0.01]) == pytest.approx(0.005 / np.sqrt(0.0001 / 2) * np.sqrt(252), rel=1e-12)
    assert np.isnan(sortino_ratio([0.01, 0.02]))


@given(RETURNS, st.floats(1.0, 1e6))
@PROPERTY
def test_a_ratio_grows_with_the_root_of_the_bars_of_a_year(returns, year):
    for ratio in (sharpe_ratio, sortino_ratio):
        of_one = ratio(returns, bars_per_year=1)
        assert ratio(returns, bars_per_year=year) == pytest.approx(of_one * np.sqrt(year), rel=1e-9, nan_ok=True)
    assert performance(returns, bars_per_year=year).volatility == pytest.approx(returns.std(ddof=1) * np.sqrt(year))


def test_growth_and_volatility_of_a_known_year():
    returns = np.full(252, 1.1 ** (1 / 252) - 1.0)
    returns[::2] += 0.001
    returns[1::2] = 1.1 ** (2 / 252) / (1.0 + returns[::2]) - 1.0
    summary = performance(returns)
    assert summary.total_return == pytest.approx(0.1, rel=1e-10)
    assert summary.cagr == pytest.approx(0.1, rel=1e-10)
    assert summary.volatility == pytest.approx(returns.std(ddof=1) * np.sqrt(252), rel=1e-12)
    assert np.isnan(summary.turnover)


def test_drawdown_closed_forms():
    np.testing.assert_allclose(drawdown([1.0, 2.0, 1.0, 4.0, 3.0]), [0.0, 0.0, -0.5, 0.0, -0.25])
    assert performance(np.full(10, -0.1)).max_drawdown == pytest.approx(0.9**10 - 1.0, rel=1e-12)
    assert performance(np.full(10, 0.1)).max_drawdown == 0.0


@pytest.mark.parametrize(
    ("equity", "n_bars"),
    [
        ([1.1, 1.2, 1.3], 0),  # never below a peak
        ([1.0, 1.0, 1.0], 0),  # nor here
        ([0.9, 1.1, 1.2], 2),  # the start is a peak, regained at the second bar
        ([1.1, 1.0, 1.1, 1.0], 2),  # at its peak again, though 1.1 · (1 / 1.1) · 1.1 rounds
        ([0.9, 0.8, 1.1, 1.0, 0.9, 0.8, 0.7], 4),  # not regained until the end
        ([1.2, 0.8, 0.9, 0.7, 1.2, 1.1], 4),  # one peak, however often it recovers a little
    ],
)
def test_the_longest_drawdown_runs_from_its_peak_until_that_is_regained(equity, n_bars):
    returns = np.array(equity) / np.array([1.0, *equity[:-1]]) - 1.0
    assert performance(returns).drawdown_bars == n_bars


@given(RETURNS)
@PROPERTY
def test_drawdowns_agree_with_the_curve_of_equity(returns):
    """Depth and time by brute force on the curve, with the start at its front."""
    summary, equity = performance(returns), np.cumprod(np.append(1.0, 1.0 + returns))
    depth = equity / np.maximum.accumulate(equity) - 1.0
    peaks = [max(bar for bar in range(end + 1) if depth[bar] > -1e-12) for end in range(equity.size)]
    low = [end for end in range(equity.size) if depth[end] <= -1e-12]
    last = [end - peaks[end] + (end + 1 < equity.size and depth[end + 1] > -1e-12) for end in low]
    assert summary.drawdown_bars == max(last, default=0)
    assert summary.max_drawdown == pytest.approx(depth.min(), abs=1e-12)
    if low:
        assert summary.calmar == pytest.approx(summary.cagr / -summary.max_drawdown, rel=1e-12)
    else:
        assert np.isnan(summary.calmar)


@given(RETURNS)
@PROPERTY
def test_the_tail_ratio_is_that_of_two_percentiles(returns):
    low, high = np.percentile(returns, [5, 95])
    assert performance(returns).tail_ratio == pytest.approx(high / abs(low) if low else np.nan, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("every_16th", [0.0, -0.5, 0.5])
@pytest.mark.parametrize("rounded_to", [2, 12])
def test_the_percentiles_need_no_luck(every_16th, rounded_to):
    """Long series, many ties, and a period that misleads a sample of every 16th bar."""
    returns = np.random.default_rng(0).normal(0.0, 0.01, 4000)
    returns[::16] = every_16th + 0.1 * returns[::16]
    returns = np.round(returns, rounded_to)
    low, high = np.percentile(returns, [5, 95])
    assert performance(returns).tail_ratio == pytest.approx(high / abs(low), rel=1e-12)


def test_the_tail_ratio_of_losses_alone_is_negative():
    assert performance(-np.linspace(0.01, 0.02, 101)).tail_ratio == pytest.approx(-0.0105 / 0.0195, rel=1e-12)


@given(RETURNS)
@PROPERTY
def test_drawdown_lies_in_its_range_and_covers_the_total_loss(returns):
    summary = performance(returns)
    assert -1.0 <= summary.max_drawdown <= 0.0
    assert summary.max_drawdown <= min(summary.total_return, 0.0) + 1e-12


@given(RETURNS, st.floats(0.1, 5.0))
@PROPERTY
def test_sharpe_does_not_depend_on_leverage(returns, leverage):
    scaled = np.maximum(returns * leverage, -1.0)
    if np.array_equal(scaled, returns * leverage) and np.isfinite(sharpe_ratio(returns)):
        assert sharpe_ratio(scaled) == pytest.approx(sharpe_ratio(returns), rel=1e-6, abs=1e-9)


def test_a_summary_is_valid_json():
    fields = json.loads(json.dumps(performance([0.0, 0.0, 0.0]).to_dict(), allow_nan=False))
    assert fields["sharpe"] is None
    assert fields["n_bars"] == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: performance([0.1]), "at least 2 bars"),
        (lambda: performance([0.1, np.nan]), "returns .* got nan at bar 1"),
        (lambda: performance([0.1, -1.5]), "returns .* got -1.5 at bar 1"),
        (lambda: performance([0.1, 0.2], turnover=[1.0]), "turnover"),
        (lambda: performance([0.1, 0.2], bars_per_year=np.nan), "bars_per_year must be a positive finite number"),
        (lambda: sharpe_ratio([0.1, 0.2], bars_per_year=-1), "bars_per_year must be a positive finite number"),
        (lambda: performance([0.1, 0.2], cash_rate=[0.1]), "cash_rate must be a number or have the shape of returns"),
        (lambda: sharpe_ratio([0.1, 0.2], cash_rate=[0.1, -1.0]), "cash_rate must be .* above -1, got -1.0 at bar 1"),
        (lambda: performance([0.1, 0.2], position=[1.0, np.nan]), "position"),
        (lambda: drawdown([1.0, -0.1]), "equity"),
        (lambda: sharpe_interval([0.1, 0.2, 0.0] * 20, seed=0, level=1.0), "level"),
        (lambda: sharpe_interval([0.1, 0.2, 0.0] * 20, seed=0, mean_block=0), "mean_block"),
        (lambda: sharpe_interval([0.1, 0.2, 0.0] * 20, seed=0, n_resamples=1), "n_resamples"),
        (lambda: sharpe_difference_interval([0.1] * 30, [0.1] * 31, seed=0), "baseline_returns must have the shape"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_interval_has_the_width_lo_derived():
    """Lo (2002), equation 9: for independent returns Var(SR) ≈ (1 + SR²/2)/n in daily units."""
    returns = np.random.default_rng(0).normal(0.0005, 0.01, 2520)
    interval = sharpe_interval(returns, seed=1, mean_block=1, n_resamples=3000)
    daily = interval.estimate / np.sqrt(252)
    expected = 2 * 1.96 * np.sqrt((1 + daily**2 / 2) / 2520) * np.sqrt(252)
    assert interval.high - interval.low == pytest.approx(expected, rel=0.06)
    assert interval.low < interval.estimate < interval.high


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """400 worlds with a known Sharpe ratio; a 95 % interval must miss about 20 of them (binomial 99.9 % range)."""
    rng, truth = np.random.default_rng(3), 0.05 * np.sqrt(252)
    intervals = [
        sharpe_interval(rng.normal(0.0005, 0.01, 500), seed=rng, mean_block=5, n_resamples=200) for _ in range(400)
    ]
    misses = sum(not i.low <= truth <= i.high for i in intervals)
    assert 8 <= misses <= 44


def test_blocks_keep_the_dependence_of_the_returns():
    """An AR(1) with coefficient 0.8 has a mean three times as uncertain, √((1+0.8)/(1-0.8)), as independent returns."""
    shocks = np.random.default_rng(8).normal(0.0, 0.01, 4000)
    returns = np.zeros(4000)
    for bar in range(1, 4000):
        returns[bar] = 0.8 * returns[bar - 1] + 0.3 * shocks[bar]
    widths = {}
    for mean_block in (1, 60):
        interval = sharpe_interval(returns, seed=0, mean_block=mean_block)
        widths[mean_block] = interval.high - interval.low
    assert 2.2 < widths[60] / widths[1] < 3.6


def test_pairing_removes_the_shared_luck():
    rng = np.random.default_rng(4)
    market = rng.normal(0.0003, 0.01, 2000)
    twin = market + rng.normal(0.0, 0.0005, 2000)
    difference = sharpe_difference_interval(twin, market, seed=0)
    alone = sharpe_interval(market, seed=0)
    assert difference.high - difference.low < 0.2 * (alone.high - alone.low)
    assert not difference.excludes_zero
    better = sharpe_difference_interval(market + 0.0003, market, seed=0)
    assert better.excludes_zero


@pytest.mark.parametrize("n_days", [1, 2, 5])
@pytest.mark.parametrize("baseline", [False, True])
def test_a_handful_of_winning_days_is_no_proof(n_days, baseline):
    """In a good share of the resamples the strategy has never traded; they are not left out."""
    returns = np.zeros(2500)
    returns[1000 : 1000 + n_days] = 0.002 + 0.001 * np.arange(n_days)
    other = np.random.default_rng(0).normal(0.0, 0.01, 2500) if baseline else None
    interval = sharpe_interval(returns, seed=0) if other is None else sharpe_difference_interval(returns, other, seed=0)
    assert (interval.low, interval.high, interval.standard_error) == (-np.inf, np.inf, np.inf)
    assert not interval.excludes_zero


def test_same_seed_same_interval():
    returns = np.random.default_rng(5).normal(0.0, 0.01, 300)
    assert sharpe_interval(returns, seed=9) == sharpe_interval(returns, seed=9)
    assert sharpe_interval(returns, seed=9) != sharpe_interval(returns, seed=10)
