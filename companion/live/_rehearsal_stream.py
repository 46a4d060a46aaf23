"""What a data client would hand to the engine, in simulated time: the exchange's events, through the feed, when due."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from companion._checks import check_positive
from companion.live._candles import Candle, interval_ns
from companion.live._exchange_simulator import ExchangeSimulator
from companion.live._faults import FaultKind
from companion.live._feed import Feed
from companion.live._feed_config import FeedHealth
from companion.live._messages import StreamQuote
from companion.live._store import CandleStore
from companion.live._tape_records import Connection, Message, TapeEvent

SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Network:
    """What lies between the exchange and the desk: seconds that are random in life, and the same each time here.

    Attributes
    ----------
    delay_s : float
        From the exchange to us, of a message and of a connection that is lost.
    answer_s : float
        From a question to the answer of the exchange's history.
    reconnect_s : float
        From the end of a connection to the next; twice as long after each that brought nothing.
    longest_wait_s : float
        That wait at most.
    watch_s : float
        How often the watchdog looks at the feed.

    Raises
    ------
    ValueError
        Names the one that is not positive.
    """

    delay_s: float = 0.02
    answer_s: float = 0.2
    reconnect_s: float = 0.1
    longest_wait_s: float = 10.0
    watch_s: float = 0.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_positive(name, value)


class Arrival(NamedTuple):
    """A quote or a candle that the feed hands on, and when, in nanoseconds since 1970."""

    time_ns: int
    content: StreamQuote | Candle


class HealthChange(NamedTuple):
    """The feed feels different from now on; and what it has counted so far."""

    time_ns: int
    health: FeedHealth
    counts: dict[str, int]


@dataclass
class Received:
    """All that came out of the feed.

    Attributes
    ----------
    arrivals : list of Arrival
        Ascending, no two at the same nanosecond: their order is never in doubt.
    health : list of HealthChange
        Ascending.
    events : list of (int, str)
        What happened to connection and candles, in nanoseconds since 1970 and in words.
    end_ns : int
        When it was over.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    health: list[HealthChange] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)
    end_ns: int = 0


