"""Which size-specific dose do the scans of a CT exam give? What one of them gives is in ``scan_ssde``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from doseatlas.dosimetry.estimate import NotEstimated, bad_number
from doseatlas.dosimetry.exam_calibration import ExamCalibration
from doseatlas.dosimetry.image_sizes import ImageSizes
from doseatlas.dosimetry.scan_ssde import ScanDose, ScanSsde, ssde_of_scan
from doseatlas.dosimetry.ssde import QUANTITY, Region
from doseatlas.dosimetry.tables import ct_regions
from doseatlas.model import Event, Exam


class ScanShare(NamedTuple):
    """The SSDE of a scan and its share of the exam's DLP."""

    weight: float
    of_scan: ScanSsde


def ssde_of_scans(
    exam: Exam,
    procedure: str | None,
    scans: Sequence[Event],
    calibration: ExamCalibration,
    image_sizes: ImageSizes | None,
) -> list[ScanShare] | NotEstimated:
    """Return the SSDE of each scan of an exam, or why there is none of the exam.

    Args:
        exam: the exam; implausible patient values already removed.
        procedure: id of the standard procedure.
        scans: its events that are scans of the patient.
        calibration: its certificates, which correct the CTDIvol of each scan.
        image_sizes: what was measured in its images.

    """
    known = ct_regions().get(procedure or "")
    if known is None or known.size_region not in ("head", "body"):
        return _refused("region-not-known", "The procedure is of no region that a report on SSDE covers.")
    if not scans:
        return _refused("not-stated", "No scan of the patient is stated.")
    region: Region = "head" if known.size_region == "head" else "body"
    found: list[ScanShare] = []
    for scan in scans:
        dose = ScanDose(scan.ctdi_vol_mgy, scan.phantom_cm, *calibration.of_event("ctdi_vol_mgy", scan))
        one = ssde_of_scan(scan, exam.patient, region, dose, image_sizes, alone=len(scans) == 1)
        if isinstance(one, NotEstimated):
            return one
        weight = 0.0 if bad_number(QUANTITY, "The DLP", scan.dlp_mgy_cm) else scan.dlp_mgy_cm or 0.0
        found.append(ScanShare(weight, one))
    total = sum(one.weight for one in found)
    return [one._replace(weight=one.weight / total if total else 1 / len(found)) for one in found]


def _refused(code: str, message: str) -> NotEstimated:
    return NotEstimated(quantity=QUANTITY, code=code, message=message)
