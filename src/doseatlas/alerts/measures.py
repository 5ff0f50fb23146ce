"""How much of what a rule looks at does this exam have? One function for each measure of a single exam.

What adds up over a patient's exams is in ``patients``.

A measure is ``None`` where the exam does not tell it: unknown is never 0, and a rule on it does not fire.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from math import isfinite
from typing import NamedTuple

from doseatlas.alerts.rules import Measure, Rule
from doseatlas.model import Event, Exam
from doseatlas.reference import DrlRow, DrlSet

MartRow = Mapping[str, object]
_PER_ACQUISITION = "acquisition"


class Facts(NamedTuple):
    """What is known of an exam: its row in the mart, all of it, and the reference levels."""

    row: MartRow
    exam: Exam
    levels: Levels


class Levels:
    """The rows of a DRL set, found by what they are for."""

    def __init__(self, drl_set: DrlSet) -> None:
        self._rows: dict[tuple[str | None, str | None, str | None], list[DrlRow]] = defaultdict(list)
        for row in drl_set.rows:
            if row.is_mapped and row.scope != _PER_ACQUISITION:
                self._rows[row.procedure, row.patient_group, row.quantity].append(row)

    def highest(self, row: MartRow, quantity: str) -> float | None:
        """Return the highest level that may be for an exam: a set may split a procedure by clinical question."""
        rows = self._rows.get((stated_text(row, "procedure"), stated_text(row, "patient_group"), quantity), ())
        phantom = row.get("phantom_cm")
        return max((one.value for one in rows if one.phantom_cm is None or one.phantom_cm == phantom), default=None)


def is_of_one_exam(rule: Rule) -> bool:
    """Return whether a rule looks at an exam by itself."""
    return rule.measure in _MEASURES


def measured(rule: Rule, facts: Facts) -> float | None:
    """Return what a rule looks at, in the unit of its quantity, or ``None`` where the exam does not tell it."""
    found = _MEASURES[rule.measure](rule, facts)
    return found if found is not None and isfinite(found) else None


def _value(rule: Rule, facts: Facts) -> float | None:
    return stated_number(facts.row, rule.quantity)


def _scan_over_notification(rule: Rule, facts: Facts) -> float | None:
    """Return the largest multiple of its own notification value that a scan reached."""
    limit = rule.quantity.replace("_mgy", "_notification_mgy")
    ratios = [
        value / bound
        for event in facts.exam.events
        if (value := _stated(event, rule.quantity)) is not None and (bound := _stated(event, limit))
    ]
    return max(ratios, default=None)


def _exam_over_alert(rule: Rule, facts: Facts) -> float | None:
    """Return the multiple of the lowest alert value stated that the exam reached.

    DLP adds up over scans on one phantom; of CTDIvol the largest of one scan is taken, since what two scans add up to
    at one position is not stated. Both are lower bounds.
    """
    limit = rule.quantity.replace("_mgy", "_alert_mgy")
    bounds = [bound for event in facts.exam.events if (bound := _stated(event, limit))]
    by_phantom: dict[int | None, list[float]] = defaultdict(list)
    for event in facts.exam.events:
        value = _stated(event, rule.quantity)
        if value is not None:
            by_phantom[event.phantom_cm].append(value)
    if not bounds or not by_phantom:
        return None
    together = sum if rule.quantity == "dlp_mgy_cm" else max
    return max(together(values) for values in by_phantom.values()) / min(bounds)


def _drl_multiple(rule: Rule, facts: Facts) -> float | None:
    value = stated_number(facts.row, rule.quantity)
    level = facts.levels.highest(facts.row, rule.quantity)
    return None if value is None or level is None else value / level


_MEASURES: dict[Measure, Callable[[Rule, Facts], float | None]] = {
    "value": _value,
    "scan-over-notification": _scan_over_notification,
    "exam-over-alert": _exam_over_alert,
    "drl-multiple": _drl_multiple,
}


def stated_number(row: MartRow, quantity: str) -> float | None:
    """Return a number of an exam's row in the mart."""
    value = row.get(quantity)
    return float(value) if isinstance(value, int | float) else None


def stated_text(row: MartRow, name: str) -> str | None:
    """Return a text of an exam's row in the mart."""
    value = row.get(name)
    return value if isinstance(value, str) else None


def _stated(event: Event, field: str) -> float | None:
    value: float | None = getattr(event, field)
    return value
