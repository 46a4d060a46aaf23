"""The harness accounts for everything: counts, cash flows, the parts of every cost, and nothing known too early."""

import json
import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.desk import Desk
from companion.execution import (
    GateConfig,
    MinuteBars,
    Quotes,
    RiskLimits,
    SpreadShock,
    simulate_perpetual,
)
from companion.execution.nautilus import RegimeStrategyConfig, minute_bar_type, run_engine, run_execution
from companion.execution.nautilus._result_ledger import Ledger
from companion.execution.nautilus._result_records import FillRecord
from companion.regimes import EwmaKMeans
from companion.risk import SizingConfig
from tests.execution.engine import BUY, INSTRUMENT, SELL, START_NS, PlannedStrategy, bar_times, make_quotes, quote_times

START = Decimal(10_000_000)
BAR_FIELDS = ("time_ns", "open", "high", "low", "close", "volume")
QUOTE_FIELDS = ("time_ns", "bid", "ask", "bid_size", "ask_size")
MARKET = simulate_perpetual(n_minutes=500, quotes_per_minute=12, seed=1, shocks=[SpreadShock(100, 5)])


def random_orders(seed=0, n_bars=500):
    """A market order of up to 12 BTC at every bar: larger than most books, and across zero."""
    rng = np.random.default_rng(seed)
    orders = [
        (BUY if up else SELL, f"{n / 1000:.3f}")
        for up, n in zip(rng.random(n_bars) < 0.5, rng.integers(1, 12_000, n_bars), strict=True)
    ]
    return {n: lambda s, order=order: s.market(*order) for n, order in enumerate(orders, 1)}


def run(plan, market=MARKET, **options):
    strategy = PlannedStrategy(plan)
    return run_engine(
        market, lambda engine: engine.add_strategy(strategy), **{"starting_balance": START} | options
    ), strategy


@pytest.fixture(scope="module")
def stormy():
    return run(random_orders())


def still_market(n_minutes=4, *, mid_moves=0.0, size=5.0, rate=0.0001, funded_at=()):
    """Quotes each second; the price rises by `mid_moves` with each."""
    times = quote_times(n_minutes)
    bid = np.round(50_000.0 + mid_moves * np.arange(len(times)), 1)
    sizes = np.full(len(times), size)
    quotes = Quotes(times, bid, np.round(bid + 0.2, 1), sizes, sizes.copy())
    closes = bid[59::60].copy()
    bars = MinuteBars(bar_times(n_minutes), *(closes.copy() for _ in range(4)), np.full(n_minutes, 10.0))
    paid = np.array(funded_at, np.int64), np.full(len(funded_at), 1e-4)
    return replace(MARKET, bars=bars, quotes=quotes, funding_times_ns=paid[0], funding_rates=paid[1])


def test_equity_is_the_sum_of_the_cash_flows_and_the_engine_agrees(stormy):
    result, strategy = stormy
    fills = [event for event in strategy.events if type(event).__name__ == "OrderFilled"]
    assert len(fills) == len(result.fills) > 800
    cash = START
    held = Decimal(0)
    for fill in fills:
        quantity = fill.last_qty.as_decimal() * (1 if fill.order_side == BUY else -1)
        cash -= quantity * fill.last_px.as_decimal() + fill.commission.as_decimal()
        held += quantity
    mark = MARKET.quotes.bid[-1] if held > 0 else MARKET.quotes.ask[-1]
    assert result.held[-1] == held == sum(fill.quantity for fill in result.fills)
    assert result.equity[-1] == cash + held * Decimal(str(mark))
    # The engine rounds each realized result to the last decimal of USDT.
    assert abs(result.account_equity - result.equity[-1]) <= Decimal("1e-8") * len(fills) / 2


