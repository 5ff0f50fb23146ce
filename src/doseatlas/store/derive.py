"""What does the store keep of a merged exam? Its row in the tables and, within it, its row in the mart.

Pure functions of the exam, the site's decisions, the facility that is set and the rules of dosimetry, so that a worker
process, an import, a decision on a name, a calibration certificate and a rebuild all derive the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from doseatlas.dosimetry import ImageSizes
from doseatlas.model import Exam, Kind
from doseatlas.standardise import classify, exam_kind_key, mapping_key, summarise
from doseatlas.store.archive import compress, decompress
from doseatlas.store.dose_rules import DoseRules, dose_columns

DERIVATION = "5"
"""Raised whenever exams or their rows come out otherwise than before: a store derived by older rules says so."""
UNNAMED_FACILITY = "unnamed facility"
UNDATED = "undated"
NO_PROCEDURE = "none"
"""Of what is no examination, hence has no procedure to be mapped to."""
_MAX_FACILITY = 200  # characters of what is indexed, which PostgreSQL bounds
_MAX_KEY = 500
_MAX_PROTOCOLS = 8

_exam_decoder = msgspec.msgpack.Decoder(Exam)
_encode = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode


class ExamRow(msgspec.Struct, frozen=True, array_like=True):
    """A row of the table ``exams``; the fields are its columns."""

    exam_id: str
    kind: str
    study_date: str
    facility: str
    month: str
    mapping_key: str
    name: str
    mapped_by: str
    exam: bytes
    mart_row: bytes


def exam_id(exam: Exam) -> str:
    """Return the key of the merged exam that an object belongs to: the same for every object of a study and kind."""
    study, kind = exam_kind_key(exam)
    return hashlib.sha256(f"{kind}\n{study}".encode()).hexdigest()[:32]


def key_of(kind: Kind, study_instance_uid: str) -> str:
    """Return the key of a study's exam of a kind, whether or not the store holds it."""
    return exam_id(Exam(kind=kind, study_instance_uid=study_instance_uid))


def study_id(exam: Exam) -> str | None:
    """Return the key of an exam's study, the same for its exams of every kind; ``None`` where no study is stated."""
    if not exam.study_instance_uid:
        return None
    return hashlib.sha256(f"study\n{exam.study_instance_uid}".encode()).hexdigest()[:32]


def derive(
    exam: Exam,
    exam_key: str,
    decisions: Mapping[str, str],
    facility: str | None,
    dose_rules: DoseRules,
    sizes: ImageSizes | None = None,
) -> ExamRow:
    """Return the row of a merged exam.

    Args:
        exam: what ``standardise.merge`` gave.
        exam_key: its :func:`exam_id`, which a merged exam keeps whichever of its objects comes first.
        decisions: the site's confirmed mappings, key to procedure.
        facility: the facility that is set, which goes before the institution stated.
        dose_rules: what the dosimetric columns are derived with.
        sizes: what was measured in the exam's images.

    """
    classification = classify(exam, decisions)
    stated = summarise(exam, classification)
    row = stated | dose_columns(exam, classification, dose_rules, stated, sizes)
    date = row["study_date"]
    study_date = str(date) if date else ""
    place = plain_text(facility or exam.device.institution or "", _MAX_FACILITY).strip() or UNNAMED_FACILITY
    month = study_date[:7] or UNDATED
    row |= {"exam_id": exam_key, "study_id": study_id(exam), "facility": place, "month": month}
    return ExamRow(
        exam_id=exam_key,
        kind=exam.kind,
        study_date=study_date,
        facility=place,
        month=month,
        mapping_key=plain_text(mapping_key(exam), _MAX_KEY),
        name=plain_text(_name(exam), _MAX_KEY),
        mapped_by=classification.mapped_by if exam.kind != "estimate" else NO_PROCEDURE,
        exam=pack_exam(exam),
        mart_row=_encode_json({name: value for name, value in row.items() if value is not None}),
    )


def pack_exam(exam: Exam) -> bytes:
    """Return the form in which the database holds an exam."""
    return compress(_encode(exam))


def unpack_exam(data: bytes) -> Exam:
    """Return the exam that the database holds."""
    return _exam_decoder.decode(decompress(data))


def plain_text(text: str, limit: int | None = None) -> str:
    """Return text that every database takes: without NUL and without halves of characters, and not longer than that."""
    return text[:limit].replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


def _name(exam: Exam) -> str:
    """Return the text that the mapping key was made of, as people know it."""
    protocols: Sequence[str] = list(dict.fromkeys(event.protocol for event in exam.events if event.protocol))
    return exam.procedure or ", ".join(protocols[:_MAX_PROTOCOLS]) or exam.body_part or ""
