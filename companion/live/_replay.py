"""Every decision of an audit log, made again by the desk of its session and compared field by field."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from companion.desk import Decision, Desk
from companion.errors import InputError
from companion.live._audit_read import AuditLine, read_audit
from companion.live._recipe import DeskRecipe

_MOST = 1000


class Difference(NamedTuple):
    """One field of one decision that the desk now answers differently.

    Attributes
    ----------
    line : int
        Of the audit log, from 1.
    time_ns : int
        When the decision was logged, in nanoseconds since 1970.
    field : str
        Of `companion.desk.Decision`; "decision" where the desk now refuses to make one.
    logged : object
        JSON types, as `Decision.to_json` writes them; None where there is no such field.
    replayed : object
        The same, of the decision that the desk makes now.
    """

    line: int
    time_ns: int
    field: str
    logged: Any
    replayed: Any

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.time_ns // 1_000_000_000, UTC).isoformat()
        return f"line {self.line}, {when}: {self.field} was {self.logged}, is {self.replayed}"


@dataclass(frozen=True)
class ReplayReport:
    """What came of a replay; true where every decision is the one that was logged.

    Attributes
    ----------
    n_sessions : int
        Desks that were made again.
    n_decisions : int
        Decisions that were made again.
    n_differing : int
        Decisions with a difference.
    differences : tuple of Difference
        The first thousand, in the order of the log.
    """

    n_sessions: int
    n_decisions: int
    n_differing: int
    differences: tuple[Difference, ...]

    def __bool__(self) -> bool:
        return self.n_differing == 0

    def __str__(self) -> str:
        same = "all as logged" if self else f"{self.n_differing:,} differ from the log"
        return f"{self.n_decisions:,} decisions of {self.n_sessions:,} sessions made again: {same}"


def replay_audit(path: str | Path, *, make: Callable[[Any], Desk] | None = None) -> ReplayReport:
    """Make each decision of an audit log again, through `companion.desk`, and say where it comes out differently.

    Each session names the recipe of its desk and the state that it began with: it is made, restored, and given what the
    log says it was given. All is exact, to the last digit: the machine that replays has to compute as the one that
    decided.

    Parameters
    ----------
    path : str or Path
        The log. An unfinished last line is left out.
    make : callable, optional
        From a session's "desk" to a new desk; by default what `DeskRecipe` makes.

    Raises
    ------
    InputError
        The file can not be read, its chain is broken, or its session or decision is none that this version can replay.
    """
    make = _from_recipe if make is None else make
    desk: Desk | None = None
    n_sessions = n_decisions = n_differing = 0
    kept: list[Difference] = []
    for line in read_audit(path):
        if line.kind == "session":
            desk, n_sessions = _desk(Path(path), line, make), n_sessions + 1
        elif line.kind == "decision":
            if desk is None:
                raise InputError(f"{path}: line {line.n}: a decision before any session; the log is of no use here")
            found = list(_compare(Path(path), line, desk))
            n_decisions, n_differing = n_decisions + 1, n_differing + bool(found)
            kept += found[: _MOST - len(kept)]
    return ReplayReport(n_sessions, n_decisions, n_differing, tuple(kept))


def _from_recipe(stored: Any) -> Desk:
    return DeskRecipe.from_json(stored).make()


def _desk(path: Path, line: AuditLine, make: Callable[[Any], Desk]) -> Desk:
    """The desk of a session, as it began."""
    try:
        desk = make(line.content["desk"])
        desk.restore(line.content["state"])
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: line {line.n}: the desk of this session can not be made again ({error}); use the version that "
            f"wrote it: {json.dumps(line.content.get('versions'))}"
        ) from error
    return desk


def _compare(path: Path, line: AuditLine, desk: Desk) -> Iterator[Difference]:
    """The decision of a line again; its fields that differ."""
    logged: dict[str, Any] = line.content.get("decision", {})
    try:
        decision = Decision.from_json(json.dumps(logged))
    except ValueError as error:
        raise InputError(f"{path}: line {line.n}: is no decision ({error}); use the version that wrote it") from error
    try:
        again = json.loads(desk.replay(decision).to_json())
    except ValueError as error:
        yield Difference(line.n, line.time_ns, "decision", "made", f"refused: {error}")
        return
    for name in {**again, **logged}:
        if (was := logged.get(name)) != (now := again.get(name)):
            yield Difference(line.n, line.time_ns, name, was, now)
