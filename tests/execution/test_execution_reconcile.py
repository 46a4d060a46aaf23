"""From a target to one order: whatever fills, the position stays between what was held and what is wanted."""

import decimal
import math
import random
from dataclasses import replace
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from companion.execution import (
    OrderIntent,
    Rebalance,
    WorkingOrder,
    delta_qty,
    plan_rebalance,
    should_rebalance,
)
from companion.risk import InstrumentRules, Posture, apply_posture

PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)
D, STEP = Decimal, Decimal("0.001")
RULES = InstrumentRules(3, STEP, Decimal("0.001"), Decimal(1000), Decimal(10))
PRICE = Decimal(50_000)
BAND = Decimal("0.01")
CANCEL = "cancel: nothing is sent until every cancel is confirmed"


def plan(target, held="0", *working, **changed):
    """The plan for quantities given as text; working orders as (id, remaining, reduce_only, cancelling)."""
    settings = {"instrument": RULES, "price": PRICE, "dead_band": BAND} | changed
    orders = [WorkingOrder(name, D(remaining), *flags) for name, remaining, *flags in working]
    return plan_rebalance(D(target), held=D(held), working=orders, **settings)


def sends(quantity, *, reduce_only=False, reasons=()):
    return Rebalance(OrderIntent(D(quantity), reduce_only), (), tuple(reasons))


def words(rebalance):
    return [reason.partition(":")[0] for reason in rebalance.reasons]


def test_what_is_in_flight_is_not_sent_again():
    """The printed loop sends the whole difference at each bar, as long as the first order has not filled."""
    assert delta_qty(D("0.5"), D("0.1")) == D("0.4")
    assert delta_qty(D("0.5"), D("0.1"), D("0.4")) == 0
    assert plan("0.5", "0.1") == sends("0.4")
    assert plan("0.5", "0.1", ("a", "0.4")) == Rebalance(None, (), ())
    assert plan("0.5", "0.1", ("a", "0.3")) == sends("0.1")
    assert plan("-0.5", "-0.1", ("a", "-0.3")) == sends("-0.1")


def test_the_dead_band_is_not_worth_an_order():
    assert not should_rebalance(BAND, BAND)
    assert should_rebalance(-BAND - STEP, BAND)
    assert plan("0.51", "0.5").order is None
    assert words(plan("0.51", "0.5")) == ["dead band"]
    assert plan("0.511", "0.5") == sends("0.011")
    assert plan("0.5", "0.5") == Rebalance(None, (), ())


def test_a_target_of_zero_is_exact():
    assert plan("0", "0.002") == sends("-0.002", reduce_only=True)
    assert plan("0", "-0.002") == sends("0.002", reduce_only=True)
    assert plan("0.001", "0.002").order is None


def test_what_can_only_shrink_is_reduce_only():
    assert plan("0.2", "0.5") == sends("-0.3", reduce_only=True)
    assert plan("-0.2", "-0.5") == sends("0.3", reduce_only=True)
    assert plan("-0.5", "-0.2") == sends("-0.3")


def test_a_position_is_closed_before_the_other_side_is_opened():
    first = plan("-0.5", "0.3")
    assert first.order == OrderIntent(D("-0.3"), reduce_only=True)
    assert words(first) == ["zero first"]
    assert plan("-0.5", "0.3", ("a", "-0.3", True)).order is None
    assert plan("-0.5", "0") == sends("-0.5")


def test_orders_on_the_wrong_side_are_canceled_and_nothing_is_sent_until_they_are():
    assert plan("-0.5", "0", ("a", "0.4")) == Rebalance(None, ("a",), (CANCEL,))
    assert plan("-0.5", "0", ("a", "0.4", False, True)) == Rebalance(None, (), (CANCEL,))
    assert plan("-0.5", "0") == sends("-0.5")
    assert plan("0.5", "0.1", ("a", "0.2"), ("b", "-0.1")).cancel == ("b",)


