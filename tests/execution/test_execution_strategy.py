"""The strategy in the real engine: the loop in its order, each documented posture, and no order from the future."""

import json
import math
from dataclasses import replace
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Money

from companion.desk import Desk, Momentum, Signal
from companion.execution import GateConfig, RiskLimits, TradingMode
from companion.execution.nautilus import ModeChange, RegimeStrategy, RegimeStrategyConfig, RiskGate, attach
from companion.execution.nautilus._strategy_breaker import Breaker
from companion.execution.nautilus._view import Holdings, HoldingsView
from companion.regimes import EwmaKMeans
from companion.risk import Posture, SafetyMonitor, SizingConfig
from tests.execution.engine import (
    BAR_TYPE,
    BUY,
    INSTRUMENT,
    MINUTE_NS,
    SECOND_NS,
    START_NS,
    PlannedStrategy,
    all_fills,
    cash_flow_equity,
    filled_quantity,
    flat_market,
    limited_instrument,
    random_market,
    run_engine,
)

WARM_UP = 4
#: A tenth of 100,000 at about 50,000.
FULL = Decimal("0.2")
LIMITS = RiskLimits(
    max_order_quantity=Decimal(1),
    max_order_notional=Decimal(60_000),
    max_position=Decimal(1),
    max_open_orders=5,
    price_collar=Decimal("0.01"),
    period_collar=Decimal("0.05"),
    period_s=60.0,
    max_messages=100,
    message_window_s=60.0,
    max_repeats=100,
    repeat_window_s=600.0,
    max_daily_loss=Decimal("0.5"),
    max_quote_age_s=5.0,
)


class Script(Signal):
    """A bet for each bar: what is bet is known in advance, so that the test knows the target; the last one stays."""

    def __init__(self, *bets: float) -> None:
        self.bets, self.n = bets, 0

    def update(self, close: float) -> float:
        self.n += 1
        bet = self.bets[min(self.n, len(self.bets)) - 1]
        if isinstance(bet, Exception):
            raise bet
        return bet

    def state(self) -> dict:
        return {"n": self.n}

    def restore(self, state: dict) -> None:
        self.n = state["n"]


@cache
def detector():
    sigma = np.repeat([1e-4, 1e-3], 300)
    returns = sigma * np.random.default_rng(1).standard_normal((20, 600))
    return EwmaKMeans(warm_up=WARM_UP).fit(returns)


def make_desk(*bets, instrument=INSTRUMENT, signal=None, **settings):
    """Holds a tenth of equity times the sign of each bet, whatever the regime, once it is warm."""
    sizing = SizingConfig(kappa=1.0, gamma=1.0, f_max=0.1)
    return Desk(
        detector(),
        sizing=sizing,
        instrument=instrument,
        leverage=lambda p_stable: 1.0,
        signal=signal or Script(*bets),
        window=3,
        bar="1min",
        **settings,
    )


def make_config(**settings):
    gate = GateConfig(window=120, sample_s=5.0, warm_up=5, k_enter=20.0, k_leave=10.0, calm_s=5.0)
    defaults = {"instrument_id": INSTRUMENT.id, "bar_type": BAR_TYPE, "gate": gate, "dead_band": Decimal("0.002")}
    return RegimeStrategyConfig(**defaults | settings)


class Run:
    """What one run left behind."""

    def __init__(
        self, desk, market, *, config=None, limits=LIMITS, strategies=(), instrument=INSTRUMENT, runs=None, **options
    ):
        if runs is not None:
            runs.append(self)

        def prepare(engine):
            self.parts = attach(
                engine, instrument=instrument, strategy=config or make_config(), desk=desk, limits=limits
            )

        with run_engine(list(strategies), market, prepare=prepare, instrument=instrument, **options) as engine:
            self.fills, self.orders = all_fills(engine), engine.cache.orders()
            self.held = engine.portfolio.net_position(instrument.id)
            bid = engine.cache.quote_tick(instrument.id).bid_price.as_decimal()
            self.equity = cash_flow_equity(engine, Decimal(100_000), bid)
            self.filled = filled_quantity(engine)
        self.strategy, self.gate = self.parts.strategy, self.parts.gate
        self.records, self.incidents = self.strategy.records, self.strategy.incidents


