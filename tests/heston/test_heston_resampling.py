"""Systematic resampling of the particle filter against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.heston.kernels._particles import switch


def _definition(u: np.ndarray, weight: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Which particle (counted over all regimes) fills each place of each regime."""
    n = weight.shape[1]
    places = []
    for new in range(len(weight)):
        covered = np.cumsum(weight * transition[:, new, None])
        places.append(np.searchsorted(covered, (u[new] + np.arange(n)) * covered[-1] / n).clip(max=weight.size - 1))
    return np.array(places)


def _switched(u: np.ndarray, weight: np.ndarray, transition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    after, place = weight.copy(), np.arange(weight.size, dtype=np.float64).reshape(weight.shape)
    switch(u, after, place, transition, np.empty(weight.shape))
    return after, place


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 3), st.integers(1, 40), st.floats(0.0, 8.0))
def test_each_place_is_filled_by_the_particle_whose_weight_covers_it(seed, n_regimes, n, spread):
    rng = np.random.default_rng(seed)
    weight = np.exp(spread * rng.normal(size=(n_regimes, n)))
    weight[rng.random(weight.shape) < 0.3] = 0.0
    weight[0, 0] += 1e-3
    weight /= weight.sum()
    transition = rng.dirichlet(np.ones(n_regimes), size=n_regimes)
    u = rng.uniform(1e-6, 1 - 1e-6, n_regimes)
    after, place = _switched(u, weight, transition)
    np.testing.assert_array_equal(place, _definition(u, weight, transition))
    np.testing.assert_allclose(after, np.repeat(weight.sum(axis=1) @ transition / n, n).reshape(after.shape))


@pytest.mark.parametrize("lost", [0.0, 5e-324, 1e-305])
def test_a_regime_that_nobody_enters_is_filled_all_the_same(lost):
    """Its weight is nothing, or too small to divide by; its particles must still be some of the old ones."""
    weight, u = np.array([[0.5, 0.5], [0.0, lost]]), np.array([0.3, 0.9])
    after, place = _switched(u, weight, np.eye(2))
    assert set(place.ravel()) <= {0.0, 1.0, 2.0, 3.0}
    np.testing.assert_array_equal(place[0], [0.0, 1.0])
    np.testing.assert_allclose(after, [[0.5, 0.5], [lost / 2, lost / 2]])
