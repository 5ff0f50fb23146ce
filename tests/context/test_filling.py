"""What the RIS states fills gaps, bears a note, outlasts everything and can be undone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from sqlalchemy import select

from doseatlas.analysis.mart import mart_table
from doseatlas.model import Exam, StoreError
from doseatlas.settings import Settings
from doseatlas.store import (
    ContextValues,
    Statement,
    Store,
    add_context,
    context_batches,
    import_paths,
    preview_context,
    undo_context,
)
from doseatlas.store.alerts import AlertTables
from doseatlas.store.schema import alerts_due, exams


def by_date(store: Store) -> dict[str, Exam]:
    return {str(exam.study_date): exam for exam in store.exams()}


def codes(exam: Exam) -> set[str]:
    return {note.code for note in exam.notes if note.code.endswith("-from-ris")}


def weight(kg: float, **names: object) -> Statement:
    return Statement(values=ContextValues(weight_kg=kg), **names)  # type: ignore[arg-type]


def test_a_weight_fills_the_exam_of_its_accession_number_with_a_note(store: Store) -> None:
    summary = add_context(store, [weight(81.5, accession_number="A0")], "hl7", "hl7-today")
    assert (summary.new, summary.without_exam, len(summary.changes)) == (1, 0, 1)
    exams = by_date(store)
    assert exams["2024-03-05"].patient.weight_kg == 81.5
    assert codes(exams["2024-03-05"]) == {"weight-from-ris"}
    (note,) = [note for note in exams["2024-03-05"].notes if note.code == "weight-from-ris"]
    assert "81.5 kg comes from a message of the RIS (batch hl7-today" in note.message
    assert "accession number" in note.message
    assert exams["2024-03-06"].patient.weight_kg is None


def test_an_exam_that_the_ris_fills_is_looked_at_again_for_alerts(store: Store) -> None:
    tables = AlertTables(store.database)
    tables.forget_due()
    add_context(store, [weight(81.5, accession_number="A0"), weight(90, accession_number="A2")], "hl7", "b")
    with store.database.reading() as connection:
        due = set(connection.execute(select(alerts_due.c.exam_id)).scalars())
        (filled,) = connection.execute(select(exams.c.exam_id).where(exams.c.study_date == "2024-03-05")).scalars()
    assert due == {filled}


def test_what_the_object_states_is_never_overwritten(store: Store) -> None:
    summary = add_context(store, [weight(90, accession_number="A2")], "csv", "b")
    assert summary.changes == ()
    exam = by_date(store)["2024-03-07"]
    assert exam.patient.weight_kg == 70
    assert codes(exam) == set()


def test_procedure_and_indication_fill_and_the_procedure_is_mapped(store: Store) -> None:
    study = by_date(store)["2024-03-05"].study_instance_uid
    values = ContextValues(procedure="CT Thorax", indication="cough", height_cm=170)
    add_context(store, [Statement(values=values, study_instance_uid=study)], "csv", "b")
    exam = by_date(store)["2024-03-05"]
    assert (exam.procedure, exam.indication, exam.patient.height_cm) == ("CT Thorax", "cough", 170)
    assert codes(exam) == {"procedure-from-ris", "indication-from-ris", "height-from-ris"}
    assert any("study UID" in note.message for note in exam.notes if note.code == "height-from-ris")


def test_exams_can_be_selected_by_the_indication_in_the_mart(store: Store, settings: Settings) -> None:
    values = ContextValues(indication="Suspected pneumonia")
    add_context(store, [Statement(values=values, accession_number="A1")], "hl7", "b")

    def indications() -> list[str | None]:
        store.refresh_mart()
        exams = mart_table(settings.data_path / "mart")
        found = exams.filter(exams.indication.lower().contains("pneumonia"))
        return list(found.indication.to_pyarrow().to_pylist())

    assert indications() == ["Suspected pneumonia"]
    undo_context(store, "b")
    assert indications() == []


def test_a_statement_waits_for_its_exam(empty: Store, reports: list[Path]) -> None:
    summary = add_context(empty, [weight(60, accession_number="A1")], "hl7", "b")
    assert (summary.without_exam, summary.changes) == (1, ())
    import_paths(empty, reports)
    assert by_date(empty)["2024-03-06"].patient.weight_kg == 60
    assert codes(by_date(empty)["2024-03-05"]) == set()


def test_context_outlasts_a_rebuild(store: Store) -> None:
    add_context(store, [weight(60, accession_number="A1")], "hl7", "b")
    before = list(store.exams())
    store.rebuild()
    assert list(store.exams()) == before


def test_a_value_of_the_patient_holds_around_its_day_only(store: Store) -> None:
    def of_patient(number: int, day: int, kg: float) -> Statement:
        return weight(kg, patient_id=f"P{number}", issuer="HOSP", observed_on=dt.date(2024, 3, day), days=3)

    add_context(store, [of_patient(0, 3, 55), of_patient(0, 6, 56), of_patient(1, 20, 99)], "hl7", "b")
    exams = by_date(store)
    assert exams["2024-03-05"].patient.weight_kg == 56  # the nearer day
    assert "patient and date" in exams["2024-03-05"].notes[-1].message
    assert exams["2024-03-06"].patient.weight_kg is None


def test_a_value_of_the_exam_goes_before_one_of_the_patient(store: Store) -> None:
    day = dt.date(2024, 3, 5)
    add_context(store, [weight(50, accession_number="A0")], "hl7", "b")
    add_context(store, [weight(51, patient_id="P0", observed_on=day, days=1)], "hl7", "b")
    assert by_date(store)["2024-03-05"].patient.weight_kg == 50


def test_of_two_values_of_one_exam_the_newest_holds_and_undo_brings_the_other_back(store: Store) -> None:
    add_context(store, [weight(60, accession_number="A0")], "csv", "first")
    add_context(store, [weight(61, accession_number="A0")], "csv", "second")
    assert by_date(store)["2024-03-05"].patient.weight_kg == 61
    undone = undo_context(store, "second")
    assert [(one.before, one.after) for one in undone.changes] == [("61", "60")]
    assert by_date(store)["2024-03-05"].patient.weight_kg == 60
    assert [(one.batch, one.undone) for one in context_batches(store)] == [("second", True), ("first", False)]


def test_an_undo_leaves_exactly_what_the_objects_state(store: Store) -> None:
    before = list(store.exams())
    statements = [weight(60, accession_number="A0"), weight(61, patient_id="P1", observed_on=dt.date(2024, 3, 6))]
    assert len(add_context(store, statements, "csv", "b").changes) == 2
    undo_context(store, "b")
    assert list(store.exams()) == before
    with pytest.raises(StoreError, match="no batch 'b' to undo"):
        undo_context(store, "b")


def test_a_preview_tells_the_same_and_changes_nothing(store: Store) -> None:
    statements = [weight(60, accession_number="A0"), weight(61, accession_number="unknown")]
    before = list(store.exams())
    preview = preview_context(store, statements, "csv", "b")
    assert list(store.exams()) == before
    assert context_batches(store) == []
    assert add_context(store, statements, "csv", "b") == preview


def test_the_same_statement_again_is_already_there(store: Store) -> None:
    add_context(store, [weight(60, accession_number="A0")], "hl7", "b")
    again = add_context(store, [weight(60, accession_number="A0")], "hl7", "c")
    assert (again.new, again.already_there) == (0, 1)
    add_context(store, [weight(61, accession_number="A0")], "hl7", "d")
    assert add_context(store, [weight(60, accession_number="A0")], "hl7", "e").new == 1
    assert by_date(store)["2024-03-05"].patient.weight_kg == 60


def test_a_statement_about_nothing_takes_none_of_its_batch(store: Store) -> None:
    with pytest.raises(StoreError, match="names neither"):
        add_context(store, [weight(60, accession_number="A0"), weight(61)], "csv", "b")
    assert context_batches(store) == []


def test_the_facility_that_a_sender_is_bound_to_stays(empty: Store, reports: list[Path]) -> None:
    empty.facility = "North Hospital"
    import_paths(empty, reports)
    empty.facility = None
    add_context(empty, [weight(60, accession_number="A0")], "hl7", "b")
    with empty.database.reading() as connection:
        facilities = connection.exec_driver_sql("SELECT DISTINCT facility FROM exams").scalars().all()
    assert facilities == ["North Hospital"]


def test_nothing_that_identifies_the_patient_is_kept_with_pseudonyms(store: Store) -> None:
    values = ContextValues(weight_kg=60, indication="Mrs MUSTERFRAU-Zz (born 19700102, A0-77654) fell")
    names = ("Musterfrau-Zz", "Erika")
    statement = Statement(
        values=values,
        accession_number="A0-77654",
        patient_id="P-998877",
        names=names,
        birth_date=dt.date(1970, 1, 2),
    )
    add_context(store, [statement], "hl7", "b")
    with store.database.reading() as connection:
        kept = str(connection.exec_driver_sql("SELECT * FROM context").all())
        kept += str(connection.exec_driver_sql("SELECT * FROM context_keys").all())
    present = [text for text in ("MUSTERFRAU", "19700102", "77654", "998877") if text in kept]
    assert present == ([] if store.key else ["MUSTERFRAU", "19700102", "77654"])
