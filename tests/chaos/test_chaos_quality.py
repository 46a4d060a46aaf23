"""Quality of a reconstruction: perfect, useless and half-blind ones, brute force, chance levels and invariances."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.chaos import Lorenz, delay_embedding, reconstruction_quality
from companion.chaos._quality import RADII

SEEDS = st.integers(0, 2**32 - 1)


@functools.cache
def lorenz():
    return Lorenz().simulate(4000, seed=2)


def embedded(coordinate, delay, dimension):
    points = delay_embedding(lorenz()[:, coordinate], delay=delay, dimension=dimension)
    return points, lorenz()[-len(points) :]


def test_the_states_themselves_are_the_best_reconstruction():
    states = lorenz()
    found = reconstruction_quality(states / states.std(axis=0), states, theiler=50, n_neighbors=8)
    assert found.neighbor_overlap == 1.0
    assert (found.r_squared > 0.97).all()
    assert (found.continuity[-2:] > 0.999).all()
    np.testing.assert_array_equal(found.radii, RADII)


def test_lorenz_is_rebuilt_from_x_at_a_good_delay_and_less_at_a_bad_one():
    good, bad, one = (reconstruction_quality(*embedded(0, *choice), theiler=50) for choice in ((6, 3), (60, 3), (1, 1)))
    assert (good.r_squared > 0.9).all()
    assert good.neighbor_overlap > 0.5
    assert good.continuity[2] > 0.9
    for worse in (bad, one):
        assert worse.neighbor_overlap < 0.5 * good.neighbor_overlap
        assert worse.r_squared[2] < 0.6
        assert (worse.continuity < good.continuity).all()


def test_from_z_the_sign_of_x_and_y_can_not_be_known():
    # The equations do not change when x and y change their signs, and z does not notice.
    found = reconstruction_quality(*embedded(2, 6, 3), theiler=50)
    assert found.r_squared[2] > 0.95
    assert (found.r_squared[:2] < 0.1).all()
    assert found.neighbor_overlap < 0.6
    assert found.continuity[-1] < 0.8


def test_what_has_nothing_to_do_with_the_states_reaches_the_chance_levels():
    rng = np.random.default_rng(4)
    overlap, continuity = [], []
    for _ in range(12):
        found = reconstruction_quality(rng.normal(size=(800, 2)), rng.normal(size=(800, 2)), theiler=5, n_neighbors=6)
        overlap.append(found.neighbor_overlap)
        continuity.append(found.continuity)
        assert (found.r_squared < 0.05).all()
    for measured, chance in ((overlap, found.chance_overlap), (continuity, found.chance_continuity)):
        error = np.std(measured, axis=0) / np.sqrt(12)
        assert (np.abs(np.mean(measured, axis=0) - chance) < 5 * error + 0.02 * np.asarray(chance)).all()


def naive(points, truth, theiler, k):
    n = len(points)
    truth = (truth - truth.mean(axis=0)) / truth.std(axis=0)
    shared, confidence, chance, share_by_chance = 0, np.zeros(len(RADII)), np.zeros(len(RADII)), 0.0
    for i in range(n):
        others = np.array([j for j in range(n) if abs(i - j) > theiler])
        near = others[np.argsort(np.linalg.norm(points[others] - points[i], axis=1))[:k]]
        true_distances = np.linalg.norm(truth[others] - truth[i], axis=1)
        shared += len(set(near) & set(others[np.argsort(true_distances)[:k]]))
        share_by_chance += k / len(others)
        for r, radius in enumerate(RADII):
            p = np.mean(true_distances <= radius)
            m = 0
            while m < k and np.linalg.norm(truth[near[m]] - truth[i]) <= radius:
                m += 1
            confidence[r] += 1.0 - p**m
            # m is j with probability p**j (1 - p), and k with probability p**k
            chance[r] += sum(p**j * (1 - p) * (1 - p**j) for j in range(k)) + p**k * (1 - p**k)
    return shared / (n * k), share_by_chance / n, confidence / n, chance / n


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(0, 6), st.integers(1, 5))
def test_it_is_its_definition(seed, theiler, n_neighbors):
    rng = np.random.default_rng(seed)
    truth = np.cumsum(rng.normal(size=(60, 2)), axis=0)
    points = truth @ rng.normal(size=(2, 3)) + rng.normal(size=(60, 3))
    found = reconstruction_quality(points, truth, theiler=theiler, n_neighbors=n_neighbors)
    overlap, chance_overlap, continuity, chance_continuity = naive(points, truth, theiler, n_neighbors)
    assert found.neighbor_overlap == pytest.approx(overlap)
    assert found.chance_overlap == pytest.approx(chance_overlap)
    np.testing.assert_allclose(found.continuity, continuity, atol=1e-12)
    np.testing.assert_allclose(found.chance_continuity, chance_continuity, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_turning_the_reconstruction_and_rescaling_the_states_changes_nothing(seed, scale, shift):
    rng = np.random.default_rng(seed)
    truth = np.cumsum(rng.normal(size=(150, 2)), axis=0)
    points = truth @ rng.normal(size=(2, 2)) + 0.1 * rng.normal(size=(150, 2))
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    before = reconstruction_quality(points, truth, theiler=3, n_neighbors=4)
    after = reconstruction_quality(
        scale * points @ turn + shift, truth * [scale, -2.0] + shift, theiler=3, n_neighbors=4
    )
    assert before.neighbor_overlap == pytest.approx(after.neighbor_overlap, abs=0.01)  # a near tie may turn
    np.testing.assert_allclose(before.r_squared, after.r_squared, atol=0.01)
    np.testing.assert_allclose(before.continuity, after.continuity, atol=0.01)


def test_only_the_first_half_is_known():
    rng = np.random.default_rng(7)
    states = rng.normal(size=(600, 1))
    points = states.copy()
    points[300:] = rng.normal(size=(300, 1))  # a reconstruction that holds in the first half alone
    assert reconstruction_quality(points, states, theiler=0).r_squared[0] < 0.0
    # And with the halves exchanged nothing is learned either, though the asked half is perfect.
    assert reconstruction_quality(points[::-1], states[::-1], theiler=0).r_squared[0] < 0.05


def test_as_many_rows_as_the_window_are_left_out_between_the_halves():
    rng = np.random.default_rng(9)
    points, states = rng.normal(size=(61, 2)), rng.normal(size=(61, 1))
    asked = states[30 + 7 :]
    away = np.linalg.norm(points[37:, None] - points[None, :30], axis=2)
    error = states[away.argmin(axis=1)] - asked
    found = reconstruction_quality(points, states, theiler=7, n_neighbors=1)
    assert found.r_squared[0] == pytest.approx(1.0 - np.mean(error**2) / asked.var())


def test_a_coordinate_that_rests_in_the_second_half_has_no_r_squared():
    states = np.random.default_rng(7).normal(size=(100, 2))
    states[50:, 1] = 0.0
    found = reconstruction_quality(states, states, theiler=0, n_neighbors=3)
    assert found.r_squared[0] > 0.5
    assert np.isnan(found.r_squared[1])


TABLE = np.random.default_rng(0).normal(size=(40, 2))


def spoiled(value):
    table = TABLE.copy()
    table[3, 1] = value
    return table


@pytest.mark.parametrize(
    ("embedding", "states", "options", "message"),
    [
        (TABLE, TABLE[1:], {}, r"one row a time each, got 40 and 39 rows"),
        (TABLE[:, 0], TABLE, {}, r"embedding must have shape \(n_points, n_dimensions\), got \(40,\)"),
        (TABLE, TABLE[:, 0], {}, r"states must have shape"),
        (spoiled(np.nan), TABLE, {}, r"embedding\[3, 1\] must be finite, got nan"),
        (TABLE, spoiled(np.inf), {}, r"states\[3, 1\] must be finite, got inf"),
        (TABLE, np.c_[TABLE[:, 0], np.zeros(40)], {}, r"states\[:, 1\] must vary, got 0 in every row"),
        (np.ones((40, 2)), TABLE, {}, r"embedding must vary"),
        (TABLE, TABLE, {"theiler": 17}, r"at least 42 rows for n_neighbors=3, theiler=17, got 40"),
        (TABLE, TABLE, {"theiler": -1}, r"theiler must be a non-negative integer"),
        (TABLE, TABLE, {"n_neighbors": 0}, r"n_neighbors must be a positive integer"),
        ([["a", "b"]] * 40, TABLE, {}, r"embedding must be a table of numbers"),
    ],
)
def test_bad_arguments_are_refused_by_name(embedding, states, options, message):
    with pytest.raises(ValueError, match=message):
        reconstruction_quality(embedding, states, **{"theiler": 2, "n_neighbors": 3, **options})


def test_the_least_number_of_rows_is_enough():
    found = reconstruction_quality(TABLE, TABLE, theiler=16, n_neighbors=3)
    assert found.neighbor_overlap > 0.9
