"""The pump against every fault of the exchange simulator at once: each bar stored once, as history has it."""

import asyncio
import time
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from companion.execution import simulate_perpetual
from companion.live import CandleStore, Fault, FaultKind, interval_ns
from companion.live._exchange_simulator import ExchangeSimulator
from tests.live.small_exchange import WAIT_S
from tests.live.test_live_pump import Desk

INTERVAL = "200ms"
STEP_NS = interval_ns(INTERVAL)
N_HISTORY, BEGINS, LASTS, ENDS = 20, 4, 7, 20  # bars
CONFIG = {"interval": INTERVAL, "stale_after_s": 0.6, "dead_after_s": WAIT_S, "max_skew_s": 1.0}


class Drill:
    """One exchange with one fault, and a pump with a store of its own."""

    def __init__(self, kind, market, folder):
        self.exchange = ExchangeSimulator(
            market, interval=INTERVAL, n_history=N_HISTORY, faults=[Fault(kind, BEGINS, LASTS)], seed=1
        )
        self.store = CandleStore(f"sqlite:///{folder}/{kind}.db")

    async def run(self):
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(self.exchange.serve())
            zero_ns = self.exchange.zero_ns
            last = self.exchange.history(0, zero_ns, now_ns=zero_ns)[-1]
            self.desk = Desk(None, url=url, store=self.store, last=last, config=CONFIG, longest_wait_s=0.2)
            await stack.enter_async_context(self.desk.running())
            end_ns = zero_ns + ENDS * STEP_NS
            await self.desk.until(lambda: self.desk.candles and self.desk.candles[-1].open_time_ns >= end_ns)
            await self.desk.until(lambda: self.desk.health and self.desk.health[-1].state == "live")
            got = self.desk.candles
            self.truth = self.exchange.history(zero_ns, got[-1].open_time_ns + STEP_NS, now_ns=time.time_ns())


@pytest.fixture(scope="module")
def drills(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drills")
    market = simulate_perpetual(n_minutes=N_HISTORY + 400, quotes_per_minute=8, seed=3)
    done = {kind: Drill(kind, market, folder) for kind in FaultKind}

    async def together():
        async with asyncio.TaskGroup() as group:
            for drill in done.values():
                group.create_task(drill.run())

    asyncio.run(together())
    yield done
    for drill in done.values():
        drill.store.close()


@pytest.mark.parametrize("kind", FaultKind)
def test_no_bar_is_lost_or_doubled(drills, kind):
    drill = drills[kind]
    desk, truth = drill.desk, drill.truth
    assert [candle.open_time_ns for candle in desk.candles] == [candle.open_time_ns for candle in truth]
    for got, true in zip(desk.candles, truth, strict=True):
        assert got[1:] == pytest.approx(true[1:])
    assert drill.store.last("BTCUSDT", INTERVAL, 10_000)[: len(truth)] == desk.candles
    assert not drill.store.gaps("BTCUSDT", INTERVAL)
    assert desk.stored == [True] * len(desk.candles)
    assert (desk.feed.counts.gaps, desk.dead) == (0, [])


@pytest.mark.parametrize("kind", FaultKind)
def test_quotes_ascend_and_a_glitch_is_never_handed_on(drills, kind):
    desk = drills[kind].desk
    quotes = [one for one in desk.all if hasattr(one, "bid")]
    assert len(quotes) > 20
    low, high = min(c.low for c in drills[kind].truth), max(c.high for c in drills[kind].truth)
    assert all(0.8 * low < quote.bid < 1.2 * high for quote in quotes)
    if desk.feed.counts.reconnects == 0:
        assert all(before.update_id < after.update_id for before, after in pairwise(quotes))


WHAT_IS_SEEN = {
    FaultKind.DISCONNECT: lambda c: c.reconnects > 0 and c.filled > 0,
    FaultKind.SILENCE: lambda c: c.reconnects > 0 and c.filled > 0,
    FaultKind.SLOW_DRIP: lambda c: c.reconnects > 0 and c.filled > 0,
    FaultKind.HALF_OPEN: lambda c: c.reconnects > 0 and c.filled > 0,
    FaultKind.DUPLICATES: lambda c: c.duplicates > 0,
    FaultKind.REORDERING: lambda c: c.late > 0,
    FaultKind.GAPS: lambda c: c.filled > 0,
    FaultKind.MALFORMED: lambda c: c.malformed > 0 and c.filled > 0,
    FaultKind.NAN: lambda c: c.malformed > 0 and c.filled > 0,
    FaultKind.GLITCH: lambda c: c.implausible > 0 and c.filled > 0,
}


@pytest.mark.parametrize("kind", WHAT_IS_SEEN)
def test_the_fault_was_there(drills, kind):
    assert WHAT_IS_SEEN[kind](drills[kind].desk.feed.counts), drills[kind].desk.feed.counts
