"""Candles in a database, SQLite by default and PostgreSQL by URL: what comes twice is there once."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from companion._checks import check_count, check_positive
from companion.errors import InputError

from ._candles import Candle, interval_ns
from ._store_errors import speaking
from ._store_files import NUMBERS, candle_faults, read_csv, read_parquet, write_csv, write_parquet
from ._store_open import open_database
from ._store_schema import CANDLES

_TIME = CANDLES.c.open_time_ns
_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class StoreGap(NamedTuple):
    """Where candles are missing: the open times before and after, in nanoseconds since 1970, and how many."""

    after_ns: int
    before_ns: int
    n_missing: int


class CandleStore:
    """Candles by symbol, interval and open time, in one table of a database.

    Every call is one transaction. What `upsert` has returned from is on the disk: SQLite keeps a write-ahead log and
    flushes it at every transaction. Several threads and processes may read and write at once. To be used as a context
    manager, or closed.

    Parameters
    ----------
    url : str, default "sqlite:///candles.db"
        SQLAlchemy's address of an SQLite file or of a database on a PostgreSQL server
        (``postgresql+psycopg://user@host/name``; the password is best kept in ``~/.pgpass``). A new database gets its
        table, one of an older version is migrated.
    timeout_s : float, default 5
        Seconds to wait for a lock of another program, and for the server.

    Attributes
    ----------
    shown_url : str
        The address without its password.

    Raises
    ------
    InputError
        The database is damaged, another application's, of a newer version, locked, or can not be reached; it is left
        as it was. Every method raises the same when the database fails.
    """

    def __init__(self, url: str = "sqlite:///candles.db", *, timeout_s: float = 5.0) -> None:
        self._engine, self.shown_url = open_database(url, check_positive("timeout_s", timeout_s))
        insert: Any = _INSERTS[self._engine.dialect.name](CANDLES)
        new = insert.excluded
        self._upsert = insert.on_conflict_do_update(
            index_elements=["symbol", "interval", "open_time_ns"],
            set_={name: new[name] for name in NUMBERS},
            where=sa.or_(*(CANDLES.c[name] != new[name] for name in NUMBERS)),
        )

    def __repr__(self) -> str:
        return f"CandleStore({self.shown_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def upsert(self, symbol: str, interval: str, candles: Iterable[Candle]) -> int:
        """Store candles, all or none; one that is there is replaced.

        Of two with one open time the later in the iterable stays.

        Returns
        -------
        int
            How many were new, or other than before.

        Raises
        ------
        ValueError
            A candle's open time is no multiple of the interval, or its numbers are none that a market can trade:
            positive prices, low at most open and close, these at most high, volume from 0 on, all below 1e15.
        """
        rows = _checked(_key(symbol, interval), candles)
        if not rows:
            return 0
        with speaking(self.shown_url), self._engine.begin() as connection:
            return connection.execute(self._upsert, rows, execution_options={"preserve_rowcount": True}).rowcount

    def last(self, symbol: str, interval: str, n: int) -> list[Candle]:
        """Return the newest `n` candles, or all if there are fewer, ascending."""
        newest = _select(symbol, interval).order_by(_TIME.desc()).limit(check_count("n", n))
        return self._candles(newest)[::-1]

    def between(self, symbol: str, interval: str, start_ns: int, end_ns: int) -> list[Candle]:
        """Return the candles that open at `start_ns` or later and before `end_ns`, ascending."""
        start_ns, end_ns = (min(max(time_ns, 0), 2**63 - 1) for time_ns in (start_ns, end_ns))
        return self._candles(_select(symbol, interval).where(_TIME.between(start_ns, end_ns - 1)).order_by(_TIME))

    def count(self, symbol: str, interval: str) -> int:
        """Return how many candles there are."""
        with self._reading() as connection:
            return connection.execute(_select(symbol, interval, sa.func.count())).scalar_one()

    def gaps(self, symbol: str, interval: str) -> tuple[StoreGap, ...]:
        """Return where candles are missing between the first and the last, ascending."""
        step_ns = interval_ns(interval)
        before = sa.func.lag(_TIME).over(order_by=_TIME).label("before")
        pairs = _select(symbol, interval, _TIME, before).where(_TIME % step_ns == 0).subquery()
        apart = sa.select(pairs.c.before, pairs.c.open_time_ns).where(pairs.c.open_time_ns - pairs.c.before > step_ns)
        with self._reading() as connection:
            found = connection.execute(apart.order_by(pairs.c.open_time_ns)).all()
        return tuple(StoreGap(after, until, (until - after) // step_ns - 1) for after, until in found)

    def overlaps(self, symbol: str, interval: str) -> tuple[int, ...]:
        """Return the open times that are no multiples of the interval, which another program must have written."""
        off = _select(symbol, interval, _TIME).where(_TIME % interval_ns(interval) != 0)
        with self._reading() as connection:
            return tuple(connection.execute(off.order_by(_TIME)).scalars())

    def import_csv(self, path: str | Path, *, symbol: str, interval: str) -> int:
        """Store the candles of a CSV file in Binance's twelve columns, with a header or without, packed or not.

        Returns
        -------
        int
            How many were new, or other than before.

        Raises
        ------
        InputError
            Names the line that can not be read, contradicts another, or is no candle of this interval.
        """
        return self.upsert(symbol, interval, read_csv(Path(path), interval))

    def export_csv(self, path: str | Path, *, symbol: str, interval: str) -> int:
        """Write all candles to a CSV file in Binance's twelve columns, and return how many.

        Counts and quote volumes, which a candle does not know, are written as 0.

        Raises
        ------
        InputError
            There are none, or the file can not be written.
        """
        candles = self._all(symbol, interval)
        write_csv(Path(path), candles, interval)
        return len(candles)

    def import_parquet(self, path: str | Path, *, symbol: str, interval: str) -> int:
        """Store the candles of a file of `export_parquet`, and return how many were new, or other than before.

        Raises
        ------
        InputError
            The file is damaged, no such file, or of another symbol or interval.
        """
        return self.upsert(symbol, interval, read_parquet(Path(path), symbol, interval))

    def export_parquet(self, path: str | Path, *, symbol: str, interval: str) -> int:
        """Write all candles to a Parquet file, and return how many.

        Raises
        ------
        InputError
            There are none, or the file can not be written.
        """
        candles = self._all(symbol, interval)
        write_parquet(Path(path), candles, symbol, interval)
        return len(candles)

    def _all(self, symbol: str, interval: str) -> list[Candle]:
        candles = self._candles(_select(symbol, interval).order_by(_TIME))
        if not candles:
            raise InputError(f"{self.shown_url}: holds no candles of {symbol} {interval}; name others, or store some")
        return candles

    def _candles(self, select: sa.Select[Any]) -> list[Candle]:
        with self._reading() as connection:
            return [Candle(*row) for row in connection.execute(select)]

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with speaking(self.shown_url), self._engine.connect() as connection:
            yield connection


def _key(symbol: str, interval: str) -> dict[str, str]:
    if not isinstance(symbol, str) or not symbol.isprintable() or not symbol:
        raise ValueError(f"symbol must be a name such as 'BTCUSDT', got {symbol!r}")
    interval_ns(interval)
    return {"symbol": symbol, "interval": interval}


def _select(symbol: str, interval: str, *columns: Any) -> sa.Select[Any]:
    key = _key(symbol, interval)
    chosen = columns or (_TIME, *(CANDLES.c[name] for name in NUMBERS))
    return sa.select(*chosen).where(*(CANDLES.c[name] == value for name, value in key.items()))


def _checked(key: dict[str, str], candles: Iterable[Candle]) -> list[dict[str, Any]]:
    """Rows to store, ascending, so that two writers lock them in one order and none waits for the other for ever."""
    given = list(candles)
    table: dict[str, Any] = {
        "open_time_ns": np.array([candle.open_time_ns for candle in given], np.int64),
        **{name: np.array([getattr(candle, name) for candle in given], np.float64) for name in NUMBERS},
    }
    for rule, name, broken in candle_faults(table, interval_ns(key["interval"])):
        if broken.any():
            where = int(broken.argmax())
            raise ValueError(f"candles[{where}].{name} {rule}, got {getattr(given[where], name)!r}")
    table["volume"] += 0.0  # SQLite knows no -0.0
    values = zip(*(column.tolist() for column in table.values()), strict=True)
    rows = {row[0]: {**key, **dict(zip(table, row, strict=True))} for row in values}
    return [rows[time_ns] for time_ns in sorted(rows)]
