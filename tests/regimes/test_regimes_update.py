"""Bars as they come: `update` takes the next one and refuses every other, with the reason and without a trace."""

import datetime as dt
import math
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from companion.cli import main as cli
from companion.errors import InputError
from companion.evaluation import expected_calibration_error
from companion.mamba import MarketMamba, MarketMambaConfig
from companion.pipeline import fit_detector
from companion.regimes import EwmaKMeans, RegimeDetector
from companion.regimes import _detector as detector
from companion.regimes._clock import BarClock

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=100)
MONDAY = dt.datetime(2024, 1, 1, 16)
DAY = dt.timedelta(days=1)
RETURN = st.floats(-0.1, 0.1)
BAD_RETURN = st.sampled_from([np.nan, np.inf, -np.inf, 11.0, -1e300])


@pytest.fixture(scope="module")
def fitted(market):
    return EwmaKMeans().fit(*market)


def bars(fitted, *timestamps):
    """Begin a stream and feed it one bar a timestamp."""
    fitted.reset()
    return [fitted.update(0.01 * (-1) ** i, timestamp) for i, timestamp in enumerate(timestamps)]


@DETERMINISTIC
@given(st.lists(st.tuples(st.one_of(RETURN, BAD_RETURN), st.integers(-50, 170)), min_size=1, max_size=15))
def test_a_refused_bar_leaves_no_trace(fitted, stream):
    """Gaps in hours. What was refused, for its return or its time, has no part in any later reading."""
    fitted.reset()
    now, taken, readings, n_long = MONDAY, [], [], 0
    for value, hours in stream:
        later = now + dt.timedelta(hours=hours)
        long = bool(taken) and hours > 30
        legal = abs(value) <= 10 and (not taken or 18 <= hours <= 126) and not (long and n_long == 4)
        try:
            readings.append(fitted.update(value, later))
        except ValueError:
            assert not legal
        else:
            assert legal
            taken.append(value)
            now, n_long = later, n_long + 1 if long else 0
    fitted.reset()
    assert readings == [fitted.update(value) for value in taken]


@DETERMINISTIC
@given(st.lists(st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)), min_size=2, max_size=2))
def test_two_dates_follow_each_other_where_one_to_five_days_lie_between(fitted, dates):
    gap = (dates[1] - dates[0]).days
    if 1 <= gap <= 5:
        assert bars(fitted, *dates)[-1].n_bars == 2
    else:
        with pytest.raises(
            ValueError, match="duplicate" if gap == 0 else "out of order" if gap < 0 else "missing bars"
        ):
            bars(fitted, *dates)


@DETERMINISTIC
@given(st.integers(1, 10**6), st.integers(1, 20), st.floats(0.01, 30))
def test_any_bar_and_gap_can_be_asked_for(fitted, seconds, longest_gap, gap):
    bar = dt.timedelta(seconds=seconds)
    fitted.reset(bar=bar, longest_gap=longest_gap).update(0.01, MONDAY)
    later = MONDAY + gap * bar
    if 0.75 <= (later - MONDAY) / bar <= longest_gap + 0.25:
        assert fitted.update(0.01, later).n_bars == 2
    else:
        with pytest.raises(ValueError, match=r"another frequency|missing bars"):
            fitted.update(0.01, later)


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (MONDAY, "timestamp must come once, got 2024-01-01 16:00:00 after 2024-01-01 16:00:00: a duplicate"),
        (
            MONDAY - DAY,
            "timestamp must ascend, got 2023-12-31 16:00:00 after .*: out of order; give the bars in the order of time",
        ),
        (
            MONDAY + dt.timedelta(hours=1),
            r"one bar of 1 day, 0:00:00 after another, got 2024-01-01 17:.* after .*another frequency: .*begin anew",
        ),
        (
            MONDAY + 7 * DAY,
            r"at most 5 bars of 1 day, 0:00:00 after another, got 2024-01-08 16:00:00 after .*: feed the missing bars",
        ),
        (None, "timestamp must be given for every bar as for the one before, 2024-01-01 16:00:00, got None"),
        (pd.NaT, "timestamp must be a datetime, a date, a Timestamp or a datetime64, got NaT"),
        (np.datetime64("NaT"), "timestamp must be a time, got NaT"),
        ("2024-01-02", "timestamp must be a datetime, .* got '2024-01-02'"),
        (1704211200, "timestamp must be a datetime, .* got 1704211200"),
        (np.datetime64(10**18, "s"), "timestamp must be"),
        (
            (MONDAY + DAY).replace(tzinfo=dt.UTC),
            "timestamp must have a time zone at every bar or at none, got 2024-01-02 16:00:00\\+00:00",
        ),
    ],
)
def test_the_reason_is_said(fitted, later, message):
    bars(fitted, MONDAY)
    with pytest.raises(ValueError, match=message):
        fitted.update(0.01, later)
    assert fitted.update(0.01, MONDAY + DAY).n_bars == 2


