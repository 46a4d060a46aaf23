"""The file of a circuit breaker: its history, replaced in one step by one process at a time, and proved whole."""

import hashlib
import json
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from companion._files import atomic_path, durable_write_text, followed
from companion._runs._lock import locked
from companion.errors import InputError
from companion.live._masked import one_line

FORMAT = 1
REPAIR = "find out why, then reset the breaker with a reason"
_WHAT = "circuit breaker of companion.live"
_LARGEST = 1 << 24  # bytes; nothing of ours comes near
PATIENCE_S = 1.0
"""Seconds to wait for another process that reads and writes the file, which takes it milliseconds."""

History = list[dict[str, Any]]
"""Events, oldest first: "trip", "reset" and "damaged", with time_ns, reason, and the source of a trip."""


class Trip(NamedTuple):
    """Why trading has stopped.

    Attributes
    ----------
    source : str
        Who stopped it: "ood", "daily_loss", "feed", "reconciliation", "person" or "fault".
    reason : str
        One line.
    time_ns : int
        When, in nanoseconds since 1970. Of a damaged file, when it was last changed; 0 where nobody knows.
    """

    source: str
    reason: str
    time_ns: int


def read_breaker(path: str | Path) -> History:
    """History of a breaker's file, oldest event first, without making or changing anything.

    Raises
    ------
    InputError
        When there is none, or it is damaged, of a newer version or can not be read.
    """
    try:
        return load(Path(path))
    except OSError as error:
        raise InputError(complaint(Path(path), error)) from error


def record_trip(path: Path, trip: Trip, *, patience_s: float = PATIENCE_S) -> Trip:
    """Put a trip on the disk, and return the one that is there: another process may have been first.

    Parameters
    ----------
    path : Path
        The file; made where there is none.
    trip : Trip
        Kept unless there is one.
    patience_s : float
        Seconds to wait for another process that has the file locked.

    Raises
    ------
    InputError
        The file can not be read or written.
    """
    try:
        if (known := _known(path, trip)) is not None:
            return known
        with alone(path, patience_s=patience_s):
            if (known := _known(path, trip)) is not None:
                return known
            store(path, [*_history(path), event("trip", **trip._asdict())])
    except OSError as error:
        raise InputError(complaint(path, error)) from error
    return trip


def _known(path: Path, trip: Trip) -> Trip | None:
    """The trip that is on the disk; `trip` where the file is damaged, which counts as tripped and is evidence."""
    try:
        return last_trip(_history(path))
    except InputError:
        return trip


def _history(path: Path) -> History:
    try:
        return load(path)
    except FileNotFoundError:
        return []


@contextmanager
def alone(path: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Keep other processes from changing the file; InputError if one keeps us from it for longer than we wait."""
    end = time.monotonic() + patience_s
    try:
        real = followed(path)
        real.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with locked(real.with_name(f"{real.name}.lock")) as ours:
                if ours:
                    yield
                    return
            if time.monotonic() > end:
                raise InputError(f"{path}: another process keeps it locked; end that process")
            time.sleep(0.005)
    except OSError as error:
        raise InputError(f"{path}: can not be written ({error.strerror}); make room or mend its folder") from error


def load(path: Path) -> History:
    """History in a file; InputError if its content is not ours and whole, OSError if it can not be read."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path}: is no file of ours; {REPAIR}")
    with path.open("rb") as file:
        raw = file.read(_LARGEST + 1)
    try:
        stored = json.loads(raw) if len(raw) <= _LARGEST else {}
        version = stored["format"] if stored["what"] == _WHAT else None
        history: History = stored.get("history") or []
        whole = version == FORMAT and stored["sha256"] == _digest(history)
        last_trip(history)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        version, whole = None, False
    if version not in (None, FORMAT):
        raise InputError(f"{path}: is of format {version!r:.9}, this version reads {FORMAT}; {REPAIR}")
    if not whole:
        raise InputError(f"{path}: is damaged or no circuit breaker of ours; {REPAIR}")
    return history


def store(path: Path, history: History) -> None:
    """Write a history; it is on the disk when this returns. InputError if it can not be written."""
    stored = {"what": _WHAT, "format": FORMAT, "history": history, "sha256": _digest(history)}
    durable_write_text(path, json.dumps(stored, indent=1) + "\n")


def _digest(history: Any) -> str:
    return hashlib.sha256(json.dumps([_WHAT, FORMAT, history]).encode()).hexdigest()


def event(what: str, time_ns: int, **content: str) -> dict[str, Any]:
    """One event of a history, its texts on one line each and without secrets."""
    return {"event": what, "time_ns": int(time_ns), **{name: one_line(text) for name, text in content.items()}}


def last_trip(history: History) -> Trip | None:
    """The trip that no reset has followed."""
    if not history or history[-1]["event"] != "trip":
        return None
    return Trip(history[-1]["source"], history[-1]["reason"], history[-1]["time_ns"])


def copy_aside(path: Path, now_ns: int) -> str:
    """Copy a damaged file to a name of its own beside it, and return that name."""
    try:
        kept = path.with_name(f"{path.name}.damaged-{now_ns}")
        with atomic_path(kept) as part:
            shutil.copyfile(path, part)
    except OSError as error:
        raise InputError(f"{path}: can not be kept aside ({error.strerror}); move it away yourself") from error
    return kept.name


def changed_ns(path: Path) -> int:
    """When the file was last changed, in nanoseconds since 1970; 0 if nobody knows."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def complaint(path: Path, error: Exception) -> str:
    """Why the file can not be read, in one line."""
    return f"{path}: can not be read ({error.strerror}); {REPAIR}" if isinstance(error, OSError) else str(error)
