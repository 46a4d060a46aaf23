"""The windows against their definition and against other libraries; the audit against what was really shown."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from skfolio.model_selection import WalkForward as SkfolioWalkForward
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score

from companion.backtest import WalkForward, walk_forward
from companion.heston import RegimeSwitchingHeston
from companion.regimes import EwmaKMeans

PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)


@st.composite
def splitters(draw):
    """A splitter of any kind and more bars than it needs for one window."""
    purge, refit_every = draw(st.integers(0, 9)), draw(st.integers(1, 30))
    window = draw(st.none() | st.integers(1, 40))
    first = purge + (window or 1) + draw(st.integers(0, 40))
    splitter = WalkForward(
        first, refit_every, window=window, purge=purge, embargo=draw(st.integers(0, refit_every - 1))
    )
    return splitter, first + draw(st.integers(1, 150))


def folds_of(splitter, n_bars):
    """The folds, if the embargo leaves a rolling window any bar."""
    try:
        return splitter.folds(n_bars)
    except ValueError:
        return reject()


@given(splitters())
@PROPERTY
def test_test_windows_are_disjoint_and_cover_everything_after_the_first(drawn):
    splitter, n_bars = drawn
    folds = folds_of(splitter, n_bars)
    tested = np.concatenate([np.arange(n_bars)[fold.test] for fold in folds])
    np.testing.assert_array_equal(tested, np.arange(splitter.first_test, n_bars))
    assert all(fold.test.stop - fold.test.start == splitter.refit_every for fold in folds[:-1])


@given(splitters())
@PROPERTY
def test_a_bar_is_fitted_on_if_and_only_if_the_definition_says_so(drawn):
    splitter, n_bars = drawn
    folds = folds_of(splitter, n_bars)
    for number, fold in enumerate(folds):
        stop = fold.test.start - splitter.purge
        oldest = 0 if splitter.window is None else stop - splitter.window
        embargoed = {earlier.test.stop + bar for earlier in folds[:number] for bar in range(splitter.embargo)}
        expected = [bar for bar in range(oldest, stop) if bar not in embargoed]
        assert fold.train.tolist() == expected


def test_purge_and_embargo_with_pencil_and_paper():
    splitter = WalkForward(4, 3, purge=1, embargo=2)
    assert [(train.tolist(), test.tolist()) for train, test in splitter.split(np.zeros(12))] == [
        ([0, 1, 2], [4, 5, 6]),  # bar 3 is purged
        ([0, 1, 2, 3, 4, 5], [7, 8, 9]),  # bar 6 is purged, 7 and 8 are embargoed for all that follow
        ([0, 1, 2, 3, 4, 5, 6], [10, 11]),  # bar 9 is purged
    ]


@given(n_splits=st.integers(2, 6), size=st.integers(1, 20), gap=st.integers(0, 5), extra=st.integers(1, 30))
@PROPERTY
def test_an_expanding_window_is_that_of_scikit_learn(n_splits, size, gap, extra):
    n_bars = n_splits * size + gap + extra
    theirs = TimeSeriesSplit(n_splits=n_splits, test_size=size, gap=gap).split(np.zeros(n_bars))
    ours = WalkForward(n_bars - n_splits * size, size, purge=gap)
    for (train, test), (their_train, their_test) in zip(ours.split(np.zeros(n_bars)), theirs, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, their_test)
    assert ours.get_n_splits(np.zeros(n_bars)) == n_splits


@given(window=st.integers(1, 30), size=st.integers(1, 20), purge=st.integers(0, 5), extra=st.integers(1, 60))
@PROPERTY
def test_a_rolling_window_is_that_of_skfolio(window, size, purge, extra):
    n_bars = window + purge + extra
    theirs = SkfolioWalkForward(size, window, purged_size=purge, reduce_test=True).split(np.zeros((n_bars, 1)))
    ours = WalkForward(window + purge, size, window=window, purge=purge).split(np.zeros(n_bars))
    for (train, test), (their_train, their_test) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, their_test)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_test": 0}, "first_test must be a positive integer, got 0"),
        ({"first_test": 20.0}, "first_test must be a positive integer, got 20.0"),
        ({"first_test": 20, "purge": 20}, "first_test must be at least 21, the purge and the training bars"),
        ({"first_test": 20, "window": 21}, "first_test must be at least 21"),
        ({"window": 0}, "window must be a positive integer, got 0"),
        ({"refit_every": 0}, "refit_every must be a positive integer, got 0"),
        ({"purge": -1}, "purge must be a non-negative integer, got -1"),
        ({"embargo": 10}, "embargo must be below refit_every=10, or no later fit learns anything, got 10"),
    ],
)
def test_bad_windows_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        WalkForward(**{"first_test": 50, "refit_every": 10} | change)


def test_too_few_bars_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="first_test=50 leaves none of 50 bars to predict: lower it, or give more"):
        WalkForward(50, 10).folds(50)
    with pytest.raises(ValueError, match="embargo=9 leaves no bar of the window before bar 30: lower it"):
        WalkForward(10, 10, window=5, purge=5, embargo=9).folds(40)
    with pytest.raises(ValueError, match="X must be given"):
        WalkForward(50, 10).get_n_splits()


def test_scikit_learn_searches_a_grid_with_it():
    market = RegimeSwitchingHeston.equity_index().simulate(n_paths=1, n_steps=2000, seed=5)
    returns, regime = market.log_returns[0], market.regime[0, 1:]
    splitter = WalkForward(1000, 250, purge=5, embargo=20)
    search = GridSearchCV(EwmaKMeans(), {"half_life": [2.0, 10.0]}, cv=splitter).fit(returns, regime)
    assert search.n_splits_ == splitter.get_n_splits(returns) == 4
    alone = cross_val_score(EwmaKMeans(half_life=10.0), returns, regime, cv=splitter)
    assert search.cv_results_["mean_test_score"][1] == pytest.approx(alone.mean())
    assert alone.mean() > 0.6


class Recorder(BaseEstimator):
    """Keeps the returns of each fit, and of each question."""

    fits: ClassVar[list[np.ndarray]] = []
    questions: ClassVar[list[np.ndarray]] = []

    def fit(self, X, y=None):
        self.fits.append(X.copy())
        return self

    def predict_proba(self, X):
        self.questions.append(X.copy())
        return np.full((X.size, 2), 0.5)


def bars_of(returns, all_returns):
    """The bars at which these returns were made."""
    bar = {value: number for number, value in enumerate(all_returns, start=1)}
    return np.array([bar[value] for value in returns], dtype=int)


@given(splitters(), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=100)
def test_no_fit_saw_its_own_future_and_the_audit_says_what_it_saw(drawn, dated):
    splitter, n_bars = drawn
    folds = folds_of(splitter, n_bars)
    rng = np.random.default_rng(n_bars)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n_bars)))
    all_returns = np.diff(np.log(close))
    assert len(set(all_returns)) == n_bars - 1
    Recorder.fits.clear()
    Recorder.questions.clear()
    prices = pd.Series(close, pd.bdate_range("2000-01-03", periods=n_bars)) if dated else close
    result = walk_forward(prices, Recorder(), splitter=splitter, bars_per_year=252)

    del Recorder.questions[1]  # the check of causality
    assert len(Recorder.fits) == len(Recorder.questions) == len(result.audit) == len(folds)
    for row, fit, question in zip(result.audit.itertuples(), Recorder.fits, Recorder.questions, strict=True):
        saw, asked = bars_of(fit, all_returns), bars_of(question, all_returns)
        assert asked.tolist() == list(range(1, row.test_last + 1))  # the past for memory, nothing behind the window
        assert row.n_fit == len(saw)
        assert (saw < row.test_first - splitter.purge).all()
        if splitter.window is not None:
            assert (saw >= row.test_first - splitter.purge - splitter.window).all()
        for earlier in result.audit["test_last"][: row.Index - 1]:
            assert not ((saw > earlier) & (saw <= earlier + splitter.embargo)).any()
        if len(saw):
            assert [row.fit_first, row.fit_last] == [saw.min(), saw.max()]
    for offset, (first, last) in enumerate(zip(result.fit_first, result.fit_last, strict=True)):
        bar = splitter.first_test + offset
        assert first <= last < bar - splitter.purge
    assert len(result.position) == len(result.fit_last) == n_bars - splitter.first_test
