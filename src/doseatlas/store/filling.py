"""What do the RIS and sheets add to an exam that its dose objects leave open? Each value bears a note.

Filling happens whenever a merged exam is derived, after its objects are merged: so what an object states goes first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Table, select

from doseatlas.model import Exam, Note
from doseatlas.store.context_records import ContextValues
from doseatlas.store.database import in_parts
from doseatlas.store.schema import context, context_keys

STUDY, ACCESSION, PATIENT = 0, 1, 2  # how surely a key names the exam: the lower goes first
PREFIX = {STUDY: "exam:", ACCESSION: "accession:", PATIENT: "patient:"}
FIELDS = ContextValues.__struct_fields__
_BY = {STUDY: "study UID", ACCESSION: "accession number", PATIENT: "patient and date"}
_UNITS = {"height_cm": "cm", "weight_kg": "kg"}
_NOTES = {
    "height_cm": "height-from-ris",
    "weight_kg": "weight-from-ris",
    "procedure": "procedure-from-ris",
    "indication": "indication-from-ris",
}


class Kept(NamedTuple):
    """A statement in force, as it bears on one exam."""

    id: int
    rank: int
    source: str
    batch: str
    received_at: str
    observed_on: str
    valid_from: str
    valid_until: str
    values: ContextValues


def context_of(connection: Connection, kept_objects: Table, exam_keys: Iterable[str]) -> dict[str, list[Kept]]:
    """Return the statements in force that bear on exams, by exam; exams without any are left out.

    Args:
        connection: to the store.
        kept_objects: the table of objects that the exams are made of.
        exam_keys: the exams.

    """
    if connection.execute(select(context.c.id).limit(1)).first() is None:
        return {}
    owners: dict[str, set[str]] = {}
    for part in in_parts(list(exam_keys)):
        o = kept_objects.c
        stated = select(o.exam_id, o.accession_number, o.patient_id).where(o.exam_id.in_(part)).distinct()
        for exam, accession, patient in connection.execute(stated):
            owners.setdefault(PREFIX[STUDY] + exam, set()).add(exam)
            for rank, value in ((ACCESSION, accession), (PATIENT, patient)):
                if value:
                    owners.setdefault(PREFIX[rank] + value, set()).add(exam)
    found: dict[str, dict[int, Kept]] = {}
    for part in in_parts(list(owners)):
        rows = (
            select(context_keys.c.key, context_keys.c.rank, context)
            .join_from(context_keys, context, context_keys.c.context_id == context.c.id)
            .where(context_keys.c.key.in_(part), context.c.withdrawn_at == "")
        )
        for row in connection.execute(rows):
            values = msgspec.json.decode(row.values, type=ContextValues)
            kept = Kept(
                row.id,
                row.rank,
                row.source,
                row.batch,
                row.received_at,
                row.observed_on,
                row.valid_from,
                row.valid_until,
                values,
            )
            for exam in owners[row.key]:
                other = found.setdefault(exam, {}).get(kept.id)
                if other is None or kept.rank < other.rank:
                    found[exam][kept.id] = kept
    return {exam: list(by_id.values()) for exam, by_id in found.items()}


def fill(exam: Exam, kept: Iterable[Kept]) -> Exam:
    """Return an exam with what it does not state itself, from the statements that bear on it.

    A statement about the study goes before one about the accession number, that before one about the patient (the
    nearest day first); of equals, the newest. Every value that is filled bears a note that says where it comes from.
    """
    usable = [one for one in kept if one.rank != PATIENT or _holds(one, exam)]
    usable.sort(key=lambda one: (one.received_at, one.id), reverse=True)
    usable.sort(key=lambda one: (one.rank, _days_apart(one, exam)))
    notes: list[Note] = []
    patient: dict[str, float] = {}
    own: dict[str, str] = {}
    for field in FIELDS:
        if _states(exam, field):
            continue
        found = next((one for one in usable if getattr(one.values, field) is not None), None)
        if found is None:
            continue
        value = getattr(found.values, field)
        (patient if field in _UNITS else own)[field] = value
        notes.append(_note(field, value, found))
    if not notes:
        return exam
    changed = msgspec.structs.replace(exam.patient, **patient)
    return msgspec.structs.replace(exam, **own, patient=changed, notes=(*exam.notes, *notes))


def _states(exam: Exam, field: str) -> bool:
    if field == "procedure" and exam.procedure_codes:
        return True
    return in_exam(exam, field) is not None


def in_exam(exam: Exam, field: str) -> float | str | None:
    """Return what an exam states of a field of :class:`ContextValues`."""
    value: float | str | None = getattr(exam.patient if field in _UNITS else exam, field)
    return value


def _holds(one: Kept, exam: Exam) -> bool:
    return bool(exam.study_date) and one.valid_from <= str(exam.study_date) <= one.valid_until


def _days_apart(one: Kept, exam: Exam) -> int:
    if one.rank != PATIENT:
        return 0
    return abs((dt.date.fromisoformat(str(exam.study_date)) - dt.date.fromisoformat(one.observed_on)).days)


def _note(field: str, value: float | str, one: Kept) -> Note:
    name = field.partition("_")[0]
    what = f"{value:g} {_UNITS[field]}" if isinstance(value, float) else repr(value)
    where = "a message of the RIS" if one.source == "hl7" else "a sheet"
    on = f", observed on {one.observed_on}" if one.observed_on else ""
    return Note(
        code=_NOTES[field],
        message=f"The dose objects state no {name}; {what} comes from {where} (batch {one.batch}, received "
        f"{one.received_at[:10]}{on}), matched by {_BY[one.rank]}.",
    )
