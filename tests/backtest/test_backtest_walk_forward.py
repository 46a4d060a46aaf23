"""Walk forward: the windows, and that nothing but the past gets into a probability."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from companion.backtest import walk_forward_probabilities, walk_forward_splits

PROPERTY = settings(derandomize=True, deadline=None, max_examples=200)


class Loud(BaseEstimator):
    """A causal estimator that says what it was fitted on: P = logistic of (running mean of |r|, less fitted mean)."""

    def fit(self, X, y=None):
        self.level_ = np.mean(np.abs(X))
        self.n_fit_ = X.size
        return self

    def predict_proba(self, X):
        running = np.cumsum(np.abs(X)) / np.arange(1, X.size + 1)
        chaos = 1.0 / (1.0 + np.exp(-100.0 * (running - self.level_)))
        return np.column_stack([1.0 - chaos, chaos])


class Smoother(Loud):
    """The same, read from the end: a look-ahead in the guise of a filter."""

    def predict_proba(self, X):
        return super().predict_proba(X[::-1])[::-1]


class Windows(Loud):
    """Reports the number of bars it was fitted on as its probability."""

    def predict_proba(self, X):
        return np.full((X.size, 2), float(self.n_fit_))


@given(st.integers(2, 300), st.data())
@PROPERTY
def test_test_windows_are_disjoint_and_cover_everything_after_the_first(n_bars, data):
    first = data.draw(st.integers(1, n_bars - 1))
    purge = data.draw(st.integers(0, first - 1))
    refit = data.draw(st.integers(1, n_bars))
    splits = walk_forward_splits(n_bars, first_test=first, refit_every=refit, purge=purge)
    tested = np.concatenate([np.arange(n_bars)[test] for _, test in splits])
    np.testing.assert_array_equal(tested, np.arange(first, n_bars))
    for train, test in splits:
        bars = np.arange(n_bars)[train]
        assert bars[0] == 0
        assert bars[-1] == test.start - purge - 1
        assert test.stop - test.start <= refit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_test": 0}, "first_test"),
        ({"first_test": 100}, "first_test"),
        ({"first_test": 20, "purge": 20}, "first_test must lie above purge=20"),
        ({"refit_every": 0}, "refit_every"),
        ({"purge": -1}, "purge"),
    ],
)
def test_bad_windows_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        walk_forward_splits(100, **{"first_test": 50, "refit_every": 10} | change)


def test_each_window_is_fitted_on_its_own_past():
    returns = np.random.default_rng(0).normal(0.0, 0.01, 100)
    got = walk_forward_probabilities(Windows(), returns, first_test=40, refit_every=25, purge=5)
    assert np.isnan(got[:40]).all()
    np.testing.assert_array_equal(got[40:, 0], np.repeat([35.0, 60.0, 85.0], [25, 25, 10]))


@pytest.mark.parametrize("bar", [50, 64, 65, 99])
def test_the_future_does_not_move_the_past(bar):
    returns = np.random.default_rng(1).normal(0.0, 0.01, 100)
    changed = returns.copy()
    changed[bar:] *= -7.0
    past = walk_forward_probabilities(Loud(), returns, first_test=40, refit_every=25)
    other = walk_forward_probabilities(Loud(), changed, first_test=40, refit_every=25)
    np.testing.assert_array_equal(past[40:bar], other[40:bar])
    assert not np.array_equal(past[bar:], other[bar:])


def test_the_estimator_is_never_shown_what_comes_after_its_window():
    class Witness(Loud):
        shown: ClassVar[list[int]] = []

        def predict_proba(self, X):
            self.shown.append(X.size)
            return super().predict_proba(X)

    returns = np.random.default_rng(1).normal(0.0, 0.01, 100)
    walk_forward_probabilities(Witness(), returns, first_test=40, refit_every=25)
    # The second call is the check of causality on the first half of the first window.
    assert Witness.shown == [65, 33, 90, 100]


def test_the_filter_enters_a_window_with_its_memory():
    returns = np.random.default_rng(2).normal(0.0, 0.01, 100)
    got = walk_forward_probabilities(Loud(), returns, first_test=40, refit_every=60)
    np.testing.assert_array_equal(got[40:], Loud().fit(returns[:40]).predict_proba(returns)[40:])


@pytest.mark.parametrize("dated", [False, True])
def test_a_failed_fit_is_named_with_its_window_and_its_reason(dated):
    class Stubborn(Loud):
        def fit(self, X, y=None):
            if X.size > 60:
                raise ValueError("one regime is empty")
            return super().fit(X)

    returns = pd.Series(np.random.default_rng(2).normal(0.0, 0.01, 100), pd.date_range("2020-01-01", periods=100))
    spans = (
        "2020-01-01 to 2020-03-05 to predict 2020-03-06 to 2020-03-30" if dated else "bars 0 to 64 to predict bars 65"
    )
    with pytest.raises(ValueError, match=f"Stubborn in window 2 of 3, fitted on {spans}.*: one regime is empty"):
        walk_forward_probabilities(Stubborn(), returns if dated else returns.to_numpy(), first_test=40, refit_every=25)


def test_a_smoother_is_refused():
    returns = np.random.default_rng(3).normal(0.0, 0.01, 100)
    with pytest.raises(ValueError, match="Smoother is not causal"):
        walk_forward_probabilities(Smoother(), returns, first_test=40, refit_every=25)


def test_the_estimator_itself_stays_unfitted_and_progress_is_told():
    estimator, seen = Loud(), []
    returns = np.random.default_rng(4).normal(0.0, 0.01, 100)
    walk_forward_probabilities(
        estimator, returns, first_test=40, refit_every=25, progress=lambda *step: seen.append(step)
    )
    assert not hasattr(estimator, "level_")
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("returns", "message"),
    [(np.zeros((2, 50)), "log_returns must have shape"), (np.append(np.zeros(99), np.nan), "log_returns.99. ")],
)
def test_bad_returns_are_refused_by_name(returns, message):
    with pytest.raises(ValueError, match=message):
        walk_forward_probabilities(Loud(), returns, first_test=40, refit_every=25)


def test_a_wrong_shape_from_the_estimator_is_refused():
    class OneColumn(Loud):
        def predict_proba(self, X):
            return np.zeros(X.size)

    with pytest.raises(ValueError, match="one row a bar"):
        walk_forward_probabilities(OneColumn(), np.zeros(100), first_test=40, refit_every=25)
