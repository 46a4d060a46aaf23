"""The audit log: every decision, order and fill, in lines that can only be added and that show if one was touched."""

import errno
import os
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from companion._files import atomic_path, durable_write_text, followed, sync_folder
from companion._runs._lock import locked
from companion.errors import InputError
from companion.live._audit_lines import AuditHead, Chain, encode

_LONGEST_TORN = 10_000


class AuditLog:
    """An append-only file of JSON lines, each of which holds the hash of all before it.

    One line is one write, so a kill can tear none but the last. Opening verifies the whole chain, and moves a torn last
    line into a line "torn" {n_bytes, text}, in one step. Content is on one line and in ASCII whatever is in it, and
    passwords in addresses are masked. Threads may share a log; a second writer is refused.

    The hashes prove nothing against somebody who writes the whole file anew, unless a head of it is kept elsewhere,
    as the checkpoint does.

    Parameters
    ----------
    path : str or Path
        The file; made where there is none.
    expected_head : AuditHead, optional
        A head that it had: a log that has lost lines since is refused.

    Raises
    ------
    InputError
        The chain is broken or shorter than `expected_head`, the format is a newer one, somebody else is writing, or the
        place can not be written. The file is then as it was.
    """

    def __init__(self, path: str | Path, *, expected_head: AuditHead | None = None) -> None:
        self.path = Path(path)
        self._mutex = threading.Lock()
        self._fault: str | None = None
        real = followed(self.path)
        with ExitStack() as stack:
            try:
                real.parent.mkdir(parents=True, exist_ok=True)
                if not stack.enter_context(locked(real.with_name(f"{real.name}.lock"))):
                    raise InputError(f"{path}: is being written already; end that writer, or name another file")
                self._head = self._recover(real, expected_head)
                self._file = stack.enter_context(real.open("ab", buffering=0))
            except OSError as error:
                raise self._unwritable(error) from error
            self._open = stack.pop_all()

    @property
    def head(self) -> AuditHead:
        """Where the log ends."""
        return self._head

    def append(self, kind: str, /, *, now_ns: int, sync: bool = False, **content: Any) -> AuditHead:
        """Add one line.

        Parameters
        ----------
        kind : str
            A word of small letters, such as "decision".
        now_ns : int
            Nanoseconds since 1970.
        sync : bool
            Return only when it is on the disk, with all before it: before an order leaves. Otherwise a line outlives
            the process at once, and a power cut after some seconds.
        **content
            JSON types; numbers that are not finite, and decimals, as text.

        Returns
        -------
        AuditHead
            Of the log with this line.

        Raises
        ------
        ValueError
            When `content` is of other types, or the log is closed; nothing is added.
        InputError
            When the line can not be written, which adds nothing; or with `sync`, may not be on the disk.
        """
        with self._mutex:
            if self._file.closed:
                raise ValueError(f"log must be open, got {self.path}, which is closed")
            if self._fault is not None:
                raise InputError(self._fault)
            line, head = encode(self._head, kind, now_ns, content)
            try:
                if (n_bytes := self._file.write(line)) != len(line):
                    self._undo(n_bytes)
                self._head = head
                if sync:
                    os.fsync(self._file.fileno())
            except OSError as error:
                raise self._unwritable(error) from error
            return head

    def sync(self) -> AuditHead:
        """Where the log ends, once all of it is on the disk: what points at a line must not outlive it.

        Raises
        ------
        InputError
            It may not be on the disk.
        """
        with self._mutex:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._unwritable(error) from error
            return self._head

    def close(self) -> None:
        """Put everything on the disk, and let another writer in; closing twice is once."""
        with self._mutex:
            if not self._file.closed:
                with self._open:
                    os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _recover(self, real: Path, expected: AuditHead | None) -> AuditHead:
        """Verify the file, make it where there is none, and put a line "torn" in the place of a torn one."""
        if not real.exists():
            durable_write_text(real, "")
        with real.open("rb") as file:
            chain = Chain(file, self.path, expected)
            for _ in chain:
                pass
            changed_ns = os.fstat(file.fileno()).st_mtime_ns
        if not chain.torn:
            return chain.head
        text = chain.torn[:_LONGEST_TORN].decode("ascii", "backslashreplace")
        line, head = encode(chain.head, "torn", changed_ns, {"n_bytes": len(chain.torn), "text": text})
        with atomic_path(real) as part:  # a kill leaves the torn line or the line about it, and loses neither
            shutil.copyfile(real, part)
            with part.open("rb+") as whole:
                whole.truncate(chain.n_bytes)
                whole.seek(0, os.SEEK_END)
                whole.write(line)
        sync_folder(real.parent)
        return head

    def _undo(self, n_bytes: int) -> None:
        """Take the beginning of a line back, and say that there was no room for it."""
        try:
            self._file.truncate(os.fstat(self._file.fileno()).st_size - n_bytes)
        except OSError as error:
            self._fault = f"{self.path}: ends in half a line ({error.strerror}); end this writer, and begin again"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self.path}: can not be written ({error.strerror}); make room or choose another place")
