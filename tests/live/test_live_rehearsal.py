"""Every fault, rehearsed: the invariants hold, each of them can fail, and without a fault nothing is added."""

import shutil
from collections import Counter
from dataclasses import fields, replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.errors import InputError
from companion.execution import GateConfig, MinuteBars, Quotes, RiskLimits, simulate_perpetual
from companion.execution.nautilus import RegimeStrategyConfig, perpetual_instrument, run_execution
from companion.live import (
    CandleStore,
    CircuitBreaker,
    DeskRecipe,
    ExchangeSimulator,
    Fault,
    FaultKind,
    bar_type_of,
    read_audit,
    rehearse,
    replay_audit,
    warm_up,
)
from companion.live import _rehearsal as rehearsal_module
from companion.live._feed import Feed
from companion.live._rehearsal_stream import Network, StreamClient

N_HISTORY, N_LIVE = 800, 28
INSTRUMENT = perpetual_instrument()
MARKET = simulate_perpetual(n_minutes=N_HISTORY + N_LIVE, seed=1)
LIMITS = RiskLimits(
    max_order_quantity=Decimal(2),
    max_order_notional=Decimal(100_000),
    max_position=Decimal(2),
    max_open_orders=5,
    price_collar=Decimal("0.01"),
    period_collar=Decimal("0.05"),
    period_s=60.0,
    max_messages=30,
    message_window_s=10.0,
    max_repeats=40,
    repeat_window_s=60.0,
    max_daily_loss=Decimal("0.05"),
    max_quote_age_s=10.0,
)
DELAY_NS = 20_000_000  # of the network, by default
RULES = {
    "no limit exceeded",
    "no order without a fresh price",
    "no fill off the market",
    "flat after a trip",
    "no bar lost or doubled",
    "audit whole",
    "alive or cleanly stopped",
}


def strategy(interval="1m", **changes) -> RegimeStrategyConfig:
    return RegimeStrategyConfig(
        **{
            "instrument_id": INSTRUMENT.id,
            "bar_type": bar_type_of(INSTRUMENT, interval),
            "gate": GateConfig(),
            "dead_band": Decimal("0.002"),
            "loop_interval_s": 2.0,
            "max_bar_age_s": 30.0,
        }
        | changes
    )


def run(folder, *faults, market=MARKET, interval="1m", n_history=N_HISTORY, changes=None, **options):
    exchange = ExchangeSimulator(market, interval=interval, n_history=n_history, faults=faults)
    return rehearse(
        exchange,
        **{
            "desk": DeskRecipe.of(INSTRUMENT, bar=interval),
            "strategy": strategy(interval, **changes or {}),
            "limits": LIMITS,
            "folder": folder,
        }
        | options,
    )


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return run(tmp_path_factory.mktemp("calm"))


@pytest.fixture(scope="module")
def amid_an_order(calm):
    """When the third slice of an order left of which more were to come, in bars since the start."""
    slices = Counter(order.parent_id for order in calm.orders)
    parents = {order.order_id: order.parent_id for order in calm.orders}
    seen: Counter = Counter()
    for sent in calm.sent:
        parent = parents[sent.order_id]
        seen[parent] += 1
        at_bar = (sent.time_ns - calm.start_ns) / calm.bar_ns
        if at_bar > 8 and parent is not None and seen[parent] == 3 < slices[parent] - 3:
            assert at_bar < N_LIVE - 12
            return at_bar + 0.01
    raise AssertionError("the market must make an order of many slices")


# --- without a fault -------------------------------------------------------------------------------------------------


def test_without_a_fault_all_holds_and_there_is_much_to_hold(calm):
    assert calm.warm.ready
    assert calm.violations() == dict.fromkeys(RULES, ())
    assert len(calm.fills) > 50
    assert calm.trip is None
    assert len(calm.candles) == N_LIVE
    assert calm.counts.quotes == len(calm.quotes) == 60 * N_LIVE
    assert replay_audit(calm.audit)
    assert min(order.time_ns for order in calm.sent) > calm.start_ns


