"""Which thresholds do the exams of one patient exceed together? Those of rules that count exams or add up over them.

The exams are walked through by date and time, as they were made and not as they arrived. Each is judged with those
before it, and never with those after it. A rule fires for a patient at a threshold once within its window (once for
all, where it has none), so that exams that arrive in another order, together, late or again are not told twice.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from math import fsum, isfinite
from typing import NamedTuple

from doseatlas.alerts.measures import MartRow, stated_number, stated_text
from doseatlas.alerts.rules import Rule, Rules
from doseatlas.store.alerts import PatientExam

_ADDING = ("count", "sum")


class Raised(NamedTuple):
    """An alert that was raised for an exam of the patient."""

    exam_id: str
    rule: str
    threshold: float


class Fired(NamedTuple):
    """A rule that fires with an exam, at the highest threshold that the patient's ``value`` exceeds."""

    exam_id: str
    rule: Rule
    value: float
    threshold: float


def adding_rules(rules: Rules, row: MartRow) -> list[Rule]:
    """Return the rows of the rules that count or add up over a patient's exams, of those for an exam."""
    kind, procedure = stated_text(row, "kind") or "", stated_text(row, "procedure")
    found = rules.for_exam(kind, procedure, stated_text(row, "patient_group"))
    return [rule for rule in found if rule.measure in _ADDING]


def fired(
    rules: Rules,
    exams: Iterable[PatientExam],
    raised: Iterable[Raised] = (),
    due: Collection[str] | None = None,
    since: str = "",
) -> list[Fired]:
    """Return which rules fire with which exams of a patient, by date.

    Args:
        rules: the rules in force.
        exams: all exams of the patient.
        raised: the alerts that were raised for them before.
        due: the exams that have come or changed; only they, and those on whose sums they bear, are looked at. All
            where it is ``None``.
        since: exams of studies before this day, ISO 8601, are history: they count, but no rule fires with them.

    """
    ordered = sorted(exams, key=lambda one: (one.study_date, one.study_time, one.exam_id))
    by_id = {one.exam_id: one for one in ordered}
    told = _Told()
    for one in raised:
        told.add(one.rule, by_id[one.exam_id], one.threshold)
    found = []
    for index, exam in enumerate(ordered):
        if exam.study_date and exam.study_date < since:
            continue
        for rule in adding_rules(rules, exam.row):
            window = _window(rule, ordered[: index + 1])
            if due is not None and not any(one.exam_id in due for one in window):
                continue
            value = total(rule, window)
            threshold = None if value is None else rule.exceeded(value)
            if value is not None and threshold is not None and not told.has(rule, exam, threshold):
                told.add(rule.rule, exam, threshold)
                found.append(Fired(exam.exam_id, rule, value, threshold))
    return found


def total(rule: Rule, window: Sequence[PatientExam]) -> float | None:
    """Return the sum over the exams of a window.

    ``None`` where the last exam does not tell it; earlier ones that do not are left out, not counted as 0. So are
    exams with a dose out of physical range, in sums: once corrected, they would have hidden what the others add up to.
    """
    if not window or _own(rule, window[-1], window[-1]) is None:
        return None
    value = fsum(own for one in window if (own := _own(rule, one, window[-1])) is not None)
    return value if isfinite(value) else None


def _own(rule: Rule, exam: PatientExam, last: PatientExam) -> float | None:
    if rule.measure == "sum":
        if exam.row.get("plausible") is False:
            return None
        value = stated_number(exam.row, rule.quantity)
        return value if value is not None and isfinite(value) else None
    procedure = stated_text(last.row, "procedure")
    return 1.0 if procedure is not None and stated_text(exam.row, "procedure") == procedure else None


def _window(rule: Rule, until: Sequence[PatientExam]) -> Sequence[PatientExam]:
    """Return the exams of the window that ends with the last; none where its day is not known."""
    if rule.window_days is None:
        return until
    last = _day(until[-1])
    if last is None:
        return ()
    return [one for one in until if (day := _day(one)) is not None and (last - day).days < rule.window_days]


class _Told:
    """At which thresholds a patient's rules have fired, and when; counts are apart by procedure."""

    def __init__(self) -> None:
        self._by_rule: dict[str, list[tuple[PatientExam, float]]] = defaultdict(list)

    def add(self, rule: str, exam: PatientExam, threshold: float) -> None:
        self._by_rule[rule].append((exam, threshold))

    def has(self, rule: Rule, exam: PatientExam, threshold: float) -> bool:
        earlier = self._by_rule[rule.rule]
        return any(at_least >= threshold and _is_the_same(rule, exam, other) for other, at_least in earlier)


def _is_the_same(rule: Rule, exam: PatientExam, other: PatientExam) -> bool:
    """Return whether an alert for one exam tells of the other too."""
    if rule.measure == "count" and exam.row.get("procedure") != other.row.get("procedure"):
        return False
    if rule.window_days is None or exam.exam_id == other.exam_id:
        return True
    day, other_day = _day(exam), _day(other)
    return day is not None and other_day is not None and abs((day - other_day).days) < rule.window_days


def _day(exam: PatientExam) -> dt.date | None:
    try:
        return dt.date.fromisoformat(exam.study_date)
    except ValueError:
        return None
