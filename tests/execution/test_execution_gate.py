"""The gate in the real engine: what it refuses, whom it tells, and what nobody can get around."""

import json
from contextlib import contextmanager
from decimal import Decimal

import numpy as np
import pytest
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.config import ExecAlgorithmConfig, StrategyConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.algorithm import ExecAlgorithm
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.enums import OrderStatus, TradingState, TrailingOffsetType, TriggerType
from nautilus_trader.model.events import OrderCanceled, OrderDenied, OrderFilled, OrderModifyRejected, OrderUpdated
from nautilus_trader.model.identifiers import ExecAlgorithmId, InstrumentId, StrategyId
from nautilus_trader.model.objects import Price, Quantity

from companion.execution import Breach, RiskLimits, TradingMode
from companion.execution.nautilus import ModeChange, Refusal, RiskGate
from tests.execution.engine import (
    BUY,
    INSTRUMENT,
    SECOND_NS,
    SELL,
    START_NS,
    PlannedStrategy,
    all_fills,
    bar_times,
    filled_quantity,
    flat_market,
    limited_instrument,
    make_bars,
    make_engine,
    make_quotes,
    quote_times,
    run_engine,
    signed_quantity,
)

D = Decimal
GIVEN = {
    "max_order_quantity": D("1"),
    "max_order_notional": D("60000"),
    "max_position": D("2"),
    "max_open_orders": 3,
    "price_collar": D("0.02"),
    "period_collar": D("0.05"),
    "period_s": 120.0,
    "max_messages": 50,
    "message_window_s": 60.0,
    "max_repeats": 50,
    "repeat_window_s": 3600.0,
    "max_daily_loss": D("0.03"),
    "max_quote_age_s": 15.0,
}
DAY_NS = 86_400 * SECOND_NS
PER_MINUTE = 6


@contextmanager
def gated(plan, market=None, *, limits=None, config=None, **options):
    """A strategy that follows a plan behind a gate, after the run: ``with gated({2: …}) as (strategy, engine)``."""
    strategies = plan if isinstance(plan, list) else [PlannedStrategy(plan, config=config)]

    def install(engine):
        gate = RiskGate(engine.kernel, limits if isinstance(limits, dict) else RiskLimits(**GIVEN))
        heard = []
        engine.kernel.msgbus.subscribe("events.gate", heard.append)
        for strategy in strategies:
            strategy.gate, strategy.heard, strategy.kernel = gate, heard, engine.kernel

    if not isinstance(limits, dict):
        limits = {str(INSTRUMENT.id): RiskLimits(**GIVEN)}
    market = market or flat_market(6, quotes_per_minute=PER_MINUTE)
    with run_engine(strategies, market, prepare=install, **options) as engine:
        yield strategies[0], engine


def limit_to(**limits):
    """Limits of the one instrument, changed."""
    return {str(INSTRUMENT.id): RiskLimits(**GIVEN | limits)}


def rules(strategy):
    return [refusal.rule for refusal in strategy.gate.refusals]


def send(mode, source="test", reason="a test"):
    """A step of a plan that sets the mode."""
    return lambda s: s.msgbus.send("RiskGate.mode", ModeChange(source=source, mode=TradingMode(mode), reason=reason))


def moving_market(*levels):
    """Minutes of a market whose bid is given for each of them, ten seconds between quotes."""
    bid = np.repeat(np.array(levels, dtype=float), PER_MINUTE)
    return flat_market(len(levels), quotes_per_minute=PER_MINUTE, bid=bid)


def test_a_refusal_is_a_denial_an_event_and_a_record():
    with gated({2: lambda s: s.market(BUY, "1.001")}) as (strategy, engine):
        (refusal,) = strategy.gate.refusals
        (denied,) = strategy.events_of(OrderDenied)
        assert strategy.heard == [refusal]
        assert refusal == Refusal(
            time_ns=int(bar_times(2)[-1]),
            rule="order_quantity",
            reason="1.001 is above 1",
            order_id=denied.client_order_id.value,
            strategy_id=strategy.id.value,
            quantity=D("1.001"),
        )
        assert denied.reason == "order_quantity: 1.001 is above 1"
        assert [order.status for order in engine.cache.orders()] == [OrderStatus.DENIED]


def trailing(strategy):
    order = strategy.order_factory.trailing_stop_market(
        INSTRUMENT.id,
        SELL,
        Quantity.from_str("0.100"),
        trailing_offset=D(10),
        trailing_offset_type=TrailingOffsetType.PRICE,
    )
    strategy.submit_order(order)


def of_unknown_instrument(strategy):
    unknown = InstrumentId.from_str("ETHUSDT-PERP.BINANCE")
    strategy.submit_order(strategy.order_factory.market(unknown, BUY, Quantity.from_str("0.100")))


