"""The columns of simulated and real exams: effective dose, SSDE and corrected values, or the reason for none."""

from __future__ import annotations

import datetime as dt
import math
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.dicom import read_paths
from doseatlas.dicom.simulate import SimulatedExam, exams, plan, to_exam
from doseatlas.dosimetry import (
    DOSIMETRY_COLUMNS,
    Certificate,
    ImageSizes,
    QualityFactor,
    certificate_book,
    exam_dosimetry,
)
from doseatlas.dosimetry.image_sizes import Place
from doseatlas.dosimetry.tables import TABLES
from doseatlas.model import Code, Event, Exam, Kind, Patient, Totals
from doseatlas.reference.procedures import read_rows

NAMES = [column.name for column in DOSIMETRY_COLUMNS]
SPIRAL = Event(
    ctdi_vol_mgy=10.0, dlp_mgy_cm=400.0, phantom_cm=32, target_region_code=Code(value="T-D3000", scheme="SRT")
)
LOCALISER = Event(ctdi_vol_mgy=0.1, dlp_mgy_cm=5.0, phantom_cm=32)
CHEST = Exam(
    kind="ct",
    study_date="2024-06-01",
    patient=Patient(age_years=54.0, height_cm=170.0, weight_kg=70.0),
    totals=Totals(dlp_mgy_cm=405.0),
    events=(LOCALISER, SPIRAL),
)


def row(exam: Exam = CHEST, procedure: str | None = "ct-chest", **more: object) -> dict[str, object]:
    scans = [event for event in exam.events if (event.ctdi_vol_mgy or 0) > 1]
    return exam_dosimetry(exam, procedure=procedure, scans=scans, **more)  # type: ignore[arg-type]


def flags(found: dict[str, object]) -> list[str]:
    value = found["dosimetry_flags"]
    assert isinstance(value, list)
    return value


def test_a_chest_scan_gets_all_that_follows_from_it() -> None:
    found = row()
    assert list(found) == NAMES
    assert found["effective_dose_msv"] == pytest.approx(405 * 0.014)
    assert found["effective_dose_set"] == "aapm-96"
    assert found["dlp_corrected_mgy_cm"] == 405.0
    assert found["dlp_relative_uncertainty"] == pytest.approx(0.2 / math.sqrt(3))
    assert found["calibration"] == "display tolerance"
    diameter = 10 * (0.76 * 70 / 1.7**2 + 9.4)
    assert found["patient_diameter_mm"] == pytest.approx(diameter)
    assert found["ssde_derived_mgy"] == pytest.approx(10 * 3.704369 * math.exp(-0.003671937 * diameter))
    assert found["ssde_method"] == "diameter from body mass index"
    assert flags(found) == ["size-from-height-and-weight"]


def test_a_stated_ssde_is_not_derived_again_and_a_stated_diameter_or_an_image_comes_before_height_and_weight() -> None:
    stated = msgspec.structs.replace(CHEST, events=(msgspec.structs.replace(SPIRAL, ssde_mgy=13.0),))
    assert (row(stated)["ssde_method"], row(stated)["ssde_derived_mgy"]) == ("stated", None)
    with_size = msgspec.structs.replace(
        CHEST, events=(LOCALISER, msgspec.structs.replace(SPIRAL, water_equivalent_diameter_mm=300.0))
    )
    assert row(with_size)["ssde_derived_mgy"] == pytest.approx(12.311, abs=1e-3)
    places = tuple(Place(series="1", cell=n, missed_by_mm=0.0, diameter_mm=300.0) for n in range(3))
    found = row(image_sizes=ImageSizes(places=places))
    assert found["ssde_derived_mgy"] == pytest.approx(12.311, abs=1e-3)
    assert found["patient_diameter_central_mm"] == 300.0
    assert flags(found) == []


