"""Scores agree with closed forms, with scikit-learn where it has them, and with switches counted by hand."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics

from companion.evaluation import (
    auc,
    balanced_accuracy,
    bootstrap_over_paths,
    brier_score,
    expected_calibration_error,
    paired_difference,
    reliability_curve,
    switch_statistics,
)
from companion.evaluation._intervals import Interval, _fast_form, percentile_interval, share_of_ceiling
from companion.evaluation._switches import (
    delay_into_chaos,
    delay_into_stable,
    false_switches,
    missed_spells,
    switch_delay,
)

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=60)
SWITCH_SCORES = (false_switches, switch_delay, delay_into_chaos, delay_into_stable, missed_spells)
BARS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=2, max_size=60).filter(
    lambda bars: len({truth for truth, _ in bars}) == 2
)


@DETERMINISTIC
@given(BARS)
def test_scores_agree_with_scikit_learn_ties_included(bars):
    regime, eighths = np.array(bars).T
    probability = eighths / 8
    assert auc(regime, probability) == pytest.approx(metrics.roc_auc_score(regime, probability))
    assert brier_score(regime, probability) == pytest.approx(metrics.brier_score_loss(regime, probability))
    called = probability > 0.4
    assert balanced_accuracy(regime, called) == pytest.approx(metrics.balanced_accuracy_score(regime, called))


def test_auc_of_two_normals_is_the_closed_form():
    rng = np.random.default_rng(0)
    regime = rng.integers(0, 2, size=(20, 10_000))
    score = rng.normal(size=regime.shape) + 1.2 * regime
    assert auc(regime, score) == pytest.approx(norm.cdf(1.2 / np.sqrt(2)), abs=0.003)


def test_auc_only_sees_the_order():
    rng = np.random.default_rng(1)
    regime, score = rng.integers(0, 2, 500), rng.normal(size=500)
    assert auc(regime, np.exp(score)) == auc(regime, score)
    assert auc(regime, -score) == pytest.approx(1 - auc(regime, score))


def test_calibration_error_by_hand():
    probability = np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9])
    regime = np.array([1, 0, 0, 0, 1, 1])
    curve = reliability_curve(regime, probability, n_bins=2)
    np.testing.assert_allclose(curve.mean_predicted, [0.1, 0.9])
    np.testing.assert_allclose(curve.observed, [0.25, 1.0])
    assert curve.count.tolist() == [4, 2]
    assert expected_calibration_error(regime, probability, n_bins=2) == pytest.approx((4 * 0.15 + 2 * 0.1) / 6)


def test_a_true_probability_is_calibrated_and_a_doubled_one_is_not():
    rng = np.random.default_rng(2)
    probability = rng.uniform(0, 0.5, 200_000)
    regime = rng.uniform(size=probability.shape) < probability
    assert expected_calibration_error(regime, probability) < 0.004
    assert expected_calibration_error(regime, 2 * probability) == pytest.approx(0.25, abs=0.005)
    assert brier_score(regime, probability) == pytest.approx(np.mean(probability * (1 - probability)), abs=0.002)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_probabilities_of_zero_and_one_have_a_group(edge):
    assert reliability_curve([0, 1], [edge, edge]).count.tolist() == [2]


@pytest.mark.parametrize(
    ("called", "n_false", "into_chaos", "into_stable", "missed"),
    [
        ("000111100000", 0, 0.0, 0.0, 0.0),  # perfect
        ("000001100000", 0, 2.0, 0.0, 0.0),  # two bars late into chaos
        ("000111111000", 0, 0.0, 2.0, 0.0),  # two bars late out of it
        ("000000000000", 0, np.inf, 0.0, 0.5),  # never called
        ("010111100000", 2, 0.0, 0.0, 0.0),  # a false alarm and its end
        ("000110100000", 2, 0.0, 0.0, 0.0),  # a drop-out in the spell
        ("111111111111", 0, 0.0, np.inf, 0.5),  # always chaos
        ("011111100000", 1, 0.0, 0.0, 0.0),  # called before it happened: luck, counted as false
        ("000000011000", 1, np.inf, 2.0, 0.5),  # called only when it was over; its end is the answer to the second
    ],
)
def test_switches_counted_by_hand(called, n_false, into_chaos, into_stable, missed):
    truth = np.array(list("000111100000"), dtype=int)
    found = switch_statistics(truth, np.array(list(called), dtype=int))
    assert found.false_per_1000 == pytest.approx(1000 * n_false / 12)
    assert (found.delay_into_chaos, found.delay_into_stable, found.missed) == (into_chaos, into_stable, missed)
    assert found.delay == (into_chaos + into_stable) / 2  # the median of two
    assert found.n_switches == 2


def in_spells(lengths, first):
    """Regimes that alternate, each for so many bars."""
    return np.repeat((np.arange(len(lengths)) + first) % 2, lengths)


@DETERMINISTIC
@given(st.lists(st.integers(4, 20), min_size=3, max_size=8), st.integers(0, 1), st.integers(0, 3))
def test_a_detection_shifted_by_d_bars_is_d_bars_late(lengths, first, d):
    truth = in_spells(lengths, first)
    late = np.concatenate([np.full(d, truth[0]), truth[: len(truth) - d]])
    found = switch_statistics(truth, late)
    assert (found.false_per_1000, found.missed, found.n_switches) == (0, 0, len(lengths) - 1)
    assert (found.delay, found.delay_into_chaos, found.delay_into_stable) == (d, d, d)


@DETERMINISTIC
@given(st.lists(st.integers(1, 20), min_size=3, max_size=8), st.integers(0, 1))
def test_a_perfect_detector_and_one_that_never_switches(lengths, first):
    truth = in_spells(lengths, first)
    assert auc(truth, truth) == balanced_accuracy(truth, truth) == 1
    assert brier_score(truth, truth) == expected_calibration_error(truth, truth) == 0
    assert [score(truth, truth) for score in SWITCH_SCORES] == [0, 0, 0, 0, 0]
    constant = np.full_like(truth, first)
    assert auc(truth, constant) == balanced_accuracy(truth, constant) == 0.5
    assert false_switches(truth, constant) == 0
    assert missed_spells(truth, constant) == (len(lengths) // 2) / (len(lengths) - 1)  # those of the other regime
    assert np.isinf((delay_into_stable if first else delay_into_chaos)(truth, constant))


@DETERMINISTIC
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=40))
def test_every_called_switch_is_an_answer_or_false(bars):
    truth, called = np.array(bars).T
    found = switch_statistics(truth, called)
    n_false = found.false_per_1000 * len(bars) / 1000
    n_called = np.count_nonzero(np.diff(called))
    assert 0 <= n_called - n_false <= min(n_called, found.n_switches) + 1e-9
    assert n_called - n_false == pytest.approx(round(n_called - n_false))


def test_switches_do_not_run_from_path_to_path():
    truth = np.array([[0, 0, 0], [1, 1, 1]])
    found = switch_statistics(truth, truth)
    assert found.n_switches == 0
    assert found.false_per_1000 == 0
    assert np.isnan(found.missed)


def noisy_forecasts(seed, n_paths=7, n_bars=80):
    """Truth and two forecasts, the first the better; the paths differ in how hard they are."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(0, 2, (n_paths, n_bars // 8)), 8, axis=1)
    hard = rng.uniform(0.1, 0.6, (n_paths, 1))
    a, b = (np.clip(0.5 + 0.3 * (truth - 0.5) + hard * s * rng.normal(size=truth.shape), 0, 1) for s in (1.0, 1.5))
    return truth, np.round(a, 2), np.round(b, 2)


