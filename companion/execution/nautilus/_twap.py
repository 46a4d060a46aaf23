"""TWAP_ADAPTIVE: an order worked over time, a slice at a time, of which no quantity is ever lost.

The engine's own TWAP reduces its primary order when it spawns a slice and never looks back: what the risk engine
denies or the venue rejects is gone (1.221), or comes back if the algorithm happens to hear of it (1.231). Here nothing
is counted. What a primary has left is what its slices in the cache say, and its quantity is set to that:

    quantity ordered = filled + open in slices + quantity of the primary

so `leaves_qty`, added up over an order and its slices that are not closed, is what works. When the primary is closed
its own is handed back; a slice that is still on its way then speaks for itself.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.common.enums import ComponentState
from nautilus_trader.common.messages import ComponentStateChanged
from nautilus_trader.model.enums import OrderSide, OrderType, TimeInForce
from nautilus_trader.model.events import OrderEvent
from nautilus_trader.model.identifiers import ClientOrderId, StrategyId
from nautilus_trader.model.orders import Order, OrderList

from companion._checks import check_positive
from companion.execution._modes import TradingMode
from companion.execution.nautilus._gate_events import EVENTS_TOPIC, ModeChange
from companion.execution.nautilus._timers import Callback, on_engine_thread
from companion.execution.nautilus._twap_accounts import AccountedAlgorithm
from companion.execution.nautilus._twap_config import TwapAdaptiveConfig
from companion.execution.nautilus._twap_reading import last_words, latest_failures, not_sent, read_book, slices_of
from companion.execution.nautilus._twap_slice import slice_quantity, smallest_order
from companion.risk._decimal import ZERO, to_decimal
from companion.risk._instrument import InstrumentRules


@dataclass
class _Work:
    """A primary that is being worked."""

    primary: Order
    instrument: Any
    rules: InstrumentRules
    interval_ns: int
    end_ns: int
    stopping: str = ""
    obstacle: str = ""
    sent: bool = False

    @property
    def waits(self) -> bool:
        """Whether the primary is still ours. In 1.231 a command may wait, and a sent order looks like a new one."""
        return bool(self.primary.is_active_local) and not self.sent


class TwapAdaptive(AccountedAlgorithm):
    """Works market orders over ``exec_algorithm_params={"horizon_secs": …, "interval_secs": …}``.

    There are ``horizon_secs // interval_secs`` slices, the first one interval after the order came, each sent from a
    timer against a fresh quote and sized by `slice_quantity`. Slices are limit orders that fill at once or are
    canceled; the one that takes all that is left is, as is the engine's way, the primary itself. A primary always ends,
    and each end is a `TwapOutcome` in `outcomes` and on "events.twap":

    - denied at once, with the reason in the event: parameters missing or wrong, no instrument, not a market order in
      whole steps, or a trading mode that does not allow it;
    - sent, and then filled, denied or rejected as any order is;
    - canceled, so that the rest is handed back: at the horizon, when the mode changes to one that does not allow it,
      when slices keep failing, when the rest is too small to send or there is nothing left to reduce, and when the
      strategy or the algorithm stops, which is also what happens when the data end.

    ACTIVE allows every order, REDUCING those that are reduce-only, HALTED none: a halted book is closed by a plain
    order that is named a flatten, not by one that takes its time.

    Parameters
    ----------
    config : TwapAdaptiveConfig, optional
    """

    def __init__(self, config: TwapAdaptiveConfig | None = None) -> None:
        super().__init__(config or TwapAdaptiveConfig())
        self._works: dict[ClientOrderId, _Work] = {}
        self._watched: set[StrategyId] = set()
        self._mode = TradingMode.ACTIVE
        self._timer_callback: Callback = self._on_timer

    # The engine calls these

    def on_start(self) -> None:
        """Listen to the gate; hand back what an earlier run left behind."""
        self._timer_callback = on_engine_thread(self.clock, self._on_timer)
        self.msgbus.subscribe(EVENTS_TOPIC, self._on_gate)
        for order in self.cache.orders():
            if self._is_own(order) and order.is_primary and order.is_active_local:
                self._hand_back(order, "left by an earlier run of the algorithm")

    def on_resume(self) -> None:
        """Begin again, as `on_start` does."""
        self.on_start()

    def on_stop(self) -> None:
        """Hand back everything: no timer fires any more."""
        self.clock.cancel_timers()
        self.msgbus.unsubscribe(EVENTS_TOPIC, self._on_gate)
        while self._watched:
            self.msgbus.unsubscribe(f"events.system.{self._watched.pop()}", self._on_component)
        for work in list(self._works.values()):
            self._close(work.primary, work.stopping or "the algorithm was stopped, or the data ended")

    def on_reset(self) -> None:
        """Forget everything."""
        self.outcomes.clear()
        self._works.clear()
        self._mode = TradingMode.ACTIVE

    def on_order(self, order: Order) -> None:
        """Take a primary, or deny it. Nothing is sent from here: the engine does not listen to the first one yet."""
        try:
            work = self._accept(order)
        except ValueError as error:
            self._deny(order, str(error))
            return
        self._works[order.client_order_id] = work
        self._watch(order.strategy_id)
        interval = timedelta(microseconds=work.interval_ns // 1000)
        self.clock.set_timer(order.client_order_id.value, interval, callback=self._timer_callback)

    def on_order_list(self, order_list: OrderList) -> None:
        """Deny a list: orders that wait for one another are nothing that time can be given to."""
        for order in order_list.orders:
            if self._is_own(order):
                self._deny(order, "TWAP_ADAPTIVE takes single orders, got an order list")

    def on_order_event(self, event: OrderEvent) -> None:
        """Bring a primary up to date when one of its slices, or it itself, has ended."""
        order = self.cache.order(event.client_order_id)
        work = self._works.get(order.exec_spawn_id or order.client_order_id)
        if work and order.is_closed:
            self._settle(work)

    # What starts and stops the work

    def _accept(self, order: Order) -> _Work:
        if order.order_type != OrderType.MARKET or order.is_quote_quantity:
            raise ValueError(f"TWAP_ADAPTIVE takes market orders in the base currency, got {order}")
        if not self._allows(order):
            raise ValueError(
                f"mode is {self._mode}: only ACTIVE takes every order, and REDUCING those that reduce only"
            )
        instrument = self.cache.instrument(order.instrument_id)
        if instrument is None:
            raise ValueError(f"instrument {order.instrument_id} is not in the cache: add it before the order")
        rules, quantity = InstrumentRules.of(instrument), order.quantity
        if quantity.precision != rules.size_precision or quantity.as_decimal() % rules.size_increment:
            raise ValueError(
                f"quantity must be in steps of {rules.size_increment}, got {quantity}: use instrument.make_qty"
            )
        params = order.exec_algorithm_params or {}
        horizon, interval = (check_positive(name, params.get(name)) for name in ("horizon_secs", "interval_secs"))
        interval_ns = round(interval * 1e6) * 1000
        n_slices = round(horizon * 1e9) // interval_ns if interval_ns else 0
        if not n_slices:
            raise ValueError(f"horizon_secs must be at least interval_secs, got {horizon} and {interval}")
        end_ns = self.clock.timestamp_ns() + n_slices * interval_ns
        return _Work(order, instrument, rules, interval_ns, end_ns)

    def _is_own(self, order: Order) -> bool:
        return order.exec_algorithm_id is not None and order.exec_algorithm_id == self.id  # None == id raises

    def _allows(self, order: Order) -> bool:
        return self._mode is TradingMode.ACTIVE or (self._mode is TradingMode.REDUCING and order.is_reduce_only)

    def _on_gate(self, message: Any) -> None:
        if not isinstance(message, ModeChange):
            return
        self._mode = message.mode
        for work in list(self._works.values()):
            if not self._allows(work.primary):
                self._stop_work(work, f"mode is {message.mode}: {message.reason}")

    def _watch(self, strategy_id: StrategyId) -> None:
        """Hear of it when a strategy stops: the engine does not tell its algorithms."""
        if strategy_id not in self._watched:
            self._watched.add(strategy_id)
            self.msgbus.subscribe(f"events.system.{strategy_id}", self._on_component)

    def _on_component(self, event: ComponentStateChanged) -> None:
        if event.state == ComponentState.RUNNING:
            return
        for work in list(self._works.values()):
            if work.primary.strategy_id.value == event.component_id.value:
                self._stop_work(work, "the strategy was stopped")

    def _stop_work(self, work: _Work, reason: str) -> None:
        work.stopping = work.stopping or reason
        self._settle(work)

    # One slice

    def _on_timer(self, event: Any) -> None:
        work = self._works.get(ClientOrderId(event.name))
        if work is None:
            return
        slices = slices_of(self.cache, work.primary)
        if work.waits and not work.stopping and all(one.is_closed for one in slices):
            self._send_slice(work, slices, max(1, 1 + (work.end_ns - event.ts_event) // work.interval_ns))
        if event.ts_event >= work.end_ns:
            self._stop_work(work, "; ".join(filter(None, ("the horizon is reached", work.obstacle))))

    def _send_slice(self, work: _Work, slices: list[Order], n_left: int) -> None:
        primary, config = work.primary, self.config
        failed = latest_failures(slices)
        if len(failed) >= config.max_failures:
            self._stop_work(work, f"{len(failed)} slices in a row filled nothing, the last: {last_words(failed[-1])}")
            return
        book, work.obstacle = read_book(self.cache, primary, self.clock.timestamp_ns(), config)
        if book is None:
            return
        left = self._sendable(primary)
        least = smallest_order(work.rules, book.price, min_notional=self._min_notional(work))
        if left < least:
            self._stop_work(work, f"what is left, {left}, is less than the smallest order, {least}")
            return
        quantity = slice_quantity(
            left,
            n_left=n_left,
            book=book,
            least=least,
            rules=work.rules,
            participation=to_decimal(config.participation, "participation"),
            widening=config.widening,
        )
        if quantity:
            self._submit(work, quantity, book.price)
        else:
            work.obstacle = f"the book of {book.size} at {book.price} takes no slice of at least {least}"

    def _min_notional(self, work: _Work) -> Decimal:
        """Venues take an order that only reduces whatever it is worth."""
        if work.primary.is_reduce_only:
            return ZERO
        return max(work.rules.min_notional or ZERO, to_decimal(self.config.min_slice_notional, "min_slice_notional"))

    def _sendable(self, primary: Order) -> Decimal:
        """What is left; of a reduce-only order no more than there is to reduce: a larger one would be denied whole."""
        left: Decimal = primary.quantity.as_decimal()
        if not primary.is_reduce_only:
            return left
        net = self.portfolio.net_position(primary.instrument_id)
        return max(ZERO, min(left, -net if primary.side == OrderSide.BUY else net))

    def _submit(self, work: _Work, quantity: Decimal, touch: Decimal) -> None:
        primary, instrument = work.primary, work.instrument
        if quantity == primary.quantity.as_decimal():
            work.sent = True
            self.submit_order(primary)
            return
        slip = touch * to_decimal(self.config.max_slip, "max_slip")
        tick = instrument.price_increment.as_decimal()  # which make_price does not know, only its decimals
        limit = touch + slip if primary.side == OrderSide.BUY else touch - slip
        child = self.spawn_limit(
            primary,
            quantity=instrument.make_qty(quantity),
            price=instrument.make_price((limit / tick).to_integral_value() * tick),
            time_in_force=TimeInForce.IOC,
            reduce_only=primary.is_reduce_only,
            tags=primary.tags,
        )
        self.submit_order(child)
        self._settle(work)

    # Accounts

    def _settle(self, work: _Work) -> None:
        """Set the primary's quantity to what is neither filled nor works, and close it when its work is over."""
        primary, slices = work.primary, slices_of(self.cache, work.primary)
        if work.waits and (left := not_sent(primary, slices)) != primary.quantity.as_decimal():
            self._set_quantity(primary, left)
        over = primary.is_closed or (work.stopping and work.waits)
        if over and all(one.is_closed for one in slices):
            self._close(primary, last_words(primary) if primary.is_closed else work.stopping)

    def _close(self, primary: Order, reason: str) -> None:
        work = self._works.pop(primary.client_order_id, None)
        if work is None:
            return
        if primary.client_order_id.value in self.clock.timer_names:
            self.clock.cancel_timer(primary.client_order_id.value)
        self._hand_back(primary, reason)
