"""Which content items does a dose report consist of? One function a template (PS3.16 annex A), from Exam to bytes.

Tables pair a field of the model with its concept, unit and the factor from the model's unit to that unit; a field that
the exam does not state is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from doseatlas.dicom.simulate.encoder import Encoder
from doseatlas.dicom.simulate.events import meaning, stated_code
from doseatlas.dicom.simulate.exams import stated_totals
from doseatlas.dicom.simulate.tables import Dialect, agents, concepts
from doseatlas.dicom.simulate.world import SimulatedDevice
from doseatlas.model import Code, Device, Event, Exam, Filter, Totals

Numbers = tuple[tuple[str, str, str, float], ...]
_CONCEPT, _CONTEXT, _PROPERTY = "HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS PROPERTIES"
# Factors from the model's units (Gy.cm2, mGy, mAs) to the units makers use.
FROM_GY_CM2 = {"Gym2": 1e-4, "Gy.m2": 1e-4, "dGy.cm2": 10.0, "mGy.cm2": 1000.0, "Gy.cm2": 1.0}
FROM_MGY = {"Gy": 1e-3, "mGy": 1.0}
FROM_MAS = {"uAs": 1000.0, "uA.s": 1000.0, "mA.s": 1.0}

_CT_PARAMETERS: Numbers = (
    ("exposure_time_ms", "exposure-time", "s", 1e-3),
    ("scan_length_mm", "scanning-length", "mm", 1),
    ("exposed_range_mm", "exposed-range", "mm", 1),
    ("collimation_mm", "single-collimation", "mm", 1),
    ("total_collimation_mm", "total-collimation", "mm", 1),
    ("pitch", "pitch", "{ratio}", 1),
)
_CT_SOURCE: Numbers = (
    ("kvp", "kvp", "kV", 1),
    ("tube_current_max_ma", "current-max", "mA", 1),
    ("tube_current_ma", "current", "mA", 1),
    ("exposure_time_per_rotation_s", "rotation-time", "s", 1),
)
_GEOMETRY: Numbers = (
    ("primary_angle_deg", "primary-angle", "deg", 1),
    ("secondary_angle_deg", "secondary-angle", "deg", 1),
    ("collimated_field_area_cm2", "field-area", "m2", 1e-4),
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


@cache
def _key_of_meaning(dialect: Dialect) -> dict[str, str]:
    """Keys of concepts by their meaning in a maker's language."""
    return {meaning(key, dialect): key for key in concepts()}


def _numbers(encoder: Encoder, record: Event | Filter | Totals, table: Numbers) -> list[bytes]:
    items = []
    for field, key, unit, factor in table:
        value = getattr(record, field)
        if value is not None:
            items.append(encoder.num(key, value if factor == 1 else float(f"{value * factor:.12g}"), unit))
    return items


@cache
def _key_of_code(dialect: Dialect) -> dict[Code, str]:
    """Keys of concepts by their code in a maker's objects."""
    return {stated_code(key, dialect): key for key in concepts()}


def _code(encoder: Encoder, dialect: Dialect, key: str, stated: str | None, relationship: str = "CONTAINS") -> bytes:
    """A CODE item whose value is the concept with the stated meaning."""
    return encoder.code(key, _key_of_meaning(dialect)[stated or ""], (), relationship)


def _coded(encoder: Encoder, dialect: Dialect, key: str, stated: Code | None) -> bytes:
    """A CODE item whose value is the stated code."""
    if stated is None:
        raise ValueError(f"an event of the simulator states no code for '{key}'")
    return encoder.code(key, _key_of_code(dialect)[stated])


def _datetime(iso: str | None) -> str:
    return (iso or "").replace("-", "").replace(":", "").replace("T", "")


def report_body(encoder: Encoder, exam: Exam, device: SimulatedDevice, procedure: str, document: bytes) -> bytes:
    """The root content item's elements, with those of the SR document module (``document``) among them."""
    if exam.kind == "nuclear":
        items = _nuclear(encoder, exam, device.dialect, procedure)
        return encoder.container_body("nm-report", items, "10021", document=document)
    body: Callable[[Encoder, Exam, SimulatedDevice], list[bytes]]
    key, template, body = {
        "ct": ("ct-x-ray", "10011", _ct),
        "projection": ("projection-x-ray", "10001", _projection),
        "mammography": ("mammography", "10001", _mammography),
    }[exam.kind]
    combined = device.model.device_class == "angiography"
    intent = encoder.code("has-intent", "combined-intent" if combined else "diagnostic-intent", (), _CONCEPT)
    items = [encoder.code("procedure-reported", key, [intent], _CONCEPT), *_observer(encoder, exam.device)]
    items += body(encoder, exam, device)
    items.append(encoder.code("dose-source", "automated-collection"))
    return encoder.container_body("x-ray-report", items, template, document=document)


