"""Context: what the RIS and sheets state of exams, and by what objects are found for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables and indexes."""
    op.create_table(
        "context",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("source", sa.String(8), nullable=False),
        sa.Column("batch", sa.String(32), nullable=False),
        sa.Column("received_at", sa.Text, nullable=False),
        sa.Column("observed_on", sa.String(10), nullable=False),
        sa.Column("valid_from", sa.String(10), nullable=False),
        sa.Column("valid_until", sa.String(10), nullable=False),
        sa.Column("values", sa.LargeBinary, nullable=False),
        sa.Column("withdrawn_at", sa.Text, nullable=False),
    )
    op.create_index("ix_context_batch", "context", ["batch"])
    op.create_table(
        "context_keys",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("context_id", _ID, sa.ForeignKey("context.id"), primary_key=True),
        sa.Column("rank", sa.Integer, nullable=False),
    )
    for table in ("objects", "rebuilt_objects"):
        # Hashed in PostgreSQL, whose ordinary indexes refuse the long text that a hostile object may state.
        op.create_index(f"ix_{table}_accession_number", table, ["accession_number"], postgresql_using="hash")