def test_a_certificate_corrects_dlp_ssde_and_effective_dose() -> None:
    book = certificate_book(
        [
            Certificate(
                id="C-7",
                device="ct 1",
                instrument="ct-display",
                quantity="dlp_mgy_cm",
                laboratory="Physics",
                issued_on=dt.date(2024, 1, 1),
                valid_from=dt.date(2024, 1, 1),
                valid_until=dt.date(2025, 1, 1),
                factors=(QualityFactor(quality="RQT 9", factor=1.1, expanded_relative_uncertainty=0.05),),
            )
        ],
        dt.date(2024, 12, 1),
    )
    plain, found = row(), row(device="ct 1", certificates=book)
    for name in ("dlp_corrected_mgy_cm", "ssde_derived_mgy", "effective_dose_msv"):
        assert found[name] == pytest.approx(1.1 * plain[name])  # type: ignore[operator]
    assert found["calibration"] == "C-7"
    assert found["dlp_relative_uncertainty"] == pytest.approx(math.hypot(0.025, 0.05))
    assert "quality-not-stated" in flags(found)
    assert "traceability-not-stated" in flags(found)
    later = msgspec.structs.replace(CHEST, study_date="2025-06-01")
    assert row(later, device="ct 1", certificates=book)["calibration"] == "display tolerance"


def test_events_on_two_phantoms_each_count_by_their_own() -> None:
    head = Event(
        ctdi_vol_mgy=50.0, dlp_mgy_cm=800.0, phantom_cm=16, target_region_code=Code(value="69536005", scheme="SCT")
    )
    both = msgspec.structs.replace(CHEST, events=(LOCALISER, head, SPIRAL), totals=Totals(dlp_mgy_cm=1205.0))
    found = row(both, None)
    assert found["effective_dose_msv"] is None, "the localiser's region is not known"
    found = row(msgspec.structs.replace(both, events=(head, SPIRAL), totals=Totals(dlp_mgy_cm=1200.0)), None)
    assert found["effective_dose_msv"] == pytest.approx(800 * 0.0021 + 400 * 0.014)


def test_events_that_don_t_add_up_to_the_total_leave_the_phantom_open_where_they_mix() -> None:
    short = msgspec.structs.replace(CHEST, totals=Totals(dlp_mgy_cm=900.0))
    assert row(short)["effective_dose_msv"] == pytest.approx(900 * 0.014)
    mixed = msgspec.structs.replace(short, events=(SPIRAL, msgspec.structs.replace(SPIRAL, phantom_cm=16)))
    assert "phantom-assumed" in flags(row(mixed))


def test_a_child_s_body_scan_without_a_phantom_gets_no_dose_and_the_reasons() -> None:
    child = msgspec.structs.replace(
        CHEST,
        patient=Patient(age_years=5.0, height_cm=110.0, weight_kg=19.0),
        events=(msgspec.structs.replace(SPIRAL, phantom_cm=None),),
        totals=Totals(dlp_mgy_cm=400.0),
    )
    found = row(child)
    assert found["effective_dose_msv"] is None
    assert found["ssde_derived_mgy"] is None
    assert {"no-effective-dose:phantom-not-stated", "no-ssde:phantom-not-stated"} <= set(flags(found))


def test_what_is_not_stated_has_no_columns() -> None:
    found = row(Exam(kind="ct"))
    assert all(found[name] is None for name in NAMES if name != "dosimetry_flags")
    assert row(Exam(kind="projection", study_date="never"), None)["kap_corrected_gy_cm2"] is None


def test_a_kap_in_the_wrong_unit_is_flagged_in_the_row() -> None:
    exam = Exam(
        kind="projection",
        patient=Patient(age_years=60.0),
        totals=Totals(kap_gy_cm2=3500.0, reference_air_kerma_mgy=350.0),
    )
    found = row(exam, "xa-coronary-angiography")
    assert "kap-unit-suspect" in flags(found)
    assert found["reference_air_kerma_relative_uncertainty"] == pytest.approx(0.35 / math.sqrt(3))


SANE = st.sampled_from([10.0, 50.0, 160.0, 300.0])
WILD = st.one_of(SANE, SANE, SANE, st.none(), st.floats(), st.sampled_from([0.0, -1.0, 1e-300, 1e300, math.nan]))


