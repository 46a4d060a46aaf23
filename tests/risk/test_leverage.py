"""The dimmer: the book's rules where they speak, one answer where they are silent, flat where the input is broken."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar

from companion.risk import DimmerSteps, dimmer, kelly_leverage, ramp

PROPERTY = settings(derandomize=True, deadline=None, max_examples=300)
UNIT = st.floats(0.0, 1.0)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
BROKEN = [float("nan"), float("inf"), float("-inf"), -1e-9, 1.0 + 1e-9, 1e300]
LEVELS = {0.0, 0.8, 1.0}
DRIFTS, VARIANCES = (0.15, -0.30), (0.013, 0.09)
kelly = partial(kelly_leverage, drifts=DRIFTS, variances=VARIANCES)


def paths(elements, size=None):
    return arrays(np.float64, st.integers(1, 40) if size is None else st.just(size), elements=elements)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, 0.0), (0.4999, 0.0), (0.6001, 0.8), (0.75, 0.8), (0.9, 0.8), (0.9001, 1.0), (1.0, 1.0)],
)
@pytest.mark.parametrize("previous", [0.0, 0.8, 1.0])
def test_the_three_rules_of_the_book_hold_whatever_came_before(probability, expected, previous):
    assert dimmer(probability, previous=previous) == expected


@pytest.mark.parametrize("probability", [0.5, 0.55, 0.6])
def test_in_the_gap_the_dimmer_stays_what_it_was(probability):
    assert dimmer(probability) == 0.0
    assert dimmer(probability, previous=0.8) == 0.8
    assert dimmer(probability, previous=1.0) == 0.8


def test_a_wavering_probability_does_not_trade():
    wavering = np.tile([0.51, 0.59], 50)
    assert np.all(dimmer(wavering) == 0.0)
    assert np.all(dimmer(np.concatenate([[0.7], wavering])) == 0.8)


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_not_a_probability_is_flat_and_stays_flat_in_the_gap(broken):
    assert dimmer(broken, previous=1.0) == 0.0
    assert ramp(broken) == 0.0
    assert kelly(broken) == 0.0
    np.testing.assert_array_equal(dimmer(np.array([0.95, broken, 0.55, 0.65])), [1.0, 0.0, 0.0, 0.8])


@pytest.mark.parametrize("previous", [float("nan"), float("inf"), -1.0])
def test_an_absurd_previous_leverage_counts_as_flat(previous):
    assert dimmer(0.55, previous=previous) == 0.0


@given(paths(ANY_FLOAT))
@PROPERTY
def test_any_input_gives_one_of_the_levels(probability):
    assert set(dimmer(probability).tolist()) <= LEVELS
    for level in (ramp(probability), kelly(probability)):
        assert np.all((level >= 0.0) & (level <= 1.0))


@given(paths(UNIT, size=20), paths(UNIT, size=20))
@PROPERTY
def test_leverage_never_falls_when_probabilities_rise(one, other):
    low, high = np.minimum(one, other), np.maximum(one, other)
    assert np.all(dimmer(low) <= dimmer(high))
    assert np.all(ramp(low) <= ramp(high))
    assert np.all(kelly(low) <= kelly(high))


@given(paths(ANY_FLOAT), st.sampled_from([0.0, 0.8]))
@PROPERTY
def test_the_array_is_the_loop_a_live_system_runs(probability, previous):
    level, live = previous, []
    for p in probability.tolist():
        level = dimmer(p, previous=level)
        live.append(level)
    np.testing.assert_array_equal(dimmer(probability, previous=previous), live)


@given(paths(UNIT, size=30), paths(ANY_FLOAT, size=30), st.integers(0, 29))
@PROPERTY
def test_the_future_does_not_move_the_past(probability, future, bar):
    changed = np.concatenate([probability[: bar + 1], future[bar + 1 :]])
    np.testing.assert_array_equal(dimmer(probability)[: bar + 1], dimmer(changed)[: bar + 1])
    np.testing.assert_array_equal(ramp(probability)[: bar + 1], ramp(changed)[: bar + 1])
    np.testing.assert_array_equal(kelly(probability)[: bar + 1], kelly(changed)[: bar + 1])


def test_many_paths_are_dimmed_one_by_one():
    probability = np.random.default_rng(0).random((5, 40))
    np.testing.assert_array_equal(dimmer(probability), np.stack([dimmer(path) for path in probability]))


@pytest.mark.parametrize("rule", [dimmer, ramp, kelly])
@pytest.mark.parametrize(
    "value", ["0.7", b"0.7", None, True, ["0.7"], [0.7, "0.7"], np.array(["0.7"]), np.array([True])]
)
def test_what_is_no_number_is_refused(rule, value):
    """`numpy` reads text and takes a bool for 0 or 1: a "0.7" of a configuration would trade."""
    with pytest.raises(ValueError, match="p_stable must be numbers"):
        rule(value)


@pytest.mark.parametrize("rule", [dimmer, ramp, kelly])
def test_a_column_with_a_gap_is_flat_there_and_a_table_is_refused(rule):
    gap = pd.Series([0.95, None, 0.95], dtype="Float64")
    np.testing.assert_array_equal(rule(gap), rule(np.array([0.95, np.nan, 0.95])))
    with pytest.raises(ValueError, match="p_stable must be one series"):
        rule(gap.to_frame("p"))


@pytest.mark.parametrize("value", [1, np.int64(1), np.float32(1.0), np.float64(1.0), np.array(1.0)])
def test_one_number_of_any_kind_gives_one_leverage(value):
    assert (type(dimmer(value)), dimmer(value)) == (float, 1.0)


def test_a_switch_is_a_dimmer_with_one_level():
    switch = DimmerSteps(off_below=0.3, on_above=0.7, full_above=0.7, partial=1.0)
    np.testing.assert_array_equal(
        dimmer(np.array([0.5, 0.71, 0.5, 0.3, 0.29, 0.7]), steps=switch), [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    )


def test_borrowing_is_asked_for():
    assert dimmer(0.95, steps=DimmerSteps(maximum=1.2)) == 1.2


@pytest.mark.parametrize(
    "fields",
    [
        {"off_below": 0.7},
        {"on_above": 0.95},
        {"full_above": 1.1},
        {"off_below": -0.1},
        {"off_below": float("nan")},
        {"partial": 0.0},
        {"partial": 1.1},
        {"maximum": float("inf")},
    ],
)
def test_steps_out_of_order_are_refused(fields):
    with pytest.raises(ValueError, match=r"off_below, on_above and full_above must|partial and maximum must"):
        DimmerSteps(**fields)


def test_the_ramp_is_a_straight_line():
    np.testing.assert_allclose(
        ramp(np.array([0.0, 0.5, 0.6, 0.7, 0.9, 1.0]), maximum=2.0), [0.0, 0.0, 0.5, 1.0, 2.0, 2.0]
    )
    assert isinstance(ramp(0.7), float)
    assert isinstance(dimmer(0.7), float)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"low": 0.9}, "low and high"), ({"high": 1.5}, "low and high"), ({"maximum": 0.0}, "maximum")],
)
def test_a_ramp_without_a_slope_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ramp(0.5, **arguments)


def expected_log_growth(leverage, p, dt):
    """Growth a year of a portfolio held for one bar: Gauss–Hermite over the mixture of two lognormal bars."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    total = 0.0
    for share, mu, theta in zip((p, 1.0 - p), DRIFTS, VARIANCES, strict=True):
        growth = np.exp((mu - 0.5 * theta) * dt + np.sqrt(theta * dt) * nodes)
        total += share * np.sum(weights * np.log1p(leverage * (growth - 1.0))) / np.sqrt(2.0 * np.pi)
    return total / dt