WIDE = flat_market(6, quotes_per_minute=PER_MINUTE, spread=2100.0)
NO_QUOTES = ([], flat_market(6)[1])
STALE = (make_quotes(quote_times(1, 1), 50_000.0, 50_000.1), flat_market(6)[1])
CROSSED = flat_market(6, quotes_per_minute=PER_MINUTE, spread=-0.1)
UNLIMITED = limited_instrument(max_quantity=None, min_quantity=None, min_notional=None)


@pytest.mark.parametrize(
    ("rule", "order", "options"),
    [
        ("precision", lambda s: s.market(BUY, "0.1"), {}),
        ("precision", lambda s: s.market(BUY, "0.1234"), {}),
        ("precision", lambda s: s.limit(BUY, "0.100", "49999.95"), {}),
        ("precision", lambda s: s.limit(BUY, "0.100", "50000"), {}),
        ("order_type", trailing, {}),
        ("order_type", lambda s: s.market(BUY, "100.000", quote_quantity=True), {}),
        ("limits", lambda s: s.market(BUY, "0.100"), {"limits": {"ETHUSDT-PERP.BINANCE": RiskLimits(**GIVEN)}}),
        (
            "instrument",
            of_unknown_instrument,
            {"limits": {"ETHUSDT-PERP.BINANCE": RiskLimits(**GIVEN)}},
        ),
        ("instrument_size", lambda s: s.market(BUY, "0.100"), {"instrument": limited_instrument(max_quantity="0.050")}),
        ("quote", lambda s: s.market(BUY, "0.100"), {"market": NO_QUOTES}),
        ("quote", lambda s: s.market(BUY, "0.100"), {"market": STALE}),
        ("quote", lambda s: s.market(BUY, "0.100"), {"market": CROSSED}),
        ("price_collar", lambda s: s.limit(BUY, "0.100", "51000.2"), {}),
        ("price_collar", lambda s: s.limit(SELL, "0.100", "48999.9"), {}),
        ("price_collar", lambda s: s.market(BUY, "0.100"), {"market": WIDE}),
        ("order_quantity", lambda s: s.market(SELL, "1.001"), {}),
        ("order_notional", lambda s: s.market(BUY, "0.500"), {"limits": limit_to(max_order_notional=D("25000"))}),
        ("order_liquidity", lambda s: s.market(BUY, "0.500"), {"limits": limit_to(max_liquidity_share=D("0.09"))}),
        ("position", lambda s: s.market(BUY, "0.500"), {"limits": limit_to(max_position=D("0.499"))}),
        ("margin", lambda s: s.market(BUY, "0.500"), {"balance": 1000, "leverage": 1}),
        ("reducing", lambda s: (send("reducing")(s), s.market(BUY, "0.100")), {}),
        ("halted", lambda s: (send("halted")(s), s.market(BUY, "0.100")), {}),
        ("flatten", lambda s: s.market(BUY, "0.100", tags=["FLATTEN"]), {}),
    ],
)
def test_each_rule_refuses_in_the_engine(rule, order, options):
    with gated({3: order}, **options) as (strategy, engine):
        assert rules(strategy) == [rule]
        assert strategy.events_of(OrderDenied)[0].reason.startswith(f"{rule}: ")
        assert not all_fills(engine)


@pytest.mark.parametrize("limits", [None, limit_to(max_liquidity_share=D("0.1")), limit_to(max_position=D("0.5"))])
@pytest.mark.parametrize("instrument", [INSTRUMENT, UNLIMITED])
def test_orders_within_the_limits_pass_untouched(limits, instrument):
    plan = {2: lambda s: s.market(BUY, "0.500"), 3: lambda s: s.limit(SELL, "0.500", "50000.0")}
    with gated(plan, limits=limits, instrument=instrument) as (strategy, engine):
        assert strategy.gate.refusals == strategy.heard == []
        assert [signed_quantity(fill) for fill in all_fills(engine)] == [D("0.5"), D("-0.5")]


@pytest.mark.parametrize(("levels", "rule"), [((50_000, 50_000, 47_600, 47_600), None), ((50_000, 50_000, 47_400), 1)])
def test_a_market_that_ran_away_takes_no_orders(levels, rule):
    plan = {3: lambda s: s.market(SELL, "0.100"), 6: lambda s: s.market(SELL, "0.100")}
    with gated(plan, moving_market(*levels, *[levels[-1]] * 4)) as (strategy, engine):
        assert rules(strategy) == (["period_collar"] if rule else [])
        # Two minutes later the market is where it was a period ago.
        assert all_fills(engine)[-1].ts_event >= bar_times(6)[-1]


@pytest.mark.parametrize("latency_s", [0, 5])
def test_an_order_counts_from_the_moment_it_is_let_through(latency_s):
    """Six orders in one callback, before the venue has heard of any: those that fit pass, whatever is filled later."""

    def burst(s):
        for side in (BUY, SELL):
            for _ in range(3):
                s.market(side, "0.400")

    limits = limit_to(max_position=D("1"), max_open_orders=9)
    with gated({2: burst}, limits=limits, latency_model=LatencyModel(latency_s * SECOND_NS)) as (strategy, engine):
        assert rules(strategy) == ["position", "position"]
        assert [refusal.quantity for refusal in strategy.gate.refusals] == [D("0.4"), D("-0.4")]
        held = np.cumsum([signed_quantity(fill) for fill in all_fills(engine)])
        assert len(held) == 4
        assert max(abs(held)) <= 1


