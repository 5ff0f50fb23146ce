"""What air kerma entered the patient in a radiograph, without and with backscatter? From what its exposures state.

DRLs of radiography are of one exposure, so a row holds the exposure with the largest incident air kerma; procedures
with fluoroscopy have none (their skin dose is in ``exam_skin``). What the device displays of an exposure goes first,
as it belongs to it: entrance exposure, reference air kerma, KAP over the field. Where it displays none of them, the
output of the tube measured in quality control gives the kerma of the mAs. The distance from source to skin must be
stated or not be needed: no thickness of the patient is assumed.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import NamedTuple

from msgspec import structs

from doseatlas.dicom import is_fluoroscopy
from doseatlas.dosimetry.calibration import Certificate, CertificateBook, traceability_flag
from doseatlas.dosimetry.estimate import DosimetryColumn, Estimate, NotEstimated
from doseatlas.dosimetry.exam_calibration import ExamCalibration, exam_calibration
from doseatlas.dosimetry.projection import (
    INCIDENT,
    entrance_surface,
    incident_from_kap,
    incident_from_output,
    incident_from_reference,
)
from doseatlas.dosimetry.tube_output import TUBE_OUTPUT, output_for
from doseatlas.dosimetry.uncertainty import from_limits, of_product
from doseatlas.model import Event, Exam, Filter

ENTRANCE_COLUMNS: tuple[DosimetryColumn, ...] = (
    DosimetryColumn(
        "incident_air_kerma_mgy",
        "float64",
        "radiography: largest incident air kerma of one exposure (no backscatter), stated or derived",
    ),
    DosimetryColumn("incident_air_kerma_uncertainty_mgy", "float64", "its standard uncertainty (k = 1)"),
    DosimetryColumn("entrance_surface_air_kerma_mgy", "float64", "radiography: the same with backscatter"),
    DosimetryColumn("entrance_surface_air_kerma_uncertainty_mgy", "float64", "its standard uncertainty (k = 1)"),
    DosimetryColumn("entrance_kerma_method", "string", "how both were found, or why an exposure has none"),
)
STATED = "entrance exposure as stated"
TUBE_MM_AL = 3.0
"""Filtration of the tube itself, which reports do not state; as in the skin dose."""
_MOST_APART = 2.0  # mAs as stated and current times time: further apart, one of them is in another unit


class _Exposure(NamedTuple):
    """The incident air kerma of an event, or why it has none, and its half-value layer (mm Al) if that was measured."""

    event: Event
    incident: Estimate | NotEstimated
    hvl_mm_al: float | None = None


def exam_entrance(
    exam: Exam, *, device: str | None, certificates: CertificateBook, plausible: bool
) -> dict[str, object]:
    """Return the columns of ``ENTRANCE_COLUMNS`` for a merged exam; nothing but for plausible radiography.

    What is displayed is corrected by the certificate of the device and day; the tube's output is one of them.
    """
    row: dict[str, object] = dict.fromkeys(column.name for column in ENTRANCE_COLUMNS)
    if not plausible or not _is_radiography(exam):
        return row
    calibration = exam_calibration(exam, device, certificates)
    output = calibration.covering(TUBE_OUTPUT)
    found = [_exposure(event, calibration, output) for event in exam.events]
    known = [(one.incident, one) for one in found if isinstance(one.incident, Estimate)]
    if not known:
        reasons = [one.incident.message for one in found if isinstance(one.incident, NotEstimated)]
        row["entrance_kerma_method"] = f"not derived: {reasons[0]}"
        return row
    incident, largest = max(known, key=lambda pair: pair[0].value)
    row["incident_air_kerma_mgy"] = incident.value
    row["incident_air_kerma_uncertainty_mgy"] = incident.standard_uncertainty
    event = largest.event
    layer = event.half_value_layer_mm or largest.hvl_mm_al or _half_value_layer_mm(event.kvp, event.filters)
    surface = entrance_surface(incident, event.kvp, layer, _side_at_skin_cm(event))
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


def _exposure(event: Event, calibration: ExamCalibration, output: Certificate | None) -> _Exposure:
    """Return an exposure's incident air kerma: from what is displayed, else from the output of the tube."""
    displayed = _from_display(event, calibration)
    if isinstance(displayed, Estimate):
        return _Exposure(event, displayed)
    if output is None:
        message = f"{displayed.message} No measured output of the tube covers the day."
        return _Exposure(event, structs.replace(displayed, message=message))
    by_output = _from_output(event, output)
    said = by_output.incident
    if isinstance(said, Estimate):
        method = f"tube output of {output.id} by inverse square ({displayed.message.rstrip('.')})"
        return by_output._replace(incident=structs.replace(said, method=method))
    reasons = dict.fromkeys((displayed.message, f"By the tube output of {output.id}: {said.message}"))
    return _Exposure(event, structs.replace(said, message=" ".join(reasons)))