def moving(n_minutes, *, seed=1, fall=0.0, from_minute=0, still_after=None, spread=0.1, size=5.0, qpm=60):
    """Quotes whose price walks, falls by a share within a minute, or stands still; sizes always change."""
    rng, n = np.random.default_rng(seed), n_minutes * qpm
    steps = rng.normal(0.0, 4e-5, n)
    steps[from_minute * qpm : (from_minute + 1) * qpm] += math.log1p(-fall) / qpm
    if still_after is not None:
        steps[still_after * qpm :] = 0.0
    sizes = size * rng.uniform(0.8, 1.2, n).round(3)
    bid = np.round(50_000.0 * np.exp(np.cumsum(steps)), 1)
    return flat_market(n_minutes, quotes_per_minute=qpm, bid=bid, spread=spread, size=np.round(sizes, 3))


def at(minute, second=0):
    return START_NS + minute * MINUTE_NS + second * SECOND_NS


def without(market, start_ns, end_ns):
    """No quotes after one time and until another."""
    quotes, bars = market
    return [quote for quote in quotes if not start_ns <= quote.ts_event < end_ns], bars


def sent(run):
    return [record for record in run.records if record.order_id]


def said(run, text):
    return [record for record in run.records if any(text in reason for reason in record.reasons)]


# --- the loop --------------------------------------------------------------------------------------------------------


def test_it_comes_to_the_target_once():
    """One primary, worked in ten slices; while it works, and after, no pass sends anything more."""
    run = Run(make_desk(1.0), random_market(12, seed=1), config=make_config(loop_interval_s=5.0))
    (record,) = sent(run)
    assert record.target == record.plan.order.quantity == FULL == run.held == run.filled
    assert record.time_ns == at(WARM_UP + 2)  # the first bar has no return
    assert len(run.fills) == 10
    assert run.records[-1].equity == pytest.approx(
        run.equity, abs=Decimal("1e-7")
    )  # a long position, marked at the bid
    assert not run.incidents
    assert not run.gate.refusals


def test_the_desk_is_asked_once_a_bar():
    """The timer reconciles with the last decision: a desk that counts its bars is where it would be without."""
    run = Run(make_desk(1.0), random_market(10, seed=1), config=make_config(loop_interval_s=1.0))
    decisions = [record.decision for record in run.records if record.trigger == "bar"]
    assert [decision.n_bars for decision in decisions] == list(range(10))
    assert [decision.bar.close for decision in decisions] == [
        bar.close.as_double() for bar in random_market(10, seed=1)[1]
    ]


def test_records_show_what_the_desk_was_given():
    run = Run(make_desk(1.0), random_market(10, seed=1))
    replayed = make_desk(1.0)
    for record in run.records[:-1]:
        assert record.decision.held == record.held
        assert record.decision.equity == record.equity
        assert sum(record.decision.quote) / 2 == record.mid
        assert replayed.replay(record.decision) == record.decision


def test_a_market_order_where_there_is_no_horizon():
    run = Run(make_desk(1.0), random_market(8, seed=1), config=make_config(twap_horizon_s=None))
    (fill,) = run.fills
    assert fill.last_qty.as_decimal() == FULL
    assert fill.ts_event == at(WARM_UP + 2)


def test_a_turn_goes_through_zero_in_two_orders():
    run = Run(make_desk(*[1.0] * 9, -1.0), random_market(16, seed=1))
    quantities = [record.plan.order for record in sent(run)]
    assert [(order.quantity, order.reduce_only) for order in quantities] == [
        (FULL, False),
        (-FULL, True),
        (-FULL, False),
    ]
    assert run.held == -FULL == run.filled


def test_a_target_that_turns_while_its_order_works():
    """The working order is canceled, what it has filled is held, and the rest of the way is one order, not two."""
    config = make_config(twap_horizon_s=300.0, twap_interval_s=30.0)
    run = Run(make_desk(*[1.0] * 7, 0.0), random_market(20, seed=1), config=config)
    assert run.held == 0 == run.filled
    first, second = sent(run)
    assert second.plan.cancel == (first.order_id,)
    assert second.plan.order.quantity == -second.held
    (incident,) = run.incidents
    assert (incident.event, incident.reason) == ("canceled", "the strategy asked for it")
    assert incident.quantity + second.held == FULL


