"""How was each derived value of an exam found, and from which source? Told from the exam, by the rules in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from doseatlas.dosimetry import Method
from doseatlas.standardise import classify, summarise
from doseatlas.store.derive import unpack_exam
from doseatlas.store.dose_rules import dose_methods
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
    return dose_methods(exam, classification, rules, summarise(exam, classification), sizes)
