"""What exposures do the images of one examination show, where no dose report exists?

An image header repeats the dose of its exposure: CT slices of one acquisition, the images for presentation and for
processing of one exposure, and all images of one administration are one event each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from doseatlas.dicom import sum_events
from doseatlas.model import Event, Exam, Kind, Note, Totals
from doseatlas.standardise.dose_sums import NUMBERS, TEXTS

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"  # older tomosynthesis slices of one exposure come as this
_AGREES = 0.01
_EXPOSURE = (
    "started_at",
    "kap_gy_cm2",
    "agd_mgy",
    "entrance_exposure_mgy",
    "kvp",
    "exposure_mas",
    "laterality",
    "view",
    "compressed_thickness_mm",
)
_ADMINISTRATION = ("started_at", "administered_activity_mbq", "radionuclide", "radiopharmaceutical")
_SCAN = ("protocol", "acquisition_type", "phantom_cm", "kvp", "pitch")


def unite_images(images: Sequence[Exam]) -> tuple[Totals, tuple[Event, ...], list[Note]]:
    """Return totals, events and notes of images of one examination, which come in a stable order."""
    kind = images[0].kind
    groups: dict[object, list[Event]] = {}
    times: dict[object, int] = {}
    for image in images:
        for event in image.events:
            key, within = _key(kind, image, event)
            times[key, within] = times.get((key, within), -1) + 1
            groups.setdefault((key, times[key, within]), []).append(event)
    events = tuple(_one_event(group) for group in groups.values())
    totals, notes = _totals(kind, images, events)
    return totals, events, notes


def _key(kind: Kind, image: Exam, event: Event) -> tuple[object, object]:
    """Return what identifies an exposure, and within what a second event of that key is a second exposure.

    Within one image, two events are two. Exposures that state neither UID nor time are told apart by their values;
    the images for presentation and for processing (two SOP classes) of equal exposures pair up one by one.
    """
    one_image: object = image.sop_instance_uid or image.path
    if kind == "nuclear":
        return _values(event, _ADMINISTRATION), one_image
    if kind == "ct":
        if event.event_uid:
            return (event.event_uid, event.phantom_cm), one_image
        return (image.series_instance_uid, _values(event, _SCAN)), one_image
    if event.event_uid:
        # A dose that differs under one UID is another exposure, lest it be lost.
        return (event.event_uid, event.plane, event.kap_gy_cm2, event.agd_mgy), one_image
    exposure = _values(event, _EXPOSURE)
    if image.sop_class_uid == CT_IMAGE_STORAGE:
        return (image.series_instance_uid, exposure), one_image
    return exposure, one_image if event.started_at else image.sop_class_uid


def _values(event: Event, fields: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(event, field) for field in fields)


def _one_event(group: list[Event]) -> Event:
    """Return what the headers of one exposure agree on; CTDIvol, which slices modulate, as their mean."""
    first = group[0]
    if all(event == first for event in group):
        return first
    agreed: dict[str, object] = {}
    for field in Event.__struct_fields__:
        stated = {value for event in group if (value := getattr(event, field)) is not None and value != ()}
        if len(stated) == 1:
            agreed[field] = stated.pop()
    mean = [event.ctdi_vol_mgy for event in group if event.ctdi_vol_mgy is not None]
    if mean:
        agreed["ctdi_vol_mgy"] = float(f"{math.fsum(mean) / len(mean):.10g}")
    times = [event.started_at for event in group if event.started_at]
    if times:
        agreed["started_at"] = min(times)
    return msgspec.convert(agreed, Event)


def _totals(kind: Kind, images: Sequence[Exam], events: Sequence[Event]) -> tuple[Totals, list[Note]]:
    """Return the sums over the exposures, or what an image (a dose screen) states beyond its own exposures."""
    sums = sum_events(kind, events)
    beyond: dict[str, set[float]] = {}
    for image in images:
        own = sum_events(kind, image.events)
        for name in NUMBERS:
            stated, summed = getattr(image.totals, name), getattr(own, name)
            if stated is not None and (summed is None or abs(stated - summed) > _AGREES * abs(summed)):
                beyond.setdefault(name, set()).add(stated)
    larger = {name: max(found) for name, found in beyond.items() if max(found) > (getattr(sums, name) or 0)}
    notes = []
    for name in larger:
        if len(beyond[name]) > 1:
            message = f"Images state {len(beyond[name])} different totals of {name}; the largest is taken."
            notes.append(Note(code="total-largest", message=message))
    if events and any(getattr(sums, name) is not None and name not in larger for name in NUMBERS):
        message = f"The totals are sums over the {len(events)} exposures or administrations that the images show."
        notes.append(Note(code="total-from-events", message=message))
    texts = {
        name: next((text for image in images if (text := getattr(image.totals, name))), None)
        for name in TEXTS
        if getattr(sums, name) is None and len({getattr(image.totals, name) for image in images} - {None}) == 1
    }
    return msgspec.structs.replace(sums, **larger, **texts), notes