def test_what_trading_cost_is_what_paper_lacks_to_the_last_decimal(stormy):
    result, _ = stormy
    costs = result.costs
    assert costs.total == costs.fee + costs.spread + costs.impact + costs.delay + costs.funding
    assert result.paper_profit - result.profit == costs.total
    paper = START - sum(fill.quantity * fill.decision_mid for fill in result.fills)
    mark = result.equity[-1] - (START - sum(fill.quantity * fill.price + fill.fee for fill in result.fills))
    assert result.paper_equity[-1] == paper + mark
    assert min(costs.fee, costs.spread, costs.impact) > 0
    assert result.funding[0].paid == costs.funding != 0
    assert result.profit == result.equity[-1] - result.starting_balance - costs.funding


def test_every_cost_of_one_order_by_hand():
    """Seven bought at the second bar: five at the ask, two a tick worse, 50 ms after the mid had risen by a dime."""
    market = still_market(mid_moves=0.1)
    result, _ = run({2: lambda s: s.market(BUY, "7.000")}, market)
    first, second = result.fills
    decided = Decimal("50012.0") + Decimal("0.1")  # the quote at the very stamp of the bar: 120 dimes up
    met = decided + Decimal("0.1")
    assert [fill.decision_mid for fill in result.fills] == [decided] * 2
    assert [fill.mid for fill in result.fills] == [met] * 2
    assert (first.quantity, first.price) == (5, met + Decimal("0.1"))
    assert (second.quantity, second.price) == (2, met + Decimal("0.2"))
    assert (first.spread, first.impact, first.delay) == (Decimal("0.5"), 0, Decimal("0.5"))
    assert (second.spread, second.impact, second.delay) == (Decimal("0.2"), Decimal("0.2"), Decimal("0.2"))
    assert first.fee == (5 * first.price * Decimal("0.00018"))
    assert first.slippage_bp == round(Decimal("0.2") / decided * 10_000, 6)
    assert result.costs.total == Decimal("1.6") + first.fee + second.fee
    order = result.orders[0]
    assert (order.quantity, order.filled, order.status, order.decision_mid) == (7, 7, "FILLED", decided)


@pytest.mark.parametrize(("side", "sign"), [(BUY, 1), (SELL, -1)])
def test_funding_is_paid_on_what_is_held_and_kept_apart_from_the_account(side, sign):
    times = START_NS + 60_000_000_000 * np.array([1, 3])
    market = still_market(funded_at=times)
    result, _ = run({2: lambda s: s.market(side, "2.000")}, market)
    flat, paid = result.funding
    assert (flat.quantity, flat.paid) == (0, 0)
    assert (paid.quantity, paid.rate, paid.mid) == (2 * sign, Decimal("0.0001"), Decimal("50000.1"))
    assert paid.paid == sign * Decimal("10.00002")
    assert result.funding_paid == (0, 0, paid.paid, paid.paid)
    unfunded, _ = run({2: lambda s: s.market(side, "2.000")}, still_market())
    assert unfunded.equity == result.equity
    assert unfunded.account_equity == result.account_equity
    assert unfunded.profit - result.profit == paid.paid


def test_no_order_meets_the_quote_or_the_bar_that_made_it(stormy):
    result, _ = stormy
    sent = {order.order_id: order.time_ns for order in result.orders}
    quotes, bars = MARKET.quotes, MARKET.bars
    assert set(sent.values()) <= set(bars.time_ns.tolist())
    for fill in result.fills:
        assert fill.time_ns >= sent[fill.order_id] + 50_000_000
        seen, met = np.searchsorted(quotes.time_ns, [sent[fill.order_id], fill.time_ns], side="right") - 1
        assert met > seen
        assert (float(fill.bid), float(fill.ask)) == (quotes.bid[met], quotes.ask[met])
        assert abs(fill.price - fill.touch) in (0, Decimal("0.1"))