def test_orders_beyond_the_target_are_canceled_the_youngest_first():
    orders = ("a", "0.2"), ("b", "0.2"), ("c", "0.2")
    assert plan("0.6", "0", *orders).cancel == ()
    assert plan("0.5", "0", *orders).cancel == ("c",)
    assert plan("0.3", "0", *orders).cancel == ("b", "c")
    assert plan("0.1", "0", *orders).cancel == ("a", "b", "c")
    assert plan("0.595", "0", *orders).cancel == ()  # beyond it by less than the dead band
    # what is being canceled may still fill: it takes its room first
    assert plan("0.4", "0", ("a", "0.2"), ("b", "0.2"), ("c", "0.2", False, True)).cancel == ("b",)
    # and what is held may have changed: somebody else has sold
    assert plan("0", "0.1", ("a", "-0.3", True)).cancel == ("a",)


def test_nothing_is_sent_without_a_fresh_price_but_cancels_are_made():
    for price in (None, D("NaN"), D(0), D(-1), D("Infinity")):
        none = plan("0.5", price=price)
        assert none.order is None
        assert words(none) == ["no price"]
        assert plan("-0.5", "0", ("a", "0.4"), price=price).cancel == ("a",)
        assert plan("0", "0.5", price=price, posture=Posture.FLATTEN).order is None


def test_an_order_is_no_larger_than_allowed_and_the_rest_follows():
    parts = plan("2.5", max_quantity=D(1))
    assert parts.order == OrderIntent(D(1), reduce_only=False)
    assert words(parts) == ["in parts"]
    assert plan("2.5", "1", max_quantity=D(1)).order.quantity == 1
    assert plan("2.5", "2", max_quantity=D(1)) == sends("0.5")
    assert plan("5", instrument=replace(RULES, max_quantity=D(2))).order.quantity == 2
    assert plan("5", instrument=replace(RULES, max_notional=D(100_000))).order.quantity == 2
    assert words(plan("5", max_quantity=D(0))) == ["too small"]


def test_what_the_venue_does_not_take_is_not_sent_and_reported():
    coarse = replace(RULES, min_quantity=D("0.1"))
    assert words(plan("0.05", instrument=coarse)) == ["too small"]
    assert words(plan("0.002", dead_band=D(0), price=D(4000))) == ["too small"]  # worth 8 of 10
    assert plan("0.5555", dead_band=D(0)) == sends("0.555", reasons=["in parts: 0.555 of 0.5555 now"])


def test_dust_is_closed_below_the_smallest_notional_and_reported_below_the_smallest_quantity():
    """Venues exempt what closes a position from the smallest notional; a quantity below their smallest none takes."""
    assert plan("0", "0.002", price=D(4000)) == sends("-0.002", reduce_only=True)
    assert words(plan("0.5", "0.502", price=D(4000), dead_band=D(0))) == ["too small"]  # shrinks, but does not close
    dust = plan("0", "0.05", instrument=replace(RULES, min_quantity=D("0.1")), posture=Posture.FLATTEN)
    assert dust.order is None
    assert dust.reasons == ("dust: -0.05 is missing, at most 0.05 may be sent, and the smallest order is 0.1",)


def test_postures_bend_the_target_and_say_so():
    assert plan("0.9", "0.5", posture=Posture.FLATTEN).order == OrderIntent(D("-0.5"), reduce_only=True)
    assert plan("0.2", "0.5", posture=Posture.SHRINK_ONLY).order == OrderIntent(D("-0.3"), reduce_only=True)
    for target in ("0.9", "-0.9", "0.2"):
        frozen = plan(target, "0.5", ("a", "-0.1", True), posture=Posture.FREEZE)
        assert (frozen.order, frozen.cancel) == (None, ("a",))
        assert words(frozen) == ["posture", "cancel"]
        assert plan(target, "0.5", posture=Posture.FREEZE).order is None
    assert plan("0.9", "0.5", posture="shrink_only") == Rebalance(
        None, (), ("posture: shrink_only holds 0.5 instead of 0.9",)
    )