def test_without_a_fault_it_is_the_run_of_chapter_12_later_by_the_delay(tmp_path):
    """To the nanosecond: feed, supervisor, audit and store add nothing and take nothing."""
    live = run(tmp_path / "live", changes={"loop_interval_s": None})
    desk = DeskRecipe.of(INSTRUMENT).make()
    exchange = ExchangeSimulator(MARKET, n_history=N_HISTORY)
    exchange.start_at(live.start_ns)
    with CandleStore(f"sqlite:///{tmp_path / 'c.db'}") as store:
        warm_up(
            desk,
            store,
            symbol="BTCUSDT",
            interval="1m",
            now_ns=live.start_ns,
            equity=Decimal(100_000),
            fetch=lambda start_ns, end_ns: exchange.history(start_ns, end_ns, now_ns=live.start_ns),
        )
    later = [
        type(table)(*(getattr(table, column.name)[table.time_ns > live.start_ns] for column in fields(table)))
        for table in (MARKET.bars, MARKET.quotes)
    ]
    plain = run_execution(tuple(later), desk=desk, strategy=strategy(loop_interval_s=None), limits=LIMITS)
    assert len(plain.fills) > 50
    assert [(fill.time_ns + DELAY_NS, *key(fill)) for fill in plain.fills] == [
        (fill.time_ns, *key(fill)) for fill in live.fills
    ]
    assert plain.held == tuple(live.held(time_ns + DELAY_NS) for time_ns in plain.time_ns)


def key(fill):
    return fill.order_id.rpartition("-")[2], fill.parent_id is None, fill.quantity, fill.price, fill.fee


def test_a_rehearsal_is_the_same_each_time(calm, tmp_path):
    again = run(tmp_path)
    assert again.audit.read_bytes() == calm.audit.read_bytes()
    for name in ("fills", "sent", "events", "candles", "records", "health", "counts", "modes"):
        assert getattr(again, name) == getattr(calm, name), name


def test_its_table_says_what_its_records_say(calm):
    table = calm.series(steps_per_bar=6)
    assert len(table) == (calm.end_ns - calm.start_ns) * 6 // calm.bar_ns + 1
    assert table.position.iloc[-1] == float(calm.held(calm.end_ns))
    assert np.isnan(table.mid.iloc[0])
    bars = table.iloc[6:-1:6]
    closes = [candle.close for candle in calm.true_candles]
    assert np.abs(bars.mid.to_numpy() / closes[: len(bars)] - 1).max() < 1e-4
    assert set(table.feed) == {"", "live"}
    assert set(table["mode"]) <= {"active", "reducing", "halted"}
    assert [time_ns for time_ns, _ in calm.events] == sorted(time_ns for time_ns, _ in calm.events)


def test_bars_may_be_shorter_than_a_minute(tmp_path):
    """Sixty quotes in a second, a disconnection of five bars: the stamps are true, and everything holds."""
    result = run(
        tmp_path,
        Fault(FaultKind.DISCONNECT, 14, 5),
        interval="1s",
        changes={"twap_horizon_s": None, "gate": GateConfig(sample_s=0.1, calm_s=1.0)},
    )
    assert result.bar_ns == 1_000_000_000
    assert result.violations() == dict.fromkeys(RULES, ())
    assert result.fills
    assert result.counts.reconnects == 1
    assert len(result.candles) == N_LIVE


# --- every fault -----------------------------------------------------------------------------------------------------

