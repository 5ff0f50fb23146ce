"""What fills the gaps of an exam that its dose objects leave, and where does each value come from?

Statements of the RIS and of sheets are kept beside the objects, under keyed pseudonyms where the store keeps those, and
fill a merged exam whenever it is derived: so they outlast a rebuild, reach objects that come later, and an undo leaves
exactly what the objects state. What an object states is never overwritten. Each value that is filled bears a note.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from doseatlas.model import Exam, Identity, Kind, StoreError
from doseatlas.standardise import merge
from doseatlas.store.alerts import mark_due
from doseatlas.store.context_records import (
    ContextBatch,
    ContextChange,
    ContextSource,
    ContextSummary,
    ContextValues,
    Statement,
)
from doseatlas.store.database import in_parts
from doseatlas.store.derive import derive, key_of, plain_text, unpack_exam
from doseatlas.store.estimates import estimates_beside, keys_beside, with_estimates
from doseatlas.store.filling import ACCESSION, FIELDS, PATIENT, PREFIX, STUDY, context_of, fill, in_exam
from doseatlas.store.identity import accession_pseudonym, masked, patient_pseudonym
from doseatlas.store.image_sizes import sizes_of
from doseatlas.store.record import decisions_in_force, exams_of_objects, mark_months, replace_exams
from doseatlas.store.schema import context, context_keys, exams, objects

if TYPE_CHECKING:
    from doseatlas.store.store import Store

_MAX_IDENTIFIER = 64  # characters; the longest of DICOM (PS3.5, VR LO and UI)
_MAX_TEXT = 500
_SHORTEST_NAME = 3  # characters; shorter parts of names occur in texts by chance


class _PreviewDone(Exception):
    """Ends a preview's transaction without a trace."""


# ---- what callers do ----


def add_context(
    store: Store,
    statements: Sequence[Statement],
    source: ContextSource,
    batch: str,
    *,
    received_at: dt.datetime | None = None,
) -> ContextSummary:
    """Take statements, all or nothing, and fill the exams that they name.

    ``received_at`` is when they came, if that is not now: of equal statements the newest counts.

    Raises:
        StoreError: a statement names no exam, or the store cannot be written; nothing was taken.

    """
    with store.database.writing() as connection:
        return _add(connection, store, statements, source, batch, received_at)


def preview_context(store: Store, statements: Sequence[Statement], source: ContextSource, batch: str) -> ContextSummary:
    """Return what :func:`add_context` would do; nothing is changed. Raises :class:`StoreError` as that does."""
    summary: ContextSummary | None = None
    try:
        with store.database.writing() as connection:
            summary = _add(connection, store, statements, source, batch)
            raise _PreviewDone
    except _PreviewDone:
        assert summary is not None
        return summary


def undo_context(store: Store, batch: str) -> ContextSummary:
    """Withdraw a batch: its exams are again what their objects, and other statements, say.

    Raises:
        StoreError: there is no such batch, it is undone already, or the store cannot be written.

    """
    with store.database.writing() as connection:
        standing = (context.c.batch == batch) & (context.c.withdrawn_at == "")
        ids = list(connection.execute(select(context.c.id).where(standing)).scalars())
        if not ids:
            raise StoreError(f"There is no batch {batch!r} to undo; 'doseatlas context list' lists them.")
        named = set[str]()
        for part in in_parts(ids):
            keys = select(context_keys.c.key, context.c.valid_from, context.c.valid_until).join_from(
                context_keys, context, context_keys.c.context_id == context.c.id
            )
            for key, begin, end in connection.execute(keys.where(context.c.id.in_(part))).all():
                named |= _exams_named(connection, key, begin, end)
        connection.execute(update(context).where(standing).values(withdrawn_at=_now()))
        changes = _derive_again(connection, store, named)
    return ContextSummary(batch=batch, new=0, already_there=0, without_exam=0, changes=changes, withdrawn=len(ids))


