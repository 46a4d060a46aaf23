"""What a database says when it fails, as one line that names it and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from companion.errors import InputError

_FULL = "no room left, so nothing of this call was stored; make room on the disk"
_LOCKED = "locked by another program, so nothing of this call was stored; end that program, or try again"
CORRUPT = "damaged or no database; move it away: a new one is made and filled from the exchange's history"
_UNWRITABLE = "can not be opened for writing; is there the folder, and may this user write there?"
_REFUSED = "the server refuses this user; put the password into ~/.pgpass, and see pg_hba.conf"
_NO_SERVER = "no such server or database answers; start it, or correct host, port, user and name"

#: By SQLite's primary error names, and PostgreSQL's SQLSTATE or its class.
_PROBLEMS = {
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR": "the disk fails or is full, so nothing of this call was stored; make room, or repair it",
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_CORRUPT": CORRUPT,
    "SQLITE_NOTADB": CORRUPT,
    "SQLITE_CANTOPEN": _UNWRITABLE,
    "SQLITE_READONLY": _UNWRITABLE,
    "53100": _FULL,
    "55P03": _LOCKED,
    "40P01": _LOCKED,
    "XX001": CORRUPT,
    "XX002": CORRUPT,
    "28": _REFUSED,
    "42501": _UNWRITABLE,
    "3D": _NO_SERVER,
    "57P": "the server ended the connection, so nothing of this call was stored; start it, or try again",
}


@contextmanager
def speaking(shown: str) -> Iterator[None]:
    """Turn a database's errors into an `InputError` about `shown`."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise InputError(f"{shown}: {_problem(error.orig)}") from error


def is_locked(error: BaseException) -> bool:
    """Whether another program's lock is in the way."""
    return isinstance(error, sa.exc.DBAPIError) and _problem(error.orig) == _LOCKED


def _problem(error: BaseException | None) -> str:
    code = getattr(error, "sqlstate", None) or ""
    if name := getattr(error, "sqlite_errorname", ""):
        code = "_".join(name.split("_")[:2])  # SQLITE_IOERR of SQLITE_IOERR_WRITE
    for known in (code, code[:3], code[:2]):
        if known in _PROBLEMS:
            return _PROBLEMS[known]
    if isinstance(error, psycopg.OperationalError) and not code:  # there never was a connection
        return _REFUSED if "password" in str(error) else _NO_SERVER
    return f"the database fails ({' '.join(str(error).split())}); see to it, and start again"
