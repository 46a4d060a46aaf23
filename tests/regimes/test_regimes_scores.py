"""Scores agree with closed forms, with scikit-learn where it has them, and with switches counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics

from companion.regimes import (
    auc,
    balanced_accuracy,
    bootstrap_over_paths,
    brier_score,
    expected_calibration_error,
    reliability_curve,
    switch_statistics,
)

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=60)
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
    ("called", "false_switches", "into_chaos", "into_stable", "missed"),
    [
        ("000111100000", 0, 0.0, 0.0, 0.0),  # perfect
        ("000001100000", 0, 2.0, 0.0, 0.0),  # two bars late into chaos
        ("000111111000", 0, 0.0, 2.0, 0.0),  # two bars late out of it
        ("000000000000", 0, np.inf, 0.0, 0.5),  # never called
        ("010111100000", 2, 0.0, 0.0, 0.0),  # a false alarm and its end
        ("000110100000", 2, 0.0, 0.0, 0.0),  # a drop-out in the spell
        ("111111111111", 0, 0.0, np.inf, 0.5),  # always chaos
        ("011111100000", 1, 0.0, 0.0, 0.0),  # called before it happened: luck, counted as false
    ],
)
def test_switches_counted_by_hand(called, false_switches, into_chaos, into_stable, missed):
    truth = np.array(list("000111100000"), dtype=int)
    found = switch_statistics(truth, np.array(list(called), dtype=int))
    assert found.false_per_1000 == pytest.approx(1000 * false_switches / 12)
    assert (found.delay_into_chaos, found.delay_into_stable, found.missed) == (into_chaos, into_stable, missed)
    assert found.n_switches == 2


def test_switches_do_not_run_from_path_to_path():
    truth = np.array([[0, 0, 0], [1, 1, 1]])
    found = switch_statistics(truth, truth)
    assert found.n_switches == 0
    assert found.false_per_1000 == 0
    assert np.isnan(found.missed)


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
        (lambda: auc([0, 0], [0.1, 0.2]), "regime is 0 at every bar"),
        (lambda: auc([0, 1], [0.1, np.nan]), "score holds a value that is not finite"),
        (lambda: auc([0, 2], [0.1, 0.2]), "neither 0 nor 1"),
        (lambda: auc([0, 1], [0.1]), "regime has shape"),
        (lambda: brier_score([0, 1], [0.1, 1.2]), "not in \\[0, 1\\]"),
        (lambda: reliability_curve([0, 1], [0.1, 0.2], n_bins=0), "n_bins = 0"),
        (lambda: switch_statistics([0, 1], [0, 1, 1]), "predicted has"),
        (lambda: switch_statistics([0, 1], [0, 3]), "0 and 1 only"),
        (lambda: bootstrap_over_paths(np.mean, [[1.0]], seed=0), "at least two"),
        (lambda: bootstrap_over_paths(np.mean, [1.0, 2.0], [1.0], seed=0), r"\[1, 2\] paths"),
        (lambda: bootstrap_over_paths(np.mean, [1.0, 2.0], level=1.0, seed=0), "level = 1.0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