@pytest.mark.parametrize("score", [auc, brier_score, expected_calibration_error, balanced_accuracy, *SWITCH_SCORES])
def test_the_bootstrap_is_that_of_the_paths_themselves(score):
    """The scores count a path several times where the bootstrap of any other function repeats its bars."""
    truth, a, b = noisy_forecasts(11)
    if score in (balanced_accuracy, *SWITCH_SCORES):
        a, b = (a > 0.4).astype(int), (b > 0.4).astype(int)
    counted, repeated = (
        bootstrap_over_paths(f, truth, a, n_resamples=60, seed=5) for f in (score, lambda y, x: score(y, x))
    )
    np.testing.assert_allclose(vars_of(counted), vars_of(repeated), rtol=1e-9, atol=1e-12)
    paired = paired_difference(score, a, b, truth, n_resamples=60, seed=5)
    by_hand = bootstrap_over_paths(lambda y, x, z: score(y, x) - score(y, z), truth, a, b, n_resamples=60, seed=5)
    own = paired_difference(lambda y, x: score(y, x), a, b, truth, n_resamples=60, seed=5)
    np.testing.assert_allclose(vars_of(paired), vars_of(by_hand), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(vars_of(own), vars_of(by_hand), rtol=1e-9, atol=1e-12)


def vars_of(interval):
    return [interval.estimate, interval.low, interval.high, interval.standard_error]


def test_a_paired_difference_is_surer_than_either_score():
    truth, a, b = noisy_forecasts(12, n_paths=30, n_bars=400)
    alone = bootstrap_over_paths(auc, truth, a, seed=1)
    paired = paired_difference(auc, a, b, truth, seed=1)
    assert paired.standard_error < alone.standard_error
    assert paired.low > 0
    swapped = paired_difference(auc, b, a, truth, seed=1)
    np.testing.assert_allclose([swapped.low, swapped.high], [-paired.high, -paired.low])
    assert vars_of(paired_difference(auc, a, a, truth, seed=1)) == [0, 0, 0, 0]


def test_share_of_the_ceiling():
    truth, good, poor = noisy_forecasts(13, n_paths=30, n_bars=400)
    assert vars_of(share_of_ceiling(auc, good, good, truth, seed=1)) == [1, 1, 1, 0]
    assert share_of_ceiling(auc, np.full(truth.shape, 0.2), good, truth, seed=1).estimate == 0
    share = share_of_ceiling(auc, poor, good, truth, seed=1)
    assert share.estimate == pytest.approx((auc(truth, poor) - 0.5) / (auc(truth, good) - 0.5))
    assert 0 < share.low < share.estimate < share.high < 1


def test_a_median_that_may_be_infinite_has_an_interval_that_says_so():
    truth = np.tile([0, 0, 1, 1], (4, 1))
    called = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    interval = bootstrap_over_paths(delay_into_chaos, truth, called, seed=0)
    assert (interval.estimate, interval.low, interval.high) == (np.inf, 0.0, np.inf)


@given(st.lists(st.floats(-5, 5) | st.just(np.nan), min_size=40, max_size=400), st.floats(0.5, 0.99))
@DETERMINISTIC
def test_an_undefined_resample_counts_as_any_value(values, level):
    draws = np.array(values)
    interval = percentile_interval(0.0, draws, level)
    undefined, tail = np.isnan(draws), (1 - level) / 2
    if not undefined.any():
        assert (interval.low, interval.high) == tuple(np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2]))
        return
    for anything in (-1e9, 0.0, 1e9):  # whatever they are, the interval is no narrower than it should be
        low, high = np.quantile(np.where(undefined, anything, draws), [tail, 1 - tail], method="inverted_cdf")
        assert interval.low <= low + 1e-9
        assert interval.high >= high - 1e-9
    assert interval.standard_error == np.inf
    if undefined.mean() > tail + 1 / draws.size:
        assert (interval.low, interval.high) == (-np.inf, np.inf)
        assert not interval.excludes_zero


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 1.0, True), (-2.0, -0.1, True), (-1.0, 1.0, False), (0.0, 1.0, False)]
)
def test_an_interval_excludes_zero_when_it_lies_on_one_side(low, high, excludes):
    assert Interval(0.5, low, high, 0.1).excludes_zero == excludes