def test_open_orders_are_counted_until_they_are_closed():
    def quote(s):
        s.orders = [s.limit(BUY, "0.100", f"{49_500 + i}.0") for i in range(4)]

    plan = {2: quote, 3: lambda s: s.cancel_order(s.orders[0]), 4: lambda s: s.limit(BUY, "0.100", "49500.0")}
    with gated(plan) as (strategy, engine):
        assert rules(strategy) == ["open_orders"]
        assert len(engine.cache.orders_open()) == 3


def test_a_cancel_is_counted_and_never_refused():
    """Five orders and five cancels use up ten messages; the cancels pass beyond the limit, the next order does not."""

    def send_and_cancel(s):
        for i in range(5):
            s.cancel_order(s.limit(BUY, "0.100", f"{49_500 + i}.0"))

    limits = limit_to(max_messages=6, max_open_orders=9)
    plan = {2: send_and_cancel, 3: lambda s: s.market(BUY, "0.100"), 5: lambda s: s.market(BUY, "0.100")}
    with gated(plan, limits=limits) as (strategy, engine):
        canceled = [order for order in engine.cache.orders() if order.status is OrderStatus.CANCELED]
        assert rules(strategy) == ["messages"] * 2
        assert [refusal.time_ns for refusal in strategy.gate.refusals] == [int(bar_times(2)[-1])] * 2
        assert len(canceled) == 3
        assert len(all_fills(engine)) == 2


@pytest.mark.parametrize(
    ("cancel", "n_messages"),
    [
        (lambda s: s.cancel_order(s.orders[0]), 1),
        (lambda s: s.cancel_all_orders(INSTRUMENT.id), 1),
        (lambda s: s.cancel_orders(s.orders), 3),
    ],
)
def test_every_kind_of_cancel_is_counted(cancel, n_messages):
    """The room for messages of one minute is what the cancels at its beginning leave."""

    def quote(s):
        s.orders = [s.limit(BUY, "0.100", f"{49_500 + i}.0") for i in range(3)]

    def fill_up(s):
        cancel(s)
        for _ in range(5):
            s.market(BUY, "0.001")

    with gated({2: quote, 4: fill_up}, limits=limit_to(max_messages=5, max_open_orders=9)) as (strategy, engine):
        assert rules(strategy) == ["messages"] * n_messages
        assert len(all_fills(engine)) == 5 - n_messages


def repeat(s):
    s.market(BUY if s.n_bars % 2 else SELL, "0.100")


def test_repeated_execution_disables_a_strategy_until_a_person_enables_it():
    """Three orders pass; the fourth disables the strategy, and not the other one. Time alone does not enable it."""

    def enable(s):
        s.gate.enable(s.id.value, reason="looked at it: the signal is real")
        repeat(s)

    plan = dict.fromkeys((1, 2, 3, 4, 5, 8), repeat) | {9: enable}
    other = PlannedStrategy({6: repeat}, config=StrategyConfig(strategy_id="OTHER", order_id_tag="002"))
    strategies = [PlannedStrategy(plan, config=StrategyConfig(strategy_id="KNIGHT", order_id_tag="001")), other]
    market = flat_market(10, quotes_per_minute=PER_MINUTE)
    with gated(strategies, market, limits=limit_to(max_repeats=3, repeat_window_s=200.0)) as (strategy, _):
        assert rules(strategy) == ["repeats", "disabled", "disabled"]
        assert {refusal.strategy_id for refusal in strategy.gate.refusals} == {"KNIGHT-001"}
        assert len(strategy.events_of(OrderFilled)) == 4
        assert len(other.events_of(OrderFilled)) == 1
        assert strategy.gate.disabled == {}


def test_a_disabled_strategy_loses_its_orders_at_work_and_may_flatten():
    def spree(s):
        s.market(BUY, "0.200")
        s.limit(BUY, "0.100", "49500.0")
        s.market(BUY, "0.100")

    plan = {
        2: spree,
        3: lambda s: s.market(SELL, "0.200"),
        4: lambda s: s.market(SELL, "0.200", tags=["FLATTEN"]),
    }
    with gated(plan, limits=limit_to(max_repeats=2)) as (strategy, engine):
        assert rules(strategy) == ["repeats", "disabled"]
        assert len(strategy.events_of(OrderCanceled)) == 1
        assert filled_quantity(engine) == 0
        assert "nobody looked" in strategy.gate.disabled[strategy.id.value]


FALL = (50_000, 50_000, 48_500, 47_000, 46_900, 48_000, 50_000, 50_000, 50_000)