class StreamClient:
    """Does what the engine's data client does, its pump and its watchdog: the feed is the same, the clock is not.

    It connects again for ever, ends a connection that brings no quote, asks store and exchange for what is missing,
    and stores each candle before it is handed on.

    Parameters
    ----------
    exchange : ExchangeSimulator
        It must have a time.
    feed : Feed
    store : CandleStore
    network : Network
    """

    def __init__(self, exchange: ExchangeSimulator, feed: Feed, store: CandleStore, network: Network) -> None:
        self._exchange, self._feed, self._store, self._network = exchange, feed, store, network
        self._received = Received()
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()
        self._up = self._connected = self._dead_line = self._half_open = self._asking = False
        self._wait_s = network.reconnect_s
        self._n_messages = 0  # when the connection began
        self._health: FeedHealth | None = None
        self._n_quotes, self._silent_s, self._borne_s = 0, 0.0, feed.config.stale_after_s

    def run(self) -> Received:
        """Live through all of the exchange's events, once."""
        now_ns, delay_ns = 0, round(self._network.delay_s * SECOND_NS)
        for event in self._exchange.events():
            now_ns = event.time_ns + delay_ns
            self._run_due(now_ns)
            self._take(event, now_ns)
            if self._health is None:  # the first event says whether there is an exchange
                self._connect(now_ns)
                self._watch(now_ns)
        self._received.end_ns = now_ns + 2 * round(self._network.answer_s * SECOND_NS)  # the last answer, too
        self._run_due(self._received.end_ns)
        return self._received

    def _run_due(self, now_ns: int) -> None:
        while self._due and self._due[0][0] <= now_ns:
            due_ns, _, act = heapq.heappop(self._due)
            act(due_ns)

    def _later(self, now_ns: int, wait_s: float, act: Callable[[int], None]) -> None:
        heapq.heappush(self._due, (now_ns + round(wait_s * SECOND_NS), next(self._numbers), act))

    # --- the connection ----------------------------------------------------------------------------------------------

    def _take(self, event: TapeEvent, now_ns: int) -> None:
        if isinstance(event, Message):
            if self._connected and not self._dead_line:
                self._hand_on(self._feed.on_message(event.raw, now_ns), now_ns)
        elif isinstance(event, Connection):
            self._up = event.up
            if not event.up:
                self._disconnect(now_ns, "the exchange is gone")
        elif event.kind is FaultKind.HALF_OPEN:
            self._half_open, self._dead_line = event.begins, True  # also one that was opened in the meantime

    def _connect(self, now_ns: int) -> None:
        self._n_messages = self._feed.counts.messages
        if self._up:
            self._connected, self._dead_line = True, self._half_open
            self._feed.on_connect(now_ns)
            self._say(now_ns, "connected")
        else:
            self._again(now_ns)

    def _disconnect(self, now_ns: int, why: str) -> None:
        if self._connected:
            self._connected = False
            self._feed.on_disconnect(now_ns)
            self._say(now_ns, f"disconnected: {why}")
            self._again(now_ns)

    def _again(self, now_ns: int) -> None:
        fruitless, network = self._feed.counts.messages == self._n_messages, self._network
        self._wait_s = min(2 * self._wait_s, network.longest_wait_s) if fruitless else network.reconnect_s
        self._later(now_ns, self._wait_s, self._connect)

    def _watch(self, now_ns: int) -> None:
        """One look of the watchdog, at the health of the feed and at a silence."""
        feed, watch_s = self._feed, self._network.watch_s
        if (health := feed.health(now_ns)) != self._health:
            self._health = health
            self._received.health.append(HealthChange(now_ns, health, feed.counts.to_dict()))
            self._say(now_ns, ": ".join(filter(None, (f"the feed is {health.state}", health.reason))))
        if feed.counts.quotes != self._n_quotes:
            self._n_quotes, self._silent_s, self._borne_s = feed.counts.quotes, 0.0, feed.config.stale_after_s
        elif self._silent_s + watch_s < self._borne_s:
            self._silent_s += watch_s
        else:
            self._silent_s, self._borne_s = 0.0, min(2 * self._borne_s, feed.config.dead_after_s)
            self._disconnect(now_ns, "silent")
        self._later(now_ns, watch_s, self._watch)

    # --- candles and quotes ------------------------------------------------------------------------------------------

    def _hand_on(self, accepted: Sequence[StreamQuote | Candle], now_ns: int) -> None:
        candles = [one for one in accepted if isinstance(one, Candle)]
        if candles:
            self._store.upsert(self._exchange.symbol, self._exchange.interval, candles)
        arrivals = self._received.arrivals
        for one in accepted:
            arrivals.append(Arrival(max(now_ns, arrivals[-1].time_ns + 1) if arrivals else now_ns, one))
        if not accepted and not self._asking and self._feed.need() is not None:
            self._asking = True
            self._later(now_ns, self._network.answer_s, self._answer)

    def _answer(self, now_ns: int) -> None:
        """Take what is missing from the store if that has all of it, else from the exchange; or give it up."""
        feed, exchange = self._feed, self._exchange
        self._asking = False
        while (need := feed.need()) is not None:
            n_missing = (need[1] - need[0]) // interval_ns(exchange.interval)
            found = self._store.between(exchange.symbol, exchange.interval, *need)
            if len(found) < n_missing:
                found = exchange.history(*need, now_ns=now_ns)
            ready = feed.on_history(found, now_ns)
            self._say(now_ns, f"history has {len(found)} of {n_missing} missing candles")
            if feed.need() == need:
                ready = feed.give_up(now_ns)
            self._hand_on(ready, now_ns)

    def _say(self, now_ns: int, text: str) -> None:
        self._received.events.append((now_ns, text))
