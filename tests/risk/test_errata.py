"""Appendix D: what each printed listing does on bad input, and what `companion` does instead.

The functions and classes named `Printed…` and `printed_…` are the listings of the source chapters as they stand there.
"""

import math
from collections import deque
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import config_context
from sklearn.cluster import KMeans

from companion.regimes import get_regime_confidence
from companion.risk import (
    InstrumentRules,
    Reason,
    RollingSpreadStats,
    SafetyMonitor,
    SizingConfig,
    calculate_target_position,
    dimmer,
    frac_from_mu_sigma,
    mu_from_z,
    normalized_signal,
    qty_from_fraction_equity_price,
    quantize_qty_to_instrument,
    reference_price,
    vol_target_qty_cap,
)

NAN, INF = float("nan"), float("inf")


def printed_mu_from_z(z_t, kappa, z_sat=1.5):
    z_clamped = max(-3.0, min(3.0, float(z_t)))
    return float(kappa) * math.tanh(z_clamped / float(z_sat))


def printed_frac_from_mu_sigma(mu_t, sigma_t, gamma, f_max):
    if not math.isfinite(mu_t) or not math.isfinite(sigma_t) or sigma_t <= 0.0:
        return 0.0
    raw = mu_t / (float(gamma) * (sigma_t**2))
    return max(-float(f_max), min(float(f_max), raw))


def printed_qty_from_fraction_equity_price(f_t, equity, ref_price):
    E = Decimal(str(equity))
    P = Decimal(str(ref_price))
    if P <= 0:
        return Decimal("0")
    N = Decimal(str(f_t)) * E
    return N / P


def printed_vol_target_qty_cap(equity, ref_price, sigma_t, sigma_target):
    E = Decimal(str(equity))
    P = Decimal(str(ref_price))
    if not math.isfinite(sigma_t) or sigma_t <= 0.0 or P <= 0:
        return Decimal("0")
    cap = (Decimal(str(sigma_target)) * E) / (P * Decimal(str(sigma_t)))
    return cap.copy_abs()


def printed_cap(q_raw, cap):
    """The lines of `calculate_target_position` that apply the volatility cap."""
    if cap > 0 and q_raw.copy_abs() > cap:
        q_raw = cap.copy_sign(q_raw)
    return q_raw


def printed_quantize_qty_to_instrument(desired_qty, instrument):
    if desired_qty == 0:
        return Decimal("0")
    sign = Decimal("1") if desired_qty > 0 else Decimal("-1")
    q_abs = desired_qty.copy_abs()
    step = Decimal(str(getattr(instrument, "step_size", getattr(instrument, "size_increment", "0.001"))))
    min_q = Decimal(str(getattr(instrument, "min_quantity", "0.001")))
    size_precision = int(getattr(instrument, "size_precision", 3))
    if step <= 0:
        return Decimal("0")
    steps = (q_abs / step).to_integral_value(rounding=ROUND_DOWN)
    q_abs = steps * step
    q_abs = q_abs.quantize(Decimal("1").scaleb(-size_precision), rounding=ROUND_DOWN)
    if q_abs < min_q:
        return Decimal("0")
    return sign * q_abs


def printed_get_regime_confidence(kmeans, latent_state):
    dists = kmeans.transform(latent_state.reshape(1, -1))
    dist_stable = dists[0][0]
    dist_chaos = dists[0][1]
    scores = np.array([-dist_stable, -dist_chaos])
    probs = np.exp(scores) / np.sum(np.exp(scores))
    return probs[0]


def printed_dimmer(probability):
    """The three rules are printed as text; between .5 and .6 they say nothing."""
    if probability > 0.9:
        return 1.0
    if probability > 0.6:
        return 0.8
    if probability < 0.5:
        return 0.0
    return None


class PrintedSafetyMonitor:
    def __init__(self, train_states, kmeans):
        dists = kmeans.transform(train_states)
        min_dists = np.min(dists, axis=1)
        self.max_allowed_dist = np.percentile(min_dists, 99.9)

    def check_safety(self, current_state, kmeans):
        dists = kmeans.transform(current_state.reshape(1, -1))
        nearest_dist = np.min(dists)
        if nearest_dist > self.max_allowed_dist:
            return False, "OOD DETECTED: Market Physics Unknown"
        return True, "Safe"


