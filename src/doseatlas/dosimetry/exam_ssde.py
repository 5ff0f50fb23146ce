"""Which size-specific dose do the scans of a CT exam give, and from which size of the patient?

The size comes from the report, else from the exam's axial images, its localisers, or its height and weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from doseatlas.dosimetry.calibration import CorrectedValue
from doseatlas.dosimetry.estimate import Estimate, NotEstimated, bad_number
from doseatlas.dosimetry.image_sizes import ImageSizes, size_for_scan
from doseatlas.dosimetry.patient_size import PatientSize, size_from_height_and_weight
from doseatlas.dosimetry.ssde import QUANTITY, Region, ssde
from doseatlas.dosimetry.tables import ct_regions
from doseatlas.dosimetry.uncertainty import from_limits
from doseatlas.model import Event, Exam
from doseatlas.reference import coefficients


class ScanSsde(NamedTuple):
    """SSDE of a scan, its share of the exam's DLP, the diameter (mm) and, from images, that at the scan's middle."""

    weight: float
    ssde: Estimate
    diameter_mm: float
    central_mm: float | None


def ssde_of_scans(
    exam: Exam,
    procedure: str | None,
    scans: Sequence[Event],
    dlp: CorrectedValue | None,
    image_sizes: ImageSizes | None,
) -> list[ScanSsde] | NotEstimated:
    """Return the SSDE of each scan of an exam, or why there is none of the exam.

    Args:
        exam: the exam; implausible patient values already removed.
        procedure: id of the standard procedure.
        scans: its events that are scans of the patient.
        dlp: its corrected DLP, whose factor corrects CTDIvol too.
        image_sizes: what was measured in its images.

    """
    known = ct_regions().get(procedure or "")
    if known is None or known.size_region not in ("head", "body"):
        return _refused("region-not-known", "The procedure is of no region that a report on SSDE covers.")
    if not scans:
        return _refused("not-stated", "No scan of the patient is stated.")
    region: Region = "head" if known.size_region == "head" else "body"
    displayed = from_limits(coefficients.display_tolerances()["ctdi_vol_mgy"].relative)
    relative = dlp.relative_standard_uncertainty if dlp else displayed
    factor = dlp.value / dlp.displayed if dlp and dlp.displayed else 1.0
    found: list[ScanSsde] = []
    for scan in scans:
        size, central = _size(exam, scan, region, image_sizes)
        dose = None if scan.ctdi_vol_mgy is None else factor * scan.ctdi_vol_mgy
        estimate = ssde(dose, scan.phantom_cm, region, size, ctdi_relative_uncertainty=relative)
        if isinstance(estimate, NotEstimated):
            return estimate
        assert size is not None
        weight = 0.0 if bad_number(QUANTITY, "The DLP", scan.dlp_mgy_cm) else scan.dlp_mgy_cm or 0.0
        found.append(ScanSsde(weight, estimate, size.diameter_mm, central))
    total = sum(one.weight for one in found)
    return [one._replace(weight=one.weight / total if total else 1 / len(found)) for one in found]


def _refused(code: str, message: str) -> NotEstimated:
    return NotEstimated(quantity=QUANTITY, code=code, message=message)


def _size(
    exam: Exam, scan: Event, region: Region, image_sizes: ImageSizes | None
) -> tuple[PatientSize | None, float | None]:
    """Return the patient's size in a scan, and the diameter at its middle where images give it."""
    if stated := _stated_size(scan):
        return stated, None
    if image_sizes is not None and (found := size_for_scan(image_sizes, scan.event_uid)):
        return found
    if region == "head":
        return None, None
    patient = exam.patient
    return size_from_height_and_weight(patient.height_cm, patient.weight_kg, patient.age_years), None


def _stated_size(scan: Event) -> PatientSize | None:
    if scan.water_equivalent_diameter_mm is None:
        return None
    return PatientSize(
        diameter_mm=scan.water_equivalent_diameter_mm,
        relative_standard_uncertainty=coefficients.component_uncertainties()["diameter-from-localiser"].relative,
        method="water-equivalent diameter as stated",
        source="the dose report",
    )
