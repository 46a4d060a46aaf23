"""What the folder of a service has to hold after each kill: a witness who remembers what was there before."""

import asyncio
import shutil
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from companion.live import (
    AuditHead,
    AuditLine,
    Candle,
    CandleStore,
    Ledger,
    fetch_klines,
    load_checkpoint,
    read_audit,
    verify_audit,
)
from companion.live._breaker_file import History, last_trip, read_breaker
from companion.live._service_folder import ServiceFolder

INTERVAL, BALANCE = "100ms", Decimal(100_000)


class Book:
    """Orders of an audit log by their ids: the life that has sent it, and the signed quantity that is left."""

    def __init__(self) -> None:
        self._orders: dict[str, tuple[int, Decimal]] = {}
        self._trades: set[str] = set()

    def on_order(self, said: dict[str, Any], life: int) -> None:
        """Take an order, which must be new."""
        order_id, sign = said["order_id"], 1 if said["side"] == "BUY" else -1
        assert order_id not in self._orders, f"{order_id} was sent twice"
        self._orders[order_id] = life, sign * Decimal(said["quantity"])

    def on_fill(self, said: dict[str, Any], life: int) -> None:
        """Take a fill, which must be new, and of an order of this life that has so much left."""
        order_id, quantity = said["order_id"], Decimal(said["quantity"])
        assert said["trade_id"] not in self._trades, f"{said['trade_id']} is there twice"
        self._trades.add(said["trade_id"])
        sent_in, left = self._orders.get(order_id, (0, Decimal(0)))
        assert sent_in == life, f"{order_id} is filled, and not of this life"
        assert 0 < quantity / left <= 1 if left else False, f"{order_id} has {left} left and is filled by {quantity}"
        self._orders[order_id] = sent_in, left - quantity