class PrintedRollingSpreadStats:
    def __init__(self, window):
        self.window = int(window)
        self.xs = deque(maxlen=self.window)
        self.sum = 0.0
        self.sumsq = 0.0

    def update(self, x):
        if len(self.xs) == self.xs.maxlen:
            old = self.xs[0]
            self.sum -= old
            self.sumsq -= old * old
        self.xs.append(x)
        self.sum += x
        self.sumsq += x * x

    def mean_std(self):
        n = len(self.xs)
        if n < 2:
            return (math.nan, math.nan)
        mean = self.sum / n
        var = max(0.0, (self.sumsq / n) - mean * mean)
        return (mean, math.sqrt(var))


class Money:
    """Prints like a Nautilus `Money`."""

    def as_decimal(self):
        return Decimal(1000)

    def __str__(self):
        return "1000.00 USDT"


def fill(stats, values):
    for value in values:
        stats.update(value)
    return stats.mean_std()


@pytest.fixture(scope="module")
def clusters():
    """Two clusters of states in four dimensions, calm around 0 and wild around 12, and K-Means on them."""
    states = np.random.default_rng(0).normal(size=(4000, 4)) + 12.0 * (np.arange(4000) % 5 == 0)[:, None]
    return states, KMeans(2, n_init=1, random_state=0).fit(states)


def test_mu_from_z_a_missing_signal():
    assert printed_mu_from_z(NAN, 0.01) == printed_mu_from_z(3.0, 0.01)
    assert mu_from_z(NAN, 0.01) == 0.0
    config, rules = SizingConfig(kappa=0.01, gamma=1.0, f_max=2.0), InstrumentRules(3, Decimal("0.001"))
    target = calculate_target_position(NAN, 0.03, equity=Decimal(1000), instrument=rules, config=config, last_close=10)
    assert target.quantity == 0
    assert Reason.SIGNAL_NOT_FINITE in target.reasons


def test_frac_from_mu_sigma_a_risk_aversion_that_is_not_positive():
    assert printed_frac_from_mu_sigma(0.01, 0.1, -1.0, 2.0) == pytest.approx(-1.0)
    with pytest.raises(ZeroDivisionError):
        printed_frac_from_mu_sigma(0.01, 0.1, 0.0, 2.0)
    for gamma in (0.0, -1.0):
        with pytest.raises(ValueError, match="gamma"):
            frac_from_mu_sigma(0.01, 0.1, gamma, 2.0)


def test_frac_from_mu_sigma_a_tiny_volatility():
    with pytest.raises(ZeroDivisionError):
        printed_frac_from_mu_sigma(0.01, 1e-200, 1.0, 2.0)
    assert frac_from_mu_sigma(0.01, 1e-200, 1.0, 2.0) == 2.0
    config, rules = SizingConfig(kappa=0.01, gamma=1.0, f_max=2.0), InstrumentRules(3, Decimal("0.001"))
    target = calculate_target_position(1.0, 1e-200, equity=Decimal(9), instrument=rules, config=config, last_close=10)
    assert target.quantity == 0
    assert target.reasons[0] is Reason.VOLATILITY_TOO_SMALL


def test_qty_from_fraction_equity_price_money():
    with pytest.raises(InvalidOperation):
        printed_qty_from_fraction_equity_price(0.5, Money(), Decimal(10))
    assert qty_from_fraction_equity_price(0.5, Money(), Decimal(10)) == 50


def test_qty_from_fraction_equity_price_a_fraction_that_is_no_number():
    assert printed_qty_from_fraction_equity_price(NAN, Decimal(1000), Decimal(10)).is_nan()
    assert qty_from_fraction_equity_price(NAN, Decimal(1000), Decimal(10)) == 0


def test_qty_from_fraction_equity_price_negative_equity():
    """A loss beyond the deposit turns a long signal into a short position."""
    assert printed_qty_from_fraction_equity_price(0.5, Decimal(-1000), Decimal(10)) == -50
    assert qty_from_fraction_equity_price(0.5, Decimal(-1000), Decimal(10)) == 0


