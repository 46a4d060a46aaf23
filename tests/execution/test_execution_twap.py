"""TWAP_ADAPTIVE in the real engine: whatever becomes of a slice, ordered = filled + in flight + handed back."""

import re
from bisect import bisect_right
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.data import BookOrder, OrderBookDelta
from nautilus_trader.model.enums import BookAction, BookType
from nautilus_trader.model.events import OrderAccepted, OrderCanceled, OrderDenied, OrderExpired
from nautilus_trader.model.identifiers import ExecAlgorithmId, InstrumentId, VenueOrderId
from nautilus_trader.model.objects import Quantity
from nautilus_trader.trading.config import StrategyConfig

from companion.execution import TradingMode
from companion.execution.nautilus import ModeChange, RiskGate, TwapAdaptive, TwapAdaptiveConfig
from companion.execution.nautilus._twap_slice import SliceBook, slice_quantity, smallest_order
from companion.risk import InstrumentRules
from tests.execution.engine import (
    BUY,
    INSTRUMENT,
    MINUTE_NS,
    SECOND_NS,
    SELL,
    START_NS,
    PlannedStrategy,
    all_fills,
    filled_quantity,
    flat_market,
    limited_instrument,
    make_quotes,
    random_market,
    run_engine,
    signed_quantity,
)
from tests.execution.storm import LIMITS

TWAP = ExecAlgorithmId("TWAP_ADAPTIVE")
RULES = InstrumentRules.of(INSTRUMENT)


def children(engine, primary):
    """Slices of a primary that are orders of their own, oldest first."""
    orders = engine.cache.orders_for_exec_spawn(primary.client_order_id)
    return sorted((order for order in orders if order.is_spawned), key=lambda order: order.ts_init)


def check_conservation(engine, algorithm):
    """Hold every primary against what the venue filled: nothing is lost, nothing is made."""
    primaries = [order for order in engine.cache.orders() if order.is_primary]
    assert {outcome.order_id for outcome in algorithm.outcomes} == {str(p.client_order_id) for p in primaries}
    assert len(algorithm.outcomes) == len(primaries)
    by_id = {outcome.order_id: outcome for outcome in algorithm.outcomes}
    for primary in primaries:
        orders = [primary, *children(engine, primary)]
        ids = {order.client_order_id for order in orders}
        filled = sum((abs(signed_quantity(f)) for f in all_fills(engine) if f.client_order_id in ids), Decimal(0))
        open_ = sum((order.leaves_qty.as_decimal() for order in orders if not order.is_closed), Decimal(0))
        handed_back = primary.leaves_qty.as_decimal() if primary.is_closed else Decimal(0)
        ordered, outcome = primary.init_event.quantity.as_decimal(), by_id[str(primary.client_order_id)]
        assert filled + open_ + handed_back == ordered
        assert outcome.quantity == ordered == outcome.filled + outcome.in_flight + outcome.handed_back
        assert (outcome.filled, outcome.in_flight, outcome.handed_back) == (filled, open_, handed_back)
    assert engine.portfolio.net_position(INSTRUMENT.id) == filled_quantity(engine)


def run_twap(plan, market, *, config=None, **options):
    """Run a plan with the algorithm; return what became of its orders, checked for conservation."""
    strategy, algorithm = PlannedStrategy(plan), TwapAdaptive(config)
    with run_engine(strategy, market, algorithms=[algorithm], **options) as engine:
        check_conservation(engine, algorithm)
        slices = [
            (order.ts_init, order.status_string(), order.quantity.as_decimal(), order.filled_qty.as_decimal())
            for order in engine.cache.orders()
            if order.is_spawned
        ]
        return strategy, algorithm, sorted(slices), [(f.ts_event, signed_quantity(f)) for f in all_fills(engine)]


class Denier:
    """Stands where the gate stands and denies the slices of which `choose(number)` is true, the first being 1."""

    def __init__(self, engine, choose):
        self.risk_engine, self.choose, self.n = engine.kernel.risk_engine, choose, 0
        bus = engine.kernel.msgbus
        bus.deregister(endpoint="RiskEngine.execute", handler=self.risk_engine.execute)
        bus.register(endpoint="RiskEngine.execute", handler=self.execute)

    def execute(self, command):
        if isinstance(command, SubmitOrder) and command.order.exec_algorithm_id == TWAP:
            self.n += 1
            if self.choose(self.n):
                self.risk_engine._deny_command(command, f"slice {self.n} is not wanted")
                return
        self.risk_engine.execute(command)


