from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from doseatlas.dosimetry import DOSIMETRY_COLUMNS, ENTRANCE_COLUMNS, SKIN_DOSE_COLUMNS
from doseatlas.model import Classification, Code, Device, Event, Exam, Note, Patient, Totals
from doseatlas.standardise import device_name, summarise
from doseatlas.store.mart_schema import EXAM_COLUMNS

LOCALISER = Code(value="113805", scheme="DCM")
SPIRAL = Code(value="116152004", scheme="SCT")


def spiral(ctdi: float, dlp: float, **more: object) -> Event:
    base = Event(
        acquisition_code=SPIRAL, ctdi_vol_mgy=ctdi, dlp_mgy_cm=dlp, phantom_cm=32, scan_length_mm=dlp / ctdi * 10
    )
    return msgspec.structs.replace(base, **more)


CT = Exam(
    kind="ct",
    study_date="2024-05-31",
    device=Device(manufacturer="ACME", model="One", serial_number="7", station_name="CT1"),
    patient=Patient(age_years=54.0, sex="F", weight_kg=70.0),
    procedure="CT thorax",
    totals=Totals(dlp_mgy_cm=430.0),
    events=(
        Event(acquisition_code=LOCALISER, ctdi_vol_mgy=0.1, dlp_mgy_cm=5.0, phantom_cm=16, scan_length_mm=500.0),
        spiral(10.0, 300.0, protocol="Thorax", kvp=120.0),
        spiral(20.0, 100.0, protocol="Late", kvp=100.0),
    ),
    notes=(Note(code="merged", message="."),),
)
ADULT = Classification(procedure="ct-chest", mapped_by="rule", group="adult")


def ct(*events: Event, age: float | None = 54.0) -> dict[str, object]:
    patient = Patient(age_years=age)
    return summarise(msgspec.structs.replace(CT, events=events, patient=patient), ADULT)


@pytest.mark.parametrize("kind", ["ct", "projection", "mammography", "nuclear"])
def test_a_row_has_the_marts_columns(kind: str) -> None:
    from_dosimetry = {column.name for column in (*DOSIMETRY_COLUMNS, *ENTRANCE_COLUMNS, *SKIN_DOSE_COLUMNS)}
    columns = {column.name for column in EXAM_COLUMNS} - {"exam_id", "study_id", "facility", "month"} - from_dosimetry
    assert summarise(msgspec.convert({"kind": kind}, Exam), Classification()).keys() == columns


def test_a_ct_exam_becomes_a_row() -> None:
    row = summarise(CT, ADULT)
    assert {name: value for name, value in row.items() if value is not None} == {
        "study_date": dt.date(2024, 5, 31),
        "kind": "ct",
        "modality": "CT",
        "device": "ACME One CT1",
        "manufacturer": "ACME",
        "model": "One",
        "procedure": "ct-chest",
        "procedure_text": "CT thorax",
        "protocol": "Thorax",
        "mapped_by": "rule",
        "patient_group": "adult",
        "age_years": 54.0,
        "sex": "F",
        "weight_kg": 70.0,
        "plausible": True,
        "flags": ["merged"],
        "event_count": 3,
        "phase_count": 2,
        "kvp": 120.0,
        "dlp_mgy_cm": 430.0,
        "ctdi_vol_mgy": 12.5,
        "phantom_cm": 32,
        "scan_length_mm": 300.0,
        "adult_protocol_on_child": False,
    }


def test_scans_on_different_phantoms_have_no_mean_ctdivol() -> None:
    for other in (16, None):
        row = ct(spiral(10.0, 300.0), spiral(40.0, 300.0, phantom_cm=other))
        assert row["ctdi_vol_mgy"] is None
        assert row["phantom_cm"] is None
        assert row["phase_count"] == 2


def test_scans_whose_phantom_is_not_stated_keep_their_ctdivol() -> None:
    row = ct(spiral(10.0, 300.0, phantom_cm=None))
    assert row["ctdi_vol_mgy"] == 10.0
    assert row["phantom_cm"] is None


