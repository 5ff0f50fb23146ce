"""The section of skin doses: figures, maps, what is missing, and that nothing is loaded for it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import pytest
from markupsafe import escape

from doseatlas.analysis import FacilityReport, PregnantExam, SkinDoseExam, SkinDosePatient
from doseatlas.dicom.simulate import exams, plan, to_exam
from doseatlas.dosimetry import CertificateBook, exam_skin_map
from doseatlas.dosimetry.skin import ProcedureDose
from doseatlas.report.page import html
from doseatlas.report.tables import tables

from .page_parts import Page

if TYPE_CHECKING:
    from doseatlas.dosimetry.skin import SkinMap

Make = Callable[..., FacilityReport]
EXAM = SkinDoseExam(
    exam_id="x1",
    study_date=dt.date(2025, 3, 1),
    device="Maker Angio 1",
    procedure="xa-pci",
    reference_air_kerma_mgy=5200.0,
    kap_gy_cm2=310.0,
    peak_skin_dose_mgy=2345.0,
    peak_skin_dose_uncertainty_mgy=500.0,
    trigger="follow-up",
    trigger_quantities=("reference_air_kerma_mgy",),
)
WITHOUT = SkinDoseExam(exam_id="x2", peak_skin_dose_missing="no angle <b>stated</b>", reference_air_kerma_mgy=900.0)


@pytest.fixture(scope="module")
def skin_map() -> SkinMap:
    world = plan("facility", exams=400, seed=5, start=dt.date(2024, 1, 1), end=dt.date(2024, 6, 30))
    exam = next(
        exam
        for exam in map(to_exam, exams(world))
        if exam.kind == "projection" and (exam.totals.reference_air_kerma_mgy or 0) > 600
    )
    return exam_skin_map(exam, device=None, certificates=CertificateBook())


def test_each_exam_has_its_peak_its_interval_and_its_trigger_or_why_there_is_none(empty: Make) -> None:
    page = html(empty(skin_doses=(EXAM, WITHOUT), skin_trigger_count=1, exam_count=2))
    assert "1 exam reaches a trigger" in page
    assert re.search(r"2345|2\u202f345", page)
    assert "follow the patient up: air kerma" in page
    assert "no angle &lt;b&gt;stated&lt;/b&gt;" in page


def test_maps_come_with_their_assumptions_and_ids_stay_unique(empty: Make, skin_map: SkinMap) -> None:
    report = empty(skin_doses=(EXAM, WITHOUT), exam_count=2)
    text = html(report, {"x1": skin_map, "x2": skin_map, "unknown": skin_map})
    page = Page(text)
    assert text.count("<h3>Map of exam") == 2
    assert str(escape(skin_map.answer.assumptions[-1])) in text
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert len(text) < 5_000_000 / 10


def test_pixels_are_allowed_as_data_only_where_there_is_a_map_and_nothing_is_fetched(
    empty: Make, skin_map: SkinMap
) -> None:
    report = empty(skin_doses=(EXAM,), exam_count=1)
    assert "img-src" not in html(report)
    page = Page(html(report, {"x1": skin_map}))
    assert "img-src data:;" in html(report, {"x1": skin_map})
    sources = [element.attributes["href"] for element in page.elements if element.tag == "image"]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_a_report_without_projection_exams_has_no_such_section(empty: Make) -> None:
    assert 'id="skin"' not in html(empty())


PATIENT = SkinDosePatient(
    number=1,
    procedures=(
        ProcedureDose(
            exam_id="p1",
            study_date=dt.date(2024, 5, 1),
            reference_air_kerma_mgy=1800.0,
            peak_mgy=1200.0,
            at_peak_mgy=1100.0,
        ),
        ProcedureDose(exam_id="p2", reference_air_kerma_mgy=900.0, missing="no angle <i>stated</i>"),
    ),
    reference_air_kerma_mgy=2700.0,
    peak_mgy=2211.0,
    interval_mgy=(1500.0, 3300.0),
    notes=("1 of 2 procedures could not be placed: the dose is a lower limit.",),
    trigger="notification",
)


def test_a_patient_with_several_procedures_has_the_sum_and_each_exam_or_why_it_is_not_in_it(empty: Make) -> None:
    report = empty(skin_patients=(PATIENT,), exam_count=2)
    page = Page(html(report))
    text = " ".join(" ".join(row) for row in page.rows("Patients whose procedures add up"))
    assert "2211" in text.replace("\u202f", "")
    assert "notify: peak skin dose" in text
    assert "lower limit" in text
    assert "Not in the sum: no angle <i>stated</i>" in text
    assert "no angle &lt;i&gt;stated" in html(report)
    (table,) = [one for one in tables(report) if one.name == "skin_patients"]
    assert [row[1] for row in table.rows] == ["p1", "p2"]


def test_the_map_of_a_patient_stands_before_those_of_exams_and_names_nobody(empty: Make, skin_map: SkinMap) -> None:
    report = empty(skin_patients=(PATIENT,), skin_doses=(EXAM,), exam_count=2)
    text = html(report, {"x1": skin_map}, {1: skin_map, 7: skin_map})
    assert text.index("Map of patient 1, all procedures") < text.index("Map of exam")
    assert text.count("<h3>Map of") == 2


def test_a_doubtful_dose_is_marked_and_implausible_ones_are_named_apart(empty: Make) -> None:
    odd = msgspec.structs.replace(EXAM, times_median=29.0)
    page = html(empty(skin_doses=(odd,), skin_implausible=("w1", "w2"), exam_count=3))
    assert "Doubtful: 29" in page
    assert "Doubtful" not in html(empty(skin_doses=(EXAM,), exam_count=1))
    own = msgspec.structs.replace(odd, exam_id="p1")
    assert html(empty(skin_doses=(own,), skin_patients=(PATIENT,), exam_count=3)).count("Doubtful, see above") == 1
    assert "2 exams state a dose beyond a trigger that is out of physical range" in page
    assert "w1, w2" in page
    only = html(empty(skin_implausible=("w1",), exam_count=1))
    assert 'id="skin"' in only


def test_exams_of_pregnant_patients_are_listed_and_no_foetal_dose_is_invented(empty: Make) -> None:
    exam = PregnantExam(
        exam_id="g1",
        study_date=dt.date(2025, 2, 3),
        pregnancy_status="possibly pregnant",
        ctdi_vol_mgy=8.25,
        phantom_cm=32,
        dlp_mgy_cm=333.0,
    )
    report = empty(pregnant=(exam,), pregnant_count=1, exam_count=1)
    page = html(report)
    assert "1 exam is of a patient stated to be pregnant, or possibly so" in page
    assert "possibly pregnant" in page
    assert "32 cm phantom" in page
    assert "The dose to the embryo or foetus is not calculated" in page
    (table,) = [one for one in tables(report) if one.name == "pregnant_patients"]
    assert table.rows[0][0] == "g1"
    assert 'id="pregnancy"' not in html(empty(exam_count=1))