def test_what_is_held_and_what_works_add_up():
    """Seen from the cache alone at each bar, by a view that was made only then, as after a restart."""
    looks, runs = [], []

    def look(strategy):
        view = HoldingsView(runs[0].parts.strategy, INSTRUMENT)
        looks.append(view.read())

    observer = PlannedStrategy(dict.fromkeys(range(1, 14), look))
    config = make_config(twap_horizon_s=300.0, twap_interval_s=7.0)
    Run(make_desk(1.0), random_market(14, seed=1), config=config, strategies=[observer], runs=runs)
    first, *_, last = looks
    assert first == Holdings(Decimal(0), Decimal(0), ())
    assert last == Holdings(FULL, FULL, ())
    working = [here for here in looks if here.working]
    assert len(working) == 4
    for here in working:
        (order,) = here.working
        assert here.held == here.own == FULL - order.remaining
        assert here.in_flight == order.remaining > 0
        assert not order.cancelling
    assert len({here.held for here in working}) == 4


def test_orders_on_their_way_are_not_sent_again():
    """Three seconds to the venue and a loop each second: one order, and one to flatten, though both are long unseen."""
    latency = LatencyModel(base_latency_nanos=3 * SECOND_NS)
    config = make_config(twap_horizon_s=None, loop_interval_s=1.0)
    run = Run(
        make_desk(*[1.0] * 8, RuntimeError("no more")), random_market(12, seed=1), config=config, latency_model=latency
    )
    assert [fill.ts_event - order.ts_init for fill, order in zip(run.fills, run.orders, strict=True)] == [
        3 * SECOND_NS
    ] * 2
    assert run.held == 0
    assert run.records[-1].time_ns == at(9, 3)  # it stops when nothing is held any more


def test_prices_are_in_ticks_that_are_no_power_of_ten():
    """A slice with a price between two ticks would be refused, and with it the order, again and again."""
    instrument, n = limited_instrument(price_increment="0.5"), 12 * 60
    bid = np.round(2 * 47_700.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0.0, 4e-5, n)))) / 2
    market = flat_market(12, bid=bid, spread=0.5, size=np.full(n, 5.0))
    run = Run(make_desk(1.0, instrument=instrument), market, instrument=instrument)
    assert not run.gate.refusals
    assert run.held == run.filled > 0


def test_largest_order():
    run = Run(make_desk(1.0), random_market(12, seed=1), config=make_config(max_order_quantity=Decimal("0.07")))
    assert [record.plan.order.quantity for record in sent(run)] == [Decimal("0.07"), Decimal("0.07"), Decimal("0.06")]
    assert run.held == FULL


# --- postures --------------------------------------------------------------------------------------------------------


def test_nothing_to_start_with():
    market, other = random_market(1, seed=1), InstrumentId.from_str("ETHUSDT-PERP.BINANCE")
    elsewhere = make_config(instrument_id=other, bar_type=BarType.from_str(f"{other}-1-MINUTE-LAST-EXTERNAL"))
    with pytest.raises(ValueError, match=r"instrument_id must be in the engine's cache, got ETHUSDT-PERP\.BINANCE"):
        Run(make_desk(1.0), market, config=elsewhere)
    coarse = limited_instrument(size_increment="0.01", size_precision=2, min_quantity="0.01", max_quantity="100.00")
    with pytest.raises(ValueError, match=r"desk must trade in steps of 0.001, got 0.01"):
        Run(make_desk(1.0, instrument=coarse), market)

    def alone():
        return RegimeStrategy(make_config(), make_desk(1.0))

    with pytest.raises(ValueError, match=r"engine must have the endpoint RiskGate.mode"), run_engine(alone(), market):
        pass
    with (
        pytest.raises(ValueError, match=r"engine must have the endpoint TWAP_ADAPTIVE.execute"),
        run_engine(alone(), market, prepare=lambda engine: RiskGate(engine.kernel, LIMITS)),
    ):
        pass


def test_an_instrument_without_limits():
    bare = limited_instrument(min_quantity=None, max_quantity=None, min_notional=None)
    run = Run(make_desk(1.0, instrument=bare), random_market(10, seed=1), instrument=bare)
    assert run.held == FULL


