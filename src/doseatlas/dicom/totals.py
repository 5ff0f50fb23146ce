"""What are the totals of an examination? Those stated; sums over events where none are; a note where the two differ."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from doseatlas.dicom.dose_sums import sum_events
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.templates import field_units
from doseatlas.model import Event, Kind, Totals

_AGREES = 0.01
_ROUNDING = 1 + 1e-9  # a difference of exactly 1 % is not more than 1 %, whatever its binary form


def complete_totals(kind: Kind, stated: Totals, events: Sequence[Event], notes: Notes) -> Totals:
    """Return the stated totals, filled from the events, noting which are sums and which differ by more than 1 %."""
    sums = sum_events(kind, events)
    filled: dict[str, object] = {}
    for name in Totals.__struct_fields__:
        summed, own = getattr(sums, name), getattr(stated, name)
        if summed is None:
            continue
        if own is None:
            filled[name] = summed
        elif isinstance(summed, float) and abs(summed - own) > _AGREES * abs(own) * _ROUNDING:
            by = f", {100 * (summed - own) / own:+.1f} %" if own else ""
            unit = field_units().get(name, "")
            about = f"{name}: stated {own:g} {unit}, the events add up to {summed:g}{by}"
            notes.add("total-differs-from-events", about)
    if not filled:
        return stated
    named = ", ".join(_with_share(name, events) for name in filled)
    notes.add("total-from-events", f"Not stated, so summed over the events: {named}")
    return msgspec.structs.replace(stated, **filled)


def _with_share(name: str, events: Sequence[Event]) -> str:
    """Return the name of a sum, with the number of events that state it where not all of them do."""
    own = "agd_mgy" if name.startswith("agd_") else name
    stating = sum(getattr(event, own, None) is not None for event in events)
    return f"{name} (stated by {stating} of {len(events)} events)" if 0 < stating < len(events) else name
