"""The desk: every fail-safe flat, within every cap, monotone, causal, and the same from any saved state."""

import json
import math
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.desk import AlwaysLong, Bar, Decision, Desk, Momentum, Quote
from companion.risk import DailyLossLimit, DrawdownBreaker, Posture, ramp
from tests.desk.conftest import EQUITY, RULES, SIZING, Scripted, make_bars, make_desk, random_bars

CLOSE = 100.0


def last(desk, bars, **given):
    *before, bar = bars
    for earlier in before:
        desk.on_bar(earlier, equity=EQUITY)
    return desk.on_bar(bar, **{"equity": EQUITY, **given})


# --- what it does when all is well -----------------------------------------------------------------------------------


def test_a_position_is_the_sizing_law_dimmed(bars):
    full, dimmed = (last(make_desk(Scripted(p)), bars) for p in (0.95, 0.7))
    assert (full.leverage, dimmed.leverage) == (1.0, 0.8)
    assert full.quantity > 0
    assert full.safe
    mu = SIZING.kappa * math.tanh(1.0 / SIZING.z_sat)
    asked = mu / (SIZING.gamma * full.sigma_bar**2)
    assert full.fraction == pytest.approx(min(asked, SIZING.f_max))
    assert dimmed.fraction == pytest.approx(min(0.8 * asked, SIZING.f_max))


def test_leverage_comes_before_the_caps(bars):
    """Half of a fraction that the cap would have cut anyway is what the cap leaves of it, not half of the cap."""
    small = replace(SIZING, f_max=1e-3)
    full, half = (last(make_desk(Scripted(p), sizing=small, leverage=lambda p: p), bars) for p in (1.0, 0.5))
    assert full.quantity == half.quantity > 0
    assert any("fraction of equity" in reason for reason in half.reasons)


def test_any_function_of_p_stable_may_lead(bars):
    assert last(make_desk(Scripted(0.7), leverage=ramp), bars).leverage == pytest.approx(0.5)
    broken = last(make_desk(Scripted(0.7), leverage=lambda p: math.nan), bars)
    assert broken.quantity == 0
    assert any(reason.startswith("flat") and "leverage" in reason for reason in broken.reasons)


def test_the_dimmer_remembers(bars):
    """In the band between off and on the position stays what it was."""
    came_down, came_up = Scripted(*[0.95] * 30, 0.55), Scripted(*[0.3] * 30, 0.55)
    assert last(make_desk(came_down), bars).quantity > 0
    assert last(make_desk(came_up), bars).quantity == 0


def test_a_short_signal_is_a_short_position(bars):
    long, short = (last(make_desk(signal=AlwaysLong(z)), bars) for z in (1.0, -1.0))
    assert short.quantity == -long.quantity < 0


def test_momentum_is_the_normalized_return(bars):
    from companion.risk import normalized_signal

    closes = np.array([bar.close for bar in bars])
    raw = np.full(len(closes), math.nan)
    raw[5:] = np.log(closes[5:] / closes[:-5])
    signal = Momentum(5, 10)
    found = [signal.update(close) for close in closes]
    np.testing.assert_allclose(found, np.r_[[math.nan] * 5, normalized_signal(raw[5:], window=10)], rtol=1e-12)


# --- flat on whatever is bad -----------------------------------------------------------------------------------------

BAD_BARS = {
    "close is NaN": {"close": math.nan},
    "close is infinite": {"close": math.inf},
    "close is zero": {"close": 0.0},
    "close is negative": {"close": -100.0},
    "high below low": {"high": 1.0, "low": 2.0},
    "open is NaN": {"open": math.nan},
    "close above high": {"high": 1e-3},
    "no move of a price": {"open": 1e12, "high": 1e12, "low": 1e12, "close": 1e12},
    "the same time again": {"time": "same"},
    "an earlier time": {"time": "earlier"},
    "no time after times": {"time": None},
    "a month later": {"time": "month"},
}
TIMES = {"same": 0, "earlier": -3, "month": 31}


