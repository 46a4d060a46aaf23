"""The data client in a real trading node: true stamps, stored candles, a halt, nothing left behind."""

import asyncio
import gc
import time

import pytest
from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType

from companion.errors import InputError
from companion.execution import GateConfig, TradingMode
from companion.execution.nautilus import ModeChange, attach, make_trading_node_config
from companion.live import (
    CandleStore,
    ExchangeAddress,
    Feed,
    FeedConfig,
    LiveFeedConfig,
    bar_type_of,
    data_client_factory,
)
from tests.execution.engine import INSTRUMENT, MINUTE_NS, SECOND_NS
from tests.execution.test_execution_node import end_all_tasks, run_node
from tests.execution.test_execution_strategy import LIMITS, WARM_UP, make_config, make_desk
from tests.live.small_exchange import WAIT_S, SmallExchange, candle_message, past_candles, quote_message

N_BARS = WARM_UP + 2
N_QUOTES = 12 * N_BARS + 1


async def until(condition):
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


class Node:
    """A node on paper, with gate and strategy, that listens to a small exchange; and what went over its bus."""

    def __init__(self, tmp_path):
        self.candles = past_candles(N_BARS, "1m")
        self.exchange = SmallExchange("1m", self.candles)
        self.feed = Feed(FeedConfig(interval="1m", stale_after_s=WAIT_S, dead_after_s=2 * WAIT_S))
        self.store = CandleStore(f"sqlite:///{tmp_path}/candles.db")
        self.ticks, self.bars, self.stored, self.health, self.dead = [], [], [], [], []
        self.loop = asyncio.new_event_loop()

    def run(self, script):
        self.loop.run_until_complete(self.exchange.__aenter__())
        address = ExchangeAddress.of(self.exchange.url)
        config = LiveFeedConfig(base_url_http=address.http, base_url_ws=address.websocket)
        node = TradingNode(
            make_trading_node_config(data_clients={"BINANCE": config}, log_level="OFF", timeout_s=WAIT_S),
            loop=self.loop,
        )
        try:
            node.add_data_client_factory(
                "BINANCE",
                data_client_factory(
                    INSTRUMENT, feed=self.feed, store=self.store, on_health=self.health.append, on_dead=self.on_dead
                ),
            )
            node.add_exec_client_factory("BINANCE", SandboxLiveExecClientFactory)
            node.build()
            (self.client,) = node.kernel.data_engine._clients.values()
            strategy = make_config(
                gate=GateConfig(window=120, sample_s=5.0, warm_up=5, k_enter=20.0, k_leave=10.0, calm_s=0.05),
                twap_horizon_s=0.2,
                twap_interval_s=0.05,
                loop_interval_s=0.1,
                flatten_on_stop=True,
            )
            self.parts = attach(node, instrument=INSTRUMENT, strategy=strategy, desk=make_desk(1.0), limits=LIMITS)
            node.kernel.msgbus.subscribe("data.quotes.*", self.ticks.append)
            node.kernel.msgbus.subscribe("data.bars.*", self.on_bar)
            self.node = node
            run_node(node, script)
            self.loop.run_until_complete(until(lambda: all(socket.closed for socket in self.exchange.sockets)))
            left = {task.get_name() for task in asyncio.all_tasks(self.loop)}
            assert not {name for name in left if name.startswith("feed ")}
        finally:
            self.loop.run_until_complete(self.exchange.__aexit__())
            end_all_tasks(self.loop)
            node.dispose()
            self.store.close()
            self.loop.close()
            gc.collect()

    def on_bar(self, bar):
        self.stored.append(self.store.last("BTCUSDT", "1m", 1)[0].open_time_ns + MINUTE_NS >= bar.ts_event)
        self.bars.append(bar)

    def wanted(self):
        """What the desk said at the last bar."""
        return self.parts.strategy.records[-1].decision.quantity

    def on_dead(self, reason):
        self.dead.append(reason)
        self.parts.gate.change_mode(ModeChange(source="feed", mode=TradingMode.HALTED, reason=reason))

    async def send_minutes(self):
        """Each minute's quotes, the sixty seconds before its close, then its candle; a fresh quote before the last."""
        update_id = 0
        for n, candle in enumerate(self.candles, start=1):
            close_ns = candle.open_time_ns + MINUTE_NS
            stamps = [close_ns - k * 5 * SECOND_NS for k in range(12, 0, -1)]
            if candle is self.candles[-1]:
                stamps.append(time.time_ns())
            for stamp in stamps:
                update_id += 1
                await self.exchange.send(quote_message(update_id, candle.close + update_id % 3, time_ns=stamp))
            await until(lambda n=update_id: len(self.ticks) == n)
            await self.exchange.send(candle_message(candle, "1m"))
            await until(lambda n=n: len(self.bars) == n)