@pytest.mark.parametrize("enabled", [False, True])
def test_the_daily_loss_is_that_of_equity_and_latched(enabled):
    """1 BTC bought at 50,000 on 90,000: at 47,000 a loss of 3.3 %, unrealized, beyond 3 %; all is back at bar 7."""

    def person(s):
        assert s.gate.disabled.keys() == {"daily_loss"}
        if enabled:
            s.gate.enable("daily_loss", reason="the loss is understood, half the size from now on")

    plan = {
        1: lambda s: s.market(BUY, "1.000"),
        5: lambda s: (s.market(BUY, "0.100"), s.market(SELL, "0.400"), s.market(SELL, "0.700")),
        7: person,
        8: lambda s: s.market(BUY, "0.100"),
    }
    limits = limit_to(period_collar=D("0.5"))
    with gated(plan, moving_market(*FALL), limits=limits, balance=90_000) as (strategy, engine):
        assert rules(strategy) == ["reducing", "reducing"] + [] * enabled + ["reducing"] * (not enabled)
        assert filled_quantity(engine) == D("0.6") + D("0.1") * enabled
        change = next(event for event in strategy.heard if isinstance(event, ModeChange))
        assert (change.source, change.mode) == ("daily_loss", TradingMode.REDUCING)
        assert change.reason.startswith("daily loss of 3.3")


@pytest.mark.parametrize("midnight", [False, True])
def test_a_day_begins_at_midnight_utc(midnight):
    """Two falls of 2 % of equity, once within a day and once with midnight between them."""
    minutes = np.arange(1, 7)
    gap = DAY_NS if midnight else 0
    bars = bar_times(6) + np.where(minutes > 3, gap, 0)
    quotes = np.sort(np.concatenate([bars - 20 * SECOND_NS, bars - 10 * SECOND_NS, bars - 1 * SECOND_NS]))
    level = np.array([50_000.0, 50_000, 48_200, 48_200, 46_400, 46_400])
    market = (make_quotes(quotes, np.repeat(level, 3), np.repeat(level, 3) + 0.1), make_bars(bars, level))
    plan = {1: lambda s: s.market(BUY, "1.000"), 6: lambda s: s.market(BUY, "0.100")}
    with gated(plan, market, limits=limit_to(period_collar=D("0.5")), balance=90_000) as (strategy, _):
        assert rules(strategy) == ([] if midnight else ["reducing"])


def test_an_equity_that_is_gone_is_a_loss_of_the_day():
    """Ten thousand on one bitcoin that loses eleven: only the way out is left."""
    plan = {
        1: lambda s: s.market(BUY, "1.000"),
        4: lambda s: (s.market(BUY, "0.100"), s.market(SELL, "1.000")),
    }
    market = moving_market(50_000, 50_000, 39_000, 39_000, 39_000)
    with gated(plan, market, limits=limit_to(period_collar=D("0.5")), balance=10_000) as (strategy, engine):
        assert "not an amount" in strategy.gate.disabled["daily_loss"]
        assert rules(strategy) == ["reducing"]
        assert filled_quantity(engine) == 0


def test_without_an_account_nothing_passes_and_nothing_is_latched():
    engine = make_engine()
    try:
        gate = RiskGate(engine.kernel, RiskLimits(**GIVEN))
        engine.cache.add_quote_tick(make_quotes([START_NS], 50_000.0, 50_000.1)[0])
        orders = OrderFactory(engine.trader_id, StrategyId("S-001"), TestClock())
        order = orders.market(INSTRUMENT.id, BUY, Quantity.from_str("0.100"))
        assert gate.check(order) == Breach("equity", "the equity of a margin account is not known")
        assert gate.equity(INSTRUMENT.id) is None
        assert gate.mode is TradingMode.ACTIVE
    finally:
        engine.dispose()


def test_what_was_disabled_stays_so_over_a_restart():
    """A strategy and a day that were stopped: the next gate goes on from its state till a person acts."""
    plan = {1: lambda s: s.market(BUY, "1.000"), 2: lambda s: s.market(BUY, "0.100")}
    limits = limit_to(period_collar=D("0.5"), max_repeats=1)
    with gated(plan, moving_market(*FALL), limits=limits, balance=90_000) as (strategy, _):
        state = json.loads(json.dumps(strategy.gate.state()))
        assert state["disabled"].keys() == {"daily_loss", strategy.id.value}

    def go_on(s):
        s.gate.restore(state)
        s.market(BUY, "0.100")
        s.gate.enable(s.id.value, reason="looked at it")
        s.market(BUY, "0.100")
        s.gate.enable("daily_loss", reason="looked at it")
        s.market(BUY, "0.100")

    with gated({2: go_on}, limits=limits) as (strategy, engine):
        assert rules(strategy) == ["disabled", "reducing"]
        assert filled_quantity(engine) == D("0.1")
        for wrong in (
            {},
            {"disabled": {}},
            {"disabled": None, "daily_loss": {}},
            {"disabled": {}, "daily_loss": {"x": 1}},
        ):
            with pytest.raises(ValueError, match=r"^state must be"):
                strategy.gate.restore(wrong)