def test_a_score_with_its_options_set_takes_the_fast_path_too():
    truth, good, _ = noisy_forecasts(5, n_paths=20, n_bars=50)
    chaos = norm.cdf(good)
    fast = partial(expected_calibration_error, n_bins=7)
    assert _fast_form(fast) is not None
    assert _fast_form(lambda *arrays: fast(*arrays)) is None
    slow = bootstrap_over_paths(lambda *arrays: fast(*arrays), truth, chaos, n_resamples=50, seed=2)
    assert vars_of(bootstrap_over_paths(fast, truth, chaos, n_resamples=50, seed=2)) == pytest.approx(vars_of(slow))


def test_bootstrap_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        paths = rng.normal(size=(30, 1)) + 0.2 * rng.normal(size=(30, 20))  # bars of a path share their level
        interval = bootstrap_over_paths(lambda x: float(x.mean()), paths, n_resamples=200, level=0.9, seed=rng)
        covered += interval.low <= 0.0 <= interval.high
    assert 0.82 <= covered / 200 <= 0.95


def test_bootstrap_draws_the_arrays_together():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(12, 5))
    interval = bootstrap_over_paths(lambda x, y: float((x - y).mean()), a, a + 1.0, seed=0)
    assert interval.low == pytest.approx(-1.0)
    assert interval.high == pytest.approx(-1.0)
    assert interval.standard_error < 1e-12
    again = bootstrap_over_paths(lambda x: float(x.mean()), a, seed=7)
    assert again == bootstrap_over_paths(lambda x: float(x.mean()), a, seed=7)
    assert again != bootstrap_over_paths(lambda x: float(x.mean()), a, seed=8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auc([0, 0], [0.1, 0.2]), "regime must hold both 0 and 1, got 0 at every bar"),
        (lambda: auc([0, 1], [0.1, np.nan]), "score must be finite"),
        (lambda: auc([0, 2], [0.1, 0.2]), "regime must hold 0 and 1 only"),
        (lambda: auc([0, 1], [0.1]), "score must have the shape of regime"),
        (lambda: brier_score([0, 1], [0.1, 1.2]), r"probability must lie in \[0, 1\]"),
        (lambda: reliability_curve([0, 1], [0.1, 0.2], n_bins=0), "n_bins must be a positive integer, got 0"),
        (lambda: balanced_accuracy([0, 1], [0.2, 0.7]), "predicted must hold 0 and 1 only"),
        (
            lambda: bootstrap_over_paths(auc, [[0, 0], [1, 1]], np.eye(2), seed=0),
            "must hold both 0 and 1 in every resample",
        ),
        (lambda: bootstrap_over_paths(switch_delay, np.zeros((2, 3)), np.eye(2, 3), seed=0), "is not a number"),
        (lambda: switch_statistics([0, 1], [0, 1, 1]), "predicted must have the shape of regime"),
        (lambda: switch_statistics([0, 1], [0, 3]), "regime and predicted must hold 0 and 1 only"),
        (lambda: bootstrap_over_paths(np.mean, [[1.0]], seed=0), "at least two"),
        (lambda: bootstrap_over_paths(np.mean, [1.0, 2.0], [1.0], seed=0), r"\[1, 2\] paths"),
        (lambda: bootstrap_over_paths(np.mean, [1.0, 2.0], level=1.0, seed=0), "level = 1.0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
