"""What do the RIS and sheets state of an exam's patient and procedure, and what came of it? As immutable records."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from doseatlas.model import Record

ContextSource = Literal["hl7", "csv"]


class ContextValues(Record, frozen=True, kw_only=True):
    """What may fill gaps of an exam; ``None`` is not stated."""

    height_cm: float | None = None
    weight_kg: float | None = None
    procedure: str | None = None
    indication: str | None = None


class Statement(Record, frozen=True, kw_only=True):
    """Values of one exam, or of one patient around a day, as another system states them, identity included.

    An exam is named by ``study_instance_uid`` or ``accession_number``. Where neither is stated, ``patient_id`` (with
    its ``issuer``) and ``observed_on`` name the patient's exams within ``days`` of that day. ``names`` are the parts of
    the patient's name: they are only used to take the name out of free text.
    """

    values: ContextValues
    study_instance_uid: str | None = None
    accession_number: str | None = None
    patient_id: str | None = None
    issuer: str | None = None
    birth_date: dt.date | None = None
    names: tuple[str, ...] = ()
    observed_on: dt.date | None = None
    days: int = 0


class ContextChange(Record, frozen=True, kw_only=True):
    """A field of an exam that changes; ``None`` is not stated."""

    study_instance_uid: str | None
    study_date: str | None
    kind: str
    field: str
    before: str | None
    after: str | None


class ContextSummary(Record, frozen=True, kw_only=True):
    """What statements did, or would do.

    ``already_there`` were stated before, word by word. ``without_exam`` name an exam that is not in the store yet: they
    are kept, and fill it when it comes. ``withdrawn``: statements that an undo took back.
    """

    batch: str
    new: int
    already_there: int
    without_exam: int
    changes: tuple[ContextChange, ...]
    withdrawn: int = 0


class ContextBatch(Record, frozen=True, kw_only=True):
    """Statements that came together (a sheet) or on one day (HL7), and can be undone together."""

    batch: str
    source: str
    received_at: str
    statements: int
    undone: bool
