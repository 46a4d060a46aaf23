"""Events per second of strategy, gate and TWAP against a strategy that does nothing; what the gate adds to an order.

`python benchmarks/execution.py`. All read the same bars and quotes in the same process, in turns; only the engine's
run is timed, in CPU time. Events are bars and quotes; the orders come on top, so that the dead band decides: that of
chapter 12, and a fifth of it. The gate's cost is that of `RiskGate.check` in a loop, beside `submit_order` without it.
"""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC
from decimal import Decimal
from typing import Any

import numpy as np
from _timing import Row, main
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from companion.desk import Bar, Desk, minute_desk
from companion.execution import GateConfig, MinuteBars, Quotes, RiskLimits, simulate_perpetual
from companion.execution.nautilus import RegimeStrategyConfig, RiskGate, attach, minute_bar_type, perpetual_instrument
from companion.execution.nautilus._harness import backtest_engine

INSTRUMENT = perpetual_instrument()
BAR_TYPE = minute_bar_type(INSTRUMENT)
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
DEAD_BANDS = ("0.1", "0.02")

SIZES = {"n_minutes": 480, "quotes_per_minute": 600, "warm_up": 721}


class NoOp(Strategy):
    """Reads what the other one reads, and does nothing."""

    def on_start(self) -> None:
        """Subscribe."""
        self.subscribe_quote_ticks(INSTRUMENT.id)
        self.subscribe_bars(BAR_TYPE)

    def on_quote_tick(self, tick: Any) -> None:
        """Nothing."""

    def on_bar(self, bar: Any) -> None:
        """Nothing."""


