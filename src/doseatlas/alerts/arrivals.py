"""Which alerts do exams raise? Those that have come since, and, in a rehearsal, those of a time that has passed.

A rule fires once for an exam and a threshold: of the thresholds that a value exceeds the highest counts, and it fires
only where the rule has not fired for that exam at this threshold or a higher one. What adds up over a patient's exams
fires once for the patient (``patients``). So merging, importing again and rebuilding raise nothing twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from doseatlas.alerts.alert import Alert, alert_of, delivery_id
from doseatlas.alerts.measures import Facts, Levels, is_of_one_exam, measured, stated_text
from doseatlas.alerts.patients import Raised, adding_rules, fired, total
from doseatlas.alerts.recipients import Recipients
from doseatlas.alerts.rules import Rule, Rules, rules_in_force
from doseatlas.model import Record, SettingsError
from doseatlas.reference import DEFAULT_DRL_SET, DrlSet, drl_sets, load_drl_csv
from doseatlas.settings import Settings
from doseatlas.store.alerts import AlertTables, Batch, NewAlert, PatientExam, StoredExam

if TYPE_CHECKING:
    from doseatlas.store import Store


class RehearsedRule(Record, frozen=True, kw_only=True):
    """How often a threshold of a rule would have fired: of ``known`` exams that tell what it looks at, ``fired``."""

    rule: str
    title: str
    procedure: str | None = None
    patient_group: str | None = None
    threshold: float
    shown: str
    exams: int
    known: int
    fired: int
    per_week: float


class Watch:
    """Looks at exams with the rules, the reference levels and the recipients of the settings.

    Raises:
        SettingsError: a recipient is wrong.
        TableError: the site's rules or reference levels are.

    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.alerts
        self._rules = rules_in_force(settings.alerts)
        self._recipients = Recipients(settings.alerts, self._rules)
        self._levels = Levels(_drl_set(settings))

    def look(self, store: Store, now: dt.datetime) -> int:
        """Look at what has come into the store since; returns how many alerts were raised.

        Raises:
            StoreError: the store failed; what was not looked at stays due.

        """
        tables = AlertTables(store.database)
        if not self._settings.enabled:
            tables.forget_due()
            return 0
        since = now.date() - dt.timedelta(days=self._settings.not_older_than_days)
        across = self._settings.patient_ids == "shared"
        judge = partial(self._judge, since=since)
        return tables.judge_due(judge, since=since, now=now, across_facilities=across)

    def rehearse(self, store: Store, since: dt.date, until: dt.date) -> list[RehearsedRule]:
        """Return how often each threshold would have fired for the exams of studies from ``since`` to ``until``.

        What was raised for earlier exams is known; what was raised for those of the period is not, and they are taken
        to have arrived as they were made.

        Raises:
            StoreError: the store cannot be read.

        """
        counts = {id(rule): _Count(rule) for rule in self._rules.rows}
        across = self._settings.patient_ids == "shared"
        for batch in AlertTables(store.database).between(since, until, across_facilities=across):
            for exam in batch.exams:
                facts = Facts(exam.row, exam.exam, self._levels)
                for rule in _rules_for(self._rules, facts):
                    value = measured(rule, facts)
                    counts[id(rule)].add(value is not None, None if value is None else rule.exceeded(value))
            for patient in batch.patients():
                self._rehearse_patient(batch, patient, since.isoformat(), until.isoformat(), counts)
        weeks = ((until - since).days + 1) / 7
        return [row for count in counts.values() for row in count.rows(weeks)]

    def _rehearse_patient(
        self, batch: Batch, patient: list[PatientExam], since: str, until: str, counts: Mapping[int, _Count]
    ) -> None:
        """Count what would have fired with the exams of a patient that are in the batch."""
        period = {exam.exam_id for exam in patient if since <= exam.study_date <= until}
        before = [exam.exam_id for exam in patient if exam.study_date < since]
        raised = [Raised(*one) for one in batch.raised_for(before)]
        found = {(one.exam_id, id(one.rule)): one for one in fired(self._rules, patient, raised, period, since)}
        in_batch = {exam.exam_id for exam in batch.exams}
        for exam in patient:
            if exam.exam_id in in_batch:
                for rule in adding_rules(self._rules, exam.row):
                    one = found.get((exam.exam_id, id(rule)))
                    counts[id(rule)].add(total(rule, [exam]) is not None, one.threshold if one else None)

    def _judge(self, batch: Batch, since: dt.date) -> list[NewAlert]:
        found = []
        for exam in batch.exams:
            found += self._judge_exam(exam, batch.raised.get(exam.exam_id, {}))
        for patient in batch.patients():
            raised = [Raised(*one) for one in batch.raised_for([exam.exam_id for exam in patient])]
            due = {exam.exam_id for exam in patient if exam.is_due}
            for one in fired(self._rules, patient, raised, due, since.isoformat()):
                exam = batch.exam(one.exam_id)
                alert = alert_of(one.rule, one.value, one.threshold, exam.exam_id, exam.row, exam.exam)
                found.append(self._new(alert))
        return found

    def _judge_exam(self, exam: StoredExam, raised: Mapping[str, float]) -> list[NewAlert]:
        facts = Facts(exam.row, exam.exam, self._levels)
        found = []
        for rule in _rules_for(self._rules, facts):
            value = measured(rule, facts)
            threshold = None if value is None else rule.exceeded(value)
            if value is None or threshold is None or threshold <= raised.get(rule.rule, -1.0):
                continue
            found.append(self._new(alert_of(rule, value, threshold, exam.exam_id, exam.row, exam.exam)))
        return found

    def _new(self, alert: Alert) -> NewAlert:
        deliveries = tuple(
            (recipient, channel, delivery_id(alert.alert_id, recipient, channel))
            for recipient, channel in self._recipients.of(alert)
        )
        data = msgspec.json.encode(alert)
        return NewAlert(alert.alert_id, alert.exam_id, alert.rule, alert.threshold, data, deliveries)


class _Count:
    """Counts what a row of the rules would have done."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._exams = self._known = 0
        self._fired = dict.fromkeys(rule.thresholds, 0)

    def add(self, known: bool, threshold: float | None) -> None:
        self._exams += 1
        self._known += known
        if threshold is not None:
            self._fired[threshold] += 1

    def rows(self, weeks: float) -> list[RehearsedRule]:
        rule = self._rule
        return [
            RehearsedRule(
                rule=rule.rule,
                title=rule.title,
                procedure=rule.procedure,
                patient_group=rule.patient_group,
                threshold=threshold,
                shown=rule.shown(threshold) if rule.shown_unit else "",
                exams=self._exams,
                known=self._known,
                fired=fired,
                per_week=round(fired / weeks, 2),
            )
            for threshold, fired in self._fired.items()
        ]


def _rules_for(rules: Rules, facts: Facts) -> list[Rule]:
    """Return the rows of the rules that look at an exam by itself."""
    row = facts.row
    found = rules.for_exam(facts.exam.kind, stated_text(row, "procedure"), stated_text(row, "patient_group"))
    return [rule for rule in found if is_of_one_exam(rule)]


def _drl_set(settings: Settings) -> DrlSet:
    """Return the DRL set of the settings; the user's own sets come before those that ship."""
    name = settings.drl_set or DEFAULT_DRL_SET
    own = [load_drl_csv(Path(file).expanduser()) for file in settings.drl_files]
    for one in (*own, *drl_sets()):
        if one.id == name:
            return one
    raise SettingsError(f"There is no DRL set {name!r} for the alerts. Set drl_set to one of 'doseatlas drl list'.")
