"""Watches a strategy that trades, and when something is wrong, ends it flat, for good; all of it is written down."""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.common.enums import ComponentState
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.instruments import Instrument

from companion._checks import check_positive
from companion.desk import Decision
from companion.errors import InputError
from companion.execution import TradingMode
from companion.execution.nautilus import Attached, LoopRecord, ModeChange
from companion.execution.nautilus._gate_instrument import DAILY_LOSS
from companion.execution.nautilus._strategy_records import HALT_TOPIC, Halt
from companion.live._audit import AuditLog
from companion.live._breaker import CircuitBreaker, Trip
from companion.live._feed_config import FeedHealth
from companion.live._ledger import CENT, Ledger
from companion.live._supervisor_journal import Journal
from companion.live._supervisor_timer import Timer
from companion.live._supervisor_writing import Writing, amid_an_order, guarded
from companion.risk import SafetyReading

_log = logging.getLogger(__name__)
_SOURCES = {"daily_loss": "daily_loss", "fault": "fault", "order": "person"}
"""Source of a trip, by the cause of a strategy's own halt."""


class Supervisor(Writing):
    """Keeps the audit and the ledger of a strategy, and the breaker that ends its trading.

    *It writes down*, before the engine goes on, every decision with its inputs, every order (on the disk before the
    order leaves), fill, refusal, incident, mode, pass of the loop, change of the feed, trip and stop. An order that can
    not be written down is refused, and trading ends; a flatten alone leaves all the same, and its line follows when
    there is room.

    *It trips* the breaker on an alarm of the monitor ("ood"), on a loss of the day that gate, strategy or desk reports
    ("daily_loss"), on a dead feed ("feed"), where the engine's position or balance is not the ledger's
    ("reconciliation"), when a person or another process says so ("person"), and on everything that fails in itself,
    the desk, the log or the checkpoint ("fault").

    *A trip is* on the disk first. Then the gate is HALTED by the source "breaker", which cancels what works; then the
    strategy sells what is held, as soon as there is a price to trust, and stops. Each step is taken whether or not the
    one before it failed: a disk that is full delays no flatten. A breaker that was tripped before the start does the
    same at the start. Without a fresh price nothing can be sold: then it waits for one, halted.

    A feed that is stale halts the gate by the source "feed", without a trip, until it is live again.

    Parameters
    ----------
    host : BacktestEngine or TradingNode
        One that does not run yet.
    parts : Attached
        What `companion.execution.nautilus.attach` gave; no other strategy may trade the instrument.
    instrument : Instrument
    breaker : CircuitBreaker
    audit : AuditLog
    ledger : Ledger
        With the position and the balance that the host begins with, see `restore_paper_account`.
    checkpoint : callable, optional
        Called with the time in nanoseconds after each bar and at the stop, when the audit has all of it.
    check_interval_s : float or None
        Time between two calls of `check` by the engine's own clock, in seconds; None leaves them to the caller.

    Raises
    ------
    ValueError
        If the interval is not positive, or the gate announces its orders to somebody else.
    """

    def __init__(
        self,
        host: BacktestEngine | TradingNode,
        parts: Attached,
        *,
        instrument: Instrument,
        breaker: CircuitBreaker,
        audit: AuditLog,
        ledger: Ledger,
        checkpoint: Callable[[int], None] | None = None,
        check_interval_s: float | None = 0.25,
    ) -> None:
        if check_interval_s is not None:
            check_positive("check_interval_s", check_interval_s)
        super().__init__(host.kernel, parts, instrument.id, Journal(audit), ledger)
        self._instrument, self._breaker = instrument, breaker
        self._checkpoint = checkpoint
        self._feed: tuple[str, str] | None = None
        self._acted: Trip | None = None
        self._thread: int | None = None
        self._removed = False
        self._topics += [(HALT_TOPIC, self._on_halt), (f"events.system.{parts.strategy.id}", self._on_component)]
        self._connect()
        if check_interval_s is not None:
            host.kernel.trader.add_actor(Timer(check_interval_s, self.check))
        if breaker.tripped is not None:
            self._act(breaker.tripped)

    # --- what others tell it -----------------------------------------------------------------------------------------

    @guarded
    def feed_changed(self, health: FeedHealth, counts: Mapping[str, int] | None = None) -> None:
        """Take a change of the feed: stale or dead halts the gate, live lifts that, and dead trips the breaker."""
        state = health.state, health.reason
        if state == self._feed:
            return
        self._feed, reason = state, health.reason or f"the feed is {health.state}"
        mode = TradingMode.ACTIVE if health.state == "live" else TradingMode.HALTED
        self._parts.gate.change_mode(ModeChange(source="feed", mode=mode, reason=reason))
        try:
            self._write("feed", state=health.state, reason=health.reason, counts=dict(counts or {}))
        finally:
            if health.state == "dead":
                self.trip("feed", reason)

    def feed_died(self, reason: str) -> None:
        """Whatever brings the data has ended: the feed is dead."""
        self.feed_changed(FeedHealth("dead", reason))

    def trip(self, source: str, reason: str) -> None:
        """Trip the breaker, and act on it; once is enough.

        From a thread that is not the engine's it only trips: `check` acts on it.
        """
        now_ns = self._now_ns()
        try:
            trip = self._breaker.trip(source, reason, now_ns=now_ns)
        except Exception:  # of those who listen, or of the breaker: trading ends all the same
            _log.exception("tripping the breaker failed")
            trip = self._breaker.tripped or Trip(source, reason, now_ns)
        if self._thread in (None, threading.get_ident()):
            self._act(trip)

    @guarded
    def check(self, now_ns: int) -> None:
        """Look at the breaker's file, the ledger and the losses; go on with a flatten that is not done.

        Called a few times a second, from the engine's thread.
        """
        if self._removed:
            return
        if (trip := self._breaker.refresh()) is not None:
            self._act(trip)
        with contextlib.suppress(InputError):  # that lines wait has tripped the breaker
            self._journal.flush()
        for name, reason in tuple(self._parts.gate.disabled.items()):
            self.trip("daily_loss" if name == DAILY_LOSS else "fault", reason)
        if self._parts.strategy.is_running:
            self._reconcile()
            self._go_on()

    def remove(self) -> None:
        """Hear of nothing more, and check nothing, so that the audit can be closed."""
        super().remove()
        self._removed = True
        try:
            self._journal.flush()
        except InputError as error:
            _log.critical("%d lines of the audit log are lost: %s", self._journal.n_waiting, error)

    # --- what the engine tells it ------------------------------------------------------------------------------------

    @guarded
    def _on_decision(self, decision: Decision) -> None:
        self._go_on()  # a trip that came amid an order: this pass flattens
        super()._on_decision(decision)
        if alarms := [check for check in decision.safety if not check]:
            ood = any(isinstance(alarm, SafetyReading) for alarm in alarms)
            self.trip("ood" if ood else "daily_loss", "; ".join(alarm.reason for alarm in alarms))

    def _on_halt(self, halt: Halt) -> None:
        self.trip(_SOURCES[halt.cause], halt.reason)

    def _on_loop(self, record: LoopRecord) -> None:
        super()._on_loop(record)
        if record.trigger == "bar":
            self._reconcile()
        if record.trigger in ("bar", "stop"):
            self._save()

    @amid_an_order
    def _on_gate(self, event: Any) -> None:
        super()._on_gate(event)
        if isinstance(event, ModeChange) and event.source == DAILY_LOSS and event.mode is not TradingMode.ACTIVE:
            self.trip("daily_loss", event.reason)

    @guarded
    def _on_component(self, event: Any) -> None:
        if event.state == ComponentState.RUNNING:
            self._thread = threading.get_ident()
        elif event.state == ComponentState.STOPPED:
            reason = "the strategy was stopped" if self._acted is None else _why(self._acted)
            position, balance = str(self._ledger.position), str(self._ledger.balance)
            self._write("stop", sync=True, reason=reason, position=position, balance=balance)

    # --- what it does ------------------------------------------------------------------------------------------------

    def _act(self, trip: Trip) -> None:
        """Halt the gate, and the strategy: once, and each step whatever becomes of the one before."""
        if self._acted is not None:
            return
        self._acted = trip
        halted = ModeChange(source="breaker", mode=TradingMode.HALTED, reason=_why(trip))
        for step in (
            lambda: self._write("trip", sync=True, source=trip.source, reason=trip.reason),
            lambda: self._parts.gate.change_mode(halted),
            self._go_on,
        ):
            try:
                step()
            except Exception:
                _log.exception("after a trip a step failed; the next check goes on")

    def _go_on(self) -> None:
        """Let the strategy take its next step to flat, if there was a trip and the engine is not amid an order."""
        if self._acted is not None and not self._n_amid:
            self._parts.strategy.halt(_why(self._acted))

    @guarded
    def _reconcile(self) -> None:
        """Compare the engine's position and balance with the ledger's."""
        if self._acted is not None:
            return
        ledger, portfolio, instrument = self._ledger, self._kernel.portfolio, self._instrument
        held: Decimal = portfolio.net_position(instrument.id)
        account = portfolio.account(instrument.id.venue)
        total = None if account is None else account.balance_total(instrument.quote_currency)
        balance = None if total is None else total.as_decimal()
        if held != ledger.position:
            self.trip("reconciliation", f"the engine holds {held}, the ledger {ledger.position}")
        if balance is None or abs(balance - ledger.balance) > CENT * (1 + ledger.n_fills):
            self.trip("reconciliation", f"the engine has a balance of {balance}, the ledger of {ledger.balance}")

    @guarded
    def _save(self) -> None:
        if self._checkpoint is not None:
            self._checkpoint(self._now_ns())


def _why(trip: Trip) -> str:
    return f"{trip.source}: {trip.reason}"