class Sender(Strategy):
    """Buys and sells in turns, an order a quote, and times each submission."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig())
        self.seconds: list[float] = []

    def join(self, engine: BacktestEngine) -> None:
        """Be added to an engine."""
        engine.add_strategy(self)

    def on_start(self) -> None:
        """Subscribe."""
        self.subscribe_quote_ticks(INSTRUMENT.id)

    def on_quote_tick(self, tick: Any) -> None:
        """Send an order."""
        side = OrderSide.SELL if len(self.seconds) % 2 else OrderSide.BUY
        order = self.order_factory.market(INSTRUMENT.id, side, INSTRUMENT.make_qty(0.001))
        start = time.thread_time()
        self.send(order)
        self.seconds.append(time.thread_time() - start)

    def send(self, order: Any) -> None:
        """What is timed."""
        self.submit_order(order)


class Judge(Sender):
    """Holds a position, and times what the gate says of an order a quote, in a loop that keeps it in the caches."""

    N_CALLS = 100

    def join(self, engine: BacktestEngine) -> None:
        """Be added to an engine behind a gate."""
        self._gate = RiskGate(engine.kernel, LIMITS)
        engine.add_strategy(self)

    def on_quote_tick(self, tick: Any) -> None:
        """Open the position, then judge."""
        if not self.cache.orders():
            self.submit_order(self.order_factory.market(INSTRUMENT.id, OrderSide.BUY, INSTRUMENT.make_qty(0.5)))
        super().on_quote_tick(tick)
        self.seconds[-1] /= self.N_CALLS

    def send(self, order: Any) -> None:
        """What is timed."""
        for _ in range(self.N_CALLS):
            self._gate.check(order)


Market = tuple[MinuteBars, Quotes]


def make_market(n_minutes: int, quotes_per_minute: int, *, warm_up: int = 0) -> tuple[Market, MinuteBars]:
    """Bars and quotes to run on, and the bars before them."""
    market = simulate_perpetual(n_minutes=warm_up + n_minutes, quotes_per_minute=quotes_per_minute, seed=0)
    first, last = np.s_[:warm_up], np.s_[warm_up:]
    bars = [tuple(getattr(market.bars, f.name)[part] for f in fields(MinuteBars)) for part in (last, first)]
    quotes = (getattr(market.quotes, f.name)[warm_up * quotes_per_minute :] for f in fields(Quotes))
    return (MinuteBars(*bars[0]), Quotes(*quotes)), MinuteBars(*bars[1])


def warmed_up(bars: MinuteBars) -> Desk:
    """A desk that has seen bars."""
    desk = minute_desk(instrument=INSTRUMENT)
    times = bars.time_ns.astype("datetime64[ns]").astype("datetime64[us]").tolist()
    for time_, *prices in zip(times, bars.open, bars.high, bars.low, bars.close, strict=True):
        desk.on_bar(Bar(time_.replace(tzinfo=UTC), *map(float, prices)), equity=Decimal(100_000))
    return desk


def engine_seconds(market: Market, prepare: Callable[[BacktestEngine], Any]) -> float:
    """CPU time of one run, the data and the engine made before."""
    venue = {"starting_balance": Decimal(100_000), "leverage": Decimal(10), "latency_ms": 50.0}
    with backtest_engine(*market, instrument=INSTRUMENT, **venue) as engine:
        prepare(engine)
        gc.collect()
        start = time.process_time()
        engine.run()
        seconds = time.process_time() - start
        assert engine.iteration == len(market[0]) + len(market[1])
    return seconds


def throughput(*, n_minutes: int, quotes_per_minute: int, warm_up: int, rounds: int) -> list[Row]:
    """Events per second of both."""
    market, before = make_market(n_minutes, quotes_per_minute, warm_up=warm_up)
    desk = warmed_up(before)
    start = desk.state()

    def whole(dead_band: str) -> Callable[[BacktestEngine], Any]:
        strategy = RegimeStrategyConfig(
            instrument_id=INSTRUMENT.id, bar_type=BAR_TYPE, gate=GateConfig(), dead_band=Decimal(dead_band)
        )

        def prepare(engine: BacktestEngine) -> None:
            desk.restore(start)
            attach(engine, instrument=INSTRUMENT, strategy=strategy, desk=desk, limits=LIMITS)

        return prepare

    contenders: dict[str, Callable[[BacktestEngine], Any]] = {band: whole(band) for band in DEAD_BANDS}
    contenders["no-op strategy"] = lambda engine: engine.add_strategy(NoOp())
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, prepare in contenders.items():
            times[name].append(engine_seconds(market, prepare))
    n_events = len(market[0]) + len(market[1])
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}  # the first one warms up
    rows = []
    for band in DEAD_BANDS:
        case = f"{n_events:,} bars and quotes, dead band {band} BTC"
        for name, seconds in {"companion": medians[band], "no-op strategy": medians["no-op strategy"]}.items():
            rows.append(Row(case, name, n_events / seconds, "events/s", seconds / medians[band], rounds))
    return rows


def cost_of_an_order(*, n_orders: int, rounds: int) -> list[Row]:
    """What the gate's judgment takes, beside what it takes to submit an order without a gate."""
    market, _ = make_market(max(2, n_orders // 60), 60)
    times: dict[str, list[float]] = {"companion": [], "no gate": []}
    for _ in range(rounds):
        judge, sender = Judge(), Sender()
        for strategy in (judge, sender):
            engine_seconds(market, strategy.join)
        times["companion"].append(statistics.median(judge.seconds))
        times["no gate"].append(statistics.median(sender.seconds))
    medians = {name: statistics.median(values) for name, values in times.items()}
    cases = {"companion": "the gate's judgment", "no gate": "submission, no gate"}
    return [
        Row("one order, a position held", cases[name], m * 1e6, "µs", m / medians["companion"], rounds)
        for name, m in medians.items()
    ]


def measure(tiny: bool) -> list[Row]:
    """Both tables."""
    sizes = {"n_minutes": 3, "quotes_per_minute": 60, "warm_up": 3} if tiny else SIZES
    rounds = 1 if tiny else 5
    return [
        *throughput(**sizes, rounds=rounds),
        *cost_of_an_order(n_orders=120 if tiny else 3000, rounds=rounds),
    ]


if __name__ == "__main__":
    main("execution", measure, "Strategy, gate and TWAP in NautilusTrader against a strategy that does nothing")
