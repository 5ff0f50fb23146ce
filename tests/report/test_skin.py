"""The section of skin doses: figures, maps, what is missing, and that nothing is loaded for it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from markupsafe import escape

from doseatlas.analysis import FacilityReport
from doseatlas.analysis.results import SkinDoseExam
from doseatlas.dicom.simulate import exams, plan, to_exam
from doseatlas.dosimetry import CertificateBook, exam_skin_map
from doseatlas.report.page import html

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
