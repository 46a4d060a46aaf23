"""The supervisor in the real engine: everything is written down first, and every trip ends flat, in a fixed order."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from companion.desk import Decision, Momentum
from companion.errors import InputError
from companion.execution import TradingMode, simulate_perpetual
from companion.execution._order_rules import Breach
from companion.execution.nautilus import attach, run_engine
from companion.execution.nautilus._gate import RiskGate
from companion.live import CircuitBreaker, Supervisor
from companion.live._audit import AuditLog
from companion.live._audit_read import read_audit
from companion.live._breaker_file import read_breaker
from companion.live._feed_config import FeedHealth
from companion.live._ledger import CENT, Ledger
from companion.risk import DailyLossLimit
from tests.execution.engine import INSTRUMENT, SECOND_NS, PlannedStrategy, random_market
from tests.execution.test_execution_strategy import FULL, LIMITS, WARM_UP, at, make_config, make_desk, moving, without
from tests.live.supervised import BALANCE, Watched, strict_monitor

CHECK_NS = SECOND_NS // 4


def test_everything_is_written_down_and_nothing_trips(tmp_path):
    saved = []
    run = Watched(tmp_path, make_desk(*[1.0] * 8, -1.0), random_market(14, seed=3), checkpoint=saved.append)
    assert run.breaker.tripped is None
    decisions = [Decision.from_json(json.dumps(line["decision"])) for line in run.of("decision")]
    assert decisions == [record.decision for record in run.strategy.records if record.trigger == "bar"]
    assert len(decisions) == 14
    assert [line["order_id"] for line in run.of("loop")] == [record.order_id for record in run.strategy.records]
    assert len(saved) == len(run.of("loop")) == 15
    assert all(sent.in_audit for sent in run.sent)
    assert {sent.order_id for sent in run.sent} == {line["order_id"] for line in run.of("order")}
    assert len(run.of("order")) == len(run.sent) > 10  # slices of TWAP_ADAPTIVE
    assert sum(line["parent"] is not None for line in run.of("order")) > 10
    assert run.ledger.position == run.held
    assert abs(run.ledger.balance - run.balance) <= CENT * (1 + run.ledger.n_fills)
    assert len(run.of("fill")) == run.ledger.n_fills
    assert run.of("stop") == [
        {"reason": "the strategy was stopped", "position": str(run.held), "balance": str(run.ledger.balance)}
    ]
    rebuilt = Ledger.from_audit(run.audit_path, BALANCE)
    assert vars(rebuilt) == vars(run.ledger)


def check_flat(run, source, *, within_ns=None):
    """The invariants of every trip; the time of the trip."""
    (trip,) = run.of("trip")
    assert (trip["source"], run.breaker.tripped.source) == (source, source)
    assert [event["event"] for event in read_breaker(run.breaker_path)] == ["trip"]
    assert all(sent.tripped for sent in run.sent if sent.flatten)
    assert all(sent.in_audit for sent in run.sent)
    assert run.held == run.ledger.position == 0
    assert not run.strategy.is_running
    assert run.gate.mode is TradingMode.HALTED
    assert all(order.is_closed for order in run.orders)
    time_ns = run.breaker.tripped.time_ns
    late = [sent for sent in run.sent if sent.time_ns > time_ns]
    assert all(sent.flatten for sent in late)
    if within_ns is not None:
        (last,) = run.of("stop")
        assert next(line.time_ns for line in run.lines if line.kind == "stop") <= time_ns + within_ns
        assert Decimal(last["position"]) == 0
    return time_ns


def kinds_of_the_trip(run):
    """From the trip on, without what is said of slices that were canceled."""
    kinds = run.kinds("decision", "trip", "order", "fill", "loop", "stop")
    return kinds[kinds.index("trip") - 1 :]


def test_an_alarm_of_the_monitor(tmp_path):
    run = Watched(tmp_path, make_desk(1.0, monitor=strict_monitor()), moving(12, fall=0.03, from_minute=8))
    time_ns = check_flat(run, "ood", within_ns=CHECK_NS)
    assert time_ns == at(9)
    assert "out of distribution" in run.of("trip")[0]["reason"]
    assert kinds_of_the_trip(run)[:4] == ["decision", "trip", "order", "fill"] or kinds_of_the_trip(run)[:4] == [
        "decision",
        "trip",
        "order",
        "loop",
    ]
    assert run.strategy.halted.startswith("ood: ")
    assert len([sent for sent in run.sent if sent.flatten]) == 1


@pytest.mark.parametrize("who", ["strategy", "gate", "desk"])
def test_a_loss_of_the_day(tmp_path, who):
    """A tenth of equity is held and a quarter of it lost."""

    settings = {"max_daily_loss": None, "loop_interval_s": 1.0} | (
        {"max_daily_loss": Decimal("0.02")} if who == "strategy" else {}
    )
    limits = replace(LIMITS, max_daily_loss=Decimal("0.02")) if who == "gate" else LIMITS
    desk = make_desk(1.0, **({"daily_loss": DailyLossLimit(Decimal("0.02"))} if who == "desk" else {}))
    run = Watched(tmp_path, desk, moving(14, fall=0.25, from_minute=8), config=make_config(**settings), limits=limits)
    time_ns = check_flat(run, "daily_loss", within_ns=SECOND_NS)
    assert at(8) < time_ns <= at(9)
    assert "daily loss of" in run.of("trip")[0]["reason"]


def test_the_desk_fails(tmp_path):
    run = Watched(tmp_path, make_desk(*[1.0] * 8, RuntimeError("no more")), random_market(14, seed=1))
    assert check_flat(run, "fault", within_ns=CHECK_NS) == at(9)
    assert "no more" in run.of("trip")[0]["reason"]


def call(action):
    """A strategy whose plan calls something at a bar, and the list that the run puts itself into."""
    runs = []
    return {"runs": runs, "strategies": [PlannedStrategy({8: lambda _: action(runs[0])})]}


def test_a_dead_feed(tmp_path):
    died = call(lambda run: run.supervisor.feed_died("the pump has ended"))
    run = Watched(tmp_path, make_desk(1.0), random_market(14, seed=1), **died)
    assert check_flat(run, "feed", within_ns=CHECK_NS) == at(8)
    assert run.of("feed") == [{"state": "dead", "reason": "the pump has ended", "counts": {}}]
    assert kinds_of_the_trip(run)[1:3] == ["trip", "order"]


def test_a_dead_feed_without_a_price_waits_for_one(tmp_path):
    """Nothing can be sold while there is no fresh quote: halted, and flat as soon as one is there."""
    start, end = at(7, 30), at(10, 10)
    market = without(random_market(14, seed=1), start, end)
    run = Watched(tmp_path, make_desk(1.0), market, **call(lambda run: run.supervisor.feed_died("silence")))
    time_ns = check_flat(run, "feed")
    (flatten,) = [sent for sent in run.sent if sent.flatten]
    assert time_ns == at(8)
    assert end <= flatten.time_ns <= end + CHECK_NS


def test_a_stale_feed_halts_until_it_is_live_again(tmp_path):
    runs = []
    steps = {
        7: lambda _: runs[0].supervisor.feed_changed(FeedHealth("stale", "no quote for 2.1 s"), {"quotes": 5}),
        10: lambda _: runs[0].supervisor.feed_changed(FeedHealth("live", "")),
    }
    run = Watched(
        tmp_path,
        make_desk(1.0),
        random_market(16, seed=1),
        config=make_config(twap_horizon_s=120.0, twap_interval_s=10.0),
        strategies=[PlannedStrategy(steps)],
        runs=runs,
    )
    assert not [sent for sent in run.sent if at(7) <= sent.time_ns < at(10)]
    assert [sent for sent in run.sent if sent.time_ns >= at(10)]
    assert run.breaker.tripped is None
    assert run.held == FULL
    assert [line["state"] for line in run.of("feed")] == ["stale", "live"]
    assert {"source": "feed", "mode": "halted", "reason": "no quote for 2.1 s"} in run.of("mode")


def test_what_others_hold_is_a_mismatch(tmp_path):
    """An order around the gate and the ledger: the engine holds what no fill in the audit accounts for."""

    def forge(run):
        run.ledger.on_fill(Decimal("0.001"), Decimal(50_000), Decimal(0))

    run = Watched(tmp_path, make_desk(1.0), random_market(14, seed=1), **call(forge))
    (trip,) = run.of("trip")
    assert trip["source"] == "reconciliation"
    assert trip["reason"].startswith("the engine holds 0.")
    assert run.held == 0
    assert run.breaker.tripped.time_ns in (at(8), at(8) + CHECK_NS)


def test_a_balance_that_differs_is_a_mismatch(tmp_path):
    def forge(run):
        run.ledger.balance += Decimal("0.01")

    run = Watched(tmp_path, make_desk(1.0), random_market(14, seed=1), **call(forge))
    check_flat(run, "reconciliation", within_ns=CHECK_NS)
    assert "has a balance of" in run.of("trip")[0]["reason"]


def test_another_process_trips(tmp_path):
    """Its breaker writes the file; ours notices at the next check."""

    def trip(run):
        CircuitBreaker(run.breaker_path).trip("person", "enough", now_ns=at(8))

    run = Watched(tmp_path, make_desk(1.0), random_market(14, seed=1), **call(trip))
    assert check_flat(run, "person", within_ns=2 * CHECK_NS) == at(8)


@pytest.mark.parametrize("second", range(0, 50, 10))
def test_in_the_middle_of_a_twap(tmp_path, second):
    """Its slices are canceled, what they filled is sold, and nothing else leaves."""
    runs = []

    class Person(PlannedStrategy):
        def on_quote_tick(self, tick):
            if tick.ts_event == at(WARM_UP + 2, second + 1):
                runs[0].supervisor.trip("person", "enough")

    run = Watched(
        tmp_path, make_desk(1.0), random_market(10, seed=1), strategies=[Person()], runs=runs, check_interval_s=0.25
    )
    check_flat(run, "person", within_ns=2 * CHECK_NS)


def test_tripped_before_the_start(tmp_path):
    """After a crash or a restart: nothing is traded, and the reason is that of then."""
    CircuitBreaker(tmp_path / "breaker.json").trip("person", "enough", now_ns=1)
    run = Watched(tmp_path, make_desk(1.0), random_market(10, seed=1))
    assert check_flat(run, "person") == 1
    assert not run.sent
    assert "person: enough" in run.of("stop")[0]["reason"]


class FullDisk(AuditLog):
    """A log that can not be written from some moment on, until there is room again."""

    full = False

    def append(self, kind, /, **content):
        if self.full:
            raise InputError(f"{self.path}: can not be written (No space left on device); make room")
        return super().append(kind, **content)


def test_a_full_disk_lets_nothing_out_but_a_flatten(tmp_path):
    """A part of the target is held; the next slice can not be written down, and what sells the part can not either."""
    runs = []

    class Disk(PlannedStrategy):
        def on_quote_tick(self, tick):
            runs[0].audit.full = at(7, 5) <= tick.ts_event < at(11)

    config = make_config(twap_horizon_s=120.0, twap_interval_s=10.0)
    run = Watched(
        tmp_path,
        make_desk(1.0),
        random_market(14, seed=1),
        config=config,
        strategies=[Disk()],
        runs=runs,
        audit=FullDisk,
    )
    (refusal,) = run.gate.refusals
    assert (refusal.rule, refusal.time_ns) == ("journal", at(7, 10))
    assert run.breaker.tripped.source == "fault"
    (flatten,) = [sent for sent in run.sent if sent.time_ns >= at(7, 5)]
    assert flatten.flatten
    assert flatten.tripped
    assert not flatten.in_audit
    assert flatten.time_ns <= at(7, 10) + CHECK_NS
    assert run.held == run.ledger.position == 0
    assert not run.strategy.is_running
    # there is room again, and the lines have come in their order
    assert [line["order_id"] for line in run.of("order")] == [sent.order_id for sent in run.sent]
    assert run.kinds("trip", "order", "fill", "stop")[-4:] == ["trip", "order", "fill", "stop"]
    assert vars(Ledger.from_audit(run.audit_path, BALANCE)) == vars(run.ledger)


def test_what_waits_for_a_full_disk_is_written_at_the_end_if_it_can_be(tmp_path, monkeypatch):
    """There is room again only when everything has stopped: the fill of the flatten is in the log all the same."""
    runs, remove = [], Supervisor.remove

    class Disk(PlannedStrategy):
        def on_quote_tick(self, tick):
            runs[0].audit.full = tick.ts_event >= at(7, 5)

    def with_room(supervisor):
        runs[0].audit.full = False
        remove(supervisor)

    monkeypatch.setattr(Supervisor, "remove", with_room)
    config = make_config(twap_horizon_s=120.0, twap_interval_s=10.0)
    market, strategies = random_market(14, seed=1), [Disk()]
    run = Watched(tmp_path, make_desk(1.0), market, config=config, strategies=strategies, runs=runs, audit=FullDisk)
    assert run.held == 0
    assert vars(Ledger.from_audit(run.audit_path, BALANCE)) == vars(run.ledger)


def test_a_strategy_that_a_rule_disables_is_sold(tmp_path):
    """Else it would hold what it holds for ever: everything but a flatten is refused."""
    limits = replace(LIMITS, max_repeats=4, repeat_window_s=600.0)
    run = Watched(tmp_path, make_desk(1.0), random_market(20, seed=1), limits=limits)
    assert run.gate.disabled
    check_flat(run, "fault")


def test_a_refused_flatten_is_sent_again_within_seconds(tmp_path, monkeypatch):
    times, judge = [], RiskGate._judge

    def busy(gate, order, *args, **options):
        if "FLATTEN" in (order.tags or ()):
            times.append(gate._clock.timestamp_ns())
            if len(times) == 1:
                return Breach("test", "the venue is overloaded")
        return judge(gate, order, *args, **options)

    monkeypatch.setattr(RiskGate, "_judge", busy)
    tripped = call(lambda run: run.supervisor.trip("person", "enough"))
    run = Watched(
        tmp_path, make_desk(1.0), random_market(14, seed=1), config=make_config(loop_interval_s=1.0), **tripped
    )
    assert times[1] - times[0] <= 2 * SECOND_NS
    assert run.held == 0


def test_an_order_that_can_not_be_written_down_is_refused(tmp_path):
    """The very first order: nothing leaves, and the rule is the journal's."""

    class Fails(FullDisk):
        def append(self, kind, /, **content):
            self.full = kind == "order"
            return super().append(kind, **content)

    run = Watched(tmp_path, make_desk(1.0), random_market(12, seed=1), audit=Fails)
    assert not run.sent
    (refusal,) = run.gate.refusals
    assert refusal.rule == "journal"
    assert "No space left" in refusal.reason
    assert run.of("refusal")[0]["rule"] == "journal"
    check_flat(run, "fault")