class Witness:
    """Looks into a folder while nobody trades, and remembers: what was there has to be there the next time.

    Parameters
    ----------
    folder : Path
    url : str
        Of the exchange, which knows the true candles.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self._url = ServiceFolder(folder), url
        self._whole, self._torn = b"", b""
        self._candles: dict[int, Candle] = {}
        self._history: History = []
        self._checkpoint_ns = 0
        self.lines: list[AuditLine] = []
        self.n_recognized = 0

    def look(self) -> list[AuditLine]:
        """Verify all; an AssertionError says what is wrong. The lines since the last look come back."""
        self._look_at_breaker()
        new = self._look_at_audit()
        self._look_at_orders()
        self._look_at_checkpoint()
        self._look_at_store()
        return new

    @property
    def tripped(self) -> bool:
        """Whether the breaker was tripped at the last look."""
        return last_trip(self._history) is not None

    @property
    def n_bytes(self) -> int:
        """Length of the log with its torn end."""
        return len(self._whole) + len(self._torn)

    def sees_trip(self) -> bool:
        """Whether a life that has begun since the last look has written down that it is tripped."""
        with self.folder.audit.open("rb") as file:
            file.seek(len(self._whole))
            return b',"kind":"trip",' in file.read()

    def tear(self) -> None:
        """Leave what a kill amid the writing of a line leaves, unless one has."""
        if not self._torn and self.lines:
            self._torn = b'{"n":%d,"time_ns":%d,"kind":"fi' % (len(self.lines) + 1, time.time_ns())
            with self.folder.audit.open("ab") as file:
                file.write(self._torn)

    def _look_at_audit(self) -> list[AuditLine]:
        raw = self.folder.audit.read_bytes() if self.folder.audit.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        assert whole.startswith(self._whole), "the audit log has lost lines, or they were changed"
        known, torn = len(self.lines), self._torn
        if raw:
            report = verify_audit(self.folder.audit)
            assert report, report.problem
            assert report.n_torn == len(raw) - len(whole)
            self.lines = list(read_audit(self.folder.audit))
        new = self.lines[known:]
        if torn and new:
            recognized = new[0].kind, new[0].content["n_bytes"], new[0].content["text"].encode()
            assert recognized == ("torn", len(torn), torn), "a torn line was not recognized"
            self.n_recognized += 1
        assert [line.kind for line in new[1:]].count("torn") == 0
        self._whole, self._torn = whole, raw[len(whole) :]
        return new

    def _look_at_orders(self) -> None:
        """No order twice, none before the warm-up, none flattens before its trip; the fills add up."""
        book, session, decided, held = Book(), 0, False, Decimal(0)
        begins_with: Decimal | None = None
        for line in self.lines:
            said = line.content
            if line.kind == "session":
                session, decided, begins_with = session + 1, False, held
            elif line.kind == "decision":
                decided = True
            elif line.kind == "loop" and begins_with is not None:
                assert Decimal(said["held"]) == begins_with, f"line {line.n}: holds {said['held']}, not {begins_with}"
                begins_with = None
            elif line.kind == "trip":
                assert self._was_tripped(line.time_ns), f"line {line.n}: a trip that is not in the breaker's file"
            elif line.kind == "order":
                assert decided, f"line {line.n}: an order before the first decision"
                assert not said["flatten"] or self._was_tripped(line.time_ns), f"line {line.n}: flattens without a trip"
                book.on_order(said, session)
            elif line.kind == "fill":
                book.on_fill(said, session)
                held += Decimal(said["quantity"])
                assert held == Decimal(said["position"]), f"line {line.n}: the fills add up to {held}"
        if self.lines:
            assert Ledger.from_audit(self.folder.audit, BALANCE).position == held

    def _was_tripped(self, time_ns: int) -> bool:
        return last_trip([event for event in self._history if event["time_ns"] <= time_ns]) is not None

    def _look_at_breaker(self) -> None:
        history = read_breaker(self.folder.breaker) if self.folder.breaker.exists() else []
        assert history[: len(self._history)] == self._history, "the breaker has forgotten"
        assert all(event["event"] in ("trip", "reset") for event in history)
        wrong = [event for event in history if event.get("source") not in (None, "person", "feed", "ood")]
        assert not wrong, wrong
        self._history = history

    def _look_at_checkpoint(self) -> None:
        if not self.folder.checkpoint.exists():
            assert not self._checkpoint_ns, "the checkpoint is gone"
            return
        checkpoint = load_checkpoint(self.folder.checkpoint)
        assert checkpoint.time_ns >= self._checkpoint_ns, "the checkpoint is older than it was"
        assert checkpoint.audit_head is not None
        assert verify_audit(self.folder.audit, AuditHead(*checkpoint.audit_head))
        self._checkpoint_ns = checkpoint.time_ns

    def _look_at_store(self) -> None:
        """A copy: the service has to find the database as the kill has left it."""
        with tempfile.TemporaryDirectory() as copied:
            for part in self.folder.path.glob("candles.db*"):
                shutil.copy(part, copied)
            if not (database := Path(copied, "candles.db")).exists():
                assert not self._candles, "the store is gone"
                return
            with CandleStore(f"sqlite:///{database}") as store:
                candles = {candle.open_time_ns: candle for candle in store.between("BTCUSDT", INTERVAL, 0, 2**62)}
                assert len(candles) == store.count("BTCUSDT", INTERVAL)
                assert (store.gaps("BTCUSDT", INTERVAL), store.overlaps("BTCUSDT", INTERVAL)) == ((), ())
        assert self._candles.items() <= candles.items(), "the store has lost or changed a candle"
        if new := sorted(candles.keys() - self._candles.keys()):
            true = asyncio.run(fetch_klines(self._url, "BTCUSDT", INTERVAL, new[0], new[-1] + 1))
            assert {candle.open_time_ns: candle for candle in true}.items() >= {t: candles[t] for t in new}.items()
        self._candles = candles


def stage(lines: list[AuditLine]) -> str:
    """What a life was doing when it was killed, by the lines that it has written."""
    kinds = [line.kind for line in lines]
    if "session" not in kinds:
        return "start and warm-up"
    if "stop" in kinds:
        return "stopped, node and files being closed"
    if "trip" in kinds:
        orders = any(line.kind == "order" and line.content["flatten"] for line in lines)
        return "tripped, liquidation sent" if orders else "tripped, nothing sold yet"
    if "decision" not in kinds:
        return "warmed up, no bar yet"
    return "trading, an order in flight" if _in_flight(lines) else "trading, no order in flight"


def _in_flight(lines: list[AuditLine]) -> bool:
    """Whether what was sent last is not filled yet, and nothing is known of its end."""
    left, order_id = Decimal(0), None
    for line in lines:
        said = line.content
        if line.kind == "loop" and said["order_id"]:
            order_id = said["order_id"]
            left = Decimal(said["target"]) - Decimal(said["held"]) - Decimal(said["in_flight"])
        elif line.kind == "fill":
            left -= Decimal(said["quantity"])
        elif line.kind == "incident" and said["order_id"] == order_id:
            left = Decimal(0)
    return bool(left)
