"""Axes that do not depend on how the cloud is turned, windows at true switches, shocks, time scales, the mid-plane."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.evaluation import (
    aligned_at_switches,
    half_life,
    half_way,
    impulse_response,
    midplane_distance,
    participation_ratio,
    principal_axes,
    return_averages,
    share_of_way,
    step_sizes,
)
from companion.mamba import MarketMamba, MarketMambaConfig, latents, market_features, selective_scan
from companion.regimes import RegimeDetector
from companion.regimes._confidence import centroid_distances

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MarketMamba(MarketMambaConfig(d_model=16)).double()


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(1)
    return rng.gamma(2.0, size=(40, 50, 5)) * np.array([5.0, 3.0, 2.0, 1.0, 0.5])


def test_axes_are_the_eigenvectors_of_the_covariance(cloud):
    axes, points = principal_axes(cloud), cloud.reshape(-1, 5)
    covariance = np.cov(points.T)
    np.testing.assert_allclose(covariance @ axes.directions.T, axes.directions.T * axes.variances, atol=1e-9)
    np.testing.assert_allclose(axes.project(cloud).reshape(-1, 5).var(axis=0, ddof=1), axes.variances)
    assert (np.diff(axes.variances) < 0).all()


def test_coordinates_do_not_depend_on_how_the_cloud_is_turned_or_moved(cloud):
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    moved = cloud @ turn - 7.0
    np.testing.assert_allclose(principal_axes(moved).project(moved), principal_axes(cloud).project(cloud), atol=1e-9)


def test_the_long_tail_is_on_the_positive_side(cloud):
    assert (principal_axes(-cloud).project(-cloud) ** 3).mean(axis=(0, 1)).min() > 0


@DETERMINISTIC
@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20).filter(lambda v: sum(v) > 1e-6), st.floats(1e-3, 1e3))
def test_participation_ratio_counts_directions(variances, scale):
    found = participation_ratio(variances)
    assert 1 - 1e-9 <= found <= len(variances) + 1e-9
    assert participation_ratio(scale * np.array(variances)) == pytest.approx(found)
    assert participation_ratio(np.full(len(variances), scale)) == pytest.approx(len(variances))


@pytest.mark.parametrize("variances", [[0.0, 0.0], [1.0, -0.1], [np.nan, 1.0]])
def test_participation_ratio_needs_variances(variances):
    with pytest.raises(ValueError, match="variances"):
        participation_ratio(variances)


def test_windows_are_cut_at_true_switches_between_long_spells():
    #                   0  1  2  3  4  5  6  7  8  9 10 11
    regime = np.array([[0, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1]])
    bar = np.arange(24.0).reshape(2, 12)
    into_chaos = aligned_at_switches(bar, regime, into=1, before=2, after=3)
    assert into_chaos.tolist() == [[1, 2, 3, 4, 5], [19, 20, 21, 22, 23]]  # the spell that starts at 7 is too short
    into_calm = aligned_at_switches(np.stack([bar, -bar], axis=-1), regime, into=0, before=2, after=3)
    assert into_calm.shape == (2, 5, 2)
    assert into_calm[..., 1].tolist() == [[-7, -8, -9, -10, -11], [-14, -15, -16, -17, -18]]


def test_windows_refuse_what_they_can_not_cut():
    regime = np.array([[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="regime must switch into 0"):
        aligned_at_switches(regime, regime, into=0, before=1, after=1)
    with pytest.raises(ValueError, match="values must have a shape that begins with that of regime"):
        aligned_at_switches(np.zeros((2, 4)), regime, into=1, before=1, after=1)
    with pytest.raises(ValueError, match="before and after must be at least 1, got 0 and 1"):
        aligned_at_switches(regime, regime, into=1, before=0, after=1)


def test_a_shock_is_the_difference_of_two_worlds_and_starts_at_its_bar(model, market):
    returns = market[0][:3, :80]
    other = returns.copy()
    other[:, 50] -= 0.04
    before, after = latents(model, returns), latents(model, other)
    memory = partial(latents, model)
    response = impulse_response(memory, returns, bar=50, shock=-0.04)
    np.testing.assert_array_equal(before[:, :50], after[:, :50])
    np.testing.assert_allclose(response, after[:, 50:].astype(float) - before[:, 50:], atol=1e-12)
    assert np.abs(response[:, 0]).max() > 1e-3
    assert not impulse_response(memory, returns, bar=50, shock=0.0).any()
    with pytest.raises(ValueError, match="bar must lie between 0 and 79, got 80"):
        impulse_response(memory, returns, bar=80, shock=0.1)


@pytest.mark.parametrize("bars", [1, 3, 20])
@pytest.mark.parametrize("delay", [0, 4])
def test_half_life_of_an_exponential_after_its_peak(bars, delay):
    response = np.concatenate([np.zeros(delay), 3.0 * 0.5 ** (np.arange(200) / bars)])
    assert half_life(response) == pytest.approx(bars)


def test_half_life_of_what_stays_is_not_a_number():
    assert np.isnan(half_life([1.0, 0.9, 0.8]))


def test_a_shock_to_an_average_of_squares_decays_as_the_average_does(market):
    fading = impulse_response(lambda r: np.exp(return_averages(r, (8,)))[..., :1], market[0], bar=400, shock=0.05)
    assert half_life(fading[..., 0].mean(axis=0)) == pytest.approx(8.0)


@pytest.mark.parametrize("bars", [4, 11])
def test_half_way_of_an_exponential_approach(bars):
    before, after = 20, 40 * bars
    way = np.r_[np.zeros(before), 1 - 0.5 ** (np.arange(1, after + 1) / bars)]
    noise = np.outer([1, -1], np.random.default_rng(0).normal(size=before + after))
    windows = 7.0 - 3.0 * way + noise  # the noise cancels in the mean
    assert half_way(windows, before) == pytest.approx(bars - 1, abs=1e-6)
    share = share_of_way(windows, before)
    assert share[:before].mean() == pytest.approx(0, abs=1e-12)
    assert share[-10:].mean() == pytest.approx(1)
    with pytest.raises(ValueError, match="before must leave more than 10 of the 65 bars after the switch, got 60"):
        share_of_way(windows[:, :65], 60)


def test_the_scan_with_these_step_sizes_is_the_block(model, market):
    returns = market[0][:2, :60]
    x, sizes = model.embedding(torch.from_numpy(market_features(returns)).double()), step_sizes(model, returns)
    for norm, block, delta in zip(model.norms, model.blocks, sizes, strict=True):
        normed = norm(x)
        u, z = block.in_proj(normed).transpose(1, 2).chunk(2, dim=1)
        u = torch.nn.functional.silu(block.conv1d(u)[..., :60])
        _, B, C = (block.x_proj.weight @ u).split([block.dt_rank, block.d_state, block.d_state], dim=1)
        step = torch.from_numpy(delta).transpose(1, 2).contiguous()
        y = selective_scan(u, step, -block.A_log.exp(), B, C, block.D, z=z)
        torch.testing.assert_close(block.out_proj(y.transpose(1, 2)), block(normed), rtol=0, atol=1e-9)
        x = x + block(normed)
    assert min(delta.min() for delta in sizes) > 0


def test_step_sizes_do_not_see_the_future(model, market):
    returns = market[0][:2, :60].copy()
    before = step_sizes(model, returns)
    returns[:, 40:] += 0.03
    for one, two in zip(before, step_sizes(model, returns), strict=True):
        np.testing.assert_array_equal(one[:, :40], two[:, :40])
        assert np.abs(one[:, 40:] - two[:, 40:]).max() > 0


def test_the_midplane_is_where_the_nearer_centroid_changes():
    rng = np.random.default_rng(3)
    centroids, points = rng.normal(size=(2, 4)), rng.normal(size=(30, 7, 4))
    distance, to_each = midplane_distance(points, centroids), centroid_distances(points, centroids)
    gap = np.linalg.norm(centroids[1] - centroids[0])
    np.testing.assert_allclose(distance, (to_each[..., 0] ** 2 - to_each[..., 1] ** 2) / (2 * gap), atol=1e-12)
    np.testing.assert_allclose(midplane_distance(centroids, centroids), [-gap / 2, gap / 2])
    with pytest.raises(ValueError, match="two different points"):
        midplane_distance(points, centroids[[0, 0]])


def test_the_detector_ranks_bars_by_this_distance(model, market):
    returns, regime = market[0][:, :400], market[1][:, :400]
    detector = RegimeDetector(model).fit(returns, regime)
    distance = midplane_distance(detector.transform(returns), detector.centroids_)
    gap = np.linalg.norm(np.diff(detector.centroids_, axis=0))
    np.testing.assert_allclose(detector.decision_function(returns), 2 * gap * distance, atol=1e-6)