def context_batches(store: Store) -> list[ContextBatch]:
    """Return the batches that were taken, the newest first."""
    found = select(
        context.c.batch,
        func.min(context.c.source),
        func.max(context.c.received_at),
        func.count(),
        func.max(context.c.withdrawn_at),
        func.min(context.c.withdrawn_at),
    ).group_by(context.c.batch)
    with store.database.reading() as connection:
        rows = connection.execute(found).all()
    batches = [
        ContextBatch(batch=batch, source=source, received_at=at, statements=number, undone=first != "")
        for batch, source, at, number, _, first in rows
    ]
    return sorted(batches, key=lambda one: (one.received_at, one.batch), reverse=True)


# ---- taking statements ----


def _add(
    connection: Connection,
    store: Store,
    statements: Sequence[Statement],
    source: str,
    batch: str,
    received_at: dt.datetime | None = None,
) -> ContextSummary:
    now = received_at.astimezone(dt.UTC).isoformat(timespec="seconds") if received_at else _now()
    named = set[str]()
    new = there = without = 0
    for statement in statements:
        keys = _keys(statement, store.key)
        begin, end = _validity(statement)
        own = {exam for key in keys for exam in _exams_named(connection, key, begin, end)}
        without += not own
        row = {
            "source": source,
            "batch": batch,
            "received_at": now,
            "observed_on": statement.observed_on.isoformat() if statement.observed_on else "",
            "valid_from": begin,
            "valid_until": end,
            "values": msgspec.json.encode(_without_identity(statement, masks=store.key is not None)),
            "withdrawn_at": "",
        }
        if _stated_before(connection, keys, row):
            there += 1
            continue
        new += 1
        named |= own
        made = connection.execute(insert(context).values(row).returning(context.c.id)).scalar_one()
        connection.execute(
            insert(context_keys), [{"key": key, "context_id": made, "rank": rank} for key, rank in keys.items()]
        )
    changes = _derive_again(connection, store, named)
    return ContextSummary(batch=batch, new=new, already_there=there, without_exam=without, changes=changes)


def _keys(statement: Statement, key: bytes | None) -> dict[str, int]:
    """Return what names the statement's exams, each with its rank.

    Raises:
        StoreError: nothing names an exam, or an identifier is longer than any DICOM object can state.

    """
    for value in (statement.study_instance_uid, statement.accession_number, statement.patient_id, statement.issuer):
        if value is not None and len(value) > _MAX_IDENTIFIER:
            raise StoreError(f"An identifier has {len(value)} characters; DICOM allows at most {_MAX_IDENTIFIER}.")
    found: dict[str, int] = {}
    if statement.study_instance_uid:
        for kind in get_args(Kind):  # an exam is kept under its study and its kind
            found[PREFIX[STUDY] + key_of(kind, statement.study_instance_uid)] = STUDY
    if statement.accession_number:
        identity = Identity(accession_number=statement.accession_number)
        found[PREFIX[ACCESSION] + str(_kept(accession_pseudonym, key, identity, "accession_number"))] = ACCESSION
    if not found and statement.patient_id and statement.observed_on:
        # Objects state the issuer of a patient ID rarely, messages mostly: both forms name the patient.
        for issuer in {statement.issuer, None}:
            identity = Identity(patient_id=statement.patient_id, issuer=issuer)
            found[PREFIX[PATIENT] + str(_kept(patient_pseudonym, key, identity, "patient_id"))] = PATIENT
    if not found:
        raise StoreError("A statement names neither a study, nor an accession number, nor a patient with a date.")
    return found


def _kept(pseudonym: object, key: bytes | None, identity: Identity, field: str) -> str | None:
    value = getattr(identity, field) if key is None else pseudonym(key, identity)  # type: ignore[operator]
    return value and plain_text(value)


def _validity(statement: Statement) -> tuple[str, str]:
    """Return the first and the last study date for which a patient's values hold; empty where the exam is named."""
    if statement.study_instance_uid or statement.accession_number or statement.observed_on is None:
        return "", ""
    around = dt.timedelta(days=statement.days)
    return (statement.observed_on - around).isoformat(), (statement.observed_on + around).isoformat()


