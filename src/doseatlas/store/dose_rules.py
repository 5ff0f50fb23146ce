"""What is an exam's dosimetry derived with, beyond the exam: the certificates in force and the settings.

The columns that it gives are those of the mart that follow from more than what the exam states.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doseatlas.dosimetry import CertificateBook, ImageSizes, exam_dosimetry, exam_entrance, exam_skin_dose
from doseatlas.model import Classification, Exam
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
    flags = classification.flags
    if flags:
        exam = msgspec.structs.replace(exam, patient=plausible_patient(exam.patient, flags))
    device = device_name(exam.device)
    row = exam_dosimetry(
        exam,
        procedure=classification.procedure,
        scans=ct_scans(exam.events) if exam.kind == "ct" else (),
        device=device,
        certificates=rules.certificates,
        coefficient_set=rules.ct_coefficients,
        activity_guideline=rules.activity_guideline,
        image_sizes=sizes,
        displayed=displayed,
    )
    plausible = all(flag.code != DOSE_FLAG for flag in flags)
    row |= exam_entrance(exam, device=device, certificates=rules.certificates, plausible=plausible)
    row |= exam_skin_dose(
        exam,
        from_gy=rules.skin_dose_from_gy,
        device=device,
        certificates=rules.certificates,
        plausible=plausible,
    )
    return row
