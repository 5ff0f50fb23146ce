"""Every displayed value of an exam has its corrected one beside it, exposure by exposure."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import msgspec
import pytest

from doseatlas.dosimetry import (
    CERTIFIED,
    CORRECTED_COLUMNS,
    Certificate,
    CertificateBook,
    QualityFactor,
    certificate_book,
    exam_dosimetry,
    exam_entrance,
)
from doseatlas.dosimetry.exam_calibration import DISPLAYS, certificate_named, corrected_total
from doseatlas.model import Classification, Code, Event, Exam, Patient, Totals
from doseatlas.standardise import ct_scans, summarise

DAY = "2024-06-01"
CHEST = Code(value="T-D3000", scheme="SRT")
HEAD = Code(value="69536005", scheme="SCT")
SCAN = Event(
    ctdi_vol_mgy=10.0, dlp_mgy_cm=400.0, phantom_cm=32, kvp=120.0, ssde_mgy=13.0, target_region_code=CHEST, protocol="a"
)
EXAMS = {
    "ct": Exam(kind="ct", study_date=DAY, totals=Totals(dlp_mgy_cm=400.0), events=(SCAN,)),
    "projection": Exam(
        kind="projection",
        study_date=DAY,
        totals=Totals(kap_gy_cm2=0.5, reference_air_kerma_mgy=3.0),
        events=(Event(kap_gy_cm2=0.5, reference_air_kerma_mgy=3.0, entrance_exposure_mgy=2.0, kvp=80.0),),
    ),
    "mammography": Exam(
        kind="mammography",
        study_date=DAY,
        totals=Totals(agd_left_mgy=3.0, agd_right_mgy=2.4, kap_gy_cm2=0.1),
        events=(
            Event(agd_mgy=1.4, laterality="L", kvp=28.0, kap_gy_cm2=0.05),
            Event(agd_mgy=1.6, laterality="L", kvp=30.0, kap_gy_cm2=0.05),
            Event(agd_mgy=2.4, laterality="R", kvp=32.0),
        ),
    ),
    "nuclear": Exam(kind="nuclear", study_date=DAY, totals=Totals(administered_activity_mbq=200.0)),
}


def certificate(quantity: str, factor: float = 1.1, **more: Any) -> Certificate:
    base = Certificate(
        id=f"C-{quantity}",
        device="d",
        instrument="qa-meter",
        quantity=quantity,
        laboratory="L",
        issued_on=dt.date(2024, 1, 1),
        valid_from=dt.date(2024, 1, 1),
        valid_until=dt.date(2025, 1, 1),
        factors=(QualityFactor(quality="q", factor=factor, expanded_relative_uncertainty=0.06),),
    )
    return msgspec.structs.replace(base, **more)


def factors(*pairs: tuple[float, float], expanded: float = 0.04) -> tuple[QualityFactor, ...]:
    return tuple(
        QualityFactor(quality=f"{kvp} kV", kvp=kvp, factor=factor, expanded_relative_uncertainty=expanded)
        for kvp, factor in pairs
    )


def row(exam: Exam, *certificates: Certificate, device: str = "d", procedure: str | None = None) -> dict[str, Any]:
    stated = summarise(exam, Classification(procedure=procedure))
    book = certificate_book(certificates, dt.date(2025, 1, 1))
    scans = ct_scans(exam.events) if exam.kind == "ct" else ()
    found = exam_dosimetry(exam, procedure=procedure, scans=scans, device=device, certificates=book, displayed=stated)
    return stated | found


@pytest.mark.parametrize(("kind", "quantity"), [(kind, one.quantity) for kind in DISPLAYS for one in DISPLAYS[kind]])
def test_each_displayed_value_stands_as_stated_without_a_certificate_and_corrected_with_one(
    kind: str, quantity: str
) -> None:
    corrected, uncertainty = CORRECTED_COLUMNS[quantity]
    plain = row(EXAMS[kind])
    assert plain[quantity] is not None
    assert plain[corrected] == plain[quantity]
    assert plain[uncertainty] > 0.05
    assert plain["calibration"] == "display tolerance"
    (display,) = (one for one in DISPLAYS[kind] if one.quantity == quantity)
    for by in display.certified_by:
        found = row(EXAMS[kind], certificate(by, 1.1))
        assert found[quantity] == plain[quantity]
        assert found[corrected] == pytest.approx(1.1 * plain[quantity])
        assert found[uncertainty] < plain[uncertainty]
        assert f"C-{by}" in found["calibration"]
        assert row(EXAMS[kind], certificate(by), device="another")[corrected] == plain[quantity]
    others = [certificate(one) for one in sorted(CERTIFIED - set(display.certified_by))]
    assert row(EXAMS[kind], *others)[corrected] == plain[quantity]


def test_an_exam_without_a_value_has_no_corrected_one() -> None:
    for kind in DISPLAYS:
        found = row(Exam(kind=kind, study_date=DAY))  # type: ignore[arg-type]
        assert all(found[name] is None for pair in CORRECTED_COLUMNS.values() for name in pair)
        assert found["calibration"] is None


def test_ctdi_vol_and_dlp_each_follow_their_own_certificate_and_ssde_that_of_ctdi_vol() -> None:
    found = row(EXAMS["ct"], certificate("dlp_mgy_cm", 1.1), certificate("ctdi_vol_mgy", 0.9))
    assert found["dlp_corrected_mgy_cm"] == pytest.approx(440.0)
    assert found["ctdi_vol_corrected_mgy"] == pytest.approx(9.0)
    assert found["ssde_corrected_mgy"] == pytest.approx(0.9 * 13.0)
    assert found["ssde_relative_uncertainty"] == pytest.approx(math.hypot(found["ctdi_vol_relative_uncertainty"], 0.1))
    text = found["calibration"]
    assert text == "dlp_mgy_cm: C-dlp_mgy_cm; ctdi_vol_mgy: C-ctdi_vol_mgy; ssde_mgy: C-ctdi_vol_mgy"
    assert certificate_named(text, "ctdi_vol_mgy") == "C-ctdi_vol_mgy"
    assert certificate_named(text, "kap_gy_cm2") is None
    assert certificate_named("C; 1: a", "kap_gy_cm2") == "C; 1: a"


def test_ctdi_values_of_two_phantoms_are_neither_mixed_nor_corrected_by_one_another() -> None:
    on_body = certificate(
        "ctdi_vol_mgy",
        factors=(QualityFactor(quality="q", kvp=120.0, factor=1.2, expanded_relative_uncertainty=0.04, phantom_cm=32),),
    )
    head = msgspec.structs.replace(SCAN, ctdi_vol_mgy=50.0, dlp_mgy_cm=800.0, phantom_cm=16, target_region_code=HEAD)
    alone = row(msgspec.structs.replace(EXAMS["ct"], events=(head,), totals=Totals(dlp_mgy_cm=800.0)), on_body)
    assert (alone["ctdi_vol_corrected_mgy"], alone["dlp_corrected_mgy_cm"]) == (50.0, 800.0)
    assert alone["ctdi_vol_relative_uncertainty"] == pytest.approx(0.2 / math.sqrt(3))
    assert "phantom-not-calibrated" in alone["dosimetry_flags"]
    assert alone["calibration"] == "display tolerance"
    both = msgspec.structs.replace(
        EXAMS["ct"], events=(head, SCAN), totals=Totals(dlp_mgy_cm=1200.0), patient=Patient(age_years=50.0)
    )
    found = row(both, on_body)
    assert found["ctdi_vol_mgy"] is found["ctdi_vol_corrected_mgy"] is None
    assert found["dlp_corrected_mgy_cm"] == pytest.approx(800.0 + 1.2 * 400.0)
    # Each event's dose is corrected by its own phantom's factor.
    assert found["effective_dose_msv"] == pytest.approx(800 * 0.0021 + 1.2 * 400 * 0.014)


def test_the_mean_ctdi_vol_is_corrected_scan_by_scan_weighted_as_the_mean_is() -> None:
    soft = msgspec.structs.replace(SCAN, ctdi_vol_mgy=20.0, dlp_mgy_cm=100.0, kvp=80.0)
    exam = msgspec.structs.replace(EXAMS["ct"], events=(SCAN, soft), totals=Totals(dlp_mgy_cm=500.0))
    found = row(exam, certificate("ctdi_vol_mgy", factors=factors((80.0, 0.8), (120.0, 1.0))))
    assert found["ctdi_vol_mgy"] == pytest.approx(12.0)
    assert found["ctdi_vol_corrected_mgy"] == pytest.approx((10 * 400 + 0.8 * 20 * 100) / 500)
    assert found["dlp_corrected_mgy_cm"] == pytest.approx(400 + 80)


def test_a_kap_is_corrected_exposure_by_exposure_at_their_voltages_and_half_value_layers() -> None:
    events = (
        Event(kap_gy_cm2=30.0, kvp=60.0),
        Event(kap_gy_cm2=10.0, kvp=100.0),
        Event(kap_gy_cm2=None, kvp=120.0),
    )
    exam = Exam(kind="projection", study_date=DAY, totals=Totals(kap_gy_cm2=40.0), events=events)
    by_kvp = certificate("kap_gy_cm2", factors=factors((60.0, 0.9), (100.0, 1.1)))
    found = row(exam, by_kvp)
    assert found["kap_corrected_gy_cm2"] == pytest.approx(0.9 * 30 + 1.1 * 10)
    assert found["kap_relative_uncertainty"] == pytest.approx(0.02)
    assert "beam-shares-assumed" not in found["dosimetry_flags"]
    more = msgspec.structs.replace(exam, totals=Totals(kap_gy_cm2=80.0))
    assert row(more, by_kvp)["kap_corrected_gy_cm2"] == pytest.approx(2 * (0.9 * 30 + 1.1 * 10))
    assert "beam-shares-assumed" in row(more, by_kvp)["dosimetry_flags"]
    by_layer = certificate(
        "kap_gy_cm2",
        factors=(
            QualityFactor(quality="a", hvl_mm_al=3.0, factor=1.0, expanded_relative_uncertainty=0.04),
            QualityFactor(quality="b", hvl_mm_al=5.0, factor=1.2, expanded_relative_uncertainty=0.04),
        ),
    )
    with_layers = msgspec.structs.replace(
        exam,
        events=tuple(
            msgspec.structs.replace(event, half_value_layer_mm=layer)
            for event, layer in zip(events, (3.0, 4.0, 5.0), strict=True)
        ),
    )
    assert row(with_layers, by_layer)["kap_corrected_gy_cm2"] == pytest.approx(30 + 1.1 * 10)


def test_each_breast_is_corrected_by_its_own_exposures() -> None:
    found = row(EXAMS["mammography"], certificate("agd_mgy", factors=factors((28.0, 1.0), (32.0, 1.2))))
    assert found["agd_left_corrected_mgy"] == pytest.approx(1.4 + 1.1 * 1.6)
    assert found["agd_right_corrected_mgy"] == pytest.approx(1.2 * 2.4)
    assert found["agd_corrected_mgy"] == pytest.approx((1.4 + 1.1 * 1.6 + 1.2 * 2.4) / 3)


def test_the_kerma_at_the_skin_follows_the_certificate_of_what_it_is_found_from_beam_by_beam() -> None:
    exam = Exam(
        kind="projection",
        study_date=DAY,
        events=(
            Event(entrance_exposure_mgy=2.0, kvp=60.0, frames=1),
            Event(entrance_exposure_mgy=1.9, kvp=100.0, frames=1),
        ),
    )
    book = certificate_book(
        [certificate("entrance_air_kerma_mgy", factors=factors((60.0, 0.9), (100.0, 1.1)))], dt.date(2025, 1, 1)
    )
    plain = exam_entrance(exam, device="d", certificates=CertificateBook(), plausible=True)
    found = exam_entrance(exam, device="d", certificates=book, plausible=True)
    assert plain["incident_air_kerma_mgy"] == 2.0
    assert found["incident_air_kerma_mgy"] == pytest.approx(1.1 * 1.9)
    assert found["incident_air_kerma_uncertainty_mgy"] == pytest.approx(0.02 * 1.1 * 1.9)
    # The stated value and its corrected one are of the same exposure.
    pair = row(exam, *book.in_force)
    assert (pair["entrance_air_kerma_mgy"], pair["entrance_air_kerma_corrected_mgy"]) == (2.0, pytest.approx(1.8))


def test_a_procedure_of_thousands_of_beams_is_corrected_as_the_sum_of_its_exposures() -> None:
    events = tuple(Event(reference_air_kerma_mgy=1.0 + n % 7, kvp=60 + 60 * n / 3000) for n in range(3000))
    total = sum(event.reference_air_kerma_mgy or 0.0 for event in events)
    exam = Exam(kind="projection", study_date=DAY, totals=Totals(reference_air_kerma_mgy=total), events=events)
    book = certificate_book(
        [certificate("reference_air_kerma_mgy", factors=factors((60.0, 1.0), (120.0, 1.2)))], dt.date(2025, 1, 1)
    )
    found = corrected_total(exam, "reference_air_kerma_mgy", "d", book)
    expected = sum((e.reference_air_kerma_mgy or 0.0) * (1 + 0.2 * ((e.kvp or 0) - 60) / 60) for e in events)
    assert getattr(found, "value", None) == pytest.approx(expected)
