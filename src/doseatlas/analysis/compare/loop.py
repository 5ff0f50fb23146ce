"""What was found, who sees to it, what was the cause, what was done, and did it help? The loop of optimisation.

A finding is the sum of its events, which are only ever added. The rules of the loop: :func:`next_state`; where the
events are kept is a matter of :class:`EventStore` (the store's ``FindingEvents``).
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from doseatlas.analysis.compare.change_in_dose import before_after
from doseatlas.analysis.compare.comparison import compare
from doseatlas.analysis.compare.records import BeforeAfter, UnitKind
from doseatlas.analysis.results import DoseQuantity, DoseValues, Selection
from doseatlas.analysis.tables import quantities
from doseatlas.model import DoseAtlasError, Record

if TYPE_CHECKING:
    import ibis

Status = Literal["open", "assigned", "cause known", "action taken", "closed"]
Outcome = Literal["dose moved", "dose did not move", "justified", "no finding after all"]


class FindingError(DoseAtlasError):
    """A step of a finding's loop does not fit its state, or names what is not known."""

    code = "finding"


class Subject(Record, frozen=True, kw_only=True):
    """What a finding is about: a unit (as ``compare`` names it) and one of its typical values."""

    kind: UnitKind
    unit: str
    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None


class Opened(Record, frozen=True, kw_only=True, tag="opened"):
    """The finding began: what was seen."""

    at: dt.datetime
    by: str
    subject: Subject
    seen: str


class Assigned(Record, frozen=True, kw_only=True, tag="assigned"):
    """A role, and maybe a person, is to see to it."""

    at: dt.datetime
    by: str
    role: str
    person: str | None = None


class CauseGiven(Record, frozen=True, kw_only=True, tag="cause"):
    """The cause was found: a component of optimisation, in words."""

    at: dt.datetime
    by: str
    component: str
    text: str


class ActionTaken(Record, frozen=True, kw_only=True, tag="action"):
    """Something was done about it, in force from a day on."""

    at: dt.datetime
    by: str
    text: str
    in_force_from: dt.date


class Closed(Record, frozen=True, kw_only=True, tag="closed"):
    """The finding ended, with what came of it; ``seen`` is what the doses then said of it (see :func:`follow_up`)."""

    at: dt.datetime
    by: str
    outcome: Outcome
    text: str
    seen: str | None = None


class Reopened(Record, frozen=True, kw_only=True, tag="reopened"):
    """The finding goes on, and why."""

    at: dt.datetime
    by: str
    text: str


Event = Opened | Assigned | CauseGiven | ActionTaken | Closed | Reopened


class TrackedFinding(Record, frozen=True, kw_only=True):
    """A finding as its events make it."""

    id: str
    subject: Subject
    status: Status
    role: str | None = None
    person: str | None = None
    component: str | None = None
    action_from: dt.date | None = None
    outcome: Outcome | None = None
    events: tuple[Event, ...]


class EventStore(Protocol):
    """Where events are kept."""

    def append(self, finding_id: str, number: int, at: str, event: bytes) -> None:
        """Add event ``number`` (from 1); raise ``StoreError`` where it is there already."""

    def of(self, finding_id: str) -> list[bytes]:
        """Return the events of a finding, the first first."""

    def all(self) -> dict[str, list[bytes]]:
        """Return the events of every finding."""


class Component(NamedTuple):
    """A component of optimisation: where the cause of a finding may lie, and the question to ask there."""

    component: str
    name: str
    question: str
    source: str


class Role(NamedTuple):
    """Who has a duty in optimisation."""

    role: str
    name: str
    source: str


@cache
def components() -> tuple[Component, ...]:
    """Return the components of optimisation, the causes that a finding can be given."""
    return tuple(Component(**row) for row in _rows("components.csv"))


@cache
def roles() -> tuple[Role, ...]:
    """Return the roles that a finding can be assigned to."""
    return tuple(Role(**row) for row in _rows("roles.csv"))


def record(store: EventStore, finding_id: str, event: Event) -> TrackedFinding:
    """Add an event to a finding, if it fits, and return the finding.

    Raises:
        FindingError: it does not fit; the message says why.
        StoreError: somebody else was faster, or the store cannot be written.

    """
    before = [msgspec.json.decode(stored, type=Event) for stored in store.of(finding_id)]
    after = replay(finding_id, [*before, event])
    at = event.at.astimezone(dt.UTC).isoformat()
    store.append(finding_id, len(before) + 1, at, msgspec.json.encode(event))
    return after


def finding(store: EventStore, finding_id: str) -> TrackedFinding:
    """Return a finding.

    Raises:
        FindingError: there is none of that id.

    """
    stored = store.of(finding_id)
    if not stored:
        raise FindingError(f"There is no finding {finding_id!r}; list them with 'doseatlas findings list'.")
    return replay(finding_id, [msgspec.json.decode(event, type=Event) for event in stored])


def findings(store: EventStore) -> list[TrackedFinding]:
    """Return all findings, the oldest first."""
    return [
        replay(finding_id, [msgspec.json.decode(event, type=Event) for event in stored])
        for finding_id, stored in store.all().items()
    ]