@pytest.mark.parametrize("money", [Money(0, USDT), Money(3, BTC)])
def test_no_equity_no_trade(money):
    """None at all, or none in the currency of the instrument."""
    run = Run(make_desk(1.0), random_market(9, seed=1), starting_balances=[money])
    assert not run.orders
    assert "equity is not an amount" in run.strategy.halted
    assert run.gate.mode is TradingMode.HALTED
    assert said(run, "flatten: the equity is not an amount")


def test_a_gap_in_the_quotes():
    """Bars go on: nothing is sent while no quote is fresh, what works is canceled, and afterwards the target is met."""
    start, end = at(6, 20), at(8, 30)
    run = Run(make_desk(1.0), without(random_market(14, seed=1), start, end))
    halted = [record for record in run.records if record.mode is TradingMode.HALTED]
    assert [record.time_ns for record in halted] == [at(7), at(8)]
    assert all(record.mid is None and record.order_id is None for record in halted)
    assert not [fill for fill in run.fills if start + 2 * SECOND_NS < fill.ts_event < end]
    assert 0 < halted[1].held < FULL
    assert not halted[1].in_flight
    assert run.held == FULL == run.filled


def test_a_halt_in_the_middle_of_a_twap():
    """An operator halts trading: the order comes back, what is filled is kept, and later the rest is sent."""

    def ask(mode):
        return lambda strategy: strategy.msgbus.send(
            "RiskGate.mode", ModeChange(source="operator", mode=mode, reason="a test")
        )

    operator = PlannedStrategy({7: ask(TradingMode.HALTED), 10: ask(TradingMode.ACTIVE)})
    config = make_config(twap_horizon_s=120.0, twap_interval_s=10.0)
    run = Run(make_desk(1.0), random_market(16, seed=1), config=config, strategies=[operator])
    first, second = sent(run)
    (incident,) = run.incidents
    assert incident.event == "canceled"
    assert "mode is halted" in incident.reason
    assert first.plan.order.quantity == FULL == second.held + incident.quantity
    assert second.plan.order.quantity == incident.quantity
    assert not [fill for fill in run.fills if at(7) < fill.ts_event < at(10)]
    assert run.held == FULL == run.filled


def test_a_partial_fill_at_the_horizon():
    """The book is too thin for the order: what the horizon leaves is handed back, and asked for at the next bar."""
    run = Run(make_desk(1.0), random_market(16, seed=1, size=0.02))
    assert any("the horizon is reached" in incident.reason for incident in run.incidents)
    quantities = [record.plan.order.quantity for record in sent(run)]
    assert quantities[0] == FULL
    assert quantities == sorted(quantities, reverse=True)
    assert (
        run.held == run.filled == quantities[0] - run.incidents[-1].quantity
        if len(quantities) == len(run.incidents)
        else FULL
    )


def test_a_position_that_somebody_else_opened():
    other = PlannedStrategy({3: lambda strategy: strategy.market(BUY, "0.300")})
    run = Run(make_desk(1.0), random_market(12, seed=1), strategies=[other])
    assert all("position of others: 0.300" in record.reasons for record in run.records[3:])
    assert run.held == FULL == run.filled
    assert sent(run)[0].plan.order.quantity == Decimal("-0.300")  # the desk is flat while it warms up


@pytest.mark.parametrize("flattens", [False, True])
def test_stopping_with_a_working_order(flattens):
    runs = []
    stopper = PlannedStrategy({7: lambda strategy: runs[0].parts.strategy.stop()})
    config = make_config(twap_horizon_s=300.0, twap_interval_s=10.0, flatten_on_stop=flattens)
    run = Run(make_desk(1.0), random_market(10, seed=1), config=config, strategies=[stopper], runs=runs)
    assert all(order.is_closed for order in run.orders)
    last = run.records[-1]
    assert (last.trigger, last.time_ns) == ("stop", at(7))
    assert 0 < last.held < FULL
    assert run.held == (0 if flattens else last.held)
    assert run.gate.mode is TradingMode.ACTIVE


