"""Which dosimetric columns does an exam get? Everything that follows from what it states, in one row for the mart.

The caller says what standardisation found (procedure, which events are scans of the patient) and which certificates
there are; nothing is looked up here. A column without a value says why in ``dosimetry_flags``; the stated values stay
in their own columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from doseatlas.dosimetry.calibration import CertificateBook
from doseatlas.dosimetry.correction import CorrectedValue
from doseatlas.dosimetry.ct_effective_dose import Dlp, ct_effective_dose
from doseatlas.dosimetry.estimate import DosimetryColumn, Estimate, NotEstimated
from doseatlas.dosimetry.exam_calibration import (
    CALIBRATION_COLUMNS,
    CORRECTED_COLUMNS,
    NOTHING_DISPLAYED,
    SAME_TOTAL,
    ExamCalibration,
    calibration_text,
    corrected_displays,
    exam_calibration,
)
from doseatlas.dosimetry.exam_ssde import ssde_of_scans
from doseatlas.dosimetry.image_sizes import PLACE_MM, ImageSizes, imaged_range_mm
from doseatlas.dosimetry.mammography import check_mammography
from doseatlas.dosimetry.nuclear import ActivityComparison, compare_activity, nuclear_effective_dose
from doseatlas.dosimetry.overscan import overscan_flag, overscan_mm
from doseatlas.dosimetry.projection import kap_unit_flag, projection_effective_dose
from doseatlas.dosimetry.tables import ct_regions, nuclear_agent, target_regions
from doseatlas.model import Event, Exam, Note
from doseatlas.reference import coefficients

_NO_CERTIFICATES = CertificateBook()
DOSIMETRY_COLUMNS: tuple[DosimetryColumn, ...] = (
    DosimetryColumn(
        "effective_dose_msv", "float64", "effective dose of a reference person; null where there is no coefficient"
    ),
    DosimetryColumn("effective_dose_uncertainty_msv", "float64", "its standard uncertainty (k = 1)"),
    DosimetryColumn("effective_dose_set", "string", "coefficient set of the effective dose"),
    DosimetryColumn(
        "ssde_derived_mgy", "float64", "CT: SSDE derived here, weighted by DLP; null where the report states it"
    ),
    DosimetryColumn("ssde_derived_uncertainty_mgy", "float64", "its standard uncertainty (k = 1)"),
    DosimetryColumn(
        "ssde_central_mgy", "float64", "CT: SSDE derived at the middle of the scans, where images were measured"
    ),
    DosimetryColumn("ssde_method", "string", "'stated', or how the size for the derived SSDE was found"),
    DosimetryColumn("patient_diameter_mm", "float64", "CT: diameter that the derived SSDE used, weighted by DLP"),
    DosimetryColumn(
        "patient_diameter_central_mm", "float64", "CT: diameter at the middle of the scans, where images were measured"
    ),
    *CALIBRATION_COLUMNS,
    DosimetryColumn(
        "recommended_activity_mbq",
        "float64",
        "nuclear medicine, children: activity recommended for the weight; null where the guideline gives a range",
    ),
    DosimetryColumn("recommended_activity_low_mbq", "float64", "its lower end; of a guideline with one value, that"),
    DosimetryColumn("recommended_activity_high_mbq", "float64", "its upper end; of a guideline with one value, that"),
    DosimetryColumn("activity_guideline", "string", "guideline of the recommended activity"),
    DosimetryColumn(
        "activity_ratio", "float64", "administered over recommended activity; of a range over its nearer end, 1 within"
    ),
    DosimetryColumn(
        "dosimetry_flags", "list<string>", "codes of what weakens or prevents the values (dosimetry/tables/flags.csv)"
    ),
)


def exam_dosimetry(
    exam: Exam,
    *,
    procedure: str | None,
    scans: Sequence[Event],
    device: str | None = None,
    certificates: CertificateBook = _NO_CERTIFICATES,
    coefficient_set: str = coefficients.DEFAULT_CT_SET,
    activity_guideline: str = coefficients.EANM_CARD,
    image_sizes: ImageSizes | None = None,
    displayed: Mapping[str, object] = NOTHING_DISPLAYED,
) -> dict[str, object]:
    """Return the columns of ``DOSIMETRY_COLUMNS`` for a merged exam.

    Args:
        exam: the exam; implausible patient values already removed.
        procedure: id of the standard procedure.
        scans: its CT events that are scans of the patient, neither localiser nor bolus tracking.
        device: the name under which certificates know the device.
        certificates: the certificates in force.
        coefficient_set: coefficients for CT.
        activity_guideline: recommended activities for children.
        image_sizes: what was measured in the exam's axial images and localisers.
        displayed: the columns of the mart that hold what it states, to be corrected; totals are the exam's own where
            they lack, means of its exposures are not corrected then.

    """
    row: dict[str, object] = dict.fromkeys(column.name for column in DOSIMETRY_COLUMNS)
    codes: list[str] = []
    calibration = exam_calibration(exam, device, certificates)
    corrected = corrected_displays(exam, calibration, scans, displayed)
    for quantity, value in corrected.items():
        name, uncertainty = CORRECTED_COLUMNS[quantity]
        row[name], row[uncertainty] = value.value, value.relative_standard_uncertainty
        codes += [flag.code for flag in value.flags]
    row["calibration"] = calibration_text(corrected)
    dose = _effective_dose(exam, procedure, corrected, calibration, coefficient_set)
    if isinstance(dose, Estimate):
        row["effective_dose_msv"], row["effective_dose_set"] = dose.value, dose.coefficient_set
        row["effective_dose_uncertainty_msv"] = dose.standard_uncertainty
        codes += [flag.code for flag in dose.flags]
    elif dose is not None:
        codes.append(f"no-effective-dose:{dose.code}")
    if exam.kind == "ct":
        _add_ssde(row, codes, exam, procedure, scans, calibration, image_sizes)
        codes += [flag.code for scan in scans if image_sizes and (flag := _overscan(scan, image_sizes))]
    elif exam.kind == "projection":
        suspect = kap_unit_flag(exam.totals.kap_gy_cm2, exam.totals.reference_air_kerma_mgy)
        codes += [suspect.code] if suspect else []
    elif exam.kind == "mammography":
        check = check_mammography(exam)
        codes += [flag.code for flag in check.flags] + (["views-missing"] if check.missing_views else [])
    elif exam.kind == "nuclear":
        recommended = _recommendation(exam, procedure, corrected, activity_guideline)
        if isinstance(recommended, ActivityComparison):
            _add_recommendation(row, recommended)
    row["dosimetry_flags"] = list(dict.fromkeys(codes))
    return row


class Method(NamedTuple):
    """How a value of an exam was derived, and from what."""

    quantity: str
    method: str
    source: str


def exam_methods(
    exam: Exam,
    *,
    procedure: str | None,
    scans: Sequence[Event],
    device: str | None = None,
    certificates: CertificateBook = _NO_CERTIFICATES,
    coefficient_set: str = coefficients.DEFAULT_CT_SET,
    activity_guideline: str = coefficients.EANM_CARD,
    image_sizes: ImageSizes | None = None,
    displayed: Mapping[str, object] = NOTHING_DISPLAYED,
) -> list[Method]:
    """Return method and source of the values that :func:`exam_dosimetry` derives, by the same rules.

    For what is not estimated, the method is the reason.
    """
    calibration = exam_calibration(exam, device, certificates)
    corrected = corrected_displays(exam, calibration, scans, displayed)
    methods = [Method(CORRECTED_COLUMNS[name][0], one.method, one.source) for name, one in corrected.items()]
    dose = _effective_dose(exam, procedure, corrected, calibration, coefficient_set)
    found: list[Estimate | NotEstimated] = [] if dose is None else [dose]
    if exam.kind == "ct" and not (scans and all(scan.ssde_mgy is not None for scan in scans)):
        of_scans = ssde_of_scans(exam, procedure, scans, calibration, image_sizes)
        found += [of_scans] if isinstance(of_scans, NotEstimated) else [one.of_scan.ssde for one in of_scans]
    for one in found:
        said = one.source if isinstance(one, Estimate) else ""
        methods.append(Method(one.quantity, one.method if isinstance(one, Estimate) else one.message, said))
    if exam.kind == "nuclear":
        methods += _recommended_by(_recommendation(exam, procedure, corrected, activity_guideline))
    return list(dict.fromkeys(methods))


def _effective_dose(
    exam: Exam,
    procedure: str | None,
    corrected: dict[str, CorrectedValue],
    calibration: ExamCalibration,
    coefficient_set: str,
) -> Estimate | NotEstimated | None:
    """Return the effective dose of an exam, ``None`` for the kinds that have none (mammography)."""
    age = exam.patient.age_years
    if exam.kind == "ct" and (dlp := corrected.get("dlp_mgy_cm")):
        known = ct_regions().get(procedure or "")
        regions = known.regions if known else frozenset[str]()
        return ct_effective_dose(
            dlp_parts(exam, regions, dlp, calibration),
            regions,
            age,
            coefficient_set=coefficient_set,
            dlp_relative_uncertainty=dlp.relative_standard_uncertainty,
        )
    if exam.kind == "projection" and (kap := corrected.get("kap_gy_cm2")):
        return projection_effective_dose(
            kap.value, procedure, age, kap_relative_uncertainty=kap.relative_standard_uncertainty
        )
    if exam.kind == "nuclear" and (activity := corrected.get("administered_activity_mbq")):
        return nuclear_effective_dose(
            activity.value,
            nuclear_agent(exam.totals.radiopharmaceutical, exam.totals.radionuclide, procedure),
            age,
            activity_relative_uncertainty=activity.relative_standard_uncertainty,
        )
    return None


def dlp_parts(exam: Exam, regions: frozenset[str], dlp: CorrectedValue, calibration: ExamCalibration) -> list[Dlp]:
    """Return the DLP by event, each corrected, where the events add up to the total, else as one on their phantom.

    An event's target region splits an exam of several regions, or stands in for a procedure that is not mapped;
    within one region it is not believed, as consoles state it for the protocol rather than for the scan.
    """
    events = [event for event in exam.events if event.dlp_mgy_cm is not None]
    total = sum(event.dlp_mgy_cm or 0.0 for event in events)
    if events and abs(total - dlp.displayed) <= SAME_TOTAL * dlp.displayed:
        return [
            Dlp(
                calibration.of_event("dlp_mgy_cm", event)[0] * (event.dlp_mgy_cm or 0.0),
                event.phantom_cm,
                _event_regions(event, regions),
            )
            for event in events
        ]
    phantoms = {event.phantom_cm for event in exam.events if event.dlp_mgy_cm}
    return [Dlp(dlp.value, phantoms.pop() if len(phantoms) == 1 else None)]


def _event_regions(event: Event, regions: frozenset[str]) -> frozenset[str]:
    code = event.target_region_code
    region = target_regions().get((code.scheme, code.value)) if code else None
    if region is None or len(regions) == 1 or (regions and region not in regions):
        return regions
    return frozenset({region})


def _add_ssde(
    row: dict[str, object],
    codes: list[str],
    exam: Exam,
    procedure: str | None,
    scans: Sequence[Event],
    calibration: ExamCalibration,
    image_sizes: ImageSizes | None,
) -> None:
    if scans and all(scan.ssde_mgy is not None for scan in scans):
        row["ssde_method"] = "stated"
        return
    found = ssde_of_scans(exam, procedure, scans, calibration, image_sizes)
    if isinstance(found, NotEstimated):
        codes.append(f"no-ssde:{found.code}")
        return
    row["ssde_derived_mgy"] = sum(weight * one.ssde.value for weight, one in found)
    row["ssde_derived_uncertainty_mgy"] = sum(weight * one.ssde.standard_uncertainty for weight, one in found)
    row["patient_diameter_mm"] = sum(weight * one.diameter_mm for weight, one in found)
    if all(one.central_ssde_mgy is not None for _, one in found):
        row["ssde_central_mgy"] = sum(weight * (one.central_ssde_mgy or 0.0) for weight, one in found)
        row["patient_diameter_central_mm"] = sum(weight * (one.central_diameter_mm or 0.0) for weight, one in found)
    row["ssde_method"] = "; ".join(dict.fromkeys(one.ssde.method.split(", ", 1)[1] for _, one in found))
    codes += [flag.code for _, one in found for flag in one.ssde.flags]


def _overscan(scan: Event, sizes: ImageSizes) -> Note | None:
    """Return a flag where a scan irradiates much more than its own images show."""
    imaged = imaged_range_mm(sizes, scan.event_uid) if scan.event_uid else None
    if imaged is None:
        return None
    beyond = overscan_mm(scan.exposed_range_mm, *imaged, PLACE_MM)
    return overscan_flag(beyond, scan.total_collimation_mm, scan.pitch)


def _recommendation(
    exam: Exam, procedure: str | None, corrected: dict[str, CorrectedValue], guideline: str
) -> ActivityComparison | NotEstimated | None:
    """Return how the activity given to a child stands against a guideline, ``None`` for adults and unknown ages."""
    activity = corrected.get("administered_activity_mbq")
    age = exam.patient.age_years
    if activity is None or age is None or age >= coefficients.ADULT_AGE_YEARS:
        return None
    agent = nuclear_agent(exam.totals.radiopharmaceutical, exam.totals.radionuclide, procedure)
    return compare_activity(activity.value, exam.patient.weight_kg, agent, guideline)


def _add_recommendation(row: dict[str, object], found: ActivityComparison) -> None:
    low, high = found.recommended_low_mbq, found.recommended_high_mbq
    row["recommended_activity_mbq"] = low if low == high else None
    row["recommended_activity_low_mbq"], row["recommended_activity_high_mbq"] = low, high
    row["activity_guideline"], row["activity_ratio"] = found.guideline, found.ratio


def _recommended_by(found: ActivityComparison | NotEstimated | None) -> list[Method]:
    if found is None:
        return []
    if isinstance(found, NotEstimated):
        return [Method(found.quantity, found.message, "")]
    assumed = "".join(f"; {flag.message}" for flag in found.flags)
    return [Method("recommended_activity_mbq", f"{found.guideline}, line {found.exam}{assumed}", found.source)]
