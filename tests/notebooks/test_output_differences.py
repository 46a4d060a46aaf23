"""Two outputs differ where a reader would say so, and the message names the value."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from output_differences import FIGURE, FIGURE_DIGITS, GLUE_PREFIX, Tolerance, output_differences, value_differences

from companion.plotting._store import DIGITS

DEFAULT = Tolerance()


def stream(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def result(**data: object) -> dict:
    return {"output_type": "execute_result", "metadata": {}, "execution_count": 1, "data": data}


def figure(y: list) -> dict:
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {FIGURE: {"data": [{"type": "scatter", "y": y}], "layout": {"meta": {"alt": "a line"}}}},
    }


def glued(text: str) -> dict:
    return {
        "output_type": "display_data",
        "metadata": {"scrapbook": {"name": "bias", "mime_prefix": GLUE_PREFIX}},
        "data": {GLUE_PREFIX + "text/plain": text},
    }


@pytest.mark.parametrize(
    ("stored", "now", "message"),
    [
        (stream("a 0.51\nb 0.61\n"), stream("a 0.51\nb 0.62\n"), "stdout, number 2: stored 0.61, now 0.62"),
        (stream("3 switches"), stream("4 switches"), "stdout, number 1: stored 3, now 4"),
        (stream("calm\n"), stream("chaos\n"), "stdout: stored 'calm', now 'chaos'"),
        (stream("x = 1.5"), stream("x = nan"), "stdout, number 1: stored 1.5, now nan"),
        (figure([1.0, 1.01]), figure([1.0, 1]), "figure data[0].y[1]: stored 1.01, now 1"),
        (figure([1.0, 2.0]), figure([1.0]), "figure data[0].y: stored 2 items, now 1"),
        (figure([1.0, None]), figure([1.0, 2.0]), "figure data[0].y[1]: stored null, now 2.0"),
        (glued("0.125"), glued("0.126"), "glue 'bias', number 1: stored 0.125, now 0.126"),
        (
            result(**{"text/html": "<td>7</td>"}),
            result(**{"text/html": "<td>8</td>"}),
            "result (text/html), number 1: stored 7, now 8",
        ),
    ],
)
def test_a_difference_is_named(stored: dict, now: dict, message: str) -> None:
    assert output_differences([stored], [now], DEFAULT) == [message]
    assert output_differences([stored], [copy.deepcopy(stored)], DEFAULT) == []


@pytest.mark.parametrize(
    ("stored", "now", "words"),
    [
        ([stream("1\n")], [], "stdout: stored '1\\n', now nothing"),
        ([], [stream("1\n")], "stdout: stored nothing, now '1\\n'"),
        ([], [stream("UserWarning: old\n", "stderr")], "stderr: stored nothing, now 'UserWarning: old\\n'"),
        ([figure([1])], [stream("1")], "figure: stored"),
        (
            [result(**{"text/plain": "a"})],
            [result(**{"text/plain": "a", "text/html": "b"})],
            "text/html is only in the",
        ),
        ([result(**{"image/png": "AAAA"})], [result(**{"image/png": "AAAB"})], "stored image with sha256"),
    ],
)
def test_an_output_that_comes_or_goes_is_named(stored: list, now: list, words: str) -> None:
    assert any(words in line for line in output_differences(stored, now, DEFAULT))


def test_noise_below_the_tolerance_is_no_difference() -> None:
    assert output_differences([stream("a  0.3000000001")], [stream("a 0.3")], DEFAULT) == []
    assert output_differences([figure([1.0000001, 2])], [figure([1.0, 2.0])], DEFAULT) == []
    assert output_differences([stream("0.5")], [stream("0.500001")], DEFAULT) != []


def test_a_rounding_that_turns_over_is_no_difference_in_a_figure() -> None:
    assert FIGURE_DIGITS == DIGITS
    turned = [(1.0001, 1), (0.012345, 0.012346), (12345, 12346), (-9.9999, -10)]
    assert output_differences([figure([a for a, _ in turned])], [figure([b for _, b in turned])], DEFAULT) == []
    moved = [(1.0002, 1), (0.012345, 0.012347), (12345, 12347), (3, 4), (0, 0.001), (1, -1)]
    stored, now = figure([a for a, _ in moved]), figure([b for _, b in moved])
    assert len(output_differences([stored], [now], DEFAULT)) == len(moved)


def test_integers_agree_only_where_equal_unless_the_cell_widens() -> None:
    stored, now = [stream("10000000 paths")], [stream("10000001 paths")]
    assert output_differences(stored, now, DEFAULT) != []
    assert output_differences(stored, now, Tolerance(rtol=1e-3, widened=True)) == []
    assert Tolerance(rtol=1e-3, widened=True).agree(math.nan, 1.0) is False


def test_a_printed_number_may_round_the_other_way_only_where_the_cell_widens() -> None:
    widened = Tolerance(rtol=1e-9, widened=True)
    for before, after in [("0.05", "0.06"), ("−0.01", "0.00"), ("+0.02", "+0.03"), ("0.120", "0.121")]:
        assert output_differences([stream(before)], [stream(after)], widened) == []
        assert output_differences([stream(before)], [stream(after)], DEFAULT) != []
    for before, after in [("0.05", "0.07"), ("−0.02", "0.02"), ("3", "4"), ("0.120", "0.122")]:
        assert output_differences([stream(before)], [stream(after)], widened) != []


def test_a_true_minus_is_a_sign() -> None:
    assert output_differences([stream("−0.30000000001")], [stream("−0.3")], DEFAULT) == []
    assert output_differences([stream("−0.3")], [stream("0.3")], DEFAULT) != []


@pytest.mark.parametrize(
    ("nbval", "words"),
    [
        (True, "without a reason"),
        ({"rtol": 0.01}, "without a reason"),
        ({"rtol": 0.01, "reason": "  "}, "without a reason"),
        ({"rtol": 0.3, "reason": "noise"}, "rtol is 0.3"),
        ({"atol": 5, "reason": "noise"}, "atol is 5"),
        ({"rtol": float("nan"), "reason": "noise"}, "rtol is nan"),
        ({"rtol": True, "reason": "noise"}, "rtol is True"),
        ({"rtol": "1", "reason": "noise"}, "rtol is '1'"),
        ({"reason": "noise"}, "neither rtol nor atol"),
        ({"rtoll": 0.1, "reason": "noise"}, "unknown key 'rtoll'"),
    ],
)
def test_a_tolerance_needs_a_reason_and_a_bound(nbval: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Tolerance.of_cell({"nbval": nbval})


def test_a_tolerance_is_read_from_the_cell() -> None:
    assert Tolerance.of_cell({}) == DEFAULT
    asked = {"nbval": {"rtol": 1e-3, "reason": "float32 sums in another order"}}
    assert Tolerance.of_cell(asked) == Tolerance(rtol=1e-3, widened=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(JSON)
def test_every_value_agrees_with_itself(value: object) -> None:
    assert list(value_differences(value, copy.deepcopy(value), DEFAULT, "value")) == []


@settings(derandomize=True, deadline=None, max_examples=150)
@given(JSON, JSON)
def test_differences_are_symmetric(a: object, b: object) -> None:
    there = list(value_differences(a, b, DEFAULT, "value"))
    back = list(value_differences(b, a, DEFAULT, "value"))
    assert len(there) == len(back)
