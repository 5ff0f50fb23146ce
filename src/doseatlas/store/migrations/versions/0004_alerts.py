"""Alerts, their deliveries, and the exams that still have to be looked at; the exams of one patient, found quickly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables and the indexes."""
    op.create_table("alerts_due", sa.Column("exam_id", sa.String(32), primary_key=True))
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(16), primary_key=True),
        sa.Column("exam_id", sa.String(32), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("threshold", sa.Float(53), nullable=False),
        sa.Column("raised_at", sa.Text, nullable=False),
        sa.Column("alert", sa.LargeBinary, nullable=False),
        sa.Column("acknowledged_at", sa.Text),
        sa.Column("acknowledged_by", sa.Text),
        sa.Column("comment", sa.Text),
    )
    op.create_index("ix_alerts_exam_id", "alerts", ["exam_id"])
    op.create_table(
        "alert_deliveries",
        sa.Column("delivery_id", sa.String(16), primary_key=True),
        sa.Column("alert_id", sa.String(16), sa.ForeignKey("alerts.alert_id"), nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Text, nullable=False),
        sa.Column("sent_at", sa.Text),
        sa.Column("last_error", sa.Text),
    )
    op.create_index("ix_alert_deliveries_alert_id", "alert_deliveries", ["alert_id"])
    op.create_index("ix_alert_deliveries_waiting", "alert_deliveries", ["sent_at", "next_at"])
    for name in ("objects", "rebuilt_objects"):
        # Hashed in PostgreSQL, whose ordinary indexes refuse the long text that a hostile object may state.
        op.create_index(f"ix_{name}_patient_id", name, ["patient_id"], postgresql_using="hash")
