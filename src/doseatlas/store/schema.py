"""Which tables hold the store? Their definitions; ``migrations`` makes them, and a test holds the two together.

Times are ISO 8601 text in UTC and dates ISO 8601 text, so that both databases hold and sort the same values. What is
indexed is bounded in length, as PostgreSQL demands: long text is found by its SHA-256.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER primary key numbers itself in SQLite


def _objects(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("id", _ID, primary_key=True),
        Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the bytes as read
        Column("exam_id", String(32), nullable=False, index=True),
        Column("sop_instance_uid", Text),
        Column("path", Text, nullable=False),
        Column("patient_id", Text),  # keyed pseudonym, unless identity=plain
        Column("accession_number", Text),  # keyed pseudonym, unless identity=plain
        Column("facility", Text),  # that the sender is bound to; null: to none
        Column("exam", LargeBinary, nullable=False),  # what the object states: Exam, MessagePack, zstd
        Column("pack_id", _ID, ForeignKey("packs.id")),  # null: no original is archived
        Column("pack_offset", BigInteger),
        Column("pack_length", Integer),
        Column("imported_at", Text, nullable=False),
        Index(f"ix_{name}_patient_id", "patient_id", postgresql_using="hash"),  # takes text of any length
        Index(f"ix_{name}_sop_instance_uid", "sop_instance_uid", postgresql_using="hash"),
        Index(f"ix_{name}_accession_number", "accession_number", postgresql_using="hash"),
    )


def _exams(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("exam_id", String(32), primary_key=True),
        Column("kind", String(16), nullable=False),
        Column("study_date", String(10), nullable=False),  # empty: not stated
        Column("facility", Text, nullable=False),
        Column("month", String(8), nullable=False),
        Column("mapping_key", Text, nullable=False, index=True),
        Column("name", Text, nullable=False),  # the text that mapping_key was made of
        Column("mapped_by", String(16), nullable=False, index=True),
        Column("exam", LargeBinary, nullable=False),  # the merged exam: Exam, MessagePack, zstd
        Column("mart_row", LargeBinary, nullable=False),  # the exam's row in the mart, JSON
        Index(f"ix_{name}_order", "study_date", "exam_id"),
        Index(f"ix_{name}_month", "facility", "month"),
    )


packs = Table(
    "packs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),  # SHA-256 of the pack file
)
objects = _objects("objects")
exams = _exams("exams")
rebuilt_objects = _objects("rebuilt_objects")
rebuilt_exams = _exams("rebuilt_exams")
ignored = Table(
    "ignored",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("stale", Boolean, nullable=False),  # a rebuild has followed: to be read again where it is met
)
refused = Table(
    "refused",
    metadata,
    Column("path_digest", LargeBinary, primary_key=True),
    Column("path", Text, nullable=False),
    Column("code", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("first_seen", Text, nullable=False),
    Column("last_seen", Text, nullable=False),
)
mapping_decisions = Table(
    "mapping_decisions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("key", Text, nullable=False),
    Column("procedure", Text, nullable=False),
    Column("decided_at", Text, nullable=False),
    Column("superseded", Boolean, nullable=False),
)
mart_months = Table(
    "mart_months",
    metadata,
    Column("facility", Text, primary_key=True),
    Column("month", String(8), primary_key=True),
    Column("dirty", Boolean, nullable=False),  # the month's file does not hold what the exams say
)
meta = Table("meta", metadata, Column("name", String(64), primary_key=True), Column("value", Text, nullable=False))


class ExamTables(NamedTuple):
    """The two tables that a rebuild makes anew: those in use, or those it fills before it swaps."""

    objects: Table
    exams: Table


CURRENT = ExamTables(objects, exams)
REBUILT = ExamTables(rebuilt_objects, rebuilt_exams)

finding_events = Table(
    "finding_events",
    metadata,
    Column("finding_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1; the next number may be written once, by whoever is first
    Column("at", Text, nullable=False),
    Column("event", LargeBinary, nullable=False),  # what happened to the finding, JSON
)

alerts_due = Table("alerts_due", metadata, Column("exam_id", String(32), primary_key=True))  # not looked at yet
alerts = Table(
    "alerts",
    metadata,
    Column("alert_id", String(16), primary_key=True),
    Column("exam_id", String(32), nullable=False, index=True),
    Column("rule", String(64), nullable=False),
    Column("threshold", Float(53), nullable=False),
    Column("raised_at", Text, nullable=False),
    Column("alert", LargeBinary, nullable=False),  # what is told, JSON
    Column("acknowledged_at", Text),
    Column("acknowledged_by", Text),
    Column("comment", Text),
)
alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("delivery_id", String(16), primary_key=True),
    Column("alert_id", String(16), ForeignKey("alerts.alert_id"), nullable=False, index=True),
    Column("recipient", Text, nullable=False),  # a name of the settings
    Column("channel", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Text, nullable=False),  # not before; moved on before each attempt, so that no two make the same
    Column("sent_at", Text),
    Column("last_error", Text),
    Index("ix_alert_deliveries_waiting", "sent_at", "next_at"),
)

context = Table(
    "context",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("source", String(8), nullable=False),
    Column("batch", String(32), nullable=False, index=True),  # what came together, and is undone together
    Column("received_at", Text, nullable=False),
    Column("observed_on", String(10), nullable=False),  # empty: not stated
    Column("valid_from", String(10), nullable=False),  # first and last study date, where only the patient is named
    Column("valid_until", String(10), nullable=False),
    Column("values", LargeBinary, nullable=False),  # ContextValues, JSON
    Column("withdrawn_at", Text, nullable=False),  # empty: in force
)
context_keys = Table(
    "context_keys",
    metadata,
    Column("key", String(80), primary_key=True),  # the exam, accession number or patient, as objects are kept under
    Column("context_id", _ID, ForeignKey("context.id"), primary_key=True),
    Column("rank", Integer, nullable=False),  # how surely it names the exam; the lower goes first
)

certificates = Table(
    "certificates",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("certificate_id", Text, nullable=False),
    Column("certificate", LargeBinary, nullable=False),  # dosimetry.Certificate, JSON
    Column("added_at", Text, nullable=False),
    Column("removed_at", Text, nullable=False),  # empty: not removed
)

image_sizes = Table(
    "image_sizes",
    metadata,
    Column("exam_id", String(32), primary_key=True),  # of the CT exam, which may not have come yet
    Column("sizes", LargeBinary, nullable=False),  # dosimetry.ImageSizes, MessagePack, zstd
)
