"""Writes down what a strategy does, as the engine tells it, before the engine goes on."""

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from nautilus_trader.model.events import OrderFilled

from companion.desk import Decision
from companion.errors import InputError
from companion.execution.nautilus import Attached, LoopRecord, ModeChange, OrderIncident, Refusal
from companion.execution.nautilus._gate_events import EVENTS_TOPIC
from companion.execution.nautilus._strategy_records import DECISION_TOPIC, INCIDENT_TOPIC, LOOP_TOPIC
from companion.live._ledger import Ledger
from companion.live._supervisor_journal import Journal
from companion.live._supervisor_lines import (
    decision_line,
    fill_line,
    incident_line,
    loop_line,
    order_line,
    refusal_line,
    signed_quantity,
)

_log = logging.getLogger(__name__)
_Given = ParamSpec("_Given")
_Self = TypeVar("_Self", bound="Writing")


def guarded(handler: Callable[Concatenate[_Self, _Given], None]) -> Callable[Concatenate[_Self, _Given], None]:
    """A handler whose failure is a fault of ours: it trips the breaker, and never reaches the engine."""

    @functools.wraps(handler)
    def call(self: _Self, *args: _Given.args, **kwargs: _Given.kwargs) -> None:
        try:
            handler(self, *args, **kwargs)
        except Exception as error:
            reason = f"the supervisor failed in {handler.__name__.strip('_')}: {error!r}"
            _log.error(reason, exc_info=not isinstance(error, InputError))  # a full disk is no defect of ours
            self.trip("fault", reason)

    return call


def amid_an_order(handler: Callable[[_Self, Any], None]) -> Callable[[_Self, Any], None]:
    """A handler that the engine calls while it handles an order.

    A trip then goes to the disk and halts the gate; the strategy is told by the next pass or check, so that no order is
    sent from within the handling of another, whose fills and cancels not everybody has heard of yet.
    """

    @functools.wraps(handler)
    def call(self: _Self, event: Any) -> None:
        self._n_amid += 1
        try:
            handler(self, event)
        finally:
            self._n_amid -= 1

    return call


class Writing(ABC):
    """Keeps audit and ledger of one strategy; whatever fails trips.

    Parameters
    ----------
    kernel : NautilusKernel
    parts : Attached
    instrument_id : InstrumentId
        Whose fills the ledger takes.
    journal : Journal
    ledger : Ledger
    """

    def __init__(self, kernel: Any, parts: Attached, instrument_id: Any, journal: Journal, ledger: Ledger) -> None:
        if parts.gate.before_send is not None:
            raise ValueError("parts must have a gate whose before_send is free, got one that is taken: attach anew")
        self._kernel, self._parts, self._instrument_id = kernel, parts, instrument_id
        self._journal, self._ledger = journal, ledger
        self._n_amid = 0  # handlers under way that `amid_an_order` speaks of
        self._topics: list[tuple[str, Callable[[Any], None]]] = [
            (DECISION_TOPIC, self._on_decision),
            (LOOP_TOPIC, self._on_loop),
            (INCIDENT_TOPIC, self._on_incident),
            (EVENTS_TOPIC, self._on_gate),
            ("events.order.*", self._on_order),
        ]

    def _connect(self) -> None:
        for topic, handler in self._topics:
            self._kernel.msgbus.subscribe(topic=topic, handler=handler)
        self._parts.gate.before_send = self._before_send

    def remove(self) -> None:
        """Hear of nothing more, so that the audit can be closed; then no order leaves unless the gate says so."""
        for topic, handler in self._topics:
            self._kernel.msgbus.unsubscribe(topic=topic, handler=handler)
        self._parts.gate.before_send = None

    @abstractmethod
    def trip(self, source: str, reason: str) -> None:
        """Trip the breaker, and act on it."""

    @amid_an_order
    def _before_send(self, order: Any) -> None:
        """Write an order down. What can not be written down does not leave, except a flatten, which is late instead."""
        line = order_line(order)
        write = self._journal.keep if line["flatten"] else self._journal.require
        try:
            write("order", now_ns=self._now_ns(), sync=True, **line)
        except Exception as error:
            self.trip("fault", f"an order could not be written down: {error!r}")
            if not line["flatten"]:
                raise

    @amid_an_order
    @guarded
    def _on_order(self, event: Any) -> None:
        if isinstance(event, OrderFilled) and event.instrument_id == self._instrument_id:
            quantity, price, fee = signed_quantity(event), event.last_px.as_decimal(), event.commission.as_decimal()
            self._ledger.on_fill(quantity, price, fee)
            self._write("fill", **fill_line(event, self._ledger))

    @amid_an_order
    @guarded
    def _on_incident(self, incident: OrderIncident) -> None:
        self._write("incident", **incident_line(incident))

    @amid_an_order
    @guarded
    def _on_gate(self, event: Any) -> None:
        if isinstance(event, Refusal):
            self._write("refusal", **refusal_line(event))
        elif isinstance(event, ModeChange):
            self._write("mode", source=event.source, mode=str(event.mode), reason=event.reason)

    @guarded
    def _on_decision(self, decision: Decision) -> None:
        self._write("decision", **decision_line(decision))

    @guarded
    def _on_loop(self, record: LoopRecord) -> None:
        self._write("loop", **loop_line(record))

    def _write(self, kind: str, *, sync: bool = False, **content: Any) -> None:
        self._journal.keep(kind, now_ns=self._now_ns(), sync=sync, **content)

    def _now_ns(self) -> int:
        now_ns: int = self._kernel.clock.timestamp_ns()
        return now_ns
