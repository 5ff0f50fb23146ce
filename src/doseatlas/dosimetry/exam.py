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
from doseatlas.dosimetry.estimate import Estimate, NotEstimated, bad_number
from doseatlas.dosimetry.mammography import check_mammography
from doseatlas.dosimetry.nuclear import CARD, ActivityComparison, compare_activity, nuclear_effective_dose
from doseatlas.dosimetry.patient_size import PatientSize, size_from_height_and_weight
from doseatlas.dosimetry.projection import kap_unit_flag, projection_effective_dose
from doseatlas.dosimetry.ssde import QUANTITY as SSDE
from doseatlas.dosimetry.ssde import Region, ssde
from doseatlas.dosimetry.tables import ct_regions, nuclear_agent, target_regions
from doseatlas.dosimetry.uncertainty import from_limits
from doseatlas.model import Event, Exam
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
    image_size: PatientSize | None = None,
) -> dict[str, object]:
    """Return the columns of ``DOSIMETRY_COLUMNS`` for a merged exam.

    Args:
        exam: the exam; implausible patient values already removed.
        procedure: id of the standard procedure.
        scans: its CT events that are scans of the patient, neither localiser nor bolus tracking.
        device: the name under which certificates know the device.
        certificates: the certificates in force.
        coefficient_set: coefficients for CT.
        image_size: diameter from the exam's images or localiser, where they were measured.

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
        _add_ssde(row, codes, exam, procedure, scans, corrected, image_size)
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
    return correct(quantity, getattr(exam.totals, quantity), certificate, kvp=kvp)


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
    image_size: PatientSize | None,
) -> None:
    if scans and all(scan.ssde_mgy is not None for scan in scans):
        row["ssde_method"] = "stated"
        return
    known = ct_regions().get(procedure or "")
    if known is None or known.size_region not in ("head", "body"):
        codes.append("no-ssde:region-not-known")
        return
    region: Region = "head" if known.size_region == "head" else "body"
    patient = exam.patient
    estimates: list[tuple[float, Estimate, float]] = []
    dlp = corrected.get("dlp_mgy_cm")
    displayed = from_limits(coefficients.display_tolerances()["ctdi_vol_mgy"].relative)
    relative = dlp.relative_standard_uncertainty if dlp else displayed
    factor = dlp.value / dlp.displayed if dlp and dlp.displayed else 1.0
    for scan in scans:
        size = _stated_size(scan) or image_size
        if size is None and region == "body":
            size = size_from_height_and_weight(patient.height_cm, patient.weight_kg, patient.age_years)
        dose = None if scan.ctdi_vol_mgy is None else factor * scan.ctdi_vol_mgy
        found = ssde(dose, scan.phantom_cm, region, size, ctdi_relative_uncertainty=relative)
        if isinstance(found, NotEstimated) or size is None:
            codes.append(f"no-ssde:{found.code if isinstance(found, NotEstimated) else 'size-not-known'}")
            return
        weight = 0.0 if bad_number(SSDE, "The DLP", scan.dlp_mgy_cm) else scan.dlp_mgy_cm or 0.0
        estimates.append((weight, found, size.diameter_mm))
    if not estimates:
        codes.append("no-ssde:not-stated")
        return
    total = sum(weight for weight, _, _ in estimates)
    weights = [weight / total if total else 1 / len(estimates) for weight, _, _ in estimates]
    row["ssde_derived_mgy"] = sum(w * one.value for w, (_, one, _) in zip(weights, estimates, strict=True))
    row["ssde_derived_uncertainty_mgy"] = sum(
        w * one.standard_uncertainty for w, (_, one, _) in zip(weights, estimates, strict=True)
    )
    row["patient_diameter_mm"] = sum(w * diameter for w, (_, _, diameter) in zip(weights, estimates, strict=True))
    row["ssde_method"] = "; ".join(dict.fromkeys(one.method.split(", ", 1)[1] for _, one, _ in estimates))
    codes += [flag.code for _, one, _ in estimates for flag in one.flags]


def _stated_size(scan: Event) -> PatientSize | None:
    if scan.water_equivalent_diameter_mm is None:
        return None
    return PatientSize(
        diameter_mm=scan.water_equivalent_diameter_mm,
        relative_standard_uncertainty=coefficients.component_uncertainties()["diameter-from-localiser"].relative,
        method="water-equivalent diameter as stated",
        source="the dose report",
    )


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
