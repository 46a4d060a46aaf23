"""A trading node with gate, algorithm and strategy: it builds, trades on paper and stops, and needs no network."""

import asyncio
import gc
import socket
import threading
import time
from decimal import Decimal

import numpy as np
import pytest
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import OrderSide, TimeInForce

from companion.execution import TradingMode
from companion.execution.nautilus import attach, make_trading_node_config
from tests.execution.engine import INSTRUMENT, MINUTE_NS, SECOND_NS, PlannedStrategy, make_bars, make_quotes
from tests.execution.test_execution_strategy import FULL, LIMITS, WARM_UP, make_config, make_desk


@pytest.fixture
def connections(monkeypatch):
    """Whatever is connected to in this process; Unix sockets of the event loop itself are not."""
    made, connect = [], socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: (made.append(address), connect(self, address)))
    return made


async def feed(node, n_minutes):
    """Minutes that have just passed, a quote each five seconds, and a fresh one before the last bar closes."""
    await until(lambda: node.trader.is_running)
    now_ns, rng, process = time.time_ns(), np.random.default_rng(1), node.kernel.data_engine.process
    for minute in range(n_minutes):
        close_ns = now_ns - (n_minutes - 1 - minute) * MINUTE_NS
        bids = np.round(50_000.0 * (1.0 + 1e-4 * rng.standard_normal(12)), 1)
        for quote in make_quotes(close_ns - np.arange(12, 0, -1) * 5 * SECOND_NS, bids, bids + 0.1):
            process(quote)
        if minute == n_minutes - 1:
            process(make_quotes([time.time_ns()], bids[-1], bids[-1] + 0.1)[0])
        process(make_bars([close_ns], bids[-1])[0])


async def until(condition, timeout_s=10.0):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def run_node(node, script):
    async def together():
        running = asyncio.create_task(node.run_async())
        try:
            await script()
        finally:
            await node.stop_async()
            await running

    node.get_event_loop().run_until_complete(together())


def end_all_tasks(loop):
    """The engine leaves the workers of its executors behind when it stops."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def test_a_node_trades_on_paper(connections):
    loop = asyncio.new_event_loop()
    node = TradingNode(make_trading_node_config(log_level="OFF", timeout_s=2.0), loop=loop)
    config = make_config(twap_horizon_s=0.2, twap_interval_s=0.05, flatten_on_stop=True)
    parts = attach(node, instrument=INSTRUMENT, strategy=config, desk=make_desk(1.0), limits=LIMITS)
    held = []

    async def script():
        await feed(node, WARM_UP + 2)
        await until(lambda: node.portfolio.net_position(INSTRUMENT.id) == FULL)
        held.append(node.portfolio.net_position(INSTRUMENT.id))

    try:
        run_node(node, script)
        records = parts.strategy.records
        assert [record.trigger for record in records] == ["bar"] * (WARM_UP + 2) + ["stop"]
        assert records[-2].plan.order.quantity == FULL == held[0]
        assert records[-1].plan.order.quantity == -FULL
        assert records[-1].equity == pytest.approx(Decimal(100_000), abs=100)
        assert node.portfolio.net_position(INSTRUMENT.id) == 0
        assert parts.gate.mode is TradingMode.ACTIVE
        assert not parts.gate.refusals
        assert not connections
    finally:
        end_all_tasks(loop)
        node.dispose()
        loop.close()
        gc.collect()  # what was left behind would complain here, and not in some later test


def test_timers_call_on_the_engines_thread():
    """A live clock has a thread of its own: a pass or a slice there would meet a bar halfway."""
    loop = asyncio.new_event_loop()
    node = TradingNode(make_trading_node_config(log_level="OFF", timeout_s=2.0), loop=loop)
    config = make_config(twap_horizon_s=0.2, twap_interval_s=0.05, loop_interval_s=0.02)
    parts = attach(node, instrument=INSTRUMENT, strategy=config, desk=make_desk(1.0), limits=LIMITS)
    threads, loop_pass = {"bar": set(), "timer": set(), "stop": set(), "slice": set()}, parts.strategy._loop

    def look(trigger, *bar):
        threads[trigger].add(threading.get_ident())
        loop_pass(trigger, *bar)

    parts.strategy._loop = look
    parts.gate.before_send = lambda order: threads["slice"].add(threading.get_ident())

    async def script():
        await feed(node, WARM_UP + 2)
        await until(lambda: node.portfolio.net_position(INSTRUMENT.id) == FULL)

    try:
        run_node(node, script)
        assert all(seen == {threading.get_ident()} for seen in threads.values()), threads
    finally:
        end_all_tasks(loop)
        node.dispose()
        loop.close()
        gc.collect()


@pytest.mark.parametrize("kind", ["market", "slice"])
def test_no_order_is_left_half_filled(kind):
    """What the touch does not hold is filled behind it or canceled; the venue must not forget it while it is open."""
    loop = asyncio.new_event_loop()
    node = TradingNode(make_trading_node_config(log_level="OFF", timeout_s=2.0), loop=loop)
    attach(node, instrument=INSTRUMENT, strategy=make_config(), desk=make_desk(1.0), limits=LIMITS)
    person = PlannedStrategy()
    node.trader.add_strategy(person)

    async def script():
        await until(lambda: node.trader.is_running)
        node.kernel.data_engine.process(make_quotes([time.time_ns()], 50_000.0, 50_000.1, 0.1, 0.1)[0])
        await until(lambda: node.cache.quote_tick(INSTRUMENT.id) is not None)
        if kind == "market":
            person.market(OrderSide.BUY, "0.250")
        else:
            person.limit(OrderSide.BUY, "0.250", "50000.1", time_in_force=TimeInForce.IOC)
        await until(lambda: node.cache.orders()[0].is_closed)

    try:
        run_node(node, script)
        (order,) = node.cache.orders()
        assert order.filled_qty == Decimal("0.250" if kind == "market" else "0.100")
        assert node.portfolio.net_position(INSTRUMENT.id) == order.filled_qty.as_decimal()
    finally:
        end_all_tasks(loop)
        node.dispose()
        loop.close()
        gc.collect()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"leverage": 0}, "leverage must be at least 1, got 0"),
        ({"starting_balances": "100000 USDT"}, "starting_balances must be amounts"),
        ({"starting_balances": []}, "starting_balances must be amounts"),
        ({"timeout_s": 0.0}, "timeout_s must be"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        make_trading_node_config(**settings)


def test_fills_come_from_quotes_alone():
    (client,) = make_trading_node_config(venue="BINANCE", leverage=3).exec_clients.values()
    assert not client.bar_execution
    assert not client.trade_execution
    assert client.default_leverage == Decimal(3)
