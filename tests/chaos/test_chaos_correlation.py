"""Correlation dimension: right on maps and flows, fooled by colored noise and by neighbors in time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import nolds_measures

from companion.chaos import (
    GARCH,
    Henon,
    LogisticMap,
    Lorenz,
    colored_noise,
    correlation_dimension,
    correlation_sum,
    delay_embedding,
    log_realized_variance,
)
from companion.chaos._pair_counts import pairs_within
from companion.chaos._slope_interval import N_BLOCKS


def noise(n_points: int = 1500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_points)


def henon(n_points: int = 1500, seed: int = 0) -> np.ndarray:
    return Henon().simulate(n_points, seed=seed)[:, 0]


def distances(series, *, delay, dimension, theiler):
    vectors = delay_embedding(series, delay=delay, dimension=dimension)
    i, j = np.triu_indices(len(vectors), theiler + 1)
    return i, j, np.abs(vectors[i] - vectors[j]).max(axis=1)


@settings(max_examples=20, deadline=None)
@given(
    n_points=st.integers(80, 120),
    delay=st.integers(1, 4),
    dimension=st.integers(1, 5),
    theiler=st.integers(0, 10),
    seed=st.integers(0, 99),
)
def test_sum_is_its_definition(n_points, delay, dimension, theiler, seed):
    series, radii = noise(n_points, seed), np.array([0.1, 0.5, 1.0, 2.0, 9.0])
    _, _, apart = distances(series, delay=delay, dimension=dimension, theiler=theiler)
    expected = [np.mean(apart <= r) for r in radii]
    found = correlation_sum(series, radii, delay=delay, dimension=dimension, theiler=theiler)
    assert found == pytest.approx(expected, abs=1e-15)
    assert found[-1] == 1.0


def test_pairs_are_counted_by_block_in_every_dimension():
    series, radii = henon(200), np.geomspace(0.01, 3.0, 7)
    counted = pairs_within(series, radii, 2, np.array([1, 3]), 4)
    n_points = len(series) - 4
    blocks = np.searchsorted(np.arange(N_BLOCKS + 1) * n_points // N_BLOCKS, np.arange(n_points), side="right") - 1
    for m, dimension in enumerate((1, 3)):
        # the same points in every dimension: those of the largest, cut short from the oldest coordinate
        vectors = np.stack([series[c * 2 : c * 2 + n_points] for c in range(dimension)], axis=1)
        i, j = np.triu_indices(n_points, 5)
        apart = np.abs(vectors[i] - vectors[j]).max(axis=1)
        assert counted.n_pairs == len(i)
        for block in range(N_BLOCKS):
            inside = (blocks[i] == block) | (blocks[j] == block)
            assert counted.n_touched[block] == inside.sum()
            assert counted.touched[block, m].tolist() == [np.count_nonzero(inside & (apart <= r)) for r in radii]


@pytest.mark.parametrize(("system", "truth"), [(Henon(), 1.22), (LogisticMap(), 1.0)])
def test_maps_are_within_their_interval(system, truth):
    found = correlation_dimension(system.simulate(2000, seed=0)[:, 0], delay=1, dimensions=range(1, 6), theiler=10)
    assert found.interval[0] <= truth <= found.interval[1]
    assert found.dimension == pytest.approx(truth, abs=0.1)
    assert found.reason == ""
    assert found.correlation_sums.shape == found.local_slopes.shape == (5, len(found.radii))


def test_lorenz_needs_the_theiler_window():
    lorenz = Lorenz(dt=0.002).simulate(1500, seed=1)[:, 0]
    without = correlation_dimension(lorenz, delay=20, dimensions=range(3, 7), theiler=0)
    assert without.interval[1] < 1.7
    coarse = Lorenz(dt=0.05).simulate(2000, seed=1)[:, 0]
    right = correlation_dimension(coarse, delay=3, dimensions=range(3, 7), theiler=40)
    assert right.interval[0] <= 2.05 <= right.interval[1]
    assert right.dimension == pytest.approx(2.05, abs=0.2)


@pytest.mark.parametrize("series", [noise(), GARCH(0.02, 0.1, 0.88, df=5).simulate(1500, seed=0)[:, 0]])
def test_noise_has_no_dimension(series):
    found = correlation_dimension(series, delay=1, dimensions=range(1, 9), theiler=10)
    assert found.dimension is None
    assert found.reason
    assert np.isnan(found.interval).all()
    assert found.by_dimension[:3] == pytest.approx([1, 2, 3], abs=0.25)


def test_an_embedding_that_is_filled_is_no_answer():
    growing = correlation_dimension(noise(2000), delay=1, dimensions=[2, 3, 4], theiler=10)
    assert growing.dimension is None
    assert "does not saturate" in growing.reason
    filled = correlation_dimension(LogisticMap().simulate(2000, seed=0)[:, 0], delay=1, dimensions=[1, 2, 3], theiler=9)
    assert filled.dimension is None
    assert "larger ones are needed" in filled.reason


@pytest.mark.parametrize("exponent", [1.75, 2.5])
def test_known_failure_colored_noise_has_a_dimension_until_neighbors_in_time_are_left_out(exponent):
    series = colored_noise(6000, exponent=exponent, seed=1)[:3000]
    fooled = correlation_dimension(series, delay=5, dimensions=range(6, 9), theiler=0)
    assert 2 / (exponent - 1) < fooled.dimension < 2 * 2 / (exponent - 1)
    assert correlation_dimension(series, delay=5, dimensions=range(6, 9), theiler=300).dimension is None


@pytest.mark.parametrize("seed", range(4))
def test_known_failure_overlapping_volatility_of_garch_has_a_dimension(seed):
    returns = GARCH(2e-6, 0.1, 0.88).simulate(3000, seed=seed)[:, 0]
    volatility = log_realized_variance(returns, window=20, step=1)
    fooled = correlation_dimension(volatility, delay=20, dimensions=range(4, 7), theiler=0)
    assert 1.9 < fooled.dimension < 2.5
    assert correlation_dimension(volatility, delay=20, dimensions=range(4, 7), theiler=200).dimension is None


def test_units_and_ties():
    series, radii = henon(500), np.geomspace(0.01, 2.0, 20)
    plain = correlation_dimension(series, delay=1, dimensions=[3, 4, 5], theiler=5, radii=radii)
    other = correlation_dimension(8.0 * series, delay=1, dimensions=[3, 4, 5], theiler=5, radii=8.0 * radii)
    assert np.array_equal(other.correlation_sums, plain.correlation_sums)
    counts = np.random.default_rng(0).integers(0, 9, 500)
    tied = correlation_dimension(counts, delay=1, dimensions=[1, 2, 3], theiler=5)
    assert tied.dimension is None
    assert "rounded or repeats itself" in tied.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"series": np.r_[noise(), np.nan]}, "series must be finite"),
        ({"series": np.ones(500)}, "series must"),
        ({"series": noise(41)}, "at least 42 points for dimension=3, delay=1, theiler=10, got 41"),
        ({"delay": 0}, "delay must be a positive integer, got 0"),
        ({"theiler": -1}, "theiler must be a non-negative integer, got -1"),
        ({"dimensions": [1, 2]}, "dimensions must be at least 3 numbers that ascend"),
        ({"dimensions": [3, 2, 1]}, "dimensions must be at least 3 numbers that ascend"),
        ({"dimensions": [0, 1, 2]}, "dimensions must be a positive integer, got 0"),
        ({"radii": [1.0, 0.5]}, "radii must ascend"),
        ({"radii": [-1.0]}, "radii must be positive"),
    ],
)
def test_bad_arguments_are_named(change, message):
    call = {"series": noise(), "delay": 1, "dimensions": [1, 2, 3], "theiler": 10} | change
    with pytest.raises(ValueError, match=message):
        correlation_dimension(call.pop("series"), **call)


def test_nearer_to_the_published_value_than_nolds():
    series = henon()
    peer = nolds_measures().corr_dim(series, 4)
    ours = correlation_dimension(series, delay=1, dimensions=[2, 3, 4], theiler=10).dimension
    assert ours == pytest.approx(peer, abs=0.15)
    assert abs(ours - 1.22) < abs(peer - 1.22)
