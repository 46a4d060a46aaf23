"""What a running service can say of itself: the status of the moment, gathered from the engine's own news."""

from collections import deque
from collections.abc import Callable
from typing import Any

from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.instruments import Instrument

from companion.desk import Decision
from companion.execution import TradingMode
from companion.execution.nautilus import Attached, LoopRecord, ModeChange
from companion.execution.nautilus._gate_events import EVENTS_TOPIC
from companion.execution.nautilus._strategy_records import DECISION_TOPIC, LOOP_TOPIC
from companion.live._breaker import CircuitBreaker
from companion.live._feed import Feed
from companion.live._feed_config import FeedHealth
from companion.live._ledger import Ledger
from companion.live._settings import SYMBOL
from companion.live._status import LiveStatus

_SHOWN_BARS, _SHOWN_REFUSALS = 240, 8


class ServiceView:
    """Hears of each bar, and reads everything else when it is asked.

    Parameters
    ----------
    node : TradingNode
    parts : Attached
    instrument : Instrument
    breaker : CircuitBreaker
    ledger : Ledger
    feed : Feed
    on_bar : callable
        Called after each bar.

    Attributes
    ----------
    n_bars : int
        Since the start.
    decision : Decision or None
        The desk's last.
    health : FeedHealth or None
        What the feed said of itself last.
    """

    def __init__(
        self,
        node: TradingNode,
        parts: Attached,
        *,
        instrument: Instrument,
        breaker: CircuitBreaker,
        ledger: Ledger,
        feed: Feed,
        on_bar: Callable[[], None],
    ) -> None:
        self.n_bars = 0
        self.decision: Decision | None = None
        self.health: FeedHealth | None = None
        self._node, self._parts, self._instrument = node, parts, instrument
        self._breaker, self._ledger, self._feed, self._on_bar = breaker, ledger, feed, on_bar
        self._record: LoopRecord | None = None
        self._p_chaos: deque[float] = deque(maxlen=_SHOWN_BARS)
        self._mode_reason = ""
        topics = {DECISION_TOPIC: self._on_decision, LOOP_TOPIC: self._on_loop, EVENTS_TOPIC: self._on_gate}
        for topic, handler in topics.items():
            node.kernel.msgbus.subscribe(topic=topic, handler=handler)

    def status(self) -> LiveStatus:
        """The status of the moment."""
        decision, gate, quote = self.decision, self._parts.gate, self._node.cache.quote_tick(self._instrument.id)
        mid = None if quote is None else (quote.bid_price.as_decimal() + quote.ask_price.as_decimal()) / 2
        return LiveStatus(
            time_ns=self._node.kernel.clock.timestamp_ns(),
            symbol=SYMBOL,
            interval=self._feed.config.interval,
            bars=self.n_bars,
            regime=None if decision is None else decision.regime,
            p_chaos=None if decision is None else 1.0 - decision.p_stable,
            p_chaos_bars=tuple(self._p_chaos),
            leverage=None if decision is None else decision.leverage,
            mid=mid,
            target=None if self._record is None else self._record.target,
            position=self._ledger.position,
            equity=self._ledger.balance if mid is None else self._ledger.equity(mid),
            mode=gate.mode,
            mode_reason=self._mode_reason,
            breaker=self._breaker.tripped,
            feed=self.health,
            latency_ms=None if quote is None else (quote.ts_init - quote.ts_event) / 1e6,
            refusals=self._refusals(),
            counts=self._feed.counts.to_dict(),
        )

    def _refusals(self) -> tuple[str, ...]:
        refused = [(one.time_ns, f"{one.rule}: {one.reason}") for one in self._parts.gate.refusals[-_SHOWN_REFUSALS:]]
        incidents = self._parts.strategy.incidents[-_SHOWN_REFUSALS:]
        refused += [(one.time_ns, f"{one.event}: {one.reason}") for one in incidents]
        return tuple(text for _, text in sorted(refused)[-_SHOWN_REFUSALS:])

    def _on_decision(self, decision: Decision) -> None:
        self.decision = decision
        self._p_chaos.append(1.0 - decision.p_stable)

    def _on_gate(self, event: Any) -> None:
        if isinstance(event, ModeChange):
            self._mode_reason = "" if event.mode is TradingMode.ACTIVE else event.reason

    def _on_loop(self, record: LoopRecord) -> None:
        self._record = record
        if record.trigger == "bar":
            self.n_bars += 1
            self._on_bar()
