"""What the gate says: a refusal and a change of mode to everybody, a denial to the sender, a cancel to the venue."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import CancelOrder
from nautilus_trader.model.events import OrderDenied, OrderModifyRejected
from nautilus_trader.model.orders import Order

from companion.execution._modes import TradingMode

EVENTS_TOPIC = "events.gate"
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An order, or a change of one, that did not pass; published on "events.gate".

    Attributes
    ----------
    time_ns : int
    rule : str
        Name of the limit, one word: reports count by it.
    reason : str
        The figures, in one line; the strategy reads them in `OrderDenied.reason`.
    order_id : str
    strategy_id : str
    quantity : Decimal
        Signed quantity of the order, positive to buy; that of the change, if a change asked for another.
    """

    time_ns: int
    rule: str
    reason: str
    order_id: str
    strategy_id: str
    quantity: Decimal


@dataclass(frozen=True, kw_only=True)
class ModeChange:
    """What a source asks for at "RiskGate.mode"; published on "events.gate" whenever the mode of the gate changes.

    Attributes
    ----------
    source : str
        Who asks. The gate keeps the last mode of each source and obeys the strictest.
    mode : TradingMode
    reason : str
    """

    source: str
    mode: TradingMode
    reason: str


def keep_latest(kept: list[_T], one: _T, n: int | None) -> None:
    """Append to a list that keeps the latest `n`, or all."""
    kept.append(one)
    if n is not None:
        del kept[:-n]


def denial_of(order: Order, reason: str, now_ns: int) -> OrderDenied:
    """The event by which strategy and algorithm learn that an order did not pass."""
    return OrderDenied(
        order.trader_id,
        order.strategy_id,
        order.instrument_id,
        order.client_order_id,
        reason=reason,
        event_id=UUID4(),
        ts_init=now_ns,
    )


def rejected_change_of(order: Order, reason: str, now_ns: int) -> OrderModifyRejected:
    """The event by which they learn that a change did not pass, and that the order stands as it was."""
    return OrderModifyRejected(
        order.trader_id,
        order.strategy_id,
        order.instrument_id,
        order.client_order_id,
        order.venue_order_id,
        order.account_id,
        reason=reason,
        event_id=UUID4(),
        ts_event=now_ns,
        ts_init=now_ns,
    )


def cancel_of(order: Order, now_ns: int) -> CancelOrder:
    """The command that cancels an order at its venue."""
    return CancelOrder(
        order.trader_id,
        order.strategy_id,
        order.instrument_id,
        order.client_order_id,
        order.venue_order_id,
        command_id=UUID4(),
        ts_init=now_ns,
    )