def latency(seconds):
    return LatencyModel(base_latency_nanos=int(seconds * SECOND_NS))


# Size of a slice, without the engine

amounts = st.integers(1, 10**7).map(lambda steps: steps * RULES.size_increment)


@given(
    left=amounts, n_left=st.integers(1, 1000), size=amounts, ratio=st.floats(0.1, 100.0), least=st.integers(1, 10**4)
)
def test_slice_is_in_steps_within_the_book_and_leaves_nothing_too_small_that_it_could_take(
    left, n_left, size, ratio, least
):
    smallest = least * RULES.size_increment
    book = SliceBook(price=Decimal(50_000), size=size, spread_ratio=ratio)
    quantity = slice_quantity(
        left, n_left=n_left, book=book, least=smallest, rules=RULES, participation=Decimal("0.2"), widening=2.0
    )
    most = min(left, size if n_left == 1 else size * Decimal("0.2"), RULES.max_quantity)
    assert quantity == 0 or smallest <= quantity <= most
    assert quantity % RULES.size_increment == 0
    if quantity and left <= most:
        assert left - quantity == 0 or left - quantity >= smallest
    if n_left == 1 and ratio <= 2.0 and smallest <= left <= most:
        assert quantity == left


@given(ratio=st.floats(2.0, 100.0))
def test_slice_shrinks_as_the_spread_widens(ratio):
    def at(spread_ratio):
        return slice_quantity(
            Decimal(1000),
            n_left=10,
            book=SliceBook(price=Decimal(50_000), size=Decimal(10**6), spread_ratio=spread_ratio),
            least=Decimal("0.001"),
            rules=RULES,
            participation=Decimal("0.2"),
            widening=2.0,
        )

    assert at(1.0) == at(2.0) == 100
    assert float(at(ratio)) == pytest.approx(200 / ratio, abs=0.001)


def test_smallest_order_is_in_steps_and_worth_the_smallest_notional():
    assert smallest_order(RULES, Decimal(30_000), min_notional=Decimal(100)) == Decimal("0.004")
    assert smallest_order(RULES, Decimal(50_000), min_notional=Decimal(100)) == Decimal("0.002")
    assert smallest_order(RULES, Decimal(50_000), min_notional=Decimal(0)) == Decimal("0.001")
    whole = InstrumentRules(0, Decimal(1), min_quantity=Decimal(5))
    assert smallest_order(whole, Decimal(10), min_notional=Decimal(20)) == 5


# What the algorithm takes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("participation", Decimal(0)),
        ("participation", Decimal("1.1")),
        ("participation", Decimal("NaN")),
        ("widening", 0.5),
        ("widening", float("nan")),
        ("min_slice_notional", Decimal(-1)),
        ("max_slip", Decimal("-0.0001")),
        ("max_slip", Decimal(1)),
        ("max_quote_age_s", 0.0),
        ("min_quotes", 0),
        ("max_failures", 0),
    ],
)
def test_config_names_the_field_and_its_value(field, value):
    with pytest.raises(ValueError, match=rf"^{field} must be .*{str(value).replace('.', '[.]')}"):
        TwapAdaptiveConfig(**{field: value})


def test_config_is_frozen():
    with pytest.raises(AttributeError):
        TwapAdaptiveConfig().participation = Decimal(1)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (None, "horizon_secs must be a positive finite number, got None"),
        ({"horizon_secs": 60}, "interval_secs must be a positive finite number, got None"),
        ({"horizon_secs": 0, "interval_secs": 5}, "horizon_secs must be a positive finite number, got 0"),
        ({"horizon_secs": 60, "interval_secs": "5"}, "interval_secs must be a positive finite number, got '5'"),
        ({"horizon_secs": float("nan"), "interval_secs": 5}, "horizon_secs must be .* got nan"),
        ({"horizon_secs": 4, "interval_secs": 5}, "horizon_secs must be at least interval_secs, got 4.0 and 5.0"),
        ({"horizon_secs": 4, "interval_secs": 1e-9}, "horizon_secs must be at least interval_secs"),
    ],
)
def test_bad_parameters_deny_the_primary_with_the_reason(params, words):
    def plan(strategy):
        strategy.market(BUY, "1.000", exec_algorithm_id=TWAP, exec_algorithm_params=params)

    strategy, algorithm, slices, fills = run_twap({1: plan}, flat_market(3))
    assert not slices
    assert not fills
    (denied,) = strategy.events_of(OrderDenied)
    assert denied.reason == algorithm.outcomes[0].reason
    assert re.search(words, denied.reason)


