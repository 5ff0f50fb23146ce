"""Which content items does a report of projection X-ray or mammography consist of? TID 10001 to 10007."""

from __future__ import annotations

from doseatlas.dicom.simulate.encoder import Encoder
from doseatlas.dicom.simulate.events import meaning
from doseatlas.dicom.simulate.exams import stated_totals
from doseatlas.dicom.simulate.parts import (
    CONCEPT,
    FROM_GY_CM2,
    FROM_MAS,
    FROM_MGY,
    Numbers,
    code_item,
    code_of_meaning,
    device_role,
    dicom_datetime,
    numbers,
    scope,
)
from doseatlas.dicom.simulate.tables import Dialect
from doseatlas.dicom.simulate.world import SimulatedDevice
from doseatlas.model import Device, Event, Exam, Filter, Totals

_GEOMETRY: Numbers = (
    ("primary_angle_deg", "primary-angle", "deg", 1),
    ("secondary_angle_deg", "secondary-angle", "deg", 1),
    ("detector_rotation_deg", "detector-rotation", "deg", 1),
    ("collimated_field_area_cm2", "field-area", "m2", 1e-4),
    ("collimated_field_height_mm", "field-height", "mm", 1),
    ("collimated_field_width_mm", "field-width", "mm", 1),
)
_SHUTTERS: Numbers = (
    ("shutter_bottom_mm", "shutter-bottom", "mm", 1),
    ("shutter_left_mm", "shutter-left", "mm", 1),
    ("shutter_right_mm", "shutter-right", "mm", 1),
    ("shutter_top_mm", "shutter-top", "mm", 1),
)
_FLUORO: Numbers = (
    ("pulse_rate_hz", "pulse-rate", "{pulse}/s", 1),
    ("pulses", "pulse-count", "1", 1),
    ("irradiation_duration_s", "duration", "s", 1),
)
_TECHNIQUE: Numbers = (
    ("kvp", "kvp", "kV", 1),
    ("tube_current_ma", "current", "mA", 1),
    ("exposure_time_ms", "exposure-time", "ms", 1),
    ("pulse_width_ms", "pulse-width", "ms", 1),
    ("focal_spot_mm", "focal-spot", "mm", 1),
    ("source_to_detector_mm", "source-detector", "mm", 1),
    ("source_to_isocenter_mm", "source-isocenter", "mm", 1),
    ("table_longitudinal_mm", "table-longitudinal", "mm", 1),
    ("table_lateral_mm", "table-lateral", "mm", 1),
    ("table_height_mm", "table-height", "mm", 1),
    ("exposure_index", "exposure-index", "1", 1),
    ("target_exposure_index", "target-exposure-index", "1", 1),
)
_MAMMOGRAPHY: Numbers = (
    ("half_value_layer_mm", "half-value-layer", "mm", 1),
    ("agd_mgy", "agd", "mGy", 1),
    ("compressed_thickness_mm", "compressed-thickness", "mm", 1),
    ("compression_force_n", "compression-force", "N", 1),
)


def projection(encoder: Encoder, exam: Exam, device: SimulatedDevice) -> list[bytes]:
    """TID 10001 with 10002, 10004 or 10007, and 10003."""
    dialect = device.dialect
    planes = ("plane-a", "plane-b") if device.biplane else ("single-plane",)
    totals = [_plane_totals(exam, meaning(plane, dialect), device) for plane in planes]
    items = [scope(encoder, exam)]
    items += [_accumulated(encoder, p, t, exam, device) for p, t in zip(planes, totals, strict=True)]
    return items + [_projection_event(encoder, event, exam.device, dialect) for event in exam.events]


def _plane_totals(exam: Exam, plane: str, device: SimulatedDevice) -> Totals:
    """Totals of one plane: the sum over its own events, zero where it has none."""
    return stated_totals([event for event in exam.events if event.plane == plane], device)


def _accumulated(encoder: Encoder, plane: str, totals: Totals, exam: Exam, device: SimulatedDevice) -> bytes:
    dialect = device.dialect
    kap, kerma = FROM_GY_CM2[dialect.kap_unit], FROM_MGY[dialect.kerma_unit]
    table: Numbers = (
        ("kap_gy_cm2", "kap-total", dialect.kap_unit, kap),
        ("reference_air_kerma_mgy", "air-kerma-total", dialect.kerma_unit, kerma),
        ("fluoro_kap_gy_cm2", "fluoro-kap-total", dialect.kap_unit, kap),
        ("fluoro_reference_air_kerma_mgy", "fluoro-air-kerma-total", dialect.kerma_unit, kerma),
        ("fluoro_time_s", "fluoro-time-total", "s", 1),
        ("acquisition_kap_gy_cm2", "acquisition-kap-total", dialect.kap_unit, kap),
        ("acquisition_reference_air_kerma_mgy", "acquisition-air-kerma-total", dialect.kerma_unit, kerma),
        ("acquisition_time_s", "acquisition-time-total", "s", 1),
        ("radiographic_frames", "frames-total", "1", 1),
    )
    items = [encoder.code("acquisition-plane", plane, (), CONCEPT)]
    if device.model.device_class == "angiography":
        items.append(_calibration(encoder, exam))
    items += numbers(encoder, totals, table)
    if totals.reference_air_kerma_mgy is not None:
        items.append(encoder.code("reference-point", "reference-15cm"))
    return encoder.container("accumulated-x-ray", items, "10002")


