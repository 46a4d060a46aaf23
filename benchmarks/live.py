"""Quotes from an exchange in another process to `RegimeStrategy.on_quote_tick`: how many a second, and how late.

`python benchmarks/live.py`. The sender writes its clock into each quote, as its update id; the same machine's clock is
read when the strategy gets it. Strategy, `RiskGate`, TWAP, `Supervisor` with its audit log and the node's paper venue
are all there and trade, with a warmed-up `minute_desk` on bars of a second. The other client reads the same stream with
aiohttp and `json`, and does nothing else. ``--memory`` runs a simulated month, 43,200 bars of 10 ms, and prints what
the node's memory grew by from its second minute on; a number after it is another number of bars, 12,000 at least.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from _timing import Row, main
from aiohttp import web
from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory
from nautilus_trader.live.node import TradingNode

from companion.desk import Desk, minute_desk, minute_sizing
from companion.desk._minute import minute_filter
from companion.execution import GateConfig, RiskLimits
from companion.execution.nautilus import (
    RegimeStrategyConfig,
    _node,
    attach,
    make_trading_node_config,
    perpetual_instrument,
)
from companion.live import (
    AuditLog,
    Candle,
    CandleStore,
    CircuitBreaker,
    ExchangeAddress,
    Feed,
    FeedConfig,
    Ledger,
    LiveFeedConfig,
    Supervisor,
    bar_type_of,
    data_client_factory,
    desk_bar,
    interval_ns,
)

INSTRUMENT = perpetual_instrument()
LIMITS = RiskLimits(
    max_order_quantity=Decimal(4),
    max_order_notional=Decimal(200_000),
    max_position=Decimal(4),
    max_open_orders=100,
    price_collar=Decimal("0.01"),
    period_collar=Decimal("0.1"),
    period_s=300.0,
    max_messages=1_000_000,
    message_window_s=60.0,
    max_repeats=1_000_000,
    repeat_window_s=60.0,
    max_daily_loss=Decimal("0.5"),
    max_quote_age_s=30.0,
)
QUOTE = (
    b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":%d,"s":"BTCUSDT",'
    b'"b":"%d.%d0","B":"%d.500","a":"%d.%d0","A":"2.000","T":%d,"E":%d}}'
)
KLINE = (
    '{{"stream":"btcusdt@kline_{i}","data":{{"e":"kline","E":{E},"s":"BTCUSDT","k":{{"t":{t},"T":{T},"s":"BTCUSDT",'
    '"i":"{i}","o":"{o:.1f}","h":"{h:.1f}","l":"{l:.1f}","c":"{c:.1f}","v":"12.000","n":7,"x":true,"q":"1","V":"1",'
    '"Q":"1"}}}}}}'
)
TICK_S = 0.0005
PERIOD = 100_000
MS = 1_000_000
DAY = 1440
SIGMA_BAR = 3e-4


@dataclass(frozen=True)
class Load:
    """What the sender sends."""

    rate: int
    seconds: float
    interval: str = "1s"
    month: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one run: quotes sent and counted, each one's latency in milliseconds, CPU time, and fills."""

    n_sent: int
    latency_ms: Any
    cpu_s: float
    n_conflated: int = 0
    n_fills: int = 0
    memory_mb: tuple[float, ...] = ()


# --- the exchange ----------------------------------------------------------------------------------------------------


def send_all(load: Load, line: Any) -> None:
    """Process of the sender: says its port, serves one client, and says how many quotes it sent."""
    asyncio.run(_serve(load, line))