def _unknown_instrument(strategy):
    order = strategy.order_factory.market(
        InstrumentId.from_str("NONE.BINANCE"), BUY, Quantity.from_str("1.000"), exec_algorithm_id=TWAP
    )
    strategy.submit_order(order)


def _order_list(strategy):
    orders = [
        strategy.order_factory.market(INSTRUMENT.id, BUY, Quantity.from_str("1.000"), exec_algorithm_id=TWAP)
        for _ in range(2)
    ]
    strategy.submit_order_list(strategy.order_factory.create_list(orders))


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (lambda s: s.limit(BUY, "1.000", "50000.0", exec_algorithm_id=TWAP), "takes market orders"),
        (lambda s: s.twap(BUY, "1.0"), "quantity must be in steps of 0.001, got 1.0"),
        (_unknown_instrument, "instrument NONE.BINANCE is not in the cache"),
        (_order_list, "takes single orders"),
    ],
    ids=["limit", "precision", "instrument", "list"],
)
def test_what_cannot_be_worked_is_denied_with_the_reason(plan, words):
    strategy, _, slices, _ = run_twap({1: plan}, flat_market(3))
    assert not slices
    assert all(words in denied.reason for denied in strategy.events_of(OrderDenied))
    assert strategy.events_of(OrderDenied)


# The schedule


def test_a_calm_market_gets_equal_slices_at_equal_times_and_the_primary_is_the_last():
    plan = {1: lambda s: s.twap(BUY, "3.000", 60, 5)}
    _, algorithm, slices, fills = run_twap(plan, flat_market(3))
    start = START_NS + MINUTE_NS
    assert fills == [(start + 5 * k * SECOND_NS, Decimal("0.25")) for k in range(1, 13)]
    assert len(slices) == 11
    assert [outcome.reason for outcome in algorithm.outcomes] == ["filled"]


def test_the_outcome_is_published_before_the_order_is_closed():
    heard = []

    def begin(strategy):
        order = strategy.twap(BUY, "9.000", 60, 20)
        strategy.msgbus.subscribe("events.twap", lambda outcome: heard.append((outcome, order.is_closed)))

    _, algorithm, _, _ = run_twap({1: begin}, flat_market(3, size=1.0))
    assert heard == [(algorithm.outcomes[0], False)]


def test_horizon_that_is_no_multiple_of_the_interval_ends_before_it():
    _, _, _, fills = run_twap({1: lambda s: s.twap(SELL, "1.000", 59.9, 7.5)}, flat_market(3))
    assert [at - START_NS - MINUTE_NS for at, _ in fills] == [7_500_000_000 * k for k in range(1, 8)]


def test_no_slice_takes_more_than_its_share_of_the_book_and_the_last_takes_what_is_there():
    """Twelve slices of a book of 1: eleven at a fifth, the last of 1, and of 9 the rest comes back at the horizon."""
    strategy, algorithm, slices, fills = run_twap({1: lambda s: s.twap(BUY, "9.000", 60, 5)}, flat_market(3, size=1.0))
    assert [quantity for _, quantity in fills] == [Decimal("0.2")] * 11 + [Decimal(1)]
    assert [status for _, status, *_ in slices] == ["FILLED"] * 12
    (outcome,) = algorithm.outcomes
    assert (outcome.filled, outcome.handed_back) == (Decimal("3.2"), Decimal("5.8"))
    assert outcome.reason == "the horizon is reached"
    (canceled,) = strategy.events_of(OrderCanceled)
    assert canceled.client_order_id.value == outcome.order_id


