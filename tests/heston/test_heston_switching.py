"""The regime-switching market: its chain, its variance, its facts."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from companion.datasets import excess_kurtosis, skewness
from companion.heston import HestonParams, RegimeSwitchingHeston
from companion.heston.kernels import _blocks
from companion.heston.kernels._regime_scheme import VARIANCE_FLOOR

BASE = RegimeSwitchingHeston.equity_index()


def _market(durations: tuple[float, float], **changes: float) -> RegimeSwitchingHeston:
    calm, chaos = (HestonParams(**{**vars(params), **changes}) for params in BASE.regimes)
    a, b = 1 / durations[0], 1 / durations[1]
    return RegimeSwitchingHeston((calm, chaos), np.array([[1 - a, a], [b, 1 - b]]))


def _spells(regime: np.ndarray, which: int) -> np.ndarray:
    """Lengths of the complete stays in a regime, along one path."""
    edges = np.flatnonzero(np.diff(regime)) + 1
    return np.array([b - a for a, b in pairwise(edges) if regime[a] == which])


def test_base_market_and_its_variants() -> None:
    np.testing.assert_allclose(BASE.mean_durations, [250, 60])
    np.testing.assert_allclose(RegimeSwitchingHeston.fast_reverting().mean_durations, [250, 60])
    np.testing.assert_allclose(RegimeSwitchingHeston.slow_reverting().mean_durations, [750, 250])
    calm, chaos = BASE.regimes
    assert (calm.mu, calm.kappa, calm.theta, calm.xi, calm.rho) == (0.15, 8.0, 0.013, 0.35, -0.5)
    assert (chaos.mu, chaos.kappa, chaos.theta, chaos.xi, chaos.rho) == (-0.30, 12.0, 0.09, 1.2, -0.8)


def test_stationary_law_is_kept_by_the_chain() -> None:
    np.testing.assert_allclose(BASE.stationary, [250 / 310, 60 / 310])
    three = RegimeSwitchingHeston(
        (BASE.regimes[0], BASE.regimes[1], BASE.regimes[1]), np.array([[0.9, 0.1, 0], [0, 0.8, 0.2], [0.3, 0, 0.7]])
    )
    np.testing.assert_allclose(three.stationary @ three.transition, three.stationary, atol=1e-14)
    regime = three.simulate(n_paths=400, n_steps=500, seed=0).regime
    np.testing.assert_allclose(np.bincount(regime.ravel()) / regime.size, three.stationary, atol=0.01)


def test_regime_starts_and_stays_stationary() -> None:
    regime = BASE.simulate(n_paths=20_000, n_steps=20, seed=1).regime
    error = math.sqrt(BASE.stationary[0] * BASE.stationary[1] / 20_000)
    assert np.abs(regime[:, [0, 1, 20]].mean(axis=0) - BASE.stationary[1]).max() < 4 * error


def test_lengths_of_stay_are_geometric() -> None:
    market = _market((20.0, 8.0))
    regime = market.simulate(n_paths=1, n_steps=60_000, substeps=1, seed=2).regime[0]
    for which, mean in ((0, 20.0), (1, 8.0)):
        spells = _spells(regime, which)
        edges = np.array([1, 3, 6, 10, 15, 25, 40, np.inf])
        expected = np.diff(stats.geom.cdf(edges - 1, 1 / mean))
        observed = np.histogram(spells, edges)[0]
        assert stats.chisquare(observed, expected / expected.sum() * len(spells)).pvalue > 0.01


def test_variance_is_continuous_and_follows_the_regime_in_force() -> None:
    """With `xi` tiny the variance is the Euler path of its own differential equation, through every switch."""
    market = _market((20.0, 8.0), xi=1e-12)
    paths = market.simulate(n_paths=3, n_steps=500, seed=3)
    kappa, theta = (np.array([getattr(params, name) for params in market.regimes]) for name in ("kappa", "theta"))
    k, expected = paths.regime[:, 1:].astype(int), paths.variance[:, :-1]
    assert 0.1 < k.mean() < 0.5
    for _ in range(4):
        expected = expected + kappa[k] * (theta[k] - expected) / (4 * 252)
    np.testing.assert_allclose(paths.variance[:, 1:], expected, rtol=1e-8)


def test_returns_have_the_conditional_moments_of_the_regime_in_force() -> None:
    paths = _market((20.0, 8.0), xi=1e-12).simulate(n_paths=200, n_steps=300, substeps=1, seed=4)
    mu = np.array([params.mu for params in BASE.regimes])[paths.regime[:, 1:]]
    v = paths.variance[:, :-1]
    z = ((paths.log_returns - (mu - v / 2) / 252) / np.sqrt(v / 252)).ravel()
    assert stats.kstest(z, "norm").pvalue > 0.01


def test_switches_tell_nothing_of_the_noise() -> None:
    """They have random numbers of their own: the returns around a switch are as large as the others."""
    paths = _market((20.0, 8.0), xi=1e-12).simulate(n_paths=400, n_steps=300, substeps=1, seed=9)
    mu = np.array([params.mu for params in BASE.regimes])[paths.regime[:, 1:]]
    v = paths.variance[:, :-1]
    z = (paths.log_returns - (mu - v / 2) / 252) / np.sqrt(v / 252)
    switches = paths.regime[:, 1:] != paths.regime[:, :-1]
    for lag in (-1, 0, 1):
        near = z[:, 5:-5][np.roll(switches, lag, axis=1)[:, 5:-5]]
        assert abs(near.mean()) < 4 / math.sqrt(len(near))
        assert abs((near**2).mean() - 1) < 4 * math.sqrt(2 / len(near))


def test_price_grows_at_mu() -> None:
    price = _market((20.0, 8.0), mu=0.3).simulate(n_paths=20_000, n_steps=63, seed=5).price[:, -1]
    assert abs(price.mean() - 100 * math.exp(0.3 / 4)) < 4 * price.std() / math.sqrt(20_000)


def test_base_market_reproduces_its_measured_facts() -> None:
    """Volatility, that of each regime, skewness and excess kurtosis: within three standard errors, over paths."""
    paths = BASE.simulate(n_paths=300, n_steps=2500, seed=6)
    returns, regime = paths.log_returns, paths.regime[:, 1:]
    shares = np.stack([(regime == k).mean(axis=1) for k in (0, 1)])
    powers = np.stack([(returns**power).mean(axis=1) for power in (1, 2, 3, 4)])
    squares = np.stack([(returns**2 * (regime == k)).mean(axis=1) for k in (0, 1)])

    def facts(rows: np.ndarray) -> list[float]:
        m1, m2, m3, m4 = powers[:, rows].mean(axis=1)
        variance = m2 - m1**2
        skew = (m3 - 3 * m1 * m2 + 2 * m1**3) / variance**1.5
        kurtosis = (m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4) / variance**2 - 3
        within = squares[:, rows].mean(axis=1) / shares[:, rows].mean(axis=1)
        return [*np.sqrt(252 * np.array([variance, *within])), skew, kurtosis]

    measured, rng = np.array(facts(np.arange(300))), np.random.default_rng(0)
    assert measured[3] == pytest.approx(skewness(returns.reshape(-1)))
    assert measured[4] == pytest.approx(excess_kurtosis(returns.reshape(-1)))
    errors = np.std([facts(rng.integers(0, 300, 300)) for _ in range(200)], axis=0)
    assert (errors < [0.002, 0.002, 0.003, 0.03, 0.3]).all()
    assert (np.abs(measured - [0.173, 0.140, 0.267, -0.39, 5.9]) < 3 * errors).all()
    assert paths.variance.min() >= VARIANCE_FLOOR


def test_a_path_is_the_same_bits_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "n_threads", lambda: 1)
    many = BASE.simulate(n_paths=300, n_steps=30, seed=7)
    for n_paths in (1, 7, 65):
        few = BASE.simulate(n_paths=n_paths, n_steps=30, seed=7)
        for name in ("price", "variance", "regime"):
            np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:n_paths])
    for n_steps in (1, 5, 6, 38, 60):  # before, at and after the edges of the kernel's tiles
        other = BASE.simulate(n_paths=2, n_steps=n_steps, seed=7)
        both = min(n_steps, 30) + 1
        for name in ("price", "variance", "regime"):
            np.testing.assert_array_equal(getattr(other, name)[:, :both], getattr(many, name)[:2, :both])
    monkeypatch.setattr(_blocks, "n_threads", lambda: 2)
    np.testing.assert_array_equal(BASE.simulate(n_paths=300, n_steps=30, seed=7).price, many.price)


def test_bits_are_those_of_every_machine() -> None:
    """Recorded once: checkpoints and chapters stand on these paths."""
    paths = BASE.simulate(n_paths=3, n_steps=252, seed=10)
    assert (float(paths.price[2, -1]).hex(), float(paths.variance[2, -1]).hex()) == (
        "0x1.7ed0f845a6e92p+6",
        "0x1.b4959873abfaap-6",
    )
    assert paths.regime.sum() == 115


def test_shapes_and_start() -> None:
    paths = BASE.simulate(n_paths=3, n_steps=5, s0=50.0, seed=8)
    assert paths.price.shape == paths.variance.shape == paths.regime.shape == (3, 6)
    assert paths.log_returns.shape == (3, 5)
    assert paths.regime.dtype == np.int8
    np.testing.assert_array_equal(paths.price[:, 0], 50.0)


@pytest.mark.parametrize(
    ("transition", "message"),
    [
        (np.array([[0.9, 0.2], [0.1, 0.9]]), "rows that sum to 1"),
        (np.array([[1.1, -0.1], [0.1, 0.9]]), "probabilities"),
        (np.array([[np.nan, 1], [0.1, 0.9]]), "probabilities"),
        (np.eye(3), "shape"),
        (np.eye(2), "single stationary law"),
    ],
)
def test_bad_transition_is_named(transition: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^transition must .*{message}"):
        RegimeSwitchingHeston(BASE.regimes, transition)


@pytest.mark.parametrize("regimes", [BASE.regimes[:1], BASE.regimes[::-1], ("calm", "chaos"), ()])
def test_bad_regimes_are_named(regimes: tuple) -> None:
    with pytest.raises(ValueError, match=r"^regimes must"):
        RegimeSwitchingHeston(regimes, BASE.transition)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_paths", 0), ("n_steps", 0), ("n_steps", 1.0), ("dt", 0.0), ("s0", -1.0), ("substeps", 0), ("seed", "a")],
)
def test_bad_argument_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        BASE.simulate(**{"n_paths": 2, "n_steps": 2, "seed": 0, name: value})  # type: ignore[arg-type]


def test_a_market_of_another_volatility_has_the_same_paths_in_another_unit() -> None:
    """The variance is four times as large on every bar, and the regimes are the same."""
    one = BASE.simulate(n_paths=3, n_steps=300, seed=4)
    two = BASE.scaled(volatility=2.0).simulate(n_paths=3, n_steps=300, seed=4)
    np.testing.assert_array_equal(one.regime, two.regime)
    np.testing.assert_allclose(two.variance, 4 * one.variance, rtol=1e-6)


def test_reversion_keeps_the_stationary_law_and_duration_the_shares() -> None:
    fast = BASE.scaled(reversion=4.0)
    for old, new in zip(BASE.regimes, fast.regimes, strict=True):
        assert new.kappa == 4 * old.kappa
        assert new.xi**2 / new.kappa == pytest.approx(old.xi**2 / old.kappa)
    long = BASE.scaled(duration=3.0)
    np.testing.assert_allclose(long.mean_durations, 3 * BASE.mean_durations)
    np.testing.assert_allclose(long.stationary, BASE.stationary)
    same = BASE.scaled()
    assert same.regimes == BASE.regimes
    np.testing.assert_allclose(same.transition, BASE.transition, rtol=0, atol=1e-16)


@pytest.mark.parametrize("factor", ["reversion", "volatility", "duration"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, None, "2", True])
def test_a_factor_is_a_positive_number(factor: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{factor} must be a positive finite number, got"):
        BASE.scaled(**{factor: value})  # type: ignore[arg-type]


def test_a_regime_can_not_be_left_more_often_than_always() -> None:
    with pytest.raises(ValueError, match=r"^transition must hold probabilities"):
        BASE.scaled(duration=0.01)


def test_jumps_come_at_their_rate_and_size_and_move_the_price_alone() -> None:
    still, jumping = (
        market.simulate(n_paths=200, n_steps=500, seed=4)
        for market in (BASE, replace(BASE, jump_rate=0.01, jump_size=0.05))
    )
    np.testing.assert_array_equal(still.variance, jumping.variance)
    np.testing.assert_array_equal(still.regime, jumping.regime)
    moved = jumping.log_returns - still.log_returns
    jumps = moved[np.abs(moved) > 1e-12]
    assert stats.binomtest(len(jumps), moved.size, 0.01).pvalue > 0.001
    assert stats.kstest(jumps / 0.05, "norm").pvalue > 0.001
    calm, chaos = (jumping.regime[:, 1:] == regime for regime in (0, 1))
    rates = [(np.abs(moved[bars]) > 1e-12).mean() for bars in (calm, chaos)]
    assert abs(rates[0] - rates[1]) < 4 * math.sqrt(0.01 / chaos.sum())


def test_a_jumping_path_does_not_depend_on_its_company() -> None:
    market = replace(BASE, jump_rate=0.02, jump_size=0.05)
    whole = market.simulate(n_paths=70, n_steps=60, seed=4).price
    alone = market.simulate(n_paths=1, n_steps=60, first_path=66, seed=4).price
    np.testing.assert_array_equal(whole[66:67], alone)
    assert market.scaled(volatility=2.0).jump_size == 0.1


@pytest.mark.parametrize(
    ("rate", "size", "what"),
    [(-0.1, 0.1, "rate"), (1.0, 0.1, "rate"), (math.nan, 0.1, "rate"), (0.1, 0.0, "size"), (0.0, 0.1, "size")]
    + [(0.1, value, "size") for value in (-1.0, math.inf, math.nan)],
)
def test_jumps_have_a_rate_and_a_size(rate: float, size: float, what: str) -> None:
    with pytest.raises(ValueError, match=f"^jump_{what} must be"):
        replace(BASE, jump_rate=rate, jump_size=size)


def test_random_markets_are_the_draws_of_their_seed() -> None:
    one, again, other = (RegimeSwitchingHeston.random(seed) for seed in (7, 7, 8))
    assert one.regimes == again.regimes != other.regimes
    assert np.array_equal(one.transition, again.transition)
    rng = np.random.default_rng(7)  # a generator goes on where it is
    assert RegimeSwitchingHeston.random(rng).regimes == one.regimes
    assert RegimeSwitchingHeston.random(rng).regimes != one.regimes
    with pytest.raises(ValueError, match=r"^seed must"):
        RegimeSwitchingHeston.random(-1)


@pytest.mark.parametrize(
    "change", [{"xi": 1e-50}, {"xi": 1e-8}, {"kappa": 1e-50}, {"theta": 1e-50, "v0": 0.0}, {"v0": 0.0}]
)
@pytest.mark.parametrize("rho", [-1.0, -0.5, 1.0])
def test_a_parameter_at_its_edge_gives_a_market(change: dict[str, float], rho: float) -> None:
    paths = _market((250.0, 60.0), rho=rho, **change).simulate(n_paths=3, n_steps=50, seed=1)
    for values in (paths.price, paths.variance, paths.log_returns):
        assert np.isfinite(values).all()
    assert (paths.price > 0).all()


def test_with_a_still_variance_returns_are_those_of_black_and_scholes() -> None:
    market = _market((1e6, 1e6), xi=1e-12, kappa=5.0, theta=0.04, v0=0.04, mu=0.1)
    returns = market.simulate(n_paths=2000, n_steps=50, seed=3).log_returns
    dt, n = 1 / 252, 2000 * 50
    assert returns.mean() == pytest.approx((0.1 - 0.02) * dt, abs=4 * math.sqrt(0.04 * dt / n))
    assert returns.var() == pytest.approx(0.04 * dt, rel=4 * math.sqrt(2 / n))


def test_the_market_can_not_be_changed_behind_its_back() -> None:
    with pytest.raises(ValueError, match="read-only"):
        BASE.transition[0, 0] = 0.5
