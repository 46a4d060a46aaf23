"""Limits: a share, rounded down, and nothing where nothing is known; latches on equity; what each posture does."""

import json
from datetime import date, datetime
from decimal import ROUND_UP, Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.risk import (
    DailyLossLimit,
    DrawdownBreaker,
    Posture,
    apply_posture,
    max_daily_loss_from_starting_equity,
    max_notional_per_order_from_equity,
    max_order_qty_from_liquidity,
    strictest,
)

PROPERTY = settings(derandomize=True, deadline=None, max_examples=300)
AMOUNTS = st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-3))
QUANTITIES = st.integers(-(10**6), 10**6).map(lambda n: Decimal(n).scaleb(-3))
BAD_EQUITY = [None, *map(Decimal, ("NaN", "sNaN", "Infinity", "0", "-5", "1E+40")), float("nan")]
BOTH = [lambda: DrawdownBreaker(0.2), lambda: DailyLossLimit(0.2)]

LIMITS = [max_order_qty_from_liquidity, max_notional_per_order_from_equity, max_daily_loss_from_starting_equity]
NAMED = list(zip(LIMITS, [("L_bar", "rho"), ("equity", "eta"), ("starting_equity", "delta")], strict=True))


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_is_its_share_as_printed(limit):
    assert limit(Decimal("5.0"), Decimal("0.02")) == limit(Decimal("5.0"), 0.02) == Decimal("0.1")


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "0", "-5", "1E+40"])
def test_what_is_no_amount_allows_nothing(limit, amount):
    assert limit(Decimal(amount), 0.02) == 0


@pytest.mark.parametrize(("limit", "names"), NAMED)
@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan"), float("inf"), Decimal("sNaN")])
def test_a_share_outside_zero_and_one_is_refused(limit, names, share):
    with pytest.raises(ValueError, match=f"{names[1]} must lie between 0 and 1"):
        limit(Decimal(5), share)


@pytest.mark.parametrize(("limit", "names"), NAMED)
def test_text_is_refused_by_name(limit, names):
    with pytest.raises(ValueError, match=f"{names[0]} must be a Decimal"):
        limit("100000 USDT", 0.02)


@pytest.mark.parametrize("limit", LIMITS)
def test_the_context_of_the_caller_does_not_matter(limit):
    with localcontext(Context(prec=1, rounding=ROUND_UP)):
        assert limit(Decimal("123.45"), Decimal("0.019")) == Decimal("2.34555")


@given(st.lists(AMOUNTS, min_size=1, max_size=30), st.integers(1, 99))
@PROPERTY
def test_the_breaker_trips_at_the_first_drawdown_that_is_too_deep_and_stays_tripped(equities, percent):
    breaker, highest, tripped = DrawdownBreaker(Decimal(percent).scaleb(-2)), Fraction(0), False
    for equity in equities:
        highest = max(highest, Fraction(equity))
        drawdown = 1 - Fraction(equity) / highest
        tripped = tripped or drawdown > Fraction(percent, 100)
        reading = breaker.check_equity(equity)
        assert 0 <= Fraction(reading.distance) - drawdown < Fraction(1, 10**30)
        assert bool(reading) == reading.safe == (breaker.tripped is None) == (reading.reason == "safe") == (not tripped)
        assert reading.posture is (Posture.FLATTEN if tripped else Posture.NORMAL)


@given(st.lists(st.tuples(AMOUNTS, st.integers(0, 3)), min_size=1, max_size=30), st.integers(1, 99))
@PROPERTY
def test_the_daily_limit_measures_from_the_first_equity_of_the_day(bars, percent):
    limit, day_before, start, tripped = DailyLossLimit(Decimal(percent).scaleb(-2)), None, None, False
    for equity, day in bars:
        if day != day_before:
            day_before, start = day, equity
        loss = max(Fraction(0), 1 - Fraction(equity) / Fraction(start))
        tripped = tripped or loss > Fraction(percent, 100)
        reading = limit.check_equity(equity, date(2024, 1, 1 + day))
        assert 0 <= Fraction(reading.distance) - loss < Fraction(1, 10**30)
        assert reading.safe == (not tripped)


@given(st.lists(AMOUNTS, min_size=2, max_size=20), QUANTITIES, QUANTITIES, st.sampled_from(list(Posture)[1:]))
@PROPERTY
def test_a_deeper_drawdown_never_leaves_more(equities, target, held, posture):
    """From one peak, whatever the order in which the drawdowns come."""
    peak, sizes = max(equities), []
    for equity in sorted(equities, reverse=True):
        breaker = DrawdownBreaker(Decimal("0.3"), posture=posture)
        breaker.check_equity(peak)
        after = apply_posture(breaker.check_equity(equity).posture, target, held)
        sizes.append(abs(after) if posture is not Posture.FREEZE or abs(target) >= abs(held) else 0)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("equity", BAD_EQUITY)