@pytest.mark.parametrize("what", ["ledger", "checkpoint", "breaker"])
def test_its_own_failures_are_faults(tmp_path, monkeypatch, what):
    """Whatever it is, the engine runs on and the book is flat."""

    def fail(*_, **__):
        raise RuntimeError("a defect")

    def plant(run):
        if what == "ledger":
            monkeypatch.setattr(run.ledger, "on_fill", fail)
        elif what == "breaker":
            monkeypatch.setattr(run.breaker, "refresh", fail)

    saves = []

    def save(now_ns):
        saves.append(now_ns)
        if what == "checkpoint" and len(saves) == 8:
            fail()

    config = make_config(twap_horizon_s=200.0)
    run = Watched(tmp_path, make_desk(1.0), random_market(14, seed=1), config=config, checkpoint=save, **call(plant))
    (trip,) = run.of("trip")
    assert trip["source"] == "fault"
    assert "a defect" in trip["reason"]
    assert run.held == 0
    assert not run.strategy.is_running
    assert all(sent.tripped for sent in run.sent if sent.flatten)


def test_a_fault_amid_a_fill_sells_nothing_twice(tmp_path, monkeypatch):
    """The fill that closes the position is the one that the ledger fails at: nothing is left to sell."""

    def plant(run):
        monkeypatch.setattr(run.ledger, "on_fill", lambda *_: 1 / 0)

    desk, config = make_desk(*[1.0] * 8, 0.0), make_config(twap_horizon_s=None)
    run = Watched(tmp_path, desk, random_market(14, seed=1), config=config, **call(plant))
    assert run.breaker.tripped.source == "fault"
    assert [sent.time_ns for sent in run.sent] == [at(6), at(9)]
    assert not any(sent.flatten for sent in run.sent)
    assert run.held == 0