def _observer(encoder: Encoder, device: Device) -> list[bytes]:
    """Observer context of a device (TID 1002, 1004)."""
    # One UID a device: made from its serial number, which is unique in a world.
    uid = f"2.25.{int.from_bytes((device.serial_number or '').encode(), 'big')}"
    return [
        encoder.code("observer-type", "observer-device", (), _CONTEXT),
        encoder.uid("observer-uid", uid, _CONTEXT),
        encoder.text("observer-name", device.station_name or "", _CONTEXT),
        encoder.text("observer-manufacturer", device.manufacturer or "", _CONTEXT),
        encoder.text("observer-model", device.model or "", _CONTEXT),
        encoder.text("observer-serial", device.serial_number or "", _CONTEXT),
        encoder.text("observer-location", device.institution or "", _CONTEXT),
    ]


def _scope(encoder: Encoder, exam: Exam) -> bytes:
    study = encoder.uid("study-uid", exam.study_instance_uid or "", _PROPERTY)
    return encoder.code("scope-of-accumulation", "scope-study", [study], _CONTEXT)


def _device_role(encoder: Encoder, device: Device) -> bytes:
    """Device participant (TID 1021)."""
    return encoder.code(
        "device-role",
        "irradiating-device",
        [
            encoder.text("device-name", device.station_name or "", _PROPERTY),
            encoder.text("device-manufacturer", device.manufacturer or "", _PROPERTY),
            encoder.text("device-model", device.model or "", _PROPERTY),
            encoder.text("device-serial", device.serial_number or "", _PROPERTY),
        ],
    )


def _ct(encoder: Encoder, exam: Exam, device: SimulatedDevice) -> list[bytes]:
    """TID 10011 with 10012 and 10013."""
    dlp = device.dialect.dlp_unit
    items = [
        encoder.datetime("start-of-irradiation", _datetime(f"{exam.study_date}T{exam.study_time}"), _CONTEXT),
        encoder.datetime("end-of-irradiation", _datetime(exam.content_at), _CONTEXT),
        _scope(encoder, exam),
        encoder.container(
            "ct-accumulated",
            [
                encoder.num("event-total", exam.totals.event_count or 0, "{events}"),
                encoder.num("dlp-total", exam.totals.dlp_mgy_cm or 0, dlp),
            ],
            "10012",
        ),
    ]
    return items + [_ct_event(encoder, event, exam.device, device.dialect) for event in exam.events]


def _ct_event(encoder: Encoder, event: Event, device: Device, dialect: Dialect) -> bytes:
    contrast = "with-contrast" if event.protocol and "Monitoring" in event.protocol else "without-contrast"
    source = [encoder.text("source-identification", "A"), *_numbers(encoder, event, _CT_SOURCE)]
    parameters = _numbers(encoder, event, _CT_PARAMETERS)
    parameters += [
        encoder.num("source-count", 1, "{X-Ray sources}"),
        encoder.container("source-parameters", source),
    ]
    items = [
        encoder.text("acquisition-protocol", event.protocol or ""),
        _coded(encoder, dialect, "target-region", event.target_region_code),
        _coded(encoder, dialect, "ct-acquisition-type", event.acquisition_code),
        encoder.code("procedure-context", contrast),
        encoder.uid("event-uid", event.event_uid or ""),
        encoder.container("ct-parameters", parameters),
        encoder.container("ct-dose", _ct_dose(encoder, event, dialect)),
    ]
    if dialect.private:
        region = f"Organ Characteristic = {event.target_region}, Body Region = Body, X-ray Modulation Type = XYZ_EC"
        items.append(encoder.text("comment", f"Internal technical scan parameters: {region}"))
    else:
        items.append(encoder.text("modulation-type", "XYZ"))
    if dialect.device_role:
        items.append(_device_role(encoder, device))
    return encoder.container("ct-acquisition", items, "10013")


