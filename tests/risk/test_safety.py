"""The kill switch: what is not proven safe is unsafe, and normal paths are stopped as often as stated."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import beta, binom
from sklearn.cluster import KMeans

from companion.risk import SafetyMonitor, false_kill_interval
from companion.risk._conformal import conformal_threshold

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


def test_a_finite_state_whose_distance_is_not_finite_is_unsafe():
    """Narrow clusters make large weights of both signs, and a large state overflows to infinity minus infinity."""
    rng = np.random.default_rng(7)
    narrow = rng.normal(size=(30, 20, D)) @ rng.normal(size=(D, D)) * 1e-6
    kmeans = SimpleNamespace(cluster_centers_=np.stack([np.zeros(D), np.full(D, 1.0)]))
    monitor = SafetyMonitor(narrow, kmeans, calibration_paths=narrow, shrinkage=False)
    reading = monitor.check_safety(np.full(D, 1e308))
    assert not np.isfinite(reading.distance)
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
        ({"calibration_paths": np.zeros((5, 5, D))}, "must be at least 19 paths"),
        ({"metric": "cosine"}, "metric"),
        ({"false_kill": 2.0}, "false_kill"),
    ],
)
def test_bad_input_is_refused_by_name(parts, change, message):
    arguments = {"train_states": parts.train, "calibration_paths": parts.calibration} | change
    train = arguments.pop("train_states")
    with pytest.raises(ValueError, match=message):
        SafetyMonitor(train, parts.kmeans, **arguments)


@pytest.mark.parametrize("state", [np.zeros(D + 1), np.zeros(0), 1.0, np.zeros((2, 2)), np.zeros((1, D))])
def test_a_state_of_another_shape_is_refused(monitor, state):
    with pytest.raises(ValueError, match=r"state must have shape \(4,\)"):
        monitor.check_safety(state)
    if np.shape(state)[-1:] != (D,):
        with pytest.raises(ValueError, match="states must have 4 features"):
            monitor.distance(state)


def feed(n_paths, seed, n_bars=160):
    """Returns of 160 bars: 60 that warm the rules up, and one for each state of `two_clusters`."""
    return np.random.default_rng(seed).standard_t(5, size=(n_paths, n_bars)) * 0.01


@pytest.fixture(scope="module")
def both(parts):
    return SafetyMonitor(
        parts.train,
        parts.kmeans,
        calibration_paths=(path for path in two_clusters(900, 100, seed=1)),
        calibration_returns=feed(900, seed=11),
        false_kill=0.05,
    )


def test_all_rules_together_stop_as_often_as_stated(both):
    """675 of the 900 paths set the threshold; states and returns are independent here, as bad as it gets."""
    fired = both.alarms(two_clusters(1000, 100, seed=2), feed(1000, seed=12))
    assert both.n_calibration == 675
    killed = {name: alarm.any(axis=1) for name, alarm in fired.items()}
    low, high = false_kill_interval(both.n_calibration, 1000, false_kill=0.05, level=0.998)
    assert low <= np.any(list(killed.values()), axis=0).mean() <= high
    for name in ("distance", "jump", "collapse"):
        assert 0.002 < killed[name].mean() < 0.040
    for name in ("invalid", "frozen", "repeated"):
        assert not killed[name].any()


def test_a_feed_that_is_warm_is_stopped_as_often_as_stated(both):
    """Live the rules have long been warm; had they been mute on part of each path, they would stop more than stated."""
    fresh = feed(1000, seed=13, n_bars=400)
    fired = both.alarms(two_clusters(1000, 100, seed=3), fresh)
    low, high = false_kill_interval(both.n_calibration, 1000, false_kill=0.05, level=0.998)
    assert low <= np.any(list(fired.values()), axis=0).any(axis=1).mean() <= high


@pytest.mark.parametrize("n_bars", [100, 159])
def test_returns_that_do_not_warm_the_rules_up_are_refused(parts, n_bars):
    """With mute rules on 60 of the 100 bars a stated 5 % was 10 %."""
    with pytest.raises(ValueError, match=r"\(199, horizon 100 \+ rules\.warm_up 60 or more\).*drop"):
        SafetyMonitor(
            parts.train,
            parts.kmeans,
            calibration_paths=parts.calibration,
            calibration_returns=feed(199, seed=0, n_bars=n_bars),
        )


@pytest.mark.parametrize(
    ("states", "returns"),
    [
        (np.zeros((3, 10, D)), np.zeros((2, 10))),
        (np.zeros((3, 10, D)), np.zeros(10)),
        (np.zeros((10, D)), np.zeros((3, 10))),
        (np.zeros(D), np.zeros(10)),
        (np.zeros((3, 10, D)), np.zeros((3, 9))),
        (np.zeros((3, 0, D)), np.zeros((3, 10))),
    ],
)
def test_alarms_of_states_and_returns_that_disagree_are_refused(both, states, returns):
    with pytest.raises(ValueError, match="log_returns must be of the paths of states"):
        both.alarms(states, returns)


# --- the past --------------------------------------------------------------------------------------------------------


def lowest(rng, n_paths, n_bars=100):
    """P-values as a detector gives them: on a path of n bars the smallest is uniform, and the others are larger."""
    smallest = np.ceil(1000 * rng.random((n_paths, 1))) / 1000
    values = np.broadcast_to(np.maximum(smallest, 0.9), (n_paths, n_bars)).copy()
    np.put_along_axis(values, rng.integers(n_bars, size=(n_paths, 1)), smallest, axis=1)
    return values


@pytest.fixture(scope="module")
def three(parts):
    return SafetyMonitor(
        parts.train,
        parts.kmeans,
        calibration_paths=two_clusters(900, 100, seed=1),
        calibration_returns=feed(900, seed=11),
        calibration_p_values=lowest(np.random.default_rng(0), 900, 130),
        false_kill=0.05,
    )


def test_three_sensors_together_stop_as_often_as_stated(three):
    p_values = lowest(np.random.default_rng(1), 1000)
    fired = three.alarms(two_clusters(1000, 100, seed=2), feed(1000, seed=12), p_values)
    killed = {name: alarm.any(axis=1) for name, alarm in fired.items()}
    low, high = false_kill_interval(three.n_calibration, 1000, false_kill=0.05, level=0.998)
    assert low <= np.any(list(killed.values()), axis=0).mean() <= high
    assert [*fired] == [*three.thresholds]
    for name in ("distance", "past", "jump", "collapse"):
        assert 0.001 < killed[name].mean() < 0.040
    asked = [not three.check_past(value) for value in p_values[:50].ravel()]
    assert asked == fired["past"][:50].ravel().tolist()


def test_the_past_alone_has_its_conformal_threshold(parts):
    """Beside a distance that never moves: the rank of the smallest p-values, by hand."""
    p_values = lowest(np.random.default_rng(2), 400)
    still = np.zeros((400, 100, D))
    monitor = SafetyMonitor(
        parts.train, parts.kmeans, calibration_paths=still, calibration_p_values=p_values, false_kill=0.02
    )
    expected = conformal_threshold(-np.log10(p_values[100:].min(axis=1)), false_kill=0.02)
    assert monitor.thresholds["past"] == pytest.approx(expected, abs=1e-8)
    assert monitor.n_calibration == 300
    assert SafetyMonitor.from_parameters(monitor.parameters()).thresholds == monitor.thresholds


def test_a_past_with_a_p_value_above_a_twentieth_is_never_stopped(parts):
    monitor = SafetyMonitor(
        parts.train,
        parts.kmeans,
        calibration_paths=two_clusters(400, 100, seed=1),
        calibration_p_values=np.ones((400, 100)),
        false_kill=0.2,
    )
    assert monitor.check_past(0.0501)
    assert not monitor.check_past(0.0499)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.5, np.nan, np.inf, None, "0.5", np.float32(0.0)])
def test_what_is_no_p_value_is_unsafe(three, value):
    reading = three.check_past(value)
    assert not reading
    assert reading.rule == "past"
    assert "unlike any market" in reading.reason


@pytest.mark.parametrize(
    ("p_values", "message"),
    [
        (np.ones((199, 99)), r"must have shape \(199, horizon 100 or more\), got \(199, 99\)"),
        (np.ones((198, 100)), "must have shape"),
        (np.ones(100), "must have shape"),
        (np.zeros((199, 100)), r"must lie in \(0, 1\]"),
        (np.full((199, 100), np.nan), r"must lie in \(0, 1\]"),
        ([["high"] * 100] * 199, "must be numbers"),
    ],
)
def test_calibration_p_values_that_are_none_are_refused(parts, p_values, message):
    with pytest.raises(ValueError, match=f"calibration_p_values {message}"):
        SafetyMonitor(parts.train, parts.kmeans, calibration_paths=parts.calibration, calibration_p_values=p_values)


def test_what_is_no_p_value_is_unsafe_in_a_batch_too(three):
    values = [0.0, 1.5, -1.0, np.nan, np.inf, 0.5, 1e-9]
    with np.errstate(all="raise"):
        fired = three.alarms(p_values=values)["past"]
    assert fired.tolist() == [not three.check_past(value) for value in values] == [True] * 5 + [False, True]


def test_a_monitor_without_the_rule_says_so(both, three):
    for asked in (lambda: both.check_past(0.5), lambda: both.alarms(p_values=np.ones(9))):
        with pytest.raises(ValueError, match="calibration_p_values must be given"):
            asked()
    with pytest.raises(ValueError, match="p_values must be of the paths of states"):
        three.alarms(np.zeros((3, 10, D)), p_values=np.ones((3, 9)))


def test_a_bad_promise_or_model_is_refused_before_the_paths_go_through_it(parts):
    def paths():
        raise AssertionError("the paths were asked for")
        yield

    for change, message in (
        ({"false_kill": np.nan}, "false_kill must lie"),
        ({"kmeans": SimpleNamespace(cluster_centers_=np.full((2, D), np.nan))}, "kmeans must have finite"),
        ({"kmeans": KMeans(2)}, "kmeans must have centroids"),
    ):
        arguments = {"kmeans": parts.kmeans, "calibration_paths": paths()} | change
        with pytest.raises(ValueError, match=message):
            SafetyMonitor(parts.train, **arguments)


@pytest.mark.parametrize("fault", [None, "frozen", "repeated", "jump", "collapse", "invalid"])
def test_the_live_monitor_says_what_the_batch_says_and_names_the_rule(both, fault):
    path = feed(1, seed=20)[0]
    bad = {"frozen": 0.0, "repeated": path[99], "jump": 0.5, "collapse": 1e-4 * path[100:120], "invalid": np.nan}
    if fault:
        path[100:120] = bad[fault]
    both.reset()
    readings = [both.check_input(value) for value in path.tolist()]
    fired = both.alarms(log_returns=path)
    np.testing.assert_array_equal([not reading.safe for reading in readings], np.any(list(fired.values()), axis=0))
    for bar, reading in enumerate(readings):
        assert reading.threshold == both.thresholds[reading.rule]
        assert reading.safe == (reading.reason == "safe") == (reading.distance <= reading.threshold)
        assert reading.safe or fired[reading.rule][bar]
    first = [reading.rule for reading in readings[100:105] if not reading.safe][:1]
    assert first == ([fault] if fault else [])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
@PROPERTY
def test_any_input_gets_an_answer_and_an_invalid_one_is_never_safe(both, values):
    for value in values:
        reading = both.check_input(value)
        assert reading.safe == (reading.distance <= reading.threshold)
        assert abs(value) <= 10.0 or not reading.safe


def test_reset_forgets_the_feed_and_nothing_else(both):
    both.reset()
    first = [both.check_input(value) for value in feed(1, seed=21)[0]]
    both.check_input(0.0)
    both.reset()
    assert [both.check_input(value) for value in feed(1, seed=21)[0]] == first


def test_states_in_a_generator_are_the_states_in_an_array(parts, monitor):
    lazy = SafetyMonitor(parts.train, parts.kmeans, calibration_paths=iter(parts.calibration), false_kill=0.05)
    assert lazy.thresholds == monitor.thresholds
    assert lazy.horizon == monitor.horizon
    assert lazy.n_calibration == monitor.n_calibration == 199


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (feed(198, seed=0), r"shape \(199, horizon 100"),
        (np.full((199, 160), np.nan), r"calibration_returns\[0, 0\] must be a log return"),
        (np.full((199, 160), 11.0), r"calibration_returns\[0, 0\] must be a log return"),
        (100.0 + feed(199, seed=0).cumsum(axis=1), "must be a log return.*give log returns"),
        (np.zeros((199, 160)), "longer paths"),
    ],
)
def test_returns_that_calibrate_nothing_are_refused(parts, returns, message):
    with pytest.raises(ValueError, match=message):
        SafetyMonitor(parts.train, parts.kmeans, calibration_paths=parts.calibration, calibration_returns=returns)


def test_paths_of_two_lengths_are_refused(parts):
    ragged = [*parts.calibration, parts.calibration[0][:50]]
    with pytest.raises(ValueError, match="one length"):
        SafetyMonitor(parts.train, parts.kmeans, calibration_paths=ragged)


def test_a_monitor_without_input_rules_says_so(monitor, both):
    with pytest.raises(ValueError, match="calibration_returns must be given"):
        monitor.check_input(0.01)
    with pytest.raises(ValueError, match="calibration_returns must be given"):
        monitor.alarms(log_returns=np.zeros(10))
    with pytest.raises(ValueError, match="one number"):
        both.check_input([0.01])


@pytest.mark.parametrize("value", ["x", None, "0.01", np.inf])
def test_what_is_no_number_is_unsafe(both, value):
    both.reset()
    reading = both.check_input(value)
    assert (reading.safe, reading.rule) == (False, "invalid")
    assert both.check_safety(["x"] * D).reason == "non-finite state"


def test_a_reading_is_true_only_when_it_is_safe(parts, both):
    """As printed the answer is a tuple, and ``if monitor.check_safety(state)`` is true on every alarm."""
    center = parts.kmeans.cluster_centers_[0]
    both.reset()
    for reading in (both.check_safety(center), both.check_safety(center + 1e3), both.check_input(np.nan)):
        assert bool(reading) == reading.safe
    assert both.check_safety(center)
    assert not both.check_safety(center + 1e3)


@given(state=arrays(np.float64, D, elements=st.floats(-50.0, 50.0) | st.floats(allow_nan=True, allow_infinity=True)))
@PROPERTY
def test_one_state_is_as_far_as_it_is_among_many(monitor, state):
    many, one = float(monitor.distance(state[None])[0]), monitor.check_safety(state).distance
    if np.isfinite(many):
        assert one == pytest.approx(many, rel=1e-12, abs=1e-12 * (1.0 + np.abs(state).max()))
    else:
        assert not one < 1e150  # near the largest square root one may overflow and the other not
    assert monitor.check_safety(state.tolist()) == monitor.check_safety(state) or np.isnan(one)


@given(st.lists(st.floats(-0.05, 0.05) | st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=80))
@settings(PROPERTY, max_examples=50)
def test_the_live_feed_is_judged_as_the_whole_path_and_goes_on_after_a_restart(both, values):
    both.reset()
    readings, fired = [], both.alarms(log_returns=np.array(values))
    for value in values:
        both.restore(json.loads(json.dumps(both.state(), allow_nan=False)))
        readings.append(both.check_input(value))
    np.testing.assert_array_equal([not reading for reading in readings], np.any(list(fired.values()), axis=0))


def test_the_path_that_sets_a_threshold_is_safe_at_its_largest_value():
    """A threshold is the largest value that is safe, for the live monitor and for `alarms` alike."""
    returns, line = feed(199, seed=5), np.array([[0.0]])
    monitor = SafetyMonitor(np.ones((9, 1)), line, calibration_paths=np.ones((199, 100, 1)), metric="euclidean")
    assert monitor.check_safety(np.ones(1)).distance == monitor.threshold == 1.0
    assert monitor.check_safety(np.ones(1))
    assert not monitor.alarms(np.ones((100, 1)))["distance"].any()
    assert not monitor.check_safety(np.nextafter(np.ones(1), 2.0))
    both = SafetyMonitor(  # states that never move: the input rules alone set the thresholds
        np.ones((9, 1)),
        line,
        calibration_paths=np.ones((199, 100, 1)),
        calibration_returns=returns,
        metric="euclidean",
    )
    statistics = both._rules.statistics(returns)[:, 60:]
    reached = np.argwhere(statistics == np.array(both._limits))
    assert len(reached) == 1
    path, bar, _ = (int(i) for i in reached[0])
    both.reset()
    readings = [both.check_input(value) for value in returns[path].tolist()][60:]
    assert readings[bar].distance == readings[bar].threshold
    assert readings[bar]
    assert not np.any([alarm[60 + bar] for alarm in both.alarms(log_returns=returns[path]).values()])


@pytest.mark.parametrize("name", ["centroids_", "cluster_centers_"])
def test_the_centroids_may_be_an_array_or_be_had_from_what_has_them(parts, monitor, name):
    centers = parts.kmeans.cluster_centers_
    for source in (centers, centers.tolist(), SimpleNamespace(**{name: centers})):
        other = SafetyMonitor(parts.train, source, calibration_paths=parts.calibration, false_kill=0.05)
        assert other.thresholds == monitor.thresholds


@pytest.mark.parametrize("centroids", [np.zeros(D), np.full((2, D), np.inf), [["a"]], np.zeros((0, D))])
def test_what_are_no_centroids_is_refused(parts, centroids):
    with pytest.raises(ValueError, match="kmeans must"):
        SafetyMonitor(parts.train, centroids, calibration_paths=parts.calibration)


class Detector:
    """Two features of the returns, and the regime by the first: what `for_detector` asks of a detector."""

    warm_up = 70

    def transform(self, paths):
        smooth = np.cumsum(np.abs(paths), axis=1) / np.arange(1, paths.shape[1] + 1)
        return np.stack([smooth, paths], axis=-1)

    def predict(self, paths):
        return (self.transform(paths)[..., 0] > 0.007).astype(np.int8)


@pytest.mark.parametrize("own", [True, False])
def test_a_detector_gets_the_monitor_that_is_made_by_hand(own):
    returns, detector = feed(400, seed=6, n_bars=170), Detector()
    states = detector.transform(returns)[:, 70:]
    regime = detector.predict(returns)[:200, 70:]
    centroids = np.stack([states[:200][regime == k].mean(axis=0) for k in (0, 1)])
    if own:
        centroids = detector.centroids_ = np.array([[0.007, 0.0], [0.02, 0.0]])
    by_hand = SafetyMonitor(
        states[:200], centroids, calibration_paths=states[200:], calibration_returns=returns[200:], false_kill=0.1
    )
    monitor = SafetyMonitor.for_detector(detector, returns, false_kill=0.1)
    assert monitor.thresholds == pytest.approx(by_hand.thresholds, rel=1e-12)
    assert (monitor.horizon, monitor.n_calibration) == (100, 150)


def test_a_monitor_of_a_detector_stops_as_often_as_stated():
    detector = Detector()
    monitor = SafetyMonitor.for_detector(detector, feed(1200, seed=7, n_bars=170), false_kill=0.05)
    fresh = feed(1000, seed=8, n_bars=170)
    fired = monitor.alarms(detector.transform(fresh)[:, 70:], fresh)
    low, high = false_kill_interval(monitor.n_calibration, 1000, false_kill=0.05, level=0.998)
    assert low <= np.any(list(fired.values()), axis=0).any(axis=1).mean() <= high


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (feed(400, seed=0, n_bars=70), "normal_returns must have more bars than the warm-up, 70, got 70"),
        (feed(40, seed=0, n_bars=170), "normal_returns must be at least 19 paths, got 15"),
        (feed(14, seed=0, n_bars=170), "normal_returns must be at least 15 paths, got 14: half of them calibrate"),
        (np.full((400, 170), 100.0), "must be a log return"),
        (feed(400, seed=0, n_bars=170)[0], "normal_returns must be at least"),
    ],
)
def test_returns_that_make_no_monitor_are_refused_before_the_detector_sees_them(returns, message):
    with pytest.raises(ValueError, match=message):
        SafetyMonitor.for_detector(SimpleNamespace(warm_up=70), returns)


def test_the_room_opens_without_what_is_heavy():
    """Every public name, not just the room, whose names load lazily."""
    program = (
        "import sys, companion.risk as risk; [getattr(risk, name) for name in risk.__all__];"
        "print(*({'pandas', 'duckdb', 'sklearn', 'torch', 'scipy', 'numba', 'pyarrow'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=1200, check=True)
    assert run.stdout.split() == []