def make_order(s, side=BUY, quantity="0.100"):
    return s.order_factory.market(INSTRUMENT.id, side, Quantity.from_str(quantity))


@pytest.mark.parametrize("latency_s", [0, 1])
def test_the_strictest_source_decides_and_every_change_is_published_once(latency_s):
    plan = {
        1: send("reducing", "spread"),
        2: send("halted", "feed"),
        3: lambda s: (send("reducing", "feed")(s), send("reducing", "feed")(s)),
        4: send("active", "spread"),
        5: send("active", "feed"),
    }
    with gated(plan, latency_model=LatencyModel(latency_s * SECOND_NS)) as (strategy, _):
        told = [(change.source, change.mode.value) for change in strategy.heard]
        assert told == [("spread", "reducing"), ("feed", "halted"), ("feed", "reducing"), ("feed", "active")]
        assert strategy.gate.mode is TradingMode.ACTIVE


def test_the_engines_own_trading_state_is_one_of_the_sources():
    plan = {
        2: lambda s: s.market(BUY, "0.100"),
        3: lambda s: s.kernel.risk_engine.set_trading_state(TradingState.REDUCING),
        4: lambda s: s.market(SELL, "0.300"),
        5: lambda s: s.kernel.risk_engine.set_trading_state(TradingState.ACTIVE),
    }
    with gated(plan) as (strategy, engine):
        assert [change.source for change in strategy.heard if isinstance(change, ModeChange)] == ["engine"] * 2
        assert rules(strategy) == ["reducing"]
        assert filled_quantity(engine) == D("0.1")


def test_reducing_cancels_what_would_grow_the_position_and_keeps_what_shrinks_it():
    def quote(s):
        s.growing = s.limit(BUY, "0.100", "49500.0")
        s.shrinking = s.limit(SELL, "0.300", "50500.0")
        s.turning = s.limit(SELL, "0.300", "50600.0")

    plan = {2: lambda s: s.market(BUY, "0.400"), 3: quote, 4: send("reducing")}
    with gated(plan) as (strategy, engine):
        assert strategy.growing.status is strategy.turning.status is OrderStatus.CANCELED
        assert engine.cache.orders_open() == [strategy.shrinking]


def test_halted_cancels_everything_and_lets_a_flatten_through_by_name():
    def halt(s):
        s.limit(SELL, "0.100", "50500.0")
        send("halted")(s)

    plan = {
        2: lambda s: s.market(BUY, "0.400"),
        3: halt,
        4: lambda s: (
            s.market(SELL, "0.400"),
            s.market(SELL, "0.401", tags=["FLATTEN"]),
            s.market(SELL, "0.400", tags=["FLATTEN"]),
            s.market(SELL, "0.001", tags=["FLATTEN"]),
        ),
    }
    with gated(plan) as (strategy, engine):
        assert rules(strategy) == ["halted", "flatten", "flatten"]
        assert filled_quantity(engine) == 0
        assert not engine.cache.orders_open()


def test_a_halt_without_a_quote_still_lets_a_flatten_through():
    """The feed is dead and the position must go: by name it may, whatever the price will be."""
    quotes, bars = flat_market(6, quotes_per_minute=PER_MINUTE)
    quotes = [quote for quote in quotes if quote.ts_event <= bar_times(3)[-1]]
    plan = {
        2: lambda s: s.market(BUY, "0.400"),
        5: lambda s: (s.market(SELL, "0.400"), s.market(SELL, "0.400", tags=["FLATTEN"])),
    }
    with gated(plan, (quotes, bars)) as (strategy, engine):
        assert rules(strategy) == ["quote"]
        assert filled_quantity(engine) == 0


def test_a_change_is_judged_as_a_new_order():
    def quote(s):
        s.o = s.limit(BUY, "0.100", "49500.0")

    def change(quantity=None, price=None):
        return lambda s: s.modify_order(s.o, quantity and Quantity.from_str(quantity), price and Price.from_str(price))

    plan = {2: quote, 3: change("1.001"), 4: change(price="48000.0"), 5: change("0.2"), 6: change("0.300", "49600.0")}
    with gated(plan, flat_market(7, quotes_per_minute=PER_MINUTE)) as (strategy, _):
        assert rules(strategy) == ["order_quantity", "price_collar", "precision"]
        assert [refusal.quantity for refusal in strategy.gate.refusals] == [D("1.001"), D("0.1"), D("0.2")]
        rejected = strategy.events_of(OrderModifyRejected)
        assert [event.reason.partition(":")[0] for event in rejected] == rules(strategy)
        assert len(strategy.events_of(OrderUpdated)) == 1
        assert (str(strategy.o.quantity), str(strategy.o.price)) == ("0.300", "49600.0")
        assert strategy.o.status is OrderStatus.ACCEPTED


