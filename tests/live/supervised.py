"""A strategy under supervision in the real engine, for tests: its breaker, audit and ledger, and what was seen."""

import math
from decimal import Decimal

import numpy as np
from nautilus_trader.model.events import OrderSubmitted

from companion.execution.nautilus import attach
from companion.live import CircuitBreaker, Ledger, Supervisor
from companion.live._audit import AuditLog
from companion.live._audit_read import read_audit
from companion.live._breaker_file import read_breaker
from companion.risk import SafetyMonitor
from tests.execution.engine import INSTRUMENT, run_engine
from tests.execution.test_execution_strategy import LIMITS, detector, make_config

BALANCE = Decimal(100_000)


class Sent:
    """An order when the venue gets it: whether the breaker had tripped, and what the audit had, both on the disk."""

    def __init__(self, order, breaker_path, audit_path):
        self.order_id, self.time_ns = order.client_order_id.value, order.ts_init
        self.flatten = "FLATTEN" in (order.tags or ())
        self.tripped = bool(read_breaker(breaker_path)) and read_breaker(breaker_path)[-1]["event"] == "trip"
        lines = [line for line in read_audit(audit_path) if line.kind == "order"]
        self.in_audit = self.order_id in [line.content["order_id"] for line in lines]


class Watched:
    """One run of the engine with a supervisor, and what it left behind."""

    def __init__(
        self,
        folder,
        desk,
        market,
        *,
        strategies=(),
        config=None,
        limits=LIMITS,
        before=None,
        runs=None,
        ledger=None,
        breaker=None,
        audit=AuditLog,
        checkpoint=None,
        check_interval_s=0.25,
        **options,
    ):
        if runs is not None:
            runs.append(self)
        self.breaker_path, self.audit_path = folder / "breaker.json", folder / "audit.jsonl"
        self.breaker, self.ledger = breaker or CircuitBreaker(self.breaker_path), ledger or Ledger(BALANCE)
        self.audit, self.sent = audit(self.audit_path), []

        def prepare(engine):
            self.engine = engine
            self.parts = attach(
                engine, instrument=INSTRUMENT, strategy=config or make_config(), desk=desk, limits=limits
            )
            self.supervisor = Supervisor(
                engine,
                self.parts,
                instrument=INSTRUMENT,
                breaker=self.breaker,
                audit=self.audit,
                ledger=self.ledger,
                checkpoint=checkpoint,
                check_interval_s=check_interval_s,
            )
            engine.kernel.msgbus.subscribe("events.order.*", self._look)
            if before:
                before(self)

        try:
            with run_engine(list(strategies), market, prepare=prepare, **options) as engine:
                self.held = engine.portfolio.net_position(INSTRUMENT.id)
                account = engine.portfolio.account(INSTRUMENT.id.venue)
                self.balance = account.balance_total(INSTRUMENT.quote_currency).as_decimal()
                self.orders = engine.cache.orders()
                self.supervisor.remove()
        finally:
            self.audit.close()
        self.strategy, self.gate = self.parts.strategy, self.parts.gate
        self.lines = list(read_audit(self.audit_path))

    def _look(self, event):
        if isinstance(event, OrderSubmitted):
            order = self.engine.cache.order(event.client_order_id)
            self.sent.append(Sent(order, self.breaker_path, self.audit_path))

    def of(self, kind):
        """Content of the lines of one kind."""
        return [line.content for line in self.lines if line.kind == kind]

    def kinds(self, *kinds):
        """Kinds of lines, in their order, of those named."""
        return [line.kind for line in self.lines if line.kind in kinds]


def strict_monitor():
    """Alarms at a fall that no calibrated path has."""
    normal = 4e-5 * math.sqrt(60) * np.random.default_rng(2).standard_normal((80, 100))
    return SafetyMonitor.for_detector(detector(), normal)
