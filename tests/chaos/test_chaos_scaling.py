"""The straight stretch of a curve, and the refusal where there is none."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.chaos import find_scaling_region


def bent_line(slope: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Flat up to point 10, a line up to point 30, flat after it."""
    x = np.arange(41.0)
    return x, slope * np.clip(x - 10.0, 0.0, 20.0)


def test_the_stretch_is_found_where_it_is():
    region = find_scaling_region(*bent_line(), tolerance=0.01)
    assert (region.start, region.stop, region.n_points) == (10, 31, 21)
    assert region.slope == pytest.approx(0.5)
    assert region.rise == pytest.approx(10.0)
    assert region.r_squared == pytest.approx(1.0)
    assert region.curvature == pytest.approx(0.0, abs=1e-9)
    assert region.interval == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param(lambda x: 0.7 * np.log(x), id="power of time"),
        pytest.param(lambda x: np.exp(0.3 * x), id="exponential"),
        pytest.param(lambda x: 2.0 - 0.2 * x, id="falling line"),
        pytest.param(lambda x: np.zeros_like(x), id="flat"),
        pytest.param(lambda x: np.full_like(x, np.nan), id="nothing"),
        pytest.param(lambda x: np.where(x % 4 == 0, np.nan, 0.5 * x), id="only gaps"),
    ],
)
def test_no_line_no_region(curve):
    x = np.arange(1.0, 21.0)
    assert find_scaling_region(x, curve(x), min_rise=1.2) is None


def test_no_stretch_contains_a_gap():
    x = np.arange(30.0)
    y = 0.5 * x
    y[12] = np.nan
    region = find_scaling_region(x, y)
    assert (region.start, region.stop) == (13, 30)


def test_slopes_are_those_of_least_squares_and_the_interval_holds_those_of_the_thirds():
    x = np.sort(np.random.default_rng(0).uniform(0, 10, 31))
    y = 1e3 + x + 0.002 * x**2 + 0.01 * np.random.default_rng(1).standard_normal(31)
    region = find_scaling_region(x, y)
    part = slice(region.start, region.stop)
    assert region.slope == pytest.approx(np.polyfit(x[part], y[part], 1)[0])
    assert region.r_squared == pytest.approx(np.corrcoef(x[part], y[part])[0, 1] ** 2)
    steps = region.n_points - 1
    ends = np.array([0, steps // 3, steps - steps // 3, steps]) + region.start
    thirds = [np.polyfit(x[a : b + 1], y[a : b + 1], 1)[0] for a, b in pairwise(ends)]
    assert region.interval == pytest.approx([min(*thirds, region.slope), max(*thirds, region.slope)])
    assert region.curvature == pytest.approx(np.ptp([*thirds, region.slope]) / region.slope)


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.01, 100.0), stretch=st.floats(0.01, 100.0), shift=st.floats(-100, 100), seed=st.integers(0, 9))
def test_units_do_not_move_the_region(scale, stretch, shift, seed):
    x, y = bent_line()
    y = y + 0.05 * np.random.default_rng(seed).standard_normal(len(y))
    region = find_scaling_region(x, y, min_rise=2.0)
    other = find_scaling_region(stretch * x + shift, scale * y - shift, min_rise=2.0 * scale)
    assert (other.start, other.stop) == (region.start, region.stop)
    assert other.slope == pytest.approx(region.slope * scale / stretch, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.arange(9.0)}, "one shape"),
        ({"x": np.zeros(10)}, "x must be finite and ascend"),
        ({"min_points": 3}, "min_points must be at least 4, got 3"),
        ({"min_rise": 0.0}, "min_rise must be a positive"),
        ({"tolerance": np.nan}, "tolerance must be a positive"),
        ({"x": np.arange(2000.0), "y": np.arange(2000.0)}, "at most 1500 points, got 2000"),
    ],
)
def test_what_is_no_curve_is_refused(change, message):
    call = {"x": np.arange(10.0), "y": np.arange(10.0), "min_points": 5, "min_rise": 1.0, "tolerance": 0.3} | change
    with pytest.raises(ValueError, match=message):
        find_scaling_region(call.pop("x"), call.pop("y"), **call)


def test_fewer_points_than_a_stretch_hold_none():
    assert find_scaling_region([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]) is None
    assert find_scaling_region([], []) is None
