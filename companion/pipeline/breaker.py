"""The circuit breaker from the command line: is it tripped, trip it, or reset it with a reason."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from companion.errors import InputError
from companion.pipeline._step import call, guarded

BREAKER = Path("build/live/breaker.json")
"""The breaker of `companion live`, where it is given no other."""

_File = Annotated[Path, Parameter(name="--file", help="The breaker's file, or the service's folder.")]
_Reason = Annotated[str, Parameter(help="Why, in a few words; it stays in the file.")]

APP = App(name="breaker", help_format="plaintext", version_flags=())


@APP.command(version_flags=())
def status(*, file: _File = BREAKER) -> int:
    """Say whether it is tripped and since when, with its history: status 0 if it is not, 1 if it is, 2 without one."""
    return _answer(lambda: _status(_place(file)))


@APP.command(version_flags=())
def trip(reason: _Reason = "by hand", *, file: _File = BREAKER) -> int:
    """Stop trading, now and after every restart: status 0 once it is on the disk, 2 if it is not."""
    return _answer(lambda: _trip(_place(file), reason))


@APP.command(version_flags=())
def reset(reason: _Reason, *, file: _File = BREAKER) -> int:
    """Let trading go on from the next start; a service that is running stays tripped: status 0 done, 2 refused."""
    return _answer(lambda: _reset(_place(file), reason))


def _answer(work: Callable[[], int]) -> int:
    answers: list[int] = []

    def noted() -> None:
        answers.append(work())

    return guarded("breaker", noted) or answers[0]


def _place(given: Path) -> Path:
    """The file; that of a service's folder where a folder is given."""
    return given / BREAKER.name if given.is_dir() else given


def _status(file: Path) -> int:
    from companion.live._breaker_file import last_trip, read_breaker

    _require(file)
    try:
        history = read_breaker(file)
    except InputError as error:
        print(f"tripped, for it can not be trusted: {error}")
        return 1
    tripped = last_trip(history)
    print(f"{file}: {'not tripped' if tripped is None else f'tripped ({tripped.source}): {tripped.reason}'}")
    for event in history:
        source = f" ({event['source']})" if "source" in event else ""
        print(f"  {_time(event['time_ns'])} {event['event']}{source}: {event['reason']}")
    return int(tripped is not None)


def _trip(file: Path, reason: str) -> int:
    from companion.live._breaker_file import Trip, record_trip
    from companion.live._masked import one_line

    new = not file.exists()
    first = record_trip(file, Trip("person", one_line(reason), time.time_ns()))
    since = f"tripped since {_time(first.time_ns)} ({first.source}): {first.reason}"
    print(f"{file}: {since}{'; a new file, so check that the service was started with it' if new else ''}")
    return 0


def _reset(file: Path, reason: str) -> int:
    from companion.live._breaker import CircuitBreaker

    _require(file)
    if not reason.strip():
        raise InputError("REASON must say why the breaker is reset, got nothing; give it in quotes")
    breaker = CircuitBreaker(file)
    if breaker.tripped is None:
        raise InputError(f"{file}: is not tripped; there is nothing to reset")
    breaker.reset(reason=reason, now_ns=time.time_ns())
    print(f"{file}: reset; a service that is running stays stopped until it is started again")
    return 0


def _require(file: Path) -> None:
    if not file.exists():
        raise InputError(f"{file}: no such breaker; give --file, as the service was started with")


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(call(APP, sys.argv[1:]))
