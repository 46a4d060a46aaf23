"""The pump: from the exchange's stream through the feed to whoever trades, with the store and history beside it."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from companion.errors import InputError
from companion.live._candles import Candle, interval_ns
from companion.live._feed import Feed
from companion.live._http import ExchangeAddress, Patience, fetch_klines
from companion.live._messages import StreamQuote
from companion.live._store import CandleStore

_CONNECT_S = 5.0
_FIRST_WAIT_S = 0.2
_CLOSE = aiohttp.ClientWSTimeout(ws_close=0.2)  # a connection that is half open never answers
_FRAMES = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


class FeedPump:
    """Keeps a connection, and hands on what the feed accepts; it knows no engine.

    Four tasks share the work. One reads the stream, and connects again for ever: after a random wait below a bound that
    doubles with each connection that brings nothing. One hands on quotes; when too many have gathered, only the newest,
    and counts the others. One hands on candles, each when it is in the store; a store that hangs keeps no quote from
    whoever needs a price to sell at. One fills gaps, from the store or the exchange's history; what neither has is
    given up and said. Where one fails, be it the store or whoever is handed on to, that is the pump's fault, and the
    others go on.

    Parameters
    ----------
    feed : Feed
    address : ExchangeAddress
    on_quote : callable
        Gets each `StreamQuote`.
    on_candle : callable
        Gets each `Candle`.
    now_ns : callable
        Our clock, nanoseconds since 1970.
    warn : callable
        Gets what a person should read, in one line.
    store : CandleStore, optional
    patience : Patience, optional
        With the exchange's history.
    conflate_after : int
        Quotes that may have gathered; a thousand are 50 ms of a market of 20,000 a second. A pump in time finds tens.
    longest_wait_s : float
        Longest wait before it connects again.

    Attributes
    ----------
    busy : bool
        Whether candles are being stored and handed on.
    n_moves : int
        Grows with each batch of them; a pump that is busy and does not move hangs.
    fault : Exception or None
        The first that ended one of its tasks.
    """

    def __init__(
        self,
        feed: Feed,
        address: ExchangeAddress,
        *,
        on_quote: Callable[[StreamQuote], None],
        on_candle: Callable[[Candle], None],
        now_ns: Callable[[], int],
        warn: Callable[[str], None],
        store: CandleStore | None = None,
        patience: Patience | None = None,
        conflate_after: int = 1000,
        longest_wait_s: float = 10.0,
    ) -> None:
        self._feed, self._address, self._store = feed, address, store
        self._on_quote, self._on_candle, self._now_ns, self._warn = on_quote, on_candle, now_ns, warn
        self._patience, self._conflate_after, self._longest_wait_s = patience, conflate_after, longest_wait_s
        self._quotes: list[StreamQuote] = []
        self._candles: list[Candle] = []
        self._some_quotes, self._some_candles, self._gap = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._limit: asyncio.Timeout | None = None
        self.busy, self.n_moves = False, 0
        self.fault: Exception | None = None

    async def run(self) -> None:
        """Run until canceled."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for work in (self._read(session), self._hand_on_quotes(), self._hand_on_candles(), self._fill(session)):
                tasks.create_task(self._noting_faults(work))

    async def _noting_faults(self, work: Coroutine[Any, Any, NoReturn]) -> None:
        try:
            await work
        except Exception as error:
            self.fault = self.fault or error

    def reconnect(self) -> None:
        """End the connection, if there is one; the next one follows by itself."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, session: aiohttp.ClientSession) -> NoReturn:
        again = AsyncRetrying(
            retry=retry_if_exception_type(_BroughtNothing),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT_S, max=self._longest_wait_s),
            before_sleep=self._say_what_failed,
        )
        while True:
            await again(self._connection, session)
            await asyncio.sleep(random.uniform(0, _FIRST_WAIT_S))  # not all clients at once

    async def _connection(self, session: aiohttp.ClientSession) -> None:
        """One connection from its beginning to its end."""
        feed, reason = self._feed, "the exchange closed it"
        n_before = feed.counts.messages
        url = self._address.stream(feed.config.symbol, feed.config.interval)
        try:
            async with (
                asyncio.timeout(_CONNECT_S) as limit,
                session.ws_connect(url, decode_text=False, timeout=_CLOSE) as socket,
            ):
                limit.reschedule(None)
                self._limit = limit
                feed.on_connect(self._now_ns())
                await self._listen(socket)
        except TimeoutError:
            reason = "silent" if self._limit else f"no answer within {_CONNECT_S:g} s"
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error) or repr(error)
        finally:
            if self._limit:
                self._limit = None
                feed.on_disconnect(self._now_ns())
        if feed.counts.messages == n_before:
            raise _BroughtNothing(reason)
        self._warn(f"connection to {self._address.websocket} ended: {reason}")

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        receive, take, now_ns, feed = socket.receive, self._feed.on_message, self._now_ns, self._feed
        while (message := await receive()).type in _FRAMES:
            for one in take(message.data, now_ns()):
                if isinstance(one, StreamQuote):
                    self._quotes.append(one)
                    self._some_quotes.set()
                else:
                    self._candles.append(one)
                    self._some_candles.set()
            if feed.n_held:
                self._gap.set()

    def _say_what_failed(self, state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        self._warn(f"no stream from {self._address.websocket}: {reason}; connects again in {wait_s:.1f} s")

    # --- handing on --------------------------------------------------------------------------------------------------

    async def _hand_on_quotes(self) -> NoReturn:
        while True:
            await self._some_quotes.wait()
            self._some_quotes.clear()
            quotes, self._quotes = self._quotes, []
            if len(quotes) > self._conflate_after:
                self._feed.counts.conflated += len(quotes) - 1
                del quotes[:-1]
            for quote in quotes:
                self._on_quote(quote)

    async def _hand_on_candles(self) -> NoReturn:
        config, store = self._feed.config, self._store
        while True:
            await self._some_candles.wait()
            self._some_candles.clear()
            self.busy = True
            candles, self._candles = self._candles, []
            if store is not None:
                await asyncio.to_thread(store.upsert, config.symbol, config.interval, candles)
            for candle in candles:
                self._on_candle(candle)
            self.n_moves += 1
            self.busy = False

    # --- filling -----------------------------------------------------------------------------------------------------

    async def _fill(self, session: aiohttp.ClientSession) -> NoReturn:
        feed = self._feed
        while True:
            await self._gap.wait()
            self._gap.clear()
            while (need := feed.need()) is not None:
                found = feed.on_history(await self._history(session, *need), self._now_ns())
                if feed.need() == need:
                    self._warn(f"candles from {need[0]} to before {need[1]} ns are nowhere: goes on without")
                    found = feed.give_up(self._now_ns())
                self._candles += found
                self._some_candles.set()

    async def _history(self, session: aiohttp.ClientSession, start_ns: int, end_ns: int) -> list[Candle]:
        """Candles from the store if it has all of them, or else from the exchange."""
        symbol, interval, known = self._feed.config.symbol, self._feed.config.interval, list[Candle]()
        if self._store is not None:
            known = await asyncio.to_thread(self._store.between, symbol, interval, start_ns, end_ns)
        if len(known) == (end_ns - start_ns) // interval_ns(interval):
            return known
        try:
            return await fetch_klines(
                self._address.http, symbol, interval, start_ns, end_ns, session=session, patience=self._patience
            )
        except InputError as error:
            self._warn(str(error))
            return known


class _BroughtNothing(Exception):  # noqa: N818 - the usual end of a connection, and why
    """A connection that failed, or ended before its first message."""
