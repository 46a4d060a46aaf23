"""Walk forward: what a strategy is shown, what is kept of its answers, and what is refused."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from companion.backtest import (
    Dimmer,
    Frozen,
    MovingAverage,
    Ramp,
    WalkForward,
    ZeroOne,
    buy_and_hold,
    run_backtest,
    walk_forward,
)
from companion.regimes import EwmaKMeans, hysteresis
from companion.risk import DimmerSteps, dimmer, ramp

SPLITTER = WalkForward(40, 25)
DATES = pd.bdate_range("2020-01-01", periods=101)
RETURNS = np.random.default_rng(0).normal(0.0, 0.01, 100)
CLOSE = pd.Series(100.0 * np.exp(np.concatenate([[0.0], np.cumsum(RETURNS)])), DATES)


class Loud(BaseEstimator):
    """A causal estimator that says what it was fitted on: P = logistic of (running mean of |r|, less fitted mean)."""

    def fit(self, X, y=None):
        self.level_ = np.mean(np.abs(X))
        self.n_fit_ = X.size
        return self

    def predict_proba(self, X):
        running = np.cumsum(np.abs(X)) / np.arange(1, X.size + 1)
        chaos = 1.0 / (1.0 + np.exp(-1000.0 * (running - self.level_)))
        return np.column_stack([1.0 - chaos, chaos])


class Smoother(Loud):
    """The same, read from the end: a look-ahead in the guise of a filter."""

    def predict_proba(self, X):
        return super().predict_proba(X[::-1])[::-1]


class Windows(Loud):
    """Reports a thousandth of the number of returns it was fitted on as its probability."""

    def predict_proba(self, X):
        return np.full((X.size, 2), self.n_fit_ / 1000)


class Momentum(BaseEstimator):
    """A strategy that is fitted and decides the weights: is the last return above the fitted mean?"""

    def fit(self, X, y=None):
        self.mean_ = X.mean()
        return self

    def __call__(self, close):
        return (np.log(close).diff() > self.mean_).astype(float)


def test_each_window_is_fitted_on_its_own_past():
    result = walk_forward(CLOSE, Windows(), splitter=WalkForward(41, 25, purge=5))
    np.testing.assert_array_equal(result.p_chaos, np.repeat([0.035, 0.060, 0.085], [25, 25, 10]))
    assert result.p_chaos.index.equals(DATES[41:])
    assert result.audit["n_fit"].tolist() == [35, 60, 85]


def test_a_rolling_window_forgets():
    result = walk_forward(CLOSE, Windows(), splitter=WalkForward(41, 25, window=20))
    assert set(result.p_chaos) == {0.020}
    assert result.audit["fit_first"].tolist() == [21, 46, 71]


@pytest.mark.parametrize("bar", [50, 65, 66, 99])
@pytest.mark.parametrize("strategy", [Loud(), Momentum(), MovingAverage(10)], ids=["detector", "fitted", "function"])
def test_the_future_does_not_move_the_past(strategy, bar):
    changed = CLOSE.copy()
    changed.iloc[bar:] *= np.exp(np.linspace(0.03, -0.5, 101 - bar))
    past, other = (walk_forward(close, strategy, splitter=SPLITTER) for close in (CLOSE, changed))
    for name in ("position", "p_chaos"):
        if getattr(past, name) is not None:
            np.testing.assert_array_equal(getattr(past, name)[: bar - 40], getattr(other, name)[: bar - 40])
    np.testing.assert_array_equal(past.backtest.returns[: bar - 40], other.backtest.returns[: bar - 40])


def test_the_strategy_is_never_shown_what_comes_after_its_window():
    class Witness(Loud):
        shown: ClassVar[list[int]] = []

        def predict_proba(self, X):
            self.shown.append(X.size)
            return super().predict_proba(X)

    walk_forward(CLOSE, Witness(), splitter=SPLITTER)
    assert Witness.shown == [64, 32, 89, 100]  # the second call is the check of causality on half of the first window


def test_a_function_sees_the_closes_up_to_the_end_of_its_window():
    shown = []

    def witness(close):
        shown.append(len(close))
        close.iloc[:] = 1.0  # its own copy
        return np.zeros(len(close))

    walk_forward(CLOSE, witness, splitter=SPLITTER)
    assert shown == [65, 33, 90, 101]


def test_the_filter_enters_a_window_with_its_memory():
    result = walk_forward(CLOSE, Loud(), splitter=WalkForward(40, 61))
    alone = Loud().fit(np.diff(np.log(CLOSE))[:39]).predict_proba(np.diff(np.log(CLOSE)))
    np.testing.assert_array_equal(result.p_chaos, alone[39:, 1])


@pytest.mark.parametrize("strategy", [buy_and_hold, MovingAverage(20)])
def test_a_function_walked_forward_is_the_backtest_of_its_own_positions(strategy):
    trading = {"delay": 2, "cost_bp": 25.0, "cash_rate": 0.03, "bars_per_year": 260.0}
    result = walk_forward(CLOSE, strategy, splitter=SPLITTER, **trading)
    expected = run_backtest(CLOSE[40:], strategy(CLOSE)[40:], **trading)
    pd.testing.assert_series_equal(result.position, strategy(CLOSE)[40:], check_names=False)
    pd.testing.assert_frame_equal(result.backtest.to_frame(), expected.to_frame())
    assert result.p_chaos is None


def test_a_fitted_function_is_fitted_anew_in_each_window():
    result = walk_forward(CLOSE, Momentum(), splitter=SPLITTER)
    returns = np.diff(np.log(CLOSE))
    levels = np.repeat([returns[: stop - 1].mean() for stop in (40, 65, 90)], [25, 25, 11])
    np.testing.assert_array_equal(result.position, (returns[39:] > levels).astype(float))
    assert result.audit["fitted"].unique().tolist() == ["window"]


def test_the_memory_of_a_rule_runs_through_the_windows():
    walked = walk_forward(CLOSE, Loud(), splitter=WalkForward(40, 7), rule=ZeroOne(0.6, 0.4))
    expected = 1.0 - hysteresis(walked.p_chaos, enter_chaos=0.6, leave_chaos=0.4)
    np.testing.assert_array_equal(walked.position, expected)
    assert np.abs(np.diff(walked.position)).sum() > 0


def test_the_dimmer_is_that_of_the_desk_step_by_step():
    p_chaos = np.random.default_rng(1).random(300)
    steps, leverage, held = DimmerSteps(on_above=0.7), [], 0.0
    for p in p_chaos:
        held = dimmer(float(1.0 - p), steps=steps, previous=held)
        leverage.append(held)
    np.testing.assert_array_equal(Dimmer(steps)(p_chaos), leverage)
    np.testing.assert_array_equal(Ramp(0.2, 0.8, 2.0)(p_chaos), ramp(1.0 - p_chaos, low=0.2, high=0.8, maximum=2.0))


def test_rules_are_checked_when_they_are_made():
    with pytest.raises(ValueError, match="enter_chaos and leave_chaos must satisfy"):
        ZeroOne(0.2, 0.3)
    with pytest.raises(ValueError, match="low and high must satisfy"):
        Ramp(0.9, 0.5)


def test_a_frozen_detector_is_asked_once_and_never_fitted():
    detector = Loud().fit(np.random.default_rng(9).normal(0.0, 0.01, 50))
    result = walk_forward(CLOSE, Frozen(detector), splitter=SPLITTER)
    np.testing.assert_array_equal(result.p_chaos, detector.predict_proba(np.diff(np.log(CLOSE)))[39:, 1])
    assert result.audit[["fitted", "n_fit", "test_first", "test_last"]].values.tolist() == [["before", 0, 40, 100]]
    assert result.audit["fit_last_date"].isna().all()
    assert set(result.fit_first) == set(result.fit_last) == {-1}


def test_an_unfitted_detector_is_not_frozen():
    with pytest.raises(ValueError, match=r"EwmaKMeans in window 1 of 1, asked about .*not fitted"):
        walk_forward(CLOSE, Frozen(EwmaKMeans()), splitter=SPLITTER)


def test_the_audit_names_bars_and_dates():
    audit = walk_forward(CLOSE, Loud(), splitter=WalkForward(40, 25, purge=3, embargo=2)).audit
    assert audit.index.tolist() == [1, 2, 3]
    assert audit["fit_last"].tolist() == [36, 61, 86]
    assert audit["n_fit"].tolist() == [36, 61, 84]  # bars 65 and 66 are embargoed from the third fit on
    assert audit["test_first_date"].tolist() == [*DATES[[40, 65, 90]]]
    assert audit["fit_last_date"].tolist() == [*DATES[[36, 61, 86]]]
    undated = walk_forward(CLOSE.to_numpy(), Loud(), splitter=SPLITTER).audit
    assert "fit_last_date" not in undated


def test_a_cash_rate_per_bar_is_that_of_the_test_bars():
    rate = np.linspace(0.0, 0.05, 101)
    whole, cut = (walk_forward(CLOSE, MovingAverage(20), splitter=SPLITTER, cash_rate=r) for r in (rate, rate[40:]))
    np.testing.assert_array_equal(whole.backtest.equity, cut.backtest.equity)


@pytest.mark.parametrize("dated", [False, True])
def test_a_failed_fit_is_named_with_its_window_and_its_reason(dated):
    class Stubborn(Loud):
        def fit(self, X, y=None):
            if X.size > 60:
                raise ValueError("one regime is empty")
            return super().fit(X)

    spans = "2020-01-01 to 2020-03-31, asked about 2020-04-01 to" if dated else "bar 0 to bar 64, asked about bar 65 to"
    with pytest.raises(ValueError, match=f"Stubborn in window 2 of 3, fitted on {spans} .*: one regime is empty"):
        walk_forward(CLOSE if dated else CLOSE.to_numpy(), Stubborn(), splitter=SPLITTER)


def test_a_smoother_is_refused():
    with pytest.raises(
        ValueError, match=r"Smoother is not causal: later bars move what it said at 2020-01-02 .* finds"
    ):
        walk_forward(CLOSE, Smoother(), splitter=SPLITTER)


def test_a_leak_that_shows_only_later_is_found_at_the_next_window():
    def scaled(close):
        return close / close.max()  # rises with every new high, of which there is none in the first window

    close = CLOSE.copy()
    close.iloc[:70] = np.linspace(200.0, 150.0, 70)
    close.iloc[70:] = np.linspace(150.0, 300.0, 31)
    with pytest.raises(ValueError, match=r"scaled is not causal: .* said at 2020-01-01 from 1 to 0"):
        walk_forward(close, scaled, splitter=SPLITTER)


def test_the_strategy_itself_stays_unfitted_and_progress_is_told():
    estimator, seen = Loud(), []
    walk_forward(CLOSE, estimator, splitter=SPLITTER, progress=lambda *step: seen.append(step))
    assert not hasattr(estimator, "level_")
    assert seen == [(1, 3), (2, 3), (3, 3)]


@dataclass
class Answer:
    """A strategy that gives a fixed answer."""

    answer: object = field(default=None)

    def __call__(self, close):
        return self.answer(close)


def missing(close):
    weights = pd.Series(1.0, close.index)
    weights.iloc[50:] = np.nan
    return weights


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda close: [1.0], r"Answer in window 1 of 3, asked about .* one at each close, shape \(65,\), got \(1,\)"),
        (lambda close: pd.Series(1.0, range(len(close))), "weights must have the index of the closes"),
        (missing, "it says nan at 2020-03-11: say 0 where there is no decision"),
    ],
)
def test_a_wrong_answer_is_named_with_its_window(answer, message):
    with pytest.raises(ValueError, match=message):
        walk_forward(CLOSE, Answer(answer), splitter=SPLITTER)


def test_a_detector_gives_two_columns():
    class OneColumn(Loud):
        def predict_proba(self, X):
            return np.zeros(X.size)

    with pytest.raises(ValueError, match=r"predict_proba must give P\(stable\) and P\(chaos\) .* got \(64,\)"):
        walk_forward(CLOSE, OneColumn(), splitter=SPLITTER)


def test_what_is_no_strategy_and_a_rule_too_many_are_refused():
    with pytest.raises(
        ValueError, match=r"strategy must be made first, got the class MovingAverage: give MovingAverage\("
    ):
        walk_forward(CLOSE, MovingAverage)
    with pytest.raises(ValueError, match="strategy must be a detector, or a function of closes to weights, got 'hold'"):
        walk_forward(CLOSE, "hold", splitter=SPLITTER)
    with pytest.raises(ValueError, match="rule must be left out with MovingAverage, which decides the weights itself"):
        walk_forward(CLOSE, MovingAverage(20), splitter=SPLITTER, rule=ZeroOne())


def spoiled(change):
    close = CLOSE.copy()
    return change(close)


def put(value):
    def change(close):
        close.iloc[30] = value
        return close

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(np.nan), r"prices: close: row 31 \(2020-02-12\): value missing \(NaN\): remove the row or give"),
        (put(0.0), r"row 31 \(2020-02-12\): price is 0: prices are above zero"),
        (put(-1.0), r"row 31 \(2020-02-12\): price is -1"),
        (lambda close: close.iloc[::-1], "sort the rows by date"),
        (lambda close: close.iloc[[*range(30), 29, *range(30, 101)]], "the same date as the row before"),
        (lambda close: close.tz_localize("UTC"), "has the time zone UTC: give dates without a time zone"),
        (lambda close: close.iloc[:40], "first_test=40 leaves none of 40 bars to predict: lower it, or give more"),
        (lambda close: close.to_frame("close"), "prices must be one series .*: give one column"),
        (lambda close: np.stack([close, close]), "prices must have shape .*: give one path"),
        (lambda close: put(np.inf)(close).to_numpy(), "prices must be finite and positive, got inf at bar 30"),
    ],
)
def test_bad_prices_are_refused_with_date_and_remedy(change, message):
    with pytest.raises(ValueError, match=message):
        walk_forward(spoiled(change), buy_and_hold, splitter=SPLITTER)


def test_the_notes_on_the_prices_come_with_the_result():
    close = CLOSE.copy()
    close.iloc[60:] /= 2.0
    (note,) = walk_forward(close, buy_and_hold, splitter=SPLITTER).notes
    assert "2020-03-25" in note
    assert "split" in note
