"""Appendix D, sections 3.2 to 3.6: what each printed listing does in the real engine, and what `companion` does.

`PrintedStrategy` holds the listings of the source chapter as they stand there, with their placeholders filled in.
"""

import math
from decimal import Decimal

import pytest
from nautilus_trader.config import RiskEngineConfig
from nautilus_trader.model.enums import OrderStatus, TradingState
from nautilus_trader.model.identifiers import ExecAlgorithmId
from nautilus_trader.model.objects import Money, Quantity
from nautilus_trader.trading.strategy import Strategy

from companion.execution import GateConfig, LiquidityGate, TradingMode, WorkingOrder, plan_rebalance
from companion.execution.nautilus import TwapAdaptive
from companion.execution.nautilus._view import HoldingsView
from companion.risk import InstrumentRules, max_notional_per_order_from_equity
from tests.execution.engine import (
    BAR_TYPE,
    BUY,
    INSTRUMENT,
    MINUTE_NS,
    SECOND_NS,
    SELL,
    START_NS,
    PlannedStrategy,
    flat_market,
    make_quotes,
    run_engine,
)

RULES = InstrumentRules.of(INSTRUMENT)


class PrintedSpreadStats:
    def __init__(self, window):
        self.xs, self.window = [], window

    def update(self, x):
        self.xs = [*self.xs, x][-self.window :]

    def mean_std(self):
        n = len(self.xs)
        if n < 2:
            return math.nan, math.nan
        mean = sum(self.xs) / n
        return mean, math.sqrt(max(0.0, sum(x * x for x in self.xs) / n - mean * mean))


class PrintedStrategy(Strategy):
    """Sections 3.3.2 and 3.4.4 as printed: the gate, and reconciliation with a target that is given."""

    def __init__(self, target="1.000", spread_window=2):
        super().__init__()
        self.target, self.spread_stats = Decimal(target), PrintedSpreadStats(spread_window)
        self.trading_state, self.sent = TradingState.ACTIVE, []

    def on_start(self):
        self.subscribe_bars(BAR_TYPE)

    def on_bar(self, bar):
        self.reconcile_and_trade()

    def _update_liquidity_gate(self):
        qt = self.cache.quote_tick(INSTRUMENT.id)
        if qt is None:
            self.trading_state = TradingState.REDUCING
            return
        bid, ask = float(qt.bid_price), float(qt.ask_price)
        if bid <= 0 or ask <= 0 or ask < bid:
            self.trading_state = TradingState.REDUCING
            return
        self.spread_stats.update(ask - bid)
        S_bar, S_std = self.spread_stats.mean_std()
        if not math.isfinite(S_bar) or not math.isfinite(S_std):
            self.trading_state = TradingState.REDUCING
            return
        wide = ask - bid > S_bar + 3.0 * S_std
        self.trading_state = TradingState.REDUCING if wide else TradingState.ACTIVE

    def reconcile_and_trade(self):
        self._update_liquidity_gate()
        q_target = Decimal("0") if self.trading_state == TradingState.REDUCING else self.target
        q_actual = Decimal(str(self.portfolio.net_position(INSTRUMENT.id)))
        dQ = q_target - q_actual
        if dQ.copy_abs() <= Decimal("0.001"):
            return
        order = self.order_factory.market(
            instrument_id=INSTRUMENT.id,
            order_side=BUY if dQ > 0 else SELL,
            quantity=Quantity.from_str(str(dQ.copy_abs().quantize(Decimal("0.001")))),
            exec_algorithm_id=ExecAlgorithmId("TWAP_ADAPTIVE"),
            exec_algorithm_params={"horizon_secs": 300, "interval_secs": 30},
        )
        self.sent.append(dQ)
        self.submit_order(order)


def plan(target, held, working=(), price="50000"):
    return plan_rebalance(
        Decimal(target),
        held=Decimal(held),
        working=working,
        instrument=RULES,
        price=None if price is None else Decimal(price),
        dead_band=Decimal("0.001"),
    )


def test_limits_of_the_engine_that_do_not_exist():
    for name, value in {"max_order_qty": Quantity.from_str("0.1"), "max_daily_loss": Money.from_str("1 USDT")}.items():
        with pytest.raises(TypeError, match=name):
            RiskEngineConfig(**{name: value})


def test_a_share_of_money():
    with pytest.raises(ArithmeticError):
        Decimal(str(Money.from_str("100000 USDT")))
    assert max_notional_per_order_from_equity(Money.from_str("100000 USDT"), 0.005) == 500


