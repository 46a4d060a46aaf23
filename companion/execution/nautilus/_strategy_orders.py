"""What a strategy sends, and what comes back: guarded orders, cancels, modes for the gate, incidents."""

from typing import Any

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import ExecAlgorithmId
from nautilus_trader.model.objects import Quantity
from nautilus_trader.trading.strategy import Strategy

from companion.execution._modes import TradingMode
from companion.execution._reconcile import OrderIntent
from companion.execution.nautilus._gate import EVENTS_TOPIC, FLATTEN, MODE_ENDPOINT, ModeChange
from companion.execution.nautilus._gate_events import keep_latest
from companion.execution.nautilus._strategy_config import RegimeStrategyConfig
from companion.execution.nautilus._strategy_records import INCIDENT_TOPIC, OrderIncident
from companion.execution.nautilus._twap_config import TWAP_TOPIC, TwapOutcome
from companion.execution.nautilus._view import HoldingsView
from companion.risk import InstrumentRules

_ALGORITHM = ExecAlgorithmId("TWAP_ADAPTIVE")
_FLATTEN_AGAIN_S = 1.0
"""Longest wait after a refused flatten: a risk is kept as long."""


class GuardedStrategy(Strategy):
    """A strategy that sends one order at a time, knows what became of it, and does not ask again at once.

    Parameters
    ----------
    config : RegimeStrategyConfig

    Attributes
    ----------
    incidents : list of OrderIncident
        Orders that did not do what they were sent for.
    """

    def __init__(self, config: RegimeStrategyConfig) -> None:
        super().__init__(config)
        self.incidents: list[OrderIncident] = []
        self._gate_mode = TradingMode.ACTIVE  # of the risk gate: the strictest of all its sources
        self._modes: dict[str, TradingMode] = {}
        self._asked_to_cancel: set[str] = set()
        self._handed_back: dict[str, str] = {}  # reason of TWAP_ADAPTIVE, by the id of the primary
        self._retry_at_ns = {True: 0, False: 0}  # of orders that flatten, and of all others
        self._rules: InstrumentRules
        self._view: HoldingsView

    def _connect(self) -> None:
        """Find instrument, gate and algorithm; a ValueError says which is not there."""
        config, instrument = self.config, self.cache.instrument(self.config.instrument_id)
        if instrument is None:
            raise ValueError(f"instrument_id must be in the engine's cache, got {config.instrument_id}: add it first")
        needed = [MODE_ENDPOINT] if config.twap_horizon_s is None else [MODE_ENDPOINT, f"{_ALGORITHM}.execute"]
        if missing := [endpoint for endpoint in needed if endpoint not in self.msgbus.endpoints()]:
            raise ValueError(
                f"engine must have the endpoint {missing[0]}, got none: add gate and algorithm by attach()"
            )
        self._rules, self._view = InstrumentRules.of(instrument), HoldingsView(self, instrument)
        self.msgbus.subscribe(EVENTS_TOPIC, self._on_gate_event)
        self.msgbus.subscribe(TWAP_TOPIC, self._on_twap_outcome)

    def _send(self, intent: OrderIntent | None, *, flatten: bool, now_ns: int) -> tuple[str | None, tuple[str, ...]]:
        """Id of the order that was sent, if there is one to send, or why it has to wait."""
        if intent is None:
            return None, ()
        if now_ns < self._retry_at_ns[flatten]:
            return None, (f"waits: an order was refused less than {self.config.retry_after_s:g} s ago",)
        quantity, own = intent.quantity, self._view.own()
        # The engine's venues know a position by its strategy: an order that reduces somebody else's would be rejected.
        reduce_only = intent.reduce_only and own * quantity < 0 and abs(quantity) <= abs(own)
        order = self.order_factory.market(
            self.config.instrument_id,
            OrderSide.BUY if quantity > 0 else OrderSide.SELL,
            Quantity(abs(quantity), self._rules.size_precision),
            reduce_only=reduce_only,
            **self._route(flatten=flatten, reduce_only=reduce_only),
        )
        self._view.track(order)
        self.submit_order(order)
        return order.client_order_id.value, ()

    def _route(self, *, flatten: bool, reduce_only: bool) -> dict[str, Any]:
        """To flatten goes straight to the market, and so does what TWAP_ADAPTIVE does not take in this mode."""
        config = self.config
        if flatten:
            return {"tags": [FLATTEN]}
        if config.twap_horizon_s is None or not (reduce_only or self._gate_mode is TradingMode.ACTIVE):
            return {}
        params = {"horizon_secs": config.twap_horizon_s, "interval_secs": config.twap_interval_s}
        return {"exec_algorithm_id": _ALGORITHM, "exec_algorithm_params": params}

    def _cancel(self, order_id: str) -> None:
        """Cancel an order. Children of one that is canceled already are on their way and come back by themselves."""
        self._asked_to_cancel.add(order_id)
        if not (order := self._view.order(order_id)).is_closed:
            self.cancel_order(order)

    def _announce(self, source: str, mode: TradingMode, reason: str) -> None:
        """Tell the risk gate where a mode has changed."""
        if self._modes.get(source, TradingMode.ACTIVE) is not mode:
            self._modes[source] = mode
            self.msgbus.send(MODE_ENDPOINT, ModeChange(source=source, mode=mode, reason=reason))

    def _on_gate_event(self, event: Any) -> None:
        if isinstance(event, ModeChange):
            self._gate_mode = event.mode

    def _on_twap_outcome(self, outcome: TwapOutcome) -> None:
        if outcome.strategy_id == self.id.value and outcome.handed_back:
            self._handed_back[outcome.order_id] = outcome.reason

    # --- what the engine calls ---------------------------------------------------------------------------------------

    def on_order_denied(self, event: Any) -> None:
        """Keep it, and wait before the next order of its kind."""
        self._refused(event, "denied", event.reason)

    def on_order_rejected(self, event: Any) -> None:
        """Keep it, and wait before the next order of its kind."""
        self._refused(event, "rejected", event.reason)

    def on_order_expired(self, event: Any) -> None:
        """Keep it, and wait before the next order of its kind."""
        self._refused(event, "expired", "not filled in its time")

    def on_order_canceled(self, event: Any) -> None:
        """Keep it, unless it is a slice: TWAP_ADAPTIVE hands back what it could not fill by canceling the primary."""
        order_id = event.client_order_id.value
        if self.cache.order(event.client_order_id).is_spawned:
            return
        handed_back = self._handed_back.pop(order_id, "by the venue")
        asked = order_id in self._asked_to_cancel
        self._asked_to_cancel.discard(order_id)
        self._keep_incident(event, "canceled", "the strategy asked for it" if asked else handed_back)

    def on_order_cancel_rejected(self, event: Any) -> None:
        """Keep it; the order still works, and the next pass asks again."""
        self._keep_incident(event, "cancel rejected", event.reason)

    def _refused(self, event: Any, what: str, reason: str) -> None:
        flattens = FLATTEN in (self.cache.order(event.client_order_id).tags or ())
        wait_s = min(self.config.retry_after_s, _FLATTEN_AGAIN_S) if flattens else self.config.retry_after_s
        self._retry_at_ns[flattens] = self.clock.timestamp_ns() + int(wait_s * 1e9)
        self._keep_incident(event, what, reason)

    def _keep_incident(self, event: Any, what: str, reason: str) -> None:
        order = self.cache.order(event.client_order_id)
        left = order.quantity.as_decimal() - order.filled_qty.as_decimal()
        incident = OrderIncident(
            time_ns=event.ts_event,
            order_id=event.client_order_id.value,
            event=what,
            quantity=left if order.is_buy else -left,
            reason=reason,
        )
        keep_latest(self.incidents, incident, self.config.keep_records)
        self.msgbus.publish(INCIDENT_TOPIC, incident)