def test_bars_that_come_every_few_days_are_of_another_frequency(fitted):
    dates = [MONDAY + 2 * i * DAY for i in range(5)]
    bars(fitted, *dates)
    with pytest.raises(ValueError, match=r"after 5 gaps in a row of more than 1 day, 0:00:00, another frequency"):
        fitted.update(0.01, dates[-1] + 2 * DAY)
    assert fitted.update(0.01, dates[-1] + DAY).n_bars == 6
    assert fitted.update(0.01, dates[-1] + 4 * DAY).n_bars == 7


def test_a_stream_has_timestamps_at_every_bar_or_at_none(fitted):
    fitted.reset().update(0.01)
    with pytest.raises(ValueError, match=r"timestamp must be absent as before, got .*: reset\(\) to begin anew"):
        fitted.update(0.01, MONDAY)
    assert fitted.reset().update(0.01, MONDAY).n_bars == 1


def test_timestamps_change_no_reading(fitted, market):
    path = market[0][0, :250]
    dates = pd.bdate_range("2019-01-01", periods=len(path), tz="America/New_York")  # two changes of the clock
    fitted.reset()
    plain = [fitted.update(value) for value in path]
    fitted.reset()
    assert [fitted.update(value, date) for value, date in zip(path, dates, strict=True)] == plain


def test_every_kind_of_timestamp_is_the_same_time(fitted):
    kinds = [
        MONDAY.date(),
        MONDAY + DAY,
        pd.Timestamp(MONDAY) + 2 * DAY,
        np.datetime64(MONDAY + 3 * DAY, "s"),
        np.datetime64(MONDAY + 4 * DAY, "ns"),
    ]
    assert bars(fitted, *kinds)[-1].n_bars == 5
    zones = [pd.Timestamp("2024-01-01 21:00", tz="UTC"), pd.Timestamp("2024-01-02 16:00", tz="America/New_York")]
    assert bars(fitted, *zones)[-1].n_bars == 2


FORMS = {
    "datetime": lambda time: time,
    "Timestamp": pd.Timestamp,
    "Timestamp of nanoseconds": lambda time: pd.Timestamp(time).as_unit("ns") + pd.Timedelta(999, "ns"),
    **{f"datetime64[{unit}]": lambda time, u=unit: np.datetime64(time, u) for unit in ("ms", "us", "ns", "ps")},
}
ZONES = st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Europe/Berlin"])