def test_equity_that_is_asked_for_in_a_way_that_no_version_has():
    """`portfolio.equity()` raises in both versions, and the listing takes every exception for "no equity": flat."""
    found = {}

    def ask(strategy):
        try:
            found["printed"] = strategy.portfolio.equity()
        except Exception:
            found["printed"] = None
        found["ours"] = HoldingsView(strategy, INSTRUMENT).equity()

    with run_engine(PlannedStrategy({2: ask}), flat_market(3)):
        pass
    assert found == {"printed": None, "ours": Decimal(100_000)}


def test_what_is_on_its_way_is_sent_again():
    printed = PrintedStrategy("1.000")
    with run_engine(printed, flat_market(8), algorithms=[TwapAdaptive()]) as engine:
        assert engine.portfolio.net_position(INSTRUMENT.id) > 1
    assert sum(dQ for dQ in printed.sent if dQ > 0) > 2
    assert plan("1", "0.2", [WorkingOrder("O-1", Decimal("0.8"))]).order is None


def test_a_crossed_book_is_traded_in():
    """REDUCING makes the target zero, and the listing sends whatever leads there: into a book that can not be."""
    quotes, bars = flat_market(6)
    crossed = make_quotes([START_NS + 4 * MINUTE_NS + 30 * SECOND_NS], 50_000.0, 49_000.0)
    kept = [quote for quote in quotes if quote.ts_event < START_NS + 4 * MINUTE_NS + 30 * SECOND_NS]
    printed = PrintedStrategy("0.100")
    with run_engine(printed, (kept + crossed, bars), algorithms=[TwapAdaptive()]):
        pass
    assert printed.trading_state == TradingState.REDUCING
    assert printed.sent[-1] < 0
    gate = LiquidityGate(GateConfig())
    gate.on_quote(50_000.0, 49_000.0, 1.0, 1.0, time_ns=START_NS)
    assert gate.check(START_NS).mode is TradingMode.HALTED
    assert plan("0", "0.1", price=None).order is None


def test_a_quote_that_is_hours_old_is_a_quote():
    quotes, bars = flat_market(120)
    printed = PrintedStrategy("0.100")
    with run_engine(printed, (quotes[:200], bars), algorithms=[TwapAdaptive()]):
        pass
    assert printed.trading_state == TradingState.ACTIVE
    assert printed.sent
    gate = LiquidityGate(GateConfig(warm_up=1, sample_s=1.0, calm_s=0.0))
    for second in range(5):
        gate.on_quote(50_000.0, 50_000.1, 1.0, 1.0 + second, time_ns=START_NS + second * SECOND_NS)
    assert gate.check(START_NS + 4 * SECOND_NS).mode is TradingMode.ACTIVE
    assert gate.check(START_NS + 120 * MINUTE_NS).mode is TradingMode.HALTED


def test_the_state_of_the_strategy_is_nobody_elses():
    """`self.trading_state` is an attribute: the engine, and the algorithm that works the orders, never hear of it."""
    told, states = [], []

    class Watched(PrintedStrategy):
        def on_bar(self, bar):
            self.msgbus.subscribe("events.risk", told.append)
            super().on_bar(bar)
            states.append(self.trading_state)

    with run_engine(Watched(), flat_market(3), algorithms=[TwapAdaptive()]):
        pass
    assert states == [TradingState.REDUCING, TradingState.ACTIVE, TradingState.ACTIVE]
    assert told == []


def test_an_order_for_an_algorithm_that_nobody_runs_waits_for_ever():
    sent = []

    def send(strategy):
        sent.append(strategy.market(BUY, "0.100", exec_algorithm_id=ExecAlgorithmId("TWAP_ADAPTIVE")))

    with run_engine(PlannedStrategy({1: send}), flat_market(3)):
        assert sent[0].status == OrderStatus.INITIALIZED
    with run_engine(PlannedStrategy({1: send}), flat_market(3), algorithms=[TwapAdaptive()]):
        assert sent[1].status == OrderStatus.DENIED  # without parameters, and the event says so


def test_through_zero_in_one_order():
    """From long .1 to short .2 the listing sends .3 at once; a limit that lets only reduce can not judge it."""

    class Turning(PrintedStrategy):
        def on_bar(self, bar):
            if self.portfolio.net_position(INSTRUMENT.id):
                super().on_bar(bar)
                return
            self._update_liquidity_gate()
            self.submit_order(self.order_factory.market(INSTRUMENT.id, BUY, Quantity.from_str("0.100")))

    printed = Turning("-0.200")
    with run_engine(printed, flat_market(2), algorithms=[TwapAdaptive()]):
        pass
    assert printed.sent == [Decimal("-0.3")]
    ours = plan("-0.2", "0.1").order
    assert (ours.quantity, ours.reduce_only) == (Decimal("-0.1"), True)
