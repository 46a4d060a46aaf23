"""Log realized variance against its law, and the return map against maps and processes whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.signal import lfilter

from companion.chaos import log_realized_variance, return_map

PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)


def noise(n_points, *, seed, scale=0.01):
    return scale * np.random.default_rng(seed).normal(size=n_points)


def ar1(phi, n_points, *, seed, mean=0.0):
    draws = np.random.default_rng(seed).normal(size=n_points + 200)
    return mean + lfilter([1.0], [1.0, -phi], draws)[200:]


def iterated(function, n_points, *, start=0.3):
    points = [start]
    while len(points) < n_points:
        points.append(function(points[-1]))
    return np.array(points)


def logistic(n_points):
    return iterated(lambda x: 4.0 * x * (1.0 - x), n_points)


def holds(interval, truth):
    return interval[0] <= truth <= interval[1]


# log realized variance


def test_windows_of_one_size_of_move_have_the_log_of_its_square():
    signs = np.where(np.random.default_rng(0).random(100) < 0.5, -1.0, 1.0)
    np.testing.assert_allclose(log_realized_variance(0.02 * signs, window=7), np.full(14, 2 * np.log(0.02)), rtol=1e-14)


@pytest.mark.parametrize("window", [5, 21])
def test_noise_has_the_moments_of_the_logarithm_of_chi_squared(window):
    found = log_realized_variance(noise(window * 20_000, seed=1), window=window)
    mean = 2 * np.log(0.01) + special.digamma(window / 2) + np.log(2 / window)
    variance = special.polygamma(1, window / 2)
    assert found.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / 20_000))
    assert found.var() == pytest.approx(variance, rel=0.05)


def test_step_one_is_the_rolling_mean_of_squares():
    returns = noise(300, seed=2)
    rolling = np.log(pd.Series(returns**2).rolling(21).mean().dropna()).to_numpy()
    np.testing.assert_allclose(log_realized_variance(returns, window=21, step=1), rolling, rtol=1e-10)
    np.testing.assert_allclose(log_realized_variance(returns, window=21), rolling[::21], rtol=1e-10)


def test_paths_are_rows():
    returns = noise(300, seed=3).reshape(3, 100)
    together = log_realized_variance(returns, window=10, step=3)
    apart = [log_realized_variance(row, window=10, step=3) for row in returns]
    np.testing.assert_array_equal(together, np.stack(apart))


@PROPERTY
@given(st.integers(10, 99), st.integers(1, 12), st.integers(0, 9))
def test_no_window_sees_a_later_bar(cut, step, seed):
    returns = noise(100, seed=seed)
    changed = np.r_[returns[:cut], noise(100 - cut, seed=seed + 100)]
    n_known = (cut - 10) // step + 1
    whole, other = (log_realized_variance(series, window=10, step=step) for series in (returns, changed))
    np.testing.assert_array_equal(whole[:n_known], other[:n_known])
    np.testing.assert_array_equal(whole[:n_known], log_realized_variance(returns[:cut], window=10, step=step))
    assert (whole[n_known:] != other[n_known:]).all()


def test_a_window_that_stands_still_is_refused_with_its_bar():
    returns = noise(100, seed=4)
    returns[40:60] = 0.0
    with pytest.raises(ValueError, match=r"^log_returns must move in every window, got 10 returns of zero from bar 40"):
        log_realized_variance(returns, window=10)
    with pytest.raises(ValueError, match=r"^log_returns\[1\] must move .* from bar 45 on"):
        log_realized_variance(np.stack([noise(100, seed=5), returns]), window=15, step=15)
    assert np.isfinite(log_realized_variance(returns, window=25)).all()


@pytest.mark.parametrize(
    ("returns", "window", "message"),
    [
        (noise(20, seed=0), 21, "log_returns must have at least window = 21 bars, got 20"),
        (noise(20, seed=0), 0, "window must be a positive integer, got 0"),
        ([0.01, np.nan, 0.02], 2, "must be a log return"),
        ([0.01, np.inf, 0.02], 2, "must be a log return"),
        (100 * np.exp(np.cumsum(noise(100, seed=0))), 21, "must be a log return"),
        (4.6 + np.cumsum(noise(100, seed=0)), 21, "prices or log prices"),
    ],
)
def test_what_is_no_series_of_returns_is_refused(returns, window, message):
    with pytest.raises(ValueError, match=message):
        log_realized_variance(returns, window=window)


def test_a_step_must_be_positive():
    with pytest.raises(ValueError, match="step must be a positive integer, got 0"):
        log_realized_variance(noise(50, seed=0), window=5, step=0)


# the return map of maps


def test_the_logistic_map_is_its_own_parabola():
    found = return_map(logistic(8000), n_bins=8)
    assert found.fold
    assert found.curvature == pytest.approx(-8.0, abs=1e-9)
    assert found.fixed_point == pytest.approx(0.75, abs=1e-9)
    assert found.fixed_point_slope == pytest.approx(-2.0, abs=1e-9)
    np.testing.assert_allclose(found.end_slopes, 4 - 8 * found.present[[0, -1]], atol=1e-9)
    assert found.unexplained < 1e-20
    # the law of the map: an angle of equal chances, x = sin²(angle)
    angles = np.pi / 2 * (np.arange(8)[:, None] + np.linspace(0, 1, 99)) / 8
    np.testing.assert_allclose(found.present, (np.sin(angles) ** 2).mean(axis=1), atol=0.02)
    np.testing.assert_allclose(found.mean, (np.sin(2 * angles) ** 2).mean(axis=1), atol=0.02)
    # a curve is nearly straight in a bin, so that little is left
    assert (found.deviation < 0.05 * np.sqrt(1 / 8)).all()


@pytest.mark.parametrize(("sign", "curvature"), [(1.0, -2.8), (-1.0, 2.8)])
def test_a_noisy_quadratic_map_keeps_its_fold(sign, curvature):
    rng = np.random.default_rng(6)
    series = sign * iterated(lambda x: 1.0 - 1.4 * x**2 + 0.03 * rng.normal(), 1000)
    found = return_map(series)
    assert found.fold
    assert holds(found.curvature_interval, curvature)
    truth = (np.sqrt(1 + 4 * 1.4) - 1) / 2.8  # 1.4 x² + x - 1 = 0 on the side where the map falls
    assert holds(found.fixed_point_interval, sign * truth)
    assert holds(found.fixed_point_slope_interval, -2.8 * truth)
    assert 0.0005 < found.unexplained < 0.05


def test_intervals_of_a_curved_map_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(13)
    series = np.full((200, 400), 0.3)
    for t in range(1, 400):
        series[:, t] = 1.0 - 1.4 * series[:, t - 1] ** 2 + 0.03 * rng.normal(size=200)
    truth = (np.sqrt(1 + 4 * 1.4) - 1) / 2.8  # 1.4 x² + x - 1 = 0
    hits = [
        [
            holds(found.curvature_interval, -2.8),
            holds(found.fixed_point_interval, truth),
            holds(found.fixed_point_slope_interval, -2.8 * truth),
        ]
        for found in map(return_map, series)
    ]
    coverage = np.mean(hits, axis=0)
    assert (coverage > 0.88).all(), coverage
    assert (coverage < 0.99).all(), coverage


def test_of_two_crossings_the_flatter_is_the_fixed_point():
    # the logistic map crosses at 0 as well, where it is steeper; an orbit that has left it on that side shows both
    series = np.r_[logistic(2000), iterated(lambda x: 4.0 * x * (1.0 - x), 12, start=-1e-9)]
    assert return_map(series).fixed_point == pytest.approx(0.75, abs=0.01)


def test_a_map_that_bends_without_turning_has_no_fold():
    rng = np.random.default_rng(7)
    found = return_map(iterated(lambda x: 0.3 * np.exp(0.8 * x) + 0.4 * rng.normal(), 2000))
    assert found.curvature_interval[0] > 0
    assert not found.fold


def test_growth_without_a_crossing_has_no_fixed_point():
    found = return_map(iterated(lambda x: 1.05 * x + 1.0, 100, start=1.0))
    assert found.fixed_point is None
    assert found.fixed_point_slope is None
    assert np.isnan(found.fixed_point_interval).all()
    assert np.isnan(found.fixed_point_slope_interval).all()
    assert found.slope == pytest.approx(1.05, abs=1e-9)


# the return map of processes


def test_an_autoregression_is_a_line_with_equal_noise():
    found = return_map(ar1(0.7, 20_000, seed=8, mean=-9.6), n_bins=10)
    assert found.slope == pytest.approx(0.7, abs=0.02)
    assert found.fixed_point == pytest.approx(-9.6, abs=0.1)
    assert found.unexplained == pytest.approx(1 - 0.7**2, abs=0.02)
    np.testing.assert_allclose(found.mean, -9.6 + 0.7 * (found.present + 9.6), atol=0.1)
    np.testing.assert_allclose(found.deviation, 1.0, atol=0.06)
    assert not found.fold


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    hits, folds = [], 0
    for seed in range(200):
        found = return_map(ar1(0.5, 395, seed=seed))
        folds += found.fold
        by_bin = (found.mean_interval[:, 0] <= 0.5 * found.present) & (0.5 * found.present <= found.mean_interval[:, 1])
        inner = found.deviation_interval[1:-1]
        hits.append(
            [
                holds(found.slope_interval, 0.5),
                holds(found.curvature_interval, 0.0),
                holds(found.fixed_point_interval, 0.0),
                holds(found.fixed_point_slope_interval, 0.5),
                by_bin.mean(),
                np.mean((inner[:, 0] <= 1.0) & (inner[:, 1] >= 1.0)),
            ]
        )
    coverage = np.mean(hits, axis=0)
    # 95 % less what 395 points cost, and three binomial standard errors of 200 series on either side
    assert (coverage > 0.88).all(), coverage
    assert (coverage < 0.985).all(), coverage
    assert folds == 0


def test_few_pairs_in_a_bin_do_not_make_it_quieter():
    squares = [return_map(noise(81, seed=seed, scale=1.0)).deviation ** 2 for seed in range(150)]
    assert np.mean(squares) == pytest.approx(1.0, abs=0.05)


def test_noise_shows_a_fold_no_more_often_than_the_level():
    folds = sum(return_map(noise(395, seed=seed)).fold for seed in range(200))
    assert folds <= 10  # 5 % of 200


# identities


@pytest.mark.parametrize("n_bins", [2, 5, 16])
def test_bins_add_up_to_the_whole(n_bins):
    series = np.exp(ar1(0.6, 401, seed=9))
    found, then = return_map(series, n_bins=n_bins), series[1:]
    assert found.count.sum() == 400
    assert np.ptp(found.count) <= 1
    assert found.count @ found.mean / 400 == pytest.approx(then.mean())
    assert found.count @ found.present / 400 == pytest.approx(series[:-1].mean())
    assert (found.mean_interval[:, 0] < found.mean).all()
    assert (found.deviation_interval[:, 1] > found.deviation).all()


def test_line_and_parabola_are_those_of_numpy():
    series = np.exp(ar1(0.6, 401, seed=10))
    found = return_map(series)
    assert found.slope == pytest.approx(np.polyfit(series[:-1], series[1:], 1)[0])
    parabola = np.polyfit(series[:-1], series[1:], 2)
    assert found.curvature == pytest.approx(2 * parabola[0])
    np.testing.assert_allclose(found.end_slopes, np.polyval(np.polyder(parabola), found.present[[0, -1]]))
    assert np.polyval(parabola, found.fixed_point) == pytest.approx(found.fixed_point)


@PROPERTY
@given(st.floats(0.01, 100.0), st.booleans(), st.floats(-50.0, 50.0), st.integers(0, 20))
def test_another_unit_changes_no_conclusion(scale, flipped, shift, seed):
    series = ar1(0.6, 200, seed=seed)
    unit = -scale if flipped else scale
    before, after = return_map(series), return_map(shift + unit * series)
    assert after.slope == pytest.approx(before.slope, abs=1e-7)
    assert after.unexplained == pytest.approx(before.unexplained, abs=1e-7)
    assert after.curvature * unit == pytest.approx(before.curvature, abs=1e-6)
    assert after.fold == before.fold
    np.testing.assert_allclose(after.slope_interval, before.slope_interval, atol=1e-7)
    if before.fixed_point is not None:
        assert after.fixed_point == pytest.approx(shift + unit * before.fixed_point, rel=1e-6, abs=1e-6 * scale)
        assert after.fixed_point_slope == pytest.approx(before.fixed_point_slope, abs=1e-6)


# what comes from outside


@pytest.mark.parametrize(
    ("series", "n_bins", "message"),
    [
        (np.arange(80.0), 8, "series must have at least 81 points for n_bins=8, got 80"),
        (np.full(100, 2.0), 8, "series must not be constant, got 2 at all of its 100 points"),
        (np.r_[np.arange(99.0), np.nan], 8, "series must be finite, got nan at point 99"),
        (np.r_[np.inf, np.arange(99.0)], 8, "series must be finite, got inf at point 0"),
        (np.ones((2, 100)), 8, r"series must be one series, of shape \(n_points,\), got \(2, 100\)"),
        (np.arange(100.0), 1, "n_bins must be at least 2, got 1"),
        (np.arange(100.0), 2.5, "n_bins must be a positive integer, got 2.5"),
        (np.tile([0.0, 1.0], 60), 2, "series must take at least 3 different values, got 2"),
        (
            np.r_[np.zeros(150), np.arange(50.0)],
            8,
            "series has too many ties for n_bins=8: its 199 present values are 49 different ones",
        ),
    ],
)
def test_what_is_no_series_for_a_map_is_refused(series, n_bins, message):
    with pytest.raises(ValueError, match=message):
        return_map(series, n_bins=n_bins)


def test_the_least_length_is_enough():
    assert return_map(noise(81, seed=11), n_bins=8).count.tolist() == [10] * 8


def test_integers_are_numbers():
    series = np.random.default_rng(12).integers(0, 1000, 200)
    assert return_map(series).slope == return_map(series.astype(float)).slope


@PROPERTY
@given(st.lists(st.integers(0, 40), min_size=21, max_size=60), st.integers(2, 3))
def test_tied_numbers_give_a_map_or_a_reason(values, n_bins):
    edges = np.quantile(values[:-1], np.arange(1, n_bins) / n_bins)
    counts = np.bincount(np.digitize(values[:-1], edges), minlength=n_bins)
    if counts.min() < 10 or len(set(values[:-1])) < 3:
        with pytest.raises(ValueError, match=r"^series (has too many ties|must|is too)"):
            return_map(values, n_bins=n_bins)
        return
    found = return_map(values, n_bins=n_bins)
    assert found.count.tolist() == counts.tolist()
    assert (np.diff(found.present) > 0).all()
    assert np.isfinite([found.slope, found.curvature]).all()
    assert 0 <= found.unexplained <= 1 + 1e-9
