"""Which alerts do exams raise? Those that have come since, and, in a rehearsal, those of a time that has passed.

A rule fires once for an exam and a threshold: of the thresholds that a value exceeds the highest counts, and it fires
only where the rule has not fired for that exam at this threshold or a higher one. What adds up over a patient's exams
fires only with the exam that takes it past a threshold. So merging, importing again and rebuilding raise nothing twice.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from doseatlas.alerts.alert import Alert, alert_of, delivery_id
from doseatlas.alerts.measures import Facts, Levels, Measured, Other, measured, stated_text
from doseatlas.alerts.recipients import Recipients
from doseatlas.alerts.rules import Rule, Rules, rules_in_force
from doseatlas.model import Record, SettingsError
from doseatlas.reference import DEFAULT_DRL_SET, DrlSet, drl_sets, load_drl_csv
from doseatlas.settings import Settings
from doseatlas.store.alerts import AlertTables, NewAlert, PatientExams, StoredExam

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
        return tables.judge_due(self._judge, since=since, now=now)

    def rehearse(self, store: Store, since: dt.date, until: dt.date) -> list[RehearsedRule]:
        """Return how often each threshold would have fired for the exams of studies from ``since`` to ``until``.

        Raises:
            StoreError: the store cannot be read.

        """
        counts = {id(rule): _Count(rule) for rule in self._rules.rows}
        for exam, history in AlertTables(store.database).between(since, until):
            facts = _facts(exam, history, self._levels)
            for rule in _rules_for(self._rules, facts):
                counts[id(rule)].add(rule, measured(rule, facts))
        weeks = ((until - since).days + 1) / 7
        return [row for count in counts.values() for row in count.rows(weeks)]

    def _judge(self, exam: StoredExam, history: PatientExams, raised: dict[str, float]) -> list[NewAlert]:
        facts = _facts(exam, history, self._levels)
        found = []
        for rule in _rules_for(self._rules, facts):
            found_value = measured(rule, facts)
            threshold = exceeded(rule, found_value)
            if found_value is None or threshold is None or threshold <= raised.get(rule.rule, -1.0):
                continue
            alert = alert_of(rule, found_value, threshold, exam.exam_id, exam.row, exam.exam)
            found.append(self._new(alert))
        return found

    def _new(self, alert: Alert) -> NewAlert:
        deliveries = tuple(
            (recipient, channel, delivery_id(alert.alert_id, recipient, channel))
            for recipient, channel in self._recipients.of(alert)
        )
        data = msgspec.json.encode(alert)
        return NewAlert(alert.alert_id, alert.exam_id, alert.rule, alert.threshold, data, deliveries)


def exceeded(rule: Rule, found: Measured | None) -> float | None:
    """Return the highest threshold that a value exceeds, and that was not exceeded without this exam."""
    if found is None:
        return None
    passed = [one for one in rule.thresholds if one < found.value and (found.before is None or found.before <= one)]
    return max(passed, default=None)


class _Count:
    """Counts what a row of the rules would have done."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._exams = self._known = 0
        self._fired = dict.fromkeys(rule.thresholds, 0)

    def add(self, rule: Rule, found: Measured | None) -> None:
        self._exams += 1
        self._known += found is not None
        threshold = exceeded(rule, found)
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


def _facts(exam: StoredExam, history: PatientExams, levels: Levels) -> Facts:
    @cache
    def others() -> list[Other]:
        return [Other(one.study_date, one.row) for one in history.others(exam.exam_id)]

    return Facts(exam.row, exam.exam, exam.study_date, others, levels)


def _rules_for(rules: Rules, facts: Facts) -> list[Rule]:
    return rules.for_exam(facts.exam.kind, stated_text(facts.row, "procedure"), stated_text(facts.row, "patient_group"))


def _drl_set(settings: Settings) -> DrlSet:
    """Return the DRL set of the settings; the user's own sets come before those that ship."""
    name = settings.drl_set or DEFAULT_DRL_SET
    own = [load_drl_csv(Path(file).expanduser()) for file in settings.drl_files]
    for one in (*own, *drl_sets()):
        if one.id == name:
            return one
    raise SettingsError(f"There is no DRL set {name!r} for the alerts. Set drl_set to one of 'doseatlas drl list'.")