@pytest.mark.parametrize("latency_ms", [0.5, 4999.0, 5001.0])
def test_the_latency_is_the_stated_one(latency_ms):
    """Quotes come every 5 seconds, in the middle of their intervals: the order meets the first that is late enough."""
    result, _ = run({n: lambda s: s.market(BUY, "0.001") for n in range(1, 20)}, latency_ms=latency_ms)
    for order, fill in zip(result.orders, result.fills, strict=True):
        arrival = order.time_ns + round(latency_ms * 1e6)
        assert fill.time_ns == MARKET.quotes.time_ns[np.searchsorted(MARKET.quotes.time_ns, arrival)]


def cut(n_bars):
    """The first bars of the market and their quotes, as recorded ones."""
    parts = zip((MARKET.bars, MARKET.quotes), (BAR_FIELDS, QUOTE_FIELDS), (n_bars, 12 * n_bars), strict=True)
    return tuple(type(part)(*(getattr(part, name)[:n] for name in names)) for part, names, n in parts)


def test_what_comes_later_changes_nothing_before(stormy):
    whole, _ = stormy
    n_bars = 200
    part, _ = run(random_orders(), cut(n_bars))
    assert part.equity == whole.equity[:n_bars]
    assert part.held == whole.held[:n_bars]
    assert part.fills == whole.fills[: len(part.fills)]
    assert len(part.fills) > 300


def test_two_runs_give_equal_bytes_in_which_no_random_identifier_stands(stormy):
    result, _ = stormy
    again, _ = run(random_orders())
    assert again.to_json() == result.to_json()
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", result.to_json())
    stored = json.loads(result.to_json())
    assert stored["summary"]["n_fills"] == len(stored["fills"])
    assert Decimal(stored["series"]["equity"][-1]) == result.equity[-1]


def test_an_engine_that_processes_other_data_is_no_result():
    extra = make_quotes([START_NS], 50_000.0, 50_000.1)
    with pytest.raises(RuntimeError, match="the engine must process 4 bars and 240 quotes, got 245 in all"):
        run_engine(still_market(), lambda engine: engine.add_data(extra))


def test_refusals_of_engine_and_venue_are_told_apart():
    plan = {
        1: lambda s: s.market(BUY, "1000.001"),  # larger than the instrument's largest
        2: lambda s: s.market(SELL, "1.000", reduce_only=True),  # nothing to reduce
    }
    result, _ = run(plan, still_market())
    assert result.refusals_by_rule == {"engine: denied": 1, "venue: rejected": 1}
    assert [(r.quantity, r.order_id) for r in result.refusals] == [(o.quantity, o.order_id) for o in result.orders]
    assert not result.fills
    assert result.slippage_bp is None
    assert result.profit == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"latency_ms": 0.0}, "latency_ms must be a positive finite number, got 0.0"),
        ({"latency_ms": float("nan")}, "latency_ms must be a positive finite number, got nan"),
        ({"starting_balance": Decimal("NaN")}, "starting_balance must be a positive amount, got Decimal('NaN')"),
        ({"starting_balance": "100000 USDT"}, "starting_balance must be a Decimal, a number"),
        ({"leverage": Decimal(0)}, "leverage must be a positive amount, got Decimal('0')"),
    ],
)
def test_a_venue_that_can_not_be_is_one_line(wrong, says):
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        run({}, still_market(), **wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("market", "says"),
    [
        (MARKET.bars, "market must be a PerpetualMarket or (MinuteBars, Quotes), got MinuteBars"),
        ((MARKET.quotes, MARKET.bars), "market must be a PerpetualMarket or (MinuteBars, Quotes), got tuple"),
        (cut(0), "market must have bars and quotes, got 0 and 0"),
    ],
)
def test_a_market_that_is_none_is_one_line(market, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        run({}, market)


def test_an_order_before_the_first_quote_has_no_cost_and_is_refused():
    late = replace(MARKET, quotes=Quotes(*(getattr(MARKET.quotes, name)[100:] for name in QUOTE_FIELDS)))
    with pytest.raises(ValueError, match="prepare must add strategies that wait for a quote, got O-20240101-000100-"):
        run({1: lambda s: s.limit(BUY, "1.000", "60000.0")}, late)


AMOUNT = st.decimals(min_value="-10", max_value="10", places=3).filter(bool)
PRICE = st.decimals(min_value=40_000, max_value=60_000, places=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(AMOUNT, PRICE, PRICE, PRICE, st.integers(0, 40)), max_size=30))
def test_the_ledger_conserves_whatever_is_filled(drawn):
    """Position, cash and the split add up for fills at any price, in any book, at any time."""
    times = sorted(START_NS + when * 10**9 for *_, when in drawn)
    fills = [
        FillRecord(time, "O", None, quantity, price, Decimal("0.01"), bid, bid + Decimal("0.1"), decided)
        for time, (quantity, price, bid, decided, _) in zip(times, drawn, strict=True)
    ]
    market = still_market(1)
    ledger = Ledger(fills, market.quotes, starting_balance=START, price_digits=1)
    at = START_NS + 20 * 10**9
    before = [fill for fill in fills if fill.time_ns <= at]
    held = sum((fill.quantity for fill in before), Decimal(0))
    cash = START - sum((fill.quantity * fill.price + fill.fee for fill in before), Decimal(0))
    assert ledger.held(at) == held
    assert ledger.equity(at) == cash + held * (Decimal("50000.0") if held > 0 else Decimal("50000.2"))
    assert ledger.equity(START_NS - 1) == START
    assert ledger.book(START_NS - 1) is None
    for fill in fills:
        assert fill.spread + fill.impact + fill.delay == fill.quantity * (fill.price - fill.decision_mid)
        assert fill.slippage_bp * fill.quantity * (fill.price - fill.decision_mid) >= 0