def _calibration(encoder: Encoder, exam: Exam) -> bytes:
    return encoder.container(
        "calibration",
        [
            encoder.code("measurement-device", "dosimeter", (), CONCEPT),
            encoder.datetime("calibration-date", f"{(exam.study_date or '')[:4]}0101080000"),
            encoder.num("calibration-factor", 1, "1"),
            encoder.num("calibration-uncertainty", 5, "%"),
            encoder.text("calibration-party", exam.device.manufacturer or ""),
        ],
    )


def _projection_event(encoder: Encoder, event: Event, device: Device, dialect: Dialect) -> bytes:
    """TID 10003 with 10003A to C."""
    kap, kerma = FROM_GY_CM2[dialect.kap_unit], FROM_MGY[dialect.kerma_unit]
    dose: Numbers = (
        ("kap_gy_cm2", "kap", dialect.kap_unit, kap),
        ("reference_air_kerma_mgy", "air-kerma", dialect.kerma_unit, kerma),
        ("entrance_exposure_mgy", "entrance-exposure", "mGy", 1),
    )
    items = _event_head(encoder, event, dialect)
    items.append(encoder.text("acquisition-protocol", event.protocol or ""))
    items += numbers(encoder, event, dose)
    if event.reference_air_kerma_mgy is not None:
        items.append(encoder.code("reference-point", "reference-15cm"))
    items += numbers(encoder, event, _GEOMETRY)
    items += [_filter(encoder, added, dialect) for added in event.filters]
    if event.fluoro_mode:
        items.append(code_of_meaning(encoder, dialect, "fluoro-mode", event.fluoro_mode))
    items += numbers(encoder, event, _FLUORO)
    items += numbers(encoder, event, _TECHNIQUE)
    items += numbers(encoder, event, _exposure(dialect))
    items.append(code_item(encoder, dialect, "target-region", event.target_region_code))
    if shutters := numbers(encoder, event, _SHUTTERS):
        items.append(encoder.container("wedges-and-shutters", shutters))
    if dialect.private:
        items.append(encoder.text("comment", f"<AcquisitionData><Scene name='{event.protocol}'/></AcquisitionData>"))
    if dialect.device_role:
        items.append(device_role(encoder, device))
    return encoder.container("event-x-ray", items, "10003")


def _event_head(encoder: Encoder, event: Event, dialect: Dialect) -> list[bytes]:
    return [
        code_of_meaning(encoder, dialect, "acquisition-plane", event.plane, CONCEPT),
        encoder.uid("event-uid", event.event_uid or ""),
        encoder.datetime("started", dicom_datetime(event.started_at)),
        code_item(encoder, dialect, "event-type", event.acquisition_code),
    ]


def _exposure(dialect: Dialect) -> Numbers:
    return (("exposure_mas", "exposure", dialect.exposure_unit, FROM_MAS[dialect.exposure_unit]),)


def _filter(encoder: Encoder, added: Filter, dialect: Dialect) -> bytes:
    thickness: Numbers = (
        ("thickness_min_mm", "filter-minimum", "mm", 1),
        ("thickness_max_mm", "filter-maximum", "mm", 1),
    )
    items = [
        code_of_meaning(encoder, dialect, "filter-type", added.type),
        code_of_meaning(encoder, dialect, "filter-material", added.material),
        *numbers(encoder, added, thickness),
    ]
    return encoder.container("filters", items)


def mammography(encoder: Encoder, exam: Exam, device: SimulatedDevice) -> list[bytes]:
    """TID 10001 with 10005 and 10003."""
    dialect = device.dialect
    available = ("detector-available", "source-available", "mechanical-available")
    accumulated = [encoder.code("acquisition-plane", "single-plane", (), CONCEPT)]
    for side, agd in (("left-breast", exam.totals.agd_left_mgy), ("right-breast", exam.totals.agd_right_mgy)):
        if agd is not None:
            laterality = encoder.code("laterality", side, (), CONCEPT)
            accumulated.append(encoder.num("agd-total", agd, "mGy", [laterality]))
    items = [scope(encoder, exam), *(encoder.code(key, "yes") for key in available)]
    items.append(encoder.container("accumulated-x-ray", accumulated, "10002"))
    return items + [_mammography_event(encoder, event, exam.device, dialect) for event in exam.events]


def _mammography_event(encoder: Encoder, event: Event, device: Device, dialect: Dialect) -> bytes:
    side = code_of_meaning(encoder, dialect, "laterality", event.laterality, CONCEPT)
    items = _event_head(encoder, event, dialect)
    items += [
        encoder.text("acquisition-protocol", event.protocol or ""),
        encoder.code("anatomical-structure", "breast", [side]),
        code_of_meaning(encoder, dialect, "image-view", event.view),
        encoder.code("target-region", "breast"),
        encoder.num("entrance-exposure", event.entrance_exposure_mgy or 0, "mGy"),
        encoder.code("reference-point", "reference-mammography"),
        *numbers(encoder, event, _MAMMOGRAPHY),
        *numbers(encoder, event, _TECHNIQUE),
        *numbers(encoder, event, _exposure(dialect)),
        code_of_meaning(encoder, dialect, "anode-material", event.anode_material),
        *(_filter(encoder, added, dialect) for added in event.filters),
    ]
    if dialect.device_role:
        items.append(device_role(encoder, device))
    return encoder.container("event-x-ray", items, "10003")
