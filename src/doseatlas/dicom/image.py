"""What dose does the header of an image state? One image gives its own exposures; merging images is standardisation's.

CT, radiography, mammography (tomosynthesis too), angiography, fluoroscopy, dental, PET, nuclear medicine, and pictures
of dose screens. Enhanced CT keeps its values in functional groups (PS3.3 C.7.6.16).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from doseatlas.dicom.attributes import stated
from doseatlas.dicom.dose_text import DoseLine, dose_lines
from doseatlas.dicom.header import date_of, instant_of, time_of
from doseatlas.dicom.item import Item
from doseatlas.dicom.kinds import kind_shown
from doseatlas.dicom.measures import Measures, Stated
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.record import record_values
from doseatlas.dicom.templates import dose_maxima, fields
from doseatlas.model import Device, Event, Filter, Kind

MODALITY = 0x00080060
SHARED_GROUPS, FRAME_GROUPS = 0x52009229, 0x52009230
_RADIOPHARMACEUTICALS = 0x00540016
_EXPOSURE_DOSES = 0x0040030E
_COMMENTS = 0x00400310
_SERIES_DESCRIPTION = 0x0008103E
_EVENT_UID = 0x00083010
_ACQUISITION_DATE, _ACQUISITION_TIME = 0x00080022, 0x00080032
_DOSE_FIELDS = frozenset(dose_maxima())


class ImageDose(NamedTuple):
    """What an image or procedure step states of dose; ``totals`` only where it states totals of its own."""

    kind: Kind
    totals: dict[str, object]
    events: tuple[Event, ...]


def read_image(item: Item, device: Device, notes: Notes) -> ImageDose | None:
    """Return the dose that an image's header states; ``None`` where it states none.

    Raises:
        UnreadableObject: code ``impossible-value``: a dose in it cannot be.

    """
    modality = item.text(MODALITY)
    measures = Measures(device, notes, modality)
    administrations = [
        Event(**record_values(stated([administration], "nuclear", modality, measures)))  # type: ignore[arg-type]
        for administration in item.items(_RADIOPHARMACEUTICALS)
    ]
    events = tuple([event for event in administrations if event.administered_activity_mbq is not None])
    if events:
        return ImageDose("nuclear", {}, events)
    totals, events = exposure_doses(item, modality, measures)
    if not events and not totals:
        events = tuple([event for scope in _scopes(item) if (event := _exposure(scope, modality, measures))])
    if not events and not totals:
        return None
    kind = kind_shown(totals, events) or ("mammography" if modality == "MG" else "projection")
    return ImageDose(kind, totals, events)


def _exposure(scope: Sequence[Item], modality: str | None, measures: Measures) -> Event | None:
    """Return the exposure that data sets state together; ``None`` where they state no dose."""
    found = stated(scope, "event", modality, measures)
    if not _states_dose(found):
        return None
    values = record_values(found)
    if "started_at" not in values and (moment := _acquired_at(scope)):
        values["started_at"] = moment
    added = record_values(stated(scope, "filter", modality, measures))
    if added:
        values["filters"] = (Filter(**added),)  # type: ignore[arg-type]
    return Event(**values)  # type: ignore[arg-type]


def _acquired_at(scope: Sequence[Item]) -> str | None:
    """Return the acquisition's date and time, ISO 8601, where both are stated apart."""
    for item in scope:
        date, time = date_of(item.text(_ACQUISITION_DATE)), item.text(_ACQUISITION_TIME)
        if date is not None and time is not None and time_of(time) is not None:
            return instant_of(f"{date:%Y%m%d}{time.replace(':', '')}")
    return None


def _states_dose(found: Sequence[Stated]) -> bool:
    """Whether a dose is among the values found."""
    return any(field.name in _DOSE_FIELDS for field, _ in found)


def _scopes(item: Item) -> list[list[Item]]:
    """Return the data sets that state each exposure of an image: one of an image, one an event of an enhanced image."""
    frames = item.items(FRAME_GROUPS)
    shared = [inner for group in item.items(SHARED_GROUPS) for inner in macros(group)]
    if not frames:
        return [[item, *shared]]
    events: dict[str | None, list[Item]] = {}
    for frame in frames:
        groups = macros(frame)
        uid = next((text for group in groups if (text := group.text(_EVENT_UID))), None)
        events.setdefault(uid, []).extend(groups)
    return [[*groups, *shared, item] for groups in events.values()]


def macros(functional: Item) -> list[Item]:
    """Return the items of all macros of one functional group."""
    return [inner for tag in functional.tags() if not tag >> 16 & 1 for inner in functional.items(tag)[:1]]


# ---- dose screens and procedure steps ----


def exposure_doses(item: Item, modality: str | None, measures: Measures) -> tuple[dict[str, object], tuple[Event, ...]]:
    """Return totals and exposures of the Exposure Dose Sequence and of the text beside it (PS3.3 C.4.16)."""
    lines = dose_lines(item.text(_COMMENTS) or "")
    exposures = []
    for exposure in item.items(_EXPOSURE_DOSES):
        found = stated([exposure], "event", modality, measures)
        values = record_values(found)
        if text := exposure.text(_SERIES_DESCRIPTION):
            values["protocol"] = text
        exposures.append(values)
    totals: dict[str, object] = {}
    for line in lines:
        values = _measured(line, measures)
        if line.level == "total":
            totals.update(values)
        else:
            _beside(line, exposures).update(values)
    if lines:
        about = "The dose stands as text without units; taken in mGy.cm and mGy, as CT scanners display it"
        measures.notes.add("dose-from-text", about)
    if not totals and not any(_DOSE_FIELDS & exposure.keys() for exposure in exposures):
        return {}, ()
    return totals, tuple([Event(**exposure) for exposure in exposures])  # type: ignore[arg-type]


def _measured(line: DoseLine, measures: Measures) -> dict[str, object]:
    by_name = {field.name: field for field in fields("event").values()}
    return {name: measures.number(by_name[name], value, by_name[name].unit) for name, value in line.values.items()}


def _beside(line: DoseLine, exposures: list[dict[str, object]]) -> dict[str, object]:
    """Return the exposure that a line of text is about, made where the sequence has none."""
    if line.number is not None and 0 < line.number <= len(exposures):
        return exposures[line.number - 1]
    named = [exposure for exposure in exposures if line.protocol and exposure.get("protocol") == line.protocol]
    if len(named) == 1:
        return named[0]
    exposures.append({"protocol": line.protocol} if line.protocol else {})
    return exposures[-1]
