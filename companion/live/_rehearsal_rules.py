"""What must hold of a rehearsal, whatever went wrong: each rule finds the cases that break it."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from companion.execution import LiquidityGate, TradingMode
from companion.live._audit_read import read_audit, verify_audit
from companion.risk._decimal import ZERO

if TYPE_CHECKING:
    from companion.live._rehearsal_result import Rehearsal

SECOND_NS = 1_000_000_000
OFF_MARKET = Decimal("0.005")
"""How far a fill may lie outside of the true candle of its time, a share of the price: spread, impact and delay."""


def limits_exceeded(run: "Rehearsal") -> tuple[str, ...]:
    """Orders above the limits of the gate, and positions above the largest; a flatten may only be smaller than held."""
    return (*_orders_too_large(run), *_orders_too_many(run), *_positions_too_large(run))


def _orders_too_large(run: "Rehearsal") -> Iterator[str]:
    limits, bid, ask = run.limits, run.quotes[:, 0], run.quotes[:, 2]
    for order in run.sent:
        size, held = abs(order.quantity), run.held(order.time_ns)
        if order.flatten:
            if order.quantity * held > 0 or size > abs(held):
                yield f"{order.order_id}: a flatten of {order.quantity} with {held} held"
            continue
        if size > limits.max_order_quantity:
            yield f"{order.order_id}: quantity {size} above {limits.max_order_quantity}"
        if (last := _last_quote(run, order.time_ns)) >= 0:
            price = Decimal(str((ask if order.quantity > 0 else bid)[last]))
            if size * price > limits.max_order_notional:
                yield f"{order.order_id}: notional {size * price} above {limits.max_order_notional}"


def _orders_too_many(run: "Rehearsal") -> Iterator[str]:
    window_ns, most = round(run.limits.message_window_s * SECOND_NS), run.limits.max_messages
    times = [order.time_ns for order in run.sent if not order.flatten]
    for first, time_ns in zip(times, times[most:], strict=False):
        if time_ns - first < window_ns:
            yield f"{most + 1} orders within {(time_ns - first) / SECOND_NS:g} s, {most} are allowed"


def _positions_too_large(run: "Rehearsal") -> Iterator[str]:
    held = ZERO
    for fill in run.fills:
        held += fill.quantity
        if abs(held) > run.limits.max_position and held * fill.quantity > 0:
            yield f"{fill.order_id}: position {held} above {run.limits.max_position}"


def orders_without_price(run: "Rehearsal") -> tuple[str, ...]:
    """Orders that left when the last quote was older than the gate allows, by its arrival or by its own stamp."""
    return tuple(_orders_without_price(run))


def _orders_without_price(run: "Rehearsal") -> Iterator[str]:
    made_ns = run.quote_times_ns.min(axis=1)
    for order in run.sent:
        if (last := _last_quote(run, order.time_ns)) < 0:
            yield f"{order.order_id}: before the first quote"
        elif (age_s := (order.time_ns - int(made_ns[last])) / SECOND_NS) > run.limits.max_quote_age_s:
            yield f"{order.order_id}: the last quote was {age_s:.1f} s old"


def fills_off_the_market(run: "Rehearsal") -> tuple[str, ...]:
    """Fills at a price that the true market did not have at the time."""
    return tuple(_fills_off_the_market(run))


def _fills_off_the_market(run: "Rehearsal") -> Iterator[str]:
    opens = [candle.open_time_ns for candle in run.true_candles]
    for fill in run.fills:
        # A fill just after a close meets the last quote of the bar before.
        now = bisect_right(opens, fill.time_ns) - 1
        around = run.true_candles[max(now - 1, 0) : now + 1]
        low = min(Decimal(str(candle.low)) for candle in around) * (1 - OFF_MARKET)
        high = max(Decimal(str(candle.high)) for candle in around) * (1 + OFF_MARKET)
        if not low <= fill.price <= high:
            yield f"{fill.order_id}: filled at {fill.price}, the market was between {low:.1f} and {high:.1f}"


def not_flat_after_trip(run: "Rehearsal", flat_within_s: float) -> tuple[str, ...]:
    """What is held or bought after a trip, when there was a price to trust for longer than is stated."""
    if run.trip is None or (due_ns := _trusted_for(run, run.trip.time_ns, round(flat_within_s * SECOND_NS))) is None:
        return ()
    times_ns = [due_ns, *(fill.time_ns for fill in run.fills if fill.time_ns > due_ns)]
    after = [((time_ns - run.trip.time_ns) / SECOND_NS, run.held(time_ns)) for time_ns in times_ns]
    return tuple(f"{held} held {after_s:.1f} s after the trip" for after_s, held in after if held)


def _trusted_for(run: "Rehearsal", since_ns: int, length_ns: int) -> int | None:
    """When the liquidity gate has trusted the price for so long in all; None if it never does."""
    gate, longest_ns = LiquidityGate(run.gate), round(run.gate.max_age_s * SECOND_NS)
    arrived_ns, made_ns = run.quote_times_ns[:, 0].tolist(), run.quote_times_ns.min(axis=1).tolist()
    next_ns = [*arrived_ns[1:], run.end_ns]
    for (bid, bid_size, ask, ask_size), begin_ns, quote_ns, end_ns in zip(
        run.quotes.tolist(), arrived_ns, made_ns, next_ns, strict=True
    ):
        gate.on_quote(bid, ask, bid_size, ask_size, quote_ns)
        trusted_ns = min(end_ns, quote_ns + longest_ns) - max(begin_ns, since_ns)
        if trusted_ns > 0 and gate.check(begin_ns).mode is not TradingMode.HALTED:
            if trusted_ns >= length_ns:
                return max(begin_ns, since_ns) + length_ns
            length_ns -= trusted_ns
    return None


def bars_lost_or_doubled(run: "Rehearsal") -> tuple[str, ...]:
    """Closed candles that are not in the store as the exchange has them, and bars that the strategy saw not once."""
    return tuple(_bars_lost_or_doubled(run))


def _bars_lost_or_doubled(run: "Rehearsal") -> Iterator[str]:
    expected = run.true_candles
    if run.health and run.health[-1].health.state != "live":  # what the last fault has cut off may still come
        newest_ns = run.candles[-1].open_time_ns if run.candles else -1
        expected = tuple(candle for candle in expected if candle.open_time_ns <= newest_ns)
    if run.candles != expected:
        missing, foreign = set(expected) - set(run.candles), set(run.candles) - set(expected)
        yield f"the store lacks {len(missing)} of the exchange's candles, has {len(foreign)} others, or repeats some"
    closes = tuple(candle.open_time_ns + run.bar_ns for candle in expected)
    if run.bar_times_ns != closes:
        yield f"the strategy has seen {len(run.bar_times_ns)} bars, not the {len(closes)} of the exchange, each once"


def audit_faults(run: "Rehearsal") -> tuple[str, ...]:
    """What is wrong with the audit log: its chain, or an order or fill that is not in it."""
    report = verify_audit(run.audit)
    if not report:
        return (report.problem or "",)
    written: dict[str, Counter[str]] = {"order": Counter(), "fill": Counter()}
    for line in read_audit(run.audit):
        if line.kind in written:
            written[line.kind][line.content["order_id"]] += 1
    sent, filled = Counter(order.order_id for order in run.sent), Counter(fill.order_id for fill in run.fills)
    faults = [f"order {name} left without a line" for name in sent - written["order"]]
    faults += [f"order {name} has {n} lines" for name, n in written["order"].items() if n > 1]
    if filled != written["fill"]:
        faults.append(f"{written['fill'].total()} lines of fills, {filled.total()} happened, or of other orders")
    return tuple(faults)


def ended_badly(run: "Rehearsal") -> tuple[str, ...]:
    """A strategy that neither runs nor was stopped."""
    return () if run.ended_well else ("the strategy has failed",)


def _last_quote(run: "Rehearsal", time_ns: int) -> int:
    """Index of the last quote that had arrived; -1 before the first."""
    return int(np.searchsorted(run.quote_times_ns[:, 0], time_ns, side="right")) - 1
