"""The kill switch on the book's market and model: what it promises, what it catches and what it can not see.

The longest test of the room: 2,000 paths of 2,500 bars go through the model.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

from companion.evaluation import expected_calibration_error, inject_faults
from companion.heston import RegimeSwitchingHeston
from companion.mamba import latents, load_pretrained
from companion.regimes import (
    EwmaKMeans,
    GarchKMeans,
    GaussianHmmFilter,
    HarKMeans,
    JumpModelFilter,
    NeuralRegimeFilter,
    RegimeDetector,
)
from companion.risk import SafetyMonitor, false_kill_interval
from companion.risk._distance import p_values_of

N_PATHS, N_BARS, WARM_UP, FALSE_KILL = 1000, 2500, 60, 0.05
MARKET = RegimeSwitchingHeston.equity_index()
FAULT = 400


def states(log_returns):
    """Latents path by path, warm-up removed; all at once they would fill more than a gigabyte."""
    model = load_pretrained()
    for first in range(0, len(log_returns), 16):
        yield from latents(model, log_returns[first : first + 16], batch=4)[:, WARM_UP:]  # four fit into the cache


@pytest.fixture(scope="module")
def parts():
    train = MARKET.simulate(n_paths=40, n_steps=2060, seed=0)
    detector = RegimeDetector().fit(train.log_returns, train.regime[:, 1:])
    warm = np.concatenate(list(states(train.log_returns[:20])))
    returns = MARKET.simulate(n_paths=N_PATHS, n_steps=N_BARS, seed=1).log_returns
    monitor = SafetyMonitor(
        warm, detector, calibration_paths=states(returns), calibration_returns=returns, false_kill=FALSE_KILL
    )
    return SimpleNamespace(detector=detector, monitor=monitor)


@pytest.fixture(scope="module")
def faulty():
    return inject_faults(MARKET.simulate(n_paths=300, n_steps=FAULT + 20, seed=3).log_returns, start=FAULT, seed=4)


@pytest.fixture(scope="module")
def broken():
    """The 1,000 paths that the false kills are counted on, up to the fault and a little further."""
    return inject_faults(MARKET.simulate(n_paths=N_PATHS, n_steps=FAULT + 20, seed=2).log_returns, start=FAULT, seed=4)


def caught(monitor, log_returns, n_bars):
    """Share of paths with an alarm of any rule within `n_bars` of the fault."""
    fired = monitor.alarms(latents(load_pretrained(), log_returns)[:, FAULT:], log_returns)
    return np.any(list(fired.values()), axis=0)[:, :n_bars].any(axis=1).mean()


def test_normal_paths_are_stopped_as_often_as_stated(parts):
    """The narrow range is the luck of 1,000 new paths; the wide one holds that of the calibration's 750, too."""
    monitor = parts.monitor
    returns = MARKET.simulate(n_paths=N_PATHS, n_steps=N_BARS, seed=2).log_returns
    far = [monitor.alarms(path)["distance"].any() for path in states(returns)]
    strange = np.any([alarm[:, WARM_UP:].any(axis=1) for alarm in monitor.alarms(log_returns=returns).values()], axis=0)
    low, high = false_kill_interval(monitor.n_calibration, N_PATHS, false_kill=FALSE_KILL)
    assert monitor.horizon == N_BARS - WARM_UP == 2440
    narrow = binom.ppf([0.025, 0.975], N_PATHS, FALSE_KILL) / N_PATHS
    assert low < narrow[0] <= np.mean(far | strange) <= narrow[1] < high
    assert high - low < 0.05


@pytest.mark.parametrize(
    "fault",
    [
        "missing values",
        "frozen price",
        "last return repeated",
        "two prices in turn",
        "returns × 100",
        "returns × 0.01",
        "price halved for a bar",
    ],
)
def test_a_broken_feed_is_caught_on_every_path_within_five_bars(parts, broken, fault):
    fired = parts.monitor.alarms(log_returns=broken[fault])
    assert np.any(list(fired.values()), axis=0)[:, FAULT : FAULT + 5].any(axis=1).all()


@pytest.mark.parametrize("fault", ["one bar of −10 σ", "one bar of +10 σ"])
def test_most_single_bars_of_ten_sigma_are_caught_at_once(parts, faulty, fault):
    assert caught(parts.monitor, faulty[fault], 1) >= 0.70


@pytest.mark.parametrize("fault", ["no fault", "sign flipped", "white noise"])
def test_what_the_book_says_can_not_be_seen_is_not_seen(parts, faulty, fault):
    assert caught(parts.monitor, faulty[fault], 20) < 0.05


def test_volatility_of_three_times_is_hardly_seen(parts, faulty):
    """On 1,000 other paths it was 5.6 % within twenty bars; the range is that of 300 paths."""
    low, high = binom.ppf([0.005, 0.995], 300, 0.056) / 300
    assert low <= caught(parts.monitor, faulty["volatility × 3"], 20) <= high


def test_confidence_is_calibrated_on_held_out_paths(parts):
    fresh = MARKET.simulate(n_paths=100, n_steps=1000, seed=5)
    chaos = parts.detector.predict_proba(fresh.log_returns)[:, WARM_UP:, 1]
    assert expected_calibration_error(fresh.regime[:, WARM_UP + 1 :], chaos) <= 0.02


@pytest.mark.parametrize(
    "kind",
    [RegimeDetector, NeuralRegimeFilter, EwmaKMeans, GarchKMeans, HarKMeans, GaussianHmmFilter, JumpModelFilter],
)
def test_every_detector_that_ships_gets_a_monitor_in_one_call(kind):
    """Half of 240 paths calibrate, 90 of them set the thresholds; live, each of its latents is judged."""
    train, normal, fresh = (MARKET.simulate(n_paths=n, n_steps=400, seed=7 + n).log_returns for n in (12, 240, 100))
    options = {"n_restarts": 1} if kind is GaussianHmmFilter else {}  # the best of five fits is monitored like any
    detector = kind.load_pretrained() if hasattr(kind, "load_pretrained") else kind(**options).fit(train)
    monitor = SafetyMonitor.for_detector(detector, normal, false_kill=0.1)
    latent = detector.transform(fresh)[:, WARM_UP:]
    assert ("past" in monitor.thresholds) == (kind is NeuralRegimeFilter)
    fired = monitor.alarms(latent, fresh, p_values_of(detector, fresh))
    low, high = false_kill_interval(monitor.n_calibration, 100, false_kill=0.1, level=0.998)
    assert low <= np.any(list(fired.values()), axis=0).any(axis=1).mean() <= high
    assert (monitor.horizon, monitor.n_calibration) == (340, 90)
    np.testing.assert_array_equal([not monitor.check_safety(state) for state in latent[0]], fired["distance"][0])