#: The feed is of no use, or there is no price to trust for longer than is borne: the breaker trips.
FATAL = {
    FaultKind.DISCONNECT,
    FaultKind.SILENCE,
    FaultKind.SLOW_DRIP,
    FaultKind.HALF_OPEN,
    FaultKind.REORDERING,
    FaultKind.MALFORMED,
    FaultKind.NAN,
    FaultKind.GLITCH,
    FaultKind.CLOCK_SKEW,
}
#: What a fault must leave in the counts, so that it was there at all.
TRACES = {
    FaultKind.DISCONNECT: "reconnects",
    FaultKind.SILENCE: "reconnects",
    FaultKind.SLOW_DRIP: "reconnects",
    FaultKind.HALF_OPEN: "reconnects",
    FaultKind.DUPLICATES: "duplicates",
    FaultKind.REORDERING: "late",
    FaultKind.GAPS: "filled",
    FaultKind.MALFORMED: "malformed",
    FaultKind.NAN: "malformed",
    FaultKind.GLITCH: "implausible",
}


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_leaves_every_invariant(kind, amid_an_order, tmp_path):
    result = run(tmp_path, Fault(kind, amid_an_order, 2.5))
    begins_ns = result.start_ns + round(amid_an_order * result.bar_ns)
    assert any(begins_ns - 10**10 < order.time_ns < begins_ns for order in result.sent)  # it struck amid an order
    assert result.violations() == dict.fromkeys(RULES, ())
    if kind in TRACES:
        assert getattr(result.counts, TRACES[kind]) > 0
    assert (result.trip is not None) == (kind in FATAL), result.trip
    if result.trip is not None:
        assert result.trip.source == "feed"
        assert begins_ns < result.trip.time_ns < begins_ns + 35 * 10**9
        assert not result.held(result.end_ns)
    assert len(result.candles) == N_LIVE
    assert replay_audit(result.audit)


def test_a_short_fault_halts_and_trips_nothing(amid_an_order, tmp_path):
    result = run(tmp_path, Fault(FaultKind.SILENCE, amid_an_order, 0.2))
    assert result.trip is None
    assert result.violations() == dict.fromkeys(RULES, ())
    begins_ns = result.start_ns + round(amid_an_order * result.bar_ns)
    assert any(mode.source == "feed" and mode.mode == "halted" and mode.time_ns > begins_ns for mode in result.modes)
    assert not any(begins_ns + 2.5e9 < order.time_ns < begins_ns + 12e9 for order in result.sent)
    assert result.held(result.end_ns)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(Fault, st.sampled_from(FaultKind), st.floats(0.0, 20.0), st.floats(0.02, 5.0)),
        min_size=2,
        max_size=3,
        unique_by=lambda fault: fault.kind,
    )
)
def test_several_faults_at_any_time_leave_every_invariant(tmp_path_factory, faults):
    result = run(tmp_path_factory.mktemp("faults"), *faults)
    assert result.violations() == dict.fromkeys(RULES, ())


def test_an_exchange_that_is_never_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="exchange must let a quote or a candle through, got none"):
        run(tmp_path, Fault(FaultKind.DISCONNECT, 0.0, N_LIVE + 1.0))


# --- breaker and cold start ------------------------------------------------------------------------------------------


def test_a_trip_by_hand_is_on_the_disk_and_flat_within_seconds(amid_an_order, tmp_path):
    result = run(tmp_path, trip_at_bar=amid_an_order)
    assert result.held(result.start_ns + round(amid_an_order * result.bar_ns))
    assert result.trip is not None
    assert result.trip.source == "person"
    assert result.invariants(flat_within_s=5.0) == dict.fromkeys(RULES, True)
    lines = [line for line in read_audit(result.audit) if line.time_ns >= result.trip.time_ns]
    kinds = [line.kind for line in lines]
    flatten = next(n for n, line in enumerate(lines) if line.kind == "order" and line.content["flatten"])
    assert kinds.index("trip") < flatten
    assert any("the breaker trips, person" in text for _, text in result.events)


def test_a_breaker_that_is_tripped_already_lets_nothing_out(tmp_path):
    CircuitBreaker(tmp_path / "breaker.json").trip("person", "yesterday", now_ns=1)
    result = run(tmp_path)
    assert result.trip is not None
    assert result.trip.reason == "yesterday"
    assert result.sent == ()
    assert result.violations() == dict.fromkeys(RULES, ())