def test_a_breaker_that_fails_does_not_keep_the_position(tmp_path, monkeypatch):
    """Neither its file nor its listeners: trading ends all the same."""

    def fail(*_, **__):
        raise OSError("no such device")

    def trip(run):
        monkeypatch.setattr(run.breaker, "trip", fail)
        run.supervisor.trip("person", "enough")

    run = Watched(tmp_path, make_desk(1.0), random_market(14, seed=1), **call(trip))
    assert run.held == 0
    assert run.of("trip") == [{"source": "person", "reason": "enough"}]


def late(bar, ns):
    """The same bar, received later."""
    return type(bar)(bar.bar_type, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.ts_event, bar.ts_init + ns)


def test_an_old_bar_is_decided_on_and_not_traded_on(tmp_path):
    quotes, bars = random_market(12, seed=1)
    delayed = [late(bar, 7 * SECOND_NS) if n in (6, 7) else bar for n, bar in enumerate(bars, 1)]
    run = Watched(tmp_path, make_desk(1.0), (quotes, delayed), config=make_config(max_bar_age_s=5.0))
    loops = run.of("loop")
    assert [line["order_id"] is not None for line in loops] == [n == 8 for n in range(1, 14)]
    assert "old bar: it closed 7 s ago, 5 s are borne" in loops[5]["reasons"]
    assert len(run.of("decision")) == 12
    assert run.held == FULL


