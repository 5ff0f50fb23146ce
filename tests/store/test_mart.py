"""The mart: what the exams say, as documented, rewritten only where something changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest

from doseatlas.analysis import mart_table
from doseatlas.dosimetry import CertificateBook
from doseatlas.model import Exam, StoreError
from doseatlas.settings import Settings
from doseatlas.standardise import classify, summarise
from doseatlas.store import Store, import_paths, mart
from doseatlas.store.derive import derive, exam_id
from doseatlas.store.dose_rules import DoseRules, dose_columns
from doseatlas.store.files import write_whole
from doseatlas.store.mart import SCHEMA, arrow_table, month_file
from doseatlas.store.record import mark_months

RULES = DoseRules(CertificateBook(), 0.5)


@pytest.fixture
def filled(store: Store, objects: Path) -> Store:
    """A store with the simulated objects and its mart."""
    import_paths(store, [objects])
    store.refresh_mart()
    return store


def _files(store: Store) -> dict[Path, int]:
    return {file: file.stat().st_ino for file in store.mart_dir.rglob("*.parquet")}


def test_each_exam_is_one_row_that_holds_what_it_states(filled: Store) -> None:
    rows = {row["exam_id"]: row for row in mart_table(filled.mart_dir).to_pyarrow().to_pylist()}
    exams = list(filled.exams())
    assert len(rows) == len(exams) == filled.counts().exams
    for exam in exams:
        row = rows[exam_id(exam)]
        classification = classify(exam, {})
        stated = summarise(exam, classification)
        derived = dose_columns(exam, classification, RULES, stated)
        for name, value in (stated | derived).items():
            assert row[name] == value, name
        assert row["facility"] == (exam.device.institution or "unnamed facility")
        assert row["month"] == (exam.study_date[:7] if exam.study_date else "undated")


def test_every_file_has_the_documented_columns_and_holds_one_month(filled: Store) -> None:
    for file in _files(filled):
        table = pq.read_table(file, partitioning=None)
        assert table.schema.equals(SCHEMA)
        assert set(table["month"].to_pylist()) == {file.stem}
        assert len(set(table["facility"].to_pylist())) == 1


def test_only_the_months_that_changed_are_written(filled: Store, objects: Path, tmp_path: Path) -> None:
    before = _files(filled)
    report = pydicom.dcmread(next(objects.rglob("*/2024-03/*.dcm")))
    report.StudyInstanceUID = report.SOPInstanceUID = "2.25.1"
    report.save_as(tmp_path / "new.dcm")
    import_paths(filled, [tmp_path / "new.dcm"])
    assert filled.refresh_mart() == 1
    after = _files(filled)
    assert [file.stem for file in after if after[file] != before.get(file)] == ["2024-03"]
    assert len(mart_table(filled.mart_dir).to_pyarrow()) == filled.counts().exams


def test_an_exam_that_moves_leaves_its_old_month(store: Store, objects: Path, tmp_path: Path) -> None:
    report = pydicom.dcmread(next(objects.rglob("*/2024-03/*.dcm")))
    report.StudyDate = ""
    for attribute in ("AcquisitionDate", "SeriesDate", "ContentDate", "PerformedProcedureStepStartDate"):
        if attribute in report:
            setattr(report, attribute, "")
    report.StudyDate = "20240401"
    report.save_as(tmp_path / "first.dcm")
    import_paths(store, [tmp_path / "first.dcm"])
    store.refresh_mart()
    assert [file.stem for file in _files(store)] == ["2024-04"]
    predecessor = pydicom.Dataset()
    predecessor.ReferencedSOPClassUID, predecessor.ReferencedSOPInstanceUID = report.SOPClassUID, report.SOPInstanceUID
    series = pydicom.Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = report.SeriesInstanceUID, [predecessor]
    study = pydicom.Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = report.StudyInstanceUID, [series]
    report.PredecessorDocumentsSequence = [study]
    report.SOPInstanceUID, report.StudyDate = "2.25.2", "20240501"
    report.save_as(tmp_path / "second.dcm")
    import_paths(store, [tmp_path / "second.dcm"])
    store.refresh_mart()
    assert [file.stem for file in _files(store)] == ["2024-05"]
    assert store.refresh_mart() == 0


def test_a_file_that_was_lost_or_left_unfinished_is_mended(filled: Store) -> None:
    lost = next(iter(_files(filled)))
    lost.unlink()
    (lost.parent / f"{lost.name}.0123.unfinished").write_bytes(b"half")
    assert filled.refresh_mart() == 1
    assert lost.exists()
    assert not list(filled.mart_dir.rglob("*.unfinished"))


def test_a_crash_before_the_commit_leaves_the_month_to_be_written_again(
    filled: Store, objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_paths(filled, [next(objects.rglob("*.dcm"))])
    with filled.database.writing() as connection:
        mark_months(connection, [(_facility(filled), "2024-03")])
    written = write_whole

    def crash(*given: object) -> None:
        written(*given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(mart, "write_whole", crash)
    with pytest.raises(KeyboardInterrupt):
        filled.refresh_mart()
    monkeypatch.undo()
    assert filled.refresh_mart() == 1


def test_another_stores_mart_in_the_same_folder_does_not_pass_for_ours(filled: Store, settings: Settings) -> None:
    other = msgspec.structs.replace(settings, store=f"sqlite:///{settings.data_path}/other.sqlite")
    with Store.from_settings(other) as store:
        store.refresh_mart()
        assert len(mart_table(store.mart_dir).to_pyarrow()) == 0
    assert filled.refresh_mart() > 0
    assert len(mart_table(filled.mart_dir).to_pyarrow()) == filled.counts().exams


def test_a_mart_that_cannot_be_written_is_said_in_a_sentence(store: Store, objects: Path) -> None:
    import_paths(store, [objects])
    store.mart_dir.write_text("in the way")
    with pytest.raises(StoreError, match="Writing the mart"):
        store.refresh_mart()


@pytest.mark.parametrize(
    "facility", ["../../etc", "a/b\\c", "..", "", "名古屋", "x" * 5000, "NUL\0byte", "CON", "a\nb"]
)
def test_a_facility_of_any_name_has_a_folder_of_its_own_inside_the_mart(facility: str) -> None:
    file = month_file(facility, "2024-01")
    assert len(file.parts) == 2
    assert file.parts[0].isascii()
    assert len(file.parts[0]) < 60
    assert not {"/", "\\", "\0", "\n"} & set(file.parts[0])
    assert file != month_file(facility + " ", "2024-01")


def test_a_row_goes_through_json_without_a_change_of_any_value() -> None:
    exam = Exam(kind="ct", study_instance_uid="1", study_date="2024-02-29")
    row = derive(exam, exam_id(exam), {}, 'Né "1"\\\n', RULES)
    table = arrow_table([row.mart_row] * 2)
    assert table.schema.equals(SCHEMA)
    assert table.num_rows == 2
    assert table["facility"][0].as_py() == 'Né "1"\\'
    assert table["study_date"].type == pa.date32()
    assert table["study_date"][0].as_py().isoformat() == "2024-02-29"
    assert table["dlp_mgy_cm"].null_count == 2


def _facility(store: Store) -> str:
    return str(mart_table(store.mart_dir).to_pyarrow().filter(pa.compute.field("month") == "2024-03")["facility"][0])
