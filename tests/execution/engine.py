"""The real engine for the tests of execution: quotes and bars from raw arrays, and a strategy that follows a plan."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.common.actor import Actor
from nautilus_trader.config import LoggingConfig
from nautilus_trader.execution.algorithm import ExecAlgorithm
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import ExecAlgorithmId
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.model.orders import Order
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

INSTRUMENT = TestInstrumentProvider.btcusdt_perp_binance()
BAR_TYPE = BarType.from_str(f"{INSTRUMENT.id}-1-MINUTE-LAST-EXTERNAL")
#: 2024-01-01 00:00 UTC, nanoseconds.
START_NS = 1_704_067_200_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
BUY, SELL = OrderSide.BUY, OrderSide.SELL

Market = tuple[list[QuoteTick], list[Bar]]
Plan = Mapping[int, Callable[["PlannedStrategy"], Any]]


def make_quotes(time_ns, bid, ask, bid_size=5.0, ask_size=5.0, *, instrument=INSTRUMENT) -> list[QuoteTick]:
    """Quotes at times in nanoseconds; what is one number holds for all."""
    stamps = np.array(time_ns, dtype=np.uint64)
    columns = [np.array(np.broadcast_to(c, stamps.shape), dtype=np.float64) for c in (bid, ask, bid_size, ask_size)]
    return QuoteTick.from_raw_arrays_to_list(
        instrument.id, instrument.price_precision, instrument.size_precision, *columns, stamps, stamps.copy()
    )


def make_bars(close_time_ns, close, *, bar_type=BAR_TYPE, instrument=INSTRUMENT) -> list[Bar]:
    """Bars that are known at their close and have one price."""
    stamps = np.array(close_time_ns, dtype=np.uint64)
    prices = [np.array(np.broadcast_to(close, stamps.shape), dtype=np.float64) for _ in range(4)]
    return Bar.from_raw_arrays_to_list(
        bar_type,
        instrument.price_precision,
        instrument.size_precision,
        *prices,
        np.full(stamps.shape, 10.0),
        stamps,
        stamps.copy(),
    )


def quote_times(n_minutes: int, quotes_per_minute: int = 60) -> np.ndarray:
    """Stamps of evenly spaced quotes: the first at the start, and none at the very stamp of a bar but its own."""
    return START_NS + np.arange(n_minutes * quotes_per_minute, dtype=np.int64) * (MINUTE_NS // quotes_per_minute)


def bar_times(n_minutes: int) -> np.ndarray:
    """Stamps at which minute bars close: bar number 1 a minute after the start."""
    return START_NS + np.arange(1, n_minutes + 1, dtype=np.int64) * MINUTE_NS


def flat_market(n_minutes: int, *, quotes_per_minute: int = 60, bid=50_000.0, spread=0.1, size=5.0) -> Market:
    """A market that stands still unless `bid`, `spread` or `size` are arrays, one value a quote."""
    bid, times = np.asarray(bid, dtype=np.float64), quote_times(n_minutes, quotes_per_minute)
    quotes = make_quotes(times, bid, np.round(bid + spread, 1), size, size)
    closes = np.broadcast_to(bid, times.shape)[quotes_per_minute - 1 :: quotes_per_minute]
    return quotes, make_bars(bar_times(n_minutes), closes)


def random_market(n_minutes: int, *, seed: int, quotes_per_minute: int = 60, size: float = 5.0) -> Market:
    """A random walk of .4 basis points a quote on the tick, with a spread of 1 to 4 ticks and a book that varies."""
    rng = np.random.default_rng(seed)
    n = n_minutes * quotes_per_minute
    bid = np.round(50_000.0 * np.exp(np.cumsum(rng.normal(0.0, 4e-5, n))), 1)
    sizes = np.round(size * rng.lognormal(0.0, 0.5, n), 3) + 0.001
    return flat_market(
        n_minutes, quotes_per_minute=quotes_per_minute, bid=bid, spread=0.1 * rng.integers(1, 5, n), size=sizes
    )


def limited_instrument(**fields: str | None) -> CryptoPerpetual:
    """The instrument with other rules, such as ``min_quantity="0.010"`` or ``max_quantity=None``."""
    return CryptoPerpetual.from_dict({**CryptoPerpetual.to_dict(INSTRUMENT), **fields})


def make_engine(
    *,
    instrument=INSTRUMENT,
    balance: int | str = 100_000,
    leverage: int = 10,
    account_type: AccountType = AccountType.MARGIN,
    config: Mapping[str, Any] | None = None,
    **venue: Any,
) -> BacktestEngine:
    """An engine with one margin account that fills from quotes alone; whoever makes it disposes of it."""
    engine = BacktestEngine(
        BacktestEngineConfig(trader_id="T-001", logging=LoggingConfig(bypass_logging=True), **(config or {}))
    )
    engine.add_venue(
        venue=instrument.id.venue,
        oms_type=OmsType.NETTING,
        account_type=account_type,
        base_currency=None,
        default_leverage=Decimal(leverage),
        **{"starting_balances": [Money(balance, USDT)], "bar_execution": False, "trade_execution": False} | venue,
    )
    engine.add_instrument(instrument)
    return engine


class PlannedStrategy(Strategy):
    """Runs ``plan[n](self)`` at bar number n (from 1) and keeps every event of its orders and positions."""

    def __init__(self, plan: Plan | None = None, *, instrument=INSTRUMENT, config: StrategyConfig | None = None):
        super().__init__(config or StrategyConfig())
        self.plan, self.instrument = dict(plan or {}), instrument
        self.n_bars = self.n_quotes = 0
        self.events: list[Any] = []

    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str(f"{self.instrument.id}-1-MINUTE-LAST-EXTERNAL"))
        self.subscribe_quote_ticks(self.instrument.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        self.n_quotes += 1

    def on_bar(self, bar: Bar) -> None:
        self.n_bars += 1
        if step := self.plan.get(self.n_bars):
            step(self)

    def on_event(self, event: Any) -> None:
        self.events.append(event)

    def events_of(self, kind: type) -> list[Any]:
        """Events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def market(self, side: OrderSide, quantity: str, **options: Any) -> Order:
        """Submit a market order, ``quantity`` with the instrument's own places: ``strategy.market(BUY, "0.100")``."""
        order = self.order_factory.market(self.instrument.id, side, Quantity.from_str(quantity), **options)
        self.submit_order(order)
        return order

    def limit(self, side: OrderSide, quantity: str, price: str, **options: Any) -> Order:
        """Submit a limit order that is good till canceled."""
        order = self.order_factory.limit(
            self.instrument.id,
            side,
            Quantity.from_str(quantity),
            Price.from_str(price),
            **{"time_in_force": TimeInForce.GTC} | options,
        )
        self.submit_order(order)
        return order

    def twap(self, side: OrderSide, quantity: str, horizon_secs=60, interval_secs=5, **options: Any) -> Order:
        """Submit a market order to TWAP_ADAPTIVE."""
        return self.market(
            side,
            quantity,
            exec_algorithm_id=ExecAlgorithmId("TWAP_ADAPTIVE"),
            exec_algorithm_params={"horizon_secs": horizon_secs, "interval_secs": interval_secs},
            **options,
        )


