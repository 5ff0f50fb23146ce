"""Exams of patients stated pregnant, or possibly so, are listed with their doses, and nobody else's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doseatlas.analysis import mart_table
from doseatlas.analysis.pregnancy import pregnant_exams

Mart = Callable[..., Path]


def _row(number: int, status: str | None, **more: Any) -> dict[str, Any]:
    return {"exam_id": f"{number:03}", "pregnancy_status": status, "study_date": dt.date(2025, 1, 1 + number), **more}


def test_only_pregnant_and_possibly_pregnant_patients_are_listed_the_latest_first(mart: Mart) -> None:
    rows = [
        _row(1, "definitely pregnant", dlp_mgy_cm=120.0),
        _row(2, "possibly pregnant", plausible=False),
        _row(3, "not pregnant"),
        _row(4, None),
        _row(5, "possibly pregnant", study_date=None),
    ]
    found = pregnant_exams(mart_table(mart(rows)))
    assert [one.exam_id for one in found.latest] == ["002", "001", "005"]
    assert found.total == 3
    assert found.latest[1].dlp_mgy_cm == pytest.approx(120.0)
    assert found.latest[1].pregnancy_status == "definitely pregnant"


def test_the_list_is_bounded_and_the_number_is_not(mart: Mart) -> None:
    found = pregnant_exams(mart_table(mart([_row(number, "possibly pregnant") for number in range(20)])), most=3)
    assert [one.exam_id for one in found.latest] == ["019", "018", "017"]
    assert found.total == 20


def test_a_mart_without_exams_has_none(tmp_path: Path) -> None:
    assert pregnant_exams(mart_table(tmp_path)) == ((), 0)
