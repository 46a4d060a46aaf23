"""The engine's data client: quotes and bars of one instrument, from an exchange's stream through a `Feed`."""

import asyncio
from collections.abc import Callable
from typing import Any

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.config import LiveDataClientConfig
from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.live.factories import LiveDataClientFactory
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.identifiers import ClientId
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Price, Quantity

from companion._checks import check_count, check_positive
from companion.live._candles import Candle, engine_step, interval_ns
from companion.live._data_pump import FeedPump
from companion.live._data_watchdog import FeedWatchdog
from companion.live._feed import Feed
from companion.live._feed_config import FeedHealth
from companion.live._http import ExchangeAddress
from companion.live._messages import StreamQuote
from companion.live._store import CandleStore


class LiveFeedConfig(LiveDataClientConfig, kw_only=True, frozen=True):
    """Where the data client listens, and how patiently.

    What it listens to, and when it doubts, is in the `FeedConfig` of its feed.

    Attributes
    ----------
    base_url_http : str
        Of the exchange's history; see `ExchangeAddress`.
    base_url_ws : str
        Of its streams.
    conflate_after : int
        Quotes that may wait at once before only the newest is handed on; see `FeedPump`.
    longest_wait_s : float
        Longest wait before it connects again.

    Raises
    ------
    InputError
        If an address is none.
    ValueError
        If a number is not positive.
    """

    base_url_http: str
    base_url_ws: str
    conflate_after: int = 1000
    longest_wait_s: float = 10.0

    def __post_init__(self) -> None:
        ExchangeAddress(self.base_url_http, self.base_url_ws)
        check_count("conflate_after", self.conflate_after)
        check_positive("longest_wait_s", self.longest_wait_s)


class FeedDataClient(LiveMarketDataClient):
    """Hands quotes and bars of one instrument to the engine, from the first subscription on.

    A quote has the exchange's time as ``ts_event``, a bar its close, open time and interval; both have the node's clock
    as ``ts_init``. Connecting to the engine is not connecting to the exchange: a node starts without the exchange, and
    waits for it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        config: Any,
        msgbus: MessageBus,
        cache: Cache,
        clock: LiveClock,
        *,
        instrument: Instrument,
        feed: Feed,
        store: CandleStore | None,
        on_health: Callable[[FeedHealth], None],
        on_dead: Callable[[str], None],
    ) -> None:
        if not isinstance(config, LiveFeedConfig):
            raise ValueError(f"config of the data client must be a LiveFeedConfig, got {config!r}")  # noqa: TRY004
        provider = InstrumentProvider()
        provider.add(instrument)
        super().__init__(
            loop=loop,
            client_id=ClientId(name),
            venue=instrument.venue,
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            instrument_provider=provider,
            config=config,
        )
        self._instrument, self._feed = instrument, feed
        self._bar_type, self._step_ns = bar_type_of(instrument, feed.config.interval), interval_ns(feed.config.interval)
        self._on_health, self._on_dead = on_health, on_dead
        self._pump = FeedPump(
            feed,
            ExchangeAddress(config.base_url_http, config.base_url_ws),
            on_quote=self._on_quote,
            on_candle=self._on_candle,
            now_ns=clock.timestamp_ns,
            warn=self._log.error,
            store=store,
            conflate_after=config.conflate_after,
            longest_wait_s=config.longest_wait_s,
        )
        self._running: list[asyncio.Task[None]] = []

    async def _connect(self) -> None:
        self._handle_data(self._instrument)

    async def _disconnect(self) -> None:
        running, self._running = self._running[::-1], []  # the watchdog first
        for task in running:
            task.cancel()
            await asyncio.wait([task])

    def _start(self) -> None:
        """Listen only when somebody does: a bar that nobody hears would be lost."""
        if self._running:
            return
        pumping = self._loop.create_task(self._pump.run(), name="feed pump")
        watchdog = FeedWatchdog(
            self._feed,
            self._pump,
            pumping,
            now_ns=self._clock.timestamp_ns,
            on_health=self._on_health,
            on_dead=self._on_dead,
            warn=self._log.error,
        )
        self._running = [pumping, self._loop.create_task(watchdog.run(), name="feed watchdog")]

    async def _subscribe_quote_ticks(self, command: Any) -> None:
        self._start()

    async def _subscribe_bars(self, command: Any) -> None:
        if command.bar_type != self._bar_type:
            self._log.error(f"no bars {command.bar_type} here: the feed has {self._bar_type}")
        self._start()

    async def _unsubscribe_quote_ticks(self, command: Any) -> None:
        """The stream goes on, for whoever else listens."""

    async def _unsubscribe_bars(self, command: Any) -> None:
        """The stream goes on, for whoever else listens."""

    def _on_quote(self, quote: StreamQuote) -> None:
        instrument = self._instrument
        price, size = instrument.price_precision, instrument.size_precision
        try:
            tick = QuoteTick(
                instrument.id,
                Price(quote.bid, price),
                Price(quote.ask, price),
                Quantity(quote.bid_size, size),
                Quantity(quote.ask_size, size),
                quote.time_ns,
                self._clock.timestamp_ns(),
            )
        except ValueError as error:
            self._drop(quote, error)
        else:
            self._handle_data(tick)

    def _on_candle(self, candle: Candle) -> None:
        price = self._instrument.price_precision
        try:
            bar = Bar(
                self._bar_type,
                Price(candle.open, price),
                Price(candle.high, price),
                Price(candle.low, price),
                Price(candle.close, price),
                Quantity(candle.volume, self._instrument.size_precision),
                candle.open_time_ns + self._step_ns,
                self._clock.timestamp_ns(),
            )
        except ValueError as error:
            self._drop(candle, error)
        else:
            self._handle_data(bar)

    def _drop(self, what: StreamQuote | Candle, error: ValueError) -> None:
        """Count what the engine's numbers can not hold."""
        self._feed.counts.malformed += 1
        self._log.error(f"dropped {what}: {error}")