def test_partial_fill_at_the_horizon_is_handed_back():
    """While the last slice is on its way the book shrinks to .1: it fills that, and the rest comes back."""
    size = np.full(180, 1.0)
    size[121:] = 0.1
    plan = {1: lambda s: s.twap(BUY, "9.000", 60, 20)}
    _, algorithm, slices, fills = run_twap(plan, flat_market(3, size=size), latency_model=latency(1.5))
    assert [quantity for _, quantity in fills] == [Decimal("0.2"), Decimal("0.2"), Decimal("0.1")]
    assert slices[-1][1:] == ("CANCELED", Decimal(1), Decimal("0.1"))
    assert algorithm.outcomes[0].handed_back == Decimal("8.5")


def test_a_wide_spread_slows_it_down_and_a_normal_one_lets_it_catch_up():
    """Ten times the usual spread for 30 s: a fifth of the pace; afterwards more than the pace, and all is filled."""
    spread = np.full(180, 0.1)
    spread[62:90] = 1.0
    _, _, _, fills = run_twap({1: lambda s: s.twap(BUY, "1.200", 60, 5)}, flat_market(3, spread=spread))
    quantities = [quantity for _, quantity in fills]
    assert sum(quantities) == Decimal("1.2")
    assert quantities[0] == Decimal("0.020")  # 1.2 / 12 × 2 / 10
    assert all(quantity < Decimal("0.03") for quantity in quantities[:5])
    assert all(quantity > Decimal("0.1") for quantity in quantities[6:])


@pytest.mark.parametrize(("quantity", "n_fills"), [("0.001", 1), ("0.002", 2), ("0.005", 5), ("0.013", 12)])
def test_slices_are_never_below_the_smallest_quantity(quantity, n_fills):
    _, algorithm, _, fills = run_twap({1: lambda s: s.twap(BUY, quantity, 60, 5)}, flat_market(3))
    assert len(fills) == n_fills
    assert min(filled for _, filled in fills) >= Decimal("0.001")
    assert algorithm.outcomes[0].reason == "filled"


def test_slices_are_never_below_the_smallest_notional_and_leave_nothing_below_it():
    instrument = limited_instrument(min_notional="5000 USDT")
    plan = {1: lambda s: s.twap(BUY, "0.250", 60, 5)}
    _, algorithm, _, fills = run_twap(plan, flat_market(3), instrument=instrument)
    assert sum(filled for _, filled in fills) == Decimal("0.25")
    assert all(filled * 50_000 >= 5000 for _, filled in fills)
    assert algorithm.outcomes[0].reason == "filled"


def test_a_residual_below_the_minimum_is_handed_back_at_once():
    instrument = limited_instrument(min_notional="5000 USDT")
    plan = {1: lambda s: s.twap(BUY, "0.050", 60, 5)}
    _, algorithm, slices, _ = run_twap(plan, flat_market(3), instrument=instrument)
    assert not slices
    (outcome,) = algorithm.outcomes
    assert outcome.handed_back == Decimal("0.05")
    assert "is less than the smallest order" in outcome.reason
    assert outcome.time_ns == START_NS + MINUTE_NS + 5 * SECOND_NS


def test_what_only_reduces_is_sent_whatever_it_is_worth():
    instrument = limited_instrument(min_notional="5000 USDT")
    plan = {1: lambda s: s.market(BUY, "0.050"), 2: lambda s: s.twap(SELL, "0.050", 50, 10, reduce_only=True)}
    _, algorithm, _, fills = run_twap(plan, flat_market(4), instrument=instrument)
    assert [quantity for _, quantity in fills[1:]] == [Decimal("-0.01")] * 5
    assert algorithm.outcomes[0].reason == "filled"


def test_an_instrument_without_limits_is_worked_in_steps():
    instrument = limited_instrument(min_quantity=None, max_quantity=None, min_notional=None)
    _, algorithm, _, fills = run_twap({1: lambda s: s.twap(BUY, "0.005", 60, 5)}, flat_market(3), instrument=instrument)
    assert [filled for _, filled in fills] == [Decimal("0.001")] * 5
    assert algorithm.outcomes[0].reason == "filled"


# Every way a slice can end


