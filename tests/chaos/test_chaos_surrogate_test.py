"""The surrogate test: its ranks are exact, its table is that of its values, and a planted asymmetry is found."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import binom
from statsmodels.stats.multitest import multipletests

from companion.chaos import (
    benjamini_yekutieli,
    endpoint_mismatch,
    holm,
    rank_p_value,
    spectrum_error,
    surrogate_test,
    surrogates,
)
from companion.chaos._garch_surrogates import GarchNotFittedError
from companion.chaos._surrogate_test import MOST_REDRAWS

ALTERNATIVES = ("two-sided", "greater", "less")
P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30)


def _asymmetry(series: np.ndarray) -> float:
    """Skewness of the steps: zero where time has no direction."""
    steps = np.diff(series)
    return float(np.mean(steps**3) / np.mean(steps**2) ** 1.5)


def _dependence(series: np.ndarray) -> float:
    return float(np.corrcoef(series[1:], series[:-1])[0, 1])


def _autoregression(n_points: int, *, phi: float = 0.7, seed: int = 0) -> np.ndarray:
    return lfilter([1.0], [1.0, -phi], np.random.default_rng(seed).standard_normal(n_points + 100))[100:]


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("n_values", [19, 99])
def test_ranks_are_uniform_whichever_of_exchangeable_values_is_the_observed_one(alternative, n_values):
    pool = np.random.default_rng(0).gumbel(size=n_values + 1)
    found = np.sort([rank_p_value(pool[i], np.delete(pool, i), alternative=alternative) for i in range(n_values + 1)])
    wanted = np.arange(1, n_values + 2) / (n_values + 1)
    # of two-sided distances those of the two values about the median are equal, to rounding
    exact = slice(None, -2) if alternative == "two-sided" else slice(None)
    np.testing.assert_allclose(found[exact], wanted[exact], rtol=1e-12)
    assert (found >= wanted - 1e-12).all()


@settings(deadline=None, max_examples=40)
@given(
    pool=st.lists(st.integers(-3, 3), min_size=2, max_size=40),
    alternative=st.sampled_from(ALTERNATIVES),
)
def test_with_ties_no_p_value_comes_more_often_than_it_says(pool, alternative):
    found = [rank_p_value(pool[i], pool[:i] + pool[i + 1 :], alternative=alternative) for i in range(len(pool))]
    for p in found:
        assert np.mean(np.array(found) <= p) <= p + 1e-12


def test_rank_p_values_counted_by_hand():
    values = [1.0, 2.0, 3.0, 10.0]
    assert rank_p_value(4.0, values, alternative="greater") == pytest.approx(2 / 5)
    assert rank_p_value(4.0, values, alternative="less") == pytest.approx(4 / 5)
    # the median of all five is 3: only 10 is farther from it than 0.5
    assert rank_p_value(0.5, values) == pytest.approx(2 / 5)
    assert rank_p_value(3.0, values, alternative="greater") == pytest.approx(3 / 5)
    assert rank_p_value(1.0, [1.0] * 9) == 1.0


@pytest.mark.parametrize(("observed", "values"), [(np.nan, [1.0]), (1.0, [np.inf]), (1.0, [])])
def test_ranks_need_finite_numbers(observed, values):
    with pytest.raises(ValueError, match="observed and values must be finite numbers"):
        rank_p_value(observed, values)


@settings(deadline=None, max_examples=12)
@given(P_VALUES)
def test_adjusted_p_values_are_those_of_statsmodels(p_values):
    for ours, method in ((holm, "holm"), (benjamini_yekutieli, "fdr_by")):
        np.testing.assert_allclose(ours(p_values), multipletests(p_values, method=method)[1], rtol=1e-9, atol=1e-300)


@settings(deadline=None, max_examples=40)
@given(P_VALUES)
def test_adjusting_raises_no_doubt_below_one_and_keeps_the_order(p_values):
    for adjust in (holm, benjamini_yekutieli):
        adjusted = adjust(p_values)
        assert (adjusted >= np.array(p_values) * (1 - 1e-12)).all()
        assert (adjusted <= 1.0).all()
        ordered = adjusted[np.argsort(p_values, kind="stable")]
        assert all(low <= high * (1 + 1e-12) for low, high in pairwise(ordered))


@pytest.mark.parametrize("p_values", [[], [0.5, np.nan], [-0.1], [1.1], [[0.5]]])
def test_what_is_no_p_value_is_refused(p_values):
    for adjust in (holm, benjamini_yekutieli):
        with pytest.raises(ValueError, match="p_values must be numbers between 0 and 1, at least one, got"):
            adjust(p_values)


def test_the_table_is_that_of_the_values_and_one_draw_serves_all_statistics():
    series = _autoregression(300)
    statistics = {"asymmetry": _asymmetry, "dependence": _dependence}
    test = surrogate_test(series, statistics, null="iaaft", n_surrogates=39, seed=4)
    drawn = surrogates(series, null="iaaft", n_surrogates=39, seed=4)
    assert list(test.values) == list(test.table["statistic"]) == ["asymmetry", "dependence"]
    assert (test.null, test.alternative, test.n_surrogates) == ("iaaft", "two-sided", 39)
    for row in test.table.itertuples():
        values = test.values[row.statistic]
        np.testing.assert_array_equal(values, [statistics[row.statistic](one) for one in drawn])
        assert row.observed == statistics[row.statistic](series)
        assert row.mean == pytest.approx(values.mean())
        assert row.z == pytest.approx((row.observed - values.mean()) / values.std(ddof=1))
        assert (row.lower, row.upper) == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))))
        assert row.p == rank_p_value(row.observed, values)
    np.testing.assert_array_equal(test.table["p_holm"], holm(test.table["p"]))
    assert test.spectrum_error == spectrum_error(series, drawn).max()
    assert test.endpoints == endpoint_mismatch(series)


def test_a_pivot_is_the_statistic_in_standard_deviations_of_surrogates_of_the_same_series():
    series, rng = _autoregression(120), np.random.default_rng(8)
    test = surrogate_test(series, {"asymmetry": _asymmetry}, null="phase", n_surrogates=19, n_pivot=9, seed=8)
    drawn = surrogates(series, null="phase", n_surrogates=19, seed=rng)
    pivots = []
    for one in (series, *drawn):
        others = [_asymmetry(each) for each in surrogates(one, null="phase", n_surrogates=9, seed=rng)]
        pivots.append((_asymmetry(one) - np.mean(others)) / np.std(others, ddof=1))
    np.testing.assert_allclose([test.table.loc[0, "observed"], *test.values["asymmetry"]], pivots, rtol=1e-12)
    assert test.table.loc[0, "p"] == rank_p_value(pivots[0], pivots[1:])


def test_a_surrogate_that_no_model_fits_is_drawn_again():
    series, rng = _autoregression(300), np.random.default_rng(3)
    drawn = [
        *surrogates(series, null="garch", n_surrogates=19, seed=rng),
        *surrogates(series, null="garch", n_surrogates=1, seed=rng),
    ]

    def choosy(one):
        if np.array_equal(one, drawn[4]):
            raise GarchNotFittedError("series must let GARCH(1, 1) converge")
        return _dependence(one)

    test = surrogate_test(series, {"choosy": choosy}, null="garch", n_surrogates=19, seed=3)
    np.testing.assert_array_equal(
        test.values["choosy"], [_dependence(drawn[i]) for i in (*range(4), 19, *range(5, 19))]
    )


def test_where_no_surrogate_can_be_fitted_the_test_says_so_after_some():
    series, calls = _autoregression(300), []

    def refuse(one):
        calls.append(one)
        if len(calls) == 1:
            return 0.0
        raise GarchNotFittedError("series must let GARCH(1, 1) converge")

    with pytest.raises(GarchNotFittedError, match="converge"):
        surrogate_test(series, {"refuse": refuse}, null="garch", n_surrogates=19, seed=3)
    assert len(calls) == MOST_REDRAWS + 2


def test_a_series_that_rises_slowly_and_falls_at_once_is_found_and_its_mirror_image_as_well():
    shocks = np.random.default_rng(0).exponential(size=600)
    series = lfilter([1.0], [1.0, -0.8], shocks)[100:]
    forward = surrogate_test(series, {"asymmetry": _asymmetry}, null="iaaft", seed=0).table.loc[0]
    backward = surrogate_test(series[::-1], {"asymmetry": _asymmetry}, null="iaaft", seed=0).table.loc[0]
    assert forward["p"] == backward["p"] == pytest.approx(0.01)
    assert forward["z"] > 3
    assert backward["z"] < -3


def test_dependence_is_found_against_a_shuffle_and_not_against_what_keeps_it():
    series = _autoregression(400, phi=0.5)
    found = {
        null: surrogate_test(series, {"dependence": _dependence}, null=null, seed=0).table.loc[0, "p"]
        for null in ("shuffle", "phase")
    }
    assert found["shuffle"] == pytest.approx(0.01)
    assert found["phase"] > 0.1


@pytest.mark.parametrize(("null", "statistic"), [("shuffle", _dependence), ("phase", _asymmetry)])
def test_the_level_is_what_it_says_on_series_of_the_null(null, statistic):
    n_series = 200
    rejections = 0
    for seed in range(n_series):
        series = _autoregression(96, phi=0.0 if null == "shuffle" else 0.5, seed=seed)
        drawn = surrogates(series, null=null, n_surrogates=19, seed=seed)
        rejections += rank_p_value(statistic(series), [statistic(one) for one in drawn]) <= 0.05 + 1e-12
    low, high = binom.interval(0.998, n_series, 0.05)
    assert low <= rejections <= high


def test_the_side_of_the_alternative_is_that_of_the_observed_value():
    series = _autoregression(400, phi=0.5)
    both = {"up": _dependence, "down": lambda x: -_dependence(x)}
    greater = surrogate_test(series, both, null="shuffle", alternative="greater", seed=0).table["p"]
    less = surrogate_test(series, both, null="shuffle", alternative="less", seed=0).table["p"]
    np.testing.assert_allclose(greater, [0.01, 1.0])
    np.testing.assert_allclose(less, [1.0, 0.01])


def test_a_statistic_that_writes_to_its_series_harms_no_other():
    def spoil(series):
        series[:] = 0.0
        return 1.0

    series = _autoregression(100)
    alone = surrogate_test(series, {"dependence": _dependence}, null="phase", seed=0).table.loc[0]
    kept = series.copy()
    beside = surrogate_test(series, {"spoil": spoil, "dependence": _dependence}, null="phase", seed=0).table.loc[1]
    np.testing.assert_array_equal(series, kept)
    assert (alone["observed"], alone["mean"], alone["p"]) == (beside["observed"], beside["mean"], beside["p"])


def test_a_statistic_that_all_surrogates_share_says_nothing():
    row = surrogate_test(_autoregression(100), {"largest": np.max}, null="shuffle", seed=0).table.loc[0]
    assert row["p"] == 1.0
    assert np.isnan(row["z"])


def test_a_spectrum_out_of_reach_is_in_the_result_and_no_question_where_none_is_kept():
    states = (_autoregression(400, phi=0.9) > 0).astype(int)
    assert surrogate_test(states, {"d": _dependence}, null="iaaft", n_surrogates=19, seed=0).spectrum_error > 0.2
    series = _autoregression(400)
    assert surrogate_test(series, {"d": _dependence}, null="phase", n_surrogates=19, seed=0).spectrum_error < 1e-14
    for null in ("shuffle", "garch"):
        assert surrogate_test(series, {"d": _dependence}, null=null, n_surrogates=19, seed=0).spectrum_error is None


def test_the_same_seed_gives_the_same_bits_twice():
    first, second = (
        surrogate_test(_autoregression(100), {"d": _dependence}, null="aaft", n_surrogates=19, seed=3) for _ in range(2)
    )
    assert (
        first.table.to_numpy()[:, 1:].astype(float).tobytes() == second.table.to_numpy()[:, 1:].astype(float).tobytes()
    )
    assert first.values["d"].tobytes() == second.values["d"].tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_surrogates": 18}, r"n_surrogates must be at least 19, or p never reaches 0.05, got 18"),
        ({"n_pivot": 8}, r"n_pivot must be 0 or at least 9, for a standard deviation, got 8"),
        ({"n_pivot": -1}, r"n_pivot must be"),
        (
            {"n_pivot": 9, "statistics": {"largest": np.max}},
            r"statistics\['largest'\] must vary, or n_pivot be 0: all surrogates of the series share a value",
        ),
        ({"alternative": "both"}, r"alternative must be one of two-sided, greater, less, got 'both'"),
        ({"statistics": {}}, r"statistics must map at least one name to a function of a series, got \{\}"),
        ({"statistics": _dependence}, r"statistics must map at least one name to a function of a series"),
        ({"statistics": {"d": 3}}, r"statistics must map at least one name to a function of a series"),
        (
            {"statistics": {"d": lambda x: None}},
            r"statistics\['d'\] must give a finite number, got None for the series",
        ),
        (
            {"statistics": {"d": lambda x: np.nan}},
            r"statistics\['d'\] must give a finite number, got nan for the series",
        ),
        ({"null": "white"}, r"null must be one of shuffle, phase, aaft, iaaft, garch, gjr_garch, got 'white'"),
        ({"series": np.ones(100)}, r"series must not be constant"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    arguments = {
        "series": _autoregression(100),
        "statistics": {"d": _dependence},
        "null": "shuffle",
        "seed": 0,
    } | change
    with pytest.raises(ValueError, match=message):
        surrogate_test(arguments.pop("series"), arguments.pop("statistics"), **arguments)


def test_a_surrogate_on_which_a_statistic_fails_is_named():
    series = _autoregression(100)
    start = series[0]
    with pytest.raises(ValueError, match=r"statistics\['d'\] must give a finite number, got inf for surrogate 0"):
        surrogate_test(series, {"d": lambda x: 1.0 if x[0] == start else np.inf}, null="phase", seed=0)
