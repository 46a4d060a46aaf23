"""Intervals of the stationary bootstrap: fast and slow form, an independent library, closed forms, and symmetry."""

import operator

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.backtest import (
    performance,
    performance_difference_interval,
    performance_interval,
    performance_ratio_interval,
    sharpe_difference_interval,
    sharpe_interval,
    sharpe_ratio,
)
from companion.backtest._bootstrap import FIELDS, _studentized
from companion.backtest._resample import draw_bars, resample_sharpe

PROPERTY = settings(derandomize=True, deadline=None, max_examples=30)


def pair(seed=0, n_bars=600):
    shocks = np.random.default_rng(seed).standard_t(5, (2, n_bars)) * 0.01
    return 0.0005 + shocks[0], 0.0002 + 0.6 * shocks[0] + 0.5 * shocks[1]


def influence_on_sharpe(values):
    """How much a bar moves the Sharpe ratio: the derivative that Ledoit and Wolf (2008) take, section 3.1."""
    score = (values - values.mean()) / values.std(ddof=1)
    return score - values.mean() / values.std(ddof=1) * (score**2 - 1.0) / 2.0


def test_blocks_have_the_mean_length_and_every_bar_its_share():
    rng = np.random.default_rng(0)
    draws = np.stack([draw_bars(500, 20.0, rng) for _ in range(2000)])
    fresh = np.mean((draws[:, 1:] - draws[:, :-1]) % 500 != 1)
    assert fresh == pytest.approx((1 / 20) * (499 / 500), rel=0.02)
    counts = np.bincount(draws.ravel(), minlength=500) / 2000
    assert counts.mean() == 1.0
    assert counts.std() == pytest.approx(np.sqrt(1 / 2000), rel=0.3)  # in a Poisson number of blocks a resample
    assert np.all(np.sort(draw_bars(7, 1.0, rng)) < 7)


@pytest.mark.parametrize("mean_block", [1.0, 3.5, 40.0])
def test_running_sums_give_the_ratios_of_the_resamples_themselves(mean_block):
    excess = np.stack(pair())
    draws, errors = resample_sharpe(excess, mean_block=mean_block, n_resamples=50, rng=np.random.default_rng(3))
    rng = np.random.default_rng(3)
    for draw, error in zip(draws, errors, strict=True):
        a, b = excess[:, draw_bars(600, mean_block, rng)]
        assert draw == pytest.approx(sharpe_ratio(a, bars_per_year=1) - sharpe_ratio(b, bars_per_year=1), abs=1e-12)
        if mean_block == 1.0:
            influence = influence_on_sharpe(a) - influence_on_sharpe(b)
            assert error == pytest.approx(np.sqrt(np.sum(influence**2)) / 600, rel=1e-9)


def test_the_resamples_are_those_of_an_independent_library():
    returns, baseline = pair()

    def statistic(a, b):
        return sharpe_ratio(a) - sharpe_ratio(b)

    theirs = StationaryBootstrap(20, returns, baseline, seed=np.random.default_rng(1)).apply(statistic, 4000)[:, 0]
    ours, errors = resample_sharpe(
        np.stack([returns, baseline]), mean_block=20, n_resamples=4000, rng=np.random.default_rng(2)
    )
    ours = ours * np.sqrt(252)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
    levels = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(np.quantile(ours, levels), np.quantile(theirs, levels), atol=0.12 * theirs.std())
    assert np.median(errors) * np.sqrt(252) == pytest.approx(theirs.std(), rel=0.1)


def test_studentized_normal_draws_reach_as_far_as_the_normal_table():
    draws = np.random.default_rng(0).normal(1.0, 0.5, 40_000)
    interval = _studentized(1.0, draws, np.full(40_000, 0.5), 0.95)
    assert (interval.low, interval.high) == (pytest.approx(1.0 - 0.98, abs=0.02), pytest.approx(1.0 + 0.98, abs=0.02))
    assert interval.standard_error == pytest.approx(0.5, rel=0.02)


def test_resamples_without_a_ratio_count_as_the_farthest():
    draws = np.random.default_rng(0).normal(size=1000)
    for missing, bounded in ((40, True), (60, False)):
        draws[:missing] = np.nan
        interval = _studentized(0.0, draws, np.where(np.isnan(draws), np.nan, 1.0), 0.95)
        assert np.isfinite([interval.low, interval.high]).tolist() == [bounded, bounded]
        assert interval.standard_error == np.inf


