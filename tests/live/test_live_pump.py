"""The pump and its watchdog, on real sockets: nothing lost, nothing twice, and no silence that nobody notices."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from companion.live import (
    CandleStore,
    ExchangeAddress,
    Feed,
    FeedConfig,
    FeedPump,
    FeedWatchdog,
    Patience,
    interval_ns,
)
from companion.live._data_watchdog import POLL_S
from tests.live.small_exchange import WAIT_S, SmallExchange, candle_message, past_candles, quote_message

STEP_NS = interval_ns("100ms")
QUICK = Patience(n_attempts=2, timeout_s=WAIT_S, first_wait_s=0.001, longest_wait_s=0.002)
SLOW = {"stale_after_s": WAIT_S, "dead_after_s": 2 * WAIT_S}


@pytest.fixture
def store(tmp_path):
    with CandleStore(f"sqlite:///{tmp_path}/candles.db") as opened:
        yield opened


class Desk:
    """Notes what it gets, and when the watchdog says something."""

    def __init__(self, exchange, *, store=None, last=None, url=None, config=None, **settings):
        self.quotes, self.candles, self.all, self.stored = [], [], [], []
        self.health, self.dead, self.warnings, self.store = [], [], [], store
        self.feed = Feed(FeedConfig(**{"interval": "100ms"} | (config or SLOW)), last=last)
        address = ExchangeAddress.of(url or exchange.url)
        callbacks = {"on_quote": self.on_quote, "on_candle": self.on_candle, "now_ns": time.time_ns}
        self.pump = FeedPump(
            self.feed, address, store=store, warn=self.warnings.append, patience=QUICK, **callbacks | settings
        )
        self.changed = asyncio.Event()

    def on_quote(self, quote):
        self.quotes.append(quote.update_id)
        self.note(quote)

    def on_candle(self, candle):
        if self.store is not None:
            newest = self.store.last("BTCUSDT", self.feed.config.interval, 1)
            self.stored.append(newest[0].open_time_ns >= candle.open_time_ns)
        self.candles.append(candle)
        self.note(candle)

    def on_health(self, health):
        self.health.append(health)
        self.changed.set()

    def on_dead(self, reason):
        self.dead.append(reason)
        self.changed.set()

    def note(self, what):
        self.all.append(what)
        self.changed.set()

    @asynccontextmanager
    async def running(self, **watchdog):
        """Pump and watchdog run; after that, no task is left."""
        pumping = asyncio.create_task(self.pump.run())
        callbacks = {"on_health": self.on_health, "on_dead": self.on_dead, "warn": self.warnings.append}
        watching = asyncio.create_task(
            FeedWatchdog(self.feed, self.pump, pumping, now_ns=time.time_ns, **callbacks | watchdog).run()
        )
        await asyncio.sleep(0.01)
        assert sum(map(self.of_pump, asyncio.all_tasks())) == 5
        try:
            yield pumping
        finally:
            for task in (watching, pumping):
                task.cancel()
            await asyncio.wait([watching, pumping])
            assert not watching.done() or watching.cancelled() or watching.exception() is None
        assert not [task for task in asyncio.all_tasks() if self.of_pump(task)]

    async def until(self, condition):
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await self.changed.wait()
                self.changed.clear()

    def of_pump(self, task):
        frame = task.get_coro().cr_frame
        return frame is not None and frame.f_locals.get("self") is self.pump


def messages(candles):
    return [candle_message(candle, "100ms") for candle in candles]


def run(script):
    asyncio.run(script())


def test_after_a_disconnection_the_gap_comes_from_history_and_nothing_is_lost_or_twice(store):
    async def script():
        candles = past_candles(60, "100ms")
        async with SmallExchange(history=candles) as exchange:
            desk = Desk(exchange, store=store, last=candles[9])
            async with desk.running():
                await exchange.send(*messages(candles[10:20]))
                await desk.until(lambda: len(desk.candles) == 10)
                await exchange.hang_up()
                await exchange.send(quote_message(1), *messages(candles[18:20] + candles[40:50]))
                await desk.until(lambda: len(desk.candles) == 40)
                assert desk.quotes == [1]
                assert len(exchange.asked) == 1
            assert desk.candles == candles[10:50]
            assert desk.stored == [True] * 40
            assert store.last("BTCUSDT", "100ms", 100) == candles[10:50]
            counts = desk.feed.counts
            assert (counts.filled, counts.reconnects, counts.gaps) == (20, 1, 0)
            assert counts.duplicates + counts.late == 2
            assert not desk.dead
            assert any("ended: the exchange closed it" in line for line in desk.warnings)

    run(script)


def test_what_the_store_has_is_not_asked_for(store):
    async def script():
        candles = past_candles(30, "100ms")
        store.upsert("BTCUSDT", "100ms", candles[10:20])
        async with SmallExchange(history=candles) as exchange:
            desk = Desk(exchange, store=store, last=candles[9])
            async with desk.running():
                await exchange.send(*messages(candles[20:]))
                await desk.until(lambda: len(desk.candles) == 20)
            assert desk.candles == candles[10:]
            assert not exchange.asked

    run(script)


def test_what_nobody_has_is_given_up_and_said():
    async def script():
        candles = past_candles(30, "100ms")
        async with SmallExchange(history=candles[:12] + candles[15:]) as exchange:
            desk = Desk(exchange, last=candles[9])
            async with desk.running():
                await exchange.send(*messages(candles[20:]))
                await desk.until(lambda: len(desk.candles) == 17)
            assert desk.candles == candles[10:12] + candles[15:]
            assert desk.feed.counts.gaps == 1
            (line,) = [line for line in desk.warnings if "nowhere" in line]
            assert str(candles[12].open_time_ns) in line
            assert str(candles[15].open_time_ns) in line

    run(script)


def test_history_that_fails_is_named_and_the_quotes_go_on():
    async def script():
        candles, asked = past_candles(30, "100ms"), asyncio.Event()
        release = asyncio.Event()

        async def fails_later(rows):
            asked.set()
            await release.wait()
            return web.Response(status=500)

        async with SmallExchange(history=candles) as exchange:
            exchange.answers = [fails_later] + [lambda rows: web.Response(status=500)] * 20
            desk = Desk(exchange, last=candles[9])
            async with desk.running():
                await exchange.send(*messages(candles[20:]))
                await asked.wait()
                await exchange.send(*(quote_message(i) for i in range(50)))
                await desk.until(lambda: len(desk.quotes) == 50)
                assert not desk.candles
                release.set()
                await desk.until(lambda: len(desk.candles) == 10)
            assert desk.candles == candles[20:]
            assert any("HTTP 500" in line and "asked 2 times" in line for line in desk.warnings)

    run(script)


def test_malformed_messages_are_counted_and_never_end_the_pump():
    async def script():
        good = quote_message(1)
        bad = [b"", b"{", b"\xff\xfe", b"[]", b"null", good[:-2], good.replace(b"50000.00", b"NaN"), b"9" * 5000,
               good.replace(b"50000.00", b"-1"), good.replace(b"BTCUSDT", b"ETHUSDT"), b"[" * 4000]  # fmt: skip
        async with SmallExchange() as exchange:
            desk = Desk(exchange)
            async with desk.running():
                for i, raw in enumerate(bad, start=2):
                    await exchange.send(raw, quote_message(i))
                await exchange.sockets[-1].send_bytes(b"\x00")
                await exchange.send(quote_message(100))
                await desk.until(lambda: 100 in desk.quotes)
            assert desk.quotes == [*range(2, 2 + len(bad)), 100]
            assert desk.feed.counts.malformed == len(bad) + 1
            assert len(exchange.sockets) == 1
            assert not desk.dead

    run(script)


def test_a_message_beyond_all_bounds_ends_the_connection_but_not_the_pump():
    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange)
            async with desk.running():
                await exchange.send(quote_message(1))
                await desk.until(lambda: desk.quotes)
                exchange.connected.clear()
                with suppress(ConnectionError):
                    await exchange.sockets[-1].send_frame(b"9" * 5_000_000, aiohttp.WSMsgType.TEXT)
                await exchange.send(quote_message(2))
                await desk.until(lambda: len(desk.quotes) == 2)
            assert len(exchange.sockets) == 2

    run(script)


@pytest.mark.parametrize("half_open", [True, False])
def test_a_silent_connection_is_ended_and_another_one_opened(half_open):
    """Half open, the exchange neither reads nor answers: not even the end of the connection."""

    async def script():
        freed = asyncio.Event()

        async def silent(socket):
            if len(exchange.sockets) > 1:
                await exchange.send(quote_message(1))
            if half_open and len(exchange.sockets) == 1:
                socket._req.transport.pause_reading()
                await freed.wait()
                return
            async for _ in socket:
                pass

        async with SmallExchange(on_connection=silent) as exchange:
            desk = Desk(exchange, config={"stale_after_s": 0.4, "dead_after_s": WAIT_S})
            async with desk.running():
                await desk.until(lambda: desk.quotes)
                await desk.until(lambda: desk.health[-1].state == "live")
            states = [health.state for health in desk.health]
            assert states[0] == "stale"
            assert len(exchange.sockets) == 2
            assert any("silent" in line for line in desk.warnings)
            assert not desk.dead
            freed.set()

    run(script)


def test_a_connection_that_lives_is_not_ended():
    """There is a quote at each second look, and five without one would be a silence."""

    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange, config={"stale_after_s": 5 * POLL_S, "dead_after_s": WAIT_S})
            async with desk.running():
                for i in range(7):
                    await exchange.send(quote_message(i))
                    await asyncio.sleep(2 * POLL_S)
            assert len(exchange.sockets) == 1

    run(script)


def test_an_exchange_that_comes_late_is_found():
    async def script():
        async with SmallExchange() as gone:
            url = gone.url
        desk = Desk(None, url=url, longest_wait_s=0.05)
        async with desk.running():
            async with asyncio.timeout(WAIT_S):
                while len(desk.warnings) < 5:
                    await asyncio.sleep(0.01)
            assert desk.feed.counts.messages == 0
            exchange = SmallExchange()
            exchange.port = int(url.rpartition(":")[2])
            async with exchange:
                await exchange.send(quote_message(1))
                await desk.until(lambda: desk.quotes)
        assert all("Cannot connect" in line for line in desk.warnings[:5])

    run(script)


def test_an_exchange_that_is_gone_is_reported_at_once():
    """Long before the quotes would be missed."""

    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange)
            async with desk.running():
                await exchange.send(quote_message(1))
                await desk.until(lambda: desk.health and desk.health[-1].state == "live")
                await exchange.__aexit__()
                await desk.until(lambda: desk.health[-1] == ("stale", "disconnected"))
            assert not desk.dead

    run(script)


def test_an_exchange_that_hangs_up_at_once_is_not_stormed():
    """The bound of the wait doubles: .2, .4, .8, … s, so that n connections need a time that grows with 2**n."""

    async def script():
        times = []

        async def refuse(socket):
            times.append(time.monotonic())

        async with SmallExchange(on_connection=refuse) as exchange:
            desk = Desk(exchange)
            async with desk.running():
                await asyncio.sleep(2.0)
        assert 2 <= len(times) < 40

    run(script)


# --- the watchdog ----------------------------------------------------------------------------------------------------


def raises(what):
    raise ArithmeticError("a defect")


async def noticed(desk):
    """Seconds until it is told, in the watchdog's looks from now on: they pass as slowly as the machine is slow."""

    async def look():
        nonlocal n
        while True:
            await asyncio.sleep(POLL_S)
            n += 1

    n, looking = 0, asyncio.create_task(look())
    await desk.until(lambda: desk.dead)
    looking.cancel()
    return n * POLL_S