def test_a_desk_without_history_enough_stays_flat_and_says_why(tmp_path):
    result = run(tmp_path, n_history=300, market=cut(MARKET, 500, 828))
    assert not result.warm.ready
    assert result.warm.reasons
    assert result.sent == ()
    assert result.violations() == dict.fromkeys(RULES, ())


def test_history_of_another_market_is_noticed_at_the_first_quote(tmp_path):
    bars, quotes = (scaled(table, MARKET.bars.time_ns[N_HISTORY - 1]) for table in (MARKET.bars, MARKET.quotes))
    result = run(tmp_path, market=(bars, quotes))
    assert not result.warm.ready
    assert any("one market" in reason for reason in result.warm.reasons)
    assert result.sent == ()


def cut(market, first, end):
    """The bars of a market from `first` to before `end`, with their quotes."""
    begin_ns, end_ns = market.bars.time_ns[first - 1], market.bars.time_ns[end - 1]
    tables = []
    for table in (market.bars, market.quotes):
        kept = (table.time_ns > begin_ns) & (table.time_ns <= end_ns)
        tables.append(type(table)(*(getattr(table, column.name)[kept] for column in fields(table))))
    return tuple(tables)


def scaled(table: MinuteBars | Quotes, until_ns: int):
    """The same market, a tenth higher after a time."""
    factor = np.where(table.time_ns > until_ns, 1.1, 1.0)
    prices = [column.name for column in fields(table) if column.name in ("open", "high", "low", "close", "bid", "ask")]
    return replace(table, **{name: np.round(getattr(table, name) * factor, 1) for name in prices})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": strategy("1s")}, "strategy must have the bar_type .*1-MINUTE"),
        ({"starting_balance": Decimal(0)}, "starting_balance must be a positive amount, got 0"),
        ({"leverage": Decimal(-1)}, "leverage must be a positive amount, got -1"),
        ({"latency_ms": 0.0}, "latency_ms must be a positive finite number, got 0"),
    ],
)
def test_a_wrong_argument_is_named(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **change)
    assert not list(tmp_path.iterdir())


def test_a_network_without_delay_is_refused():
    with pytest.raises(ValueError, match="delay_s must be a positive finite number, got 0"):
        Network(delay_s=0)


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not empty; give each rehearsal a folder of its own"):
        run(tmp_path)


# --- each invariant can fail -----------------------------------------------------------------------------------------


def broken_rule(result) -> set[str]:
    return {name for name, holds in result.invariants().items() if not holds}


def grown(calm):
    """The first order twice as large as any may be."""
    return replace(calm, sent=(calm.sent[0]._replace(quantity=Decimal(5)), *calm.sent[1:]))


@pytest.mark.parametrize(
    "plant",
    [
        grown,
        lambda calm: replace(calm, limits=replace(LIMITS, max_order_notional=Decimal(1000))),
        lambda calm: replace(calm, limits=replace(LIMITS, max_position=max(map(abs, calm._held)) / 2)),
        lambda calm: replace(calm, limits=replace(LIMITS, max_messages=2, message_window_s=15.0)),
        lambda calm: replace(calm, sent=(*calm.sent, calm.sent[-1]._replace(flatten=True, quantity=Decimal(9)))),
    ],
)
def test_an_order_above_a_limit_is_found(plant, calm):
    assert "no limit exceeded" in broken_rule(plant(calm))


@pytest.mark.parametrize(
    "plant",
    [
        lambda calm: replace(calm, quote_times_ns=calm.quote_times_ns - np.array([[0, 11 * 10**9]])),
        lambda calm: replace(calm, quotes=calm.quotes[:9], quote_times_ns=calm.quote_times_ns[:9]),
        lambda calm: replace(calm, sent=(calm.sent[0]._replace(time_ns=calm.start_ns), *calm.sent[1:])),
    ],
)
def test_an_order_without_a_fresh_price_is_found(plant, calm):
    assert broken_rule(plant(calm)) == {"no order without a fresh price"}


