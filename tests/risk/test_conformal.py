"""Conformal thresholds: the promise is exact on average, and the interval around one calibration is the right one."""

import numpy as np
import pytest
from scipy.stats import binom

from companion.risk import false_kill_interval
from companion.risk._conformal import conformal_threshold, joint_thresholds


def test_conformal_coverage_is_exact_over_calibration_sets():
    """With n = 99 and 5 %, k = 95: over many sets the next maximum exceeds the threshold with probability 1/20."""
    rng = np.random.default_rng(0)
    trials = 4000
    misses = sum(rng.gumbel() > conformal_threshold(rng.gumbel(size=99), false_kill=0.05) for _ in range(trials))
    assert binom.ppf(0.0005, trials, 0.05) <= misses <= binom.ppf(0.9995, trials, 0.05)


@pytest.mark.parametrize(
    ("n", "false_kill", "rank"), [(19, 0.05, 19), (99, 0.05, 95), (100, 0.05, 96), (9, 0.1, 9), (249, 0.172, 207)]
)
def test_the_threshold_is_the_rank_the_theory_names(n, false_kill, rank):
    shuffled = np.random.default_rng(1).permutation(np.arange(1.0, n + 1.0))
    assert conformal_threshold(shuffled, false_kill=false_kill) == rank


@pytest.mark.parametrize(
    ("maxima", "false_kill", "message"),
    [
        (np.ones(18), 0.05, "must be at least 19 paths, got 18"),
        (np.array([1.0, np.nan]), 0.5, "path_maxima must be finite"),
        (np.ones((3, 3)), 0.5, "path_maxima"),
        (np.ones(10), 0.0, "false_kill"),
        (np.ones(10), 1.0, "false_kill"),
        (np.ones(10), float("nan"), "false_kill"),
    ],
)
def test_a_promise_that_can_not_be_kept_is_refused(maxima, false_kill, message):
    with pytest.raises(ValueError, match=message):
        conformal_threshold(maxima, false_kill=false_kill)


def three_rules(rng, n_paths):
    """Maxima of three rules in different units: two dependent, one with a heavy tail, and a count that stays zero."""
    shared, own = rng.gumbel(size=(2, n_paths))
    return np.column_stack([np.exp(shared), 400.0 + 10.0 * shared + 5.0 * own, np.zeros(n_paths)])


def test_joint_coverage_is_exact_whatever_the_dependence():
    """39 paths set the units, 119 the threshold: 5 % is a whole rank, so the rate over many sets is exactly 1/20."""
    rng, trials = np.random.default_rng(0), 3000
    misses = 0
    for _ in range(trials):
        limits = joint_thresholds(three_rules(rng, 158), false_kill=0.05, floors=[0.0, 0.0, 2.5])
        misses += np.any(three_rules(rng, 1) > limits)
    assert binom.ppf(0.0005, trials, 0.05) <= misses <= binom.ppf(0.9995, trials, 0.05)


def test_the_budget_is_shared_evenly_and_a_rule_that_never_fires_takes_nothing():
    """One rule with a light tail, one with a heavy one: each is the cause of about half of the 10 %."""
    rng = np.random.default_rng(1)

    def draw(n_paths):
        return np.column_stack([20.0 + rng.normal(size=n_paths), rng.pareto(3.0, size=n_paths), np.zeros(n_paths)])

    fired = (draw(200_000) > joint_thresholds(draw(60_000), false_kill=0.10, floors=0.5)).mean(axis=0)
    np.testing.assert_allclose(fired[0] + fired[1] - fired[0] * fired[1], 0.10, atol=0.004)
    assert fired[:2].min() > 0.03
    assert fired[2] == 0.0


def test_thresholds_follow_the_unit_of_a_rule():
    maxima, unit, zero = three_rules(np.random.default_rng(2), 300)[:, :2], [1.0, 1000.0], [3.0, -7.0]
    moved = joint_thresholds(maxima * unit + zero, false_kill=0.1)
    np.testing.assert_allclose(moved, joint_thresholds(maxima, false_kill=0.1) * unit + zero, rtol=1e-12)


def test_a_floor_is_the_least_threshold_and_a_rule_that_rises_at_times_is_paid_for():
    """A count is 0 on the paths that set the units and 9 on 1 % of the others: these paths are part of the 5 %."""
    rng = np.random.default_rng(4)
    maxima = np.column_stack([rng.gumbel(size=4000) + 9.0, np.zeros(4000)])
    assert joint_thresholds(maxima, false_kill=0.05, floors=[0.0, 2.5])[1] == 2.5
    maxima[1000::100, 1] = 9.0
    thresholds = joint_thresholds(maxima, false_kill=0.05, floors=[0.0, 2.5])
    stopped = np.any(maxima[1000:] > thresholds, axis=1)
    assert thresholds[1] == 2.5
    assert stopped[::100].all()
    assert stopped.mean() == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize(
    ("maxima", "message"),
    [
        (np.ones((24, 2)), "must be at least 19 paths, got 18"),
        (np.ones(100), "path_maxima must be"),
        (np.full((100, 2), np.inf), "path_maxima must be"),
        (np.column_stack([np.arange(100.0), np.zeros(100)]), "give longer paths, or a floor"),
        (np.column_stack([np.arange(100.0), np.arange(100.0) > 50]), "give longer paths, or a floor"),
    ],
)
def test_maxima_without_a_joint_threshold_are_refused(maxima, message):
    with pytest.raises(ValueError, match=message):
        joint_thresholds(maxima, false_kill=0.05)


def test_the_interval_holds_both_kinds_of_luck():
    rng, trials, low_high = np.random.default_rng(3), 4000, false_kill_interval(199, 300, false_kill=0.05)
    shares = np.array(
        [np.mean(rng.random(300) > conformal_threshold(rng.random(199), false_kill=0.05)) for _ in range(trials)]
    )
    inside = np.mean((shares >= low_high[0]) & (shares <= low_high[1]))
    assert 0.945 < inside < 0.975  # a discrete law covers at least what is asked for
    narrow = false_kill_interval(10**7, 300, false_kill=0.05)
    np.testing.assert_allclose(narrow, binom.ppf([0.025, 0.975], 300, 0.05) / 300)


def test_an_interval_that_can_not_be_is_refused():
    with pytest.raises(ValueError, match="at least 99 paths"):
        false_kill_interval(98, 100, false_kill=0.01)
    with pytest.raises(ValueError, match="level"):
        false_kill_interval(100, 100, false_kill=0.05, level=1.0)