@contextmanager
def run_engine(
    strategies: Strategy | Sequence[Strategy],
    market: Market,
    *,
    algorithms: Iterable[ExecAlgorithm] = (),
    actors: Iterable[Actor] = (),
    prepare: Callable[[BacktestEngine], Any] | None = None,
    **options: Any,
) -> Iterator[BacktestEngine]:
    """Run strategies over a market and yield the engine that ran, to be asked for its fills and its account.

    Quotes come before a bar of the same stamp. ``prepare(engine)`` is called before the run, to install a gate, say;
    `options` go to `make_engine`.
    """
    engine = make_engine(**options)
    try:
        for data in market:
            if data:
                engine.add_data(data, sort=True)
        for algorithm in algorithms:
            engine.add_exec_algorithm(algorithm)
        for actor in actors:
            engine.add_actor(actor)
        for strategy in [strategies] if isinstance(strategies, Strategy) else strategies:
            engine.add_strategy(strategy)
        if prepare:
            prepare(engine)
        engine.run()
        yield engine
    finally:
        engine.dispose()


def all_fills(engine: BacktestEngine) -> list[OrderFilled]:
    """What the venue filled, in order of time: the truth that every count is held against."""
    fills = [event for order in engine.cache.orders() for event in order.events if isinstance(event, OrderFilled)]
    return sorted(fills, key=lambda fill: (fill.ts_event, int(str(fill.trade_id).rpartition("-")[2])))


def signed_quantity(fill: OrderFilled) -> Decimal:
    """Quantity of a fill, positive when bought."""
    return fill.last_qty.as_decimal() * (1 if fill.order_side == BUY else -1)


def filled_quantity(engine: BacktestEngine) -> Decimal:
    """Net quantity that the venue filled: what the position must be."""
    return sum((signed_quantity(fill) for fill in all_fills(engine)), Decimal(0))


def cash_flow_equity(engine: BacktestEngine, start: Decimal, price: Decimal) -> Decimal:
    """Start − Σ quantity × price − Σ fees + held × price: equity from the fills alone, marked at one price."""
    fills = all_fills(engine)
    paid = sum((signed_quantity(f) * f.last_px.as_decimal() + f.commission.as_decimal() for f in fills), Decimal(0))
    return start - paid + filled_quantity(engine) * price


def account_balance(engine: BacktestEngine, instrument=INSTRUMENT) -> Decimal:
    """Total balance of the account, without what is unrealized."""
    return engine.portfolio.account(instrument.id.venue).balance_total(USDT).as_decimal()