@pytest.fixture
def host(tmp_path):
    return Node(tmp_path)


def test_quotes_and_bars_arrive_with_their_stamps_and_the_strategy_trades_on_them(host):
    async def script():
        await host.send_minutes()
        assert len(host.ticks) == N_QUOTES
        async with asyncio.timeout(WAIT_S):
            while not 0 < host.wanted() == host.node.portfolio.net_position(INSTRUMENT.id):
                price = host.candles[-1].close + len(host.ticks) % 3
                await host.exchange.send(quote_message(len(host.ticks) + 1000, price))
                await asyncio.sleep(0.05)

    before_ns = time.time_ns()
    host.run(script)
    for bar, candle in zip(host.bars, host.candles, strict=True):
        assert bar.bar_type == bar_type_of(INSTRUMENT, "1m")
        assert bar.ts_event == candle.open_time_ns + MINUTE_NS
        assert before_ns < bar.ts_init < time.time_ns()
        shown = [str(number) for number in (bar.open, bar.high, bar.low, bar.close, bar.volume)]
        assert shown == [*(f"{price:.1f}" for price in candle[1:5]), "12.500"]
    assert len(host.ticks) == host.feed.counts.quotes > N_QUOTES
    first, last = host.ticks[0], host.ticks[N_QUOTES - 1]
    assert first.ts_event == host.candles[0].open_time_ns
    assert before_ns // 1_000_000 * 1_000_000 <= last.ts_event <= last.ts_init < time.time_ns()
    price = host.candles[-1].close + N_QUOTES % 3
    assert str(last) == f"{INSTRUMENT.id},{price:.1f},{price + 0.1:.1f},1.500,2.000,{last.ts_event}"
    assert host.stored == [True] * N_BARS
    triggers = [record.trigger for record in host.parts.strategy.records]
    assert triggers.count("bar") == N_BARS
    assert triggers[-1] == "stop"
    assert host.node.portfolio.net_position(INSTRUMENT.id) == 0
    assert not host.parts.gate.refusals
    assert host.health[-1].state == "live"
    assert not host.dead


def test_a_pump_that_fails_is_reported_and_the_gate_is_halted(host):
    async def script():
        def fails(candle):
            raise ArithmeticError("a defect")

        await host.exchange.send(quote_message(1))
        await until(lambda: host.ticks)
        host.client._pump._on_candle = fails
        await host.exchange.send(candle_message(host.candles[0], "1m"))
        await until(lambda: host.dead)
        assert host.parts.gate.mode is TradingMode.HALTED
        await host.exchange.send(quote_message(2))
        await until(lambda: len(host.ticks) == 2)

    host.run(script)
    assert host.dead == ["its pump failed: ArithmeticError('a defect')"]
    assert host.health[-1] == ("dead", host.dead[0])


def test_numbers_that_the_engine_can_not_hold_are_counted_and_end_nothing(host):
    async def script():
        await host.exchange.send(quote_message(1, size=9e14), quote_message(2))
        await until(lambda: host.ticks)

    host.run(script)
    assert [str(tick.bid_size) for tick in host.ticks] == ["1.500"]
    assert host.feed.counts.malformed == 1
    assert not host.dead


@pytest.mark.parametrize(
    ("interval", "name"),
    [("1m", "1-MINUTE"), ("60s", "1-MINUTE"), ("100ms", "100-MILLISECOND"), ("5s", "5-SECOND"), ("30m", "30-MINUTE"),
     ("24h", "1-DAY"), ("4h", "4-HOUR"), ("1d", "1-DAY"), ("1ms", "1-MILLISECOND")],
)  # fmt: skip
def test_bar_types(interval, name):
    assert bar_type_of(INSTRUMENT, interval) == BarType.from_str(f"{INSTRUMENT.id}-{name}-LAST-EXTERNAL")


@pytest.mark.parametrize("interval", ["7m", "90m", "300ms", "2d", "48h", "5h", "61s"])
def test_lengths_that_the_engine_has_no_bars_of(interval):
    with pytest.raises(ValueError, match=f"interval must divide the next larger unit.*{interval}"):
        bar_type_of(INSTRUMENT, interval)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"base_url_http": "ftp://127.0.0.1"}, InputError, "such as http://127"),
        ({"base_url_ws": "http://127.0.0.1"}, InputError, "such as ws://127"),
        ({"conflate_after": 0}, ValueError, "conflate_after must be"),
        ({"longest_wait_s": float("nan")}, ValueError, "longest_wait_s must be"),
    ],
)
def test_settings_out_of_range(settings, error, message):
    with pytest.raises(error, match=message):
        LiveFeedConfig(**{"base_url_http": "http://127.0.0.1", "base_url_ws": "ws://127.0.0.1"} | settings)