@DETERMINISTIC
@given(
    st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2199, 1, 1)),
    st.integers(-(10**12), 10**12),
    st.tuples(*2 * [st.sampled_from(sorted(FORMS))]),
)
def test_the_clock_counts_microseconds_whatever_the_form(time, gap, forms):
    """One bar of a day: only gaps of .75 to 5.25 days pass, and to the microsecond, in any pair of forms."""
    later = time + dt.timedelta(microseconds=gap)
    if "ms" in "".join(forms):
        time, later = (t.replace(microsecond=t.microsecond // 1000 * 1000) for t in (time, later))
    if any("ps" in form for form in forms):  # picoseconds reach over 106 days to each side of 1970
        time, later = (dt.datetime(1970, 1, 1) + (t - time) for t in (time, later))
        assume(abs(later - time) < 100 * DAY)
    clock = BarClock.start("1D", 5).tick(FORMS[forms[0]](time))
    assert clock.last == (time - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    if 0.75 * DAY <= later - time <= 5.25 * DAY:
        assert clock.tick(FORMS[forms[1]](later)).n_bars == 2
    else:
        with pytest.raises(ValueError, match="timestamp must"):
            clock.tick(FORMS[forms[1]](later))


@DETERMINISTIC
@given(
    st.datetimes(dt.datetime(1900, 1, 2), dt.datetime(2100, 1, 1), timezones=ZONES.map(ZoneInfo)), ZONES, st.booleans()
)
def test_a_time_zone_is_another_name_of_the_same_time(time, zone, pandas):
    there = time.astimezone(ZoneInfo(zone))
    start = BarClock.start("1D", 5)
    assert start.tick(time) == start.tick(pd.Timestamp(there) if pandas else there)
    plain = time.astimezone(dt.UTC).replace(tzinfo=None)
    assert start.tick(time).last == start.tick(plain).last


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (dt.date(1, 1, 1), dt.date(1, 1, 2)),
        (dt.datetime(1, 1, 1), dt.datetime(1, 1, 2)),
        (dt.datetime(9999, 12, 30, 23, 59, 59, 999_999), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)),
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(1, 1, 2, tzinfo=dt.UTC)),
        (np.datetime64("0001-01-01"), np.datetime64("0001-01-02")),
        (np.datetime64("9999-12-30T00", "h"), np.datetime64("9999-12-31T00", "h")),
        (np.datetime64("2024-01"), np.datetime64("2024-01-02", "D")),
        (np.datetime64(1, "D"), np.datetime64(2 * 24 * 60, "m")),
        (pd.Timestamp.min.ceil("D"), pd.Timestamp.min.ceil("D") + pd.Timedelta(days=1)),
        (pd.Timestamp("0001-01-01").as_unit("us"), pd.Timestamp("0001-01-02").as_unit("s")),
    ],
)
def test_the_clock_reaches_from_the_first_year_to_the_last(fitted, first, second):
    assert bars(fitted, first, second)[-1].n_bars == 2
    with pytest.raises(ValueError, match=r"timestamp must ascend, got .*: out of order"):
        fitted.update(0.01, first)


def test_the_longest_closures_of_new_york_since_1990_pass_where_they_are_asked_for(fitted):
    closed = [dt.date(2001, 9, 10), dt.date(2001, 9, 17)]
    with pytest.raises(ValueError, match="2001-09-17 after 2001-09-10: feed the missing bars"):
        bars(fitted, *closed)
    fitted.reset(longest_gap=7)
    assert [fitted.update(0.01, date).n_bars for date in closed] == [1, 2]
    assert bars(fitted, dt.date(2012, 10, 26), dt.date(2012, 10, 31))[-1].n_bars == 2


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({"bar": "soon"}, "bar must be a length of time such as .*, got 'soon'"),
        ({"bar": "0D"}, "bar must be a positive length of time, got '0D'"),
        ({"bar": dt.timedelta(-1)}, "bar must be a positive length of time"),
        ({"bar": None}, "bar must be .*, got None"),
        ({"longest_gap": 0}, "longest_gap must be a positive integer, got 0"),
        ({"longest_gap": math.nan}, "longest_gap must be a positive integer, got nan"),
        ({"longest_gap": "x"}, "longest_gap must be a positive integer, got 'x'"),
    ],
)
def test_reset_checks_the_stream_and_keeps_the_old_one(fitted, stream, message):
    bars(fitted, MONDAY)
    with pytest.raises(ValueError, match=message):
        fitted.reset(**stream)
    assert fitted.update(0.01, MONDAY + DAY).n_bars == 2


