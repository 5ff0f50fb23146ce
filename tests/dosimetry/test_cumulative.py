"""The doses of a patient add up over years; exams without an estimate are listed and not counted as nothing."""

from __future__ import annotations

import datetime as dt

import pytest

from doseatlas.dosimetry import Estimate, ExamDose, NotEstimated, cumulative_dose


def exam(exam_id: str, day: str, value: float | None, coefficient_set: str = "aapm-96") -> ExamDose:
    dose: Estimate | NotEstimated = NotEstimated(quantity="effective_dose_msv", code="not-stated", message="No DLP.")
    if value is not None:
        dose = Estimate(
            quantity="effective_dose_msv",
            value=value,
            standard_uncertainty=0.2 * value,
            method="DLP",
            source="table",
            coefficient_set=coefficient_set,
        )
    return ExamDose(exam_id=exam_id, day=dt.date.fromisoformat(day), procedure="ct-chest", dose=dose)


def test_the_sum_is_by_year_and_over_all_with_its_exams() -> None:
    found = cumulative_dose([exam("b", "2024-05-01", 5.0), exam("a", "2023-01-01", 3.0), exam("c", "2024-06-01", 2.0)])
    assert found.total_msv == pytest.approx(10.0)
    assert found.by_year_msv == {2023: 3.0, 2024: 7.0}
    assert [one.exam_id for one in found.exams] == ["a", "b", "c"]
    assert found.standard_uncertainty_msv == pytest.approx(2.0), "one set's error is common to all exams"


def test_sets_are_independent_and_an_exam_counts_once() -> None:
    exams = [exam("a", "2023-01-01", 3.0), exam("b", "2023-02-01", 4.0, "icrp-128")]
    found = cumulative_dose([*exams, exams[0]])
    assert found.total_msv == pytest.approx(7.0)
    assert found.standard_uncertainty_msv == pytest.approx(1.0)
    assert found.coefficient_sets == ("aapm-96", "icrp-128")


def test_an_exam_without_an_estimate_is_listed() -> None:
    found = cumulative_dose([exam("a", "2023-01-01", None), exam("b", "2023-02-01", 1.0)])
    assert found.total_msv == 1.0
    assert [one.exam_id for one in found.without_estimate] == ["a"]
    assert cumulative_dose([]).total_msv == 0.0
