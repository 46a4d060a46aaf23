"""Neighbors outside a Theiler window equal brute force, for any points, window and norm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from companion.chaos import _neighbors
from companion.chaos._neighbors import nearest

METRICS = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}


def brute_force(points, n_neighbors, theiler, norm):
    distances = cdist(points, points, METRICS[norm])
    apart = np.abs(np.subtract.outer(np.arange(len(points)), np.arange(len(points))))
    distances[apart <= theiler] = np.inf
    return np.sort(distances, axis=1)[:, :n_neighbors]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 12),
    st.integers(0, 40),
    st.sampled_from(list(METRICS)),
    st.booleans(),
)
def test_it_equals_brute_force(seed, n_dimensions, n_neighbors, theiler, more, norm, tied):
    n_points = n_neighbors + 2 * theiler + 1 + more
    rng = np.random.default_rng(seed)
    # A random walk: neighbors in time are neighbors in space, so that the window matters.
    points = np.cumsum(rng.normal(size=(n_points, n_dimensions)), axis=0)
    points = np.round(points) if tied else points
    distances, indices = nearest(points, n_neighbors=n_neighbors, theiler=theiler, norm=norm)
    np.testing.assert_allclose(distances, brute_force(points, n_neighbors, theiler, norm), rtol=1e-12, atol=1e-12)
    assert (np.abs(indices - np.arange(n_points)[:, None]) > theiler).all()
    assert all(len(set(row)) == n_neighbors for row in indices.tolist())
    own = np.linalg.norm(points[indices] - points[:, None], ord=norm, axis=2)
    np.testing.assert_allclose(own, distances, rtol=1e-12, atol=1e-12)


def test_memory_is_cut_into_pieces_without_a_seam(monkeypatch):
    points = np.cumsum(np.random.default_rng(1).normal(size=(500, 2)), axis=0)
    whole = nearest(points, n_neighbors=3, theiler=20)
    monkeypatch.setattr(_neighbors, "_CANDIDATES_AT_ONCE", 100)
    pieces = nearest(points, n_neighbors=3, theiler=20)
    np.testing.assert_array_equal(whole[0], pieces[0])
    np.testing.assert_array_equal(whole[1], pieces[1])


def test_a_standing_trajectory_is_asked_again_until_it_is_outside_the_window():
    # 300 points at one place: every candidate is as near as every other, and most lie inside the window.
    distances, indices = nearest(np.zeros((300, 1)), n_neighbors=2, theiler=140)
    assert (distances == 0).all()
    assert (np.abs(indices - np.arange(300)[:, None]) > 140).all()


def test_the_least_number_of_points_is_named():
    with pytest.raises(ValueError, match=r"points must be at least 24 for n_neighbors=3, theiler=10, got 23"):
        nearest(np.arange(23.0)[:, None], n_neighbors=3, theiler=10)
    assert nearest(np.arange(24.0)[:, None], n_neighbors=3, theiler=10)[0].shape == (24, 3)


@pytest.mark.parametrize(("name", "value"), [("n_neighbors", 0), ("n_neighbors", 1.5), ("theiler", -1)])
def test_counts_are_checked(name, value):
    with pytest.raises(ValueError, match=name):
        nearest(np.zeros((9, 1)), **{"n_neighbors": 1, "theiler": 0, name: value})
