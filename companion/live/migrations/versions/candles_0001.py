"""The first version: one table of candles."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "candles",
        sa.Column("symbol", sa.String, primary_key=True),
        sa.Column("interval", sa.String, primary_key=True),
        sa.Column("open_time_ns", sa.BigInteger, primary_key=True),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("open", "high", "low", "close", "volume")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("candles")
