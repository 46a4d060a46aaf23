"""A candle store's database, opened: its address read, its settings made, its schema brought up to date."""

from typing import Any

import sqlalchemy as sa
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from companion.errors import InputError

from ._store_errors import CORRUPT, is_locked, speaking
from ._store_schema import migrate

_DIALECTS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_REMEDY = "give sqlite:///FILE, or postgresql+psycopg://USER@HOST/NAME with the password in ~/.pgpass"


def open_database(url: str, timeout_s: float) -> tuple[sa.Engine, str]:
    """Open or make the database at `url`, and return it with its address as it may be shown.

    Parameters
    ----------
    url : str
        SQLAlchemy's.
    timeout_s : float
        Seconds to wait for another's lock, and for the server.

    Raises
    ------
    InputError
        As `CandleStore` says.
    """
    address = _address(url)
    shown = address.render_as_string(hide_password=True)
    lite = address.get_backend_name() == "sqlite"
    engine = sa.create_engine(
        address, connect_args={"timeout": timeout_s} if lite else _served(timeout_s), pool_pre_ping=not lite
    )
    if lite:
        sa.event.listen(engine, "connect", _flush_always)
    try:
        with speaking(shown):
            with engine.connect() as connection:
                if lite:
                    _check_whole(connection, shown)
                migrate(connection, shown)
                connection.commit()
            if lite:
                _write_ahead(engine, timeout_s)
    except BaseException:
        engine.dispose()
        raise
    return engine, shown


def _address(url: str) -> sa.URL:
    """Read the address; what can not be read is not repeated, for a password may be in it."""
    try:
        address = sa.make_url(url)
        driver = _DIALECTS[address.get_backend_name()]
    except (sa.exc.ArgumentError, ValueError, KeyError):
        raise InputError(f"the store's URL can not be read; {_REMEDY}") from None
    if driver != "sqlite" and (url.count("@") > 1 or any("password" in name for name in address.query)):
        raise InputError(f"the store's URL has an @ in its password, or a password in its query; {_REMEDY}")
    if driver == "sqlite" and address.database in (None, "", ":memory:"):
        raise InputError("the store's URL names no file, and what is in memory only is lost; give sqlite:///FILE")
    return address.set(drivername=driver)


def _served(timeout_s: float) -> dict[str, Any]:
    return {
        "connect_timeout": max(2, round(timeout_s)),
        "options": f"-c lock_timeout={round(timeout_s * 1000)}",
        "application_name": "companion",
    }


def _flush_always(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=FULL")


def _check_whole(connection: sa.Connection, shown: str) -> None:
    """Refuse a file whose pages do not hang together: the rows of such a one may be missing in silence."""
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    connection.rollback()
    if found != "ok":
        raise InputError(f"{shown}: {CORRUPT} ({' '.join(found.split())})")


def _write_ahead(engine: sa.Engine, timeout_s: float) -> None:
    """Let readers and one writer work at once. Only now: another application's file is left as it was.

    SQLite does not wait where two processes ask for it at once.
    """
    patient = Retrying(
        retry=retry_if_exception(is_locked), wait=wait_random(0, 0.02), stop=stop_after_delay(timeout_s), reraise=True
    )
    for attempt in patient:
        with attempt, engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
