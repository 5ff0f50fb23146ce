"""Which values of an exam are out of physical range?

The ranges are ``reference.plausible_ranges()``. A dose out of range makes the exam implausible: it is flagged, kept and
left out of statistics. A patient's age, height or weight out of range is flagged and not used.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from doseatlas.model import Exam, Note, Patient
from doseatlas.reference import plausible_ranges

DOSE_FLAG = "implausible-dose"
PATIENT_FLAGS = {
    "age_years": "implausible-age",
    "height_cm": "implausible-height",
    "weight_kg": "implausible-weight",
}
# field of the totals or of an event -> quantity whose range applies, by kind of exam
_TOTALS = {
    "ct": (("dlp_mgy_cm", "dlp_mgy_cm"),),
    "projection": (
        ("kap_gy_cm2", "kap_gy_cm2"),
        ("reference_air_kerma_mgy", "reference_air_kerma_mgy"),
        ("fluoro_time_s", "fluoro_time_s"),
    ),
    "mammography": (("kap_gy_cm2", "kap_gy_cm2"),),
    "nuclear": (("administered_activity_mbq", "administered_activity_mbq"),),
}
_EVENTS = {
    "ct": (("ctdi_vol_mgy", "ctdi_vol_mgy"), ("dlp_mgy_cm", "dlp_mgy_cm")),
    "projection": (
        ("kap_gy_cm2", "kap_gy_cm2"),
        ("reference_air_kerma_mgy", "reference_air_kerma_mgy"),
        ("entrance_exposure_mgy", "entrance_air_kerma_mgy"),
    ),
    "mammography": (("agd_mgy", "agd_mgy"), ("entrance_exposure_mgy", "entrance_air_kerma_mgy")),
    "nuclear": (("administered_activity_mbq", "administered_activity_mbq"),),
}
Check = tuple[str, str, float, float, str]


@cache
def _checks(kind: str, events: bool) -> tuple[Check, ...]:
    ranges = plausible_ranges()
    fields = (_EVENTS if events else _TOTALS).get(kind, ())
    return tuple((field, q, ranges[q].low, ranges[q].high, ranges[q].unit) for field, q in fields if q in ranges)


@cache
def _patient_checks() -> tuple[Check, ...]:
    ranges = plausible_ranges()
    return tuple((q, q, ranges[q].low, ranges[q].high, ranges[q].unit) for q in PATIENT_FLAGS if q in ranges)


def implausible_dose(exam: Exam) -> tuple[Note, ...]:
    """Return one flag for each dose quantity of the totals and of the events that is out of range."""
    flags = list(_outside(_checks(exam.kind, False), exam.totals, DOSE_FLAG, "the exam"))
    checks = _checks(exam.kind, True)
    seen: set[str] = set()
    for number, event in enumerate(exam.events, 1):
        for check in checks:
            value = getattr(event, check[0])
            if value is not None and not check[2] <= value <= check[3] and check[0] not in seen:
                seen.add(check[0])
                flags += _outside((check,), event, DOSE_FLAG, f"event {number}")
    return tuple(flags)


def implausible_patient(patient: Patient) -> tuple[Note, ...]:
    """Return one flag for each of age, height and weight that is out of range."""
    return tuple(_outside(_patient_checks(), patient, None, "the patient"))


def _outside(checks: Iterable[Check], record: object, code: str | None, whose: str) -> Iterable[Note]:
    for field, quantity, low, high, unit in checks:
        value = getattr(record, field)
        if value is not None and not low <= value <= high:
            message = (
                f"{quantity} of {whose} is {value:g} {unit}, outside the plausible range {low:g} to {high:g} {unit}."
            )
            yield Note(code=code or PATIENT_FLAGS[quantity], message=message)


def plausible_patient(patient: Patient, flags: tuple[Note, ...]) -> Patient:
    """Return the patient without the values that are flagged."""
    codes = {flag.code for flag in flags}
    stated = {name: getattr(patient, name) for name in Patient.__struct_fields__}
    return Patient(**{name: value for name, value in stated.items() if PATIENT_FLAGS.get(name) not in codes})
