"""What effective dose has a patient received over the years? The sum with its exams, and how sure it is.

The sum is a record, not a risk: it is of reference persons, from exams at different ages, and justifies nothing about
the next exam by itself. Exams without an estimate are listed, not counted as 0.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from math import sqrt

from doseatlas.dosimetry.estimate import Estimate, NotEstimated
from doseatlas.model import Record


class ExamDose(Record, frozen=True, kw_only=True):
    """An exam of a patient: when, which, and its effective dose or why there is none."""

    exam_id: str
    day: dt.date
    procedure: str | None
    dose: Estimate | NotEstimated


class CumulativeDose(Record, frozen=True, kw_only=True):
    """Sum of the effective doses known (mSv), by year and over all, with the exams that have none."""

    total_msv: float
    standard_uncertainty_msv: float
    by_year_msv: dict[int, float]
    exams: tuple[ExamDose, ...]
    without_estimate: tuple[ExamDose, ...]
    coefficient_sets: tuple[str, ...]


def cumulative_dose(exams: Iterable[ExamDose]) -> CumulativeDose:
    """Return the sum over a patient's exams; an exam given twice counts once.

    Exams by one coefficient set share its error, which therefore adds up linearly; sets are taken as independent.
    """
    ordered = sorted({one.exam_id: one for one in exams}.values(), key=lambda one: (one.day, one.exam_id))
    known: list[tuple[ExamDose, Estimate]] = []
    unknown: list[ExamDose] = []
    for one in ordered:
        if isinstance(one.dose, Estimate):
            known.append((one, one.dose))
        else:
            unknown.append(one)
    by_year: dict[int, float] = {}
    by_set: dict[str, float] = {}
    for one, dose in known:
        by_year[one.day.year] = by_year.get(one.day.year, 0.0) + dose.value
        name = dose.coefficient_set or dose.source
        by_set[name] = by_set.get(name, 0.0) + dose.standard_uncertainty
    return CumulativeDose(
        total_msv=sum(dose.value for _, dose in known),
        standard_uncertainty_msv=sqrt(sum(u * u for u in by_set.values())),
        by_year_msv=by_year,
        exams=tuple(one for one, _ in known),
        without_estimate=tuple(unknown),
        coefficient_sets=tuple(sorted(by_set)),
    )
