"""The kill switch: what is not proven safe is unsafe, and normal paths are stopped as often as stated."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import beta, binom
from sklearn.cluster import KMeans

from companion.risk import SafetyMonitor, conformal_threshold

PROPERTY = settings(derandomize=True, deadline=None, max_examples=300)
D = 4


def two_clusters(n_paths, n_bars, seed):
    """Correlated states around two centers, in blocks, as latents of two regimes would be."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(D, D))
    regime = np.repeat(rng.integers(0, 2, (n_paths, n_bars // 10)), 10, axis=1)
    return rng.normal(size=(n_paths, n_bars, D)) @ mix + 6.0 * regime[..., None]


@pytest.fixture(scope="module")
def parts():
    train = two_clusters(40, 100, seed=0)
    kmeans = KMeans(2, n_init=3, random_state=0).fit(train.reshape(-1, D))
    return SimpleNamespace(train=train, kmeans=kmeans, calibration=two_clusters(199, 100, seed=1))


@pytest.fixture(scope="module")
def monitor(parts):
    return SafetyMonitor(parts.train, parts.kmeans, calibration_paths=parts.calibration, false_kill=0.05)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("feature", range(D))
def test_a_single_broken_feature_is_unsafe(parts, monitor, value, feature):
    state = parts.kmeans.cluster_centers_[0].copy()
    assert monitor.check_safety(state).safe
    state[feature] = value
    reading = monitor.check_safety(state)
    assert not reading.safe
    assert reading.reason == "non-finite state"


@given(state=arrays(np.float64, D, elements=st.floats(allow_nan=True, allow_infinity=True)))
@PROPERTY
def test_safe_means_finite_and_within_the_threshold(monitor, state):
    reading = monitor.check_safety(state)
    assert reading.threshold == monitor.threshold
    assert reading.safe == (bool(np.all(np.isfinite(state))) and reading.distance <= monitor.threshold)


@pytest.mark.parametrize("size", [1e3, 1e154, 1e308])
def test_a_huge_state_is_unsafe_even_where_its_distance_overflows(monitor, size):
    assert not monitor.check_safety(np.full(D, size)).safe
    assert not monitor.check_safety(np.array([size, -size] * (D // 2))).safe


def test_a_finite_state_whose_distance_is_not_a_number_is_unsafe():
    """Narrow clusters make large weights of both signs, and a large state overflows to infinity minus infinity."""
    rng = np.random.default_rng(7)
    narrow = rng.normal(size=(30, 20, D)) @ rng.normal(size=(D, D)) * 1e-6
    kmeans = SimpleNamespace(cluster_centers_=np.stack([np.zeros(D), np.full(D, 1.0)]))
    monitor = SafetyMonitor(narrow, kmeans, calibration_paths=narrow, shrinkage=False)
    reading = monitor.check_safety(np.full(D, 1e308))
    assert np.isnan(reading.distance)
    assert not reading.safe


def test_far_from_both_regimes_is_unsafe_and_says_so(parts, monitor):
    middle = parts.kmeans.cluster_centers_.mean(axis=0)
    reading = monitor.check_safety(middle + 100.0)
    assert not reading.safe
    assert reading.reason.startswith("out of distribution")
    assert reading.distance > reading.threshold


def test_every_other_set_of_paths_is_stopped_as_often_as_stated(parts, monitor):
    """Given the calibration set the rate is Beta(n+1-k, k); 400 new paths add binomial noise: joint 99.8 % range."""
    fresh = two_clusters(400, 100, seed=2)
    killed = sum(monitor.distance(path).max() > monitor.threshold for path in fresh)
    low, high = beta.ppf([0.001, 0.999], 10, 190)
    assert binom.ppf(0.001, 400, low) <= killed <= binom.ppf(0.999, 400, high)
    assert monitor.horizon == 100


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
        (np.ones(18), 0.05, "needs at least 19 paths, got 18"),
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


def test_the_printed_percentile_kills_most_normal_paths(parts):
    """The rule of the source: 99.9 % of training bars are inside; the paths are another matter."""
    nearest = parts.kmeans.transform(parts.train.reshape(-1, D)).min(axis=1)
    cutoff = np.percentile(nearest, 99.9)
    long_paths = two_clusters(100, 2440, seed=3)
    killed = np.mean([parts.kmeans.transform(path).min(axis=1).max() > cutoff for path in long_paths])
    assert killed > 0.7


def test_euclidean_distance_is_the_books(parts):
    monitor = SafetyMonitor(parts.train, parts.kmeans, calibration_paths=parts.calibration, metric="euclidean")
    np.testing.assert_allclose(
        monitor.distance(parts.train[0]), parts.kmeans.transform(parts.train[0]).min(axis=1), rtol=1e-9
    )


def test_mahalanobis_distance_does_not_depend_on_the_units():
    """Without shrinkage it is invariant under any invertible linear map; the clusters are far apart in both units."""
    rng = np.random.default_rng(5)
    stretch = rng.normal(size=(D, D))
    states = rng.normal(size=(30, 40, D)) + 500.0 * rng.integers(0, 2, (30, 1, 1))
    centers = np.stack([np.zeros(D), np.full(D, 500.0)])
    one, other = (
        SafetyMonitor(
            states @ units,
            SimpleNamespace(cluster_centers_=centers @ units),
            calibration_paths=states @ units,
            shrinkage=False,
        )
        for units in (np.eye(D), stretch)
    )
    np.testing.assert_allclose(other.distance(states @ stretch), one.distance(states), rtol=1e-8)
    assert other.threshold == pytest.approx(one.threshold, rel=1e-8)
    # Whitened states of D features around their centroid have a mean squared distance of D.
    assert np.mean(one.distance(states) ** 2) == pytest.approx(D, rel=0.02)


def test_shrinkage_survives_fewer_states_than_features():
    rng = np.random.default_rng(6)
    kmeans = SimpleNamespace(cluster_centers_=np.stack([np.zeros(64), np.ones(64)]))
    paths = rng.normal(size=(19, 5, 64))
    distance = SafetyMonitor(rng.normal(size=(30, 64)), kmeans, calibration_paths=paths).distance(paths)
    assert np.all(np.isfinite(distance))
    assert np.all((distance > 1.0) & (distance < 100.0))


def test_more_clusters_than_two_work(parts):
    kmeans = KMeans(3, n_init=2, random_state=0).fit(parts.train.reshape(-1, D))
    monitor = SafetyMonitor(parts.train, kmeans, calibration_paths=parts.calibration)
    assert monitor.check_safety(kmeans.cluster_centers_[2]).safe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_states": np.full((10, D), np.nan)}, "train_states must be finite"),
        ({"train_states": np.zeros((10, D + 1))}, "train_states must have shape"),
        ({"calibration_paths": np.zeros((50, D))}, "calibration_paths must have shape"),
        ({"calibration_paths": np.full((50, 5, D), np.inf)}, "calibration_paths must be finite"),
        ({"calibration_paths": np.zeros((5, 5, D))}, "needs at least 19 paths"),
        ({"metric": "cosine"}, "metric"),
        ({"false_kill": 2.0}, "false_kill"),
    ],
)
def test_bad_input_is_refused_by_name(parts, change, message):
    arguments = {"train_states": parts.train, "calibration_paths": parts.calibration} | change
    train = arguments.pop("train_states")
    with pytest.raises(ValueError, match=message):
        SafetyMonitor(train, parts.kmeans, **arguments)


@pytest.mark.parametrize("state", [np.zeros(D + 1), np.zeros(0), 1.0])
def test_a_state_of_another_size_is_refused(monitor, state):
    with pytest.raises(ValueError, match="states must have 4 features"):
        monitor.check_safety(state)