@pytest.mark.parametrize("fault", BAD_BARS)
def test_a_bad_bar_is_flat_says_why_and_changes_nothing(bars, fault):
    desk = make_desk()
    before = last(desk, bars[:40])
    change = dict(BAD_BARS[fault])
    if isinstance(change.get("time"), str):
        change["time"] = bars[39].time + timedelta(days=TIMES[change["time"]])
    state = desk.state()
    found = desk.on_bar(bars[40]._replace(**change), equity=EQUITY)
    assert found.quantity == 0
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("flat: bar refused: ")
    found_state = desk.state()
    assert found_state["intake"]["volatility"].pop("n_refused") >= state["intake"]["volatility"].pop(
        "n_refused"
    )  # a count, no memory
    assert found_state == {**state, "held": "0"}
    assert (found.regime, found.n_bars) == (-1, before.n_bars)
    again = make_desk()
    last(again, bars[:40])
    assert desk.on_bar(bars[40], equity=EQUITY, held=before.quantity) == again.on_bar(bars[40], equity=EQUITY)


@pytest.mark.parametrize(("warm_up", "window"), [(0, 5), (3, 5), (4, 5), (5, 5), (30, 5), (30, 50)])
def test_it_is_flat_for_its_warm_up_bars_and_not_for_one_more(bars, warm_up, window):
    desk = make_desk(Scripted(0.95, warm_up=warm_up), window=window)
    decisions = desk.run(bars, equity=EQUITY)
    assert [decision.quantity > 0 for decision in decisions].index(True) == desk.warm_up_bars


def test_what_a_sizing_has_derived_is_no_setting(bars):
    """Two desks of one settings object are alike, used or not."""
    sizing = replace(SIZING)
    states = [last_state(make_desk(sizing=sizing), bars) for _ in range(2)]
    assert sizing.exact_sigma_target > 0
    assert states[0] == states[1] == last_state(make_desk(sizing=sizing), bars)


def last_state(desk, bars):
    desk.run(bars, equity=EQUITY)
    return desk.state()


@pytest.mark.parametrize("equity", [None, Decimal(0), Decimal(-5), Decimal("NaN"), Decimal("Infinity")])
def test_no_equity_is_flat(bars, equity):
    found = last(make_desk(), bars, equity=equity)
    assert found.quantity == 0
    assert "flat: the equity is not an amount" in found.reasons


@pytest.mark.parametrize(
    ("detector", "options", "closes", "words"),
    [
        (Scripted(math.nan), {}, None, "leverage"),
        (Scripted(0.2), {}, None, "leverage"),
        (Scripted(0.95, warm_up=50), {}, None, "flat: warming up, 39 of 51 bars"),
        (Scripted(0.95), {"signal": Momentum(60, 20)}, None, "the signal is not a number"),
        (Scripted(0.95), {}, [CLOSE] * 40, "volatility"),
        (Scripted(0.95), {}, [CLOSE] * 39 + [CLOSE * 1.8], "price"),
    ],
)
def test_what_can_not_be_sized_is_flat_and_says_why(bars, detector, options, closes, words):
    found = last(make_desk(detector, **options), make_bars(closes) if closes else bars[:40])
    assert found.quantity == 0
    assert any(words in reason for reason in found.reasons), found.reasons


def test_the_first_bar_is_flat(bars):
    found = make_desk().on_bar(bars[0], equity=EQUITY)
    assert found.quantity == 0
    assert found.reasons[0] == "flat: the first bar has no return"


