"""The candle store's table, and how an older database, a new one or another's is told apart and brought up to date."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from companion.errors import InputError

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "candle_store_version"
METADATA = sa.MetaData()
CANDLES = sa.Table(
    "candles",
    METADATA,
    sa.Column("symbol", sa.String, primary_key=True),
    sa.Column("interval", sa.String, primary_key=True),
    sa.Column("open_time_ns", sa.BigInteger, primary_key=True),
    *(sa.Column(name, sa.Double, nullable=False) for name in ("open", "high", "low", "close", "volume")),
    sqlite_with_rowid=False,  # the key is the order on disk
)
_OPENING = 0x62_6F_6F_6B  # names our lock among a PostgreSQL server's advisory ones


def migrate(connection: sa.Connection, shown: str, migrations: Path = MIGRATIONS) -> None:
    """Bring the database to the newest version that this package knows, in the transaction that this begins.

    Two processes that open a new database at once take turns.

    Parameters
    ----------
    connection : Connection
        In no transaction yet; the caller commits.
    shown : str
        What errors call the database.
    migrations : Path
        Alembic's folder.

    Raises
    ------
    InputError
        It holds tables of another application, or a version that this package does not know. It is left as it was.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_OPENING)))
    tables = set(sa.inspect(connection).get_table_names())
    if tables and VERSION_TABLE not in tables:
        raise InputError(
            f"{shown}: holds tables of another application ({', '.join(sorted(tables)[:3])}); "
            "give the candles a database of their own"
        )
    at = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if at not in {None, *(script.revision for script in scripts.walk_revisions())}:
        raise InputError(
            f"{shown}: its schema version {at!r} is unknown to this version of companion, whose newest is "
            f"{scripts.get_current_head()!r}; update companion, or choose another database"
        )
    if at != scripts.get_current_head():
        command.upgrade(config, "head")
