"""What does a structured dose report state? From its content tree to totals, events and a kind, by the tables.

Concepts are known by scheme and code value only. Containers are found wherever they stand, so reports that leave out or
add a level are read too. What the content items of a container say is :mod:`doseatlas.dicom.statements`.
"""

from __future__ import annotations

from typing import NamedTuple

from doseatlas.dicom.content import ContentItem
from doseatlas.dicom.details import add_details
from doseatlas.dicom.dose_sums import sum_stated
from doseatlas.dicom.estimates import Estimates
from doseatlas.dicom.kinds import ADDITIVE, kind_of_report
from doseatlas.dicom.measures import Stated, refuse_impossible
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.record import record_values
from doseatlas.dicom.statements import Statements
from doseatlas.dicom.templates import containers, dose_maxima, fields
from doseatlas.model import Code, Device, DoseEstimate, Event, Kind

_COUNTS = ("event_count", "radiographic_frames")


class DoseReport(NamedTuple):
    """What a report states. The dictionaries hold, by field name, what stands outside totals and events."""

    kind: Kind
    totals: dict[str, object]
    events: tuple[Event, ...]
    document: dict[str, object]
    device: dict[str, object]
    patient: dict[str, object]
    estimates: tuple[DoseEstimate, ...]
    estimated_from: tuple[str, ...]


def read_report(root: ContentItem, device: Device, notes: Notes) -> DoseReport | None:
    """Return what a report states, in our units; ``None`` where it is no dose report or states no dose at all.

    Raises:
        UnreadableObject: code ``impossible-value``: a dose in it cannot be.

    """
    statements = Statements(device, notes)
    walk = _Walk(statements)
    walk.visit(root, in_report=False)
    if not walk.is_dose_report:
        return None
    stated = [record_values(statements.below(node, "event")) for node in walk.events]
    if walk.details:
        add_details(stated, walk.events, walk.details, statements, notes)
    _add_planes(stated, [record_values(statements.below(node, "plane")) for node in walk.totals])
    events = tuple([Event(**values) for values in stated])  # type: ignore[arg-type]
    totals = _summed([record_values(statements.below(node, "total")) for node in walk.totals], walk.loose_totals)
    document = record_values(walk.document)
    reported = document.get("procedure_reported_code")
    kind = kind_of_report(walk.proven, reported if isinstance(reported, Code) else None, totals, events)
    _place(walk.misplaced, kind, totals, notes)
    estimates = _estimates(walk, statements, notes)
    if not events and not totals and estimates.found:
        kind = "estimate"
    elif not events and not totals:
        notes.add("empty-report", "The object is a dose report without any event or total")
        return None
    return DoseReport(
        kind,
        totals,
        events,
        document,
        record_values(walk.device),
        record_values(walk.patient),
        tuple(estimates.found),
        tuple(estimates.made_from),
    )


class _Walk:
    """Finds the containers of one report, and what is stated outside of them."""

    def __init__(self, statements: Statements) -> None:
        self.is_dose_report = False
        self.proven: list[Kind] = []
        self.events: list[ContentItem] = []
        self.totals: list[ContentItem] = []
        self.details: list[ContentItem] = []
        self.estimates: list[ContentItem] = []
        self.administrations: list[ContentItem] = []
        self.loose_totals: list[Stated] = []
        self.misplaced: list[Stated] = []
        self.document: list[Stated] = []
        self.device: list[Stated] = []
        self.patient: list[Stated] = []
        self._statements = statements
        self._parts = containers()

    def visit(self, node: ContentItem, *, in_report: bool) -> None:
        """Look at a node and what is below it; ``in_report``: a dose report's root is above it."""
        part = self._parts.get(node.concept) if node.concept else None
        level = part.level if part else ""
        if part and part.kind and level != "filter":
            self.proven.append(part.kind)
        if level == "event":
            self.is_dose_report = True
            self.events.append(node)
            if part and part.kind == "nuclear":
                self.administrations.append(node)
        elif level == "total":
            self.is_dose_report = True
            self.totals.append(node)
        elif level == "details":
            self.details.append(node)
        elif level == "estimate":
            self.estimates.append(node)
        elif level == "patient":
            self.patient += self._statements.below(node, "patient")
        elif level != "aside":
            in_report = in_report or level == "root"
            if node.concept and not level:
                self._outside(node, in_report)
            self.is_dose_report = self.is_dose_report or in_report
            for child in node.children:
                self.visit(child, in_report=in_report)

    def _outside(self, node: ContentItem, in_report: bool) -> None:
        """Keep what a node outside of events and totals states by itself."""
        said = self._statements.own
        self.document += said(node, "document")
        self.device += said(node, "device")
        if in_report and node.value_type == "NUM":
            self.loose_totals += said(node, "total")
            field = fields("event").get(node.concept or ("", ""))
            if field is not None and field.name in dose_maxima():
                self.misplaced += said(node, "event")


def _add_planes(events: list[dict[str, object]], planes: list[dict[str, object]]) -> None:
    """Give events what the accumulated data of their plane state of the equipment, where they do not say it."""
    if all(plane.keys() <= {"plane"} for plane in planes):
        return
    known = {plane.get("plane"): plane for plane in planes}
    for event in events:
        own = planes[0] if len(planes) == 1 else known.get(event.get("plane"), {})
        event.update({name: value for name, value in own.items() if name not in event and name != "plane"})


def _estimates(walk: _Walk, statements: Statements, notes: Notes) -> Estimates:
    """Return the estimates of the report; those of administrations stand within their events."""
    estimates = Estimates(statements, notes)
    for node in walk.estimates:
        estimates.take(node)
    for node in walk.administrations:
        estimates.find_below(node)
    return estimates


def _summed(parts: list[dict[str, object]], loose: list[Stated]) -> dict[str, object]:
    """Return the totals of all planes together; totals that stand loose count where no container states them."""
    totals: dict[str, object] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        total = sum_stated(part.get(name) for part in parts)  # type: ignore[misc]
        totals[name] = int(total) if name in _COUNTS and total is not None else total
    totals = {**record_values(loose), **totals}
    refuse_impossible(totals)
    return totals


def _place(misplaced: list[Stated], kind: Kind, totals: dict[str, object], notes: Notes) -> None:
    """Take a dose that stands outside of any event as the total, where it may be one and none is stated."""
    names = [field.name for field, _ in misplaced]
    for field, value in misplaced:
        if field.name in ADDITIVE[kind] and field.name not in totals and names.count(field.name) == 1:
            totals[field.name] = value
            notes.add("vendor-correction", f"{field.meaning} stands outside of any event; it is taken as the total")
        else:
            about = f"{field.meaning} stands outside of any event, which makes its meaning unknown; it is not used"
            notes.add("value-outside-event", about, f"{value:g} {field.unit}")