def test_stopped_and_resumed():
    """What it missed it does not know of: it goes on from what is held."""
    runs = []
    person = PlannedStrategy(
        {7: lambda _: runs[0].parts.strategy.stop(), 9: lambda _: runs[0].parts.strategy.resume()},
    )
    config = make_config(twap_horizon_s=120.0, twap_interval_s=10.0)
    run = Run(make_desk(1.0), random_market(14, seed=1), config=config, strategies=[person], runs=runs)
    assert [record.time_ns for record in run.records if record.trigger == "bar"] == [
        bar for bar in range(at(1), at(15), MINUTE_NS) if bar not in (at(7), at(8))
    ]
    _, second = sent(run)
    assert second.time_ns == at(10)  # at minute 9 the gate has seen no quote since minute 7
    assert second.plan.order.quantity == FULL - second.held < FULL
    assert run.held == FULL == run.filled


def test_the_monitor_of_the_desk_is_obeyed():
    """A fall that puts the latent where no calibrated path was: flat at once, by name, as long as the alarm lasts."""
    normal = 4e-5 * math.sqrt(60) * np.random.default_rng(2).standard_normal((80, 100))
    monitor = SafetyMonitor.for_detector(detector(), normal)
    run = Run(make_desk(1.0, monitor=monitor), moving(12, fall=0.03, from_minute=8))
    alarms = [record for record in run.records if record.posture is Posture.FLATTEN]
    assert [alarm.time_ns for alarm in alarms] == [at(9), at(10), at(11), at(12)]
    assert all("flatten: out of distribution: far from every known regime" in alarm.reasons for alarm in alarms)
    (flatten,) = [order for order in run.orders if order.tags]
    assert (flatten.ts_init, flatten.quantity.as_decimal(), run.held) == (at(9), alarms[0].held, 0)
    assert run.strategy.halted is None


def test_a_desk_that_fails():
    """Its exception does not end the run: what is held is sold at once, trading halts and the strategy stops."""
    run = Run(make_desk(*[1.0] * 8, RuntimeError("no more")), random_market(14, seed=1))
    failed = run.records[8]
    assert failed.decision is None
    assert (failed.time_ns, failed.plan.order.quantity) == (at(9), -FULL)
    assert run.strategy.halted == "the desk failed: RuntimeError('no more')"
    assert run.gate.mode is TradingMode.HALTED
    assert run.records[-1].trigger == "stop"
    assert run.held == 0 == run.filled
    assert run.records[-1].time_ns < at(12)
    (flatten,) = [order for order in run.orders if order.tags]
    assert (flatten.tags, flatten.exec_algorithm_id) == (["FLATTEN"], None)


def test_a_pass_that_fails(monkeypatch):
    """A defect anywhere in a pass, once: it is a halt, and the next pass sells what is held."""
    failures, equity = [], HoldingsView.equity

    def once(view):
        if view.read().held and not failures:
            failures.append(view)
            raise RuntimeError("a defect")
        return equity(view)

    monkeypatch.setattr(HoldingsView, "equity", once)
    run = Run(make_desk(1.0), random_market(14, seed=1))
    assert failures
    assert run.strategy.halted == "a pass of the loop failed: RuntimeError('a defect')"
    assert run.held == 0 == run.filled
    assert run.gate.mode is TradingMode.HALTED


def test_no_volatility():
    """A price that stands still: flat at the first bar without a volatility, stopped when the grace is over."""
    config = make_config(invalid_volatility_grace_bars=2)
    run = Run(make_desk(1.0), moving(16, still_after=8), config=config)
    first = said(run, "flatten: no volatility for 1 bars")[0]
    assert first.held == FULL == -first.plan.order.quantity
    assert run.held == 0
    assert run.strategy.halted == "no volatility for 3 bars, 2 are borne"
    assert run.records[-1].trigger == "stop"
    assert run.records[-1].time_ns == first.time_ns + 2 * MINUTE_NS


def test_a_loss_of_the_day():
    """A tenth of equity is held and a quarter of it lost: flat by name, then halted until a person lifts it."""
    runs = []
    person = PlannedStrategy({14: lambda strategy: runs[0].parts.strategy.lift(reason="looked at it")})
    market = moving(20, fall=0.25, from_minute=8)
    run = Run(make_desk(1.0), market, config=make_config(loop_interval_s=1.0), strategies=[person], runs=runs)
    tripped = said(run, "flatten: daily loss of")[0]
    assert at(8) < tripped.time_ns < at(9)
    (flatten,) = [order for order in run.orders if order.tags]
    assert flatten.quantity.as_decimal() == FULL
    assert flatten.ts_init == tripped.time_ns
    assert not [order for order in run.orders if tripped.time_ns < order.ts_init < at(14)]
    assert sent(run)[-1].time_ns >= at(14)
    assert run.held == run.filled > 0
    assert run.strategy.halted is None