def data_client_factory(
    instrument: Instrument,
    *,
    feed: Feed,
    store: CandleStore | None,
    on_health: Callable[[FeedHealth], None],
    on_dead: Callable[[str], None],
) -> type[LiveDataClientFactory]:
    """What a `TradingNode` makes its data client with; one node alone, since a feed is one stream's.

    Parameters
    ----------
    instrument : Instrument
        Gets the quotes and bars of the symbol of the feed.
    feed : Feed
    store : CandleStore or None
        Has each candle before the engine sees its bar.
    on_health : callable
        Gets each `FeedHealth` that differs from the one before, on the node's loop.
    on_dead : callable
        Gets the reason, once, when the pump has ended or hangs; on the node's loop, within 2 s.

    Examples
    --------
    ```python
    config = LiveFeedConfig(base_url_http="http://127.0.0.1:8080", base_url_ws="ws://127.0.0.1:8080")
    node = TradingNode(make_trading_node_config(data_clients={"BINANCE": config}))
    node.add_data_client_factory("BINANCE", data_client_factory(instrument, feed=feed, ...))
    node.add_exec_client_factory("BINANCE", SandboxLiveExecClientFactory)
    node.build()
    ```
    """

    class FeedDataClientFactory(LiveDataClientFactory):
        """Makes the one client."""

        @staticmethod
        def create(
            loop: asyncio.AbstractEventLoop,
            name: str,
            config: Any,
            msgbus: MessageBus,
            cache: Cache,
            clock: LiveClock,
        ) -> FeedDataClient:
            """Make it."""
            return FeedDataClient(
                loop,
                name,
                config,
                msgbus,
                cache,
                clock,
                instrument=instrument,
                feed=feed,
                store=store,
                on_health=on_health,
                on_dead=on_dead,
            )

    return FeedDataClientFactory


def bar_type_of(instrument: Instrument, interval: str) -> BarType:
    """The engine's type of bars of traded prices that come from outside, such as 1-MINUTE for "1m".

    Parameters
    ----------
    instrument : Instrument
    interval : str
        See `interval_ns`; "60s" is 1-MINUTE, since the engine wants the largest unit.

    Raises
    ------
    ValueError
        If no whole number of them makes the next larger unit: the engine has no bars of "7m".
    """
    n, unit = engine_step(interval)
    return BarType.from_str(f"{instrument.id}-{n}-{unit}-LAST-EXTERNAL")
