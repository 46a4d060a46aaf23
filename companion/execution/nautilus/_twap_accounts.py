"""An execution algorithm that closes its own primary orders: by denying one, or by handing back what is left of it.

The engine offers neither. An algorithm can only send an order or keep it, and one that is kept stays INITIALIZED for
ever, without an event; so the events that the engine would make are made here, and go where the engine's go.
"""

from decimal import Decimal
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.algorithm import ExecAlgorithm
from nautilus_trader.model.events import OrderCanceled, OrderDenied, OrderEvent, OrderUpdated
from nautilus_trader.model.objects import Quantity
from nautilus_trader.model.orders import Order

from companion.execution.nautilus._gate_events import keep_latest
from companion.execution.nautilus._twap_config import TWAP_TOPIC, TwapAdaptiveConfig, TwapOutcome
from companion.execution.nautilus._twap_reading import filled_and_in_flight, ordered, slices_of


class AccountedAlgorithm(ExecAlgorithm):
    """Base of `TwapAdaptive`.

    Parameters
    ----------
    config : TwapAdaptiveConfig

    Attributes
    ----------
    outcomes : list of TwapOutcome
        One for each primary that came to its end, in order.
    """

    def __init__(self, config: TwapAdaptiveConfig) -> None:
        super().__init__(config)
        self.outcomes: list[TwapOutcome] = []

    def _hand_back(self, primary: Order, reason: str) -> None:
        self._record(primary, reason)
        if primary.is_active_local:
            self._apply(primary, OrderCanceled, venue_order_id=None, account_id=None, **self._stamps())

    def _deny(self, order: Order, reason: str) -> None:
        self._record(order, reason)
        self._apply(order, OrderDenied, reason=reason, event_id=UUID4(), ts_init=self.clock.timestamp_ns())

    def _record(self, primary: Order, reason: str) -> None:
        quantity = ordered(primary)
        filled, in_flight = filled_and_in_flight([primary, *slices_of(self.cache, primary)])
        outcome = TwapOutcome(
            time_ns=self.clock.timestamp_ns(),
            order_id=primary.client_order_id.value,
            strategy_id=primary.strategy_id.value,
            reason=reason,
            quantity=quantity,
            filled=filled,
            in_flight=in_flight,
            handed_back=quantity - filled - in_flight,
        )
        keep_latest(self.outcomes, outcome, self.config.keep_outcomes)
        self.msgbus.publish(TWAP_TOPIC, outcome)

    def _set_quantity(self, primary: Order, quantity: Decimal) -> None:
        self._apply(
            primary,
            OrderUpdated,
            publish=False,  # nor does the engine when it spawns
            venue_order_id=None,
            account_id=None,
            quantity=Quantity(quantity, primary.quantity.precision),
            price=None,
            trigger_price=None,
            **self._stamps(),
        )

    def _stamps(self) -> dict[str, Any]:
        now = self.clock.timestamp_ns()
        return {"event_id": UUID4(), "ts_event": now, "ts_init": now}

    def _apply(self, order: Order, kind: type[OrderEvent], *, publish: bool = True, **fields: Any) -> None:
        event = kind(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            **fields,
        )
        order.apply(event)
        self.cache.update_order(order)
        if publish:
            self.msgbus.publish(f"events.order.{order.strategy_id}", event)