@given(
    kind=st.sampled_from(["ct", "projection", "mammography", "nuclear"]),
    numbers=st.lists(WILD, min_size=14, max_size=14),
    procedure=st.sampled_from([None, "ct-chest", "ct-head", "ct-neck-chest", "xa-pci", "nm-pet-fdg"]),
)
@settings(max_examples=300, deadline=None)
def test_absurd_numbers_never_make_a_traceback_or_a_value_that_is_no_number(
    kind: Kind, numbers: list[float | None], procedure: str | None
) -> None:
    n = iter(numbers)
    event = Event(
        ctdi_vol_mgy=next(n),
        dlp_mgy_cm=next(n),
        phantom_cm=32,
        water_equivalent_diameter_mm=next(n),
        agd_mgy=next(n),
        entrance_exposure_mgy=next(n),
        compressed_thickness_mm=next(n),
        kvp=next(n),
        laterality="L",
    )
    totals = Totals(
        dlp_mgy_cm=numbers[1],
        kap_gy_cm2=next(n),
        reference_air_kerma_mgy=next(n),
        administered_activity_mbq=next(n),
        agd_left_mgy=next(n),
        radiopharmaceutical="Fluorodeoxyglucose F^18^",
    )
    patient = Patient(age_years=next(n), height_cm=next(n), weight_kg=next(n))
    exam = Exam(kind=kind, patient=patient, totals=totals, events=(event, event))
    found = exam_dosimetry(exam, procedure=procedure, scans=exam.events)
    for name, value in found.items():
        if isinstance(value, float):
            assert math.isfinite(value), name
            assert value >= 0, name


@cache
def simulated() -> tuple[SimulatedExam, ...]:
    day = dt.date(2024, 1, 1)
    return tuple(exams(plan("country", exams=400, seed=4, start=day, end=dt.date(2024, 12, 31), faults=True)))


def test_simulated_exams_of_all_kinds_get_plausible_doses_or_a_reason() -> None:
    with_dose: dict[str, int] = {}
    for one in simulated():
        exam = to_exam(one)
        found = row(exam, one.procedure)
        assert list(found) == NAMES
        value = found["effective_dose_msv"]
        if value is not None:
            assert isinstance(value, float)
            uncertainty = found["effective_dose_uncertainty_msv"]
            assert isinstance(uncertainty, float)
            assert 0.15 * value <= uncertainty <= 0.6 * value
            with_dose[exam.kind] = with_dose.get(exam.kind, 0) + 1
            if "implausible-dose" not in one.faults:
                assert value < 200
        elif exam.kind != "mammography" and any(value is not None for value in msgspec.structs.astuple(exam.totals)):
            assert any(code.startswith("no-effective-dose:") for code in flags(found)), exam
    assert set(with_dose) == {"ct", "projection", "nuclear"}


def test_every_exam_of_the_public_corpus_gets_columns_whose_codes_are_explained(corpus: Path) -> None:
    known = {line["code"] for _, line in read_rows(TABLES / "flags.csv", ("code", "meaning"))}
    counted = 0
    for reading in read_paths([corpus / "rdsr", corpus / "images"]):
        exam = reading.exam
        if exam.kind in ("ct", "projection", "mammography", "nuclear"):
            found = row(exam, {"ct": "ct-chest", "projection": "dx-chest"}.get(exam.kind))
            assert {code.split(":")[-1] for code in flags(found)} <= known
            counted += 1
    assert counted > 20


def test_a_certificate_of_ctdi_vol_corrects_the_dlp_too() -> None:
    certificate = Certificate(
        id="C-1",
        device="CT 1",
        instrument="ct-chamber",
        quantity="ctdi_vol_mgy",
        laboratory="L",
        issued_on=dt.date(2024, 1, 1),
        valid_from=dt.date(2024, 1, 1),
        valid_until=dt.date(2025, 1, 1),
        factors=(QualityFactor(quality="any", factor=1.2, expanded_relative_uncertainty=0.06),),
    )
    book = certificate_book([certificate], dt.date(2025, 1, 1))
    exam = Exam(kind="ct", study_date="2024-05-01", totals=Totals(dlp_mgy_cm=100.0))
    row = exam_dosimetry(exam, procedure=None, scans=(), device="CT 1", certificates=book)
    assert row["dlp_corrected_mgy_cm"] == pytest.approx(120.0)
    assert row["calibration"] == "C-1"


def test_a_scan_that_irradiates_much_more_than_its_images_show_is_flagged() -> None:
    scan = msgspec.structs.replace(SPIRAL, event_uid="1.9", pitch=1.0, total_collimation_mm=40.0)
    places = tuple(Place(series="1", cell=n, missed_by_mm=0.0, diameter_mm=300.0, event_uid="1.9") for n in (0, 30, 60))
    for exposed, expected in ((395.0, []), (420.0, ["overscan"]), (None, [])):
        longer = msgspec.structs.replace(scan, exposed_range_mm=exposed)
        exam = msgspec.structs.replace(CHEST, events=(LOCALISER, longer))
        assert flags(row(exam, image_sizes=ImageSizes(places=places))) == expected
    assert flags(row(exam)) == ["size-from-height-and-weight"]
