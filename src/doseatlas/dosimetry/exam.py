"""Which dosimetric columns does an exam get? Everything that follows from what it states, in one row for the mart.

The caller says what standardisation found (procedure, which events are scans of the patient) and which certificates
there are; nothing is looked up here. A column without a value says why in ``dosimetry_flags``; the stated values stay
in their own columns.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from doseatlas.dosimetry.calibration import CertificateBook, CorrectedValue, certificate_on, correct
from doseatlas.dosimetry.ct_effective_dose import Dlp, ct_effective_dose
from doseatlas.dosimetry.estimate import Estimate, NotEstimated
from doseatlas.dosimetry.exam_ssde import ssde_of_scans
from doseatlas.dosimetry.image_sizes import PLACE_MM, ImageSizes, imaged_range_mm
from doseatlas.dosimetry.mammography import check_mammography
from doseatlas.dosimetry.nuclear import CARD, ActivityComparison, compare_activity, nuclear_effective_dose
from doseatlas.dosimetry.overscan import overscan_flag, overscan_mm
from doseatlas.dosimetry.projection import kap_unit_flag, projection_effective_dose
from doseatlas.dosimetry.tables import ct_regions, nuclear_agent, target_regions
from doseatlas.model import Event, Exam, Note
from doseatlas.reference import coefficients

_SAME_TOTAL = 0.01
_NO_CERTIFICATES = CertificateBook()
DISPLAY_TOLERANCE = "display tolerance"
CERTIFIED = frozenset(
    {"dlp_mgy_cm", "ctdi_vol_mgy", "kap_gy_cm2", "reference_air_kerma_mgy", "administered_activity_mbq"}
)
"""Quantities whose certificates correct something."""
# kind of exam -> totals that certificates are for
DISPLAYS = {
    "ct": ("dlp_mgy_cm",),
    "projection": ("kap_gy_cm2", "reference_air_kerma_mgy"),
    "nuclear": ("administered_activity_mbq",),
}


class DosimetryColumn(NamedTuple):
    """A column that this room adds to the mart."""

    name: str
    type: str
    meaning: str


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
    DosimetryColumn("ssde_method", "string", "'stated', or how the size for the derived SSDE was found"),
    DosimetryColumn("patient_diameter_mm", "float64", "CT: diameter that the derived SSDE used, weighted by DLP"),
    DosimetryColumn(
        "patient_diameter_central_mm", "float64", "CT: diameter at the middle of the scans, where images were measured"
    ),
    DosimetryColumn("dlp_corrected_mgy_cm", "float64", "CT: DLP corrected by certificate; as stated without one"),
    DosimetryColumn("dlp_relative_uncertainty", "float64", "relative standard uncertainty of it, common to the device"),
    DosimetryColumn(
        "kap_corrected_gy_cm2", "float64", "projection: KAP corrected by certificate; as stated without one"
    ),
    DosimetryColumn("kap_relative_uncertainty", "float64", "relative standard uncertainty of it, common to the device"),
    DosimetryColumn(
        "reference_air_kerma_corrected_mgy", "float64", "projection: likewise the air kerma at the reference point"
    ),
    DosimetryColumn("reference_air_kerma_relative_uncertainty", "float64", "relative standard uncertainty of it"),
    DosimetryColumn(
        "administered_activity_corrected_mbq", "float64", "nuclear medicine: activity corrected by certificate"
    ),
    DosimetryColumn("administered_activity_relative_uncertainty", "float64", "relative standard uncertainty of it"),
    DosimetryColumn("recommended_activity_mbq", "float64", "nuclear medicine, children: EANM dosage card by weight"),
    DosimetryColumn("activity_ratio", "float64", "administered over recommended activity"),
    DosimetryColumn(
        "calibration", "string", "ids of the certificates; 'display tolerance' for a value that none covers on the day"
    ),
    DosimetryColumn(
        "dosimetry_flags", "list<string>", "codes of what weakens or prevents the values (dosimetry/tables/flags.csv)"
    ),
)
CORRECTED_COLUMNS = {
    "dlp_mgy_cm": ("dlp_corrected_mgy_cm", "dlp_relative_uncertainty"),
    "kap_gy_cm2": ("kap_corrected_gy_cm2", "kap_relative_uncertainty"),
    "reference_air_kerma_mgy": ("reference_air_kerma_corrected_mgy", "reference_air_kerma_relative_uncertainty"),
    "administered_activity_mbq": ("administered_activity_corrected_mbq", "administered_activity_relative_uncertainty"),
}


def exam_dosimetry(
    exam: Exam,
    *,
    procedure: str | None,
    scans: Sequence[Event],
    device: str | None = None,
    certificates: CertificateBook = _NO_CERTIFICATES,
    coefficient_set: str = coefficients.DEFAULT_CT_SET,
    image_sizes: ImageSizes | None = None,
) -> dict[str, object]:
    """Return the columns of ``DOSIMETRY_COLUMNS`` for a merged exam.

    Args:
        exam: the exam; implausible patient values already removed.
        procedure: id of the standard procedure.
        scans: its CT events that are scans of the patient, neither localiser nor bolus tracking.
        device: the name under which certificates know the device.
        certificates: the certificates in force.
        coefficient_set: coefficients for CT.
        image_sizes: what was measured in the exam's axial images and localisers.

    """
    row: dict[str, object] = dict.fromkeys(column.name for column in DOSIMETRY_COLUMNS)
    codes: list[str] = []
    corrected = _corrected(exam, device, certificates, codes)
    for quantity, value in corrected.items():
        name, uncertainty = CORRECTED_COLUMNS[quantity]
        row[name], row[uncertainty] = value.value, value.relative_standard_uncertainty
    if corrected:
        used = dict.fromkeys(value.certificate or DISPLAY_TOLERANCE for value in corrected.values())
        row["calibration"] = "; ".join(used)
    dose = _effective_dose(exam, procedure, corrected, coefficient_set)
    if isinstance(dose, Estimate):
        row["effective_dose_msv"], row["effective_dose_set"] = dose.value, dose.coefficient_set
        row["effective_dose_uncertainty_msv"] = dose.standard_uncertainty
        codes += [flag.code for flag in dose.flags]
    elif dose is not None:
        codes.append(f"no-effective-dose:{dose.code}")
    if exam.kind == "ct":
        _add_ssde(row, codes, exam, procedure, scans, corrected, image_sizes)
        codes += [flag.code for scan in scans if image_sizes and (flag := _overscan(scan, image_sizes))]
    elif exam.kind == "projection":
        suspect = kap_unit_flag(exam.totals.kap_gy_cm2, exam.totals.reference_air_kerma_mgy)
        codes += [suspect.code] if suspect else []
    elif exam.kind == "mammography":
        check = check_mammography(exam)
        codes += [flag.code for flag in check.flags] + (["views-missing"] if check.missing_views else [])
    elif exam.kind == "nuclear":
        _add_recommendation(row, exam, procedure, corrected)
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
    image_sizes: ImageSizes | None = None,
) -> list[Method]:
    """Return method and source of the values that :func:`exam_dosimetry` derives, by the same rules.

    For what is not estimated, the method is the reason.
    """
    corrected = _corrected(exam, device, certificates, [])
    methods = [Method(CORRECTED_COLUMNS[name][0], one.method, one.source) for name, one in corrected.items()]
    dose = _effective_dose(exam, procedure, corrected, coefficients.DEFAULT_CT_SET)
    found: list[Estimate | NotEstimated] = [] if dose is None else [dose]
    if exam.kind == "ct" and not (scans and all(scan.ssde_mgy is not None for scan in scans)):
        of_scans = ssde_of_scans(exam, procedure, scans, corrected.get("dlp_mgy_cm"), image_sizes)
        found += [of_scans] if isinstance(of_scans, NotEstimated) else [one.ssde for one in of_scans]
    for one in found:
        said = one.source if isinstance(one, Estimate) else ""
        methods.append(Method(one.quantity, one.method if isinstance(one, Estimate) else one.message, said))
    return list(dict.fromkeys(methods))


def _corrected(
    exam: Exam, device: str | None, certificates: CertificateBook, codes: list[str]
) -> dict[str, CorrectedValue]:
    found: dict[str, CorrectedValue] = {}
    for quantity in DISPLAYS.get(exam.kind, ()):
        value = corrected_total(exam, quantity, device, certificates)
        if isinstance(value, CorrectedValue):
            found[quantity] = value
            codes += [flag.code for flag in value.flags]
    return found


def corrected_total(
    exam: Exam, quantity: str, device: str | None, certificates: CertificateBook
) -> CorrectedValue | NotEstimated:
    """Return a total of an exam corrected by the certificate of its device and day, at the mean tube voltage.

    A certificate of CTDIvol corrects the DLP too, as that is CTDIvol times length (IEC 60601-2-44).
    """
    day = _day(exam.study_date)
    certificate = certificate_on(certificates, device, quantity, day)
    if certificate is None and quantity == "dlp_mgy_cm":
        certificate = certificate_on(certificates, device, "ctdi_vol_mgy", day)
        certificate = certificate and structs.replace(certificate, quantity=quantity)
    kvp = None
    if certificate is not None:
        voltages = [event.kvp for event in exam.events if event.kvp is not None]
        kvp = sum(voltages) / len(voltages) if voltages else None
    phantoms = {event.phantom_cm for event in exam.events if event.dlp_mgy_cm}
    phantom = phantoms.pop() if len(phantoms) == 1 else None
    return correct(quantity, getattr(exam.totals, quantity), certificate, kvp=kvp, phantom_cm=phantom)


def _day(text: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _effective_dose(
    exam: Exam, procedure: str | None, corrected: dict[str, CorrectedValue], coefficient_set: str
) -> Estimate | NotEstimated | None:
    """Return the effective dose of an exam, ``None`` for the kinds that have none (mammography)."""
    age = exam.patient.age_years
    if exam.kind == "ct" and (dlp := corrected.get("dlp_mgy_cm")):
        known = ct_regions().get(procedure or "")
        regions = known.regions if known else frozenset[str]()
        return ct_effective_dose(
            dlp_parts(exam, regions, dlp),
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


def dlp_parts(exam: Exam, regions: frozenset[str], dlp: CorrectedValue) -> list[Dlp]:
    """Return the corrected DLP by event where the events add up to the total, else as one on their common phantom.

    An event's target region splits an exam of several regions, or stands in for a procedure that is not mapped;
    within one region it is not believed, as consoles state it for the protocol rather than for the scan.
    """
    factor = dlp.value / dlp.displayed if dlp.displayed else 1.0
    events = [event for event in exam.events if event.dlp_mgy_cm is not None]
    total = sum(event.dlp_mgy_cm or 0.0 for event in events)
    if events and abs(total - dlp.displayed) <= _SAME_TOTAL * dlp.displayed:
        return [Dlp(factor * (e.dlp_mgy_cm or 0.0), e.phantom_cm, _event_regions(e, regions)) for e in events]
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
    corrected: dict[str, CorrectedValue],
    image_sizes: ImageSizes | None,
) -> None:
    if scans and all(scan.ssde_mgy is not None for scan in scans):
        row["ssde_method"] = "stated"
        return
    found = ssde_of_scans(exam, procedure, scans, corrected.get("dlp_mgy_cm"), image_sizes)
    if isinstance(found, NotEstimated):
        codes.append(f"no-ssde:{found.code}")
        return
    row["ssde_derived_mgy"] = sum(one.weight * one.ssde.value for one in found)
    row["ssde_derived_uncertainty_mgy"] = sum(one.weight * one.ssde.standard_uncertainty for one in found)
    row["patient_diameter_mm"] = sum(one.weight * one.diameter_mm for one in found)
    centres = [one.weight * one.central_mm for one in found if one.central_mm is not None]
    if len(centres) == len(found):
        row["patient_diameter_central_mm"] = sum(centres)
    row["ssde_method"] = "; ".join(dict.fromkeys(one.ssde.method.split(", ", 1)[1] for one in found))
    codes += [flag.code for one in found for flag in one.ssde.flags]


def _overscan(scan: Event, sizes: ImageSizes) -> Note | None:
    """Return a flag where a scan irradiates much more than its own images show."""
    imaged = imaged_range_mm(sizes, scan.event_uid) if scan.event_uid else None
    if imaged is None:
        return None
    beyond = overscan_mm(scan.exposed_range_mm, *imaged, PLACE_MM)
    return overscan_flag(beyond, scan.total_collimation_mm, scan.pitch)


def _add_recommendation(
    row: dict[str, object], exam: Exam, procedure: str | None, corrected: dict[str, CorrectedValue]
) -> None:
    activity = corrected.get("administered_activity_mbq")
    age = exam.patient.age_years
    if activity is None or age is None or age >= coefficients.ADULT_AGE_YEARS:
        return
    agent = nuclear_agent(exam.totals.radiopharmaceutical, exam.totals.radionuclide, procedure)
    found = compare_activity(activity.value, exam.patient.weight_kg, agent, CARD)
    if isinstance(found, ActivityComparison):
        row["recommended_activity_mbq"], row["activity_ratio"] = found.recommended_low_mbq, found.ratio
