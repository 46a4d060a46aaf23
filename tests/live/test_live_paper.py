"""The paper account over restarts: what the ledger says is what a fresh node holds, and nothing is named twice."""

import asyncio
import gc
import time
from contextlib import contextmanager
from decimal import Decimal

import numpy as np
import pytest
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.events import OrderFilled

from companion.execution import TradingMode
from companion.execution.nautilus import attach, make_trading_node_config
from companion.live import (
    AuditLog,
    CircuitBreaker,
    Ledger,
    Supervisor,
    read_audit,
    restore_paper_account,
    starting_balance,
)
from companion.live._ledger import CENT
from tests.execution.engine import INSTRUMENT, MINUTE_NS, SECOND_NS, make_bars, make_quotes
from tests.execution.test_execution_node import end_all_tasks, run_node, until
from tests.execution.test_execution_strategy import LIMITS, WARM_UP, make_config, make_desk

D = Decimal
BALANCE = D(100_000)


@contextmanager
def paper_node(ledger, desk=None, **settings):
    """A node that is built, with its parts; ended and disposed of afterwards."""
    loop = asyncio.new_event_loop()
    config = make_trading_node_config(log_level="OFF", timeout_s=5.0, starting_balances=[starting_balance(ledger)])
    node = TradingNode(config, loop=loop)
    try:
        strategy = make_config(use_uuid_client_order_ids=True, twap_horizon_s=None, **settings)
        parts = attach(node, instrument=INSTRUMENT, strategy=strategy, desk=desk or make_desk(1.0), limits=LIMITS)
        yield node, parts
    finally:
        if asyncio.all_tasks(loop):
            end_all_tasks(loop)
        node.dispose()
        loop.close()
        gc.collect()  # what was left behind would complain here, and not in some later test


def held_ledger(*fills):
    ledger = Ledger(BALANCE)
    for fill in fills:
        ledger.on_fill(*map(D, fill))
    return ledger


LONG = [("0.1", "50000.1", "0.9"), ("0.2", "50001.3", "1.8"), ("-0.05", "49990", "0.4")]
SHORT = [*LONG, ("-0.7", "50001.3", "6.3")]


def quote(node, bid):
    node.kernel.data_engine.process(make_quotes([time.time_ns()], bid, bid + 0.1)[0])


@pytest.mark.parametrize(("fills", "price"), [(LONG, "50010"), (SHORT, "50010.1")])
def test_a_fresh_node_holds_what_the_ledger_says(tmp_path, fills, price):
    """Position, average price, unrealized result, gate and balance; and a flatten ends at nothing, to the cent."""
    ledger = held_ledger(*fills)
    looks, marked = [], ledger.equity(D(price))
    with paper_node(ledger) as (node, parts), AuditLog(tmp_path / "audit.jsonl") as audit:
        restore_paper_account(node, INSTRUMENT, parts.strategy.id, ledger)
        supervisor = Supervisor(
            node,
            parts,
            instrument=INSTRUMENT,
            breaker=CircuitBreaker(tmp_path / "breaker.json"),
            audit=audit,
            ledger=ledger,
            check_interval_s=0.02,
        )

        async def script():
            await until(lambda: node.trader.is_running)
            (position,) = node.cache.positions_open()
            looks.extend([node.portfolio.net_position(INSTRUMENT.id), D(repr(position.avg_px_open))])
            quote(node, 50_010.0)
            await until(lambda: parts.gate.equity(INSTRUMENT.id) is not None)
            looks.append(parts.gate.equity(INSTRUMENT.id))
            looks.append(node.portfolio.unrealized_pnl(INSTRUMENT.id).as_decimal())
            supervisor.trip("person", "a test")
            await until(lambda: not parts.strategy.is_running)
            looks.append(node.portfolio.account(INSTRUMENT.id.venue).balance_total(USDT).as_decimal())
            supervisor.remove()

        expected = ledger.position, ledger.average_price, ledger.unrealized(D(price))
        run_node(node, script)
    held, average, equity, unrealized, balance = looks
    assert held == expected[0]
    assert average == pytest.approx(expected[1], abs=D("1e-9"))
    assert unrealized == pytest.approx(expected[2], abs=CENT)
    assert equity == pytest.approx(marked, abs=CENT)
    assert ledger.position == 0
    assert balance == pytest.approx(ledger.balance, abs=2 * CENT)
    lines = [line for line in read_audit(tmp_path / "audit.jsonl") if line.kind in ("trip", "order", "fill", "stop")]
    assert [line.kind for line in lines] == ["trip", "order", "fill", "stop"]  # the restored one is in an older audit
    assert lines[1].content["reduce_only"]


