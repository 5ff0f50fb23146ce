"""What is an exam's dosimetry derived with, beyond the exam: the certificates in force and the settings.

The columns that it gives are those of the mart that follow from more than what the exam states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import msgspec

from doseatlas.dosimetry import (
    CertificateBook,
    ImageSizes,
    Method,
    exam_dosimetry,
    exam_entrance,
    exam_methods,
    exam_skin_dose,
)
from doseatlas.model import Classification, Event, Exam
from doseatlas.reference import coefficients
from doseatlas.standardise import DOSE_FLAG, ct_scans, device_name, plausible_patient


class DoseRules(msgspec.Struct, frozen=True):
    """The calibration certificates in force, and the settings of dosimetry (``doseatlas.settings``)."""

    certificates: CertificateBook
    skin_dose_from_gy: float
    ct_coefficients: str = coefficients.DEFAULT_CT_SET
    activity_guideline: str = coefficients.EANM_CARD


def dose_columns(
    exam: Exam,
    classification: Classification,
    rules: DoseRules,
    displayed: Mapping[str, object],
    sizes: ImageSizes | None = None,
) -> dict[str, object]:
    """Return the dosimetric columns of an exam's row in the mart.

    Args:
        exam: the merged exam.
        classification: what standardisation says about it.
        rules: what the columns are derived with.
        displayed: the columns of the row that hold what the exam states.
        sizes: what was measured in its images.

    """
    exam, given = _given(exam, classification, rules, displayed, sizes)
    device, certificates = given["device"], rules.certificates
    row = exam_dosimetry(exam, **given)
    plausible = all(flag.code != DOSE_FLAG for flag in classification.flags)
    row |= exam_entrance(exam, device=device, certificates=certificates, plausible=plausible)
    row |= exam_skin_dose(
        exam, from_gy=rules.skin_dose_from_gy, device=device, certificates=certificates, plausible=plausible
    )
    return row


def dose_methods(
    exam: Exam,
    classification: Classification,
    rules: DoseRules,
    displayed: Mapping[str, object],
    sizes: ImageSizes | None = None,
) -> list[Method]:
    """Return method and source of what :func:`dose_columns` derives, from the same."""
    exam, given = _given(exam, classification, rules, displayed, sizes)
    return exam_methods(exam, **given)


class _Given(TypedDict):
    procedure: str | None
    scans: Sequence[Event]
    device: str | None
    certificates: CertificateBook
    coefficient_set: str
    activity_guideline: str
    image_sizes: ImageSizes | None
    displayed: Mapping[str, object]


def _given(
    exam: Exam,
    classification: Classification,
    rules: DoseRules,
    displayed: Mapping[str, object],
    sizes: ImageSizes | None,
) -> tuple[Exam, _Given]:
    """Return an exam without patient values that cannot be, and what its dosimetry is given beside it."""
    if classification.flags:
        exam = msgspec.structs.replace(exam, patient=plausible_patient(exam.patient, classification.flags))
    return exam, {
        "procedure": classification.procedure,
        "scans": ct_scans(exam.events) if exam.kind == "ct" else (),
        "device": device_name(exam.device),
        "certificates": rules.certificates,
        "coefficient_set": rules.ct_coefficients,
        "activity_guideline": rules.activity_guideline,
        "image_sizes": sizes,
        "displayed": displayed,
    }