def replay(finding_id: str, events: Sequence[Event]) -> TrackedFinding:
    """Return the finding that events make, one after the other.

    Raises:
        FindingError: an event does not fit.

    """
    current: TrackedFinding | None = None
    for event in events:
        current = next_state(finding_id, current, event)
    if current is None:
        raise FindingError(f"Finding {finding_id!r} has no events.")
    return current


def next_state(finding_id: str, current: TrackedFinding | None, event: Event) -> TrackedFinding:
    """Return a finding after one more event: the rules of the loop.

    Raises:
        FindingError: the event does not fit: a finding begins once, is not touched while closed, and is closed as
            "dose moved" or "dose did not move" only after an action, else with a cause or as no finding.

    """
    if isinstance(event, Opened):
        if current is not None:
            raise FindingError(f"Finding {finding_id!r} is open already.")
        return TrackedFinding(id=finding_id, subject=event.subject, status="open", events=(event,))
    if current is None:
        raise FindingError(f"There is no finding {finding_id!r}; open it first.")
    if (current.status == "closed") != isinstance(event, Reopened):
        state = "closed; reopen it first" if current.status == "closed" else "not closed, so it cannot be reopened"
        raise FindingError(f"Finding {finding_id!r} is {state}.")
    changed = msgspec.structs.replace(current, events=(*current.events, event))
    match event:
        case Assigned():
            _known("role", event.role, [role.role for role in roles()])
            status: Status = "assigned" if current.status == "open" else current.status
            return msgspec.structs.replace(changed, role=event.role, person=event.person, status=status)
        case CauseGiven():
            _known("component", event.component, [one.component for one in components()])
            return msgspec.structs.replace(changed, component=event.component, status="cause known")
        case ActionTaken():
            if current.component is None:
                raise FindingError(f"Finding {finding_id!r} has no cause yet; say what the action is to mend.")
            return msgspec.structs.replace(changed, action_from=event.in_force_from, status="action taken")
        case Closed():
            _may_close(current, event)
            return msgspec.structs.replace(changed, outcome=event.outcome, status="closed")
        case Reopened():
            return msgspec.structs.replace(changed, outcome=None, action_from=None, status="open")


def follow_up(
    table: ibis.Table, one: TrackedFinding, until: dt.date | None = None, *, dose_values: DoseValues = "stated"
) -> BeforeAfter | None:
    """Return the typical value before and after a finding's last action; ``None``: no action, or no exams on one side.

    ``until`` is the last day of the time after; ``dose_values`` is which doses are counted.
    """
    if one.action_from is None:
        return None
    subject = one.subject
    selection = Selection(procedure=subject.procedure, patient_group=subject.patient_group)
    moved = before_after(
        table,
        selection,
        one.action_from,
        by=subject.kind,
        unit=subject.unit,
        until_after=until,
        dose_values=dose_values,
    )
    return next(
        (one for one in moved if one.quantity == subject.quantity and one.phantom_cm == subject.phantom_cm), None
    )


def subject_problem(table: ibis.Table, subject: Subject) -> str | None:
    """Return what keeps a finding's subject from being compared: a phantom that is missing, or no exams of it.

    ``None`` where the exams have typical values of the subject.
    """
    matters = any(one.name == subject.quantity and one.phantom_matters for one in quantities())
    if matters and subject.phantom_cm not in (16, 32):
        return f"{subject.quantity} is told apart by CTDI phantom: say whether it is of 16 or 32 cm"
    if not matters and subject.phantom_cm is not None:
        return f"{subject.quantity} has no CTDI phantom; leave it out"
    selection = Selection(procedure=subject.procedure, patient_group=subject.patient_group)
    found = compare(table, selection, by=subject.kind)
    units = sorted({one.unit for one in found})
    if subject.unit not in units:
        near = ", ".join(get_close_matches(subject.unit, units, cutoff=0.3)) or f"{len(units)} other units"
        return f"no exam of {subject.procedure}, {subject.patient_group} is of {subject.unit!r}; there are: {near}"
    if not any(
        (one.unit, one.quantity, one.phantom_cm) == (subject.unit, subject.quantity, subject.phantom_cm)
        for one in found
    ):
        return f"{subject.unit!r} states no {subject.quantity} of this procedure, group and phantom"
    return None


def verdict_in_words(moved: BeforeAfter) -> str:
    """Return what a finding's :func:`follow_up` says."""
    interval = "" if moved.low is None else f", 95 % interval {moved.low:.3g} to {moved.high:.3g}"
    return f"{moved.verdict}: {moved.ratio:.3g} times{interval}; n {moved.n_before} before, {moved.n_after} after"


def _may_close(current: TrackedFinding, event: Closed) -> None:
    if event.outcome in ("dose moved", "dose did not move") and current.action_from is None:
        raise FindingError(f"Finding {current.id!r} has no action yet, so nothing can have come of it.")
    if event.outcome == "justified" and current.component is None:
        raise FindingError(f"Finding {current.id!r} has no cause yet, so it cannot be justified by one.")


def _known(what: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise FindingError(f"There is no {what} {name!r}. Known: {', '.join(known)}.")


def _rows(name: str) -> list[dict[str, str]]:
    text = files("doseatlas.analysis").joinpath("tables", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
