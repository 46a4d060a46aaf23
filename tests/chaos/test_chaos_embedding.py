"""A delay embedding: rows are the series, shifted; nothing comes from the future; bad input is refused by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.chaos import delay_embedding
from companion.chaos._embedding import future_points, unit_deviations

FLOATS = st.floats(-1e6, 1e6, allow_subnormal=False)


@st.composite
def embeddings(draw):
    delay, dimension = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    least = (dimension - 1) * delay + 1
    values = draw(st.lists(FLOATS, min_size=max(least, 2), max_size=least + 30))
    values[0] = values[-1] + 1.0  # they vary
    return np.array(values), delay, dimension


@settings(max_examples=40, deadline=None)
@given(embeddings())
def test_column_k_is_the_series_k_delays_ago(case):
    values, delay, dimension = case
    span = (dimension - 1) * delay
    points = delay_embedding(values, delay=delay, dimension=dimension)
    assert points.shape == (len(values) - span, dimension)
    assert points.dtype == np.float64
    for row, point in enumerate(points):
        t = row + span
        assert point.tolist() == [values[t - k * delay] for k in range(dimension)]


@settings(max_examples=40, deadline=None)
@given(embeddings(), st.data())
def test_no_row_changes_when_the_future_does(case, data):
    values, delay, dimension = case
    span = (dimension - 1) * delay
    row = data.draw(st.integers(0, len(values) - span - 1))
    changed = values.copy()
    changed[row + span + 1 :] = np.random.default_rng(0).normal(size=len(values) - row - span - 1)
    if np.ptp(changed) == 0.0:
        changed[0] += 1.0
        values = np.concatenate([changed[: row + span + 1], values[row + span + 1 :]])
    before = delay_embedding(values, delay=delay, dimension=dimension)[: row + 1]
    np.testing.assert_array_equal(delay_embedding(changed, delay=delay, dimension=dimension)[: row + 1], before)


def test_integers_and_lists_are_taken():
    points = delay_embedding([0, 1, 2, 3, 4, 5], delay=2, dimension=3)
    np.testing.assert_array_equal(points, [[4.0, 2.0, 0.0], [5.0, 3.0, 1.0]])


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (np.arange(100.0), r"series must have at least 201 points for dimension=5, delay=50, got 100"),
        (np.ones(300), r"series must not be constant, got 1"),
        (np.r_[np.arange(299.0), np.nan], r"series must be finite, got nan at point 299"),
        (np.r_[np.arange(299.0), np.inf], r"series must be finite, got inf"),
        (np.zeros((2, 300)), r"series must be one series"),
        (["a"] * 300, r"series must be an array of numbers"),
    ],
)
def test_a_bad_series_is_refused(series, message):
    with pytest.raises(ValueError, match=message):
        delay_embedding(series, delay=50, dimension=5)


@pytest.mark.parametrize("name", ["delay", "dimension"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_delay_and_dimension_are_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got {value}"):
        delay_embedding(np.arange(100.0), **{"delay": 1, "dimension": 2, name: value})


def test_the_tests_of_dimension_see_standardized_points_in_the_order_of_time():
    series = 3.0 + 0.5 * np.random.default_rng(3).integers(0, 9, size=60)
    future = future_points(series, delay=2, max_dimension=3, theiler=1, n_more=1)
    standardized = (series - series.mean()) / series.std()
    for row, point in enumerate(future.points):
        np.testing.assert_allclose(point, standardized[row : row + 7 : 2], atol=1e-12)
    assert len(future.points) == 60 - 6
    assert future.resolution == pytest.approx(0.5 / series.std())


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e12, 1e300])
def test_standardizing_neither_overflows_nor_underflows(scale):
    series = np.random.default_rng(3).normal(size=60)
    given = {"delay": 2, "max_dimension": 3, "theiler": 1, "n_more": 1}
    points = future_points(series, **given).points
    np.testing.assert_allclose(future_points(scale * series, **given).points, points, atol=1e-12)


@pytest.mark.parametrize("exponent", [-900, 0, 1020])
def test_deviations_neither_overflow_nor_vanish(exponent):
    values = np.random.default_rng(0).uniform(-1.0, 3.0, 200)
    deviations = unit_deviations(np.ldexp(values, exponent))
    assert np.array_equal(deviations, unit_deviations(values))
    assert np.abs(deviations).max() == 1.0
    assert deviations.mean() == pytest.approx(0.0, abs=1e-15)
    assert np.corrcoef(deviations, values)[0, 1] == pytest.approx(1.0)
