"""The desk on minute bars, through the curve of the day: as composed by hand, causal, and not fooled by the open."""

import json
import math
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from companion.datasets import IntradayVolatility
from companion.desk import Bar
from companion.desk._minute import minute_filter, minute_monitor
from companion.evaluation import auc
from companion.heston import RegimeSwitchingHeston
from companion.risk import StreamingVolatility
from tests.desk.conftest import EQUITY, make_bars, make_desk

MINUTE, BARS = timedelta(minutes=1), 390
PLACE = np.linspace(-1, 1, BARS)
SMILE = (0.6 + 1.4 * PLACE**4) / np.sqrt(np.mean((0.6 + 1.4 * PLACE**4) ** 2))
MARKET = RegimeSwitchingHeston.equity_index().scaled(volatility=0.08)  # about .08 % a minute


def sessions(n_days):
    """Times at which the minutes of an exchange close, every day from 9:30."""
    first = datetime(2024, 1, 1, 9, 31)
    return [first + timedelta(days=day, minutes=minute) for day in range(n_days) for minute in range(BARS)]


def minute_bars(returns, times):
    closes = 100 * np.exp(np.cumsum(returns))
    made = make_bars(closes.tolist(), spread=1e-4)
    return [bar._replace(time=time) for bar, time in zip(made, times, strict=True)]


def curve(**settings):
    return IntradayVolatility(bar=MINUTE, **settings)


def through_the_day(**settings):
    return make_desk(**{"bar": "1min", "longest_gap": 2000, "intraday": curve(), **settings})


@pytest.fixture(scope="module")
def market():
    """Times and bars of two days, the returns as they would be without a smile, and the bars' own."""
    times = sessions(2)
    plain = MARKET.simulate(n_paths=1, n_steps=len(times), seed=11).log_returns[0]
    bars = minute_bars(plain * np.tile(SMILE, 2), times)
    closes = [bar.close for bar in bars]
    return bars, [math.nan] + [math.log(b / a) for a, b in pairwise(closes)]


@pytest.mark.parametrize("volatility", ["close_to_close", "yang_zhang"])
def test_it_is_what_the_parts_say_by_hand(market, volatility):
    bars, returns = market[0][300:500], market[1][300:500]  # a night is among them
    returns[0] = math.nan
    detector, monitor = minute_filter(), minute_monitor()
    desk = through_the_day(detector=detector, monitor=monitor, window=30, volatility=volatility)
    day, stepper, sigma = curve(), detector.stepper(), StreamingVolatility(window=30, estimator=volatility)
    monitor.reset()
    for bar, log_return in zip(bars, returns, strict=True):
        decision, factor = desk.on_bar(bar, equity=EQUITY), day.factor(bar.time)
        level = sigma.update(bar.open, bar.high, bar.low, bar.close, factor=factor).per_bar
        if math.isnan(log_return):
            continue
        reading = stepper.update(day.update(bar.time, log_return))
        assert decision.p_stable == reading.p_stable
        assert decision.safety == (
            monitor.check_input(log_return, factor=factor),
            monitor.check_safety(reading.features),
            monitor.check_past(reading.ood_p_value),
        )
        expected = level * day.factor(bar.time + MINUTE)
        assert decision.sigma_bar == expected or math.isnan(expected)
    assert {decision.sigma_bar / level, 1.0} != {1.0}  # the curve has something to say


def test_the_size_is_for_the_volatility_of_the_next_bar():
    """A curve that knows the smile sizes for the bar to come: 16:00 is the calm hour's end, not the loud one."""
    times = sessions(40)
    returns = 0.001 * np.random.default_rng(3).standard_normal(len(times)) * np.tile(SMILE, 40)
    desk = through_the_day(window=100)
    sigmas = [decision.sigma_bar for decision in desk.run(minute_bars(returns, times), equity=EQUITY)]
    forecast = np.reshape(sigmas, (40, BARS))[20:].mean(axis=0)
    slots = SMILE.reshape(13, 30)
    usual = np.repeat(np.sqrt((slots**2).mean(axis=1)), 30)
    np.testing.assert_allclose(forecast[30:-1] / 0.001, usual[31:], rtol=0.15)


def test_a_decision_does_not_depend_on_later_bars(market):
    bars, _ = market
    found = through_the_day(window=30).run(bars[:500], equity=EQUITY)
    changed = [bar._replace(high=3 * bar.close, close=3 * bar.close) for bar in bars[500:520]]
    assert through_the_day(window=30).run(bars[:500] + changed, equity=EQUITY)[:500] == found


