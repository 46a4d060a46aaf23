"""`companion live`: it starts by itself, trades, stops as told, goes on where it was, and stays tripped."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.data import QuoteTick
from service import Service, fields, run

from companion.cli import main
from companion.errors import InputError
from companion.execution import simulate_perpetual
from companion.live import (
    AuditLine,
    AuditLog,
    Candle,
    CandleStore,
    CircuitBreaker,
    ExchangeAddress,
    ExchangeSimulator,
    Ledger,
    LiveSettings,
    Patience,
    _service_start,
    fetch_klines,
    read_audit,
    replay_audit,
    verify_audit,
)
from companion.live._checkpoint import load_checkpoint
from companion.live._service_folder import ServiceFolder
from companion.live._service_parts import all_in
from companion.live._service_run import ServiceRun, paper_node
from companion.live._service_start import Opened, Start

# A market that the desk mostly holds something in; a bar of a quarter of a second is no haste.
BAR_S = 0.25
MARKET = ("--simulate", "--interval", "250ms", "--history", 800, "--minutes", 3000, "--seed", 9)


@dataclass
class Days:
    """What the runs of one folder said and left, one after another."""

    folder: Path
    status: list[int]
    said: list[list[str]]
    complaints: list[str]
    n_lines: list[int]
    listening: list[str]
    second: tuple[int, str]

    def audit(self, run: int) -> list[AuditLine]:
        """Lines of the audit log that one run has added."""
        begin = self.n_lines[run - 1] if run else 0
        return list(read_audit(self.folder / "audit.jsonl"))[begin : self.n_lines[run]]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Days:
    """Told to stop; started again and tripped by another process; tried again; reset and started once more."""
    folder = tmp_path_factory.mktemp("service") / "live"
    days = Days(folder, [], [], [], [], [], (0, ""))
    breaker = ("--file", folder / "breaker.json")

    def ended(service: Service) -> None:
        status, complaints = service.wait()
        days.status.append(status)
        days.said.append(service.lines)
        days.complaints.append(complaints)
        days.n_lines.append(verify_audit(folder / "audit.jsonl").head.n_lines)

    with Service(folder, *MARKET) as service:
        seen = fields(service.until(bars=5, holds=False))["bars"]
        began = time.monotonic()
        days.listening = service.listening()
        rival = run("live", *MARKET, "--folder", folder)
        days.second = rival.returncode, rival.stderr
        meanwhile = (time.monotonic() - began) / BAR_S  # bars; what it said of them waits to be read, and is old
        service.until(bars=max(30, seen + meanwhile), holds=True)
        service.process.send_signal(signal.SIGTERM)
        ended(service)
    with Service(folder, *MARKET) as service:
        service.until(bars=5, holds=True)
        assert run("breaker", "trip", "a drill", *breaker).returncode == 0
        ended(service)
    with Service(folder, *MARKET) as service:
        ended(service)
    assert run("breaker", "reset", "the drill is over", *breaker).returncode == 0
    with Service(folder, *MARKET, "--bars", 1) as service:
        ended(service)
    return days


def test_it_stops_as_told(days: Days) -> None:
    assert days.status[0] == 0
    assert "Traceback" not in "".join(days.complaints)
    assert days.said[0][-1].startswith("companion live: stopped (by SIGTERM): ")
    kinds = [line.kind for line in days.audit(0)]
    assert kinds[:2] == ["session", "warm_up"]
    assert "order" not in kinds[kinds.index("stop") :]
    assert {"decision", "loop", "order", "fill", "feed"} <= set(kinds)


def test_no_order_leaves_before_the_warm_up_has_finished(days: Days) -> None:
    for number in (0, 1, 3):
        kinds = [line.kind for line in days.audit(number)]
        assert "order" not in kinds[: kinds.index("decision")]
        (warm,) = (line.content["report"] for line in days.audit(number) if line.kind == "warm_up")
        assert (warm["ready"], warm["reasons"]) == (True, [])
        assert warm["resumed"] == (number == 1)


def test_a_restart_goes_on_with_the_account_and_the_checkpoint(days: Days) -> None:
    held = [line.content["position"] for line in days.audit(0) if line.kind == "fill"][-1]
    begun = [line.content["held"] for line in days.audit(1) if line.kind == "loop"]
    assert Decimal(held) == Decimal(begun[0]) != 0
    assert "from the checkpoint" in days.said[1][0]
    assert fields(days.said[0][-1])["position"] == float(held)


def test_a_trip_of_another_process_ends_it_flat(days: Days) -> None:
    assert days.status[1] == 3
    line = days.complaints[1].splitlines()[-1]
    assert "tripped (person: a drill)" in line
    assert f'`companion breaker reset "WHY" --file {days.folder}/breaker.json`' in line
    kinds = [line.kind for line in days.audit(1)]
    flatten = [line for line in days.audit(1) if line.kind == "order" and line.content["flatten"]]
    (trip,) = (line for line in days.audit(1) if line.kind == "trip")
    assert trip.n < flatten[0].n
    (stop,) = (line.content for line in days.audit(1) if line.kind == "stop")
    assert Decimal(stop["position"]) == 0
    assert kinds.index("stop") > kinds.index("trip")


def test_tripped_it_does_not_start_and_leaves_everything_as_it_was(days: Days) -> None:
    assert (days.status[2], days.said[2]) == (3, [])
    assert "nothing is started" in days.complaints[2]
    assert days.n_lines[2] == days.n_lines[1]


def test_after_a_reset_it_begins_with_a_warm_up_and_writes_the_reason_down(days: Days) -> None:
    assert days.status[3] == 0
    assert "from history" in days.said[3][0]
    (reset,) = (line.content for line in days.audit(3) if line.kind == "reset")
    assert reset["reason"] == "the drill is over"
    assert "all bars are over" in days.said[3][-1]


def test_no_order_is_sent_twice_and_every_decision_can_be_made_again(days: Days) -> None:
    path = days.folder / "audit.jsonl"
    orders = Counter(line.content["order_id"] for line in read_audit(path) if line.kind == "order")
    trades = Counter(line.content["trade_id"] for line in read_audit(path) if line.kind == "fill")
    assert set(orders.values()) == set(trades.values()) == {1}
    assert replay_audit(path)


def test_no_bar_is_lost_or_doubled_in_the_store(days: Days) -> None:
    with CandleStore(f"sqlite:///{days.folder}/candles.db") as store:
        last = load_checkpoint(days.folder / "checkpoint.json").last
        assert store.gaps("BTCUSDT", "250ms") == ()
        assert store.overlaps("BTCUSDT", "250ms") == ()
        assert last in store.last("BTCUSDT", "250ms", 100)


def test_it_listens_on_nothing_and_shares_its_folder_with_nobody(days: Days) -> None:
    assert days.listening == []
    status, complaint = days.second
    assert status == 2
    assert complaint == (
        f"companion live: {days.folder}: a service runs here already; stop it, or give another --folder\n"
    )


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ([], "the market must be one: give --simulate, or --http and --websocket"),
        (["--simulate", "--http", "http://127.0.0.1:1"], "the market must be one"),
        (["--http", "http://127.0.0.1:1"], "http and websocket belong together"),
        (["--http", "http://127.0.0.1:1", "--websocket", "http://127.0.0.1:1"], "--websocket: address of the exchange"),
        (["--simulate", "--store", "postgresql://me:hunter2@127.0.0.1/candles"], "put it into ~/.pgpass"),
        (["--simulate", "--interval", "5m"], "--interval: interval must be at most 1m"),
        (["--simulate", "--leverage", "0"], "--leverage: leverage must be 1 to 125"),
        (["--simulate", "--fault", "flood:1:1"], "KIND:AT:BARS"),
        (["--simulate", "--bars", "0"], "--bars: bars must be a positive integer"),
    ],
)
def test_what_it_can_not_start_with_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: list[str], complaint: str
) -> None:
    assert main(["live", "--folder", str(tmp_path), *flags]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert complaint in said
    assert "hunter2" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_keeps_the_account_and_the_market_that_it_was_begun_with(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path)
    assert folder.settle(LiveSettings(simulate=True, seed=1), 7) == 7
    assert folder.settle(LiveSettings(simulate=True, seed=1, max_daily_loss=0.01), 8) == 7
    for other in ({"seed": 2}, {"seed": 1, "balance": 5.0}, {"seed": 1, "interval": "1s"}):
        with pytest.raises(InputError, match=r"run\.json: (seed|balance|interval) is .*give another --folder"):
            folder.settle(LiveSettings(simulate=True, **other), 9)
    folder.run.write_text("[]")
    with pytest.raises(InputError, match=r"run\.json: is no record of a service"):
        folder.settle(LiveSettings(simulate=True, seed=1), 9)


@contextmanager
def opened(folder: Path, history: list[Candle], **settings: Any) -> Iterator[Opened]:
    """A folder with a store that has some history, and an exchange that does not answer."""
    told = LiveSettings(http="http://127.0.0.1:9", websocket="ws://127.0.0.1:9", folder=folder, **settings)
    place, balance = ServiceFolder(folder), told.starting_balance
    breaker, address = CircuitBreaker(place.breaker), ExchangeAddress(told.http, told.websocket)
    with AuditLog(place.audit) as audit, CandleStore(told.store_url) as store:
        store.upsert("BTCUSDT", "1m", history)
        yield Opened(told, place, breaker, audit, store, address, Ledger(balance), None, None)


@pytest.fixture
def history() -> list[Candle]:
    """800 minutes up to now."""
    exchange, now_ns = ExchangeSimulator(simulate_perpetual(n_minutes=801, seed=9), n_history=800), time.time_ns()
    exchange.start_at(now_ns)
    return exchange.history(0, now_ns, now_ns=now_ns)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_service_start, "fetch_klines", partial(fetch_klines, patience=Patience(n_attempts=1)))


def quote_at(instrument: Any, price: float) -> QuoteTick:
    sides = instrument.make_price(price), instrument.make_price(price + 0.1)
    return QuoteTick(
        instrument.id, *sides, instrument.make_qty(1), instrument.make_qty(1), time.time_ns(), time.time_ns()
    )


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("moved", "n_sessions"), [(1.001, 1), (1.1, 2)])
def test_a_live_market_that_is_another_one_than_history_s_is_begun_anew(
    tmp_path: Path, history: list[Candle], moved: float, n_sessions: int
) -> None:
    with opened(tmp_path, history) as found:
        start = Start(found, print)
        assert start.warm.ready
        with paper_node(start, quiet=True) as node:
            run = ServiceRun(start, node, print)

            async def first_quote() -> None:
                run._on_first_quote(quote_at(start.instrument, history[-1].close * moved))

            node.kernel.loop.run_until_complete(first_quote())
        assert found.breaker.tripped is None
        assert start.warm.ready == (n_sessions == 1)
    sessions = [line for line in read_audit(tmp_path / "audit.jsonl") if line.kind == "session"]
    assert len(sessions) == n_sessions
    assert sessions[-1].content["state"] == start.desk.state()


@pytest.mark.parametrize("seen", [True, False])
def test_told_to_stop_after_a_trip_it_is_flat_first(seen: bool) -> None:
    """As with `companion breaker trip` and then SIGTERM; the supervisor need not have seen the trip yet."""
    said: list[str] = []
    breaker = SimpleNamespace(tripped="a trip" if seen else None)

    def check(now_ns: int) -> None:
        breaker.tripped = "a trip"
        said.append("checked")

    strategy = SimpleNamespace(is_stopped=False)
    run = ServiceRun.__new__(ServiceRun)
    run.why = "by SIGTERM"
    run._settings = SimpleNamespace(flatten_within_s=60.0)
    run._node = SimpleNamespace(is_running=lambda: True)
    run._opened = SimpleNamespace(breaker=breaker)
    run._parts = SimpleNamespace(strategy=strategy)
    run._supervisor = SimpleNamespace(check=check)

    async def told() -> None:
        ends = asyncio.ensure_future(run._until_end(SimpleNamespace(done=lambda: False), None))
        await asyncio.sleep(0.6)
        assert said
        assert not ends.done()
        strategy.is_stopped = True
        await asyncio.wait_for(ends, 60.0)

    asyncio.run(told())


@pytest.mark.usefixtures("impatient")
def test_what_fails_at_a_bar_trips_and_does_not_reach_the_engine(tmp_path: Path, history: list[Candle]) -> None:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        raise BrokenPipeError

    with opened(tmp_path, history, bars=2) as found:
        start = Start(found, lambda line: None)
        with paper_node(start, quiet=True) as node:
            run = ServiceRun(start, node, say)
            run._on_bar()
            run._on_bar()
            assert len(said) == 1  # whoever read has gone, which is no reason to stop
            assert (run.why, found.breaker.tripped) == ("", None)
            run.view.status = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
            run._on_bar()
        assert found.breaker.tripped is not None
        assert (found.breaker.tripped.source, "ZeroDivisionError" in found.breaker.tripped.reason) == ("fault", True)


@pytest.mark.usefixtures("impatient")
def test_with_a_short_history_it_is_flat_and_without_a_price_it_does_not_start(
    tmp_path: Path, history: list[Candle]
) -> None:
    said: list[str] = []
    with opened(tmp_path / "short", history[-100:]) as found:
        start = Start(found, said.append)
        assert not start.warm.ready
        assert said[0].startswith("warm-up: not ready, and flat until it is; 100 bars replayed")
        assert start.warm.decision is not None
        assert start.warm.decision.quantity == 0
    with opened(tmp_path / "none", []) as found, pytest.raises(InputError, match="no price is known"):
        Start(found, said.append).price()


@pytest.mark.parametrize(
    ("price", "quantity"),
    [(Decimal("50000"), Decimal("2.000")), (Decimal("49999.9"), Decimal("2.000")), (2 * 10**8, None)],
)
def test_what_the_balance_buys(price: Decimal, quantity: Decimal | None) -> None:
    if quantity is not None:
        assert all_in(Decimal(100_000), price) == quantity
        return
    with pytest.raises(InputError, match=r"buys less than \.001 BTC"):
        all_in(Decimal(100_000), Decimal(price))
