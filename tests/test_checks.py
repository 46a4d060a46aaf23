"""One check for a series of log returns: what is one passes, what is none is refused with the remedy."""

import datetime as dt
import math
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion._checks import (
    FEWEST_TO_JUDGE,
    LARGEST_LOG_RETURN,
    as_paths,
    check_log_returns,
    check_series,
    decay,
    need,
)
from companion.datasets import excess_kurtosis, load_sp500, load_sp500_close, log_returns
from companion.errors import InputError
from companion.evaluation import inject_faults
from companion.heston import RegimeSwitchingHeston, bayes_filter
from companion.mamba import MarketMambaConfig, TrainConfig, latents, load_pretrained, train
from companion.regimes import EwmaKMeans

PROPERTY = settings(derandomize=True, deadline=None, max_examples=200)
REMEDY = "give log returns, as `companion.datasets.log_returns"
SEED = st.integers(0, 2**32 - 1)
N_BARS = st.integers(FEWEST_TO_JUDGE, 400)


def walk(seed, n_bars, volatility=0.01, degrees=3.0):
    """Log price that begins at zero, with returns of Student's t: heavy tails."""
    rng = np.random.default_rng(seed)
    return np.cumsum(volatility / math.sqrt(3.0) * rng.standard_t(degrees, n_bars))


# What is a series of log returns: no false alarm.


@given(SEED, N_BARS, st.floats(1e-6, 0.15), st.floats(-0.3, 0.5))
@PROPERTY
def test_returns_of_any_market_pass(seed, n_bars, volatility, persistence):
    """Heavy tails, any volatility from a stablecoin's minutes to a coin's weeks, momentum or reversal up to a half."""
    noise = np.diff(walk(seed, n_bars + 51, volatility))
    returns = np.zeros(n_bars + 50)
    for t in range(1, n_bars + 50):
        returns[t] = persistence * returns[t - 1] + noise[t]
    returns = np.clip(returns[50:], -LARGEST_LOG_RETURN, LARGEST_LOG_RETURN)
    paths, single = as_paths(returns)
    assert single
    np.testing.assert_array_equal(paths, returns[None])


@given(SEED, N_BARS, st.floats(0.0, 0.008), st.floats(0.0, 0.3))
@PROPERTY
def test_a_fund_that_only_accrues_passes(seed, n_bars, rate, wobble):
    """A money market: every return of one sign, and each like the last; in a hyperinflation almost 1 % a bar."""
    steps = np.random.default_rng(seed).uniform(-wobble, wobble, n_bars)
    as_paths(np.clip(rate * np.exp(np.cumsum(steps) / math.sqrt(n_bars)), 0.0, 0.0099))


@given(N_BARS, st.floats(1e-5, 0.0099), st.floats(2.0, 2000.0))
@PROPERTY
def test_smooth_synthetic_returns_pass(n_bars, size, period):
    as_paths(size * np.sin(2 * math.pi * np.arange(n_bars) / period))


@given(SEED, st.integers(0, 80), st.integers(1, 400), st.floats(-LARGEST_LOG_RETURN, LARGEST_LOG_RETURN))
@PROPERTY
def test_a_feed_that_is_stuck_is_no_price(seed, before, frozen, value):
    """A healthy feed that repeats one return, or none, from some bar on is for the safety rules to see."""
    healthy = np.diff(walk(seed, before + 1))
    for stuck in (0.0, math.copysign(min(abs(value), 0.25), value)):
        as_paths(np.concatenate([healthy, np.full(frozen, stuck)]))


@given(st.lists(st.floats(-LARGEST_LOG_RETURN, LARGEST_LOG_RETURN), min_size=1, max_size=FEWEST_TO_JUDGE - 1))
@PROPERTY
def test_a_few_bars_are_not_judged(returns):
    paths, _ = as_paths(returns)
    assert paths.dtype == np.float64


