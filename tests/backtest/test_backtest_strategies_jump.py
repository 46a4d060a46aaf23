"""The cross-validated jump model: its fit against the library, its calls against every sequence, its choice by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from jumpmodels.jump import JumpModel

from companion.backtest import CrossValidatedJumpModel, WalkForward, run_backtest, walk_forward
from companion.backtest._jump_strategy import WARM_UP, Fit, _descend, _features, _fit, _online
from companion.heston import RegimeSwitchingHeston

MARKET = RegimeSwitchingHeston.equity_index().simulate(n_paths=1, n_steps=1900, seed=8)
RETURNS = MARKET.log_returns[0]
SMALL = CrossValidatedJumpModel(penalties=(5.0, 30.0, 100.0), validation=500, window=900)


def standardized():
    features = _features(RETURNS)[WARM_UP:]
    return (features - features.mean(axis=0)) / features.std(axis=0)


def test_the_features_are_those_of_the_paper():
    """Exponential weights by half-life, normalized: downside deviation at 10 bars, Sortino ratios at 20 and 60."""

    def mean(values, half_life):
        weights = 0.5 ** (np.arange(len(values))[::-1] / half_life)
        return weights @ values / weights.sum()

    losses = np.minimum(RETURNS[:300], 0.0) ** 2
    expected = [np.sqrt(mean(losses, 10))] + [mean(RETURNS[:300], h) / np.sqrt(mean(losses, h)) for h in (20, 60)]
    np.testing.assert_allclose(_features(RETURNS)[299], expected, rtol=1e-9)


@pytest.mark.parametrize("penalty", [5.0, 30.0, 100.0])
def test_the_fit_is_as_cheap_as_that_of_the_library(penalty):
    z = standardized()
    library = JumpModel(n_components=2, jump_penalty=penalty, n_init=5, random_state=0).fit(z)
    starts = [z[:, 0] > np.quantile(z[:, 0], level) for level in (0.5, 0.7, 0.9)]
    cost, chaos, centers = min((_descend(z, start, penalty) for start in starts), key=lambda found: found[0])
    assert cost <= library.val_ * (1 + 1e-9)
    by_deviation = np.argsort(library.centers_[:, 0])
    np.testing.assert_allclose(centers, library.centers_[by_deviation], atol=0.02)
    assert np.mean(chaos == (library.labels_ == by_deviation[1])) > 0.99


@pytest.mark.parametrize("penalty", [0.5, 3.0])
def test_calls_and_states_are_the_cheapest_of_all_sequences(penalty):
    z = standardized()[400:410]
    centers = np.array([[-0.4, 0.3, 0.2], [0.8, -0.5, -0.6]])
    loss = 0.5 * ((z[:, None] - centers) ** 2).sum(axis=2)

    def cost(states):
        return loss[range(len(states)), states].sum() + penalty * np.count_nonzero(np.diff(states))

    online = _online(z, Fit(np.zeros(3), np.ones(3), centers), penalty)
    for n in range(1, 11):
        best = min(itertools.product((0, 1), repeat=n), key=cost)
        assert online[n - 1] == best[-1]


def test_the_stable_state_is_the_one_that_earned_more():
    fit = _fit(_features(RETURNS), RETURNS, 30.0)
    chaos = _online(_features(RETURNS), fit, 30.0)[WARM_UP:]
    assert RETURNS[WARM_UP:][chaos == 0].mean() > RETURNS[WARM_UP:][chaos == 1].mean()
    assert fit.centers[0, 0] < fit.centers[1, 0]


def test_the_penalty_is_that_of_the_best_sharpe_ratio_by_hand():
    model = SMALL.fit(RETURNS)
    first, features = len(RETURNS) - 500, _features(RETURNS)
    sharpes = []
    for penalty in SMALL.penalties:
        calls = []
        for start in range(first, len(RETURNS), 126):
            stop, oldest = min(start + 126, len(RETURNS)), start - 900
            fit = _fit(features[oldest:start], RETURNS[oldest:start], penalty)
            calls.append(_online(features[oldest:stop], fit, penalty)[start - oldest :])
        close = np.exp(np.cumsum(RETURNS[first:]))
        sharpes.append(run_backtest(close, 1.0 - np.concatenate(calls)).performance().sharpe)
    np.testing.assert_allclose(model.sharpes_, sharpes)
    assert model.penalty_ == SMALL.penalties[int(np.nanargmax(sharpes))]


def test_of_two_that_did_equally_well_the_larger_penalty_is_taken():
    model = CrossValidatedJumpModel(penalties=(1e6, 1e7), validation=250).fit(RETURNS)
    assert model.sharpes_[0] == model.sharpes_[1]  # neither ever switched
    assert model.penalty_ == 1e7


def test_it_reads_the_past_alone_and_walks_forward():
    model = SMALL.fit(RETURNS[:1200])
    calls = model.predict_proba(RETURNS)
    assert set(calls[:, 1]) == {0.0, 1.0}
    np.testing.assert_array_equal(model.predict_proba(RETURNS[:700]), calls[:700])
    close = pd.Series(np.exp(np.cumsum(RETURNS)))
    changed = close.copy()
    changed.iloc[1700:] *= 0.5
    one, other = (walk_forward(c, SMALL, splitter=WalkForward(1300, 300)) for c in (close, changed))
    np.testing.assert_array_equal(one.position[:400], other.position[:400])
    assert one.audit["fit_last"].tolist() == [1299, 1599]


@pytest.mark.parametrize(
    ("model", "returns", "message"),
    [
        (CrossValidatedJumpModel(), RETURNS[:999], "X must have at least 1000 bars to choose a penalty on, got 999"),
        (CrossValidatedJumpModel(), np.zeros(1200), "X must show two regimes, got a feature that is the same"),
        (CrossValidatedJumpModel(), np.stack([RETURNS, RETURNS]), r"X must have shape \(n_bars,\), got \(2, 1900\)"),
        (CrossValidatedJumpModel(()), RETURNS, r"penalties must be positive and ascend, got \(\)"),
        (CrossValidatedJumpModel((5.0, 5.0)), RETURNS, "penalties must be positive and ascend"),
        (CrossValidatedJumpModel(refit_every=0), RETURNS, "refit_every must be a positive integer, got 0"),
        (CrossValidatedJumpModel(delay=-1), RETURNS, "delay must be"),
    ],
)
def test_bad_input_is_refused_by_name(model, returns, message):
    with pytest.raises(ValueError, match=message):
        model.fit(returns)
