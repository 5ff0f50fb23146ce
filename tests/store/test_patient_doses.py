"""A patient's effective doses of the store: by period, and without what is out of physical range."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from doseatlas.store.patient_doses import patient_doses


class Kept:
    """Stands for a store that holds one patient with these rows in the mart."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows

    def rows_of_patient(self, pseudonym: str) -> tuple[dict[str, Any], ...]:
        return self.rows


def row(number: int, day: str | None, msv: float | None = 2.0, *, plausible: bool = True) -> dict[str, Any]:
    stated: dict[str, Any] = {"exam_id": f"e{number}", "plausible": plausible}
    if day is not None:
        stated["study_date"] = day
    if msv is not None:
        stated |= {"effective_dose_msv": msv, "effective_dose_uncertainty_msv": 0.4, "effective_dose_set": "a-set"}
    return stated


def test_an_exam_with_a_dose_out_of_range_is_listed_and_not_added() -> None:
    kept: Any = Kept(row(1, "2024-01-02"), row(2, "2024-02-02", 9000.0, plausible=False), row(3, "2024-03-01", None))
    found = patient_doses(kept, "p")
    assert found.total_msv == 2.0
    assert [(one.exam_id, getattr(one.dose, "code", "")) for one in found.without_estimate] == [
        ("e2", "not-physical"),
        ("e3", "no-coefficient"),
    ]


def test_a_period_holds_its_first_and_last_day_and_names_exams_without_a_date() -> None:
    kept: Any = Kept(*(row(number, f"2024-0{number}-01") for number in range(1, 6)), row(9, None))
    found = patient_doses(kept, "p", since=dt.date(2024, 2, 1), until=dt.date(2024, 4, 1))
    assert [one.exam_id for one in found.exams] == ["e2", "e3", "e4"]
    assert [one.exam_id for one in found.without_estimate] == ["e9"]
    assert found.by_year_msv == {2024: pytest.approx(6.0)}