def test_a_change_counts_before_the_venue_has_answered():
    """1.0 at work becomes 1.5 of a largest position of 2: the next 0.6 has no room, before the answer and after."""

    def quote(s):
        s.o = s.limit(BUY, "1.000", "49500.0")

    def grow(s):
        s.modify_order(s.o, Quantity.from_str("1.500"))
        s.limit(BUY, "0.600", "49500.0")

    def shrink(s):
        s.modify_order(s.o, Quantity.from_str("0.500"))
        s.limit(BUY, "0.600", "49500.0")

    plan = {2: quote, 3: grow, 4: shrink, 5: lambda s: s.limit(BUY, "0.600", "49500.0")}
    limits = limit_to(max_order_quantity=D("1.5"), max_order_notional=D("90000"))
    with gated(plan, limits=limits, latency_model=LatencyModel(SECOND_NS)) as (strategy, engine):
        assert rules(strategy) == ["position", "position"]
        assert sum(order.leaves_qty.as_decimal() for order in engine.cache.orders_open()) == D("1.1")


@pytest.mark.parametrize(("take_profit", "refused"), [("50500.0", 0), ("60000.0", 3)])
def test_a_list_of_orders_passes_or_fails_as_one(take_profit, refused):
    def bracket(s):
        s.submit_order_list(
            s.order_factory.bracket(
                INSTRUMENT.id,
                BUY,
                Quantity.from_str("0.100"),
                sl_trigger_price=Price.from_str("49500.0"),
                tp_price=Price.from_str(take_profit),
            )
        )

    with gated({2: bracket}) as (strategy, engine):
        assert len(strategy.events_of(OrderDenied)) == refused
        assert sorted(rules(strategy)) == (["order_list", "order_list", "price_collar"] if refused else [])
        assert (
            strategy.gate._instruments[INSTRUMENT.id].messages.count(engine.kernel.clock.timestamp_ns())
            == (0 if refused else 3)
            or engine.kernel.clock.timestamp_ns() > bar_times(3)[-1]
        )
        assert filled_quantity(engine) == (0 if refused else D("0.1"))


def around(s, order):
    """Send an order past the gate, as an operator's console might."""
    s.cache.add_order(order, None, None)
    s.kernel.exec_engine.execute(
        SubmitOrder(
            trader_id=s.trader_id,
            strategy_id=s.id,
            order=order,
            command_id=UUID4(),
            ts_init=s.clock.timestamp_ns(),
        )
    )


def test_what_somebody_else_did_counts():
    """A position and an order that never passed the gate: the room is what they leave, and closing is free."""
    by_hand = PlannedStrategy(
        {
            1: lambda s: around(s, make_order(s, BUY, "3.000")),
            2: lambda s: around(
                s, s.order_factory.limit(INSTRUMENT.id, SELL, Quantity.from_str("2.000"), Price.from_str("50500.0"))
            ),
        },
        config=StrategyConfig(strategy_id="HAND", order_id_tag="001"),
    )
    ours = PlannedStrategy(
        {
            3: lambda s: (s.market(BUY, "0.100"), s.market(SELL, "0.500"), send("reducing")(s)),
            4: lambda s: s.market(SELL, "0.600"),
        },
        config=StrategyConfig(strategy_id="OURS", order_id_tag="002"),
    )
    with gated([ours, by_hand]) as (strategy, engine):
        assert rules(strategy) == ["position", "reducing"]
        assert filled_quantity(engine) == D("2.5")


class Slicer(ExecAlgorithm):
    """Sends a child of 0.3 and the rest, one second apart."""

    def __init__(self):
        super().__init__(ExecAlgorithmConfig(exec_algorithm_id=ExecAlgorithmId("SLICER")))

    def on_order(self, order):
        for i in (1, 2):
            at = self.clock.timestamp_ns() + i * SECOND_NS
            self.clock.set_time_alert_ns(f"{order.client_order_id}-{i}", at, lambda _, i=i: self.send(order, i))

    def send(self, order, i):
        self.submit_order(self.spawn_market(order, Quantity.from_str("0.300")) if i == 1 else order)


def test_an_algorithms_children_pass_the_gate_too():
    plan = {2: lambda s: s.market(BUY, "0.700", exec_algorithm_id=ExecAlgorithmId("SLICER"))}
    with gated(plan, limits=limit_to(max_order_quantity=D("0.35")), algorithms=[Slicer()]) as (strategy, engine):
        assert rules(strategy) == ["order_quantity"]
        assert [signed_quantity(fill) for fill in all_fills(engine)] == [D("0.3")]


