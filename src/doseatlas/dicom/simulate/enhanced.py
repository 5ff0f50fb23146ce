"""Which content items does an enhanced X-ray dose report consist of? TID 10040 to 10049, 10051 and 10055.

Events are summarised (TID 10042); technique, filtration, output, field and beam stand in the details, which know
periods of time and an X-ray source instead of events. Concepts that these templates do not list stand where a maker may
put them, as the templates are extensible: area product in the summary, angles and distances in the beam position.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from doseatlas.dicom.simulate.encoder import Encoder
from doseatlas.dicom.simulate.events import meaning
from doseatlas.dicom.simulate.parts import (
    CONCEPT,
    FROM_GY_CM2,
    Numbers,
    code_item,
    code_of_meaning,
    dicom_datetime,
    numbers,
    observer,
)
from doseatlas.dicom.simulate.world import SimulatedDevice
from doseatlas.model import Event, Exam, Filter

ENHANCED_DOSE = "1.2.840.10008.5.1.4.1.1.88.76"
_KAP_UNIT, _KERMA_UNIT = "Gy.m2", "Gy"
_TOTALS: Numbers = (
    ("kap_gy_cm2", "kap-total", _KAP_UNIT, FROM_GY_CM2[_KAP_UNIT]),
    ("fluoro_kap_gy_cm2", "fluoro-kap-total", _KAP_UNIT, FROM_GY_CM2[_KAP_UNIT]),
    ("acquisition_kap_gy_cm2", "acquisition-kap-total", _KAP_UNIT, FROM_GY_CM2[_KAP_UNIT]),
    ("fluoro_time_s", "fluoro-time-total", "s", 1),
    ("acquisition_time_s", "acquisition-time-total", "s", 1),
    ("reference_air_kerma_mgy", "air-kerma-total", _KERMA_UNIT, 1e-3),
)
_SUMMARY: Numbers = (
    ("kap_gy_cm2", "kap", _KAP_UNIT, FROM_GY_CM2[_KAP_UNIT]),
    ("reference_air_kerma_mgy", "air-kerma", _KERMA_UNIT, 1e-3),
    ("irradiation_duration_s", "duration", "s", 1),
)
_TECHNIQUE: Numbers = (
    ("kvp", "kvp", "kV", 1),
    ("tube_current_ma", "current", "mA", 1),
    ("pulse_width_ms", "pulse-width", "ms", 1),
    ("exposure_mas", "exposure", "mA.s", 1),
)
_FILTER: Numbers = (("thickness_min_mm", "filter-thickness", "mm", 1),)
_OUTPUT: Numbers = (("output_air_kerma_mgy", "output-air-kerma", "mGy", 1),)
_FIELD: Numbers = (("collimated_field_area_cm2", "field-area", "m2", 1e-4),)
_BEAM: Numbers = (
    ("primary_angle_deg", "primary-angle", "deg", 1),
    ("secondary_angle_deg", "secondary-angle", "deg", 1),
    ("detector_rotation_deg", "detector-rotation", "deg", 1),
    ("source_to_detector_mm", "source-detector", "mm", 1),
    ("source_to_isocenter_mm", "source-isocenter", "mm", 1),
)
_STATED = {field for table in (_SUMMARY, _TECHNIQUE, _OUTPUT, _FIELD, _BEAM) for field, *_ in table}
_STATED |= {"event_uid", "started_at", "acquisition_type", "acquisition_code", "filters"}


def enhanced_events(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """What an enhanced report states of events: not plane, region and protocol, but the output of the source."""
    return tuple(
        msgspec.structs.replace(
            Event(**{name: getattr(event, name) for name in _STATED - {"output_air_kerma_mgy"}}),
            output_air_kerma_mgy=event.reference_air_kerma_mgy and round(event.reference_air_kerma_mgy * 1.5, 6),
        )
        for event in events
    )


def enhanced_body(encoder: Encoder, report: Exam, device: SimulatedDevice, document: bytes) -> bytes:
    """The root content item's elements of a projection exam whose events are those of :func:`enhanced_events`."""
    intent = encoder.code("has-intent", "diagnostic-intent", (), CONCEPT)
    items = [encoder.code("procedure-reported", "projection-x-ray", [intent], CONCEPT)]
    items += observer(encoder, report.device)
    source = encoder.text("source-identification", "A")
    items.append(encoder.container("accumulated-dose", [source, *numbers(encoder, report.totals, _TOTALS)], "10041"))
    periods = [_period(event, after) for event, after in zip(report.events, (*report.events[1:], None), strict=True)]
    for event, (start, end) in zip(report.events, periods, strict=True):
        summary = [
            encoder.uid("event-uid", event.event_uid or ""),
            *_when(encoder, start, end),
            code_item(encoder, device.dialect, "event-type", event.acquisition_code),
            *numbers(encoder, event, _SUMMARY),
        ]
        items.append(encoder.container("event-summary", summary, "10042"))
    items.append(_details(encoder, report, device, periods))
    return encoder.container_body("x-ray-report", items, "10040", document=document)


