"""Which patient group does an exam belong to?

Adults from 18 years; children by weight for body exams and by age for head exams (EC RP 185), by age too where the
weight is not known. The bands are ``reference.patient_groups()``. Where neither age nor weight allows a group, none is
given: without an age, a weight alone does not tell a child from a small adult.
"""

from __future__ import annotations

from functools import cache
from math import inf

from doseatlas.reference import patient_groups

ADULT_FROM_YEARS = 18.0
# Dental exposures are of the head; RP 185 bands the head by age.
HEAD_REGIONS = frozenset({"head", "dental"})


@cache
def _bands(parameter: str) -> tuple[tuple[float, float, str], ...]:
    groups = [group for group in patient_groups() if group.parameter == parameter]
    return tuple((group.low, inf if group.high is None else group.high, group.id) for group in groups)


def patient_group(age_years: float | None, weight_kg: float | None, region: str | None) -> str | None:
    """Return the id of the patient group, ``None`` where none can be told.

    Args:
        age_years: plausible age, or ``None``.
        weight_kg: plausible weight, or ``None``.
        region: region of the standard procedure (``reference.procedures()``), or ``None`` where it is not mapped.

    A child of unknown region has no group, as head and body are banded differently; nor has a child of 80 kg or more
    examined in the body, for which RP 185 has no band. Source: EC RP 185; ICRP 135.
    """
    if age_years is None:
        return None
    if age_years < ADULT_FROM_YEARS:
        if region is None:
            return None
        if weight_kg is not None and region not in HEAD_REGIONS:
            return _band("weight", weight_kg)
    return _band("age", age_years)


def _band(parameter: str, value: float) -> str | None:
    return next((group for low, high, group in _bands(parameter) if low <= value < high), None)