def test_real_and_simulated_markets_pass_whole_and_in_pieces():
    real = np.concatenate([log_returns(load_sp500_close()).to_numpy(), log_returns(load_sp500()["close"]).to_numpy()])
    simulated = RegimeSwitchingHeston.equity_index().simulate(n_paths=50, n_steps=1500, seed=1).log_returns
    for returns in (real, simulated.reshape(-1)):
        as_paths(returns)
        for n in (30, 60, 250):
            as_paths(returns[: len(returns) // n * n].reshape(-1, n))
    weekly = real[: len(real) // 5 * 5].reshape(-1, 5).sum(axis=1)
    as_paths(weekly[: len(weekly) // 30 * 30].reshape(-1, 30))


# What is none: no false pass.


@given(SEED, N_BARS, st.floats(1e-4, 0.03), st.floats(1e-3, 1e6))
@PROPERTY
def test_prices_are_refused(seed, n_bars, volatility, start):
    """Of any currency, from a coin's thousandth to an index: with a level near 1, exchange rates, as well as 100."""
    price = start * np.exp(walk(seed, n_bars, volatility, degrees=5.0))
    if np.sqrt(np.mean(price**2)) > 0.02:
        with pytest.raises(ValueError, match=r"^(X|X\[\d+\]) must be .*give log returns"):
            as_paths(price)


@given(SEED, N_BARS, st.floats(1e-4, 0.02), st.floats(0.3, 9.0), st.sampled_from([-1, 1]))
@PROPERTY
def test_log_prices_are_refused(seed, n_bars, volatility, start, sign):
    """Far from zero as those of shares, or near it as those of an exchange rate of 1.35 or .74."""
    steps = np.random.default_rng(seed).standard_normal(n_bars)
    with pytest.raises(ValueError, match=f"^X must be log returns, got what moves like prices or log prices: {REMEDY}"):
        as_paths(sign * start + volatility * np.cumsum(steps) / math.sqrt(n_bars))


def _is_refused(series):
    try:
        as_paths(series)
    except ValueError:
        return True
    return False


def test_an_index_rebased_to_one_is_refused_nearly_always():
    """Its log begins at zero; the longer it is, the surer."""
    for n_bars, least in ((100, 0.9), (250, 0.99), (1000, 1.0)):
        assert np.mean([_is_refused(walk(seed, n_bars)) for seed in range(200)]) >= least


@given(SEED, N_BARS, st.floats(0.7, 4.0))
@PROPERTY
def test_returns_in_percent_are_refused(seed, n_bars, percent):
    """From 1.1 times the volatility of an index on: a Gaussian's median size is .67 of its volatility."""
    returns = percent * np.random.default_rng(seed).standard_normal(n_bars)
    if np.median(np.abs(returns)) > 0.31:
        with pytest.raises(ValueError, match=r"X must be log returns, got most of them beyond ±0\.3: divide percent"):
            as_paths(np.clip(returns, -LARGEST_LOG_RETURN, LARGEST_LOG_RETURN))


def test_one_bad_path_among_good_ones_is_named():
    good = np.random.default_rng(0).normal(0, 0.01, (5, 100))
    for bad, told in ((4.6 + np.cumsum(good[3]), "moves like prices"), (100 * good[3], "percent")):
        with pytest.raises(ValueError, match=rf"^returns\[3\] must be log returns, .*{told}"):
            as_paths(np.vstack([good[:3], bad, good[4:]]), name="returns")


DATES = pd.date_range("2024-01-01", periods=4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"close": [0.01, 0.02]}), r"^X must be one series .* got a table with columns: give one column"),
        (pd.Series([0.01] * 4, index=DATES[::-1]), "^X must have dates that ascend.*sort_index"),
        (pd.Series([0.01] * 4, index=DATES[[0, 1, 1, 2]]), "^X must have dates that ascend, each once"),
        (pd.Series([0.01] * 4, index=DATES[::-1].tz_localize("UTC")), "^X must have dates that ascend"),
        (pd.Series([0.01] * 2, index=[dt.date(2024, 1, 2), dt.date(2024, 1, 1)]), "^X must have dates that ascend"),
        (pd.Series([0.01] * 4, index=DATES[::-1].to_period("D")), "^X must have dates that ascend"),
        (pd.Series([0.01] * 4, index=DATES.astype(str)), "^X must have dates as its index, got text, '2024-01-01'"),
        (pd.Series([0.01] * 2, index=["31.12.2023", "1.1.2024"]), "^X must have dates as its index, got text"),
        (pd.Series([0.01, pd.NA], dtype="Float64"), r"^X\[1\] must be a log return.* got nan"),
        (["0.01", "0.02"], "^X must be an array of numbers"),
        (np.array(["0.01", 0.02], dtype=object), "^X must be an array of numbers, got one of text"),
        ([True, False], "^X must be an array of numbers, got one of bool"),
        ([0.1 + 0.1j], "^X must be an array of numbers, got one of complex"),
        (DATES, "^X must be an array of numbers, got one of datetime64"),
        ([[0.01], [0.02, 0.03]], "^X must be an array of numbers"),
        (np.ma.masked_array([0.01, 0.02], mask=[False, True]), r"^X\[1\] must be a log return.* got nan"),
        (None, "^X must have shape"),
        (0.01, r"^X must have shape \(n_bars,\) or \(n_paths, n_bars\), got \(\)"),
        (np.zeros((2, 2, 2)), r"^X must have shape .* got \(2, 2, 2\)"),
        ([], r"^X must hold at least one bar, got shape \(0,\)"),
        (np.zeros((9, 1)), r"^X must have its bars along the last axis.*give X\[:, 0\]"),
        ([0.01, math.nan], r"^X\[1\] must be a log return, a number between ±10, got nan"),
        ([[0.01, 0.1], [-math.inf, 0.0]], r"^X\[1, 0\] must be a log return"),
        ([102.87], rf"^X\[0\] must be a log return.* got 102.87: {REMEDY}"),
    ],
)
def test_what_is_no_series_is_refused_with_the_remedy(given, message):
    with pytest.raises(ValueError, match=message) as refused:
        as_paths(given)
    assert str(refused.value).isprintable()


def test_what_comes_in_goes_out():
    dated = pd.Series([0.01, -0.02, 0.0, 0.03], index=DATES)
    paths, single = as_paths(dated)
    assert (paths.shape, single, paths.dtype) == ((1, 4), True, np.float64)
    many, single = as_paths(np.asfortranarray(np.zeros((2, 3), dtype=np.float32)))
    assert (many.shape, single, many.flags.c_contiguous) == ((2, 3), False, True)
    assert check_log_returns(dated).shape == (4,)
    assert check_log_returns([[0.01, 0.02]]).shape == (1, 2)
    np.testing.assert_array_equal(check_series([5.0, math.nan]), [5.0, math.nan])


CLOSE = 100 * np.exp(0.01 * np.cumsum(np.random.default_rng(0).standard_normal(400)))
RETURNS = np.diff(np.log(CLOSE))
TINY = TrainConfig(MarketMambaConfig(d_model=4, n_layers=1, horizons=(5,)), steps=2, batch=2, length=32)
DOORS = {
    "EwmaKMeans.fit": lambda x: EwmaKMeans().fit(x),
    "latents": lambda x: latents(load_pretrained(), x),
    "train": lambda x: train(x, TINY, seed=0),
    "bayes_filter": lambda x: bayes_filter(x, RegimeSwitchingHeston.equity_index(), n_particles=10, seed=0),
    "excess_kurtosis": excess_kurtosis,
    "inject_faults": lambda x: inject_faults(x if hasattr(x, "columns") else [x], start=100, seed=0),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_refuses_tables_prices_and_log_prices(door):
    bad = {
        "must be a log return": CLOSE,
        "prices or log prices": np.log(CLOSE),
        "divide percent": 100 * RETURNS,
        "give one column": pd.DataFrame({"close": RETURNS}),
    }
    for told, x in bad.items():
        with pytest.raises(ValueError, match=told):
            DOORS[door](x)
    DOORS[door](RETURNS)


@given(st.floats(1e-3, 1e6))
@PROPERTY
def test_half_of_a_weight_is_gone_after_a_half_life(half_life):
    assert decay(half_life) ** half_life == pytest.approx(0.5)


@pytest.mark.parametrize("half_life", [0, -1.0, math.nan, math.inf, "ten", True])
def test_a_half_life_is_a_positive_number(half_life):
    with pytest.raises(ValueError, match=r"^half_life must be a positive finite number"):
        decay(half_life)


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch):
    assert need("math", "none") is math
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(
        InputError, match=r"duckdb is not installed: pip install 'modeling-financial-chaos\[liquidity\]'"
    ):
        need("duckdb", "liquidity")