def test_while_a_posture_acts_there_is_no_room_beyond_the_target():
    for posture in (Posture.SHRINK_ONLY, Posture.FLATTEN):
        assert plan("0", "0.5", ("a", "-0.5"), posture=posture).cancel == ()  # whoever's it is, it closes
        assert plan("0", "0.5", ("a", "-0.501"), posture=posture).cancel == ("a",)
    assert plan("0.2", "0.5", ("a", "-0.305"), posture=Posture.SHRINK_ONLY).cancel == ("a",)
    assert plan("0.2", "0.5", ("a", "-0.305")).cancel == ()


@pytest.mark.parametrize("bad", [D("NaN"), D("sNaN"), D("Infinity"), D("1E+18"), 0.5, 1, None, "1"], ids=repr)
def test_what_is_no_quantity_is_refused(bad):
    for name in ("target", "held", "dead_band", "max_quantity"):
        if bad is None and name == "max_quantity":
            continue
        arguments = {"target": D(0), "held": D(0), "dead_band": D(0), "max_quantity": None} | {name: bad}
        with pytest.raises(ValueError, match=f"^{name} must be a finite Decimal"):
            plan_rebalance(**arguments, working=(), instrument=RULES, price=PRICE)
    with pytest.raises(ValueError, match=r"^remaining must be a finite Decimal"):
        WorkingOrder("a", bad)


def test_negative_limits_are_refused():
    for name in ("dead_band", "max_quantity"):
        with pytest.raises(ValueError, match=f"{name} must not be negative, got -1"):
            plan("1", **{name: D(-1)})


# --- any state at all -------------------------------------------------------------------------------------------------

QUANTITY = st.integers(-3000, 3000).map(lambda n: D(n) * STEP)
POSTURE = st.sampled_from(Posture)
ORDERS = st.lists(st.tuples(QUANTITY, st.booleans(), st.booleans()), max_size=5).map(
    lambda rows: [WorkingOrder(str(n), *row) for n, row in enumerate(rows)]
)


@PROPERTY
@given(QUANTITY, QUANTITY, ORDERS, POSTURE, st.sampled_from([D(0), BAND, D(1)]), st.none() | st.just(D("0.7")))
def test_no_plan_lets_the_position_leave_the_span_of_held_and_wanted(
    target, held, working, posture, dead_band, max_quantity
):
    """Whichever of the orders fill that the plan leaves or sends, and however far."""
    arguments = {"held": held, "working": working, "instrument": RULES, "price": PRICE, "dead_band": dead_band}
    arguments |= {"posture": posture, "max_quantity": max_quantity}
    got = plan_rebalance(target, **arguments)
    wanted = apply_posture(posture, target, held)
    low, high = min(held, wanted), max(held, wanted)
    band = dead_band if posture is Posture.NORMAL else D(0)
    left = [order for order in working if order.order_id not in got.cancel and not order.cancelling]
    sizes = [order.remaining for order in left]
    if got.order is not None:
        assert not got.cancel
        assert not any(order.cancelling for order in working)
        assert abs(got.order.quantity) <= (max_quantity or RULES.max_quantity)
        assert got.order.quantity * (wanted - held) > 0
        assert got.order.reduce_only == (got.order.quantity * held < 0)
        sizes.append(got.order.quantity)
        # not through zero, and of what is sent no more than is missing
        assert held * (held + got.order.quantity) >= 0
        assert low <= held + got.order.quantity <= high
        assert abs(held + sum(sizes) - wanted) < abs(held + sum(sizes[:-1]) - wanted)
    assert low - band <= held + sum(x for x in sizes if x < 0)
    assert held + sum(x for x in sizes if x > 0) <= high + band
    if posture is Posture.FREEZE:
        assert got.order is None
        assert all(order.cancelling or order.order_id in got.cancel or not order.remaining for order in working)
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact, decimal.Rounded])):
        assert plan_rebalance(target, **arguments) == got


# --- a venue that does as it likes ------------------------------------------------------------------------------------


