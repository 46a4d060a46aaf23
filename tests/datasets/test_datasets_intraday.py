"""The intraday curve: a known one is found, nothing is seen before its time, and a detector reads through it."""

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from companion.datasets import IntradayVolatility
from companion.evaluation import auc
from companion.heston import RegimeSwitchingHeston, bayes_filter
from companion.regimes import NeuralRegimeFilter

MINUTE, BARS = timedelta(minutes=1), 390
PLACE = np.linspace(-1, 1, BARS)
SMILE = (0.6 + 1.4 * PLACE**2) / np.sqrt(np.mean((0.6 + 1.4 * PLACE**2) ** 2))
OVERNIGHT, WEEKEND = 4.0, 6.0


def sessions(n_days, bars=BARS):
    """Times at which the minutes of an exchange close, weekdays from 9:30, and the day's number of each."""
    days = [datetime(2024, 1, 1) + timedelta(days=i) for i in range(2 * n_days)]
    days = [day for day in days if day.weekday() < 5][:n_days]
    return [day + timedelta(hours=9, minutes=31 + i) for day in days for i in range(bars)]


def through_the_day(returns, times):
    """Returns as an exchange with a smile and a closed night would show them."""
    shown = returns * np.tile(SMILE, len(returns) // BARS)
    opening = np.arange(len(returns)) % BARS == 0
    monday = np.array([time.weekday() == 0 for time in times])
    return np.where(opening, np.where(monday, WEEKEND, OVERNIGHT) * returns, shown)


def test_a_known_curve_is_found():
    times = sessions(100)
    returns = 0.001 * np.random.default_rng(0).standard_normal(len(times))
    curve = IntradayVolatility(bar=MINUTE, half_life=60.0)
    rescaled = curve.transform(times, through_the_day(returns, times))
    found = curve.curve()
    for slot, factor in found.items():
        if slot not in ("overnight", "weekend"):
            first = slot[1] - 570
            assert factor == pytest.approx(np.sqrt(np.mean(SMILE[first : first + 30] ** 2)), rel=0.06)
    assert found["overnight"] == pytest.approx(OVERNIGHT, rel=0.25)
    assert found["weekend"] == pytest.approx(WEEKEND, rel=0.5)
    half_hour = np.array([time.hour * 60 + time.minute for time in times]) // 30
    sizes = [rescaled[50 * BARS :][half_hour[50 * BARS :] == k].std() for k in np.unique(half_hour)]
    assert max(sizes) / min(sizes) < 1.25
    assert np.std(rescaled[50 * BARS :]) == pytest.approx(0.001, rel=0.05)


def test_minutes_of_a_market_that_never_closes_have_no_gap():
    times = [datetime(2024, 1, 1, tzinfo=UTC) + i * timedelta(minutes=5) for i in range(20_000)]
    curve = IntradayVolatility(bar=timedelta(minutes=5), slot=timedelta(hours=1))
    returns = np.random.default_rng(0).standard_normal(20_000) / 1000
    rescaled = curve.transform(times, returns)
    assert [slot[1] for slot in sorted(curve.curve())] == list(range(0, 24 * 60, 60))
    np.testing.assert_allclose(list(curve.curve().values()), 1.0, atol=0.15)
    np.testing.assert_allclose(rescaled, returns, rtol=0.3)


def test_a_hole_in_the_feed_is_no_night_and_a_break_is_not_either():
    times = [time for time in sessions(20) if time.minute % 17 and time.hour != 12]
    curve = IntradayVolatility(bar=MINUTE)
    curve.transform(times, np.random.default_rng(5).standard_normal(len(times)) / 1000)
    gaps = {slot: sums[1] for slot, sums in curve._slots.items() if isinstance(slot, str)}
    assert set(gaps) == {"break", "overnight", "weekend"}
    assert all(weight <= 20 for weight in gaps.values())


def test_a_detector_loses_little_by_reading_through_the_curve():
    """The same market with and without a smile and nights: share of the best observer's excess that the curve costs."""
    times, market, detector = sessions(40), RegimeSwitchingHeston.equity_index(), NeuralRegimeFilter.load_pretrained()
    warm, shares = slice(20 * BARS, None), []
    for seed in range(8):
        path = market.simulate(n_paths=1, n_steps=len(times), seed=300 + seed)
        returns, truth = path.log_returns[0], path.regime[0, 1:][warm]
        shown = through_the_day(returns, times)
        through = IntradayVolatility(bar=MINUTE).transform(times, shown)
        plain, read, raw = (auc(truth, detector.predict_proba(x)[warm, 1]) for x in (returns, through, shown))
        best = auc(truth, bayes_filter(returns, market, n_particles=500, seed=seed)[warm, 1]) - 0.5
        shares.append([(plain - read) / best, (plain - raw) / best])
    lost, without = np.array(shares).T
    assert lost.mean() < 0.01 + 2 * stats.sem(lost)
    assert lost.mean() < 0.2 * without.mean()
    assert without.mean() > 0.1


@given(st.integers(1, 199), st.floats(0.01, 100.0))
@settings(deadline=None, max_examples=30, derandomize=True)
def test_it_sees_the_past_alone_and_knows_no_unit(cut, factor):
    times = sessions(2, bars=100)
    returns = np.random.default_rng(1).standard_normal(200) / 1000
    changed = np.where(np.arange(200) < cut, returns, 50 * returns)
    one, other, scaled = (
        IntradayVolatility(bar=MINUTE).transform(times, x) for x in (returns, changed, factor * returns)
    )
    np.testing.assert_array_equal(one[:cut], other[:cut])
    np.testing.assert_allclose(scaled, factor * one, rtol=1e-9)


def test_whole_paths_are_bar_by_bar_and_a_factor_is_what_the_next_bar_is_divided_by():
    times, returns = sessions(3, bars=60), np.random.default_rng(2).standard_normal(180) / 1000
    whole, curve = IntradayVolatility(bar=MINUTE).transform(times, returns), IntradayVolatility(bar=MINUTE)
    for time, value, expected in zip(times, returns, whole, strict=True):
        factor = curve.factor(time)
        assert curve.update(time, value) == expected == value / factor


def test_each_weekday_may_have_a_curve_of_its_own():
    times = sessions(200, bars=60)
    busy = np.array([time.weekday() == 4 for time in times])
    returns = np.where(busy, 3.0, 1.0) * np.random.default_rng(3).standard_normal(len(times)) / 1000
    curve = IntradayVolatility(bar=MINUTE, by_weekday=True, half_life=200.0)
    curve.transform(times, returns)
    factors = {day: np.mean([f for slot, f in curve.curve().items() if slot[0] == day]) for day in range(5)}
    assert min(factors[4] / factors[day] for day in range(4)) > 2.0


def test_news_does_not_bend_the_curve_and_a_flat_feed_does_not_break_it():
    times, returns = sessions(60), 0.001 * np.random.default_rng(4).standard_normal(60 * BARS)
    calm, shocked = IntradayVolatility(bar=MINUTE), IntradayVolatility(bar=MINUTE)
    calm.transform(times, returns)
    returns[50 * BARS + 100] = 0.5
    shocked.transform(times, returns)
    slot = (-1, 660)
    assert shocked.curve()[slot] < 1.1 * calm.curve()[slot]
    flat = IntradayVolatility(bar=MINUTE)
    assert flat.transform(times[:400], np.zeros(400)).tolist() == [0.0] * 400
    assert np.isfinite(flat.update(times[400], 0.01))


START = datetime(2024, 1, 2, 9, 31)


@pytest.mark.parametrize(
    ("time", "value", "says"),
    [
        (START, 0.01, "time must be after that of the last bar"),
        (START - MINUTE, 0.01, "time must be after that of the last bar"),
        (START.replace(tzinfo=UTC) + MINUTE, 0.01, "time must have a time zone if the one before has"),
        (date(2024, 1, 3), 0.01, "time must be a datetime, got datetime.date"),
        ("2024-01-03 09:31", 0.01, "time must be a datetime"),
        (START + MINUTE, float("nan"), "log_return must be"),
        (START + MINUTE, "0.01", "log_return must be"),
    ],
)
def test_a_bad_bar_is_refused_and_teaches_nothing(time, value, says):
    curve, twin = IntradayVolatility(bar=MINUTE), IntradayVolatility(bar=MINUTE)
    for one in (curve, twin):
        one.update(START, 0.001)
    with pytest.raises(ValueError, match=says):
        curve.update(time, value)
    assert curve.update(START + MINUTE, 0.002) == twin.update(START + MINUTE, 0.002)
    assert curve.curve() == twin.curve()


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"bar": timedelta(0)}, "slot must be at least a bar"),
        ({"bar": timedelta(hours=1)}, "slot must be at least a bar"),
        ({"slot": timedelta(days=2)}, "slot must be .* at most a day"),
        ({"half_life": 0.0}, "half_life must be"),
    ],
)
def test_bad_settings_are_named(settings_, says):
    with pytest.raises(ValueError, match=says):
        IntradayVolatility(**({"bar": MINUTE} | settings_))
    with pytest.raises(ValueError, match="times must be as many"):
        IntradayVolatility(bar=MINUTE).transform(sessions(1), [0.01])


