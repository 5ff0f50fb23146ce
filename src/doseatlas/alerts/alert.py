"""What is told of an alert? What was measured, against which threshold, where and when; never whose exam it is.

The texts are made of words of ours, the names of procedure, device and facility, and numbers. They hold no identifier
of the patient or the study and no free text of the examination: whoever may know more finds it by the alert's id with
``doseatlas alerts list``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from doseatlas.alerts.measures import stated_text
from doseatlas.alerts.rules import Rule
from doseatlas.model import Exam, Record
from doseatlas.reference import patient_groups, procedures

_ID_CHARACTERS = 12
_MAX_TEXT = 120  # characters of a name that an object states


class Alert(Record, frozen=True, kw_only=True):
    """An alert as the store keeps it. ``value`` and ``threshold`` are in the unit of the rule's quantity.

    ``study_instance_uid`` is for those who may open the store; no message holds it.
    """

    alert_id: str
    rule: str
    title: str
    finding: str
    advice: str
    source: str
    roles: tuple[str, ...] = ()
    value: float
    threshold: float
    exam_id: str
    study_instance_uid: str | None = None
    kind: str
    study_date: str | None = None
    facility: str
    device: str | None = None
    room: str | None = None
    procedure: str | None = None
    procedure_name: str | None = None
    patient_group: str | None = None
    implausible: bool = False


def alert_of(rule: Rule, value: float, threshold: float, exam_id: str, row: Mapping[str, object], exam: Exam) -> Alert:
    """Make the alert of an exam that exceeds a threshold of a rule."""
    names = {one.id: one.name for one in procedures()}
    groups = {one.id: one.name for one in patient_groups()}
    procedure, group = stated_text(row, "procedure"), stated_text(row, "patient_group")
    return Alert(
        alert_id=_id(exam_id, rule.rule, repr(threshold)),
        rule=rule.rule,
        title=rule.title,
        finding=_finding(rule, value, threshold),
        advice=rule.advice,
        source=rule.source,
        roles=rule.roles,
        value=value,
        threshold=threshold,
        exam_id=exam_id,
        study_instance_uid=exam.study_instance_uid,
        kind=exam.kind,
        study_date=stated_text(row, "study_date"),
        facility=plain(stated_text(row, "facility") or ""),
        device=_plain(stated_text(row, "device")),
        room=_plain(exam.device.station_name),
        procedure=procedure,
        procedure_name=names.get(procedure or ""),
        patient_group=groups.get(group or ""),
        implausible=row.get("plausible") is False,
    )


def delivery_id(alert_id: str, recipient: str, channel: str) -> str:
    """Return the id of a message: the same however often it is tried, so that a receiver can tell a repetition."""
    return _id(alert_id, recipient, channel)


def subject(alert: Alert) -> str:
    """Return the subject of a message."""
    return f"Dose alert {alert.alert_id}: {alert.finding}"


def body(alert: Alert) -> str:
    """Return the text of a message."""
    facts = (
        ("Examination", alert.procedure_name or f"{alert.kind}, not mapped to a standard procedure"),
        ("Patient group", alert.patient_group),
        ("Date", alert.study_date),
        ("Facility", alert.facility),
        ("Device", alert.device),
        ("Rule", alert.rule),
        ("Source", alert.source),
    )
    lines = [f"{alert.finding}.", ""]
    lines += [f"{name}: {value}" for name, value in facts if value]
    if alert.implausible:
        lines += ["", "A dose of this examination is out of physical range: look whether the value can be right first."]
    lines += ["", alert.advice, "", f'Take note of it with: doseatlas alerts ack {alert.alert_id} "what was done"']
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Return a name that an object states as one line of printable text."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:_MAX_TEXT]


def _plain(text: str | None) -> str | None:
    return plain(text) if text else None


def _finding(rule: Rule, value: float, threshold: float) -> str:
    if not rule.shown_unit:
        return rule.title
    return f"{rule.title}: {rule.shown(value)}, above {rule.shown(threshold)}"


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_ID_CHARACTERS]
