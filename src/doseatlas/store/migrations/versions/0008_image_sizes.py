"""What was measured in the images of an exam."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table. Of images imported before, nothing was measured."""
    op.create_table(
        "image_sizes",
        sa.Column("exam_id", sa.String(32), primary_key=True),
        sa.Column("sizes", sa.LargeBinary, nullable=False),
    )