@pytest.mark.parametrize("stops", [False, True])
def test_somebody_halts_it(stops):
    """At once, in the middle of a TWAP: canceled and sold by name; it stops when flat, or stays until it is lifted."""
    runs = []

    class Person(PlannedStrategy):
        def on_quote_tick(self, tick):
            if tick.ts_event == at(6, 21):
                runs[0].parts.strategy.halt("enough", stops=stops)

    run = Run(make_desk(1.0), random_market(12, seed=1), strategies=[Person()], runs=runs)
    assert run.strategy.halted == "enough"
    assert run.gate.mode is TradingMode.HALTED
    assert run.held == 0 == run.filled
    (flatten,) = [order for order in run.orders if order.tags]
    assert flatten.ts_init == at(6, 21)
    assert max(order.ts_init for order in run.orders) == at(6, 21)
    assert (run.records[-1].time_ns <= at(7)) == stops
    halt = next(record for record in run.records if record.trigger == "halt")
    assert "flatten: enough" in halt.reasons


def test_a_halt_from_within_a_pass():
    """Whoever hears of a decision, a halt or a record may halt: the same pass acts, or a second one at once."""
    for topic in ("events.decision", "events.loop"):
        runs = []

        def prepare(strategy, topic=topic, runs=runs):
            def hear(message):
                decision = message if topic == "events.decision" else message.decision
                if decision.n_bars == 7:
                    runs[0].parts.strategy.halt("enough")

            strategy.msgbus.subscribe(topic, hear)

        run = Run(make_desk(1.0), random_market(12, seed=1), strategies=[PlannedStrategy({1: prepare})], runs=runs)
        (flatten,) = [order for order in run.orders if order.tags]
        assert (flatten.ts_init, flatten.quantity.as_decimal()) == (at(8), FULL)
        assert run.held == 0


def test_a_halt_of_its_own_is_told_before_the_first_order():
    """On the bus as "events.halt", once, while what is held is still held and nothing is sent."""
    heard, runs = [], []

    def prepare(strategy):
        def hear(halt):
            flattens = [order for order in strategy.cache.orders() if order.tags]
            heard.append((halt, strategy.portfolio.net_position(INSTRUMENT.id), flattens))

        strategy.msgbus.subscribe("events.halt", hear)

    desk = make_desk(*[1.0] * 8, RuntimeError("no more"))
    Run(desk, random_market(14, seed=1), strategies=[PlannedStrategy({1: prepare})], runs=runs)
    ((halt, held, flattens),) = heard
    assert halt == (at(9), "fault", "the desk failed: RuntimeError('no more')")
    assert held == FULL
    assert not flattens


def test_an_old_bar_is_not_traded_on():
    """From bar 7 on, each comes seven seconds late: what works is taken back, and only a flatten would leave."""
    quotes, bars = random_market(12, seed=1)

    def late(bar):
        fields = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.ts_event)
        return type(bar)(bar.bar_type, *fields, bar.ts_init + 7 * SECOND_NS)

    market = quotes, bars[:6] + [late(bar) for bar in bars[6:]]
    config = make_config(max_bar_age_s=5.0, twap_horizon_s=200.0, loop_interval_s=1.0)
    run = Run(make_desk(*[1.0] * 9, -1.0), market, config=config)
    assert len(sent(run)) == 1
    assert 0 < run.held < FULL
    assert not [order for order in run.orders if order.ts_init > at(7, 7)]
    assert [record.decision.n_bars for record in run.records if record.trigger == "bar"] == list(range(12))
    assert said(run, "old bar: it closed 7 s ago, 5 s are borne")
    assert said(run, "old bar")[0].plan.cancel
    failing = make_desk(*[1.0] * 9, RuntimeError("no more"))
    assert Run(failing, market, config=config).held == 0