@pytest.mark.parametrize("field", FIELDS)
def test_every_measure_that_returns_tell_has_its_interval(field):
    returns, baseline = pair()
    options = {"seed": 1, "cash_rate": 0.02, "bars_per_year": 250.0, "n_resamples": 100}
    values = [getattr(performance(each, cash_rate=0.02, bars_per_year=250), field) for each in (returns, baseline)]
    one = performance_interval(returns, field, **options)
    assert one.estimate == pytest.approx(values[0], rel=1e-9)
    assert one.low < one.high
    difference = performance_difference_interval(returns, baseline, field, **options)
    assert difference.estimate == pytest.approx(operator.sub(*values), rel=1e-9)
    ratio = performance_ratio_interval(returns, baseline, field, **options)
    assert ratio.estimate == pytest.approx(operator.truediv(*values), rel=1e-9)


def test_named_measures_are_the_general_one():
    returns, baseline = pair()
    assert sharpe_interval(returns, seed=1) == performance_interval(returns, "sharpe", seed=1)
    difference = performance_difference_interval(returns, baseline, "sharpe", seed=1, level=0.8)
    assert sharpe_difference_interval(returns, baseline, seed=1, level=0.8) == difference


def test_a_mean_return_has_its_standard_error():
    """Total return is about the sum: its standard deviation over independent resamples is that of a bar times √n."""
    returns = np.random.default_rng(2).normal(0.0, 0.001, 1000)
    interval = performance_interval(returns, "total_return", seed=0, mean_block=1, n_resamples=2000)
    assert interval.standard_error == pytest.approx(returns.std() * np.sqrt(1000) * (1 + interval.estimate), rel=0.06)


@given(seed=st.integers(0, 99), leverage=st.floats(0.05, 3.0))
@PROPERTY
def test_leverage_is_no_difference_and_volatility_is_in_proportion(seed, leverage):
    returns, _ = pair(seed, 120)
    difference = sharpe_difference_interval(leverage * returns, returns, seed=seed, n_resamples=50)
    assert (difference.low, difference.high, difference.standard_error) == (0.0, 0.0, 0.0)
    assert not difference.excludes_zero
    ratio = performance_ratio_interval(leverage * returns, returns, "volatility", seed=seed, n_resamples=20)
    np.testing.assert_allclose([ratio.low, ratio.estimate, ratio.high], leverage, rtol=1e-9)


@given(seed=st.integers(0, 99))
@PROPERTY
def test_who_is_whose_baseline_only_turns_the_sign(seed):
    returns, baseline = pair(seed, 120)
    there, back = (
        sharpe_difference_interval(*order, seed=seed, n_resamples=60)
        for order in ((returns, baseline), (baseline, returns))
    )
    np.testing.assert_allclose([there.low, there.high], [-back.high, -back.low], atol=1e-9)


def test_cash_may_change_from_bar_to_bar():
    returns, baseline = pair()
    rates = np.linspace(0.0, 0.2, 600)
    cash = (1.0 + rates) ** (1 / 252) - 1.0
    with_cash = sharpe_difference_interval(returns + cash, baseline + cash, seed=1, cash_rate=rates)
    np.testing.assert_allclose(with_cash.low, sharpe_difference_interval(returns, baseline, seed=1).low, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: performance_interval(pair()[0], "turnover", seed=0),
            "field must be one of total_return, .*'turnover'",
        ),
        (lambda: performance_interval(pair()[0], "sharpe", seed=-1), "seed must be a non-negative integer"),
        (lambda: performance_interval(pair()[0], "sharpe", seed=0, level=0.0), r"level must lie in \(0, 1\)"),
        (
            lambda: performance_interval(pair()[0], "sharpe", seed=0, mean_block=601),
            r"mean_block must lie in \[1, 600\]",
        ),
        (lambda: performance_interval(pair()[0], "sharpe", seed=0, n_resamples=1), "n_resamples must be at least 2"),
        (
            lambda: performance_interval(pair()[0], "sharpe", seed=0, cash_rate=[0.0, 0.1]),
            "cash_rate must be a number or",
        ),
        (lambda: performance_interval(np.full(50, 0.01), "calmar", seed=0), "calmar is undefined here"),
        (lambda: performance_ratio_interval(pair()[0], np.full(600, 0.1), "max_drawdown", seed=0), "is undefined here"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