async def _serve(load: Load, line: Any) -> None:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def stream(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        n_sent = await _play(load, request.transport)
        await socket.close()
        done.set_result(n_sent)
        return socket

    async def clock(request: web.Request) -> web.Response:
        return web.json_response({"serverTime": time.time_ns() // MS})

    async def klines(request: web.Request) -> web.Response:
        """What there was before the stream: closes around the first quote."""
        step_ms = interval_ns(load.interval) // MS
        opens = np.arange(int(request.query["startTime"]), int(request.query["endTime"]) + 1, step_ms)
        closes = 50_000 * (1 + 0.7 * SIGMA_BAR * np.random.default_rng(opens.size).standard_normal(opens.size))
        rows = [
            [t, f"{p:.1f}", f"{p + 1:.1f}", f"{p - 1:.1f}", f"{p:.1f}", "12", t + step_ms - 1, "1", 7, "1", "1", "0"]
            for t, p in zip(opens.tolist(), closes.tolist(), strict=True)
        ]
        return web.json_response(rows)

    app = web.Application()
    for path, handler in {"/stream": stream, "/fapi/v1/time": clock, "/fapi/v1/klines": klines}.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    line.send(runner.addresses[0][1])
    line.send(await done)
    await runner.cleanup()


def make_bids(load: Load) -> list[int]:
    """Bids in ticks of .1 that end where they begin, with the volatility that the desk knows."""
    per_quote = 500_000 * SIGMA_BAR / (load.rate * interval_ns(load.interval) / 1e9) ** 0.5
    walk = np.cumsum(per_quote * np.random.default_rng(0).standard_normal(PERIOD))
    bridge = walk - np.linspace(0.0, walk[-1], PERIOD)
    return [500_000 + step for step in np.rint(bridge).astype(int).tolist()]


async def _play(load: Load, transport: Any) -> int:
    """Quotes as they are due, each half millisecond, and a candle at the end of each interval."""
    n, step_ns, bids = round(load.rate * load.seconds), interval_ns(load.interval), make_bids(load)
    start, i, opened, update_id = time.perf_counter(), 0, 0, 0
    close_ns = (time.time_ns() // step_ns + 1) * step_ns
    while i < n:
        due = min(n, int((time.perf_counter() - start) * load.rate) + 1)
        now_ns, frames = time.time_ns(), []
        ms = now_ns // MS
        for k in range(i, due):
            update_id = max(update_id + 1, now_ns)
            bid = bids[k % PERIOD]
            ask = bid + 1 + k % 3
            frames.append(_frame(QUOTE % (update_id, bid // 10, bid % 10, 1 + k % 7, ask // 10, ask % 10, ms, ms)))
        i = due
        while close_ns <= now_ns:
            seen = [bids[k % PERIOD] / 10 for k in range(opened, i)]
            times = {"E": ms, "t": (close_ns - step_ns) // MS, "T": close_ns // MS - 1}
            prices = {"o": seen[0], "h": max(seen), "l": min(seen), "c": seen[-1]}
            frames.append(_frame(KLINE.format(i=load.interval, **times, **prices).encode()))
            opened, close_ns = i - 1, close_ns + step_ns
        transport.write(b"".join(frames))
        await asyncio.sleep(TICK_S)
    return n


def _frame(payload: bytes) -> bytes:
    """A websocket's text frame of a server; RFC 6455."""
    n = len(payload)
    return (b"\x81" + bytes([n]) if n < 126 else b"\x81\x7e" + n.to_bytes(2, "big")) + payload


# --- the clients -----------------------------------------------------------------------------------------------------


def bare(load: Load, port: int, line: Any) -> Outcome:
    """A client of a few lines that only reads the clock in each quote."""
    latency_ms: list[float] = []

    async def read() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{port}/stream") as socket,
        ):
            async for message in socket:
                data = json.loads(message.data)["data"]
                if data["e"] == "bookTicker":
                    latency_ms.append((time.time_ns() - data["u"]) / MS)

    start = time.process_time()
    asyncio.run(read())
    return Outcome(line.recv(), latency_ms, time.process_time() - start)


def node(load: Load, port: int, line: Any) -> Outcome:
    """The whole: feed, store, node, gate, strategy, algorithm and paper venue, until the sender is done."""
    if load.month:  # the engine counts in minutes, and an hour of the month is less than one
        _node.PURGE_INTERVAL_MINS, _node.PURGE_BUFFER_MINS = 1, 0
    desk, last = warmed_up(load)
    feed = Feed(FeedConfig(interval=load.interval, stale_after_s=10.0), last=last)
    address = ExchangeAddress.of(f"http://127.0.0.1:{port}")
    config = LiveFeedConfig(base_url_http=address.http, base_url_ws=address.websocket)
    loop = asyncio.new_event_loop()
    host = TradingNode(make_trading_node_config(data_clients={"BINANCE": config}, log_level="OFF"), loop=loop)
    sent: list[int] = []
    seen: list[int] = []
    memory_mb: list[float] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        store = stack.enter_context(CandleStore(f"sqlite:///{folder}/candles.db"))
        supervisors: list[Supervisor] = []
        factory = data_client_factory(
            INSTRUMENT,
            feed=feed,
            store=store,
            on_health=lambda health: supervisors[0].feed_changed(health),
            on_dead=lambda reason: supervisors[0].feed_died(reason),
        )
        host.add_data_client_factory("BINANCE", factory)
        host.add_exec_client_factory("BINANCE", SandboxLiveExecClientFactory)
        host.build()
        strategy = RegimeStrategyConfig(
            instrument_id=INSTRUMENT.id,
            bar_type=bar_type_of(INSTRUMENT, load.interval),
            gate=GateConfig(window=120, sample_s=0.5, warm_up=5, k_enter=20.0, k_leave=10.0, calm_s=1.0),
            dead_band=Decimal("0.002"),
            twap_horizon_s=5.0,
            twap_interval_s=1.0,
            keep_records=1000,
        )
        parts = attach(host, instrument=INSTRUMENT, strategy=strategy, desk=desk, limits=LIMITS)
        audit = stack.enter_context(closing(AuditLog(f"{folder}/audit.jsonl")))
        breaker, ledger = CircuitBreaker(f"{folder}/breaker.json"), Ledger(Decimal(100_000))
        supervisors.append(Supervisor(host, parts, instrument=INSTRUMENT, breaker=breaker, audit=audit, ledger=ledger))
        if not load.month:
            _note(host, parts.strategy, sent, seen)

        async def script() -> tuple[int, float]:
            running = asyncio.create_task(host.run_async())
            while not feed.counts.quotes:
                await asyncio.sleep(0.01)
            start = time.process_time()
            while not line.poll():
                memory_mb.append(_resident_mb())
                await asyncio.sleep(0.5)
            cpu_s = time.process_time() - start
            await asyncio.sleep(0.5)  # for what is still under way
            await host.stop_async()
            await running
            return line.recv(), cpu_s

        gc.collect()
        gc.freeze()  # what lives as long as the process is looked at no more
        try:
            n_sent, cpu_s = loop.run_until_complete(script())
            n_fills, trip = ledger.n_fills, breaker.tripped
        finally:
            for task in (tasks := asyncio.all_tasks(loop)):
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            host.dispose()
    if trip is not None:
        raise RuntimeError(f"the breaker was tripped: {trip}")
    latency_ms = [(after - before) / MS for before, after in zip(sent, seen, strict=True)]
    return Outcome(n_sent, latency_ms, cpu_s, feed.counts.conflated, n_fills, tuple(memory_mb))


def _note(host: TradingNode, strategy: Any, sent: list[int], seen: list[int]) -> None:
    """Note the sender's clock of each quote that is handed on, and ours when the strategy gets it; order is kept."""
    (client,) = host.kernel.data_engine._clients.values()
    hand_on, on_quote_tick = client._pump._on_quote, strategy.on_quote_tick

    def noted(quote: Any) -> None:
        sent.append(quote.update_id)
        hand_on(quote)

    def timed(tick: Any) -> None:
        seen.append(time.time_ns())
        on_quote_tick(tick)

    client._pump._on_quote, strategy.on_quote_tick = noted, timed


def warmed_up(load: Load) -> tuple[Desk, Candle]:
    """A desk that always wants to hold something, and its last bar, which has just closed where the quotes begin.

    That of a month has no monitor, which would stop it one day in thirty.
    """
    step_ns = interval_ns(load.interval)
    settings: dict[str, Any] = {"instrument": INSTRUMENT, "bar": f"{step_ns}ns", "leverage": lambda p_stable: 1.0}
    if load.month:
        desk = Desk(minute_filter(), sizing=minute_sizing(), window=60, longest_gap=15, **settings)
    else:
        desk = minute_desk(**settings)
    walk = np.cumsum(SIGMA_BAR * np.random.default_rng(0).standard_normal(800))
    closes = (50_000 * np.exp(walk - walk[-1])).tolist()
    first_ns = (time.time_ns() // step_ns - len(closes)) * step_ns
    for k, (before, after) in enumerate(pairwise([closes[0], *closes])):
        candle = Candle(first_ns + k * step_ns, before, max(before, after) + 1, min(before, after) - 1, after, 12.0)
        desk.on_bar(desk_bar(candle, load.interval), equity=Decimal(100_000))
    return desk, candle


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


# --- both together ---------------------------------------------------------------------------------------------------


def run(client: Callable[[Load, int, Any], Outcome], load: Load) -> Outcome:
    """Sender and client, each in a new process."""
    processes = multiprocessing.get_context("spawn")
    sender, line = processes.Pipe()
    answer, ours = processes.Pipe()
    first = processes.Process(target=send_all, args=(load, sender))
    second = processes.Process(target=_client, args=(client, load, line, answer))
    for process, end in ((first, sender), (second, answer)):
        process.start()
        end.close()
    try:
        return ours.recv()
    finally:
        for process in (second, first):
            process.join(10.0)
            process.kill()


def _client(client: Callable[[Load, int, Any], Outcome], load: Load, line: Any, answer: Any) -> None:
    answer.send(client(load, line.recv(), line))


def rows_of(case: str, outcomes: dict[str, Outcome]) -> list[Row]:
    """Latencies, quotes and CPU time of contenders on one load."""
    rows, own = [], outcomes["companion"]
    for share, name in ((0.5, "median"), (0.99, "99 %")):
        own_ms = float(np.quantile(own.latency_ms, share))
        for contender, outcome in outcomes.items():
            value = float(np.quantile(outcome.latency_ms, share))
            rows.append(Row(f"{case}: latency, {name}", contender, value, "ms", value / own_ms))
    for contender, outcome in outcomes.items():
        n = len(outcome.latency_ms)
        unit = f"of {outcome.n_sent:,} quotes; {outcome.n_conflated:,} conflated"
        rows.append(Row(f"{case}: arrived", contender, n, unit))
        rows.append(Row(f"{case}: CPU time", contender, outcome.cpu_s / n * 1e6, "µs a quote"))
    return rows


def measure(tiny: bool) -> list[Row]:
    """20,000 quotes a second for a minute, and for a few seconds what is beyond."""
    rate, seconds = (200, 1.0) if tiny else (20_000, 60.0)
    rows = []
    for load in (Load(rate, seconds), *(Load(k * rate, seconds / 6) for k in (2, 4))):
        outcomes = {"companion": run(node, load), "aiohttp and json alone": run(bare, load)}
        rows += rows_of(f"{load.rate:,} quotes/s for {load.seconds:g} s", outcomes)
        print(f"{load}: {outcomes['companion'].n_fills} fills")
        if tiny:
            break
    return rows


def memory(n_bars: int = 30 * DAY) -> None:
    """A simulated month in bars of 10 ms, with ten quotes each.

    Each minute the node forgets the orders that are closed, so that the second minute is compared with the last.
    """
    outcome = run(node, Load(1000, n_bars / 100, "10ms", month=True))
    minute = outcome.memory_mb[120:240], outcome.memory_mb[-120:]  # two samples a second
    first, last = (statistics.median(samples) for samples in minute)
    print(f"{n_bars:,} bars, {outcome.n_sent:,} quotes, {outcome.n_fills:,} fills")
    print(f"{first:.1f} MB in the second minute, {last:.1f} MB in the last: {last - first:+.1f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        memory(*(int(bars) for bars in sys.argv[2:]))
    else:
        main("live", measure, "Quotes from an exchange in another process to the strategy of a trading node")
