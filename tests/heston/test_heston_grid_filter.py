"""The filter on a grid: closed forms, densities that integrate to one, convergence, and the particle filter."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from companion.heston import GridFilter, HestonParams, RegimeSwitchingHeston, WidePrior, grid_filter, run_bayes_filter
from companion.heston.kernels._grid import REACH, fill_nodes

BASE = RegimeSwitchingHeston.equity_index()
RETURNS = BASE.simulate(n_paths=2, n_steps=600, seed=1).log_returns


def test_agrees_with_the_forward_algorithm_where_only_the_drift_switches():
    transition, drift = np.array([[0.95, 0.05], [0.1, 0.9]]), np.array([4.0, -4.0])
    regimes = tuple(HestonParams(mu=m, kappa=5.0, theta=0.04, xi=1e-12, rho=0.0, v0=0.04) for m in drift)
    market = RegimeSwitchingHeston(regimes, transition)
    returns = market.simulate(n_paths=1, n_steps=500, seed=3).log_returns[0]
    p, expected, log_likelihood = market.stationary, [], 0.0
    for r in returns:
        joint = (p @ transition) * stats.norm.pdf(r, (drift - 0.02) / 252, 0.2 / 252**0.5)
        log_likelihood += math.log(joint.sum())
        p = joint / joint.sum()
        expected.append(p)
    run = grid_filter(returns, market)
    np.testing.assert_allclose(run.p_regime, expected, atol=2e-3)  # a variance that stands still between two nodes
    assert abs(run.log_likelihood.sum() - log_likelihood) < 0.05


@pytest.mark.parametrize("regime", BASE.regimes, ids=["stable", "chaos"])
def test_a_bar_keeps_the_mean_of_the_root_and_the_moments_of_the_variance(regime):
    params = np.array([regime.mu, regime.kappa, regime.theta, regime.xi, regime.rho, regime.v0])
    dt, n = 1 / 252, 120
    spacing = 0.8 * 0.5 * regime.xi * math.sqrt(dt)
    first, (share, mean, precision) = np.zeros(n, np.int64), (np.zeros((n, REACH)) for _ in range(3))
    fill_nodes(params, dt, 0.375, spacing, first, share, mean, precision)
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-12)
    after = ((first[:, None] + np.arange(REACH) + 0.5) * spacing) ** 2
    v, inner = ((np.arange(n) + 0.5) * spacing) ** 2, slice(12, 100)
    kept = math.exp(-regime.kappa * dt)
    gone = (1 - kept) / regime.kappa
    power = regime.xi**2 * gone * (v * kept + 0.5 * regime.theta * regime.kappa * gone)
    said = (share * after).sum(axis=1)
    np.testing.assert_allclose(said[inner], (regime.theta + (v - regime.theta) * kept)[inner], rtol=2e-3)
    spread = (share * (after - said[:, None]) ** 2).sum(axis=1)
    np.testing.assert_allclose(spread[inner], power[inner], rtol=0.02)


@pytest.mark.parametrize("jumps", [(0.0, 0.0), (0.02, 0.03)])
def test_the_density_of_the_next_return_integrates_to_one(jumps):
    market = replace(BASE, jump_rate=jumps[0], jump_size=jumps[1])
    filtered = GridFilter(market)
    filtered.advance(RETURNS[0, :50])
    grid = np.linspace(-0.4, 0.4, 4001)
    density = [math.exp(filtered.copy().advance(np.array([x]))[1][0]) for x in grid]
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-4)


def test_a_finer_grid_changes_less_and_less():
    rough, coarse, fine = (grid_filter(RETURNS, BASE, spacing=spacing).p_regime for spacing in (1.6, 1.2, 0.9))
    far, near = (np.sqrt(np.mean((x - fine) ** 2)) for x in (rough, coarse))
    assert near < 0.5 * far
    assert near < 0.01


def test_it_says_what_very_many_particles_say():
    """To the error of seeing a bar from its ends, which is of the leverage: without it, to that of the particles."""
    for seed, market in enumerate((BASE, WidePrior().draw(5), RegimeSwitchingHeston.slow_reverting())):
        returns = market.simulate(n_paths=1, n_steps=800, seed=seed).log_returns[0]
        run, particles = grid_filter(returns, market), run_bayes_filter(returns, market, n_particles=6000, seed=9)
        assert np.sqrt(np.mean((run.p_regime - particles.p_regime) ** 2)) < 0.025
        assert abs(run.log_likelihood.sum() - particles.log_likelihood.sum()) < 3.0
    plain = RegimeSwitchingHeston(tuple(replace(regime, rho=0.0) for regime in BASE.regimes), BASE.transition)
    run, particles = grid_filter(RETURNS[0], plain), run_bayes_filter(RETURNS[0], plain, n_particles=6000, seed=9)
    assert np.sqrt(np.mean((run.p_regime - particles.p_regime) ** 2)) < 0.01


def test_a_return_that_the_market_never_makes_leaves_a_number():
    shocked = RETURNS[0, :100].copy()
    shocked[60] = -2.0
    run = grid_filter(shocked, BASE)
    assert np.isfinite(run.log_likelihood).all()
    assert run.log_likelihood[60] < -1000
    np.testing.assert_allclose(run.p_regime.sum(axis=1), 1.0, rtol=1e-9)
    shocked[60] = -0.1  # a crash that it almost never makes
    assert grid_filter(shocked, BASE).p_regime[60, 1] > 0.99


def test_a_jump_beyond_the_smallest_number_is_still_a_jump():
    """The log density is smooth in the return, also where the density itself is no number any more."""
    filtered = GridFilter(replace(BASE, jump_rate=0.01, jump_size=0.05))
    filtered.advance(RETURNS[0, :50])
    log_density = [filtered.copy().advance(np.array([x]))[1][0] for x in np.arange(-1.2, -2.4, -0.1)]
    assert min(log_density) < math.log(1e-308) < max(log_density)
    np.testing.assert_allclose(np.diff(log_density, n=3), 0.0, atol=0.05)


def test_the_past_does_not_move_and_paths_are_apart():
    whole = grid_filter(RETURNS, BASE)
    part = grid_filter(RETURNS[1, :250], BASE)
    np.testing.assert_array_equal(whole.p_regime[1, :250], part.p_regime)
    np.testing.assert_array_equal(whole.log_likelihood[1, :250], part.log_likelihood)


@pytest.mark.parametrize(
    ("market", "settings", "message"),
    [
        ("base", {}, "market must be a RegimeSwitchingHeston, got 'base'"),
        (BASE, {"dt": 0.0}, "dt must be a positive finite number"),
        (BASE, {"substeps": 0}, "substeps must be a positive integer"),
        (BASE, {"spacing": -1.0}, "spacing must be a positive finite number"),
        (BASE, {"spacing": 0.3}, "spacing must be at least 0.9, got 0.3"),
    ],
)
def test_bad_arguments_are_named(market, settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        grid_filter(RETURNS, market, **settings)


def test_perfect_correlation_has_no_density():
    regimes = tuple(replace(regime, rho=-1.0) for regime in BASE.regimes)
    with pytest.raises(ValueError, match=r"^market must have rho inside"):
        grid_filter(RETURNS, RegimeSwitchingHeston(regimes, BASE.transition))