def test_an_order_that_the_engine_emulates_is_judged_when_it_is_released():
    """An emulator releases to the execution engine directly: no risk check of the engine sees that order again."""

    def emulate(s):
        s.o = s.limit(BUY, "1.500", "49000.0", emulation_trigger=TriggerType.BID_ASK)
        s.p = s.limit(BUY, "0.500", "49000.0", emulation_trigger=TriggerType.BID_ASK)

    with gated({2: emulate}, moving_market(50_000, 50_000, 50_000, 48_900, 48_900)) as (strategy, engine):
        assert rules(strategy) == ["order_quantity"]
        assert filled_quantity(engine) == D("0.5")
        assert [order.status for order in engine.cache.orders() if order.quantity == Quantity.from_str("1.500")] == [
            OrderStatus.DENIED
        ]


def test_removed_the_gate_lets_everything_pass_again():
    plan = {2: lambda s: (s.gate.remove(), s.market(BUY, "5.000")), 3: lambda s: s.market(SELL, "5.000")}
    with gated(plan) as (strategy, engine):
        assert strategy.gate.refusals == []
        assert len(all_fills(engine)) >= 2


def test_checking_an_order_counts_nothing():
    def check(s):
        s.first = [s.gate.check(make_order(s)) for _ in range(100)]
        s.market(BUY, "0.100")

    with gated({2: check}, limits=limit_to(max_messages=1, max_repeats=1)) as (strategy, engine):
        assert strategy.first == [None] * 100
        assert rules(strategy) == []
        assert filled_quantity(engine) == D("0.1")


@pytest.mark.parametrize("wrong", [None, {}, {"BTCUSDT-PERP.BINANCE": None}, GIVEN])
def test_a_gate_without_limits_is_refused(wrong):
    with (
        run_engine(PlannedStrategy(), ([], [])) as engine,
        pytest.raises(ValueError, match=r"^limits must be RiskLimits"),
    ):
        RiskGate(engine.kernel, wrong)


@pytest.mark.parametrize("wrong", ["reducing", None, ModeChange(source="x", mode="reducing", reason="text")])
def test_what_is_no_mode_is_refused(wrong):
    with gated({}) as (strategy, _), pytest.raises(ValueError, match=r"^change must be a ModeChange"):
        strategy.gate.change_mode(wrong)


@pytest.mark.parametrize(("name", "reason"), [("S-001", "a reason"), ("daily_loss", "a reason"), (None, "a reason")])
def test_only_the_disabled_are_enabled(name, reason):
    with gated({}) as (strategy, _), pytest.raises(ValueError, match=r"^name must be one of the disabled"):
        strategy.gate.enable(name, reason=reason)


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_who_enables_says_why(reason):
    with gated({2: repeat, 3: repeat}, limits=limit_to(max_repeats=1)) as (strategy, _):
        with pytest.raises(ValueError, match=r"^reason must say why"):
            strategy.gate.enable(strategy.id.value, reason=reason)
        assert strategy.gate.disabled


@pytest.mark.parametrize("endpoint", ["RiskEngine.execute", "ExecEngine.execute"])
def test_an_order_that_was_canceled_while_its_command_waited_does_not_leave(endpoint):
    """The engine would send it to the venue, and it would be filled."""

    def send_late(s):
        order = make_order(s, BUY, "0.100")
        s.cache.add_order(order, None, None)
        names = {name: getattr(order, name) for name in ("trader_id", "strategy_id")}
        ids = {"instrument_id": order.instrument_id, "client_order_id": order.client_order_id}
        nothing = {"venue_order_id": None, "account_id": None}
        order.apply(OrderCanceled(**names, **ids, **nothing, event_id=UUID4(), ts_event=0, ts_init=0))
        s.msgbus.send(endpoint, SubmitOrder(**names, order=order, command_id=UUID4(), ts_init=0))

    with gated({2: send_late}) as (strategy, engine):
        assert filled_quantity(engine) == 0
        assert [order.status for order in engine.cache.orders()] == [OrderStatus.CANCELED]
        assert not strategy.gate._instruments or not strategy.gate._instruments[INSTRUMENT.id].working


def announce(heard, fails=lambda order: False):
    """A step of a plan that lets somebody write orders down."""

    def write(order):
        if fails(order):
            raise OSError("no space left")
        heard.append(order.client_order_id)

    return lambda strategy: setattr(strategy.gate, "before_send", write)


def test_every_order_that_passes_is_announced_before_it_leaves():
    """Single orders, lists, slices of an algorithm and what the engine emulates; not what is refused."""
    heard, counts = [], []

    def plan(strategy):
        announce(heard)(strategy)
        write = strategy.gate.before_send

        def count(order):
            write(order)
            counts.append((strategy.kernel.exec_engine.command_count, order.status))

        strategy.gate.before_send = count

    def bracket(s):
        orders = s.order_factory.bracket(
            INSTRUMENT.id,
            BUY,
            Quantity.from_str("0.100"),
            tp_price=Price.from_str("50500.0"),
            sl_trigger_price=Price.from_str("49500.0"),
        )
        s.submit_order_list(orders)

    steps = {1: plan, 2: lambda s: s.market(BUY, "0.100"), 3: lambda s: s.market(BUY, "1.001"), 4: bracket}
    with gated(steps) as (strategy, engine):
        left = [order for order in engine.cache.orders() if order.status is not OrderStatus.DENIED]
        assert rules(strategy) == ["order_quantity"]
        assert sorted(heard) == sorted(order.client_order_id for order in left)
        assert len(heard) == 4
        assert [status for _, status in counts] == [OrderStatus.INITIALIZED] * 4
        assert [n for n, _ in counts] == [0, 1, 1, 1]  # commands that the engine has seen: not this one


