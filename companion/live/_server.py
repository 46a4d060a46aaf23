"""The simulated exchange's addresses on 127.0.0.1, and its tape played to every client in real time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from companion.errors import InputError
from companion.live._candles import Candle
from companion.live._faults import FaultKind
from companion.live._tape import candle_texts
from companion.live._tape_records import MS_NS, Connection, Message, Stall

if TYPE_CHECKING:
    from companion.live._exchange_simulator import ExchangeSimulator

HOST = "127.0.0.1"
MOST_CANDLES = 1500  # Binance's limit of one answer, and how many it sends unasked
USUAL_CANDLES = 500
MOST_WAITING_BYTES = 64 * 2**20  # a client that falls so far behind is cut off
SHORTEST_SLEEP_S, LONGEST_SLEEP_S = 0.001, 0.05
TEXT, CONTINUATION = 1, 0  # websocket frames, RFC 6455


@asynccontextmanager
async def serve(
    exchange: "ExchangeSimulator", *, port: int, now_ns: Callable[[], int] = time.time_ns
) -> AsyncIterator[str]:
    """Serve an exchange, as `ExchangeSimulator.serve` says; an error in the player comes out when the context ends."""
    runner = web.AppRunner(web.Application(), access_log=None, shutdown_timeout=1.0)
    server = _Server(exchange, now_ns)
    for path, handler in (
        ("/fapi/v1/klines", server.klines),
        ("/fapi/v1/time", server.clock),
        ("/stream", server.stream),
    ):
        runner.app.router.add_get(path, handler)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except (OSError, OverflowError) as error:
            raise InputError(f"port {port}: can not be had ({error}); give another, or 0 for a free one") from error
        if not exchange.started:
            exchange.start_at(now_ns())
        player = asyncio.create_task(server.play())
        try:
            yield f"http://{HOST}:{runner.addresses[0][1]}"
        finally:
            player.cancel()
            await asyncio.wait([player])
        if not player.cancelled():
            player.result()
    finally:
        await runner.cleanup()


class _Client:
    """One websocket: which streams it gets, and what is wrong with its line."""

    def __init__(self, transport: asyncio.Transport, streams: frozenset[str]) -> None:
        self.transport, self.streams = transport, streams
        self.dead = False  # half-open: never answers again
        self._n_dripped = 0  # bytes of the next message that have gone out

    def send(self, messages: Iterable[Message]) -> None:
        """Write each message in a frame of its own, or the end of the one that has been dripping."""
        frames = []
        for message in messages:
            if message.stream in self.streams:
                opcode = CONTINUATION if self._n_dripped else TEXT
                frames.append(_frame(message.raw[self._n_dripped :], opcode))
                self._n_dripped = 0
        self.write(b"".join(frames))

    def drip(self, message: Message, share: float) -> None:
        """Write so much of a message that a share of it is out, in a frame that says that more is to come."""
        end = int(share * len(message.raw))
        if message.stream in self.streams and end > self._n_dripped:
            opcode = CONTINUATION if self._n_dripped else TEXT
            self.write(_frame(message.raw[self._n_dripped : end], opcode, final=False))
            self._n_dripped = end

    def write(self, data: bytes) -> None:
        """Hand frames to the socket past the websocket's writer, which would take a task's turn for each."""
        if data and not self.dead and not self.transport.is_closing():
            self.transport.write(data)
            if self.transport.get_write_buffer_size() > MOST_WAITING_BYTES:
                self.transport.abort()


def _frame(payload: bytes, opcode: int, *, final: bool = True) -> bytes:
    """A websocket frame of a server, which masks nothing."""
    n, first = len(payload), bytes([final << 7 | opcode])
    if n < 126:
        return first + bytes([n]) + payload
    if n < 65536:
        return first + b"\x7e" + n.to_bytes(2, "big") + payload
    return first + b"\x7f" + n.to_bytes(8, "big") + payload


class _Server:
    """What the exchange does with requests, and with its tape."""

    def __init__(self, exchange: "ExchangeSimulator", now_ns: Callable[[], int]) -> None:
        self._exchange, self._now_ns = exchange, now_ns
        self._clients: set[_Client] = set()
        self._up = self._half_open = False
        self._drip_began_ns: int | None = None

    async def play(self) -> None:
        """Send each message when it is due; at the end, or on an error, cut every connection."""
        try:
            events = self._exchange.events(self._now_ns())
            event = next(events, None)
            while event is not None:
                now_ns, due = self._now_ns(), []
                while event is not None and event.time_ns <= now_ns:
                    if isinstance(event, Message):
                        due.append(event)
                    else:
                        self._send(due)
                        due = []
                        self._change(event)
                    event = next(events, None)
                self._send(due)
                if event is None:
                    break
                if isinstance(event, Message) and self._drip_began_ns is not None:
                    share = (now_ns - self._drip_began_ns) / (event.time_ns - self._drip_began_ns)
                    for client in self._clients:
                        client.drip(event, share)
                wait_s = (event.time_ns - self._now_ns()) / 1e9
                await asyncio.sleep(min(max(wait_s, SHORTEST_SLEEP_S), LONGEST_SLEEP_S))
        finally:
            self._change(Connection(self._now_ns(), False))

    def _send(self, messages: list[Message]) -> None:
        for client in self._clients:
            client.send(messages)

    def _change(self, event: Connection | Stall) -> None:
        if isinstance(event, Connection):
            self._up = event.up
            if not event.up:
                for client in self._clients:
                    client.transport.abort()
        elif event.kind is FaultKind.HALF_OPEN:
            self._half_open = event.begins
            for client in self._clients:
                client.dead = True  # also one that came in the meantime
        else:
            self._drip_began_ns = event.time_ns if event.begins else None

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Open a websocket, and answer its pings until one end closes it."""
        streams = frozenset(request.query.get("streams", "").split("/"))
        if not streams <= self._exchange.streams:
            return _refuse(f"streams must be of {'/'.join(sorted(self._exchange.streams))}")
        if not self._up or request.transport is None:
            return web.Response(status=503)
        socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False)
        try:
            await socket.prepare(request)
        except ConnectionResetError:  # it has gone again
            return socket
        client = _Client(request.transport, streams)
        self._clients.add(client)
        try:
            await self._answer(socket, client)
        finally:
            self._clients.discard(client)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, client: _Client) -> None:
        while True:
            message = await socket.receive()
            while (self._half_open or client.dead) and not client.transport.is_closing():
                client.dead = True
                await asyncio.sleep(LONGEST_SLEEP_S)
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PONG):
                await socket.close()
                return

    async def clock(self, request: web.Request) -> web.Response:
        """The exchange's clock, which is true."""
        return _json({"serverTime": self._now_ns() // MS_NS})

    async def klines(self, request: web.Request) -> web.Response:
        """Closed candles, as Binance answers: from `startTime` on, or else the last ones; both ends included."""
        query, exchange = request.query, self._exchange
        if query.get("symbol") != exchange.symbol or query.get("interval") != exchange.interval:
            return _refuse(f"symbol and interval must be {exchange.symbol} and {exchange.interval}")
        try:
            numbers = {name: int(query[name]) for name in ("startTime", "endTime", "limit") if name in query}
        except ValueError as error:
            return _refuse(f"startTime, endTime and limit must be integers: {error}")
        limit = numbers.get("limit", USUAL_CANDLES)
        if not 1 <= limit <= MOST_CANDLES:
            return _refuse(f"limit must be 1 to {MOST_CANDLES}, got {limit}")
        start_ns, now_ns = numbers.get("startTime", 0) * MS_NS, self._now_ns()
        end_ns = (numbers["endTime"] + 1) * MS_NS if "endTime" in numbers else now_ns
        candles = exchange.history(start_ns, end_ns, now_ns=now_ns)
        chosen = candles[:limit] if "startTime" in numbers else candles[-limit:]
        return _json([_kline_row(candle, exchange.bar_ns) for candle in chosen])


def _kline_row(candle: Candle, bar_ns: int) -> list[Any]:
    """The twelve columns; of trades the market knows no count and no buyers."""
    open_ms = candle.open_time_ns // MS_NS
    *prices, volume, quote_volume = candle_texts(candle)
    return [open_ms, *prices, volume, open_ms + bar_ns // MS_NS - 1, quote_volume, 0, "0", "0", "0"]


def _json(content: Any) -> web.Response:
    return web.Response(text=json.dumps(content, separators=(",", ":")), content_type="application/json")


def _refuse(complaint: str) -> web.Response:
    return web.Response(status=400, text=json.dumps({"code": -1100, "msg": complaint}), content_type="application/json")