LIMITS = RiskLimits(
    max_order_quantity=Decimal(2),
    max_order_notional=Decimal(100_000),
    max_position=Decimal(3),
    max_open_orders=5,
    price_collar=Decimal("0.01"),
    period_collar=Decimal("0.05"),
    period_s=300.0,
    max_messages=100,
    message_window_s=60.0,
    max_repeats=50,
    repeat_window_s=60.0,
    max_daily_loss=Decimal("0.1"),
    max_quote_age_s=20.0,
)


def small_desk():
    rng = np.random.default_rng(0)
    detector = EwmaKMeans(half_life=20.0).fit(rng.normal(0, 6e-4, 400) * np.where(np.arange(400) % 200 < 140, 1, 2.3))
    sizing = SizingConfig(kappa=2e-6, gamma=2.0, f_max=1.0, sigma_target=0.0006)
    return Desk(detector, sizing=sizing, instrument=INSTRUMENT, window=20, bar="1min")


def follow_the_desk():
    config = RegimeStrategyConfig(
        instrument_id=INSTRUMENT.id,
        bar_type=minute_bar_type(INSTRUMENT),
        gate=GateConfig(max_age_s=20.0),
        dead_band=Decimal("0.02"),
    )
    return run_execution(cut(220), desk=small_desk(), strategy=config, limits=LIMITS)


def test_strategy_gate_and_algorithm_are_all_in_the_result_and_two_runs_give_equal_bytes():
    desked = follow_the_desk()
    assert follow_the_desk().to_json() == desked.to_json()
    assert desked.n_bars == len(desked.time_ns) == 220
    assert len(desked.targets) >= 220
    assert len(desked.children) > len(desked.parents) > 3
    for parent in desked.parents:
        slices = [child for child in desked.children if child.parent_id == parent.order_id]
        fills = [fill for fill in desked.fills if parent.order_id in (fill.order_id, fill.parent_id)]
        assert parent.filled == sum(fill.quantity for fill in fills)
        assert abs(parent.filled) <= abs(parent.quantity)
        assert all(child.time_ns >= parent.time_ns and child.decision_mid == parent.decision_mid for child in slices)
    assert desked.paper_profit - desked.profit == desked.costs.total
    assert desked.modes  # the shock at minute 100, and the warm-up before it
