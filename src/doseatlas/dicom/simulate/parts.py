"""What do the templates of several kinds of report share? Numbers by table, coded items, observer, scope, device.

Tables pair a field of the model with its concept, unit and the factor from the model's unit to that unit; a field that
the exam does not state is left out.
"""

from __future__ import annotations

from functools import cache

from doseatlas.dicom.simulate.encoder import Encoder
from doseatlas.dicom.simulate.events import meaning, stated_code
from doseatlas.dicom.simulate.tables import Dialect, concepts
from doseatlas.model import Code, Device, Event, Exam, Filter, Totals

Numbers = tuple[tuple[str, str, str, float], ...]
CONCEPT, CONTEXT, PROPERTY = "HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS PROPERTIES"
# Factors from the model's units (Gy.cm2, mGy, mAs) to the units makers use.
FROM_GY_CM2 = {"Gym2": 1e-4, "Gy.m2": 1e-4, "dGy.cm2": 10.0, "mGy.cm2": 1000.0, "Gy.cm2": 1.0}
FROM_MGY = {"Gy": 1e-3, "mGy": 1.0}
FROM_MAS = {"uAs": 1000.0, "uA.s": 1000.0, "mA.s": 1.0}


@cache
def _key_of_meaning(dialect: Dialect) -> dict[str, str]:
    """Keys of concepts by their meaning in a maker's language."""
    return {meaning(key, dialect): key for key in concepts()}


def numbers(encoder: Encoder, record: Event | Filter | Totals, table: Numbers) -> list[bytes]:
    """NUM items of the fields of a table that a record states."""
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


def code_of_meaning(
    encoder: Encoder, dialect: Dialect, key: str, stated: str | None, relationship: str = "CONTAINS"
) -> bytes:
    """A CODE item whose value is the concept with the stated meaning."""
    return encoder.code(key, _key_of_meaning(dialect)[stated or ""], (), relationship)


def code_item(encoder: Encoder, dialect: Dialect, key: str, stated: Code | None) -> bytes:
    """A CODE item whose value is the stated code."""
    if stated is None:
        raise ValueError(f"an event of the simulator states no code for '{key}'")
    return encoder.code(key, _key_of_code(dialect)[stated])


def dicom_datetime(iso: str | None) -> str:
    """A moment in ISO 8601, without offset, as DICOM writes it (DT)."""
    return (iso or "").replace("-", "").replace(":", "").replace("T", "")


def observer(encoder: Encoder, device: Device) -> list[bytes]:
    """Observer context of a device (TID 1002, 1004)."""
    # One UID a device: made from its serial number, which is unique in a world.
    uid = f"2.25.{int.from_bytes((device.serial_number or '').encode(), 'big')}"
    return [
        encoder.code("observer-type", "observer-device", (), CONTEXT),
        encoder.uid("observer-uid", uid, CONTEXT),
        encoder.text("observer-name", device.station_name or "", CONTEXT),
        encoder.text("observer-manufacturer", device.manufacturer or "", CONTEXT),
        encoder.text("observer-model", device.model or "", CONTEXT),
        encoder.text("observer-serial", device.serial_number or "", CONTEXT),
        encoder.text("observer-location", device.institution or "", CONTEXT),
    ]


def scope(encoder: Encoder, exam: Exam) -> bytes:
    """What is accumulated over: the study."""
    study = encoder.uid("study-uid", exam.study_instance_uid or "", PROPERTY)
    return encoder.code("scope-of-accumulation", "scope-study", [study], CONTEXT)


def device_role(encoder: Encoder, device: Device) -> bytes:
    """Device participant (TID 1021)."""
    return encoder.code(
        "device-role",
        "irradiating-device",
        [
            encoder.text("device-name", device.station_name or "", PROPERTY),
            encoder.text("device-manufacturer", device.manufacturer or "", PROPERTY),
            encoder.text("device-model", device.model or "", PROPERTY),
            encoder.text("device-serial", device.serial_number or "", PROPERTY),
        ],
    )
