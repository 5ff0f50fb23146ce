"""Dosimetry in the mart: which exams get a peak skin dose, and what an older store says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete

from doseatlas.dicom.simulate import exams, plan, to_exam
from doseatlas.dosimetry import Certificate, CertificateBook, QualityFactor, certificate_book
from doseatlas.model import Exam, Totals
from doseatlas.standardise import classify, device_name, summarise
from doseatlas.store import Store, import_paths
from doseatlas.store.dose_rules import DoseRules, dose_columns
from doseatlas.store.schema import meta

RULES = DoseRules(CertificateBook(), 0.5)


@pytest.fixture(scope="module")
def angiography() -> Exam:
    """A simulated interventional exam of some 0.9 Gy."""
    world = plan("facility", exams=400, seed=5, start=dt.date(2024, 1, 1), end=dt.date(2024, 6, 30))
    return next(
        exam
        for exam in map(to_exam, exams(world))
        if exam.kind == "projection" and (exam.totals.reference_air_kerma_mgy or 0) > 600
    )


def _columns(exam: Exam, rules: DoseRules = RULES) -> dict[str, Any]:
    classification = classify(exam, {})
    return dose_columns(exam, classification, rules, summarise(exam, classification))


def test_an_exam_above_the_kerma_set_has_a_peak_skin_dose_with_its_uncertainty(angiography: Exam) -> None:
    row = _columns(angiography)
    assert 0 < row["peak_skin_dose_uncertainty_mgy"] < row["peak_skin_dose_mgy"]
    assert row["peak_skin_dose_missing"] is None


def test_below_the_kerma_set_there_is_neither_a_skin_dose_nor_a_reason(angiography: Exam) -> None:
    row = _columns(angiography, DoseRules(CertificateBook(), 50.0))
    assert {row[name] for name in row if name.startswith("peak_skin_dose")} == {None}


def test_an_exam_whose_geometry_is_not_stated_says_why_it_has_none(angiography: Exam) -> None:
    bare = msgspec.structs.replace(angiography, events=(), path="/home/someone/patient name.dcm")
    row = _columns(bare)
    assert row["peak_skin_dose_mgy"] is None
    assert "no irradiation events" in row["peak_skin_dose_missing"]
    assert "patient name" not in row["peak_skin_dose_missing"]


def test_where_only_the_kap_is_stated_it_decides_over_100_cm2(angiography: Exam) -> None:
    bare = msgspec.structs.replace(angiography, events=(), totals=Totals(kap_gy_cm2=49.9))
    assert _columns(bare)["peak_skin_dose_missing"] is None
    bare = msgspec.structs.replace(bare, totals=Totals(kap_gy_cm2=50.0))
    assert _columns(bare)["peak_skin_dose_missing"] is not None


def test_a_dose_that_cannot_be_has_no_skin_dose(angiography: Exam) -> None:
    totals = msgspec.structs.replace(angiography.totals, reference_air_kerma_mgy=1e8)
    row = _columns(msgspec.structs.replace(angiography, totals=totals))
    assert row["peak_skin_dose_missing"] == "A dose value of the exam is out of physical range."


def test_the_kermas_certificate_scales_the_peak_and_narrows_it(angiography: Exam) -> None:
    certificate = Certificate(
        id="K-1",
        device=device_name(angiography.device) or "",
        instrument="kerma-display",
        quantity="reference_air_kerma_mgy",
        laboratory="L",
        issued_on=dt.date(2024, 1, 1),
        valid_from=dt.date(2024, 1, 1),
        valid_until=dt.date(2025, 1, 1),
        factors=(QualityFactor(quality="any", factor=0.8, expanded_relative_uncertainty=0.06),),
    )
    book = certificate_book([certificate], dt.date(2025, 1, 1))
    before, after = _columns(angiography), _columns(angiography, DoseRules(book, 0.5))
    assert after["peak_skin_dose_mgy"] == pytest.approx(0.8 * before["peak_skin_dose_mgy"])
    relative = [row["peak_skin_dose_uncertainty_mgy"] / row["peak_skin_dose_mgy"] for row in (before, after)]
    assert relative[1] < relative[0]
    assert after["calibration"] == "kap_gy_cm2: display tolerance; reference_air_kerma_mgy: K-1"


def test_a_store_of_an_older_version_says_so_until_it_is_rebuilt(store: Store, objects: Path) -> None:
    assert not store.is_outdated()
    import_paths(store, [objects])
    assert not store.is_outdated()
    with store.database.writing() as connection:
        connection.execute(delete(meta).where(meta.c.name == "derivation"))
    assert store.is_outdated()
    store.rebuild()
    assert not store.is_outdated()
