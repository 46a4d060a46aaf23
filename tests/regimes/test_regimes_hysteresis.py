"""Hysteresis is a Schmitt trigger: equal to the obvious loop, causal, and never switching more than its threshold."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from companion.regimes import hysteresis

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=100)
LEVELS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def by_loop(p_chaos, enter_chaos, leave_chaos, start):
    regime, out = start, []
    for p in p_chaos:
        if p >= enter_chaos:
            regime = 1
        elif p <= leave_chaos:
            regime = 0
        out.append(regime)
    return out


@DETERMINISTIC
@given(PROBABILITIES, LEVELS, st.integers(0, 1))
def test_equals_the_obvious_loop(probability, levels, start):
    leave, enter = levels
    found = hysteresis(probability, enter_chaos=enter, leave_chaos=leave, start=start)
    assert found.dtype == np.int8
    assert found.tolist() == by_loop(probability, enter, leave, start)


@DETERMINISTIC
@given(PROBABILITIES, PROBABILITIES, LEVELS)
def test_the_past_does_not_move(past, future, levels):
    leave, enter = levels
    alone = hysteresis(past, enter_chaos=enter, leave_chaos=leave)
    assert hysteresis(past + future, enter_chaos=enter, leave_chaos=leave)[: len(past)].tolist() == alone.tolist()


@DETERMINISTIC
@given(PROBABILITIES, st.lists(st.floats(0, 1), min_size=4, max_size=4).map(sorted))
def test_a_wider_band_never_switches_more(probability, levels):
    lowest, leave, enter, highest = levels
    assume(leave < enter or lowest < leave)  # of two equal levels the one that enters counts: then a tie calls chaos
    narrow = hysteresis(probability, enter_chaos=enter, leave_chaos=leave)
    wide = hysteresis(probability, enter_chaos=highest, leave_chaos=lowest)
    assert np.count_nonzero(np.diff(wide, prepend=0)) <= np.count_nonzero(np.diff(narrow, prepend=0))


@DETERMINISTIC
@given(PROBABILITIES, st.floats(0, 1))
def test_equal_levels_are_a_threshold(probability, level):
    found = hysteresis(probability, enter_chaos=level, leave_chaos=level)
    assert found.tolist() == [int(p >= level) for p in probability]


def test_paths_do_not_see_each_other():
    rng = np.random.default_rng(1)
    probability = rng.uniform(size=(3, 5, 50))
    together = hysteresis(probability, enter_chaos=0.7, leave_chaos=0.2)
    for index in np.ndindex(3, 5):
        assert together[index].tolist() == hysteresis(probability[index], enter_chaos=0.7, leave_chaos=0.2).tolist()


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_what_is_no_probability_is_refused(bad):
    with pytest.raises(ValueError, match=r"p_chaos must lie in \[0, 1\]"):
        hysteresis([0.5, bad], enter_chaos=0.4, leave_chaos=0.1)


@pytest.mark.parametrize(("enter", "leave"), [(0.1, 0.4), (1.2, 0.1), (0.4, -0.1), (np.nan, 0.1)])
def test_levels_out_of_order_are_refused(enter, leave):
    with pytest.raises(ValueError, match=r"enter_chaos and leave_chaos must satisfy .*, got "):
        hysteresis([0.5], enter_chaos=enter, leave_chaos=leave)


def test_other_arguments_are_checked():
    with pytest.raises(ValueError, match="start must be 0 or 1, got 2"):
        hysteresis([0.5], enter_chaos=0.4, leave_chaos=0.1, start=2)
    with pytest.raises(ValueError, match=r"p_chaos must have shape .* single number"):
        hysteresis(0.5, enter_chaos=0.4, leave_chaos=0.1)
