"""Lags are counted from the date, alarms outside of the crises, and the dates are those of the index."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from companion.datasets import load_sp500_close
from companion.evaluation._crises import CRISES, Crisis, alarms, detection_lags

DAYS = pd.bdate_range("2020-01-01", periods=300)


def _crisis(first, last, name="one"):
    return Crisis(name, DAYS[first].date(), DAYS[last].date(), "test")


def _called(*spells):
    flags = pd.Series(0, DAYS)
    for start, stop in spells:
        flags.iloc[start:stop] = 1
    return flags


@pytest.mark.parametrize(
    ("spell", "lag"),
    [((105, 110), 5.0), ((100, 101), 0.0), ((90, 101), -10.0), ((90, 100), np.nan), ((121, 130), np.nan)],
)
def test_the_lag_is_counted_from_the_start_of_the_answering_spell(spell, lag):
    found = detection_lags(_called(spell), [_crisis(100, 120)])
    np.testing.assert_array_equal(found.to_numpy(), [lag])


def test_a_shift_of_the_date_is_a_shift_of_the_lag():
    crises = [_crisis(100, 140), _crisis(200, 240, "two")]
    called = _called((110, 120), (205, 230))
    base = detection_lags(called, crises)
    assert base.to_dict() == {"one": 10.0, "two": 5.0}
    assert (detection_lags(called, crises, shift=-7) == base + 7).all()


def test_alarms_are_counted_outside():
    found = alarms(_called((50, 60), (100, 110), (130, 150)), [_crisis(100, 120)], margin=10)
    assert found.crisis_called == pytest.approx(11 / 41)  # bars 90 to 130
    assert found.quiet_called == pytest.approx(29 / 259)
    assert found.false_a_year == pytest.approx(252 * 1 / 259)  # the last spell touches the margin


def test_the_rotation_test_is_small_for_an_oracle_and_uniform_for_a_guess():
    crises = [_crisis(40, 60), _crisis(200, 230, "two")]
    oracle = alarms(_called((40, 61), (200, 231)), crises, margin=0)
    assert oracle.rotation_p == pytest.approx(1 / 300)
    flags = _called((40, 61), (200, 231)).to_numpy()
    shifts = np.arange(0, 300, 10)
    p = [alarms(pd.Series(np.roll(flags, k), DAYS), crises, margin=0).rotation_p for k in shifts]
    assert np.mean(p) == pytest.approx(0.5, abs=0.2)
    at = np.roll(flags, 10)
    reached = at[40:61].sum() + at[200:231].sum()
    brute = np.mean([np.roll(at, k)[40:61].sum() + np.roll(at, k)[200:231].sum() >= reached for k in range(300)])
    assert p[1] == pytest.approx(brute)


def test_the_dates_are_on_the_index():
    """Every start is a trading day; where the reason is a high it is one; every end is the low of its last leg."""
    close = load_sp500_close()
    for crisis in CRISES:
        start, end = pd.Timestamp(crisis.start), pd.Timestamp(crisis.end)
        assert start in close.index
        assert end in close.index
        if crisis.why == "highest close of the index":
            assert close[start] == close[:end].max()
        assert close[end] == close[end - pd.Timedelta(days=20) : end + pd.Timedelta(days=20)].min()
    lost = close.pct_change()
    assert lost["2018-10-10"] == pytest.approx(-0.033, abs=0.001)
    assert lost["2020-02-24"] == pytest.approx(-0.034, abs=0.001)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Crisis("odd", date(2020, 2, 1), date(2020, 2, 1), ""),
            "end must come after start, 2020-02-01, got 2020-02-01 for 'odd'",
        ),
        (lambda: detection_lags(_called() + 2, [_crisis(1, 9)]), "must hold 0 and 1"),
        (lambda: detection_lags(_called()[::-1], [_crisis(1, 9)]), "ascending dates"),
        (lambda: detection_lags(_called(), [_crisis(5, 9)], shift=-6), "got 'one' shifted by -6 bars"),
        (lambda: detection_lags(_called(), CRISES), "got 'Russia, LTCM' shifted by 0 bars"),
        (lambda: alarms(_called(), [_crisis(1, 290)]), "must cover some bars"),
        (lambda: alarms(_called(), []), "must cover some bars"),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()