@pytest.mark.parametrize(
    ("quote", "price"),
    [
        (Quote(Decimal(99), Decimal(101)), Decimal(100)),
        (Quote(Decimal("NaN"), Decimal(101)), None),
        (Quote(Decimal(102), Decimal(101)), None),
        (Quote(Decimal("0.01"), Decimal(500)), None),
        (None, None),
    ],
)
def test_a_quote_that_is_none_gives_way_to_the_close(quote, price):
    bars = make_bars([100.0, 101.0] * 20)
    found = last(make_desk(), bars, quote=quote)
    assert found.quantity > 0
    assert found.price == (price if price is not None else Decimal(str(bars[-1].close)))
    assert ("no usable quote: priced at the last close" in found.reasons) == (price is None)


def test_a_quote_in_another_unit_is_flat():
    bars = make_bars([100.0, 101.0] * 20)
    found = last(make_desk(), bars, quote=Quote(Decimal("0.0099"), Decimal("0.0101")))
    assert found.quantity == 0


# --- limits on equity ------------------------------------------------------------------------------------------------


def test_a_drawdown_flattens_and_stays(bars):
    desk = make_desk(drawdown=DrawdownBreaker(0.1))
    for bar in bars[:40]:
        desk.on_bar(bar, equity=EQUITY)
    assert desk.on_bar(bars[40], equity=EQUITY * Decimal("0.91")).quantity > 0
    tripped = desk.on_bar(bars[41], equity=EQUITY * Decimal("0.89"))
    assert (tripped.quantity, tripped.posture, tripped.safe) == (0, Posture.FLATTEN, False)
    assert desk.on_bar(bars[42], equity=2 * EQUITY).quantity == 0
    desk.reset()
    assert last(desk, bars).quantity > 0


def test_a_daily_loss_ends_with_a_latch_whatever_the_day(bars):
    desk = make_desk(daily_loss=DailyLossLimit(0.02, posture=Posture.SHRINK_ONLY))
    held = last(desk, bars[:40]).quantity
    day = bars[40].time.date()
    hours = [bars[40]._replace(time=datetime.combine(day, datetime.min.time()))]
    lost = desk.on_bar(hours[0], equity=EQUITY)
    assert lost.safe
    found = desk.on_bar(bars[41], equity=EQUITY * Decimal("0.97"))
    assert found.quantity == found.quantity.min(held)


@pytest.mark.parametrize("posture", [Posture.FREEZE, Posture.SHRINK_ONLY, Posture.FLATTEN])
@pytest.mark.parametrize("held", [Decimal(-50), Decimal(0), Decimal("0.5"), Decimal(5000)])
def test_each_posture_does_what_it_says(bars, posture, held):
    desk = make_desk(drawdown=DrawdownBreaker(0.1, posture=posture))
    wanted = last(make_desk(), bars).quantity
    for bar in bars[:-1]:
        desk.on_bar(bar, equity=EQUITY)
    fallen = EQUITY / 2
    found = desk.on_bar(bars[-1], equity=fallen, held=held).quantity
    assert wanted > 0
    if posture is Posture.FREEZE:
        assert found == held
    elif posture is Posture.FLATTEN:
        assert found == 0
    else:
        assert abs(found) <= abs(held)
        assert found * held >= 0


# --- ten thousand sequences with faults ------------------------------------------------------------------------------

FAULTS = ("none", "none", "nan", "zero", "jump", "crossed", "same time", "spike")


def faulty_bars(rng, faults):
    """A random walk of one bar a fault, each bar broken as its fault says."""
    closes = 100 * np.exp((rng.choice([0.001, 0.01, 0.1]) * rng.standard_normal(len(faults))).cumsum())
    bars = make_bars(closes.tolist(), spread=float(rng.choice([0.0, 0.01])))
    broken = {
        "nan": {"close": math.nan},
        "zero": {"low": 0.0},
        "jump": {"open": 1e4, "high": 1e4, "low": 1e4, "close": 1e4},
        "crossed": {"high": 1.0, "low": 2.0},
        "spike": {"high": 1e3},
    }
    return [
        bar._replace(time=bars[0].time) if fault == "same time" else bar._replace(**broken.get(fault, {}))
        for bar, fault in zip(bars, faults, strict=True)
    ]


