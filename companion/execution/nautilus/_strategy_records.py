"""What the strategy keeps for the report: each pass of its loop, and each order that did not do its work."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from companion.desk import Decision
from companion.execution._modes import TradingMode
from companion.execution._reconcile import Rebalance
from companion.risk import Posture

#: Topics on the engine's message bus. A decision and a halt are published before the pass acts on them, a record of the
#: loop and an incident once they are kept.
DECISION_TOPIC, HALT_TOPIC, LOOP_TOPIC, INCIDENT_TOPIC = (
    f"events.{what}" for what in ("decision", "halt", "loop", "incident")
)


class Halt(NamedTuple):
    """A strategy halts trading by itself; published on "events.halt" before the first order that this makes.

    Attributes
    ----------
    time_ns : int
    cause : str
        "daily_loss", or "fault" where what it decides with is gone.
    reason : str
    """

    time_ns: int
    cause: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRecord:
    """One pass of the control loop: what it saw, what it wanted, what it sent, and why.

    Attributes
    ----------
    time_ns : int
        When, in nanoseconds.
    trigger : str
        "bar", "timer", "halt" or "stop". Of those by timer and halt only those that did something, or found something
        new, are kept.
    mode : TradingMode
        What the liquidity gate said.
    posture : Posture
        The strictest of what gate, desk and breaker ask for.
    decision : Decision or None
        The desk's, made in this pass at a bar, else the last; None before the first or when the desk has failed.
    equity : Decimal or None
        Balance and unrealized result, in the quote currency; None while it is not known.
    mid : Decimal or None
        Middle of a quote that can be trusted, in the quote currency; None without one.
    target : Decimal
        Quantity to hold, signed, in the base currency: the desk's, or what the posture makes of it.
    held : Decimal
        Net position, signed.
    in_flight : Decimal
        What worked when the pass began, signed.
    plan : Rebalance
        What reconciliation asked for; before the first decision, nothing.
    order_id : str or None
        Order that was sent.
    reasons : tuple of str
        Why the target is not more and the order not another, in the order in which the loop asked.
    """

    time_ns: int
    trigger: str
    mode: TradingMode
    posture: Posture
    decision: Decision | None
    equity: Decimal | None
    mid: Decimal | None
    target: Decimal
    held: Decimal
    in_flight: Decimal
    plan: Rebalance
    order_id: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIncident:
    """An order that did not do what it was sent for.

    Attributes
    ----------
    time_ns : int
        When, in nanoseconds.
    order_id : str
        Which; a child of an execution algorithm has its own.
    event : str
        "denied", "rejected", "expired", "canceled" or "cancel rejected".
    quantity : Decimal
        Signed quantity that was not filled, in the base currency.
    reason : str
        As the engine or the venue gave it.
    """

    time_ns: int
    order_id: str
    event: str
    quantity: Decimal
    reason: str
