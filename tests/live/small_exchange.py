"""A small exchange on the loopback: it streams what a test says, and answers history as well or as badly as told."""

import asyncio
import json
import time
from collections.abc import Callable

import aiohttp
from aiohttp import web

from companion.live import Candle, interval_ns

MS = 1_000_000
WAIT_S = 30.0  # longest wait of a test for anything; it never decides what passes


def quote_message(update_id, bid=50_000.0, *, ask=None, size=1.5, time_ns=None, symbol="BTCUSDT"):
    """A bookTicker message as bytes; the bid has one decimal, the ask is .1 above."""
    ms = (time.time_ns() if time_ns is None else time_ns) // MS
    data = {"e": "bookTicker", "u": update_id, "s": symbol, "b": f"{bid:.2f}", "B": f"{size:.3f}"}
    data |= {"a": f"{bid + 0.1 if ask is None else ask:.2f}", "A": "2.000", "T": ms, "E": ms}
    return json.dumps({"stream": f"{symbol.lower()}@bookTicker", "data": data}).encode()


def candle_message(candle, interval, *, closed=True, symbol="BTCUSDT"):
    """A kline message as bytes."""
    first, last = candle.open_time_ns // MS, (candle.open_time_ns + interval_ns(interval)) // MS - 1
    bar = {"t": first, "T": last, "s": symbol, "i": interval, "n": 7, "x": closed, "q": "1", "V": "1", "Q": "1"}
    bar |= dict(zip("ohlcv", map(str, candle[1:]), strict=True))
    data = {"e": "kline", "E": time.time_ns() // MS, "s": symbol, "k": bar}
    return json.dumps({"stream": f"{symbol.lower()}@kline_{interval}", "data": data}).encode()


def kline_row(candle, interval):
    """A candle as REST has it: twelve columns."""
    first, last = candle.open_time_ns // MS, (candle.open_time_ns + interval_ns(interval)) // MS - 1
    return [first, *map(str, candle[1:]), last, "1", 7, "1", "1", "0"]


def past_candles(n, interval):
    """Candles that have just closed, and that go up and down by a few basis points."""
    step_ns = interval_ns(interval)
    end_ns = time.time_ns() // step_ns * step_ns
    prices = [50_000.0 + 5 * (7 * i % 11) for i in range(n)]
    return [Candle(end_ns + (i - n) * step_ns, p, p + 0.1, p - 0.1, p, 12.5) for i, p in enumerate(prices)]


class SmallExchange:
    """Streams and history of one symbol; ``async with SmallExchange(...) as exchange``.

    Parameters
    ----------
    interval : str
    history : sequence of Candle
    on_connection : callable, optional
        Coroutine function that gets each websocket, after it is noted; when it returns, the connection ends. By default
        it lasts until the client ends it.

    Attributes
    ----------
    answers : list of callable
        The next answers to questions for candles, each made from what would be right; then all are right.
    asked : list of dict
        Queries for candles.
    sockets : list
        Websockets, the newest last.
    time_ns : callable
        The exchange's clock.
    port : int
        0 for any that is free.
    """

    def __init__(self, interval="100ms", history=(), *, on_connection=None):
        self.interval, self.history, self.on_connection = interval, list(history), on_connection
        self.answers: list[Callable] = []
        self.asked, self.sockets, self.connected = [], [], asyncio.Event()
        self.time_ns, self.port = time.time_ns, 0

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/fapi/v1/time", self._time)
        app.router.add_get("/fapi/v1/klines", self._klines)
        app.router.add_get("/stream", self._stream)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error):
        for socket in self.sockets:
            await socket.close()
        await self._runner.cleanup()

    async def send(self, *messages):
        """Send text frames on the newest connection, as soon as there is one."""
        async with asyncio.timeout(WAIT_S):
            await self.connected.wait()
        for message in messages:
            await self.sockets[-1].send_frame(message, aiohttp.WSMsgType.TEXT)

    async def hang_up(self):
        """End the newest connection."""
        self.connected.clear()
        await self.sockets[-1].close()

    async def _time(self, request):
        return web.json_response({"serverTime": self.time_ns() // MS})

    async def _klines(self, request):
        self.asked.append(dict(request.query))
        first, last = int(request.query["startTime"]) * MS, int(request.query["endTime"]) * MS
        rows = [kline_row(c, self.interval) for c in self.history if first <= c.open_time_ns <= last]
        rows = rows[: int(request.query["limit"])]
        answer = (self.answers.pop(0) if self.answers else web.json_response)(rows)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def _stream(self, request):
        socket = web.WebSocketResponse(compress=False, timeout=0.1)
        await socket.prepare(request)
        self.sockets.append(socket)
        self.connected.set()
        if self.on_connection is not None:
            await self.on_connection(socket)
        else:
            async for _ in socket:
                pass
        return socket
