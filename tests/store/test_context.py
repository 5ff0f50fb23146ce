"""What fills gaps of exams, on both databases: matched, kept over a rebuild, undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from doseatlas.dicom import read_bytes
from doseatlas.store import ContextValues, Statement, Store, add_context, held, import_paths, undo_context


@pytest.fixture
def one(store: Store, objects: Path) -> bytes:
    """The bytes of a dose report with an accession number, which is in the store with all others."""
    import_paths(store, [objects])
    contents = (file.read_bytes() for file in sorted(objects.rglob("*.dcm")))
    return next(
        data
        for data in contents
        if (reading := read_bytes(data)).identity.accession_number and reading.exam.source == "dose-report"
    )


def test_context_fills_outlasts_a_rebuild_and_is_undone(store: Store, one: bytes) -> None:
    reading = read_bytes(one)
    before = list(store.exams())
    statement = Statement(
        values=ContextValues(indication="suspected pneumonia"),
        accession_number=reading.identity.accession_number,
    )
    changes = add_context(store, [statement], "hl7", "today").changes
    assert {change.study_instance_uid for change in changes} == {reading.exam.study_instance_uid}
    filled = [exam for exam in store.exams() if exam.indication == "suspected pneumonia"]
    assert [exam.study_instance_uid for exam in filled] == [change.study_instance_uid for change in changes]
    assert all(exam.notes[-1].code == "indication-from-ris" for exam in filled)
    store.rebuild()
    assert [exam for exam in store.exams() if exam.indication] == filled
    undo_context(store, "today")
    assert list(store.exams()) == before


def test_the_store_tells_what_it_holds_of_a_study(store: Store, one: bytes) -> None:
    exam = read_bytes(one).exam
    study = str(exam.study_instance_uid)
    found = held(store, [study, "1.2.3"])
    assert list(found) == [study]
    assert exam.sop_instance_uid in found[study].instances
    assert found[study].has_report
