"""Measured bias and efficiency against the theory of Brownian motion, and what is left of them on other markets."""

import math
from functools import partial

import numpy as np
import pytest

from companion.heston import HestonParams, simulate_heston
from companion.risk._volatility import ESTIMATORS, rolling_volatility, yang_zhang_k
from companion.risk._volatility_efficiency import (
    Bars,
    bars_from_paths,
    brownian_paths,
    estimator_efficiency,
    theoretical_efficiency,
)

DAY_ONLY = ["parkinson", "garman_klass", "rogers_satchell"]
STEPS = 20
NIGHT = 5


def brownian_bars(rng, *, window, night_steps=0, mu=0.0, continuous=True, steps=STEPS, n_paths=2000):
    paths = brownian_paths(
        mu=mu, sigma=0.2, n_paths=n_paths, n_steps=(window + 1) * steps, dt=1 / 252 / steps, seed=rng
    )
    return bars_from_paths(paths, steps_per_bar=steps, night_steps=night_steps, continuous=continuous, seed=rng)


def inside(estimate, value):
    return estimate.low <= value <= estimate.high


# 99.9 % intervals: of the some thirty that follow, all hold for more than 97 in a hundred seeds.
measured = partial(estimator_efficiency, level=0.999, seed=20)


@pytest.mark.parametrize(("window", "night_steps"), [(2, 0), (2, 1), (10, NIGHT)])
def test_on_brownian_motion_the_efficiency_is_that_of_theory(window, night_steps):
    quality = measured(partial(brownian_bars, window=window, night_steps=night_steps), window=window)
    night = night_steps / STEPS
    for name in ESTIMATORS:
        sees_the_night = name not in DAY_ONLY
        assert inside(quality[name].bias, 0.0 if sees_the_night else -night), name
        assert inside(quality[name].efficiency, theoretical_efficiency(name, window=window, night=night)), name
    width = quality["yang_zhang"].efficiency.high - quality["yang_zhang"].efficiency.low
    assert width < 0.2 * quality["yang_zhang"].efficiency.value


def test_fourteen_times_is_the_peak_for_windows_of_two_bars():
    nights = np.linspace(0.0, 0.5, 501)
    for window in (2, 10, 21):
        k = yang_zhang_k(window)
        efficiency = [theoretical_efficiency("yang_zhang", window=window, night=f) for f in nights]
        assert nights[np.argmax(efficiency)] == pytest.approx(k / (1 + k), abs=0.005)
        # The paper rounds the variance of Rogers and Satchell's estimator, .331, to .34.
        assert max(efficiency) == pytest.approx(1 + 1 / k, rel=0.03)
    assert 1 + 1 / yang_zhang_k(2) == pytest.approx(13.8, abs=0.05)
    assert 1 + 1 / yang_zhang_k(21) == pytest.approx(8.2, abs=0.05)


def test_published_efficiencies_against_a_known_mean():
    """4.9, 7.4 and 6.0: Parkinson (1980), Garman & Klass (1980), Rogers & Satchell (1991)."""
    for name, published in zip(DAY_ONLY, (4.9, 7.4, 6.0), strict=True):
        known_mean = theoretical_efficiency(name, window=1000) * 999 / 1000
        assert known_mean == pytest.approx(published, abs=0.06)


def test_a_drift_fools_parkinson_and_garman_klass_but_not_yang_zhang():
    quality = measured(partial(brownian_bars, window=10, mu=3.0), window=10)
    assert quality["parkinson"].bias.low > 0.3
    assert quality["garman_klass"].bias.low > 0.05
    assert inside(quality["rogers_satchell"].bias, 0.0)
    assert inside(quality["yang_zhang"].bias, 0.0)
    assert inside(quality["close_to_close"].bias, 0.0)


def test_on_heston_with_drift_and_nights_yang_zhang_stays_unbiased_and_seven_times_better():
    chaos = HestonParams(mu=-0.30, kappa=12.0, theta=0.09, xi=1.2, rho=-0.8, v0=0.09)

    def bars(rng):
        paths = simulate_heston(chaos, n_paths=2000, n_steps=11 * STEPS, dt=1 / 252 / STEPS, seed=rng)
        return bars_from_paths(paths, steps_per_bar=STEPS, night_steps=NIGHT, seed=rng)

    quality = measured(bars, window=10)
    assert inside(quality["yang_zhang"].bias, 0.0)
    assert quality["yang_zhang"].efficiency.low > 6.5
    for name in DAY_ONLY:
        assert quality[name].bias.high < -0.2


