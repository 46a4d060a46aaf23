"""The drill matrix: every fault of an exchange, the real service in a real node, and what must hold whatever happens.

Each invariant is judged from what the exchange sent and from what is on the disk, not from what the service says of
itself. The drills run beside each other in four processes, at half a second a bar.
"""

import json
import math
import subprocess
import sys
from bisect import bisect_right
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pytest
from drill import BAR_NS, FLATTEN_WITHIN_S, INTERVAL, MAX_QUOTE_AGE_S, N_WARM_UP, SILENT, settings_of

from companion.live import Candle, CandleStore, FaultKind, Ledger, read_audit, replay_audit, verify_audit
from companion.live._service_parts import all_in, risk_limits

SECOND_NS = 1_000_000_000
SLACK_S = 0.5  # between the gate's look at a quote and the line of the order, on a machine that is busy
FLAT_WITHIN_S = FLATTEN_WITHIN_S  # of the first price after a trip: what the service itself states
N_PROCESSES = 4
WAIT_S = 600  # only how long a defect hangs


class Drill:
    """What is left of one drill."""

    def __init__(self, folder: Path, kind: FaultKind, log: Path) -> None:
        evidence = folder / f"{kind}.json"
        assert evidence.exists(), f"{kind}: the drill has failed\n{log.read_text()[-3000:]}"
        self.kind, self.log, self.evidence = kind, log.read_text(), json.loads(evidence.read_text())
        self.folder = Path(self.evidence["folder"])
        self.true = {row[0]: Candle(*row) for row in self.evidence["candles"]}
        self.audit = self.folder / "audit.jsonl"

    @cached_property
    def lines(self) -> list:
        return list(read_audit(self.audit))

    def of(self, kind: str) -> list:
        return [line for line in self.lines if line.kind == kind]

    @cached_property
    def prices(self) -> list[tuple[int, float, float]]:
        """When a quote was sent that could be believed, and its bid and ask."""
        quotes = [(time_ns, sound_book(raw)) for time_ns, stream, raw in self.evidence["sent"] if "book" in stream]
        return [(time_ns, *book) for time_ns, book in quotes if book and self._is_true(time_ns, book)]

    def _is_true(self, time_ns: int, book: tuple[float, float]) -> bool:
        candle = self.true.get((time_ns - 1) // BAR_NS * BAR_NS)
        return candle is None or abs(sum(book) / 2 / candle.close - 1) < 0.02

    def price_before(self, time_ns: int) -> tuple[int, float, float] | None:
        n = bisect_right(self.prices, (time_ns, math.inf, math.inf))
        return self.prices[n - 1] if n else None

    def held_at(self, time_ns: int) -> Decimal:
        return sum(
            (Decimal(fill.content["quantity"]) for fill in self.of("fill") if fill.time_ns <= time_ns), Decimal(0)
        )

    @property
    def trip_ns(self) -> int | None:
        return next((line.time_ns for line in self.of("trip")), None)


def sound_book(raw: str) -> tuple[float, float] | None:
    """Bid and ask of a message that is a quote to trade at."""
    try:
        quote = json.loads(raw)["data"]
        bid, ask, *sizes = (float(quote[key]) for key in ("b", "a", "B", "A"))
        sound = quote["s"] == "BTCUSDT" and isinstance(quote["T"], int)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (bid, ask) if sound and 0 < bid <= ask < math.inf and min(sizes) > 0 else None


@pytest.fixture(scope="module")
def drills(tmp_path_factory):
    """Every drill, by its kind."""
    folder = tmp_path_factory.mktemp("drills")
    in_order = sorted(FaultKind, key=lambda kind: kind not in SILENT)  # the long ones first, and one of each to each
    shares = [in_order[n::N_PROCESSES] for n in range(N_PROCESSES)]
    logs = [folder / f"{n}.log" for n in range(N_PROCESSES)]
    program = [sys.executable, str(Path(__file__).with_name("drill.py")), str(folder)]
    running = []
    try:
        for share, log in zip(shares, logs, strict=True):
            with log.open("wb") as output:
                running.append(subprocess.Popen([*program, *share], stdout=output, stderr=subprocess.STDOUT))
        for process in running:
            process.wait(WAIT_S)
    finally:
        for process in running:
            process.kill()
            process.wait()
    where = {kind: log for share, log in zip(shares, logs, strict=True) for kind in share}
    found: dict[FaultKind, Drill] = {}

    def one(kind: FaultKind) -> Drill:
        if kind not in found:
            found[kind] = Drill(folder, kind, where[kind])
        return found[kind]

    return one


@pytest.fixture(params=FaultKind)
def drill(request, drills) -> Drill:
    return drills(request.param)


def test_the_fault_met_a_service_that_held_something(drill):
    assert drill.evidence["fault_ns"] is not None, drill.evidence["said"]
    begin_ns, end_ns = drill.evidence["fault_ns"]
    assert drill.held_at(begin_ns) != 0
    if drill.kind in SILENT:
        assert drill.of("trip")[0].content["source"] == "feed"
        assert begin_ns < drill.trip_ns < end_ns
    else:
        assert drill.trip_ns is None, drill.evidence["said"]
        assert any(time_ns >= end_ns for time_ns, *_ in drill.evidence["sent"])


def test_no_limit_is_exceeded(drill):
    settings = settings_of(drill.folder)
    price = Decimal(repr(drill.of("warm_up")[0].content["report"]["last"][4]))
    whole = all_in(settings.starting_balance, price)
    limits, held = risk_limits(settings, whole, price), Decimal(0)
    for line in drill.lines:
        if line.kind == "order":
            size = Decimal(line.content["quantity"])
            if line.content["flatten"]:
                assert size <= abs(held)
            assert size <= limits.max_order_quantity
            assert size * Decimal(drill.price_before(line.time_ns)[2]) <= limits.max_order_notional
        if line.kind == "fill":
            held += Decimal(line.content["quantity"])
            assert abs(held) <= limits.max_position
            assert abs(held) <= Decimal("1.1") * whole  # the desk's own leverage ends at 1
    times = [line.time_ns for line in drill.of("order")]
    window_ns = limits.message_window_s * SECOND_NS
    assert all(last - first > window_ns for first, last in zip(times, times[limits.max_messages :], strict=False))


def test_no_order_leaves_without_a_fresh_price(drill):
    for line in drill.of("order"):
        sent_ns, *_ = drill.price_before(line.time_ns) or (0,)
        age_s = (line.time_ns - sent_ns) / SECOND_NS
        assert age_s <= MAX_QUOTE_AGE_S + SLACK_S, line


def test_fills_have_prices_that_the_market_had(drill):
    for line in drill.of("fill"):
        _, bid, ask = drill.price_before(line.time_ns)
        assert 0.99 * bid < float(line.content["price"]) < 1.01 * ask, line


def test_a_tripped_service_is_flat_in_time(drill):
    if drill.trip_ns is None:
        return
    again_ns = next(time_ns for time_ns, *_ in drill.prices if time_ns > drill.trip_ns)
    assert drill.held_at(again_ns + round(FLAT_WITHIN_S * SECOND_NS)) == 0
    assert Ledger.from_audit(drill.audit, Decimal(100_000)).position == 0
    bought = [line for line in drill.of("order") if line.time_ns > drill.trip_ns and not line.content["flatten"]]
    assert bought == []


def test_no_bar_is_lost_or_doubled(drill):
    with CandleStore(f"sqlite:///{drill.folder / 'candles.db'}") as store:
        stored = store.between("BTCUSDT", INTERVAL, 0, 2**62)
        assert store.gaps("BTCUSDT", INTERVAL) == ()
    opens = [candle.open_time_ns for candle in stored]
    assert all(after - before == BAR_NS for before, after in pairwise(opens))
    assert stored == [drill.true[open_ns] for open_ns in opens]
    assert len(opens) > N_WARM_UP
    closes = [datetime.fromisoformat(line.content["decision"]["bar"][0]) for line in drill.of("decision")]
    decided = [round(close.timestamp() * 1000) * 1_000_000 - BAR_NS for close in closes]
    first = opens.index(decided[0])
    assert decided == opens[first : first + len(decided)]
    # What is tripped decides nothing more once it is flat. Else one may be stored, and not decided on, when it ends.
    assert drill.trip_ns is not None or len(opens) - first - len(decided) <= 1


def test_the_process_ends_cleanly(drill):
    assert drill.evidence["status"] == (0 if drill.trip_ns is None else 3), drill.evidence["said"]
    assert "Traceback" not in drill.log
    assert "never awaited" not in drill.log
    (stop,) = drill.of("stop")
    assert all(line.kind in ("fill", "feed", "mode", "incident") for line in drill.lines[stop.n :]), drill.lines[
        stop.n :
    ]


def test_the_audit_log_is_whole_and_its_decisions_can_be_made_again(drill):
    report = verify_audit(drill.audit)
    assert report, report.problem
    assert report.n_torn == 0
    orders, fills = ([line.content for line in drill.of(kind)] for kind in ("order", "fill"))
    assert len({order["order_id"] for order in orders}) == len(orders)
    assert len({fill["trade_id"] for fill in fills}) == len(fills)
    known: set[str] = set()
    for line in drill.lines:
        if line.kind == "order":
            known.add(line.content["order_id"])
        if line.kind == "fill":
            assert line.content["order_id"] in known
    assert Decimal(fills[-1]["position"]) == drill.held_at(2**63)
    replay = replay_audit(drill.audit)
    assert replay, replay.differences[:1]
    assert replay.n_decisions == len(drill.of("decision")) > 3
