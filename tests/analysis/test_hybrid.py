"""The CT of a hybrid examination stands beside the administration, and only there where it is of the same study."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doseatlas.analysis import mart_table
from doseatlas.analysis.hybrid import hybrid_exams

Mart = Callable[..., Path]


def _row(exam_id: str, kind: str, study: str | None, **more: Any) -> dict[str, Any]:
    return {"exam_id": exam_id, "kind": kind, "study_id": study, "study_date": dt.date(2025, 1, 1), **more}


def test_an_administration_is_listed_with_the_ct_of_its_study(mart: Mart) -> None:
    rows = [
        _row("pet", "nuclear", "a", administered_activity_mbq=250.0, effective_dose_msv=4.75, effective_dose_set="one"),
        _row("ct", "ct", "a", dlp_mgy_cm=400.0, phantom_cm=32, effective_dose_msv=6.0, effective_dose_set="other"),
        _row("scan-alone", "ct", "b"),
        _row("bone-scan-alone", "nuclear", "c"),
        _row("study-not-stated", "nuclear", None),
        _row("ct-study-not-stated", "ct", None),
    ]
    table = mart_table(mart(rows))
    found = hybrid_exams(table, table)
    assert found.total == 1
    (one,) = found.latest
    assert (one.exam_id, one.ct_exam_id) == ("pet", "ct")
    assert one.effective_dose_msv == pytest.approx(4.75)
    assert one.ct_effective_dose_msv == pytest.approx(6.0)
    assert one.ct_phantom_cm == 32


def test_the_ct_is_found_although_the_selection_names_the_administration_only(mart: Mart) -> None:
    table = mart_table(mart([_row("pet", "nuclear", "a"), _row("ct", "ct", "a")]))
    found = hybrid_exams(table.filter(table.kind == "nuclear"), table)
    assert [one.ct_exam_id for one in found.latest] == ["ct"]


def test_a_ct_out_of_physical_range_is_not_shown_beside_an_administration(mart: Mart) -> None:
    table = mart_table(mart([_row("pet", "nuclear", "a"), _row("ct", "ct", "a", plausible=False)]))
    assert hybrid_exams(table, table) == ((), 0)


def test_the_list_is_bounded_and_the_number_is_not(mart: Mart) -> None:
    rows = [row for n in range(5) for row in (_row(f"pet{n}", "nuclear", str(n)), _row(f"ct{n}", "ct", str(n)))]
    table = mart_table(mart(rows))
    found = hybrid_exams(table, table, most=2)
    assert len(found.latest) == 2
    assert found.total == 5


def test_a_mart_without_exams_has_none(tmp_path: Path) -> None:
    table = mart_table(tmp_path)
    assert hybrid_exams(table, table) == ((), 0)