@pytest.mark.parametrize(
    "choose",
    [lambda n: n == 1, lambda n: n % 2, lambda n: n % 3, lambda n: n > 4],
    ids=["first", "odd", "two-of-three", "from-the-fifth"],
)
def test_denied_slices_are_tried_again_until_three_in_a_row_fail(choose):
    """Two orders of one strategy: for the first one the engine restores nothing, for the second 1.231 does."""
    plan = {n: lambda s: s.twap(BUY, "1.200", 60, 5) for n in (1, 3)}
    _, algorithm, slices, fills = run_twap(plan, flat_market(6), prepare=lambda e: Denier(e, choose))
    assert any(status == "DENIED" for _, status, *_ in slices)
    for outcome in algorithm.outcomes:
        if outcome.reason != "filled":
            assert "is not wanted" in outcome.reason
    if choose(12):
        assert len(fills) == 4
        assert algorithm.outcomes[0].reason == "3 slices in a row filled nothing, the last: slice 7 is not wanted"


def test_a_primary_that_is_denied_as_the_last_slice_hands_back_what_it_had_left():
    plan = {1: lambda s: s.twap(BUY, "1.200", 60, 5)}
    strategy, algorithm, _, _ = run_twap(plan, flat_market(3), prepare=lambda e: Denier(e, lambda n: n == 12))
    (outcome,) = algorithm.outcomes
    assert outcome.reason == "slice 12 is not wanted"
    assert outcome.handed_back == Decimal("0.1")
    assert strategy.events_of(OrderDenied)[-1].client_order_id.value == outcome.order_id


def test_slices_that_the_market_runs_away_from_are_canceled_and_tried_again():
    """The price rises by 30 a second and a slice may pay some 25: with a latency of 1.5 s none fills."""
    bid = 50_000.0 + 30.0 * np.arange(180)
    plan = {1: lambda s: s.twap(BUY, "1.200", 60, 5)}
    _, algorithm, slices, fills = run_twap(plan, flat_market(3, bid=bid), latency_model=latency(1.5))
    assert not fills
    assert [status for _, status, *_ in slices] == ["CANCELED"] * 3
    assert algorithm.outcomes[0].reason == "3 slices in a row filled nothing, the last: canceled"


