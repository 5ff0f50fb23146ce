"""The whole way from bytes to an exam: what the simulator encodes is what is read; paths; what must not be hidden."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import msgspec
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID

from doseatlas.dicom import Limits, read_bytes, read_paths
from doseatlas.dicom.simulate import SimulatedExam, World, draw_exam, encode_exam, plan
from doseatlas.dicom.simulate.events import meaning
from doseatlas.model import Event, Exam, Totals

# Coded answers that we keep as our own words; the simulator keeps those of the maker's language.
OURS = {
    "plane": {"single-plane": "single", "plane-a": "A", "plane-b": "B"},
    "fluoro_mode": {"pulsed": "pulsed"},
    "laterality": {"left": "L", "right": "R"},
    "view": {"cranio-caudal": "CC", "medio-lateral-oblique": "MLO"},
}
WORDS = ("acquisition_type", "acquisition_code")  # compared by code
NOT_ENCODED = ("modality", "path", "notes", "patient", "replaces")  # compared apart, or not stated by the simulator


@cache
def world(seed: int) -> World:
    return plan("world", exams=100_000, seed=seed, start=dt.date(2025, 1, 1), end=dt.date(2025, 12, 31))


def expected_event(event: Event, simulated: SimulatedExam) -> Event:
    """A simulated event in our words."""
    dialect = simulated.device.dialect
    ours: dict[str, object] = {}
    for field, words in OURS.items():
        stated = getattr(event, field)
        if stated is not None and simulated.exam.source != "image":
            ours[field] = next(word for key, word in words.items() if meaning(key, dialect) == stated)
    return msgspec.structs.replace(event, **ours)


def assert_equal_events(found: Event, expected: Event) -> None:
    for field in Event.__struct_fields__:
        ours, theirs = getattr(found, field), getattr(expected, field)
        if field in WORDS:
            continue
        # What a simulated event has no field for, an object may still state (a comment, contrast, a reference point).
        if field == "comment" and theirs is None:
            continue
        if isinstance(theirs, float):
            assert ours == pytest.approx(theirs, rel=1e-9), field
        else:
            assert ours == theirs, field
    assert (found.acquisition_code is None) == (expected.acquisition_code is None)
    if found.acquisition_code and expected.acquisition_code:
        assert found.acquisition_code.value == expected.acquisition_code.value


def assert_equal_totals(found: Totals, expected: Totals) -> None:
    for field in Totals.__struct_fields__:
        ours, theirs = getattr(found, field), getattr(expected, field)
        if theirs is not None:
            assert ours == (pytest.approx(theirs, rel=1e-6) if isinstance(theirs, float) else theirs), field


def assert_reads_as(data: bytes, report: Exam, simulated: SimulatedExam) -> None:
    reading = read_bytes(data, path="here.dcm")
    exam = reading.exam
    assert exam.path == "here.dcm"
    assert exam.error is None
    for field in ("kind", "source", "study_instance_uid", "sop_instance_uid", "series_instance_uid", "sop_class_uid"):
        assert getattr(exam, field) == getattr(report, field), field
    for field in ("study_date", "study_time", "content_at", "replaces", "procedure", "body_part", "device"):
        assert getattr(exam, field) == getattr(report, field), field
    assert len(exam.events) == len(report.events)
    for found, truth in zip(exam.events, report.events, strict=True):
        assert_equal_events(found, expected_event(truth, simulated))
    assert_equal_totals(exam.totals, report.totals)
    assert reading.identity == simulated.identity
    patient, truth_patient = exam.patient, report.patient
    assert (patient.sex, patient.height_cm) == (truth_patient.sex, truth_patient.height_cm)
    assert patient.weight_kg == (truth_patient.weight_kg or None)
    if truth_patient.age_years is None:
        assert patient.age_years is None
    else:
        assert patient.age_years == pytest.approx(truth_patient.age_years, abs=0.11)
    assert not {note.code for note in exam.notes} - {"total-from-events", "patient-value-not-stated"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20), st.integers(0, 99_999))
def test_what_the_simulator_encodes_is_what_is_read(seed: int, index: int) -> None:
    simulated = draw_exam(world(seed), index)
    for data, report in zip(encode_exam(simulated), simulated.reports, strict=False):
        assert_reads_as(data, report, simulated)


def simulated_reports() -> Iterator[bytes]:
    for index in range(12):
        yield from encode_exam(draw_exam(world(3), index))


def test_pydicom_writing_an_object_anew_in_any_transfer_syntax_changes_nothing() -> None:
    for data in simulated_reports():
        plain = read_bytes(data)
        dataset = pydicom.dcmread(io.BytesIO(data))
        for syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"):
            if syntax == "1.2.840.10008.1.2.2" and "PixelData" in dataset:
                continue
            dataset = pydicom.dcmread(io.BytesIO(data))
            dataset.file_meta.TransferSyntaxUID = UID(syntax)
            stream = io.BytesIO()
            pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
            assert read_bytes(stream.getvalue()) == plain


def test_an_object_as_json_reads_the_same() -> None:
    for data in simulated_reports():
        dumped = pydicom.dcmread(io.BytesIO(data)).to_json().encode()
        assert read_bytes(dumped) == read_bytes(data)


def test_the_json_of_an_exam_states_no_null_and_reads_back_equal() -> None:
    for data in simulated_reports():
        exam = read_bytes(data).exam
        encoded = msgspec.json.encode(exam)
        assert b"null" not in encoded
        assert msgspec.json.decode(encoded, type=Exam) == exam
        assert json.loads(encoded)["kind"] == exam.kind


def test_paths_are_read_one_by_one_and_what_cannot_be_is_refused(tmp_path: Path) -> None:
    first, second = list(simulated_reports())[:2]
    (tmp_path / "b.dcm").write_bytes(first)
    (tmp_path / "a.dcm").write_bytes(b"no object")
    with ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("x.dcm", second)
    readings = read_paths([tmp_path, tmp_path / "missing"])
    found = [(reading.exam.path, reading.exam.error and reading.exam.error.code) for reading in readings]
    assert found == [
        (str(tmp_path / "a.dcm"), "not-dicom"),
        (str(tmp_path / "b.dcm"), None),
        (str(tmp_path / "c.zip/x.dcm"), None),
        (str(tmp_path / "missing"), "not-found"),
    ]


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    def paths() -> Iterator[Path]:
        yield tmp_path / "missing"
        raise AssertionError("asked for too early")

    assert next(read_paths(paths())).exam.kind == "refused"


def test_limits_are_kept(tmp_path: Path) -> None:
    data = next(simulated_reports())
    refused = [
        read_bytes(data, limits=Limits(header_bytes=1000)),
        read_bytes(data, limits=Limits(elements=50)),
        read_bytes(data, limits=Limits(depth=2)),
    ]
    assert [reading.exam.error and reading.exam.error.code for reading in refused] == [
        "too-large",
        "too-many-items",
        "too-deep",
    ]
    (tmp_path / "a.dcm").write_bytes(data)
    assert next(read_paths([tmp_path], limits=Limits(elements=50))).exam.kind == "refused"


def test_a_surprise_is_a_refusal_but_lack_of_memory_and_an_interrupt_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    data = next(simulated_reports())

    def surprise(error: BaseException) -> None:
        def read_report(*_: object) -> None:
            raise error

        monkeypatch.setattr("doseatlas.dicom.read.read_report", read_report)
        monkeypatch.setattr("doseatlas.dicom.read.read_image", read_report)

    surprise(ZeroDivisionError("x"))
    exam = read_bytes(data).exam
    assert exam.error
    assert exam.error.code == "damaged"
    assert "ZeroDivisionError" in exam.error.message
    surprise(RecursionError())
    assert read_bytes(data).exam.error
    for error in (MemoryError(), KeyboardInterrupt()):
        surprise(error)
        with pytest.raises(type(error)):
            read_bytes(data)


def test_naming_the_room_loads_no_dicom_library() -> None:
    code = "import sys, doseatlas.dicom; from doseatlas.dicom import read_paths; print('pydicom' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_function_is_offered_whatever_was_imported_before() -> None:
    import doseatlas.dicom.deidentification  # noqa: F401
    from doseatlas.dicom import deidentify

    assert callable(deidentify)