def test_the_state_outlasts_a_restart():
    """A halt and the loss of the day: only a person lifts them."""
    first = Run(make_desk(*[1.0] * 8, RuntimeError("no more")), random_market(14, seed=1)).strategy
    second = RegimeStrategy(make_config(), make_desk(1.0))
    second.on_load(first.on_save())
    assert second.halted == first.halted
    assert second.saved_state() == first.saved_state()
    assert json.loads(json.dumps(first.saved_state())) == first.saved_state()
    second.lift(reason="a test")
    assert second.halted is None
    for state in ({}, None, {**first.saved_state(), "stops": 1}, {**first.saved_state(), "daily_loss": None}):
        with pytest.raises(ValueError, match="state must be"):
            second.restore(state)


def test_a_restored_halt_flattens():
    runs, config = [], make_config(loop_interval_s=1.0)
    stopped = RegimeStrategy(config, make_desk(1.0))
    stopped.halt("enough")
    restore = PlannedStrategy({3: lambda _: runs[0].parts.strategy.restore(stopped.saved_state())})
    other = PlannedStrategy({2: lambda strategy: strategy.market(BUY, "0.300")})
    run = Run(make_desk(1.0), random_market(6, seed=1), config=config, strategies=[restore, other], runs=runs)
    assert run.held == 0
    assert run.strategy.halted == "enough"


def test_what_is_kept_is_bounded():
    limits = replace(LIMITS, max_order_quantity=Decimal("0.05"))
    settings = {"loop_interval_s": 1.0, "twap_horizon_s": None, "retry_after_s": 20.0}
    whole = Run(make_desk(1.0), random_market(12, seed=1), config=make_config(**settings), limits=limits)
    run = Run(make_desk(1.0), random_market(12, seed=1), config=make_config(keep_records=3, **settings), limits=limits)
    assert len(whole.records) > 12
    assert len(whole.incidents) == len(whole.gate.refusals) > 3
    assert run.records == whole.records[-3:]
    assert run.incidents == whole.incidents[-3:]
    assert run.gate.refusals == whole.gate.refusals[-3:]


@pytest.mark.parametrize("reason", ["", " ", None])
def test_who_halts_says_why(reason):
    with pytest.raises(ValueError, match="reason must say why trading is halted"):
        RegimeStrategy(make_config(), make_desk(1.0)).halt(reason)


def test_who_lifts_a_halt_says_why():
    with pytest.raises(ValueError, match="reason must say why the halt is lifted, got ' '"):
        RegimeStrategy(make_config(), make_desk(1.0)).lift(reason=" ")


@pytest.mark.parametrize(
    ("posture", "at_first", "at_last"),
    [(Posture.FREEZE, FULL, FULL), (Posture.SHRINK_ONLY, FULL, 0), (Posture.FLATTEN, 0, 0)],
)
def test_a_wide_spread(posture, at_first, at_last):
    """Wide from minute 9 on; the desk wants to stay long until minute 11, and to be short from then on."""
    spread = np.where(np.arange(13 * 60) < 9 * 60, 0.1, 5.0)
    config = make_config(reducing_posture=posture, twap_horizon_s=None)
    run = Run(make_desk(*[1.0] * 10, -1.0), moving(13, spread=spread), config=config)
    held = {record.time_ns: record.held for record in run.records}
    assert (held[at(9)], held[at(11)], held[at(12)], run.held) == (FULL, at_first, at_last, at_last)
    assert {record.mode for record in run.records[9:]} == {TradingMode.REDUCING}
    assert any(reason.startswith("wide: ") for reason in run.records[-1].reasons)
    assert not run.gate.refusals


def test_refusals_make_no_storm():
    """The gate refuses each order; a loop that runs each second asks once in `retry_after_s`."""
    limits = replace(LIMITS, max_order_quantity=Decimal("0.05"))
    config = make_config(loop_interval_s=1.0, twap_horizon_s=None, retry_after_s=45.0)
    run = Run(make_desk(1.0), random_market(11, seed=1), config=config, limits=limits)
    times = [refusal.time_ns for refusal in run.gate.refusals]
    assert times == list(range(at(WARM_UP + 2), at(11) + 1, 45 * SECOND_NS))
    assert [incident.time_ns for incident in run.incidents] == times
    assert all(incident.reason.startswith("order_quantity: 0.2") for incident in run.incidents)
    assert not run.held