def test_a_detector_is_warm_after_its_warm_up(market):
    short = EwmaKMeans(warm_up=3).fit(*market)
    assert [short.update(0.01).warm for _ in range(5)] == [False, False, False, True, True]
    assert not short.reset().update(0.01).warm


def test_the_shipped_detector_is_fitted_calibrated_and_the_same_every_time(market):
    returns, regime = market
    shipped, again = RegimeDetector.load_pretrained(), RegimeDetector.load_pretrained(enter_chaos=0.5, leave_chaos=0.2)
    probability = shipped.predict_proba(returns)
    np.testing.assert_array_equal(again.predict_proba(returns), probability)
    assert (again.enter_chaos, again.leave_chaos) == (0.5, 0.2)
    assert expected_calibration_error(regime[:, 60:], probability[:, 60:, 1]) < 0.06  # six paths say no more
    assert shipped.update(returns[0, 0], MONDAY).p_chaos == pytest.approx(probability[0, 0, 1], abs=1e-6)


def test_the_shipped_detector_belongs_to_the_shipped_model(tmp_path):
    other = tmp_path / "other.safetensors"
    MarketMamba(MarketMambaConfig()).save(other, provenance={})
    with pytest.raises(InputError, match=r"fitted on another model than other.safetensors; make it again with `python"):
        detector.read_fitted(detector.FITTED, model=other)


def test_the_command_makes_what_load_pretrained_reads(tmp_path, monkeypatch, market):
    model, fitted = tmp_path / "model.safetensors", tmp_path / "detector.json"
    MarketMamba(MarketMambaConfig(d_model=8, n_layers=1)).save(model, provenance={})
    small = fit_detector.FitDetectorConfig(n_paths=4, n_bars=400, seed=1)
    sizes = ["--n-paths", "4", "--n-bars", "400", "--seed", "1"]
    assert cli(["fit-detector", "--model", str(model), "--out", str(fitted), *sizes]) == 0
    monkeypatch.setattr(detector, "MODEL", model)
    monkeypatch.setattr(detector, "FITTED", fitted)
    monkeypatch.setattr("companion.mamba.load_pretrained", lambda: MarketMamba.load(model))
    made = fit_detector.fit_detector(small, model=model)
    path = market[0][0]
    np.testing.assert_array_equal(RegimeDetector.load_pretrained().predict_proba(path), made.predict_proba(path))
    assert cli(["fit-detector", "--model", str(tmp_path / "none.safetensors"), "--out", str(fitted)]) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"parameters"', "", "content is not JSON"),
        ('"parameters"', '"settings"', "content is not a fitted detector"),
        ('"model"', '"market"', "content is not a fitted detector"),
        ('"format_version": 2', '"format_version": 9', "format_version is 9, this version reads 2"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, old, new, message):
    path = tmp_path / "detector.json"
    with pytest.raises(InputError, match=r"detector.json: can not be read .*make it again"):
        detector.read_fitted(path, model=detector.MODEL)
    path.write_text(detector.FITTED.read_text().replace(old, new))
    with pytest.raises(InputError, match=rf"detector.json: {message}.*make it again"):
        detector.read_fitted(path, model=detector.MODEL)


@pytest.mark.parametrize("value", ["0.01", True, None, [0.01]])
def test_what_is_no_number_is_no_return(fitted, value):
    fitted.reset()
    with pytest.raises(ValueError, match="log_return"):
        fitted.update(value)
    assert fitted.update(0.01).n_bars == 1


def test_a_shipped_detector_refuses_bad_settings(load_shipped):
    with pytest.raises(ValueError, match="warm_up must be a non-negative integer, got -5"):
        load_shipped(warm_up=-5)
    with pytest.raises(ValueError, match=r"enter_chaos and leave_chaos must satisfy .*, got 0.2 and 0.4"):
        load_shipped(enter_chaos=0.2, leave_chaos=0.4)
