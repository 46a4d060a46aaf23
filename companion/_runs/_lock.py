"""A lock between processes that no kill leaves behind: the operating system lets go of it when the process ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[str]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _take(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Try to lock the file `path`, and yield whether this process holds it; the file is removed in the end."""
    while True:
        with path.open("a") as file:
            ours = _take(file)
            if ours and not _is_at(path, file):  # its last owner removed it after we had opened it
                continue
            try:
                yield ours
            finally:
                if ours:
                    with suppress(OSError):  # Windows keeps a file that is open; the next run takes it over
                        path.unlink()
            return


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
