"""Which content items does a CT dose report consist of? TID 10011 with 10012, 10013 and 10015."""

from __future__ import annotations

from doseatlas.dicom.simulate.encoder import Encoder
from doseatlas.dicom.simulate.parts import (
    CONCEPT,
    CONTEXT,
    Numbers,
    code_item,
    device_role,
    dicom_datetime,
    numbers,
    scope,
)
from doseatlas.dicom.simulate.tables import Dialect
from doseatlas.dicom.simulate.world import SimulatedDevice
from doseatlas.model import Device, Event, Exam

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


def ct(encoder: Encoder, exam: Exam, device: SimulatedDevice) -> list[bytes]:
    """TID 10011 with 10012 and 10013."""
    dlp = device.dialect.dlp_unit
    items = [
        encoder.datetime("start-of-irradiation", dicom_datetime(f"{exam.study_date}T{exam.study_time}"), CONTEXT),
        encoder.datetime("end-of-irradiation", dicom_datetime(exam.content_at), CONTEXT),
        scope(encoder, exam),
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
    source = [encoder.text("source-identification", "A"), *numbers(encoder, event, _CT_SOURCE)]
    parameters = numbers(encoder, event, _CT_PARAMETERS)
    parameters += [
        encoder.num("source-count", 1, "{X-Ray sources}"),
        encoder.container("source-parameters", source),
    ]
    items = [
        encoder.text("acquisition-protocol", event.protocol or ""),
        code_item(encoder, dialect, "target-region", event.target_region_code),
        code_item(encoder, dialect, "ct-acquisition-type", event.acquisition_code),
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
        items.append(device_role(encoder, device))
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
        basis = [encoder.code("measurement-method", "aapm-220", (), CONCEPT)]
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