@pytest.mark.parametrize("trips", [False, True])
def test_over_a_simulated_market(tmp_path, trips):
    """The harness accounts for all fills by itself: held, equity and ledger agree, and after a trip nothing is held."""
    made, path = {}, tmp_path / "audit.jsonl"

    class Person(PlannedStrategy):
        def on_bar(self, bar):
            self.n_bars += 1
            if trips and self.n_bars == 70:
                made["supervisor"].trip("person", "enough")

    with AuditLog(path) as audit:

        def prepare(engine):
            parts = attach(
                engine,
                instrument=INSTRUMENT,
                strategy=make_config(),
                desk=make_desk(signal=Momentum(2, 5)),
                limits=LIMITS,
            )
            ledger, breaker = Ledger(BALANCE), CircuitBreaker(tmp_path / "breaker.json")
            given = {"instrument": INSTRUMENT, "breaker": breaker, "audit": audit, "ledger": ledger}
            made["supervisor"] = Supervisor(engine, parts, check_interval_s=5.0, **given)
            engine.add_strategy(Person())
            made.update(given)

        market = simulate_perpetual(n_minutes=100, quotes_per_minute=12, seed=5)
        result = run_engine(market, prepare, instrument=INSTRUMENT)
        made["supervisor"].remove()
    ledger, lines = made["ledger"], list(read_audit(path))
    assert ledger.position == result.held[-1]
    assert len(result.fills) == ledger.n_fills > 10
    assert (made["breaker"].tripped is not None) == trips
    if trips:
        assert result.held[-1] == 0
        assert abs(result.equity[-1] - ledger.balance) <= CENT * (1 + ledger.n_fills)
    ordered = {line.content["order_id"]: line for line in lines if line.kind == "order"}
    assert {fill.order_id for fill in result.fills} <= set(ordered)
    assert all(ordered[line.content["order_id"]].n < line.n for line in lines if line.kind == "fill")
    assert vars(Ledger.from_audit(path, BALANCE)) == vars(ledger)


def test_settings_out_of_range(tmp_path):
    with pytest.raises(ValueError, match="check_interval_s must be"):
        Watched(tmp_path, make_desk(1.0), random_market(1, seed=1), check_interval_s=0.0)