def test_a_position_larger_than_the_book_is_sold(tmp_path):
    """What the touch does not hold is filled behind it, as in a backtest: it is not waited for, for ever."""
    ledger = held_ledger(("0.25", "50000.1", "0.9"))
    with paper_node(ledger) as (node, parts), AuditLog(tmp_path / "audit.jsonl") as audit:
        restore_paper_account(node, INSTRUMENT, parts.strategy.id, ledger)
        breaker = CircuitBreaker(tmp_path / "breaker.json")
        supervisor = Supervisor(
            node, parts, instrument=INSTRUMENT, breaker=breaker, audit=audit, ledger=ledger, check_interval_s=0.02
        )

        async def script():
            await until(lambda: node.trader.is_running)
            thin = make_quotes([time.time_ns()], 50_000.0, 50_000.1, 0.1, 0.1)[0]
            node.kernel.data_engine.process(thin)
            await until(lambda: node.cache.quote_tick(INSTRUMENT.id) is not None)
            supervisor.trip("person", "a test")
            await until(lambda: not parts.strategy.is_running)
            supervisor.remove()

        run_node(node, script)
    assert ledger.position == 0
    fills = [line.content for line in read_audit(tmp_path / "audit.jsonl") if line.kind == "fill"]
    assert [(D(fill["quantity"]), D(fill["price"])) for fill in fills] == [
        (D("-0.1"), D("50000")),
        (D("-0.15"), D("49999.9")),
    ]


def bring(node, closes):
    """A minute of quotes that ends now, for the liquidity gate, and bars."""
    rng, now_ns, process = np.random.default_rng(1), time.time_ns(), node.kernel.data_engine.process
    bids = np.round(50_000.0 * (1.0 + 1e-4 * rng.standard_normal(12)), 1)
    for tick in make_quotes(now_ns - np.arange(11, -1, -1) * 5 * SECOND_NS, bids, bids + 0.1):
        process(tick)
    for bar in make_bars(closes, np.round(50_000.0 * (1.0 + 1e-4 * rng.standard_normal(len(closes))), 1)):
        process(bar)


def test_three_sessions(tmp_path):
    """Buy, restart, restart and flatten: no order, no trade is named twice, and the audit tells the whole account."""
    start_ns = time.time_ns() - (WARM_UP + 4) * MINUTE_NS
    closes = np.split(start_ns + np.arange(1, WARM_UP + 5) * MINUTE_NS, [WARM_UP + 2, WARM_UP + 3])
    path, names, desk = tmp_path / "audit.jsonl", [], make_desk(1.0)
    for session in range(3):
        ledger = Ledger.from_audit(path, BALANCE) if session else Ledger(BALANCE)
        with (
            AuditLog(path) as audit,
            paper_node(ledger, desk, flatten_on_stop=session == 2) as (node, parts),
        ):
            audit.append("session", now_ns=time.time_ns(), format=1)
            restore_paper_account(node, INSTRUMENT, parts.strategy.id, ledger)
            breaker = CircuitBreaker(tmp_path / "breaker.json")
            supervisor = Supervisor(
                node, parts, instrument=INSTRUMENT, breaker=breaker, audit=audit, ledger=ledger, check_interval_s=0.02
            )

            async def script(node=node, parts=parts, closes=closes[session]):
                await until(lambda: node.trader.is_running)
                bring(node, closes)
                await until(lambda: len(parts.strategy.records) == len(closes))
                await until(lambda: node.portfolio.net_position(INSTRUMENT.id) > 0)

            run_node(node, script)
            supervisor.remove()
            assert breaker.tripped is None
            assert parts.gate.mode is TradingMode.ACTIVE
            assert not parts.gate.refusals
            for order in node.cache.orders():
                names += [order.client_order_id.value]
                names += [event.trade_id.value for event in order.events if isinstance(event, OrderFilled)]
    assert len(set(names)) == len(names) == 2 * (1 + 1 + 2)
    ledger = Ledger.from_audit(path, BALANCE)
    assert (ledger.position, ledger.n_fills) == (0, 2)
    kinds = [line.kind for line in read_audit(path) if line.kind in ("session", "order", "fill", "stop")]
    assert kinds[:7] == ["session", "order", "fill", "stop", "session", "stop", "session"]
    assert sorted(kinds[7:]) == ["fill", "order", "stop"]  # what is sold on stopping fills when it has stopped


def test_what_can_not_be_restored_is_refused():
    ledger = held_ledger(*LONG)
    with paper_node(ledger) as (node, parts):
        other = held_ledger(*SHORT)
        with pytest.raises(ValueError, match=r"node must have the balance of the ledger, .* make it with starting_bal"):
            restore_paper_account(node, INSTRUMENT, parts.strategy.id, other)
        ledger.position = D("0.2505")
        with pytest.raises(ValueError, match=r"ledger must hold whole steps of 0.001, got 0.2505"):
            restore_paper_account(node, INSTRUMENT, parts.strategy.id, ledger)
        ledger.position = D("0.25")
        restore_paper_account(node, INSTRUMENT, parts.strategy.id, ledger)
        with pytest.raises(ValueError, match="node must not run and hold nothing yet"):
            restore_paper_account(node, INSTRUMENT, parts.strategy.id, ledger)


def test_a_node_that_is_not_built_is_refused():
    loop = asyncio.new_event_loop()
    node = TradingNode(make_trading_node_config(log_level="OFF"), loop=loop)
    try:
        with pytest.raises(ValueError, match="node must have an account at BINANCE, got none: build it first"):
            restore_paper_account(node, INSTRUMENT, "S-001", Ledger(BALANCE))
    finally:
        node.dispose()
        loop.close()
        gc.collect()
