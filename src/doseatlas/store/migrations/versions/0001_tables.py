"""The tables of the first store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "packs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
    )
    for prefix in ("", "rebuilt_"):
        _objects(f"{prefix}objects")
        _exams(f"{prefix}exams")
    op.create_table(
        "ignored",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("stale", sa.Boolean, nullable=False),
    )
    op.create_table(
        "refused",
        sa.Column("path_digest", sa.LargeBinary, primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("first_seen", sa.Text, nullable=False),
        sa.Column("last_seen", sa.Text, nullable=False),
    )
    op.create_table(
        "mapping_decisions",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("procedure", sa.Text, nullable=False),
        sa.Column("decided_at", sa.Text, nullable=False),
        sa.Column("superseded", sa.Boolean, nullable=False),
    )
    op.create_table(
        "mart_months",
        sa.Column("facility", sa.Text, primary_key=True),
        sa.Column("month", sa.String(8), primary_key=True),
        sa.Column("dirty", sa.Boolean, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _objects(name: str) -> None:
    op.create_table(
        name,
        sa.Column("id", _ID, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("exam_id", sa.String(32), nullable=False),
        sa.Column("sop_instance_uid", sa.Text),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("patient_id", sa.Text),
        sa.Column("accession_number", sa.Text),
        sa.Column("exam", sa.LargeBinary, nullable=False),
        sa.Column("pack_id", _ID, sa.ForeignKey("packs.id")),
        sa.Column("pack_offset", sa.BigInteger),
        sa.Column("pack_length", sa.Integer),
        sa.Column("imported_at", sa.Text, nullable=False),
    )
    op.create_index(f"ix_{name}_exam_id", name, ["exam_id"])


def _exams(name: str) -> None:
    op.create_table(
        name,
        sa.Column("exam_id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("study_date", sa.String(10), nullable=False),
        sa.Column("facility", sa.Text, nullable=False),
        sa.Column("month", sa.String(8), nullable=False),
        sa.Column("mapping_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("mapped_by", sa.String(16), nullable=False),
        sa.Column("exam", sa.LargeBinary, nullable=False),
        sa.Column("mart_row", sa.LargeBinary, nullable=False),
    )
    op.create_index(f"ix_{name}_order", name, ["study_date", "exam_id"])
    op.create_index(f"ix_{name}_month", name, ["facility", "month"])
    op.create_index(f"ix_{name}_mapping_key", name, ["mapping_key"])
    op.create_index(f"ix_{name}_mapped_by", name, ["mapped_by"])