def test_vol_target_qty_cap_an_allowed_volatility_of_zero():
    """The cap function says zero, and its caller takes zero for "no cap"."""
    cap = printed_vol_target_qty_cap(Decimal(1000), Decimal(10), 0.03, 0.0)
    assert cap == 0
    assert printed_cap(Decimal(500), cap) == 500
    with pytest.raises(ValueError, match="sigma_target"):
        vol_target_qty_cap(Decimal(1000), Decimal(10), 0.03, 0.0)
    with pytest.raises(ValueError, match="sigma_target"):
        SizingConfig(kappa=0.01, gamma=1.0, f_max=2.0, sigma_target=0.0)


def test_reference_price_the_mid_of_two_floats():
    assert str(0.5 * (50000.1 + 50000.2)) == "50000.149999999994"
    assert reference_price(Decimal("50000.1"), Decimal("50000.2"), None)[0] == Decimal("50000.15")


def test_reference_price_in_another_unit():
    def printed_quantity(bid, ask):  # the printed step from fraction to quantity asks nothing of the price
        return Decimal(str(0.5)) * Decimal(1000) / ((bid + ask) / 2)

    bid, ask, close = Decimal("0.99"), Decimal("1.01"), Decimal(100)
    assert printed_quantity(bid, ask) == 100 * printed_quantity(100 * bid, 100 * ask)
    config, rules = SizingConfig(kappa=0.01, gamma=1.0, f_max=0.5), InstrumentRules(3, Decimal("0.001"))
    law = {"equity": Decimal(1000), "instrument": rules, "config": config, "last_close": close}
    assert calculate_target_position(1.0, 0.1, bid=100 * bid, ask=100 * ask, **law).quantity > 0
    moved = calculate_target_position(1.0, 0.1, bid=bid, ask=ask, **law)
    assert (moved.quantity, moved.reasons) == (0, (Reason.PRICE_MOVED,))


def test_quantize_qty_to_instrument_no_minimum():
    unlimited = SimpleNamespace(size_precision=3, size_increment=Decimal("0.001"), min_quantity=None)
    with pytest.raises(InvalidOperation):
        printed_quantize_qty_to_instrument(Decimal(1), unlimited)
    assert quantize_qty_to_instrument(Decimal(1), InstrumentRules(3, Decimal("0.001"))) == 1


def test_quantize_qty_to_instrument_no_number():
    rules = InstrumentRules(3, Decimal("0.001"), min_quantity=Decimal("0.001"))
    with pytest.raises(InvalidOperation):
        printed_quantize_qty_to_instrument(Decimal("NaN"), rules)
    assert quantize_qty_to_instrument(Decimal("NaN"), rules) == 0


def test_quantize_qty_to_instrument_an_instrument_without_a_step():
    assert printed_quantize_qty_to_instrument(Decimal("0.0015"), SimpleNamespace()) == Decimal("0.001")
    with pytest.raises(ValueError, match="must have the field"):
        quantize_qty_to_instrument(Decimal("0.0015"), SimpleNamespace())


def test_get_regime_confidence_far_from_both_centroids():
    line = SimpleNamespace(cluster_centers_=np.array([[0.0], [1700.0]]), transform=lambda x: np.array([[800.0, 900.0]]))
    with np.errstate(invalid="ignore"):
        assert math.isnan(printed_get_regime_confidence(line, np.array([800.0])))
    assert get_regime_confidence(line, [800.0], stable_cluster=0) == pytest.approx(1.0)


def test_get_regime_confidence_k_means_numbers_the_calm_cluster_one(clusters):
    states, kmeans = clusters
    calm = int(np.argmin(np.linalg.norm(kmeans.cluster_centers_, axis=1)))
    swapped = KMeans(2, init=kmeans.cluster_centers_[[1 - calm, calm]], n_init=1).fit(states)
    assert printed_get_regime_confidence(swapped, np.zeros(4)) < 0.01
    assert get_regime_confidence(swapped, np.zeros(4), stable_cluster=1) > 0.99


