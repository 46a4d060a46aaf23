"""The audit log as a process that trades writes it: some lines must be there at once, others may have to wait."""

import threading
from collections import deque
from typing import Any

from companion.live._audit import AuditLog


class Journal:
    """Lines of an audit log in their order; those that could not be written wait until they can.

    Parameters
    ----------
    audit : AuditLog
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._waiting: deque[tuple[str, int, bool, dict[str, Any]]] = deque()
        self._mutex = threading.RLock()  # a trip may come from another thread than the engine's

    @property
    def n_waiting(self) -> int:
        """Lines that are not written yet; a crash would lose them."""
        return len(self._waiting)

    def require(self, kind: str, /, *, now_ns: int, sync: bool = False, **content: Any) -> None:
        """Write a line, after those that wait, or raise.

        Raises
        ------
        InputError
            The log can not be written; then this line does not wait.
        """
        with self._mutex:
            self.flush()
            self._audit.append(kind, now_ns=now_ns, sync=sync, **content)

    def keep(self, kind: str, /, *, now_ns: int, sync: bool = False, **content: Any) -> None:
        """Write a line, after those that wait; if that fails, it waits too.

        Raises
        ------
        InputError
            The log can not be written now. `flush` tries again.
        """
        with self._mutex:
            self._waiting.append((kind, now_ns, sync, content))
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises
        ------
        InputError
            The log can not be written still.
        """
        with self._mutex:
            while self._waiting:
                kind, now_ns, sync, content = self._waiting[0]
                before = self._audit.head
                try:
                    self._audit.append(kind, now_ns=now_ns, sync=sync, **content)
                finally:
                    if self._audit.head != before:  # it is written, though perhaps not on the disk
                        self._waiting.popleft()