def _period(event: Event, after: Event | None) -> tuple[str, str]:
    start = dt.datetime.fromisoformat(event.started_at or "")
    end = start + dt.timedelta(seconds=max(1, int(event.irradiation_duration_s or 0)))
    if after is not None and after.started_at:
        end = min(end, dt.datetime.fromisoformat(after.started_at))
    return dicom_datetime(start.isoformat()), dicom_datetime(end.isoformat())


def _when(encoder: Encoder, start: str, end: str) -> list[bytes]:
    return [
        encoder.datetime("started", start),
        encoder.datetime("ended", end),
        encoder.text("source-identification", "A"),
    ]


def _details(encoder: Encoder, report: Exam, device: SimulatedDevice, periods: list[tuple[str, str]]) -> bytes:
    """TID 10043: one period an event for what changes; filtration once, as long as it stays."""
    items = [
        encoder.datetime("started", periods[0][0]),
        encoder.datetime("ended", periods[-1][1]),
        encoder.uid("frame-of-reference", f"{report.study_instance_uid}.1"),
        encoder.code("frame-origin", "isocenter-origin"),
    ]
    tables = (
        ("radiation-technique", "10045", _TECHNIQUE),
        ("radiation-output", "10048", _OUTPUT),
        ("field-area-period", "10049", _FIELD),
        ("beam-position", "10051", _BEAM),
    )
    for event, (start, end) in zip(report.events, periods, strict=True):
        for key, template, table in tables:
            content = [*_when(encoder, start, end), *numbers(encoder, event, table)]
            items.append(encoder.container(key, content, template))
    for first, last, filters in _filtrations(report.events):
        content = [*_when(encoder, periods[first][0], periods[last][1])]
        content += [_attenuator(encoder, added, device) for added in filters]
        items.append(encoder.container("filtration", content, "10046"))
    return encoder.container("irradiation-details", items, "10043")


def _filtrations(events: tuple[Event, ...]) -> list[tuple[int, int, tuple[Filter, ...]]]:
    """First and last event of each stretch with the same filters."""
    found: list[tuple[int, int, tuple[Filter, ...]]] = []
    for number, event in enumerate(events):
        if found and found[-1][2] == event.filters:
            found[-1] = (found[-1][0], number, event.filters)
        else:
            found.append((number, number, event.filters))
    return found


def _attenuator(encoder: Encoder, added: Filter, device: SimulatedDevice) -> bytes:
    """TID 10055."""
    identification = f"{added.material} {added.thickness_min_mm:g}"
    content = [
        encoder.text("attenuator-identification", identification),
        encoder.code("attenuator-category", "filters"),
        code_of_meaning(encoder, device.dialect, "filter-material", added.material),
        code_of_meaning(encoder, device.dialect, "filter-type", added.type or meaning("flat-filter", device.dialect)),
        *numbers(encoder, added, _FILTER),
    ]
    return encoder.container("attenuator", content, "10055")
