"""The ready-made desk for minute bars: it knows their scale, keeps to its numbers, and cries wolf once a month."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from companion.desk import Bar, _minute, minute_desk, minute_sizing
from companion.errors import InputError
from companion.heston import RegimeSwitchingHeston
from companion.pipeline import calibrate_minute_monitor
from companion.pipeline.calibrate_minute_monitor import CalibrateMinuteMonitorConfig, minute_returns
from companion.regimes import NeuralRegimeFilter
from companion.risk import InstrumentRules, SafetyMonitor, false_kill_interval

MINUTE, EQUITY = timedelta(minutes=1), Decimal(100_000)
RULES = InstrumentRules(3, Decimal("0.001"), min_quantity=Decimal("0.001"), min_notional=Decimal(10))
N_BARS, WARM = 1800, 721
YEAR = _minute.MINUTES_PER_YEAR


def minute_bars(closes, start=datetime(2024, 1, 1, tzinfo=UTC)):
    pairs = enumerate(pairwise(closes), start=1)
    return [Bar(start + i * MINUTE, a, max(a, b), min(a, b), b) for i, (a, b) in pairs]


@pytest.fixture(scope="module")
def day():
    """Thirty hours of minutes at about 60 % a year, with their regimes, and what the desk says of them."""
    market = RegimeSwitchingHeston.equity_index().scaled(reversion=YEAR / 252, volatility=3.6)
    path = market.simulate(n_paths=1, n_steps=N_BARS, dt=1 / YEAR, s0=50_000.0, seed=5)
    bars = minute_bars(np.rint(10 * path.price[0]) / 10)
    return bars, path.regime[0, 1:], minute_desk(instrument=RULES).run(bars, equity=EQUITY)


def test_it_is_flat_for_twelve_hours_and_then_trades_what_the_daily_filter_would_refuse(day):
    bars, _, decisions = day
    assert all(decision.quantity == 0 for decision in decisions[:WARM])
    assert "warming up, 719 of 721 bars" in decisions[719].reasons[0]
    assert np.mean([decision.quantity > 0 for decision in decisions[WARM:]]) > 0.5
    assert not any("another scale" in reason for decision in decisions for reason in decision.reasons)
    daily = NeuralRegimeFilter.load_pretrained("universal")
    assert not daily.known_scale(np.diff(np.log([bar.close for bar in bars])))[WARM:].any()


def test_it_holds_less_in_chaos(day):
    _, regime, decisions = day
    held = np.array([float(decision.quantity) for decision in decisions])[WARM:]
    calm, chaos = (held[regime[WARM:] == one].mean() for one in (0, 1))
    assert np.bincount(regime[WARM:]).min() > 100
    assert chaos < 0.5 * calm


def test_its_numbers_per_minute_are_those_it_states_per_year(day):
    sizing = minute_sizing()
    assert sizing.kappa * YEAR == pytest.approx(0.26, abs=0.01)
    assert sizing.sigma_target * np.sqrt(YEAR) == pytest.approx(0.20, abs=0.005)
    for decision in day[2][WARM:]:
        notional = float(decision.quantity) * float(decision.price or 0)
        assert notional * decision.sigma_bar <= sizing.sigma_target * float(EQUITY)
        assert notional <= sizing.f_max * float(EQUITY)


def test_a_loss_of_three_percent_of_a_day_flattens_for_good(day):
    desk = minute_desk(instrument=RULES)
    desk.run(day[0][:-2], equity=EQUITY)
    lost, after = (desk.on_bar(bar, equity=Decimal(96_900)) for bar in day[0][-2:])
    assert (lost.quantity, after.quantity) == (0, 0)
    assert any("daily loss" in reason for reason in after.reasons)


def test_a_hole_of_more_than_a_quarter_of_an_hour_ends_the_stream(day):
    desk, (first, second) = minute_desk(instrument=RULES), day[0][:2]
    desk.on_bar(first, equity=EQUITY)
    late = desk.on_bar(second._replace(time=first.time + 16.5 * MINUTE), equity=EQUITY)
    assert "at most 15 bars of 0:01:00" in late.reasons[0]
    assert desk.on_bar(second._replace(time=first.time + 15 * MINUTE), equity=EQUITY).n_bars == 1


def test_minutes_may_be_stamped_anew_and_replayed_faster(day):
    """A rehearsal: only the times differ, and the day has more of them."""
    bars, _, decisions = day
    desk, start = minute_desk(instrument=RULES, bar="100ms"), bars[0].time
    fast = [bar._replace(time=start + i * MINUTE / 600) for i, bar in enumerate(bars)]
    told = [replace(decision, bar=bar) for decision, bar in zip(decisions[:900], fast, strict=False)]
    assert desk.run(fast[:900], equity=EQUITY) == told
    assert "at most 15 bars of 0:00:00.100000" in desk.on_bar(bars[-1], equity=EQUITY).reasons[0]
    assert desk.warm_up_bars == minute_desk(instrument=RULES).warm_up_bars == WARM


def test_its_monitor_stops_one_normal_day_a_month():
    monitor, detector = _minute.minute_monitor(), _minute.minute_filter()
    assert (monitor.horizon, monitor.n_calibration) == (1440, 600)
    days = minute_returns(n_paths=40, n_bars=detector.warm_up + 1440, seed=990_017)
    fired = monitor.alarms(detector.transform(days)[:, detector.warm_up :], days, detector.ood_p_value(days))
    stopped = np.any(list(fired.values()), axis=0).any(axis=1).mean()
    assert stopped <= false_kill_interval(600, 40, false_kill=1 / 30, level=0.99)[1]


def test_its_monitor_sees_a_feed_that_breaks(day):
    bars, desk = day[0], minute_desk(instrument=RULES)
    desk.run(bars[:1000], equity=EQUITY)
    state, last = desk.state(), bars[999]

    def reasons(*closes):
        desk.restore(state)
        told = minute_bars([last.close, *closes], start=last.time)
        return [reason for decision in desk.run(told, equity=EQUITY) for reason in decision.reasons]

    assert any("does not move" in reason for reason in reasons(*[last.close] * 3))
    assert any("beyond recent volatility" in reason for reason in reasons(1.02 * last.close))
    calm = last.close * np.exp(np.cumsum(8e-5 * np.random.default_rng(0).standard_normal(400)))  # a tenth, for good
    assert any("unlike any market" in reason for reason in reasons(*calm))


def test_the_monitor_is_made_anew_to_the_same_bytes(tmp_path, monkeypatch):
    config, files = CalibrateMinuteMonitorConfig(n_metric=2, n_paths=8, n_bars=60, false_kill=0.2, seed=1), []
    for name in ("one.json", "two.json"):
        inputs = {"model": calibrate_minute_monitor.SCALE_FREE, "ood": calibrate_minute_monitor.OOD}
        calibrate_minute_monitor.run(config, inputs, tmp_path / name, lambda done, total: None)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    monkeypatch.setattr(_minute, "MONITOR", tmp_path / "one.json")
    assert _minute.minute_monitor().thresholds == calibrate_minute_monitor.calibrate(config).thresholds


def test_a_damaged_monitor_says_how_to_make_it_again(tmp_path, monkeypatch):
    stored, path = json.loads(_minute.MONITOR.read_text(encoding="utf-8")), tmp_path / "monitor.json"
    monkeypatch.setattr(_minute, "MONITOR", path)
    inputs = stored["provenance"]["inputs"]
    broken = [
        {},
        stored | {"format_version": 9},
        *(stored | {"provenance": {"inputs": inputs | {name: {"sha256": "0"}}}} for name in ("model", "ood")),
        stored | {"parameters": {}},
        stored | {"parameters": stored["parameters"] | {"whiten": [[1.0]]}},
        [],
    ]
    for content in broken:
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(InputError, match="calibrate_minute_monitor"):
            minute_desk(instrument=RULES)


def test_a_monitor_is_what_its_parameters_say():
    monitor = _minute.minute_monitor()
    twin = SafetyMonitor.from_parameters(json.loads(json.dumps(monitor.parameters())))
    states = np.random.default_rng(0).standard_normal((5, 64))
    np.testing.assert_array_equal(monitor.distance(states), twin.distance(states))
    assert twin.thresholds == monitor.thresholds
    damaged = ({"past": 1.0}, {"distance": 1.0, "jump": 1.0}, [1.0], {"distance": "far"})
    for change in ({"whiten": None}, {"rules": {"window": 0}}, *({"thresholds": each} for each in damaged)):
        with pytest.raises(ValueError, match="parameters must"):
            SafetyMonitor.from_parameters(monitor.parameters() | change)
