"""The gate in front of the engine: every order, change and cancel of every strategy and algorithm passes it.

NautilusTrader's own `RiskEngine` checks neither notional nor balance on a margin account, lets an order turn the
position while trading is REDUCING, and blocks the order that would close it while trading is HALTED. The gate takes
the two places on the message bus that lead to a venue, ``RiskEngine.execute`` and ``ExecEngine.execute``, judges what
comes by the limits that Article 15 of RTS 6 asks for, and hands the rest on. It is the same in a backtest, a sandbox
and live, and needs nothing of the strategies: they learn of a refusal as `OrderDenied` or `OrderModifyRejected`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nautilus_trader.execution.messages import (
    BatchCancelOrders,
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    SubmitOrder,
    SubmitOrderList,
)
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.events import OrderAccepted, OrderInitialized
from nautilus_trader.model.orders import Order

from companion.execution._modes import TradingMode
from companion.execution._order_rules import Breach, RiskLimits
from companion.execution.nautilus._gate_events import EVENTS_TOPIC, Refusal, denial_of, keep_latest, rejected_change_of
from companion.execution.nautilus._gate_events import ModeChange as ModeChange
from companion.execution.nautilus._gate_instrument import FLATTEN, GatedInstrument
from companion.execution.nautilus._gate_modes import GateModes
from companion.execution.nautilus._gate_working import WorkingOrder

MODE_ENDPOINT = "RiskGate.mode"
#: Rule by which an order is refused that can not be written down, and the source of the mode that this sets.
JOURNAL = "journal"
#: Before every strategy, so that the gate knows a quote or an order when they act on it.
_FIRST = 10
_CANCELS = (CancelOrder, CancelAllOrders, BatchCancelOrders)


class RiskGate(GateModes):
    """Judge every order before the engine does, by limits that hold even where the engine's do not.

    It counts a cancel as a message and never refuses one, for a cancel lowers risk. When the mode becomes stricter
    and when a strategy is disabled, it cancels the orders at work that would not pass any more. An order that is
    tagged "FLATTEN" and can only shrink the position passes everything but the exchange's own rules: to refuse it
    would keep a risk. The daily loss is that of equity, balance and what is unrealized, in days of UTC; once too
    large, the gate is REDUCING until a person enables it again.

    Parameters
    ----------
    kernel : NautilusKernel
        ``engine.kernel`` of a backtest, ``node.kernel`` of a trading node, before it runs.
    limits : RiskLimits or mapping of str to RiskLimits
        One for every instrument, each counted by itself, or by instrument id ("BTCUSDT-PERP.BINANCE"); an
        instrument without limits is then not traded.
    keep_refusals : int, optional
        Refusals that are kept, the latest; by default all.

    Attributes
    ----------
    mode : TradingMode
        The strictest that any source asks for.
    refusals : list of Refusal
        In order.
    disabled : dict of str to str
        Strategy ids that may only flatten, and "daily_loss", with the reasons.
    before_send : callable or None
        Called with each order after it has passed and before it leaves, by whoever writes orders down. If it raises,
        the order is refused by the rule "journal" and trading is HALTED by the source "journal": what nobody can
        account for does not leave. A flatten alone leaves all the same, since a risk that is kept is worse than one
        line that is late. Changes of an order are not announced.

    Raises
    ------
    ValueError
        If there are no limits.
    """

    def __init__(
        self, kernel: Any, limits: RiskLimits | Mapping[str, RiskLimits], *, keep_refusals: int | None = None
    ) -> None:
        super().__init__(kernel, limits)
        self.refusals: list[Refusal] = []
        self.before_send: Callable[[Order], None] | None = None
        self._keep_refusals = keep_refusals
        self._due_ns = 0
        self._places = [
            ("RiskEngine.execute", kernel.risk_engine.execute, self._to_risk),
            ("ExecEngine.execute", kernel.exec_engine.execute, self._to_execution),
        ]
        self._topics = [
            ("data.quotes.*", self._on_quote),
            ("events.order.*", self._on_order_event),
            ("events.risk", self._on_engine_state),
        ]
        for endpoint, theirs, ours in self._places:
            self._bus.deregister(endpoint=endpoint, handler=theirs)
            self._bus.register(endpoint=endpoint, handler=ours)
        self._bus.register(endpoint=MODE_ENDPOINT, handler=self.change_mode)
        for topic, handler in self._topics:
            self._bus.subscribe(topic=topic, handler=handler, priority=_FIRST)

    def remove(self) -> None:
        """Take the gate away and give the engine its places back."""
        for endpoint, theirs, ours in self._places:
            self._bus.deregister(endpoint=endpoint, handler=ours)
            self._bus.register(endpoint=endpoint, handler=theirs)
        self._bus.deregister(endpoint=MODE_ENDPOINT, handler=self.change_mode)
        for topic, handler in self._topics:
            self._bus.unsubscribe(topic=topic, handler=handler)

    def check(self, order: Order) -> Breach | None:
        """Judge a new order as it would be judged now, without counting, sending or refusing it."""
        return self._judge(order, self._clock.timestamp_ns(), 0)

    def _to_risk(self, command: Any) -> None:
        if not _came_too_late(command) and self._passes(command):
            self._kernel.risk_engine.execute(command)

    def _to_execution(self, command: Any) -> None:
        """Count cancels, and judge what did not come through the risk engine: an order that an emulator releases.

        Live, a command waits between the two places. Whatever halts trading in the meantime can not cancel its order,
        which nobody at the venue knows yet: it is refused here.
        """
        if _came_too_late(command):
            return
        if isinstance(command, SubmitOrder):
            known = self._instrument(command.instrument_id)
            if known is None or command.order.client_order_id not in known.working:
                if not self._passes(command):
                    return
            elif self.mode is TradingMode.HALTED and FLATTEN not in (command.order.tags or ()):
                del known.working[command.order.client_order_id]
                self._refuse(command.order, Breach("halted", "trading was halted while the order was on its way"))
                return
        elif isinstance(command, _CANCELS):
            n = len(command.cancels) if isinstance(command, BatchCancelOrders) else 1
            if (known := self._instrument(command.instrument_id)) is not None:
                known.messages.add(self._clock.timestamp_ns(), n)
        self._kernel.exec_engine.execute(command)

    def _passes(self, command: Any) -> bool:
        if isinstance(command, SubmitOrder):
            return self._passes_all([command.order])
        if isinstance(command, SubmitOrderList):
            return self._passes_all(command.order_list.orders)
        if isinstance(command, ModifyOrder):
            return self._passes_change(command)
        return True

    def _passes_all(self, orders: list[Order]) -> bool:
        """Let all orders through or none; each is counted before the next one is judged."""
        now_ns = self._clock.timestamp_ns()
        counted: list[tuple[GatedInstrument, Order]] = []
        for order in orders:
            if breach := self._judge(order, now_ns, len(counted)):
                return self._refuse_all(orders, order, breach, counted)
            instrument = self._instruments[order.instrument_id]
            instrument.working[order.client_order_id] = WorkingOrder(order)
            counted.append((instrument, order))
        for order in orders:
            if breach := self._not_journaled(order):
                return self._refuse_all(orders, order, breach, counted)
        for instrument, order in counted:
            instrument.accept(order, now_ns)
        return True

    def _refuse_all(
        self, orders: list[Order], cause: Order, breach: Breach, counted: list[tuple[GatedInstrument, Order]]
    ) -> bool:
        """Refuse orders that pass or fail as one, because of one of them."""
        for instrument, order in counted:
            instrument.working.pop(order.client_order_id, None)
        for order in orders:
            own = order is cause
            self._refuse(order, breach if own else Breach("order_list", f"{breach.rule}: {breach.reason}"))
        return False

    def _not_journaled(self, order: Order) -> Breach | None:
        """Announce an order that is about to leave. Where that fails, trading halts and only a flatten goes on."""
        if self.before_send is None:
            return None
        try:
            self.before_send(order)
        except Exception as error:
            reason = f"the order could not be written down: {error!r}"
            self.change_mode(ModeChange(source=JOURNAL, mode=TradingMode.HALTED, reason=reason))
            return None if FLATTEN in (order.tags or ()) else Breach(JOURNAL, reason)
        return None

    def _passes_change(self, command: ModifyOrder) -> bool:
        order, now_ns = self._cache.order(command.client_order_id), self._clock.timestamp_ns()
        if order is None:
            return True  # the engine says so
        if breach := self._judge(order, now_ns, 0, change=command):
            self._refuse(order, breach, command)
            return False
        self._instruments[order.instrument_id].accept_change(command, now_ns)
        return True

    def _judge(self, order: Order, now_ns: int, n_more: int, change: ModifyOrder | None = None) -> Breach | None:
        if (instrument := self._instrument(order.instrument_id)) is None:
            return Breach("limits", f"{order.instrument_id} has no limits: give it some, or do not trade it")
        self._watch_loss(instrument, now_ns)
        flatten, strategy_id = FLATTEN in (order.tags or ()), order.strategy_id.value
        if strategy_id in self.disabled and not flatten:
            return Breach("disabled", self.disabled[strategy_id])
        breach = instrument.judge(order, self.mode, now_ns, change)
        if breach or flatten:
            return breach
        return instrument.judge_pace(strategy_id if change is None else None, now_ns, n_more)

    def _refuse(self, order: Order, breach: Breach, change: ModifyOrder | None = None) -> None:
        """Tell whoever sent an order, and whoever listens."""
        now_ns = self._clock.timestamp_ns()
        quantity = order.quantity if change is None or change.quantity is None else change.quantity
        size = quantity.as_decimal()
        refusal = Refusal(
            time_ns=now_ns,
            rule=breach.rule,
            reason=breach.reason,
            order_id=order.client_order_id.value,
            strategy_id=order.strategy_id.value,
            quantity=size if order.is_buy else -size,
        )
        keep_latest(self.refusals, refusal, self._keep_refusals)
        if breach.rule == "repeats":
            self._disable(refusal.strategy_id, breach.reason)
        tell = denial_of if change is None else rejected_change_of
        self._bus.send(endpoint="ExecEngine.process", msg=tell(order, f"{breach.rule}: {breach.reason}", now_ns))
        self._bus.publish(topic=EVENTS_TOPIC, msg=refusal)

    def _on_quote(self, quote: QuoteTick) -> None:
        """Sample the market; between two samples a quote costs one comparison."""
        now_ns = quote.ts_init
        if now_ns < self._due_ns:
            return
        instrument = self._instrument(quote.instrument_id)
        if instrument is not None and now_ns >= instrument.memory.due_ns:
            instrument.sample(quote, now_ns)
            self._watch_loss(instrument, now_ns)
        self._due_ns = min((known.memory.due_ns for known in self._instruments.values()), default=0)

    def _on_order_event(self, event: Any) -> None:
        """Count what did not pass the gate, an order by hand, say; deny what is sent to an algorithm that is not there.

        The event comes before the command: the missing place is taken for that one command.
        """
        if isinstance(event, OrderInitialized) and event.exec_algorithm_id and not event.emulation_trigger:
            place = f"{event.exec_algorithm_id}.execute"
            if place not in self._bus.endpoints():
                self._bus.register(endpoint=place, handler=self._to_nobody)
        elif isinstance(event, OrderAccepted) and (instrument := self._instrument(event.instrument_id)) is not None:
            order = self._cache.order(event.client_order_id)
            if event.client_order_id not in instrument.working and not order.is_closed:
                instrument.working[order.client_order_id] = WorkingOrder(order)

    def _to_nobody(self, command: Any) -> None:
        algorithm = command.order.exec_algorithm_id
        self._bus.deregister(endpoint=f"{algorithm}.execute", handler=self._to_nobody)
        self._refuse(command.order, Breach("algorithm", f"{algorithm} is not there: add it to the engine"))


def _came_too_late(command: Any) -> bool:
    """Whether the order was canceled while its command waited: the engine would send it to the venue all the same."""
    return isinstance(command, SubmitOrder) and bool(command.order.is_closed)
