"""What air kerma entered the patient in a radiograph, without and with backscatter? From what its exposures state.

DRLs of radiography are of one exposure, so a row holds the exposure with the largest incident air kerma; procedures
with fluoroscopy have none (their skin dose is in ``exam_skin``). The distance from source to skin must be stated or not
be needed: no thickness of the patient is assumed. The output of a tube is not in a report, so that
``incident_from_output`` is for those who measured it.
"""

from __future__ import annotations

from math import sqrt

from doseatlas.dicom import is_fluoroscopy
from doseatlas.dosimetry.calibration import CertificateBook, CorrectedValue
from doseatlas.dosimetry.estimate import Estimate, NotEstimated
from doseatlas.dosimetry.exam import DosimetryColumn, corrected_total
from doseatlas.dosimetry.projection import INCIDENT, entrance_surface, incident_from_kap, incident_from_reference
from doseatlas.dosimetry.uncertainty import from_limits
from doseatlas.model import Event, Exam
from doseatlas.reference import coefficients

ENTRANCE_COLUMNS: tuple[DosimetryColumn, ...] = (
    DosimetryColumn(
        "incident_air_kerma_mgy",
        "float64",
        "radiography: largest incident air kerma of one exposure (no backscatter), stated or derived",
    ),
    DosimetryColumn("incident_air_kerma_uncertainty_mgy", "float64", "its standard uncertainty (k = 1)"),
    DosimetryColumn(
        "entrance_surface_air_kerma_mgy", "float64", "radiography: the same with backscatter, coefficient not verified"
    ),
    DosimetryColumn("entrance_surface_air_kerma_uncertainty_mgy", "float64", "its standard uncertainty (k = 1)"),
    DosimetryColumn("entrance_kerma_method", "string", "how both were found, or why an exposure has none"),
)
STATED = "entrance exposure as stated"
TUBE_MM_AL = 3.0
"""Filtration of the tube itself, which reports do not state; as in the skin dose."""


def exam_entrance(
    exam: Exam, *, device: str | None, certificates: CertificateBook, plausible: bool
) -> dict[str, object]:
    """Return the columns of ``ENTRANCE_COLUMNS`` for a merged exam; nothing but for plausible radiography.

    Kerma-area product and reference air kerma are corrected by the certificate of the device and day.
    """
    row: dict[str, object] = dict.fromkeys(column.name for column in ENTRANCE_COLUMNS)
    if not plausible or not _is_radiography(exam):
        return row
    kap = _correction(exam, "kap_gy_cm2", device, certificates)
    kerma = _correction(exam, "reference_air_kerma_mgy", device, certificates)
    found = [(_incident(event, kap, kerma), event) for event in exam.events]
    known = [(one, event) for one, event in found if isinstance(one, Estimate)]
    if not known:
        reasons = dict.fromkeys(one.message for one, _ in found if isinstance(one, NotEstimated))
        row["entrance_kerma_method"] = f"not derived: {next(iter(reasons))}"
        return row
    incident, event = max(known, key=lambda pair: pair[0].value)
    row["incident_air_kerma_mgy"] = incident.value
    row["incident_air_kerma_uncertainty_mgy"] = incident.standard_uncertainty
    surface = entrance_surface(incident, _half_value_layer_mm(event), _side_at_skin_cm(event))
    if isinstance(surface, Estimate):
        row["entrance_surface_air_kerma_mgy"] = surface.value
        row["entrance_surface_air_kerma_uncertainty_mgy"] = surface.standard_uncertainty
        row["entrance_kerma_method"] = "; ".join((surface.method, *(flag.code for flag in surface.flags)))
    return row


def _is_radiography(exam: Exam) -> bool:
    return (
        exam.kind == "projection"
        and bool(exam.events)
        and not exam.totals.fluoro_time_s
        and not any(is_fluoroscopy(event) or (event.frames or 1) > 1 for event in exam.events)
    )


def _correction(exam: Exam, quantity: str, device: str | None, certificates: CertificateBook) -> tuple[float, float]:
    """Return the factor of a certificate for an exam's displayed values, and their relative standard uncertainty."""
    value = corrected_total(exam, quantity, device, certificates)
    if isinstance(value, CorrectedValue) and value.displayed:
        return value.value / value.displayed, value.relative_standard_uncertainty
    return 1.0, from_limits(coefficients.display_tolerances()[quantity].relative)


def _incident(event: Event, kap: tuple[float, float], kerma: tuple[float, float]) -> Estimate | NotEstimated:
    """Return an exposure's incident air kerma: as stated, else from reference air kerma, else from KAP."""
    stated = event.entrance_exposure_mgy
    if stated is not None and stated > 0:
        return Estimate(
            quantity=INCIDENT,
            value=stated,
            standard_uncertainty=stated * from_limits(coefficients.display_tolerances()["kap_gy_cm2"].relative),
            method=STATED,
            source="the dose report",
        )
    skin, reference = event.source_to_entrance_mm, event.reference_air_kerma_mgy
    if reference and event.source_to_reference_point_mm is not None:
        return incident_from_reference(
            kerma[0] * reference, event.source_to_reference_point_mm, skin, kerma_relative_uncertainty=kerma[1]
        )
    side = _side_at_skin_cm(event)
    product = None if event.kap_gy_cm2 is None else kap[0] * event.kap_gy_cm2
    return incident_from_kap(product, None if side is None else side**2, kap_relative_uncertainty=kap[1])


def _side_at_skin_cm(event: Event) -> float | None:
    """Return the side of a square of the field's area at the skin; ``None`` where something for it is not stated."""
    area, detector, skin = event.collimated_field_area_cm2, event.source_to_detector_mm, event.source_to_entrance_mm
    if area is None and event.collimated_field_width_mm is not None and event.collimated_field_height_mm is not None:
        area = event.collimated_field_width_mm * event.collimated_field_height_mm / 100
    if not area or not detector or not skin or min(area, detector, skin) < 0 or skin > detector:
        return None
    return sqrt(area) * skin / detector


def _half_value_layer_mm(event: Event) -> float | None:
    """Return the half-value layer (mm Al) stated, else of tube voltage and filters; ``None`` without voltage."""
    if event.half_value_layer_mm is not None or event.kvp is None:
        return event.half_value_layer_mm
    from doseatlas.dosimetry.skin import half_value_layer_mm

    return half_value_layer_mm(event.kvp, event.filters, TUBE_MM_AL)