@pytest.mark.parametrize("delay_s", [0.4, 1.5, 7.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_partly_filled_slices_in_a_market_that_moves(delay_s, seed):
    plan = {n: lambda s, n=n: s.twap(BUY if n % 2 else SELL, "4.000", 100, 5, reduce_only=n == 4) for n in (1, 2, 4, 5)}
    market = random_market(9, seed=seed, size=0.2)
    config = TwapAdaptiveConfig(max_failures=9, participation=Decimal(1), max_slip=Decimal("0.00006"))
    _, _, slices, _ = run_twap(plan, market, config=config, latency_model=latency(delay_s))
    assert {status for _, status, *_ in slices} == {"CANCELED", "FILLED"}
    assert any(0 < filled < quantity for _, _, quantity, filled in slices)


def test_slices_that_the_venue_rejects():
    """A reduce-only slice on its way, while the position is closed by a plain order: the venue rejects it."""
    plan = {
        1: lambda s: s.market(BUY, "1.000"),
        2: lambda s: (s.twap(SELL, "1.000", 50, 5, reduce_only=True), s.market(SELL, "1.000")),
    }
    _, algorithm, slices, _ = run_twap(plan, flat_market(5), latency_model=latency(6.0))
    assert [status for _, status, *_ in slices] == ["REJECTED"]
    assert algorithm.outcomes[0].handed_back == 1


def test_a_slice_that_expires_gives_its_quantity_back():
    """The first slice never arrives; at the second bar it expires, and the next slices take its part along."""

    def expire(strategy):
        (order,) = strategy.cache.orders_inflight()
        now = strategy.clock.timestamp_ns()
        ids = (order.trader_id, order.strategy_id, order.instrument_id, order.client_order_id, VenueOrderId("1"))
        for kind in (OrderAccepted, OrderExpired):
            strategy.msgbus.send("ExecEngine.process", kind(*ids, order.account_id, UUID4(), now, now))

    plan = {1: lambda s: s.twap(BUY, "1.200", 90, 5), 2: expire}
    _, algorithm, slices, _ = run_twap(plan, flat_market(3), latency_model=latency(3600))
    assert [status for _, status, *_ in slices] == ["EXPIRED", "SUBMITTED"]
    (outcome,) = algorithm.outcomes
    assert outcome.in_flight == slices[1][2]
    assert outcome.handed_back == Decimal("1.2") - outcome.in_flight


# What stops it


def _send_mode(mode):
    return lambda s: s.msgbus.send("RiskGate.mode", ModeChange(source="test", mode=mode, reason="a drill"))


def run_gated(plan, **options):
    return run_twap(plan, flat_market(5), prepare=lambda engine: RiskGate(engine.kernel, LIMITS), **options)


@pytest.mark.parametrize("mode", [TradingMode.REDUCING, TradingMode.HALTED])
def test_a_halt_in_the_middle_stops_it_at_once_and_hands_back_the_rest(mode):
    plan = {1: lambda s: s.twap(BUY, "2.400", 120, 5), 2: _send_mode(mode), 3: lambda s: s.twap(BUY, "1.000", 60, 5)}
    strategy, algorithm, _, fills = run_gated(plan)
    first, second = algorithm.outcomes
    halted_at = START_NS + 2 * MINUTE_NS
    assert first.time_ns == halted_at
    assert max(at for at, _ in fills) <= halted_at
    assert (first.filled, first.handed_back) == (Decimal("1.1"), Decimal("1.3"))
    assert first.reason == f"mode is {mode}: a drill"
    assert second.reason.startswith(f"mode is {mode}")
    assert second.handed_back == 1
    assert strategy.events_of(OrderCanceled)[0].client_order_id.value == first.order_id


def test_reducing_lets_a_reduce_only_order_go_on():
    plan = {
        1: lambda s: s.market(BUY, "1.200"),
        2: lambda s: s.twap(SELL, "1.200", 120, 5, reduce_only=True),
        3: _send_mode(TradingMode.REDUCING),
    }
    _, algorithm, _, fills = run_gated(plan)
    assert algorithm.outcomes[0].reason == "filled"
    assert sum(quantity for _, quantity in fills) == 0


def test_a_halt_while_a_slice_is_on_its_way_waits_for_it():
    plan = {1: lambda s: s.twap(BUY, "2.400", 174, 58), 2: _send_mode(TradingMode.HALTED)}
    _, algorithm, _, fills = run_gated(plan, latency_model=latency(5))
    (outcome,) = algorithm.outcomes
    assert outcome.time_ns == START_NS + 123 * SECOND_NS
    assert outcome.filled == sum(quantity for _, quantity in fills) == Decimal("0.8")


@pytest.mark.parametrize(
    ("stop", "words", "filled"),
    [
        (lambda s: s.cancel_order(s.primary), "canceled", "1.1"),
        (lambda s: s.stop(), "the strategy was stopped", "1.1"),
        (lambda s: s.algorithm.stop(), "the algorithm was stopped, or the data ended", "1.1"),
        (lambda s: None, "the strategy was stopped", "1.8"),
    ],
    ids=["cancel", "strategy-stop", "algorithm-stop", "data-end"],
)
def test_whoever_stops_it_gets_the_rest_back_and_nothing_more_is_sent(stop, words, filled):
    algorithm = TwapAdaptive()

    def begin(strategy):
        strategy.primary, strategy.algorithm = strategy.twap(BUY, "6.000", 600, 10), algorithm

    strategy = PlannedStrategy({1: begin, 3: stop})
    with run_engine(strategy, flat_market(4), algorithms=[algorithm]) as engine:
        check_conservation(engine, algorithm)
        (outcome,) = algorithm.outcomes
        assert outcome.reason == words
        assert outcome.filled == Decimal(filled)
        assert strategy.primary.is_closed
        assert not algorithm.clock.timer_names


def test_an_order_that_came_while_the_algorithm_was_stopped_is_handed_back_when_it_starts_again():
    algorithm = TwapAdaptive()
    plan = {
        1: lambda s: algorithm.stop(),
        2: lambda s: s.twap(BUY, "1.000"),
        3: lambda s: algorithm.resume(),
        4: lambda s: s.twap(BUY, "1.000"),
    }
    strategy = PlannedStrategy(plan)
    with run_engine(strategy, flat_market(6), algorithms=[algorithm]) as engine:
        check_conservation(engine, algorithm)
        assert [o.reason for o in algorithm.outcomes] == ["left by an earlier run of the algorithm", "filled"]


# Prices that cannot be trusted


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda quotes: [q for q in quotes if q.ts_event < START_NS + 80 * SECOND_NS], "the last quote is 41 s old"),
        (lambda quotes: quotes[:62] + _crossed(quotes[62:]), "the quote is crossed: bid 50000, ask 49999"),
        (lambda quotes: quotes[110:], "there is no quote|fewer than 20 quotes came before the last"),
        (lambda quotes: [], "there is no quote"),
    ],
    ids=["stale", "crossed", "warming-up", "none"],
)
def test_no_slice_without_a_fresh_sound_quote_and_what_is_left_at_the_horizon_comes_back(fault, words):
    quotes, bars = flat_market(3)
    _, algorithm, slices, _ = run_twap({1: lambda s: s.twap(BUY, "1.200", 60, 5)}, (fault(quotes), bars))
    (outcome,) = algorithm.outcomes
    assert outcome.reason.startswith("the horizon is reached; ")
    assert re.search(words, outcome.reason)
    assert outcome.handed_back > 0
    assert all(at <= START_NS + 85 * SECOND_NS for at, *_ in slices)