# --- what halts ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.lists(st.floats() | st.just(1e-4), max_size=30))
def test_a_missing_volatility_is_borne_for_the_grace(grace_bars, sigmas):
    """Halted from the first run without a volatility that is longer than the grace, and never before one was there."""
    breaker = Breaker(max_daily_loss=None, grace_bars=grace_bars)
    known, run, longest = False, 0, 0
    for sigma in sigmas:
        breaker.watch_volatility(sigma)
        valid = 0.0 < sigma < math.inf
        run = 0 if valid or not known else run + 1
        known, longest = known or valid, max(longest, run)
        assert (breaker.halted is not None) == breaker.stops == (longest > grace_bars)
        assert (breaker.must_flatten is not None) == (longest > grace_bars or run > 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.decimals(-10, 200, places=2), min_size=1, max_size=20))
def test_a_loss_is_latched(equities):
    breaker, halted = Breaker(max_daily_loss=Decimal("0.1"), grace_bars=0), False
    start = equities[0]
    for equity in equities:
        breaker.watch_equity(equity, "2024-01-01")
        halted = halted or equity is None or equity <= 0 or equity < start * Decimal("0.9")
        assert (breaker.halted is not None) == halted
        assert not breaker.stops
    breaker.lift(reason="a test")
    assert breaker.halted is None


# --- no order from the future ----------------------------------------------------------------------------------------


def order_log(run, until_ns):
    facts = [
        (o.ts_init, o.side, o.init_event.quantity, o.price if o.has_price else None, o.exec_algorithm_id)
        for o in run.orders
    ]
    return sorted(fact for fact in map(str, facts) if int(fact[1:20]) <= until_ns)


def test_the_past_does_not_move():
    """Another future, in quotes and in bars, from each of some times on: what was sent until then is the same."""

    def desk():
        return make_desk(signal=Momentum(1, 2))

    config = make_config(loop_interval_s=7.0, twap_horizon_s=90.0)
    market, other = random_market(18, seed=1), random_market(18, seed=2)
    whole = Run(desk(), market, config=config)
    for until_ns in (at(7), at(12, 10)):
        quotes, bars = (
            [event for event in here if event.ts_event <= until_ns]
            + [event for event in there if event.ts_event > until_ns]
            for here, there in zip(market, other, strict=True)
        )
        run = Run(desk(), (quotes, bars), config=config)
        assert order_log(run, until_ns) == order_log(whole, until_ns) != []
        assert order_log(run, at(18)) != order_log(whole, at(18))


def test_a_strategy_runs_once():
    with (
        pytest.raises(ValueError, match=r"engine must be made anew for another run, got reset\(\)"),
        run_engine(
            [],
            random_market(2, seed=1),
            prepare=lambda engine: attach(
                engine, instrument=INSTRUMENT, strategy=make_config(), desk=make_desk(1.0), limits=LIMITS
            ),
        ) as engine,
    ):
        engine.reset()


def test_the_same_run_twice():
    runs = [Run(make_desk(1.0, -1.0), random_market(12, seed=3)) for _ in range(2)]
    assert runs[0].records == runs[1].records
    assert order_log(runs[0], at(12)) == order_log(runs[1], at(12))


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"bar_type": BarType.from_str("ETHUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")},
            "bar_type must be of BTCUSDT-PERP",
        ),
        ({"reducing_posture": Posture.NORMAL}, "reducing_posture must be one that acts"),
        ({"dead_band": Decimal(-1)}, "dead_band must be finite and not negative"),
        ({"max_order_quantity": Decimal(0)}, "max_order_quantity must be None or a positive amount"),
        ({"max_daily_loss": Decimal(1)}, "max_daily_loss"),
        ({"twap_horizon_s": 0.0}, "twap_horizon_s must be"),
        ({"twap_interval_s": 60.0}, "twap_interval_s must not exceed twap_horizon_s, 50.0, got 60.0"),
        ({"loop_interval_s": math.nan}, "loop_interval_s must be"),
        ({"retry_after_s": -1.0}, "retry_after_s must be"),
        ({"max_bar_age_s": 0.0}, "max_bar_age_s must be"),
        ({"keep_records": 0}, "keep_records must be"),
        ({"invalid_volatility_grace_bars": -1}, "invalid_volatility_grace_bars must be"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        make_config(**settings)