@given(st.integers(1, 150), st.booleans())
@settings(deadline=None, max_examples=20, derandomize=True)
def test_it_goes_on_exactly_from_a_saved_state(cut, by_weekday):
    times = [time for time in sessions(3, bars=60) if time.minute % 13]
    returns = (np.random.default_rng(6).standard_normal(len(times)) / 1000).tolist()
    made = {"bar": MINUTE, "by_weekday": by_weekday, "half_life": 3.0}
    one, twin = IntradayVolatility(**made), IntradayVolatility(**made)
    one.transform(times[:cut], returns[:cut])
    twin.restore(json.loads(json.dumps(one.state())))
    np.testing.assert_array_equal(*(curve.transform(times[cut:], returns[cut:]) for curve in (one, twin)))
    assert one.state() == twin.state()


@pytest.mark.parametrize(
    "change",
    [
        {"made": [60.0, 1800.0, False, 7.0]},
        {"slots": [["lunch", [1.0, 1.0]]]},
        {"slots": [[[0, 30], [1.0]]]},
        {"level": None},
        {"last": 3},
        {"all": [1.0]},
    ],
)
def test_a_state_that_is_none_of_its_own_is_refused_and_changes_nothing(change):
    curve = IntradayVolatility(bar=MINUTE)
    curve.transform(sessions(2), np.random.default_rng(7).standard_normal(2 * BARS) / 1000)
    before = curve.state()
    for state in (before | change, {}, None):
        with pytest.raises(ValueError, match="state must be"):
            curve.restore(state)
    assert curve.state() == before


def test_the_end_of_summer_is_no_step_back():
    """In New York, 2024-11-03, one o'clock comes twice; also after a restore, where the zone is but an offset."""
    start, zone = datetime(2024, 11, 3, 4, tzinfo=UTC), ZoneInfo("America/New_York")
    times = [(start + i * MINUTE).astimezone(zone) for i in range(240)]
    returns = np.random.default_rng(8).standard_normal(240) / 1000
    whole, curve = IntradayVolatility(bar=MINUTE), IntradayVolatility(bar=MINUTE)
    expected = whole.transform(times, returns)
    curve.transform(times[:100], returns[:100])
    curve.restore(json.loads(json.dumps(curve.state())))
    np.testing.assert_array_equal(curve.transform(times[100:], returns[100:]), expected[100:])
    assert not {"break", "overnight", "weekend"} & set(whole.curve())