@pytest.mark.parametrize("p", [0.69, 0.72, 0.78, 0.84])
def test_kelly_is_the_numerical_optimum_of_expected_log_growth(p):
    """To first order in the bar: on bars of a day within 2 %, on bars of a quarter of an hour within 0.1 %."""
    for dt, tolerance in ((1 / 252, 0.02), (1 / 252 / 26, 1e-3)):
        best = minimize_scalar(lambda f, dt=dt: -expected_log_growth(f, p, dt), bounds=(0.0, 6.0), method="bounded")
        assert kelly(p, maximum=50.0) == pytest.approx(best.x, rel=tolerance, abs=tolerance / 4)


def test_kelly_by_hand_and_half_kelly():
    """At p = 1 it is mu/theta of the stable regime; nothing where the mean drift is not positive; half for gamma 2."""
    assert kelly(1.0, maximum=100.0) == pytest.approx(0.15 / 0.013)
    assert kelly(2.0 / 3.0) == pytest.approx(0.0, abs=1e-12)
    assert kelly(0.6) == 0.0
    assert kelly(0.9, maximum=100.0, risk_aversion=2.0) == pytest.approx(0.5 * kelly(0.9, maximum=100.0))
    assert kelly(0.9) == 1.0
    np.testing.assert_array_equal(kelly(np.array([0.5, np.nan, 0.99])), [0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drifts": (0.1, np.nan)}, "drifts"),
        ({"drifts": (0.1,)}, "drifts"),
        ({"variances": (0.1, 0.0)}, "variances"),
        ({"variances": (0.1, np.inf)}, "variances"),
        ({"risk_aversion": 0.0}, "risk_aversion"),
        ({"maximum": np.nan}, "maximum"),
    ],
)
def test_kelly_without_a_finite_problem_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kelly(0.7, **arguments)