def test_a_range_of_discrete_steps_is_too_small():
    coarse, fine = (
        measured(partial(brownian_bars, window=2, continuous=False, steps=steps), window=2)["parkinson"].bias
        for steps in (10, 40)
    )
    assert coarse.high < -0.3
    assert -0.25 < fine.low < fine.high < -0.15


def test_a_copied_open_hides_the_night_from_yang_zhang():
    """What the S&P 500's old bars do: the open is the close before, the jump becomes the day's, the bias is large."""

    def copied(rng):
        ohlc, variance = brownian_bars(rng, window=10, night_steps=NIGHT)
        ohlc[:, 1:, 0] = ohlc[:, :-1, 3]
        ohlc[..., 1] = np.maximum(ohlc[..., 1], ohlc[..., 0])
        ohlc[..., 2] = np.minimum(ohlc[..., 2], ohlc[..., 0])
        return Bars(ohlc, variance)

    bias = measured(copied, window=10)["yang_zhang"].bias
    assert -0.20 < bias.low < bias.high < -0.10


def test_bars_hold_the_path_and_its_true_variance():
    paths = simulate_heston(
        HestonParams(0.1, 8.0, 0.04, 0.5, -0.5, 0.04), n_paths=50, n_steps=60, dt=1 / 252 / 20, seed=3
    )
    seen, bridged = (
        bars_from_paths(paths, steps_per_bar=20, night_steps=4, continuous=continuous, seed=1)
        for continuous in (False, True)
    )
    days = paths.price[:, :-1].reshape(50, 3, 20)[..., 4:]
    days = np.concatenate([days, paths.price[:, 20::20, None]], axis=-1)
    expected = np.stack([days[..., 0], days.max(axis=-1), days.min(axis=-1), days[..., -1]], axis=-1)
    np.testing.assert_allclose(seen.ohlc, expected, rtol=1e-12)
    assert (bridged.ohlc[..., 1] > seen.ohlc[..., 1]).all()
    assert (bridged.ohlc[..., 2] < seen.ohlc[..., 2]).all()
    trapezoid = np.trapezoid(paths.variance[:, :21], dx=1 / 20, axis=1)
    np.testing.assert_allclose(seen.variance[:, 0], trapezoid, rtol=1e-12)


def test_the_bridge_has_the_law_of_the_maximum():
    """One step a bar: P(max > m) = exp(-2 m (m - x) / v) given the end x (reflection); here the mean for x = 0."""
    still = np.ones((200_000, 2))
    paths = type("Still", (), {"price": still, "variance": np.full_like(still, 252.0)})
    high = np.log(bars_from_paths(paths, steps_per_bar=1, seed=5).ohlc[:, 0, 1])
    expected = math.sqrt(math.pi / 8)  # mean of Rayleigh's law with P(M > m) = exp(-2 m²)
    assert high.mean() == pytest.approx(expected, abs=4 * high.std() / math.sqrt(high.size))


def test_same_seed_same_answer_and_errors_are_named():
    bars = partial(brownian_bars, window=2, n_paths=50)
    first, again = (estimator_efficiency(bars, window=2, n_batches=3, seed=1) for _ in range(2))
    assert first == again
    paths = brownian_paths(sigma=0.2, n_paths=2, n_steps=30, dt=1e-4, seed=0)
    with pytest.raises(ValueError, match="steps_per_bar must divide the 30 steps"):
        bars_from_paths(paths, steps_per_bar=20, seed=0)
    with pytest.raises(ValueError, match="night_steps"):
        bars_from_paths(paths, steps_per_bar=10, night_steps=10, seed=0)
    for dt in (-1.0, 0.0, math.nan):
        with pytest.raises(ValueError, match="dt must"):
            brownian_paths(sigma=0.2, n_paths=2, n_steps=30, dt=dt, seed=0)
    theory = {"estimator": "yang_zhang", "window": 10, "night": 0.2}
    for bad in ({"window": 1, "night": 0.0}, {"estimator": "range"}, {"night": 1.0}, {"night": -3.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            theoretical_efficiency(**(theory | bad))
    with pytest.raises(ValueError, match="n_batches"):
        estimator_efficiency(bars, window=2, n_batches=1, seed=0)
    with pytest.raises(ValueError, match="must give 6 bars"):
        estimator_efficiency(bars, window=5, seed=0)


def test_bars_of_any_market_are_good_bars():
    ohlc = brownian_bars(np.random.default_rng(0), window=3, night_steps=3, n_paths=500).ohlc
    assert np.isfinite(rolling_volatility(ohlc, window=3, bars_per_year=252)[:, 3:]).all()