@pytest.mark.parametrize("where", ["on_quote", "on_candle"])
def test_a_pump_that_raises_is_reported(where):
    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange, **{where: raises})
            async with desk.running() as pumping:
                await exchange.send(quote_message(1), *messages(past_candles(1, "100ms")))
                async with asyncio.timeout(WAIT_S):
                    while desk.pump.fault is None:
                        await asyncio.sleep(0)
                assert await noticed(desk) < 2.0
                assert not pumping.done()
            assert desk.dead == ["its pump failed: ArithmeticError('a defect')"]
            assert desk.health[-1] == ("dead", desk.dead[0])

    run(script)


def test_a_pump_that_was_canceled_is_reported():
    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange)
            async with desk.running() as pumping:
                pumping.cancel()
                await noticed(desk)
            assert desk.dead == ["its pump ended: it was canceled"]

    run(script)


def test_a_pump_that_hangs_is_reported_and_one_that_is_slow_is_not():
    """The store does not return, and no candle may be seen before it is stored; quotes go on, to sell at."""

    class Hanging:
        def __init__(self):
            self.free, self.entered = threading.Event(), threading.Event()

        def upsert(self, symbol, interval, candles):
            self.entered.set()
            self.free.wait(WAIT_S)

        def between(self, *span):
            return []

    async def script():
        hanging, candles = Hanging(), past_candles(2, "100ms")
        async with SmallExchange() as exchange:
            desk = Desk(exchange)
            desk.pump._store = hanging
            async with desk.running():
                await exchange.send(*messages(candles[:1]))
                await asyncio.to_thread(hanging.entered.wait, WAIT_S)
                await asyncio.sleep(2 * POLL_S)
                assert not desk.dead
                assert await noticed(desk) < 2.0 - 2 * POLL_S
                await exchange.send(quote_message(1))
                await desk.until(lambda: desk.quotes)
                assert not desk.candles
                hanging.free.set()
            assert desk.dead == ["its pump hangs for 1.4 s"]
            assert desk.health[-1] == ("dead", desk.dead[0])

    run(script)