def test_an_equity_that_is_none_trips_and_latches(make, equity):
    limit = make()
    assert limit.check_equity(Decimal(100), "2024-01-02")
    reading = limit.check_equity(equity, "2024-01-02")
    assert not reading
    assert reading.distance.is_nan()
    assert reading.reason.startswith("the equity is not an amount")
    assert limit.check_equity(Decimal(100), "2024-01-03").reason == reading.reason
    assert not limit.check_equity(Decimal(100), "2024-01-04")


@pytest.mark.parametrize("make", BOTH)
def test_only_a_call_with_a_reason_lifts_the_latch_and_then_the_loss_counts_anew(make):
    limit = make()
    for equity in (100, 79, 200):
        reading = limit.check_equity(Decimal(equity), "2024-01-02")
    assert not reading
    assert reading.reason == limit.tripped == f"{limit.rule} of 21.00% is beyond 20.00%"
    for reason in ("", " ", None):
        with pytest.raises(ValueError, match="reason must say why"):
            limit.reset(reason=reason)
    assert not limit.check_equity(Decimal(200), "2024-01-02")
    limit.reset(reason="the desk has looked at it")
    assert limit.check_equity(Decimal(50), "2024-01-02")
    assert limit.check_equity(Decimal(40), "2024-01-02")  # a fifth is safe, and no more than that
    assert not limit.check_equity(Decimal("39.99"), "2024-01-02")


@pytest.mark.parametrize("make", BOTH)
@given(equities=st.lists(AMOUNTS | st.sampled_from(BAD_EQUITY), min_size=2, max_size=12))
@PROPERTY
def test_a_stored_limit_goes_on_as_it_would_have(make, equities):
    live = make()
    for n, equity in enumerate(equities):
        stored = make()
        stored.restore(json.loads(json.dumps(live.state(), allow_nan=False)))
        day = f"2024-01-{1 + n // 3:02d}"
        assert repr(live.check_equity(equity, day)) == repr(stored.check_equity(equity, day))


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("change", [{"rule": "another"}, {"tripped": 1}, {"reference": "-1"}, {"reference": "x"}])
def test_a_state_of_something_else_is_refused(make, change):
    limit = make()
    for state in (limit.state() | change, {}):
        with pytest.raises(ValueError, match="state must be"):
            limit.restore(state)


@pytest.mark.parametrize("day", [None, "", datetime(2024, 1, 2, 9, 30), "2024-01-02T09:30"])
def test_a_day_with_a_time_would_make_each_bar_a_day(day):
    with pytest.raises(ValueError, match="day must be a date"):
        DailyLossLimit(0.02).check_equity(Decimal(100), day)


@pytest.mark.parametrize(("kind", "name"), [(DrawdownBreaker, "max_drawdown"), (DailyLossLimit, "max_loss")])
def test_a_limit_that_limits_nothing_is_refused(kind, name):
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"{name} must lie between 0 and 1"):
            kind(share)
    with pytest.raises(ValueError, match="posture must be one that acts"):
        kind(0.1, posture=Posture.NORMAL)
    with pytest.raises(ValueError, match="equity must be a Decimal"):
        kind(0.1).check_equity("100 USDT", "2024-01-02")


@given(QUANTITIES, QUANTITIES)
@PROPERTY
def test_what_each_posture_does(target, held):
    assert apply_posture(Posture.NORMAL, target, held) == target
    assert apply_posture(Posture.FREEZE, target, held) == held
    assert apply_posture(Posture.FLATTEN, target, held) == 0
    shrunk = apply_posture(Posture.SHRINK_ONLY, target, held)
    assert shrunk * held >= 0  # never through zero
    assert abs(shrunk) <= abs(held)  # never away from it
    if target * held >= 0 and abs(target) <= abs(held):
        assert shrunk == target  # all the way where the target is on the way
    sizes = [abs(apply_posture(posture, target, held)) for posture in list(Posture)[1:]]
    assert sizes == sorted(sizes, reverse=True)


def test_the_strictest_of_several_postures():
    assert strictest() is Posture.NORMAL
    assert strictest(Posture.SHRINK_ONLY, Posture.NORMAL, Posture.FREEZE) is Posture.SHRINK_ONLY
    assert strictest(*Posture) is Posture.FLATTEN


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity"])
def test_a_quantity_that_is_none_has_no_posture(value):
    for quantities, name in (((Decimal(value), Decimal(1)), "target"), ((Decimal(1), Decimal(value)), "held")):
        with pytest.raises(ValueError, match=f"{name} must be a finite quantity"):
            apply_posture(Posture.FLATTEN, *quantities)
    with pytest.raises(ValueError, match="stop"):
        apply_posture("stop", Decimal(1), Decimal(1))
