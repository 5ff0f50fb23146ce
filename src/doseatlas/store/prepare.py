"""What does one object become? From its bytes to all that the store writes of it, without touching the store.

This is the work of the worker processes. With pseudonyms, the bytes are first freed of identity, and the exam is read
from that archived form: so nothing that identifies the patient can reach the database, and reading the archive again
gives the same exam.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from doseatlas.dicom import Limits, Pseudonyms, SourceObject, deidentify, read_bytes
from doseatlas.model import Note, Reading, Refusal, UnreadableObject
from doseatlas.store.archive import Original, compress
from doseatlas.store.derive import ExamRow, derive, exam_id, plain_text
from doseatlas.store.dose_rules import DoseRules
from doseatlas.store.estimates import keys_beside
from doseatlas.store.identity import accession_pseudonym, masked, patient_pseudonym
from doseatlas.store.image_sizes import SizedImage


class Rules(msgspec.Struct, frozen=True):
    """What has to be known to prepare objects. ``key`` is ``None`` where identity is kept as stated.

    ``facility`` is the setting; ``bound`` is the facility that the sender of the objects is bound to, which goes first.
    """

    key: bytes | None
    archive: bool
    facility: str | None
    limits: Limits
    decisions: dict[str, str]
    dose: DoseRules
    bound: str | None = None


class DoseObject(msgspec.Struct, frozen=True, array_like=True):
    """A dose object, ready for the tables.

    ``frame`` is its archived form, ``alone`` its exam if it has no siblings, ``beside`` the keys of the study's other
    exams that bear on it (:func:`~doseatlas.store.estimates.keys_beside`).
    """

    exam_id: str
    sop_instance_uid: str | None
    path: str
    patient_id: str | None
    accession_number: str | None
    facility: str | None
    frame: bytes | None
    notes: tuple[Note, ...]
    alone: ExamRow
    beside: tuple[str, ...] = ()


class Prepared(msgspec.Struct, frozen=True, array_like=True):
    """What became of one object found at ``path``; ``refusal`` and ``dose`` are set for ``refused`` and ``dose``.

    ``sized`` is what a CT image, with a dose or without, says of the patient's size.
    """

    path: str
    digest: bytes
    state: Literal["known", "ignored", "refused", "dose"]
    refusal: Refusal | None = None
    dose: DoseObject | None = None
    sized: SizedImage | None = None


def read_source(source: SourceObject) -> bytes | Refusal:
    """Return the bytes of what was found, or why there are none."""
    if source.refusal is not None:
        return source.refusal
    try:
        return source.read()
    except UnreadableObject as error:
        return Refusal(code=error.code, message=str(error))


def prepare(path: str, data: bytes, digest: bytes, rules: Rules) -> Prepared:
    """Prepare one object that the store does not know. Bad input gives a refusal, never an error."""
    label = plain_text(path)
    if rules.key is None:
        reading = read_bytes(data, path=label, limits=rules.limits)
        return _prepared(label, digest, reading, data, (), rules)
    try:
        return _prepared(label, digest, *_without_identity(label, data, rules.key, rules), rules)
    except UnreadableObject as error:
        return Prepared(label, digest, "refused", Refusal(code=error.code, message=str(error)))


def prepare_again(original: Original, archived: bytes, rules: Rules) -> Prepared:
    """Prepare an object from its archived form, whose identity is already what the store keeps."""
    reading = with_notes(read_bytes(archived, path=original.path, limits=rules.limits), original.notes)
    bound = msgspec.structs.replace(rules, bound=original.facility)
    return _prepared(original.path, original.digest, reading, None, original.notes, bound)


def with_notes(reading: Reading, notes: tuple[Note, ...]) -> Reading:
    """Return a reading with notes added."""
    if not notes or reading.exam.kind == "refused":
        return reading
    exam = msgspec.structs.replace(reading.exam, notes=reading.exam.notes + notes)
    return msgspec.structs.replace(reading, exam=exam)


def _without_identity(label: str, data: bytes, key: bytes, rules: Rules) -> tuple[Reading, bytes, tuple[Note, ...]]:
    """Return what the object states, its archived form, and the notes that only its own bytes give cause for.

    Raises:
        UnreadableObject: the object cannot be read, hence cannot be freed of identity either.

    """
    archived, identity, whole = deidentify(
        data,
        pseudonymise=lambda whose: Pseudonyms(patient_pseudonym(key, whose), accession_pseudonym(key, whose)),
        limits=rules.limits,
    )
    reading = read_bytes(archived, path=masked(label, identity), limits=rules.limits)
    if whole:
        return reading, archived, ()
    # The archived form is whole and plainly encoded; that the original was not has to be said all the same.
    as_it_came = read_bytes(data, path=label, limits=rules.limits)
    if as_it_came.exam.error is not None:
        raise UnreadableObject(as_it_came.exam.error.code, as_it_came.exam.error.message)
    codes = {note.code for note in reading.exam.notes}
    notes = tuple(
        Note(code=note.code, message=masked(note.message, identity))
        for note in as_it_came.exam.notes
        if note.code not in codes
    )
    return with_notes(reading, notes), archived, notes


def _prepared(
    label: str, digest: bytes, reading: Reading, archived: bytes | None, notes: tuple[Note, ...], rules: Rules
) -> Prepared:
    exam = reading.exam
    if exam.error is not None:
        return Prepared(label, digest, "refused", exam.error)
    if exam.kind == "not-dose":
        return Prepared(label, digest, "ignored")
    key = exam_id(exam)
    dose = DoseObject(
        exam_id=key,
        sop_instance_uid=exam.sop_instance_uid and plain_text(exam.sop_instance_uid),
        path=exam.path or label,
        patient_id=reading.identity.patient_id and plain_text(reading.identity.patient_id),
        accession_number=reading.identity.accession_number and plain_text(reading.identity.accession_number),
        facility=rules.bound,
        frame=compress(archived) if archived is not None and rules.archive else None,
        notes=notes,
        alone=derive(exam, key, rules.decisions, rules.bound or rules.facility, rules.dose),
        beside=keys_beside(exam),
    )
    return Prepared(label, digest, "dose", dose=dose)