def within_every_cap(found, equity):
    size = abs(found.quantity)
    if not size:
        return True
    notional = size * found.price
    return (
        size <= SIZING.max_quantity
        and size >= RULES.min_quantity
        and size % RULES.size_increment == 0
        and notional >= RULES.min_notional
        and notional <= equity * Decimal(SIZING.f_max) * Decimal("1.000001")
        and notional * Decimal(found.sigma_bar) <= equity * Decimal(SIZING.sigma_target) * Decimal("1.000001")
    )


@settings(max_examples=10_000, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_within_every_cap_and_monotone_whatever_the_bars(seed):
    """One integer an example: drawing thirty values by name would cost more than the ten thousand desks."""
    rng = np.random.default_rng(seed)
    faults = rng.choice(FAULTS, rng.integers(8, 15)).tolist()
    low_p, high_p = np.sort(rng.choice([*rng.random(4), 0.0, 0.5, 0.6, 0.9, 1.0], 2)).tolist()
    equity, fall, wider = Decimal(int(10 ** rng.uniform(0, 7))), rng.uniform(0.0, 0.6, 2), rng.uniform(1.0, 3.0)
    z = float(rng.choice([rng.uniform(-3.0, 3.0), 0.0, 3.0, -3.0]))
    options = {"signal": AlwaysLong(z), "volatility": "parkinson", "drawdown": DrawdownBreaker(0.25)}
    *bars, bar = faulty_bars(rng, [*faults, "none"])
    detector = Scripted(high_p)
    desk = make_desk(detector, **options)
    for earlier in bars:
        found = desk.on_bar(earlier, equity=equity)
        assert within_every_cap(found, equity)
        assert found.quantity == 0 or not found.reasons or not any(r.startswith("flat") for r in found.reasons)
    state = desk.state()

    def size(bar=bar, equity=equity):
        desk.restore(state)
        found = desk.on_bar(bar, equity=equity, held=Decimal(0))
        assert within_every_cap(found, equity)
        return abs(found.quantity)

    plain = size()
    calmer_low, calmer_high = min(bar.low, bar.open, bar.close), max(bar.high, bar.open, bar.close)
    rougher = bar._replace(low=calmer_low / wider, high=calmer_high * wider)
    assert size(bar=rougher) <= plain
    small, large = sorted(fall.tolist())
    lost = [equity * (1 - Decimal(part)) for part in (small, large)]
    assert size(equity=lost[1]) <= size(equity=lost[0])
    detector.said[:] = [low_p]
    assert size() <= plain


# --- stored, restored, replayed --------------------------------------------------------------------------------------


def test_a_decision_survives_json_and_replay(bars):
    desk = make_desk(drawdown=DrawdownBreaker(0.2), daily_loss=DailyLossLimit(0.02), signal=Momentum(5, 10))
    quotes = [None if i % 3 else Quote(Decimal(str(bar.close)), Decimal(str(bar.close))) for i, bar in enumerate(bars)]
    made = desk.run(bars, equity=EQUITY, quotes=quotes)
    assert [Decision.from_json(decision.to_json()) for decision in made] == made
    desk.reset()
    assert [desk.replay(Decision.from_json(decision.to_json())) for decision in made] == made
    assert any(decision.quantity for decision in made)


def test_decisions_are_equal_where_the_same_numbers_are_missing(bars):
    decision = make_desk().run(bars[:1], equity=EQUITY)[0]
    assert math.isnan(decision.p_stable)
    twin = replace(decision, p_stable=float("nan"), sigma_bar=-float("nan"))
    assert twin == decision
    assert hash(twin) == hash(decision)
    assert replace(decision, p_stable=0.5) != decision
    assert replace(decision, equity=Decimal("sNaN")) == replace(decision, equity=Decimal("NaN"))
    assert decision != decision.to_json()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 59))
