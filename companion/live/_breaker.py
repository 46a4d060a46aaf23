"""The circuit breaker: it stays tripped, over a crash, a restart and a damaged file, until a person resets it."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from companion.errors import InputError
from companion.live._breaker_file import (
    PATIENCE_S,
    REPAIR,
    Trip,
    alone,
    changed_ns,
    complaint,
    copy_aside,
    event,
    last_trip,
    load,
    record_trip,
    store,
)
from companion.live._masked import one_line

_log = logging.getLogger(__name__)


class CircuitBreaker:
    """A latch in a file: tripped by the desk, another process or a person; reset by a person alone.

    What is in doubt counts as tripped: a file that is damaged, cut, foreign, of a newer version, unreadable, or deleted
    while we run. It is replaced in one step, by one process at a time, and keeps the history of all trips and resets.

    Threads may share a breaker, and processes a file.

    Parameters
    ----------
    path : str or Path
        The file; where there is none, one is made that is not tripped.

    Attributes
    ----------
    path : Path
        The file.
    tripped : Trip or None
        The first reason to stop; None while there is none.
    fault : str or None
        Why `tripped` is not on the disk, if it is not.

    Raises
    ------
    InputError
        When there is no file, and none can be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.tripped: Trip | None = None
        self.fault: str | None = None
        self._listeners: list[Callable[[Trip], None]] = []
        self._mutex = threading.RLock()
        if not os.path.exists(self.path):
            with alone(self.path):
                if not os.path.exists(self.path):  # a trip of another process may have come first
                    store(self.path, [])
        self.refresh()

    def listen(self, callback: Callable[[Trip], None]) -> None:
        """Call `callback` at the trip that comes, once; of one that has been before, `tripped` tells."""
        self._listeners.append(callback)

    def trip(self, source: str, reason: str, *, now_ns: int) -> Trip:
        """Stop trading: first on the disk, then in memory, then by calling who listens, each of them.

        A disk that fails does not prevent the stop, it only delays it by a second at most: then the breaker is tripped
        in memory, listeners are called, `fault` and the log say what is wrong, and each `trip` and `refresh` tries
        again. A breaker that is tripped already keeps its first reason and calls nobody.

        Parameters
        ----------
        source : str
            As in `Trip`.
        reason : str
            Kept on one line, with passwords masked.
        now_ns : int
            Nanoseconds since 1970.

        Returns
        -------
        Trip
            The first, which may be an earlier one, or one of another process.

        Raises
        ------
        ExceptionGroup
            Listeners have failed; all have been called.
        """
        return self._adopt(Trip(one_line(source), one_line(reason), now_ns))

    def refresh(self) -> Trip | None:
        """Read the file again, and trip if it says so; a breaker that is tripped here stays so, whatever it says.

        Raises
        ------
        ExceptionGroup
            Listeners have failed; all have been called.
        """
        if self.tripped is not None:
            return self.tripped if self.fault is None else self._adopt(self.tripped)
        try:
            found = last_trip(load(self.path))
        except FileNotFoundError:
            found = Trip("fault", one_line(f"{self.path}: has been deleted; {REPAIR}"), 0)
        except (InputError, OSError) as error:
            found = Trip("fault", one_line(complaint(self.path, error)), changed_ns(self.path))
        return None if found is None else self._adopt(found)

    def reset(self, *, reason: str, now_ns: int) -> None:
        """Let trading go on, which only a person decides; the file's history keeps who was wrong and why.

        A damaged file is copied aside, beside it, before a new one takes its place.

        Raises
        ------
        ValueError
            If `reason` is empty, or nothing is tripped.
        InputError
            When the file can not be read or written; the breaker is then as it was.
        """
        if not (isinstance(reason, str) and one_line(reason)):
            raise ValueError(f"reason must say why the breaker is reset, got {reason!r}")
        with self._mutex, alone(self.path):
            try:
                history = load(self.path)
            except FileNotFoundError:
                history = []
            except InputError as damage:
                history = [event("damaged", now_ns, reason=str(damage), kept=copy_aside(self.path, now_ns))]
            except OSError as error:
                raise InputError(complaint(self.path, error)) from error
            else:
                if self.tripped is None and last_trip(history) is None:
                    raise ValueError(f"breaker must be tripped to be reset, got {self.path}, which is not")
            if self.tripped is not None and last_trip(history) is None:
                history.append(event("trip", **self.tripped._asdict()))
            store(self.path, [*history, event("reset", now_ns, reason=reason)])
            self.tripped = self.fault = None

    def _adopt(self, trip: Trip) -> Trip:
        """Record a trip unless there is one, on the disk before in memory, then call who listens."""
        with self._mutex:
            first, trip = self.tripped is None, self.tripped or trip
            if first or self.fault is not None:
                patience_s = PATIENCE_S if first else 0.0  # who stops must not be held up again and again
                try:
                    trip, self.fault = record_trip(self.path, trip, patience_s=patience_s), None
                except Exception as error:  # whatever is wrong with the disk, trading stops
                    said, self.fault = self.fault, one_line(error)
                    if self.fault != said:
                        _log.critical("tripped in memory only, a restart would not know of it: %s", self.fault)
                finally:
                    self.tripped = trip
        errors = []
        for listener in tuple(self._listeners) if first else ():
            try:
                listener(trip)
            except Exception as error:  # the others have to be called
                errors.append(error)
        if errors:
            raise ExceptionGroup("listeners of the circuit breaker failed", errors)
        return trip