def _ct_dose(encoder: Encoder, event: Event, dialect: Dialect) -> list[bytes]:
    phantom = "phantom-head" if event.phantom_cm == 16 else "phantom-body"
    items = [
        encoder.num("ctdi-vol", event.ctdi_vol_mgy or 0, "mGy"),
        encoder.code("phantom-type", phantom),
        encoder.num("dlp", event.dlp_mgy_cm or 0, dialect.dlp_unit),
    ]
    if event.ctdi_vol_notification_mgy is not None:
        items += _dose_check(encoder, event, dialect)
    if event.ssde_mgy is not None:
        basis = [encoder.code("measurement-method", "aapm-220", (), _CONCEPT)]
        if event.water_equivalent_diameter_mm is not None:
            basis.append(
                encoder.num("water-equivalent-diameter", event.water_equivalent_diameter_mm, "mm", (), "INFERRED FROM")
            )
        items.append(encoder.num("ssde", event.ssde_mgy, "mGy", basis))
    return items


def _dose_check(encoder: Encoder, event: Event, dialect: Dialect) -> list[bytes]:
    """Dose check details (TID 10015): configured levels and forward estimates."""
    dlp = dialect.dlp_unit
    alert = [
        encoder.code("dlp-alert-configured", "no"),
        encoder.code("ctdi-alert-configured", "yes"),
        encoder.num("ctdi-alert", event.ctdi_vol_alert_mgy or 0, "mGy"),
        encoder.num("ctdi-accumulated-estimate", event.ctdi_vol_mgy or 0, "mGy"),
    ]
    notification = [
        encoder.code("dlp-notification-configured", "yes"),
        encoder.code("ctdi-notification-configured", "yes"),
        encoder.num("dlp-notification", event.dlp_notification_mgy_cm or 0, dlp),
        encoder.num("ctdi-notification", event.ctdi_vol_notification_mgy or 0, "mGy"),
        encoder.num("dlp-estimate", event.dlp_mgy_cm or 0, dlp),
        encoder.num("ctdi-estimate", event.ctdi_vol_mgy or 0, "mGy"),
    ]
    return [encoder.container("alert-details", alert), encoder.container("notification-details", notification)]


def _projection(encoder: Encoder, exam: Exam, device: SimulatedDevice) -> list[bytes]:
    """TID 10001 with 10002, 10004 or 10007, and 10003."""
    dialect = device.dialect
    planes = ("plane-a", "plane-b") if device.biplane else ("single-plane",)
    totals = [_plane_totals(exam, meaning(plane, dialect), device) for plane in planes]
    items = [_scope(encoder, exam)]
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
    items = [encoder.code("acquisition-plane", plane, (), _CONCEPT)]
    if device.model.device_class == "angiography":
        items.append(_calibration(encoder, exam))
    items += _numbers(encoder, totals, table)
    if totals.reference_air_kerma_mgy is not None:
        items.append(encoder.code("reference-point", "reference-15cm"))
    return encoder.container("accumulated-x-ray", items, "10002")


