"""Probabilities of a Sharpe ratio: the printed examples of the papers, an independent library, and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from skfolio import measures

from companion.backtest import (
    SharpeEvidence,
    deflated_sharpe_ratio,
    effective_trials,
    expected_max_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_ratio,
)
from companion.backtest._sharpe import _largest_below

PROPERTY = settings(derandomize=True, deadline=None, max_examples=50)
#: Bailey and López de Prado (2014), "A numerical example".
EXAMPLE = SharpeEvidence(2.5, 1250, skewness=-3.0, kurtosis=10.0, bars_per_year=250)


def fat_returns(seed, n_bars=700, n_series=None):
    shape = n_bars if n_series is None else (n_bars, n_series)
    return 0.0004 + 0.01 * np.random.default_rng(seed).standard_t(5, shape)


def test_the_deflated_ratio_of_the_paper():
    benchmark = expected_max_sharpe(100, np.sqrt(0.5))
    assert benchmark / np.sqrt(250) == pytest.approx(0.1132, abs=5e-5)
    assert EXAMPLE.probability_above(benchmark) == pytest.approx(0.9004, abs=5e-5)
    trials = np.linspace(-1.0, 1.0, 100)
    trials *= np.sqrt(0.5) / trials.std(ddof=1)
    with pytest.raises(ValueError, match="must hold the chosen strategy"):  # a ratio of 2.5 is none of these
        EXAMPLE.deflated(trials)
    trials = trials + 2.5 - trials.max()  # where they lie does not matter, only how far apart
    assert EXAMPLE.deflated(trials) == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize(
    ("bars_per_year", "skewness", "kurtosis", "years"),
    [(252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_records_of_the_paper(bars_per_year, skewness, kurtosis, years):
    """Bailey and López de Prado (2012), section 4: a ratio of 2 that is to be proved above 1 at 95 %."""
    evidence = SharpeEvidence(2.0, 100, skewness, kurtosis, bars_per_year)
    assert evidence.bars_to_prove(1.0) / bars_per_year == pytest.approx(years, abs=5e-3)


@given(sharpe=st.floats(0.2, 4.0), gap=st.floats(0.1, 3.0), skewness=st.floats(-2.0, 1.0), level=st.floats(0.55, 0.999))
@PROPERTY
def test_a_track_record_of_the_minimal_length_proves_the_ratio_exactly(sharpe, gap, skewness, level):
    evidence = SharpeEvidence(sharpe, 500, skewness, 8.0)
    bars = evidence.bars_to_prove(sharpe - gap, level=level)
    below, above = (SharpeEvidence(sharpe, max(n, 2), skewness, 8.0) for n in (int(bars), int(bars) + 1))
    if bars > 3:
        assert below.probability_above(sharpe - gap) <= level <= above.probability_above(sharpe - gap)


def test_no_track_record_proves_a_ratio_that_is_not_there():
    returns = fat_returns(0)
    assert minimum_track_record_length(returns, benchmark=sharpe_ratio(returns)) == np.inf


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.0, 0.03])
def test_probabilities_agree_with_an_independent_library(seed, rate):
    trials = fat_returns(seed, n_series=12)
    year, cash = 250.0, (1.0 + rate) ** (1 / 250) - 1.0
    ratios = np.array([sharpe_ratio(one, cash_rate=rate, bars_per_year=year) for one in trials.T])
    best = trials[:, ratios.argmax()]
    ours = probabilistic_sharpe_ratio(best, benchmark=0.7, cash_rate=rate, bars_per_year=year)
    theirs = measures.probabilistic_sharpe_ratio(best, benchmark_sharpe_ratio=0.7 / year**0.5, risk_free_rate=cash)
    assert ours == pytest.approx(theirs, abs=1e-10)
    assert expected_max_sharpe(12, 0.3) == pytest.approx(measures.expected_max_sharpe_ratio(12, 0.3), abs=1e-12)
    theirs = measures.deflated_sharpe_ratio(best, ratios / year**0.5, risk_free_rate=cash)
    for given_trials in (ratios, trials, np.append(ratios, np.nan)):
        ours = deflated_sharpe_ratio(best, trials=given_trials, cash_rate=rate, bars_per_year=year)
        assert ours == pytest.approx(theirs, abs=1e-10)


def test_where_libraries_differ_from_the_papers():
    """jsharpe takes the variance under the benchmark; purgedcv takes moments of a population."""
    benchmark = expected_max_sharpe(100, np.sqrt(0.5)) / np.sqrt(250)
    ratio = 2.5 / np.sqrt(250)
    variance = 1.0 + 3.0 * benchmark + (10.0 - 1.0) / 4.0 * benchmark**2
    under_the_benchmark = ndtr((ratio - benchmark) * np.sqrt(1250 / variance))
    assert under_the_benchmark == pytest.approx(0.9128, abs=5e-5)
    returns = fat_returns(1)
    population = returns.mean() / returns.std() * np.sqrt(252)
    assert population / sharpe_ratio(returns) - 1.0 == pytest.approx(0.5 / returns.size, rel=0.01)


@given(seed=st.integers(0, 99), leverage=st.floats(0.1, 10.0), year=st.floats(12.0, 400.0))
@PROPERTY
def test_neither_leverage_nor_the_unit_of_time_is_evidence(seed, leverage, year):
    returns = fat_returns(seed, 200)
    here = probabilistic_sharpe_ratio(returns)
    assert probabilistic_sharpe_ratio(np.maximum(returns * leverage, -1.0), bars_per_year=year) == pytest.approx(
        here, abs=1e-6
    )


@pytest.mark.parametrize("error", ["one", "largest"])
def test_more_trials_deflate_more(error):
    chances = [EXAMPLE.deflated(np.tile([2.5, 1.0], n), error=error) for n in (1, 10, 100, 1000)]
    assert all(np.diff(chances) < 0.0)
    assert EXAMPLE.deflated([2.5]) == EXAMPLE.probability_above(0.0)


ERROR = EXAMPLE.sharpe / ndtri(EXAMPLE.probability_above(0.0))


def spread_trials(n_trials, spread):
    """As many ratios, the example's the largest, with this standard deviation."""
    trials = np.linspace(-1.0, 0.0, n_trials)
    return EXAMPLE.sharpe + trials * (spread / trials.std(ddof=1))