def _without_identity(statement: Statement, *, masks: bool) -> ContextValues:
    """Return the values; with pseudonyms, free text without the patient's name, numbers and birth date."""
    texts = {}
    for field in ("procedure", "indication"):
        text = getattr(statement.values, field)
        if text is None:
            continue
        if masks:
            text = masked(
                text,
                Identity(
                    patient_id=statement.patient_id,
                    accession_number=statement.accession_number,
                    birth_date=statement.birth_date,
                ),
            )
            for name in sorted(statement.names, key=len, reverse=True):
                if len(name) >= _SHORTEST_NAME:
                    text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "*", text, flags=re.IGNORECASE)
        texts[field] = plain_text(text, _MAX_TEXT).strip() or None
    return msgspec.structs.replace(statement.values, **texts)


def _stated_before(connection: Connection, keys: Mapping[str, int], row: Mapping[str, object]) -> bool:
    """Whether the newest statement in force under the same keys says the same."""
    strongest = next(iter(keys))
    found = (
        select(context)
        .join_from(context, context_keys, context_keys.c.context_id == context.c.id)
        .where(context_keys.c.key == strongest, context.c.withdrawn_at == "", context_keys.c.rank == keys[strongest])
        .order_by(context.c.received_at.desc(), context.c.id.desc())
        .limit(1)
    )
    last = connection.execute(found).first()
    same = ("source", "observed_on", "valid_from", "valid_until", "values")
    if last is None or any(last._mapping[name] != row[name] for name in same):
        return False
    under = select(context_keys.c.key).where(context_keys.c.context_id == last.id)
    return set(connection.execute(under).scalars()) == set(keys)


# ---- which exams ----


def _exams_named(connection: Connection, key: str, begin: str, end: str) -> set[str]:
    """Return the exams of the store that a key names."""
    prefix, _, value = key.partition(":")
    if prefix == "exam":
        found = select(exams.c.exam_id).where(exams.c.exam_id == value)
    elif prefix == "accession":
        found = select(objects.c.exam_id).where(objects.c.accession_number == value)
    else:
        found = (
            select(objects.c.exam_id)
            .join_from(objects, exams, objects.c.exam_id == exams.c.exam_id)
            .where(objects.c.patient_id == value, exams.c.study_date >= begin, exams.c.study_date <= end)
        )
    return set(connection.execute(found).scalars())


def _derive_again(connection: Connection, store: Store, exam_keys: Collection[str]) -> tuple[ContextChange, ...]:
    """Derive exams anew from their objects and the statements in force; returns what changes."""
    decisions, dose = decisions_in_force(connection), store.dose_rules(connection)
    changes: list[ContextChange] = []
    for part in in_parts(sorted(exam_keys)):
        rows = connection.execute(
            select(exams.c.exam_id, exams.c.facility, exams.c.exam).where(exams.c.exam_id.in_(part))
        )
        before = {key: (facility, unpack_exam(data)) for key, facility, data in rows}
        kept = context_of(connection, objects, before)
        beside = {key: keys[0] for key, (_, old) in before.items() if len(keys := keys_beside(old)) == 1}
        estimates = estimates_beside(connection, objects, beside)
        sizes = sizes_of(connection, before)
        derived = []
        for key, stated in exams_of_objects(connection, objects, before).items():
            facility, old = before[key]
            new = with_estimates(fill(merge(stated), kept.get(key, ())), stated, estimates.get(key, ()))
            if new != old:
                changes += _changes(old, new)
                # The facility stays: it may be the one that the sender of the objects is bound to.
                derived.append(derive(new, key, decisions, facility, dose, sizes.get(key)))
        if derived:
            mark_months(connection, replace_exams(connection, exams, derived))
            mark_due(connection, {row.exam_id for row in derived if row.kind != "estimate"})
    return tuple(changes)


def _changes(old: Exam, new: Exam) -> list[ContextChange]:
    found = []
    for field in FIELDS:
        before, after = in_exam(old, field), in_exam(new, field)
        if before != after:
            found.append(
                ContextChange(
                    study_instance_uid=new.study_instance_uid,
                    study_date=new.study_date,
                    kind=new.kind,
                    field=field,
                    before=_shown(before),
                    after=_shown(after),
                )
            )
    return found


def _shown(value: float | str | None) -> str | None:
    return f"{value:g}" if isinstance(value, float) else value


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