def _calibration(encoder: Encoder, exam: Exam) -> bytes:
    return encoder.container(
        "calibration",
        [
            encoder.code("measurement-device", "dosimeter", (), _CONCEPT),
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
    items += _numbers(encoder, event, dose)
    if event.reference_air_kerma_mgy is not None:
        items.append(encoder.code("reference-point", "reference-15cm"))
    items += _numbers(encoder, event, _GEOMETRY)
    items += [_filter(encoder, added, dialect) for added in event.filters]
    if event.fluoro_mode:
        items.append(_code(encoder, dialect, "fluoro-mode", event.fluoro_mode))
    items += _numbers(encoder, event, _FLUORO)
    items += _numbers(encoder, event, _TECHNIQUE)
    items += _numbers(encoder, event, _exposure(dialect))
    items.append(_coded(encoder, dialect, "target-region", event.target_region_code))
    if dialect.private:
        items.append(encoder.text("comment", f"<AcquisitionData><Scene name='{event.protocol}'/></AcquisitionData>"))
    if dialect.device_role:
        items.append(_device_role(encoder, device))
    return encoder.container("event-x-ray", items, "10003")


def _event_head(encoder: Encoder, event: Event, dialect: Dialect) -> list[bytes]:
    return [
        _code(encoder, dialect, "acquisition-plane", event.plane, _CONCEPT),
        encoder.uid("event-uid", event.event_uid or ""),
        encoder.datetime("started", _datetime(event.started_at)),
        _coded(encoder, dialect, "event-type", event.acquisition_code),
    ]


def _exposure(dialect: Dialect) -> Numbers:
    return (("exposure_mas", "exposure", dialect.exposure_unit, FROM_MAS[dialect.exposure_unit]),)


def _filter(encoder: Encoder, added: Filter, dialect: Dialect) -> bytes:
    thickness: Numbers = (
        ("thickness_min_mm", "filter-minimum", "mm", 1),
        ("thickness_max_mm", "filter-maximum", "mm", 1),
    )
    items = [
        _code(encoder, dialect, "filter-type", added.type),
        _code(encoder, dialect, "filter-material", added.material),
        *_numbers(encoder, added, thickness),
    ]
    return encoder.container("filters", items)


def _mammography(encoder: Encoder, exam: Exam, device: SimulatedDevice) -> list[bytes]:
    """TID 10001 with 10005 and 10003."""
    dialect = device.dialect
    available = ("detector-available", "source-available", "mechanical-available")
    accumulated = [encoder.code("acquisition-plane", "single-plane", (), _CONCEPT)]
    for side, agd in (("left-breast", exam.totals.agd_left_mgy), ("right-breast", exam.totals.agd_right_mgy)):
        if agd is not None:
            laterality = encoder.code("laterality", side, (), _CONCEPT)
            accumulated.append(encoder.num("agd-total", agd, "mGy", [laterality]))
    items = [_scope(encoder, exam), *(encoder.code(key, "yes") for key in available)]
    items.append(encoder.container("accumulated-x-ray", accumulated, "10002"))
    return items + [_mammography_event(encoder, event, exam.device, dialect) for event in exam.events]


def _mammography_event(encoder: Encoder, event: Event, device: Device, dialect: Dialect) -> bytes:
    side = _code(encoder, dialect, "laterality", event.laterality, _CONCEPT)
    items = _event_head(encoder, event, dialect)
    items += [
        encoder.text("acquisition-protocol", event.protocol or ""),
        encoder.code("anatomical-structure", "breast", [side]),
        _code(encoder, dialect, "image-view", event.view),
        encoder.code("target-region", "breast"),
        encoder.num("entrance-exposure", event.entrance_exposure_mgy or 0, "mGy"),
        encoder.code("reference-point", "reference-mammography"),
        *_numbers(encoder, event, _MAMMOGRAPHY),
        *_numbers(encoder, event, _TECHNIQUE),
        *_numbers(encoder, event, _exposure(dialect)),
        _code(encoder, dialect, "anode-material", event.anode_material),
        *(_filter(encoder, added, dialect) for added in event.filters),
    ]
    if dialect.device_role:
        items.append(_device_role(encoder, device))
    return encoder.container("event-x-ray", items, "10003")


def _nuclear(encoder: Encoder, exam: Exam, dialect: Dialect, procedure: str) -> list[bytes]:
    """TID 10021 with 10022."""
    agent = agents()[procedure]
    intent = encoder.code("has-intent", "diagnostic-intent", (), _CONCEPT)
    associated = "pet-tumor" if procedure == "nm-pet-fdg" else "nm-procedure"
    items = [encoder.code("associated-procedure", associated, [intent], _CONCEPT), *_observer(encoder, exam.device)]
    for event in exam.events:
        nuclide = [
            _code(encoder, dialect, "radionuclide", event.radionuclide, _PROPERTY),
            encoder.num("half-life", float(agent.half_life_s), "s", (), _PROPERTY),
        ]
        start = _datetime(event.started_at)
        administration = [
            encoder.code("agent", agent.agent, nuclide),
            encoder.uid("administration-uid", event.event_uid or ""),
            encoder.datetime("administration-start", start),
            encoder.datetime("administration-stop", start),
            encoder.num("administered-activity", event.administered_activity_mbq or 0, "MBq"),
            _code(encoder, dialect, "route", event.route),
        ]
        items.append(encoder.container("administration", administration, "10022"))
    return items