class Venue:
    """Fills at random, in parts or not at all, rejects, and takes its time to confirm; or it is prompt."""

    def __init__(self, rng, held):
        self.rng, self.held, self.orders, self.prompt, self.ids = rng, held, {}, False, count()
        self.path = [held]

    def obey(self, plan):
        for order_id in plan.cancel:
            self.orders[order_id] = replace(self.orders[order_id], cancelling=True)
        if plan.order is not None and (self.prompt or self.rng.random() < 0.9):  # else it is rejected
            order_id = str(next(self.ids))
            self.orders[order_id] = WorkingOrder(order_id, plan.order.quantity, plan.order.reduce_only)

    def work(self):
        for order_id, order in list(self.orders.items()):
            steps = int(abs(order.remaining) / STEP)
            fill = (
                order.remaining
                if self.prompt
                else STEP * self.rng.randint(0, steps) * (1 if order.remaining > 0 else -1)
            )
            if order.cancelling and (self.prompt or self.rng.random() < 0.5):
                del self.orders[order_id]
                continue
            if order.reduce_only:  # a venue trims it to the position
                room = abs(self.held) if order.remaining * self.held < 0 else D(0)
                fill = min(abs(fill), room).copy_sign(fill)
            self.held += fill
            self.path.append(self.held)
            self.orders[order_id] = replace(order, remaining=order.remaining - fill)
            if not self.orders[order_id].remaining or (order.reduce_only and not self.held):
                del self.orders[order_id]


def passes(venue, target, n, **changed):
    """So many passes of the control loop; the plans that were made."""
    arguments = {"instrument": RULES, "price": PRICE, "dead_band": BAND, "max_quantity": D("0.8")} | changed
    plans = []
    for _ in range(n):
        working = list(venue.orders.values())
        plans.append(plan_rebalance(target, held=venue.held, working=working, **arguments))
        venue.obey(plans[-1])
        venue.work()
    return plans


VENUE = settings(PROPERTY, max_examples=80, phases=[Phase.generate])


@VENUE
@given(st.integers(0, 2**32), QUANTITY, st.lists(QUANTITY, min_size=1, max_size=12))
def test_once_the_target_rests_the_position_comes_to_it(seed, held, targets):
    """In two passes for the cancels, and one for each part of what is held and of what is wanted."""
    venue = Venue(random.Random(seed), held)
    for target in targets:
        passes(venue, target, 3)
    venue.prompt = True
    start = venue.held
    passes(venue, target, 2 + sum(math.ceil(abs(quantity) / D("0.8")) for quantity in (start, target)))
    assert abs(venue.held - target) <= (BAND if target else 0)
    assert passes(venue, target, 1)[0].order is None
    assert not venue.orders


@VENUE
@given(st.integers(0, 2**32), QUANTITY, QUANTITY)
def test_a_resting_target_is_never_overshot(seed, held, target):
    """Fills in parts, rejections and slow cancels included; and a position is closed before another is opened."""
    venue = Venue(random.Random(seed), held)
    passes(venue, target, 30)
    low, high = min(held, target), max(held, target)
    assert all(low <= quantity <= high for quantity in venue.path)
    distances = [abs(quantity - target) for quantity in venue.path]
    assert distances == sorted(distances, reverse=True)
    assert held * target >= 0 or venue.held * held > 0 or D(0) in venue.path


@VENUE
@given(st.integers(0, 2**32), QUANTITY, st.lists(QUANTITY, min_size=1, max_size=8), st.booleans())
def test_while_a_posture_acts_exposure_neither_grows_nor_flips(seed, held, targets, flatten):
    venue = Venue(random.Random(seed), held)
    posture = Posture.FLATTEN if flatten else Posture.SHRINK_ONLY
    for target in targets:
        passes(venue, target, 3, posture=posture)
    sizes = [abs(quantity) for quantity in venue.path]
    assert sizes == sorted(sizes, reverse=True)
    assert all(quantity * held >= 0 for quantity in venue.path)


@VENUE
@given(st.integers(0, 2**32), QUANTITY, st.lists(QUANTITY, min_size=2, max_size=6))
def test_frozen_sends_nothing_and_takes_back_what_works(seed, held, targets):
    venue = Venue(random.Random(seed), held)
    for target in targets:
        passes(venue, target, 2)
    venue.prompt = True
    assert all(plan.order is None for plan in passes(venue, D(3), 2, posture=Posture.FREEZE))
    assert not venue.orders