def test_it_goes_on_from_a_saved_state_and_replays(market):
    bars, _ = market
    one, twin = (through_the_day(detector=minute_filter(), window=30) for _ in range(2))
    one.run(bars[:400], equity=EQUITY)
    twin.restore(json.loads(json.dumps(one.state())))
    for bar in bars[400:450]:
        before, decision = one.state(), one.on_bar(bar, equity=EQUITY)
        assert twin.on_bar(bar, equity=EQUITY) == decision
    one.restore(before)
    assert one.replay(decision) == decision
    for other in (through_the_day(window=30, intraday=curve(half_life=7.0)), through_the_day(window=30, intraday=None)):
        with pytest.raises(ValueError, match="another"):
            other.restore(one.state())


def test_the_curve_is_copied_with_what_it_knows(market):
    bars, returns = market
    learned = curve()
    learned.transform(sessions(2), np.nan_to_num(returns))
    known = learned.state()
    later = [bar._replace(time=bar.time + timedelta(days=2)) for bar in bars[:60]]
    fresh, knowing = (
        through_the_day(intraday=day, window=30).run(later, equity=EQUITY)[-1] for day in (curve(), learned)
    )
    assert fresh.sigma_bar != knowing.sigma_bar
    assert learned.state() == known
    early = through_the_day(intraday=learned, window=30).on_bar(bars[0], equity=EQUITY)
    assert early.quantity == 0
    assert "bar refused: time must be after that of the last bar" in early.reasons[0]


@pytest.mark.parametrize("time", [None, datetime(2024, 1, 2).date()])
def test_a_bar_without_a_time_of_day_is_an_error_that_says_so(market, time):
    desk = through_the_day()
    desk.on_bar(market[0][0], equity=EQUITY)
    before = desk.state()
    with pytest.raises(ValueError, match=r"bar\.time must be a datetime, since the desk reads the time of day"):
        desk.on_bar(market[0][1]._replace(time=time), equity=EQUITY)
    assert desk.state() == before


def test_bars_of_another_length_are_refused():
    with pytest.raises(ValueError, match="intraday must be of bars as long as the desk's, 1min, got bars of 0:05:00"):
        through_the_day(intraday=IntradayVolatility(bar=timedelta(minutes=5)))


def test_a_move_that_the_curve_makes_absurd_is_refused():
    """Less than the largest log return, at a time when volatility is two thirds of the usual: more than the largest."""
    *times, noon = sessions(4)[: 3 * BARS + 200]
    returns, learned = 0.001 * np.random.default_rng(2).standard_normal(4 * BARS) * np.tile(SMILE, 4), curve()
    learned.transform(times, returns[: len(times)])
    assert learned.factor(noon) < 0.9
    desk = through_the_day(intraday=learned)
    desk.on_bar(Bar(noon, 1.0, 1.0, 1.0, 1.0), equity=EQUITY)
    wild = Bar(noon + MINUTE, 1.0, math.exp(9.0), 1.0, math.exp(9.0))
    assert "bar refused: close must be a price" in desk.on_bar(wild, equity=EQUITY).reasons[0]


def test_the_open_is_no_chaos():
    """What the detector calls, and how well it knows the regime, is what it would be in a market without a clock."""
    n_days, learned, detector = 24, 10, minute_filter()
    times, opening = sessions(n_days), np.tile(np.arange(BARS) < 30, n_days - learned)
    paths = MARKET.simulate(n_paths=4, n_steps=len(times), seed=21)
    shares, scores = [], []
    for plain, truth in zip(paths.log_returns, paths.regime[:, 1:], strict=True):
        shown = plain * np.tile(SMILE, n_days)
        read = curve().transform(times, shown)
        p_chaos = detector.predict_proba(np.stack([plain, read, shown]))[:, learned * BARS :, 1]
        shares.append((p_chaos[:, opening] > 0.5).mean(axis=1))
        scores.append([auc(truth[learned * BARS :], one) for one in p_chaos[:2]])
    called_plain, called_read, called_shown = np.mean(shares, axis=0)
    plain, read = np.mean(scores, axis=0)
    assert called_shown > called_plain + 0.04
    assert abs(called_read - called_plain) < (called_shown - called_plain) / 3
    assert plain - read <= 0.01