def test_get_regime_confidence_a_latent_that_is_not_finite(clusters):
    kmeans, broken = clusters[1], np.array([0.0, NAN, 0.0, 0.0])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        printed_get_regime_confidence(kmeans, broken)
    with config_context(assume_finite=True):
        assert math.isnan(printed_get_regime_confidence(kmeans, broken))
    with pytest.raises(ValueError, match="latent_state"):
        get_regime_confidence(kmeans, broken, stable_cluster=0)


def test_the_dimmer_where_no_rule_applies():
    assert printed_dimmer(0.55) is None
    assert printed_dimmer(NAN) is None
    assert printed_dimmer(1.5) == 1.0
    assert dimmer(0.55) == dimmer(NAN) == dimmer(1.5) == 0.0
    assert dimmer(0.55, previous=0.8) == 0.8


def test_safety_monitor_a_state_that_is_not_finite(clusters):
    states, kmeans = clusters
    printed, broken = PrintedSafetyMonitor(states, kmeans), np.array([0.0, NAN, 0.0, 0.0])
    with pytest.raises(ValueError, match="NaN"):
        printed.check_safety(broken, kmeans)
    with config_context(assume_finite=True):
        assert printed.check_safety(broken, kmeans) == (True, "Safe")
    monitor = SafetyMonitor(states, kmeans, calibration_paths=states.reshape(40, 100, 4))
    assert not monitor.check_safety(broken).safe


def test_safety_monitor_the_answer_is_a_tuple(clusters):
    """``if monitor.check_safety(state)`` is true on every alarm: a tuple that holds something is."""
    states, kmeans = clusters
    printed, far = PrintedSafetyMonitor(states, kmeans), np.full(4, 100.0)
    assert not printed.check_safety(far, kmeans)[0]
    assert bool(printed.check_safety(far, kmeans))
    monitor = SafetyMonitor(states, kmeans, calibration_paths=states.reshape(40, 100, 4))
    assert not monitor.check_safety(far)
    assert monitor.check_safety(kmeans.cluster_centers_[0])


def test_safety_monitor_a_percentile_of_bars_is_a_death_sentence_for_paths(clusters):
    """Independent states, as kind as it gets: 1 - .999^2440 = 91 % of normal paths are stopped."""
    states, kmeans = clusters
    printed = PrintedSafetyMonitor(states, kmeans)
    rng = np.random.default_rng(1)
    paths = rng.normal(size=(100, 2440, 4)) + 12.0 * (rng.random((100, 2440, 1)) < 0.2)
    nearest = kmeans.transform(paths.reshape(-1, 4)).min(axis=1).reshape(100, 2440)
    assert np.mean(nearest.max(axis=1) > printed.max_allowed_dist) > 0.75
    normal = rng.normal(size=(199, 2440, 4)) + 12.0 * (rng.random((199, 2440, 1)) < 0.2)
    monitor = SafetyMonitor(states, kmeans, calibration_paths=normal, false_kill=0.05)
    assert np.mean([monitor.distance(path).max() > monitor.threshold for path in paths]) < 0.15


def test_rolling_spread_stats_one_absurd_spread_and_one_nan():
    spreads = (0.01 + 0.001 * np.random.default_rng(0).random(200)).tolist()
    assert fill(PrintedRollingSpreadStats(50), [1e7, *spreads])[1] == 0.0
    assert math.isnan(fill(PrintedRollingSpreadStats(50), [NAN, *spreads])[0])
    expected = pytest.approx((np.mean(spreads[-50:]), np.std(spreads[-50:])), rel=1e-12)
    assert fill(RollingSpreadStats(50), [1e7, *spreads]) == expected
    assert fill(RollingSpreadStats(50), [NAN, *spreads]) == expected


@pytest.mark.parametrize("spread", [1.0, 1e3, 1e6])
def test_the_spread_gate_of_ten_points_and_three_sigma(spread):
    """As printed the point is in its own baseline: among n points no score exceeds √(n - 1), here 3."""
    quiet = [0.1, 0.2] * 5
    mean, std = fill(PrintedRollingSpreadStats(10), [*quiet, spread])
    assert not spread > mean + 3.0 * std * (1.0 + 1e-9)
    assert normalized_signal([*quiet, spread], window=10)[-1] == 3.0
