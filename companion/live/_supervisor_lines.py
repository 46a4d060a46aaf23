"""What the audit log says about orders, fills and passes of the loop: JSON types, with decimals as text."""

import json
from decimal import Decimal
from typing import Any

from companion.desk import Decision
from companion.execution.nautilus import LoopRecord, OrderIncident, Refusal
from companion.execution.nautilus._gate_instrument import FLATTEN
from companion.live._ledger import Ledger


def decision_line(decision: Decision) -> dict[str, Any]:
    """A decision with its inputs, as `Decision.from_json` reads it."""
    return {"decision": json.loads(decision.to_json())}


def order_line(order: Any) -> dict[str, Any]:
    """An order of the engine that is about to leave."""
    parent = order.exec_spawn_id
    return {
        "order_id": order.client_order_id.value,
        "side": "BUY" if order.is_buy else "SELL",
        "quantity": str(order.quantity.as_decimal()),
        "reduce_only": order.is_reduce_only,
        "flatten": FLATTEN in (order.tags or ()),
        "parent": None if parent is None or parent == order.client_order_id else parent.value,
    }


def fill_line(fill: Any, ledger: Ledger) -> dict[str, Any]:
    """A fill of the engine, and what the ledger says after it."""
    return {
        "order_id": fill.client_order_id.value,
        "trade_id": fill.trade_id.value,
        "quantity": str(signed_quantity(fill)),
        "price": str(fill.last_px.as_decimal()),
        "fee": str(fill.commission.as_decimal()),
        "position": str(ledger.position),
        "balance": str(ledger.balance),
    }


def signed_quantity(fill: Any) -> Decimal:
    """Quantity of a fill of the engine, positive when bought."""
    quantity: Decimal = fill.last_qty.as_decimal()
    return quantity if fill.is_buy else -quantity


def loop_line(record: LoopRecord) -> dict[str, Any]:
    """One pass of the control loop; its decision has a line of its own."""
    return {
        "mode": str(record.mode),
        "posture": str(record.posture),
        "trigger": record.trigger,
        "target": str(record.target),
        "held": str(record.held),
        "in_flight": str(record.in_flight),
        "equity": _text(record.equity),
        "mid": _text(record.mid),
        "order_id": record.order_id,
        "reasons": list(record.reasons),
    }


def refusal_line(refusal: Refusal) -> dict[str, Any]:
    """An order, or a change, that the gate did not let pass."""
    return {
        "rule": refusal.rule,
        "reason": refusal.reason,
        "order_id": refusal.order_id,
        "strategy_id": refusal.strategy_id,
        "quantity": str(refusal.quantity),
    }


def incident_line(incident: OrderIncident) -> dict[str, Any]:
    """An order that did not do what it was sent for."""
    return {
        "order_id": incident.order_id,
        "event": incident.event,
        "quantity": str(incident.quantity),
        "reason": incident.reason,
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
