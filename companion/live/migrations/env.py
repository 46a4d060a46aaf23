"""Alembic's environment: the versions of the candle store, applied on the connection that the store hands over."""

from alembic import context

from companion.live._store_schema import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
context.run_migrations()