@pytest.mark.parametrize("factor", [Decimal(100), Decimal("0.98")])
def test_a_fill_off_the_market_is_found(factor, calm):
    wrong = replace(calm.fills[7], price=calm.fills[7].price * factor)
    assert broken_rule(replace(calm, fills=(*calm.fills[:7], wrong, *calm.fills[8:]))) == {"no fill off the market"}


def test_a_position_after_a_trip_is_found(calm, amid_an_order, tmp_path):
    tripped = run(tmp_path, trip_at_bar=amid_an_order)
    assert broken_rule(replace(calm, trip=tripped.trip)) == {"flat after a trip"}
    late = replace(calm.fills[0], time_ns=tripped.end_ns - 1)  # flat in time, and then it buys again
    assert "flat after a trip" in broken_rule(replace(tripped, fills=(*tripped.fills, late)))


@pytest.mark.parametrize(
    "plant",
    [
        lambda calm: replace(calm, candles=calm.candles[:5] + calm.candles[6:]),
        lambda calm: replace(calm, candles=calm.candles[:-1]),
        lambda calm: replace(calm, candles=(*calm.candles, calm.candles[-1])),
        lambda calm: replace(calm, candles=(calm.candles[0]._replace(close=1.0), *calm.candles[1:])),
        lambda calm: replace(calm, bar_times_ns=calm.bar_times_ns[1:]),
        lambda calm: replace(calm, bar_times_ns=(*calm.bar_times_ns, calm.bar_times_ns[-1])),
    ],
)
def test_a_bar_that_is_lost_or_doubled_is_found(plant, calm):
    assert broken_rule(plant(calm)) == {"no bar lost or doubled"}


def test_an_audit_that_was_touched_or_lacks_an_order_is_found(calm, tmp_path):
    copy = tmp_path / "audit.jsonl"
    text = calm.audit.read_bytes()
    assert b'"BUY"' in text
    copy.write_bytes(text.replace(b'"BUY"', b'"SELL"', 1))
    assert broken_rule(replace(calm, audit=copy)) == {"audit whole"}
    lines = text.splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[: len(lines) // 2]))  # a whole chain, which is too short
    assert broken_rule(replace(calm, audit=copy)) == {"audit whole"}
    shutil.copyfile(calm.audit, copy)
    assert broken_rule(replace(calm, audit=copy, fills=calm.fills[:-1])) == {"audit whole"}


def test_a_strategy_that_failed_is_found(calm):
    assert broken_rule(replace(calm, ended_well=False)) == {"alive or cleanly stopped"}


# --- and the system, with a part that does not do its work -----------------------------------------------------------


def test_a_supervisor_that_does_not_act_is_found(amid_an_order, tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal_module.Supervisor, "_act", lambda self, trip: None)
    result = run(tmp_path, trip_at_bar=amid_an_order)
    assert "flat after a trip" in broken_rule(result)


def test_a_client_that_asks_for_nothing_is_found(amid_an_order, tmp_path, monkeypatch):
    monkeypatch.setattr(StreamClient, "_answer", lambda self, now_ns: None)
    result = run(tmp_path, Fault(FaultKind.GAPS, amid_an_order, 2.5))
    assert broken_rule(result) == {"no bar lost or doubled"}


def test_a_feed_that_believes_everything_is_found_or_stopped_by_the_gate(amid_an_order, tmp_path, monkeypatch):
    """A quote a hundred times too high fills what is on its way."""
    monkeypatch.setattr(Feed, "_compare_with", lambda self, price: None)
    result = run(tmp_path, Fault(FaultKind.GLITCH, amid_an_order - 0.01 + 0.0005, 2.5))
    assert "no fill off the market" in broken_rule(result)