def _from_output(event: Event, certificate: Certificate) -> _Exposure:
    assert certificate.tube_output is not None
    loading = _tube_loading(event)
    if isinstance(loading, NotEstimated):
        return _Exposure(event, loading)
    output = output_for(certificate.tube_output, event.kvp, event.filters, INCIDENT)
    if isinstance(output, NotEstimated):
        return _Exposure(event, output)
    incident = incident_from_output(
        output.output_mgy_per_mas,
        loading[0],
        certificate.tube_output.distance_mm,
        event.source_to_entrance_mm,
        output_relative_uncertainty=of_product(output.relative_standard_uncertainty, loading[1]),
    )
    if isinstance(incident, NotEstimated):
        return _Exposure(event, incident)
    untraced = traceability_flag(certificate)
    flags = (*output.flags, *((untraced,) if untraced else ()))
    source = f"certificate {certificate.id}, {certificate.laboratory}, {certificate.issued_on}; {incident.source}"
    return _Exposure(event, structs.replace(incident, source=source, flags=flags), output.hvl_mm_al)


def _tube_loading(event: Event) -> tuple[float, float] | NotEstimated:
    """Return the tube loading (mAs) and its relative standard uncertainty; none where what is stated contradicts.

    As stated, else tube current times exposure time, which also goes before a whole number that it rounds to: images
    may state whole mAs only, and of few mAs that is a rough figure (GUM 4.3.7).
    """
    stated, product = event.exposure_mas, None
    if event.tube_current_ma is not None and event.exposure_time_ms is not None:
        product = event.tube_current_ma * event.exposure_time_ms / 1000
    if stated and product and not 1 / _MOST_APART <= stated / product <= _MOST_APART:
        message = f"The tube loading is {stated:g} mAs, and tube current times time are {product:g} mAs."
        return NotEstimated(quantity=INCIDENT, code="tube-loading-doubtful", message=message)
    whole = stated is not None and stated == round(stated)
    if product and (not stated or (whole and abs(product - stated) < 1)):
        return product, 0.0
    if not stated:
        return NotEstimated(quantity=INCIDENT, code="not-stated", message="The tube loading (mAs) is not stated.")
    return stated, from_limits(0.5) / stated if whole else 0.0


def _from_display(event: Event, calibration: ExamCalibration) -> Estimate | NotEstimated:
    """Return an exposure's incident air kerma: as stated, else from reference air kerma, else from KAP; corrected."""
    stated = event.entrance_exposure_mgy
    if stated is not None and stated > 0:
        factor, relative = calibration.of_event("entrance_air_kerma_mgy", event)
        return Estimate(
            quantity=INCIDENT,
            value=factor * stated,
            standard_uncertainty=relative * factor * stated,
            method=STATED,
            source="the dose report",
        )
    skin, reference = event.source_to_entrance_mm, event.reference_air_kerma_mgy
    if reference and event.source_to_reference_point_mm is not None:
        factor, relative = calibration.of_event("reference_air_kerma_mgy", event)
        return incident_from_reference(
            factor * reference, event.source_to_reference_point_mm, skin, kerma_relative_uncertainty=relative
        )
    factor, relative = calibration.of_event("kap_gy_cm2", event)
    product = None if event.kap_gy_cm2 is None else factor * event.kap_gy_cm2
    return incident_from_kap(product, _area_at_skin_cm2(event), kap_relative_uncertainty=relative)


def _area_at_skin_cm2(event: Event) -> float | None:
    """Return the area of the field at the skin; ``None`` where something for it is not stated."""
    area, detector, skin = event.collimated_field_area_cm2, event.source_to_detector_mm, event.source_to_entrance_mm
    if area is None and event.collimated_field_width_mm is not None and event.collimated_field_height_mm is not None:
        area = event.collimated_field_width_mm * event.collimated_field_height_mm / 100
    if not area or not detector or not skin or min(area, detector, skin) < 0 or skin > detector:
        return None
    return area * (skin / detector) ** 2


def _side_at_skin_cm(event: Event) -> float | None:
    """Return the side of the square that scatters like the field at the skin: 2ab/(a + b), of an area its root."""
    area, width, height = _area_at_skin_cm2(event), event.collimated_field_width_mm, event.collimated_field_height_mm
    if area is None:
        return None
    if not width or not height or min(width, height) < 0:
        return sqrt(area)
    # 2ab/(a + b) = sqrt(ab) * 2 sqrt(ab)/(a + b), so that the stated area counts where both are stated.
    return sqrt(area) * 2 * sqrt(width * height) / (width + height)


@lru_cache(maxsize=1024)
def _half_value_layer_mm(kvp: float | None, filters: tuple[Filter, ...]) -> float | None:
    """Return the half-value layer (mm Al) of tube voltage and added filters; ``None`` without voltage."""
    if kvp is None:
        return None
    from doseatlas.dosimetry.skin import half_value_layer_mm

    return half_value_layer_mm(kvp, filters, TUBE_MM_AL)
