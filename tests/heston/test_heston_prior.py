"""The wide prior: what it holds, and that its scale is nothing but a scale."""

import numpy as np
import pytest

from companion.heston import RegimeSwitchingHeston, WidePrior

PRIOR = WidePrior()


def _shape(market: RegimeSwitchingHeston) -> np.ndarray:
    """All of a market but its scale."""
    calm, chaos = market.regimes
    own = [[p.kappa, p.xi**2 / (2 * p.kappa * p.theta), p.rho, p.mu / p.theta**0.5] for p in market.regimes]
    return np.array([*np.ravel(own), chaos.theta / calm.theta, *market.mean_durations, market.jump_rate])


def test_draws_are_of_the_seed_and_inside():
    one, again, other = (PRIOR.draw(seed) for seed in (7, 7, 8))
    assert one.regimes == again.regimes
    assert one.regimes != other.regimes
    drawn = [PRIOR.draw(seed) for seed in range(400)]
    calm, chaos = (np.array([market.regimes[k].as_array() for market in drawn]) for k in (0, 1))
    volatility = np.sqrt(calm[:, 2] / 252)
    assert 1e-4 < volatility.min() < 2e-4
    assert 0.02 < volatility.max() < 0.05
    ratio = np.sqrt(chaos[:, 2] / calm[:, 2])
    assert 1.5 < ratio.min() < ratio.max() < 3.5
    durations = np.array([market.mean_durations for market in drawn])
    assert (durations[:, 0] > durations[:, 1] - 1e-6).mean() > 0.99
    assert durations.min() == pytest.approx(20.0)
    assert 1500 < durations.max() < 2000
    assert np.mean([market.jump_rate > 0 for market in drawn]) == pytest.approx(0.3, abs=0.07)
    assert np.mean(calm[:, 4] == 0) == pytest.approx(0.2, abs=0.06)
    with pytest.raises(ValueError, match=r"^seed must"):
        PRIOR.draw(-1)


def test_the_last_coordinate_is_the_scale_and_nothing_else():
    quantiles = np.random.default_rng(3).random(PRIOR.n_coordinates)
    quiet, loud = (PRIOR.market([*quantiles[:-1], u]) for u in (0.1, 0.9))
    np.testing.assert_allclose(_shape(quiet), _shape(loud), rtol=1e-12)
    assert loud.regimes[0].theta > 100 * quiet.regimes[0].theta


@pytest.mark.parametrize("name", ["equity_index", "fast_reverting", "slow_reverting"])
def test_the_markets_of_the_book_lie_inside(name):
    low, high = (
        np.minimum.reduce([_shape(PRIOR.draw(seed)) for seed in range(3000)]),
        np.maximum.reduce([_shape(PRIOR.draw(seed)) for seed in range(3000)]),
    )
    shape = _shape(getattr(RegimeSwitchingHeston, name)())
    assert (low <= shape + 1e-9).all()
    assert (shape <= high + 1e-9).all()


def test_each_path_is_of_its_own_market_and_of_the_seed():
    paths, more = (PRIOR.simulate(n_paths=n, n_steps=300, s0=7.0, seed=2) for n in (3, 5))
    np.testing.assert_array_equal(paths.price, more.price[:3])
    np.testing.assert_array_equal(paths.price[:, 0], 7.0)
    assert paths.price.shape == paths.variance.shape == paths.regime.shape == (3, 301)
    assert np.ptp(np.log(more.log_returns.std(axis=1))) > 1.0
    for settings, message in (({"n_paths": 0}, "n_paths"), ({"n_steps": -1}, "n_steps"), ({"seed": "x"}, "seed")):
        with pytest.raises(ValueError, match=f"^{message} must"):
            PRIOR.simulate(**{"n_paths": 1, "n_steps": 5, "seed": 0} | settings)