def test_a_desk_goes_on_from_a_state_as_if_nothing_had_been(cut):
    bars = random_bars(60, seed=1)
    options = {"drawdown": DrawdownBreaker(0.2), "daily_loss": DailyLossLimit(0.02), "signal": Momentum(5, 10)}
    whole = make_desk(**options).run(bars, equity=EQUITY)
    first, second = make_desk(**options), make_desk(**options)
    head = first.run(bars[:cut], equity=EQUITY)
    second.restore(json.loads(json.dumps(first.state())))
    assert head + second.run(bars[cut:], equity=EQUITY) == whole


def test_a_foreign_state_is_refused_and_changes_nothing(bars):
    desk = make_desk()
    last(desk, bars)
    state = desk.state()
    other = make_desk(sizing=replace(SIZING, gamma=3.0))
    changed = {"stepper": {}, "held": "much", "dimmed": None, "intake": {**state["intake"], "volatility": None}}
    clocks = ([1], [60, None, "no", 0], ["60", None, False, 0])
    broken = [{**state, name: value} for name, value in changed.items()] + [{**state, "held": "NaN"}]
    broken += [{**state, "intake": {**state["intake"], "clock": clock}} for clock in clocks]
    for foreign in (other.state(), {}, None, *broken):
        with pytest.raises(ValueError, match="state must be"):
            desk.restore(foreign)
        assert desk.state() == state


def test_two_desks_never_disturb_one_another(bars):
    signal, breaker = Momentum(5, 10), DrawdownBreaker(0.2)
    one, two = (make_desk(signal=signal, drawdown=breaker) for _ in range(2))
    alone = make_desk(signal=Momentum(5, 10), drawdown=DrawdownBreaker(0.2)).run(bars, equity=EQUITY)
    for bar, expected in zip(bars, alone, strict=True):
        one.on_bar(bar._replace(close=bar.open), equity=EQUITY)
        assert two.on_bar(bar, equity=EQUITY) == expected


def test_the_past_does_not_move_when_the_future_does(bars):
    changed = [*bars[:30], *(bar._replace(open=1.0, high=9.0, low=0.5, close=3.0) for bar in bars[30:])]
    before, after = (make_desk(signal=Momentum(5, 10)).run(b, equity=EQUITY) for b in (bars, changed))
    assert before[:30] == after[:30]
    assert before[30:] != after[30:]


def test_a_table_of_bars_is_its_bars(bars):
    table = pd.DataFrame(bars).set_index("time")
    assert make_desk().run(table, equity=100_000) == make_desk().run(bars, equity=EQUITY)
    undated = table.reset_index(drop=True)
    assert make_desk().run(undated, equity=EQUITY)[-1].bar.time is None
    with pytest.raises(ValueError, match="bars must have the columns open, high, low, close, got none called high"):
        make_desk().run(table.drop(columns="high"), equity=EQUITY)


def test_a_table_says_when_its_bars_were(bars):
    """Text has no order: prices that ran backwards were read as if they ran forwards."""
    table = pd.DataFrame(bars).set_index("time")
    expected = make_desk().run(table, equity=EQUITY)[-1]
    days = table.set_axis([time.date() for time in table.index])
    assert make_desk().run(days, equity=EQUITY)[-1].quantity == expected.quantity
    for index in (table.index.astype(str), table.index.to_period("D"), [None] * len(table)):
        with pytest.raises(ValueError, match=r"bars must have dates as their index, got .*to_datetime"):
            make_desk().run(table.set_axis(index), equity=EQUITY)
    with pytest.raises(ValueError, match="got one column: `read_bars`"):
        make_desk().run(table["close"], equity=EQUITY)
    hours = table.set_axis(pd.date_range("2024-01-01", periods=len(table), freq="h"))
    with pytest.raises(ValueError, match="bars come every 1:00:00, and the desk's are of 1 day, 0:00:00: make it with"):
        make_desk().run(hours, equity=EQUITY)
    assert make_desk(bar="1h").run(hours, equity=EQUITY)[-1].quantity == expected.quantity


