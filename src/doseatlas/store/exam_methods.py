"""How was each derived value of an exam found, and from which source? Told from the exam, by the rules in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from doseatlas.dosimetry import Method, exam_methods
from doseatlas.standardise import classify, ct_scans, device_name, plausible_patient, summarise
from doseatlas.store.derive import unpack_exam
from doseatlas.store.image_sizes import sizes_of
from doseatlas.store.record import decisions_in_force
from doseatlas.store.schema import exams

if TYPE_CHECKING:
    from doseatlas.store.open_store import OpenStore


def methods_of_exam(store: OpenStore, exam_id: str) -> list[Method]:
    """Return method and source of the derived values of an exam; none where the store holds no such exam."""
    with store.database.reading() as connection:
        data = connection.execute(select(exams.c.exam).where(exams.c.exam_id == exam_id)).scalar()
        if data is None:
            return []
        exam = unpack_exam(data)
        classification = classify(exam, decisions_in_force(connection))
        sizes = sizes_of(connection, [exam_id]).get(exam_id)
        rules = store.dose_rules(connection)
    stated = summarise(exam, classification)
    if classification.flags:
        exam = msgspec.structs.replace(exam, patient=plausible_patient(exam.patient, classification.flags))
    return exam_methods(
        exam,
        procedure=classification.procedure,
        scans=ct_scans(exam.events) if exam.kind == "ct" else (),
        device=device_name(exam.device),
        certificates=rules.certificates,
        coefficient_set=rules.ct_coefficients,
        activity_guideline=rules.activity_guideline,
        image_sizes=sizes,
        displayed=stated,
    )
