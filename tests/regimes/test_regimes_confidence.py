"""The softmax survives what broke the printed listing; Platt's calibration recovers a known logistic law."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.cluster import KMeans

from companion.evaluation import expected_calibration_error
from companion.regimes import PlattCalibration, get_regime_confidence
from companion.regimes._confidence import centroid_distances
from companion.regimes._rules import order_by_volatility

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=60)


def centers(*rows):
    return SimpleNamespace(cluster_centers_=np.array(rows, dtype=float))


def test_distances_of_800_and_900_give_a_probability():
    kmeans = centers([800.0], [-900.0])
    assert get_regime_confidence(kmeans, np.zeros(1), stable_cluster=0) == pytest.approx(1.0)
    assert get_regime_confidence(kmeans, np.zeros(1), stable_cluster=1) == pytest.approx(np.exp(-100.0))


def test_is_the_books_softmax_where_that_works():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 3))
    kmeans = KMeans(n_clusters=2, n_init=2, random_state=0).fit(points)
    exponentials = np.exp(-kmeans.transform(points))
    for cluster in (0, 1):
        expected = exponentials[:, cluster] / exponentials.sum(axis=1)
        np.testing.assert_allclose(get_regime_confidence(kmeans, points, stable_cluster=cluster), expected, rtol=1e-12)
        single = get_regime_confidence(kmeans, points[7], stable_cluster=cluster)
        assert isinstance(single, float)
        assert single == pytest.approx(expected[7])


@DETERMINISTIC
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), st.floats(-1e6, 1e6))
def test_is_in_the_unit_interval_and_sums_to_one(centroids, x):
    kmeans = centers([centroids[0]], [centroids[1]])
    stable, chaos = (get_regime_confidence(kmeans, [x], stable_cluster=cluster) for cluster in (0, 1))
    assert 0.0 <= stable <= 1.0
    assert stable + chaos == pytest.approx(1.0)


def test_confidence_refuses_what_it_can_not_judge():
    kmeans = centers([0.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="latent_state must be finite"):
        get_regime_confidence(kmeans, [np.nan, 0.0], stable_cluster=0)
    with pytest.raises(ValueError, match="stable_cluster must be one of 0 to 1, got 2"):
        get_regime_confidence(kmeans, [0.0, 0.0], stable_cluster=2)
    with pytest.raises(ValueError, match="points must end in the axis of the centroids"):
        get_regime_confidence(kmeans, [0.0], stable_cluster=0)


def test_distances_are_euclidean():
    found = centroid_distances([[[3.0, 4.0]]], [[0.0, 0.0], [3.0, 0.0]])
    np.testing.assert_allclose(found, [[[5.0, 4.0]]])


@pytest.mark.parametrize("swap", [False, True])
def test_clusters_are_ordered_by_volatility_however_numbered(swap):
    returns = np.concatenate([np.full(50, 0.001), np.full(30, -0.05)])
    labels = (np.abs(returns) > 0.01).astype(int)
    order = order_by_volatility(1 - labels if swap else labels, returns)
    assert order.tolist() == ([1, 0] if swap else [0, 1])


def test_an_empty_cluster_is_named():
    with pytest.raises(ValueError, match="labels must hold every cluster, got none of cluster 1 in 100 bars"):
        order_by_volatility(np.zeros(100, dtype=int), np.ones(100))


def test_platt_recovers_a_logistic_law():
    rng = np.random.default_rng(5)
    score = rng.normal(3.0, 40.0, size=(20, 10_000))
    regime = rng.uniform(size=score.shape) < expit(0.05 * score - 1.5)
    found = PlattCalibration.fit(score, regime.astype(int))
    assert found.slope == pytest.approx(0.05, rel=0.02)
    assert found.intercept == pytest.approx(-1.5, rel=0.02)
    assert expected_calibration_error(regime, found.p_chaos(score)) < 0.005


def test_platt_does_not_depend_on_the_scale_of_the_score():
    rng = np.random.default_rng(6)
    score = rng.normal(size=3000)
    regime = (rng.uniform(size=3000) < expit(score)).astype(int)
    plain, scaled = PlattCalibration.fit(score, regime), PlattCalibration.fit(1e4 * score, regime)
    np.testing.assert_allclose(scaled.p_chaos(1e4 * score), plain.p_chaos(score), rtol=1e-6)


def test_platt_needs_both_regimes_and_one_shape():
    with pytest.raises(ValueError, match=r"regime must hold both 0 and 1 .*, got \[0\]"):
        PlattCalibration.fit([1.0, 2.0], [0, 0])
    with pytest.raises(ValueError, match="regime must have the shape of score"):
        PlattCalibration.fit([1.0, 2.0], [0, 1, 1])