def test_dates_and_no_times_are_times_too(bars):
    dated = [bar._replace(time=date(2020, 1, 6) + timedelta(days=i)) for i, bar in enumerate(bars)]
    timeless = [bar._replace(time=None) for bar in bars]
    expected = [d.quantity for d in make_desk().run(bars, equity=EQUITY)]
    for other in (dated, timeless):
        made = make_desk(daily_loss=DailyLossLimit(0.02)).run(other, equity=EQUITY)
        assert [d.quantity for d in made] == expected
        assert [Decision.from_json(d.to_json()) for d in made] == made


def test_bars_of_other_numbers_and_times_are_the_same_bars(bars):
    kinds = [np.float64, np.float32, lambda x: Decimal(str(x)), lambda x: x]
    exact = make_bars([100.0, 101.5, 100.25, 102.0] * 6)
    expected = [decision.quantity for decision in make_desk().run(exact, equity=EQUITY)]
    for kind in kinds:
        others = [Bar(np.datetime64(bar.time, "s"), *(kind(price) for price in bar[1:])) for bar in exact]
        made = make_desk(daily_loss=DailyLossLimit(0.02)).run(others, equity=EQUITY)
        assert [decision.quantity for decision in made] == expected
        assert [Decision.from_json(decision.to_json()) for decision in made] == made


def test_a_move_that_is_not_believed_is_not_shown_to_the_detector():
    """It is one bar flat, and the next goes on from the new price."""
    closes = [bar.close / (20.0 if day >= 30 else 1.0) for day, bar in enumerate(random_bars(60, seed=1))]
    made = make_desk().run(make_bars(closes), equity=EQUITY)
    assert made[30].reasons[0] == "flat: the close is too far from the one before"
    assert (made[30].quantity, made[30].n_bars, made[31].n_bars) == (0, 29, 30)
    assert math.isnan(made[30].p_stable)
    assert all(decision.quantity > 0 for decision in made[36:])


@pytest.mark.parametrize("price", ["100", None, [100.0], True])
def test_what_is_no_price_is_flat(bars, price):
    desk = make_desk()
    last(desk, bars[:40])
    found = desk.on_bar(bars[40]._replace(close=price), equity=EQUITY)
    assert found.quantity == 0
    assert found.reasons[0].startswith("flat: bar refused: ")


def test_a_time_that_is_none_is_flat(bars):
    desk = make_desk(daily_loss=DailyLossLimit(0.02))
    last(desk, bars[:40])
    for time in (pd.NaT, np.datetime64("NaT"), "2020-02-15", 3):
        found = desk.on_bar(bars[40]._replace(time=time), equity=EQUITY)
        assert (found.quantity, len(found.reasons)) == (0, 1)
        assert "timestamp must be" in found.reasons[0]


@pytest.mark.parametrize("line", ["", "{}", "[1]", "null", '{"bar": 1}'])
def test_what_is_no_decision_is_refused(line):
    with pytest.raises(ValueError, match="line must be a decision"):
        Decision.from_json(line)


def test_a_decision_says_itself(bars):
    text = str(last(make_desk(), bars))
    assert text.startswith(f"{bars[-1].time}: hold ")
    assert "P(stable) 0.950, leverage 1.00" in text
    assert "no usable quote" in text


def test_settings_are_checked(bars):
    with pytest.raises(ValueError, match="z must lie between -3 and 3"):
        AlwaysLong(4.0)
    with pytest.raises(ValueError, match="lookback must be a positive integer"):
        Momentum(0)
    with pytest.raises(ValueError, match="bar must be a length of time"):
        make_desk(bar="soon")
    with pytest.raises(ValueError, match="window"):
        make_desk(window=1)
    with pytest.raises(ValueError, match=r"leverage must be DimmerSteps or a function of P\(stable\), got 2.0"):
        make_desk(leverage=2.0)
    assert isinstance(make_desk(), Desk)
    assert isinstance(bars[0], Bar)
