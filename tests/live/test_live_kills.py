"""`kill -9` at random moments: the folder of the service is whole after each, and the next start goes on from there."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from kill_witness import Book, Witness
from killing_service import Drill

from companion.errors import InputError
from companion.live import AuditLog, replay_audit
from companion.live._breaker_file import History, event, store
from companion.live._service_folder import ServiceFolder

N_KILLS = 12


class Done(NamedTuple):
    """A drill that is over, and who has seen it."""

    drill: Drill
    witness: Witness


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Every look of the witness has passed, or this fails."""
    drill = Drill(tmp_path_factory.mktemp("kills"), n_kills=N_KILLS, seed=0)
    return Done(drill, drill.run())


def test_a_service_that_is_killed_again_and_again_goes_on(done: Done) -> None:
    drill, lines = done.drill, done.witness.lines
    assert len(drill.kills) == N_KILLS
    assert {"begin", "moment", "trip", "stop", "silence"} == {kill.plan for kill in drill.kills}
    assert len({kill.stage for kill in drill.kills}) >= 3
    assert any(line.kind == "fill" for line in lines)
    assert drill.last_said.startswith("companion live: stopped (by SIGTERM): ")


def test_what_was_tripped_stayed_tripped_until_it_was_reset(done: Done) -> None:
    assert done.drill.n_refused >= sum(kill.tripped for kill in done.drill.kills) >= 1
    resets = [line.content["reason"] for line in done.witness.lines if line.kind == "reset"]
    assert set(resets) == {"the drill goes on"}


def test_torn_lines_were_recognized_and_every_decision_can_be_made_again(done: Done) -> None:
    n_torn = sum(line.kind == "torn" for line in done.witness.lines)
    assert n_torn == done.witness.n_recognized >= N_KILLS // 3
    assert replay_audit(done.witness.folder.audit)


# --- the witness sees what it is there for ---------------------------------------------------------------------------


def without_last_line(folder: ServiceFolder) -> None:
    *lines, _ = folder.audit.read_bytes().splitlines(keepends=True)
    folder.audit.write_bytes(b"".join(lines))


def other_line(folder: ServiceFolder) -> None:
    folder.audit.write_bytes(folder.audit.read_bytes().replace(b'"kind":"loop"', b'"kind":"mode"', 1))


def order_sent_again(folder: ServiceFolder) -> None:
    with AuditLog(folder.audit) as audit:
        audit.append("session", now_ns=1, format=1)
        audit.append("decision", now_ns=2, decision={})
        audit.append("order", now_ns=3, **order())
        audit.append("order", now_ns=4, **order())


def order_before_a_decision(folder: ServiceFolder) -> None:
    with AuditLog(folder.audit) as audit:
        audit.append("session", now_ns=1, format=1)
        audit.append("order", now_ns=2, **order())


def flatten_before_its_trip(folder: ServiceFolder) -> None:
    with AuditLog(folder.audit) as audit:
        audit.append("session", now_ns=1, format=1)
        audit.append("decision", now_ns=2, decision={})
        audit.append("order", now_ns=3, **order(flatten=True))
    history: History = [event("trip", 4, source="person", reason="too late")]
    store(folder.breaker, history)


def trip_that_is_not_kept(folder: ServiceFolder) -> None:
    with AuditLog(folder.audit) as audit:
        audit.append("trip", now_ns=2**62, source="ood", reason="a test")


def other_position(folder: ServiceFolder) -> None:
    with AuditLog(folder.audit) as audit:
        audit.append("session", now_ns=1, format=1)
        audit.append("loop", now_ns=2, held="77")


def missing_candle(folder: ServiceFolder) -> None:
    execute(folder, "DELETE FROM candles WHERE open_time_ns = (SELECT MAX(open_time_ns) FROM candles)")


def other_candle(folder: ServiceFolder) -> None:
    execute(
        folder, "UPDATE candles SET volume = volume + 1 WHERE open_time_ns = (SELECT MAX(open_time_ns) FROM candles)"
    )


def armed_breaker(folder: ServiceFolder) -> None:
    store(folder.breaker, [])


def no_breaker(folder: ServiceFolder) -> None:
    folder.breaker.unlink()


def half_a_checkpoint(folder: ServiceFolder) -> None:
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:999])


def execute(folder: ServiceFolder, statement: str) -> None:
    engine = sa.create_engine(f"sqlite:///{folder.path}/candles.db")
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def order(*, flatten: bool = False) -> dict[str, Any]:
    return {"order_id": "O-1", "side": "BUY", "quantity": "1", "reduce_only": False, "flatten": flatten, "parent": None}


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (without_last_line, "has lost lines"),
        (other_line, "were changed"),
        (order_sent_again, "O-1 was sent twice"),
        (order_before_a_decision, "an order before the first decision"),
        (flatten_before_its_trip, "flattens without a trip|has forgotten"),
        (trip_that_is_not_kept, "not in the breaker's file"),
        (other_position, "holds 77"),
        (missing_candle, "the store has lost or changed a candle"),
        (other_candle, "the store has lost or changed a candle"),
        (armed_breaker, "the breaker has forgotten"),
        (no_breaker, "the breaker has forgotten"),
        (half_a_checkpoint, r"checkpoint\.json: "),
    ],
)
def test_the_witness_sees_what_is_wrong(
    done: Done, tmp_path: Path, spoil: Callable[[ServiceFolder], None], seen: str
) -> None:
    folder, kept = done.witness.folder.path, tmp_path / "kept"
    shutil.copytree(folder, kept)
    witness = Witness.__new__(Witness)
    witness.__dict__.update(done.witness.__dict__, folder=ServiceFolder(kept))
    assert witness.look() == []
    spoil(witness.folder)
    with pytest.raises((AssertionError, InputError), match=seen):
        witness.look()


def test_the_book_sees_a_fill_of_no_order_a_second_one_and_one_too_large() -> None:
    book = Book()
    book.on_order(order(), 1)
    fill = {"order_id": "O-1", "trade_id": "T-1", "quantity": "0.4"}
    book.on_fill(fill, 1)
    for wrong, life, seen in (
        ({}, 1, "T-1 is there twice"),
        ({"trade_id": "T-2", "order_id": "O-2"}, 1, "O-2 is filled, and not of this life"),
        ({"trade_id": "T-3"}, 2, "O-1 is filled, and not of this life"),
        ({"trade_id": "T-4", "quantity": "0.7"}, 1, "O-1 has 0.6 left"),
        ({"trade_id": "T-5", "quantity": "-0.1"}, 1, "O-1 has 0.6 left"),
    ):
        with pytest.raises(AssertionError, match=seen):
            book.on_fill(fill | wrong, life)