def test_the_dose_of_localisers_alone_is_no_mean_ctdivol() -> None:
    row = ct(CT.events[0])
    assert (row["ctdi_vol_mgy"], row["phase_count"], row["event_count"]) == (None, 0, 1)


@pytest.mark.parametrize(
    ("age", "protocol", "expected"),
    [
        (5.0, "Thorax (Adulte)", True),
        (5.0, "Thorax (Enfant)", False),
        (5.0, None, False),
        (40.0, "Thorax (Adulte)", False),
        (None, "Thorax (Adulte)", None),
    ],
)
def test_an_adult_protocol_on_a_child_is_told(age: float | None, protocol: str | None, expected: bool | None) -> None:
    assert ct(spiral(10.0, 300.0, protocol=protocol), age=age)["adult_protocol_on_child"] is expected


def test_flagged_patient_values_are_left_out_and_a_flagged_dose_stays() -> None:
    flags = (Note(code="implausible-weight", message="."), Note(code="implausible-dose", message="."))
    row = summarise(CT, Classification(flags=flags))
    assert row["weight_kg"] is None
    assert row["age_years"] == 54.0
    assert row["dlp_mgy_cm"] == 430.0
    assert row["plausible"] is False
    assert row["flags"] == ["implausible-weight", "implausible-dose", "merged"]


def test_a_projection_exam_states_entrance_kerma_frames_and_its_largest_events_protocol() -> None:
    exam = Exam(
        kind="projection",
        modality="DX",
        totals=Totals(kap_gy_cm2=0.5, fluoro_time_s=12.0),
        events=(Event(kap_gy_cm2=0.1, entrance_exposure_mgy=0.2), Event(kap_gy_cm2=0.4, protocol="LAT", kvp=110.0)),
    )
    row = summarise(exam, Classification())
    found = [row[name] for name in ("modality", "entrance_air_kerma_mgy", "frames", "protocol", "kvp", "fluoro_time_s")]
    assert found == ["DX", 0.2, 2, "LAT", 110.0, 12.0]


def test_frames_are_stated_or_the_sum_of_all_acquisitions_or_unknown() -> None:
    fluoro = Event(fluoro_mode="pulsed", frames=500)
    exam = Exam(kind="projection", events=(fluoro, Event(frames=10), Event(frames=5)))
    assert summarise(exam, Classification())["frames"] == 15
    partly = msgspec.structs.replace(exam, events=(*exam.events, Event()))
    assert summarise(partly, Classification())["frames"] is None
    stated = msgspec.structs.replace(exam, totals=Totals(radiographic_frames=40))
    assert summarise(stated, Classification())["frames"] == 40


def test_a_mammogram_has_the_mean_agd_of_the_exposures_that_state_it() -> None:
    events = (
        Event(agd_mgy=1.0, compressed_thickness_mm=50.0),
        Event(agd_mgy=2.0, compressed_thickness_mm=60.0),
        Event(),
    )
    row = summarise(Exam(kind="mammography", totals=Totals(agd_left_mgy=3.0), events=events), Classification())
    assert (row["agd_mgy"], row["compressed_thickness_mm"], row["agd_left_mgy"]) == (1.5, 55.0, 3.0)
    assert row["agd_right_mgy"] is None


def test_a_nuclear_exam_names_its_agent_even_where_only_the_event_does() -> None:
    exam = Exam(
        kind="nuclear",
        modality="PT",
        totals=Totals(administered_activity_mbq=300.0),
        events=(Event(administered_activity_mbq=300.0, radiopharmaceutical="FDG"),),
    )
    row = summarise(exam, Classification())
    assert (row["administered_activity_mbq"], row["radiopharmaceutical"], row["modality"]) == (300.0, "FDG", "PT")


def test_a_date_that_is_none_is_left_out() -> None:
    assert summarise(msgspec.structs.replace(CT, study_date="2024-13-45"), ADULT)["study_date"] is None


def test_a_device_is_named_by_maker_model_and_station_or_serial_number() -> None:
    assert device_name(Device(manufacturer="ACME", model="One", serial_number="7")) == "ACME One 7"
    assert device_name(Device()) is None