def _crossed(quotes):
    times = [quote.ts_event for quote in quotes]
    return make_quotes(times, 50_000.0, 49_999.0)


def test_a_gap_in_the_quotes_is_waited_out_and_caught_up():
    quotes, bars = flat_market(3)
    quotes = [q for q in quotes if not 75 <= (q.ts_event - START_NS) / SECOND_NS < 100]
    _, algorithm, _, fills = run_twap({1: lambda s: s.twap(BUY, "1.200", 60, 5)}, (quotes, bars))
    seconds = [(at - START_NS) // SECOND_NS for at, _ in fills]
    assert not [second for second in seconds if 80 <= second < 100]
    assert algorithm.outcomes[0].reason == "filled"


# Positions and other orders


def test_reduce_only_slices_never_flip_a_position_that_someone_else_has_closed():
    """Of 2 bought, .7 are sold by a plain order half way: the rest is sold and no more."""
    plan = {
        1: lambda s: s.market(BUY, "2.000"),
        2: lambda s: s.twap(SELL, "2.000", 120, 5, reduce_only=True),
        3: lambda s: s.market(SELL, "0.700"),
    }
    _, algorithm, _, fills = run_twap(plan, flat_market(6))
    held = np.cumsum([float(quantity) for _, quantity in fills])
    assert held.min() >= -1e-9
    assert sum(quantity for _, quantity in fills) == 0
    (outcome,) = algorithm.outcomes
    assert outcome.handed_back == Decimal("0.7")


def test_reduce_only_without_a_position_sends_nothing():
    _, algorithm, slices, _ = run_twap({1: lambda s: s.twap(BUY, "1.000", reduce_only=True)}, flat_market(3))
    assert not slices
    assert algorithm.outcomes[0].handed_back == 1


def test_two_orders_at_once_do_not_know_of_each_other():
    both = {1: lambda s: (s.twap(BUY, "1.200", 60, 5), s.twap(SELL, "0.600", 60, 10))}
    _, algorithm, _, fills = run_twap(both, flat_market(3))
    assert sorted(outcome.quantity for outcome in algorithm.outcomes) == [Decimal("0.6"), Decimal("1.2")]
    assert {outcome.reason for outcome in algorithm.outcomes} == {"filled"}
    assert [quantity for _, quantity in fills if quantity > 0] == [Decimal("0.1")] * 12
    assert [quantity for _, quantity in fills if quantity < 0] == [Decimal("-0.1")] * 6


def test_two_strategies_share_the_algorithm_and_one_that_stops_leaves_the_other_alone():
    algorithm = TwapAdaptive()
    one, two = (
        PlannedStrategy({1: lambda s: s.twap(BUY, "1.200", 120, 5), 2: stop}, config=StrategyConfig(order_id_tag=tag))
        for tag, stop in (("001", lambda s: s.stop()), ("002", lambda s: None))
    )
    with run_engine([one, two], flat_market(5), algorithms=[algorithm]) as engine:
        check_conservation(engine, algorithm)
        reasons = {outcome.strategy_id[-3:]: outcome.reason for outcome in algorithm.outcomes}
    assert reasons == {"001": "the strategy was stopped", "002": "filled"}


def test_a_run_twice_is_the_same_run():
    def run():
        plan = {n: lambda s, n=n: s.twap(BUY if n % 2 else SELL, "5.000", 170, 5) for n in (1, 2, 3, 5)}
        _, algorithm, slices, fills = run_twap(plan, random_market(9, seed=3), latency_model=latency(0.3))
        return algorithm.outcomes, slices, fills

    assert run() == run()


# Footprint


def _depth(quotes, n_levels=20):
    """A book behind each quote: on every tick away from the touch as much again as at it."""
    tick, deltas = 0.1, []
    for quote in quotes:
        stamp = quote.ts_event
        deltas.append(OrderBookDelta.clear(INSTRUMENT.id, 0, stamp, stamp))
        for side, touch, size, sign in (
            (BUY, quote.bid_price, quote.bid_size, -1),
            (SELL, quote.ask_price, quote.ask_size, 1),
        ):
            for level in range(n_levels):
                order = BookOrder(side, INSTRUMENT.make_price(float(touch) + sign * level * tick), size, 0)
                deltas.append(OrderBookDelta(INSTRUMENT.id, BookAction.ADD, order, 0, 0, stamp, stamp))
    return deltas


def _slippage(plan, market, **venue):
    """Mean price paid beyond the mid of the time of each fill, and the quantity bought."""
    quotes = market[0]
    with run_engine(PlannedStrategy(plan), market, algorithms=[TwapAdaptive()], **venue) as engine:
        mids = {q.ts_event: (q.bid_price.as_decimal() + q.ask_price.as_decimal()) / 2 for q in quotes}
        times = sorted(mids)
        paid = [
            (f.last_qty.as_decimal(), f.last_px.as_decimal() - mids[times[bisect_right(times, f.ts_event) - 1]])
            for f in all_fills(engine)
        ]
        bought = sum(quantity for quantity, _ in paid)
        return sum(quantity * beyond for quantity, beyond in paid) / bought, bought


@pytest.mark.parametrize("book_type", [BookType.L1_MBP, BookType.L2_MBP])
def test_slices_pay_less_than_one_market_order(book_type):
    """10 bitcoin in a book of about 2 a tick: slices pay half the spread, one order eats its way through the book."""
    quotes, bars = random_market(4, seed=5, size=2.0)
    market = (quotes, bars) if book_type == BookType.L1_MBP else (quotes, _depth(quotes), bars)
    sliced, bought = _slippage({1: lambda s: s.twap(BUY, "10.000", 150, 1)}, market, book_type=book_type)
    at_once, also = _slippage({1: lambda s: s.market(BUY, "10.000")}, market, book_type=book_type)
    assert bought == also == 10
    assert 0 < sliced <= Decimal("0.2")  # half of the widest spread, 4 ticks
    assert at_once > {BookType.L1_MBP: Decimal("1.5"), BookType.L2_MBP: 3}[book_type] * sliced


class SlowBus:
    """Keeps every command for the risk engine until `release` is called, as 1.231 may keep one from a timer."""

    def __init__(self, kernel):
        self.kernel, self.waiting = kernel, []
        kernel.msgbus.deregister(endpoint="RiskEngine.execute", handler=kernel.risk_engine.execute)
        kernel.msgbus.register(endpoint="RiskEngine.execute", handler=self.waiting.append)

    def release(self):
        while self.waiting:
            self.kernel.risk_engine.execute(self.waiting.pop(0))


def test_an_order_that_was_sent_is_not_handed_back_while_its_command_waits():
    """One slice at the horizon, which is the primary itself: handed back as well, it would be traded twice."""
    buses = []
    plan = {1: lambda s: s.twap(BUY, "0.100", 10, 10), 2: lambda s: buses[0].release()}
    _, algorithm, _, fills = run_twap(plan, flat_market(4), prepare=lambda engine: buses.append(SlowBus(engine.kernel)))
    assert [quantity for _, quantity in fills] == [Decimal("0.1")]
    assert [outcome.handed_back for outcome in algorithm.outcomes] == [0]
