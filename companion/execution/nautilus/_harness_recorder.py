"""Writes down, from the message bus of a running engine, what its cache can not tell afterwards."""

from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderDenied, OrderFilled, OrderInitialized, OrderRejected
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.orders import Order
from nautilus_trader.system.kernel import NautilusKernel

from companion.execution.nautilus._gate_events import ModeChange, Refusal
from companion.execution.nautilus._result_records import FillRecord, ModeRecord, OrderRecord, RefusalRecord
from companion.risk._decimal import ZERO

Book = tuple[Decimal, Decimal]
"""Bid and ask."""


class Recorder:
    """Listens to the events of orders and of the gate, and keeps with each the book of the moment.

    That book is the last quote that every component has seen. A market order that comes in meets it; a resting order is
    filled by the quote after it, so that its cost is counted against the book just before.

    Parameters
    ----------
    kernel : NautilusKernel
        Of an engine that has not run yet.
    instrument_id : InstrumentId
    """

    def __init__(self, kernel: NautilusKernel, instrument_id: InstrumentId) -> None:
        self._clock, self._cache, self._instrument_id = kernel.clock, kernel.cache, instrument_id
        self._decided: dict[str, Decimal] = {}
        self._fills: list[tuple[OrderFilled, Book | None]] = []
        self._refused: list[OrderDenied | OrderRejected] = []
        self._gate: list[Refusal] = []
        self.modes: list[ModeRecord] = []
        kernel.msgbus.subscribe(topic="events.order.*", handler=self._on_order_event)
        kernel.msgbus.subscribe(topic="events.gate", handler=self._on_gate_event)

    def _on_order_event(self, event: Any) -> None:
        if isinstance(event, OrderInitialized):
            if (book := self._book()) is not None:
                self._decided[event.client_order_id.value] = sum(book, ZERO) / 2
        elif isinstance(event, OrderFilled):
            self._fills.append((event, self._book()))
        elif isinstance(event, OrderDenied | OrderRejected):
            self._refused.append(event)

    def _on_gate_event(self, event: Any) -> None:
        if isinstance(event, Refusal):
            self._gate.append(event)
        elif isinstance(event, ModeChange):
            self.modes.append(ModeRecord(self._clock.timestamp_ns(), str(event.mode), event.source, event.reason))

    def _book(self) -> Book | None:
        quote = self._cache.quote_tick(self._instrument_id)
        return None if quote is None else (quote.bid_price.as_decimal(), quote.ask_price.as_decimal())

    def orders(self) -> tuple[OrderRecord, ...]:
        """Every order that the engine knows, in order of time; its slices after it."""
        orders = sorted(self._cache.orders(), key=lambda order: (order.ts_init, order.client_order_id.value))
        filled = {order.client_order_id.value: _signed(order.side, order.filled_qty.as_decimal()) for order in orders}
        for order in orders:
            if (parent := _parent(order)) is not None:
                filled[parent] += _signed(order.side, order.filled_qty.as_decimal())
        return tuple(self._order(order, filled[order.client_order_id.value]) for order in orders)

    def _order(self, order: Order, filled: Decimal) -> OrderRecord:
        order_id, parent = order.client_order_id.value, _parent(order)
        return OrderRecord(
            time_ns=order.ts_init,
            order_id=order_id,
            parent_id=parent,
            strategy_id=order.strategy_id.value,
            quantity=_signed(order.side, order.init_event.quantity.as_decimal()),
            filled=filled,
            status=order.status.name,
            reduce_only=order.is_reduce_only,
            tags=tuple(order.tags or ()),
            decision_mid=self._decided.get(parent or order_id),
        )

    def fills(self) -> tuple[FillRecord, ...]:
        """Every fill, in the venue's order.

        Raises
        ------
        ValueError
            An order was sent before the first quote: what it cost can not be said.
        """
        return tuple(self._fill(event, book) for event, book in self._fills)

    def _fill(self, event: OrderFilled, book: Book | None) -> FillRecord:
        parent, order_id = _parent(self._cache.order(event.client_order_id)), event.client_order_id.value
        decision_mid = self._decided.get(parent or order_id)
        if book is None or decision_mid is None:
            raise ValueError(f"prepare must add strategies that wait for a quote, got {order_id} before the first one")
        return FillRecord(
            time_ns=event.ts_event,
            order_id=order_id,
            parent_id=parent,
            quantity=_signed(event.order_side, event.last_qty.as_decimal()),
            price=event.last_px.as_decimal(),
            fee=event.commission.as_decimal(),
            bid=book[0],
            ask=book[1],
            decision_mid=decision_mid,
        )

    def refusals(self) -> tuple[RefusalRecord, ...]:
        """Every order that was refused, by whom and why, in order of time."""
        ours = [RefusalRecord(r.time_ns, "gate", r.rule, r.reason, r.order_id, r.quantity) for r in self._gate]
        known = {record.order_id for record in ours}
        others = [self._refusal(event) for event in self._refused if event.client_order_id.value not in known]
        return tuple(sorted([*ours, *others], key=lambda record: record.time_ns))

    def _refusal(self, event: OrderDenied | OrderRejected) -> RefusalRecord:
        order = self._cache.order(event.client_order_id)
        by, rule = ("engine", "denied") if isinstance(event, OrderDenied) else ("venue", "rejected")
        quantity = _signed(order.side, order.init_event.quantity.as_decimal())
        return RefusalRecord(event.ts_event, by, rule, event.reason, order.client_order_id.value, quantity)


def _parent(order: Order) -> str | None:
    """Identifier of the order of which this one is a slice."""
    spawn = order.exec_spawn_id
    return None if spawn is None or spawn == order.client_order_id else spawn.value


def _signed(side: OrderSide, quantity: Decimal) -> Decimal:
    return quantity if side == OrderSide.BUY else -quantity
