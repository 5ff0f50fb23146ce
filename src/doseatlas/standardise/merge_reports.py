"""What do several dose reports (or procedure steps) of one examination state together, no event counted twice?

Reports with different events add up (one report a series, or continued later). A report whose events another report
holds too is superseded by it (cumulative reports). Reports that overlap in part are summed over their united events.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from doseatlas.dicom import sum_events
from doseatlas.model import Event, Exam, Note, Totals
from doseatlas.standardise.dose_sums import add_totals

EventKey = tuple[object, int]
_ADDED = ("dlp_mgy_cm", "kap_gy_cm2", "administered_activity_mbq")


def event_keys(events: Sequence[Event]) -> dict[EventKey, Event]:
    """Return events under what identifies them across reports: UID (and plane), else all their values.

    Events of one report that share a key are different events: they are numbered.
    """
    keyed: dict[EventKey, Event] = {}
    seen: dict[object, int] = {}
    for event in events:
        key: object = (event.event_uid, event.plane) if event.event_uid else event
        seen[key] = seen.get(key, -1) + 1
        keyed[key, seen[key]] = event
    return keyed


def unite_reports(reports: Sequence[Exam]) -> tuple[Totals, tuple[Event, ...], list[Note]]:
    """Return totals, events and notes of reports of one examination, which come in the order of their content."""
    notes: list[Note] = []
    kept = _without_superseded(reports, notes)
    totals = []
    for group in _overlapping(kept):
        if len(group) == 1:
            totals.append(group[0][0].totals)
            continue
        events = _united(group)
        totals.append(sum_events(group[0][0].kind, events))
        message = (
            f"{len(group)} reports share some of their events but not all: the totals are sums over the "
            f"{len(events)} united events, each counted once; totals that events do not state are left out."
        )
        notes.append(Note(code="reports-overlap", message=message))
    notes += _incomplete(totals)
    events = _united(kept)
    phantoms = {event.phantom_cm for event in events if event.phantom_cm and event.dlp_mgy_cm}
    if len(totals) > 1 and len(phantoms) > 1:
        message = "DLP on the 16 cm and on the 32 cm phantom is added, as within one report; CTDIvol is not."
        notes.append(Note(code="phantoms-mixed", message=message))
    return (totals[0] if len(totals) == 1 else add_totals(totals)), events, notes


def _without_superseded(reports: Sequence[Exam], notes: list[Note]) -> list[tuple[Exam, dict[EventKey, Event]]]:
    """Leave out reports all of whose events a larger report, or a later one of the same events, holds."""
    keyed = [(report, event_keys(report.events)) for report in reports]
    kept = []
    for number, (report, events) in enumerate(keyed):
        by = next(
            (
                other
                for place, (other, others) in enumerate(keyed)
                if place != number and _supersedes(other, others, place, report, events, number)
            ),
            None,
        )
        if by is None:
            kept.append((report, events))
            continue
        message = (
            f"Report {report.sop_instance_uid or report.path} does not count: its {len(events)} events are all in "
            f"report {by.sop_instance_uid or by.path}."
        )
        if not events:
            message = (
                f"Report {report.sop_instance_uid or report.path} states totals only; those of "
                f"{by.sop_instance_uid or by.path} are taken for the whole examination."
            )
        notes.append(Note(code="superseded", message=message))
    return kept


def _supersedes(
    other: Exam, others: dict[EventKey, Event], place: int, report: Exam, events: dict[EventKey, Event], number: int
) -> bool:
    if not events and (report.source == "mpps" or not others):
        # Steps that state totals only are different steps. Reports that do: whichever states more is the whole.
        if report.source == "mpps":
            return False
        return (_size(other), place) > (_size(report), number)
    if not events.keys() <= others.keys():
        return False
    return len(events) < len(others) or place > number


def _size(report: Exam) -> float:
    totals = report.totals
    return max(totals.dlp_mgy_cm or 0, totals.kap_gy_cm2 or 0, totals.administered_activity_mbq or 0)


def _overlapping(
    reports: Sequence[tuple[Exam, dict[EventKey, Event]]],
) -> list[list[tuple[Exam, dict[EventKey, Event]]]]:
    """Group reports that share events, directly or through another report."""
    groups: list[list[tuple[Exam, dict[EventKey, Event]]]] = []
    for report in reports:
        touched = [group for group in groups if any(not report[1].keys().isdisjoint(one[1]) for one in group)]
        joined = [*(one for group in touched for one in group), report]
        groups = [group for group in groups if group not in touched] + [joined]
    return groups


def _united(reports: Sequence[tuple[Exam, dict[EventKey, Event]]]) -> tuple[Event, ...]:
    """Return each event once, with the values of the later report, in the order of time where all state it."""
    united: dict[EventKey, Event] = {}
    for _, events in reports:
        united.update(events)
    if all(event.started_at for event in united.values()):
        return tuple(sorted(united.values(), key=lambda event: (event.started_at or "", msgspec.json.encode(event))))
    return tuple(united.values())


def _incomplete(totals: Sequence[Totals]) -> list[Note]:
    notes = []
    for name in _ADDED:
        stated = sum(getattr(part, name) is not None for part in totals)
        if 0 < stated < len(totals):
            message = f"Only {stated} of {len(totals)} reports state {name}; the total holds no more than those."
            notes.append(Note(code="total-incomplete", message=message))
    return notes