def test_the_largest_of_copies_is_one_and_of_strangers_follows_sidak():
    assert EXAMPLE.deflated([2.5], error="largest") == EXAMPLE.probability_above(0.0)
    assert EXAMPLE.deflated(np.full(50, 2.5), error="largest") == EXAMPLE.probability_above(0.0)
    for spread in (ERROR, 3.0 * ERROR):  # farther apart than luck alone puts them: strangers, to be careful
        chance = EXAMPLE.deflated(spread_trials(50, spread), error="largest")
        assert chance == pytest.approx(EXAMPLE.probability_above(0.0) ** 50, rel=1e-9)


@pytest.mark.parametrize("shared", [0.0, 0.02, 0.5, 0.98, 0.9999, 1.0])
@pytest.mark.parametrize("n_trials", [2, 50, 10_000])
def test_the_law_of_the_largest_is_that_of_normal_ratios_that_share_luck(shared, n_trials):
    """Held against 400,000 draws: the largest of n normal numbers is Φ⁻¹(u^(1/n)). Their error is below .001."""
    rng = np.random.default_rng(n_trials)
    largest = ndtri(rng.random(400_000) ** (1.0 / n_trials))
    drawn = np.sqrt(shared) * rng.normal(size=400_000) + np.sqrt(1.0 - shared) * largest
    for level in (0.01, 0.5, 0.95):
        z = np.quantile(drawn, level)
        assert _largest_below(z, np.sqrt(1.0 - shared), n_trials) == pytest.approx(level, abs=3e-3)


def test_the_expected_maximum_is_that_of_normal_numbers():
    """Up to what the limit law of extremes leaves out: 1.2 % of the exact 2.249 for 50."""
    draws = np.random.default_rng(0).normal(size=(4000, 50)).max(axis=1)
    assert expected_max_sharpe(50, 2.0) == pytest.approx(2.0 * draws.mean(), rel=0.02)
    assert expected_max_sharpe(1, 2.0) == 0.0


def test_copies_are_one_trial_and_strangers_are_many():
    rng = np.random.default_rng(0)
    one = rng.normal(0.0, 0.01, (5000, 1))
    assert effective_trials(np.repeat(one, 7, axis=1)) == pytest.approx(1.0, abs=1e-9)
    assert effective_trials(np.hstack([one, np.zeros_like(one)])) == 1.0
    assert effective_trials(rng.normal(0.0, 0.01, (5000, 20))) == pytest.approx(20.0, abs=0.3)
    related = 0.6 * one + 0.8 * rng.normal(0.0, 0.01, (5000, 20))
    mean = np.corrcoef(related.T)[np.triu_indices(20, 1)].mean()
    assert effective_trials(related) == pytest.approx(mean + (1.0 - mean) * 20, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SharpeEvidence(1.0, 100, kurtosis=0.0), "kurtosis .* not its excess over 3"),
        (lambda: SharpeEvidence(1.0, 1), "n_bars must be at least 2"),
        (lambda: SharpeEvidence(np.nan, 100), "sharpe must be a finite number"),
        (lambda: SharpeEvidence(4.0, 9, 0.5, 1.25, 1).probability_above(0.0), "more than two values"),
        (lambda: probabilistic_sharpe_ratio(np.full(9, 0.01)), "returns must vary"),
        (lambda: probabilistic_sharpe_ratio(fat_returns(0), benchmark=np.inf), "benchmark must be a finite number"),
        (lambda: minimum_track_record_length(fat_returns(0), level=0.5), r"level must lie in \(0.5, 1\)"),
        (lambda: expected_max_sharpe(0.5, 1.0), "n_trials must be finite and at least 1"),
        (lambda: expected_max_sharpe(5, -1.0), "spread must be finite and not negative"),
        (lambda: deflated_sharpe_ratio(fat_returns(0), trials=[0.001, 0.002]), "must hold the chosen strategy"),
        (lambda: EXAMPLE.deflated([2.5], error="two"), "error must be 'one' or 'largest', got 'two'"),
        (lambda: deflated_sharpe_ratio(fat_returns(0), trials=[]), "must hold the chosen strategy"),
        (lambda: deflated_sharpe_ratio(fat_returns(0), trials=[np.inf]), "trials must be finite Sharpe ratios"),
        (lambda: effective_trials(np.ones((5, 700))), "give its transpose"),
        (lambda: effective_trials(np.array([[0.1, 0.2], [np.nan, 0.0]])), "got nan at bar 1 of strategy 0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
