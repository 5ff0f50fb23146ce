"""The facility that an object's sender is bound to; objects found by their instance UID."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column and the index. Of objects imported before, no sender is known: the column stays empty."""
    for table in ("objects", "rebuilt_objects"):
        op.add_column(table, sa.Column("facility", sa.Text))
        # Hashed in PostgreSQL, whose ordinary indexes refuse the long text that a hostile object may state.
        op.create_index(f"ix_{table}_sop_instance_uid", table, ["sop_instance_uid"], postgresql_using="hash")