def test_what_can_not_be_written_down_does_not_leave_unless_it_flattens():
    """The rule is "journal", trading halts by that source, and a flatten leaves all the same."""
    heard = []
    steps = {
        2: lambda s: s.market(BUY, "0.100"),
        3: announce(heard, fails=lambda order: True),
        4: lambda s: s.market(BUY, "0.100"),
        5: lambda s: s.market(SELL, "0.100", tags=["FLATTEN"]),
    }
    with gated(steps) as (strategy, engine):
        (refusal,) = strategy.gate.refusals
        assert refusal.rule == "journal"
        assert "no space left" in refusal.reason
        assert refusal.time_ns == int(bar_times(4)[-1])
        assert strategy.gate.mode is TradingMode.HALTED
        (change,) = [event for event in strategy.heard if isinstance(event, ModeChange)]
        assert (change.source, change.mode) == ("journal", TradingMode.HALTED)
        assert [signed_quantity(fill) for fill in all_fills(engine)] == [D("0.1"), D("-0.1")]
        assert not heard


def test_a_list_of_which_one_can_not_be_written_down_is_refused_as_one():
    prices, heard = [Price.from_str("49900.0"), Price.from_str("49800.0")], []

    def two(s):
        orders = [s.order_factory.limit(INSTRUMENT.id, BUY, Quantity.from_str("0.100"), price) for price in prices]
        s.submit_order_list(s.order_factory.create_list(orders))

    steps = {1: announce(heard, fails=lambda order: order.price == prices[1]), 2: two}
    with gated(steps) as (strategy, engine):
        assert rules(strategy) == ["order_list", "journal"]
        assert all(order.status is OrderStatus.DENIED for order in engine.cache.orders())
        assert not list(strategy.gate._instruments[INSTRUMENT.id].alive())


def test_a_halt_while_a_command_is_on_its_way():
    """Live, a command waits between gate and venue: an order that nobody can cancel yet is refused when it comes."""
    heard = []

    def halt(s):
        announce(heard)(s)
        write = s.gate.before_send

        def and_halt(order):
            write(order)
            if "FLATTEN" not in (order.tags or ()):
                send("halted")(s)

        s.gate.before_send = and_halt

    steps = {
        2: lambda s: s.market(BUY, "0.100"),
        3: halt,
        4: lambda s: s.market(BUY, "0.100"),
        5: lambda s: s.market(SELL, "0.100", tags=["FLATTEN"]),
    }
    with gated(steps) as (strategy, engine):
        assert rules(strategy) == ["halted"]
        assert len(heard) == 2
        assert filled_quantity(engine) == 0
        assert not list(strategy.gate._instruments[INSTRUMENT.id].alive())


def test_an_account_whose_old_events_are_forgotten_is_read_anew():
    """A node forgets them: as many events as before need not be the same ones."""
    equities = []

    def forget(s):
        account = s.portfolio.account(INSTRUMENT.id.venue)
        n_before = account.event_count
        s.market(BUY, "0.100")  # judged now, filled a second later
        equities.append((n_before, s.gate.equity(INSTRUMENT.id)))
        account.purge_account_events(s.clock.timestamp_ns(), 0)

    def look(s):
        account = s.portfolio.account(INSTRUMENT.id.venue)
        unrealized = s.portfolio.unrealized_pnl(INSTRUMENT.id).as_decimal()
        total = account.balance_total(account.currencies()[0]).as_decimal() + unrealized
        equities.append((account.event_count, s.gate.equity(INSTRUMENT.id), total))

    steps = {2: lambda s: s.market(BUY, "0.100"), 3: forget, 4: look}
    unseen = {"limits": limit_to(period_s=86_400.0), "latency_model": LatencyModel(base_latency_nanos=SECOND_NS)}
    with gated(steps, **unseen):
        (n_before, before), (n_after, after, truth) = equities
        assert after == truth != before
        assert n_before == n_after


def test_refusals_are_kept_within_bounds():
    engine = make_engine()
    try:
        gate = RiskGate(engine.kernel, RiskLimits(**GIVEN), keep_refusals=2)
        strategy = PlannedStrategy(dict.fromkeys((1, 2, 3), lambda s: s.market(BUY, "1.001")))
        for data in flat_market(4, quotes_per_minute=PER_MINUTE):
            engine.add_data(data, sort=True)
        engine.add_strategy(strategy)
        engine.run()
        assert [refusal.time_ns for refusal in gate.refusals] == bar_times(3)[1:].tolist()
    finally:
        engine.dispose()