def test_a_watchdog_that_fails_says_so():
    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange)
            desk.feed.health = raises
            async with desk.running():
                await noticed(desk)
            assert desk.dead == ["its watchdog failed: ArithmeticError('a defect')"]

    run(script)


def test_whoever_is_told_may_fail():
    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange, on_quote=raises)
            async with desk.running(on_health=raises):
                await exchange.send(quote_message(1))
                await noticed(desk)
            assert sum("could not be told: ArithmeticError" in line for line in desk.warnings) >= 1
            assert len(desk.dead) == 1

    run(script)


def test_what_can_not_be_stored_is_seen_by_nobody_and_the_quotes_go_on(store):
    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange, store=store)
            store.upsert = raises_always
            async with desk.running():
                await exchange.send(*messages(past_candles(1, "100ms")))
                await noticed(desk)
                await exchange.send(quote_message(1))
                await desk.until(lambda: desk.quotes)
            assert not desk.candles
            assert "disk is full" in desk.dead[0]

    def raises_always(*arguments):
        raise OSError("the disk is full")

    run(script)


# --- conflation ------------------------------------------------------------------------------------------------------


def test_when_it_falls_behind_only_the_newest_quote_is_handed_on_and_every_candle(store):
    """Bursts that come before anybody can read: each is a batch, or two."""

    async def script():
        candles = past_candles(12, "100ms")
        async with SmallExchange() as exchange:
            desk = Desk(exchange, store=store, conflate_after=100, last=candles[0])
            async with desk.running():
                for k in range(4):
                    ids = range(300 * k, 300 * (k + 1))
                    await exchange.send(*(quote_message(i) for i in ids), candle_message(candles[2 * k + 1], "100ms"))
                    await exchange.send(candle_message(candles[2 * k + 2], "100ms"))
                    await desk.until(lambda last=ids[-1]: last in desk.quotes)
                await desk.until(lambda: len(desk.candles) == 8)
            counts = desk.feed.counts
            assert counts.conflated > 0
            assert counts.quotes == 1200 == len(desk.quotes) + counts.conflated
            assert desk.quotes == sorted(desk.quotes)
            assert {299, 599, 899, 1199} <= set(desk.quotes)
            assert desk.candles == candles[1:9]

    run(script)


def test_nothing_is_conflated_that_waits_no_longer_than_allowed():
    async def script():
        async with SmallExchange() as exchange:
            desk = Desk(exchange, conflate_after=300)
            async with desk.running():
                await exchange.send(*(quote_message(i) for i in range(300)))
                await desk.until(lambda: 299 in desk.quotes)
            assert desk.quotes == [*range(300)]
            assert desk.feed.counts.conflated == 0

    run(script)
