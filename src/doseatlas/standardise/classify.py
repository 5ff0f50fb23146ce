"""What is this exam: which standard procedure, which patient group, and which of its values cannot be right?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from doseatlas.model import Classification, Event, Exam
from doseatlas.reference import procedures
from doseatlas.standardise.groups import patient_group
from doseatlas.standardise.mapping import map_procedure
from doseatlas.standardise.plausibility import implausible_dose, implausible_patient, plausible_patient

_HEAD_CODES = {"T-D1100", "69536005", "T-A0100", "12738006"}  # head, brain: CID 4030, SNOMED RT and CT


@cache
def _regions() -> dict[str, str]:
    return {procedure.id: procedure.region for procedure in procedures()}


def classify(exam: Exam, decisions: Mapping[str, str]) -> Classification:
    """Return procedure, patient group and flags of an exam.

    Args:
        exam: a merged exam.
        decisions: the site's confirmed mappings, ``mapping_key(exam)`` to the id of a standard procedure.

    """
    procedure, mapped_by = map_procedure(exam, decisions)
    flags = implausible_patient(exam.patient)
    patient = plausible_patient(exam.patient, flags) if flags else exam.patient
    region = _regions().get(procedure) if procedure else _stated_region(exam.events)
    return Classification(
        procedure=procedure,
        mapped_by=mapped_by,
        group=patient_group(patient.age_years, patient.weight_kg, region),
        flags=flags + implausible_dose(exam),
    )


def _stated_region(events: tuple[Event, ...]) -> str | None:
    """Return ``head`` or ``body`` where every event that states a target region says so, for exams not mapped."""
    head = {event.target_region_code.value in _HEAD_CODES for event in events if event.target_region_code}
    if len(head) != 1:
        return None
    return "head" if head.pop() else "body"
