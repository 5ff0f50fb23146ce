"""Which exams still have to be looked at, which alerts were raised, and which deliveries wait?

An import marks its exams as due in the transaction that commits them; they are looked at in another, which raises the
alerts, puts their deliveries beside and takes the mark away. So a process that dies at any moment leaves nothing out
and raises nothing twice. What an alert means is the business of the room ``alerts``; here it is bytes with a place.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from doseatlas.model import Exam, StoreError
from doseatlas.store.archive import decompress
from doseatlas.store.database import Database, in_parts
from doseatlas.store.derive import unpack_exam
from doseatlas.store.schema import alert_deliveries, alerts, alerts_due, exams, objects

_TOGETHER = 200  # exams looked at in one transaction
_MOST_OF_A_PATIENT = 1_000  # exams; an ID with more of them is no patient's

MartRow = dict[str, object]


class _Study(msgspec.Struct, frozen=True):
    """The fields of an exam that are wanted; decoding them alone takes a fraction of the time."""

    study_instance_uid: str | None = None
    study_time: str | None = None


_study_decoder = msgspec.msgpack.Decoder(_Study)


class StoredExam(NamedTuple):
    """An exam of the store: its row in the mart without nulls, and all of it."""

    exam_id: str
    study_date: str
    row: MartRow
    exam: Exam


class PatientExam(NamedTuple):
    """An exam of a patient: its row in the mart without nulls, and whether it is due to be looked at.

    ``study_time`` is stated where the patient has several exams of that day, empty where it is not known.
    """

    exam_id: str
    study_date: str
    row: MartRow
    study_time: str = ""
    is_due: bool = True


class NewAlert(NamedTuple):
    """An alert to be kept, and who is to be told of it: pairs of recipient and channel, each with the delivery's id."""

    alert_id: str
    exam_id: str
    rule: str
    threshold: float
    alert: bytes
    deliveries: tuple[tuple[str, str, str], ...]


class KeptAlert(NamedTuple):
    """An alert of the store, and whether somebody has taken note of it."""

    alert_id: str
    exam_id: str
    raised_at: str
    alert: bytes
    acknowledged_at: str | None
    acknowledged_by: str | None
    comment: str | None


class Delivery(NamedTuple):
    """A message that has to go out, or went."""

    delivery_id: str
    alert_id: str
    recipient: str
    channel: str
    attempts: int
    sent_at: str | None
    last_error: str | None


class Batch:
    """Exams that are looked at together, within a transaction, with what else is known of their patients.

    ``raised`` is the highest threshold that each rule has raised for each of them.
    """

    def __init__(self, connection: Connection, exam_ids: Sequence[str], across_facilities: bool) -> None:
        self._connection = connection
        self._across = across_facilities
        self.exams = _stored(connection, exam_ids)
        self.raised = _raised(connection, exam_ids)

    def patients(self) -> Iterator[list[PatientExam]]:
        """Give all exams of each patient of the batch; an exam is alone where its patient is not known.

        An ID is of one facility, unless IDs are of all facilities. One with too many exams is no one person's.
        """
        patient_of = _patient_of(self._connection, [exam.exam_id for exam in self.exams])
        together = set[str]()
        for patient_id, facility in sorted(
            {
                (patient_of[exam.exam_id], "" if self._across else str(exam.row["facility"]))
                for exam in self.exams
                if exam.exam_id in patient_of
            }
        ):
            theirs = self._exams_of(patient_id, facility)
            if theirs:
                together |= {exam.exam_id for exam in theirs}
                yield theirs
        yield from ([PatientExam(*exam[:3])] for exam in self.exams if exam.exam_id not in together)

    def raised_for(self, exam_ids: Sequence[str]) -> list[tuple[str, str, float]]:
        """Return which thresholds were raised for exams: exam, rule and the highest threshold of it."""
        found = []
        for part in in_parts(exam_ids):
            for exam_id, rules in _raised(self._connection, part).items():
                found += [(exam_id, rule, threshold) for rule, threshold in rules.items()]
        return found

    def exam(self, exam_id: str) -> StoredExam:
        """Return an exam of the store."""
        return (
            next((one for one in self.exams if one.exam_id == exam_id), None) or _stored(self._connection, [exam_id])[0]
        )

    def _exams_of(self, patient_id: str, facility: str) -> list[PatientExam]:
        """Return the exams of an ID; none where they are too many."""
        theirs = select(objects.c.exam_id).where(objects.c.patient_id == patient_id)
        wanted = (
            select(exams.c.exam_id, exams.c.study_date, exams.c.mart_row, alerts_due.c.exam_id)
            .join_from(exams, alerts_due, alerts_due.c.exam_id == exams.c.exam_id, isouter=True)
            .where(exams.c.exam_id.in_(theirs), exams.c.kind != "estimate")
            .limit(_MOST_OF_A_PATIENT + 1)
        )
        if not self._across:
            wanted = wanted.where(exams.c.facility == facility)
        rows = self._connection.execute(wanted).all()
        if len(rows) > _MOST_OF_A_PATIENT:
            return []
        owner = _patient_of(self._connection, [row[0] for row in rows])
        days = Counter(day for _, day, _, _ in rows)
        times = _study_times(self._connection, [key for key, day, _, _ in rows if days[day] > 1])
        return [
            PatientExam(key, day, _decode(row), times.get(key, ""), due is not None)
            for key, day, row, due in rows
            if owner[key] == patient_id
        ]


Judge = Callable[[Batch], list[NewAlert]]
"""Says which alerts the exams of a batch raise."""


def mark_due(connection: Connection, exam_ids: Collection[str]) -> None:
    """Remember that exams have come or changed, in the transaction that brings them."""
    for part in in_parts(sorted(exam_ids)):
        connection.execute(delete(alerts_due).where(alerts_due.c.exam_id.in_(part)))
        connection.execute(insert(alerts_due), [{"exam_id": exam_id} for exam_id in part])


class AlertTables:
    """The alerts of a store's database. Its methods raise :class:`StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- raising ----

    def judge_due(self, judge: Judge, *, since: dt.date, now: dt.datetime, across_facilities: bool = False) -> int:
        """Have every exam that is due judged; returns how many alerts were raised.

        Args:
            judge: says which alerts exams raise; it must not touch the store.
            since: exams of studies before this day are history and are passed over.
            now: when the alerts are raised.
            across_facilities: an ID stands for one patient in all facilities, not in each for another.

        """
        raised = 0
        while self._is_any_due():
            with self._database.writing() as connection:
                _pass_over_history(connection, since)
                ids = list(connection.execute(select(alerts_due.c.exam_id).limit(_TOGETHER)).scalars())
                raised += _keep(connection, judge(Batch(connection, ids, across_facilities)), now)
                connection.execute(delete(alerts_due).where(alerts_due.c.exam_id.in_(ids)))
        return raised

    def forget_due(self) -> None:
        """Take the marks away without looking, where alerts are switched off."""
        if self._is_any_due():
            with self._database.writing() as connection:
                connection.execute(delete(alerts_due))

    def between(self, since: dt.date, until: dt.date, *, across_facilities: bool = False) -> Iterator[Batch]:
        """Give the exams of studies from one day to another, by date, as one state of the store holds them."""
        found = select(exams.c.exam_id).where(
            exams.c.study_date >= since.isoformat(), exams.c.study_date <= until.isoformat(), exams.c.kind != "estimate"
        )
        with self._database.reading() as connection:
            ids = list(connection.execute(found.order_by(exams.c.study_date, exams.c.exam_id)).scalars())
            for part in in_parts(ids):
                yield Batch(connection, part, across_facilities)

    def _is_any_due(self) -> bool:
        with self._database.reading() as connection:
            return connection.execute(select(alerts_due.c.exam_id).limit(1)).scalar() is not None

    # ---- taking note ----

    def all(self) -> list[KeptAlert]:
        """Return every alert, the newest first."""
        columns = (
            *(alerts.c.alert_id, alerts.c.exam_id, alerts.c.raised_at, alerts.c.alert),
            *(alerts.c.acknowledged_at, alerts.c.acknowledged_by, alerts.c.comment),
        )
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).order_by(alerts.c.raised_at.desc(), alerts.c.alert_id)).all()
        return [KeptAlert(*row) for row in rows]

    def acknowledge(self, alert_id: str, *, by: str, comment: str, at: dt.datetime) -> None:
        """Keep who has taken note of an alert; messages of it that have not gone out are then no longer sent.

        Raises:
            StoreError: there is no such alert, or somebody has taken note of it before.

        """
        with self._database.writing() as connection:
            found = select(alerts.c.acknowledged_at, alerts.c.acknowledged_by).where(alerts.c.alert_id == alert_id)
            row = connection.execute(found).one_or_none()
            if row is None:
                raise StoreError(f"There is no alert {alert_id!r}. 'doseatlas alerts list --all' lists them.")
            if row.acknowledged_at is not None:
                raise StoreError(
                    f"Alert {alert_id} was acknowledged by {row.acknowledged_by} at {row.acknowledged_at}."
                )
            change = update(alerts).where(alerts.c.alert_id == alert_id)
            connection.execute(change.values(acknowledged_at=_text(at), acknowledged_by=by, comment=comment))

    # ---- deliveries ----

    def claim(self, now: dt.datetime, pause: Callable[[int], dt.timedelta]) -> tuple[Delivery, KeptAlert] | None:
        """Take the delivery that is due longest, if there is one, for one attempt.

        It is due again after ``pause(attempts)``, should this process die before :meth:`sent`; until then no other
        process takes it. ``pause`` must be longer than an attempt can take.
        """
        wanted = (
            select(alert_deliveries)
            .join(alerts, alerts.c.alert_id == alert_deliveries.c.alert_id)
            .where(alerts.c.acknowledged_at.is_(None), alert_deliveries.c.sent_at.is_(None))
            .where(alert_deliveries.c.next_at <= _text(now))
            .order_by(alert_deliveries.c.next_at, alert_deliveries.c.delivery_id)
            .limit(1)
        )
        with self._database.reading() as connection:
            if connection.execute(wanted).one_or_none() is None:
                return None
        with self._database.writing() as connection:
            row = connection.execute(wanted).one_or_none()
            if row is None:
                return None
            attempts = row.attempts + 1
            change = update(alert_deliveries).where(alert_deliveries.c.delivery_id == row.delivery_id)
            connection.execute(change.values(attempts=attempts, next_at=_text(now + pause(attempts))))
            kept = connection.execute(select(alerts).where(alerts.c.alert_id == row.alert_id)).one()
        delivery = Delivery(row.delivery_id, row.alert_id, row.recipient, row.channel, attempts, None, None)
        alert = KeptAlert(kept.alert_id, kept.exam_id, kept.raised_at, kept.alert, None, None, None)
        return delivery, alert

    def sent(self, delivery_id: str, now: dt.datetime) -> None:
        """Keep that a delivery has gone out."""
        self._change_delivery(delivery_id, sent_at=_text(now), last_error=None)

    def failed(self, delivery_id: str, reason: str) -> None:
        """Keep why an attempt failed; the next one follows when it is due."""
        self._change_delivery(delivery_id, last_error=reason)

    def deliveries(self) -> list[Delivery]:
        """Return every delivery, by alert and recipient."""
        columns = (
            *(alert_deliveries.c.delivery_id, alert_deliveries.c.alert_id, alert_deliveries.c.recipient),
            *(alert_deliveries.c.channel, alert_deliveries.c.attempts),
            *(alert_deliveries.c.sent_at, alert_deliveries.c.last_error),
        )
        order = (alert_deliveries.c.alert_id, alert_deliveries.c.recipient, alert_deliveries.c.channel)
        with self._database.reading() as connection:
            return [Delivery(*row) for row in connection.execute(select(*columns).order_by(*order)).all()]

    def _change_delivery(self, delivery_id: str, **values: str | None) -> None:
        with self._database.writing() as connection:
            change = update(alert_deliveries).where(alert_deliveries.c.delivery_id == delivery_id)
            connection.execute(change.values(**values))


def _pass_over_history(connection: Connection, since: dt.date) -> None:
    old = select(exams.c.exam_id).where(exams.c.study_date != "", exams.c.study_date < since.isoformat())
    connection.execute(delete(alerts_due).where(alerts_due.c.exam_id.in_(old)))


def _patient_of(connection: Connection, exam_ids: Sequence[str]) -> dict[str, str]:
    """Return whose exams they are, where it is stated: of several patient IDs in one, that of its first object."""
    found: dict[str, str] = {}
    for part in in_parts(exam_ids):
        owned = select(objects.c.exam_id, objects.c.patient_id).where(
            objects.c.exam_id.in_(part), objects.c.patient_id.is_not(None), objects.c.patient_id != ""
        )
        found |= dict(connection.execute(owned.order_by(objects.c.id.desc())).all())
    return found


def _study_times(connection: Connection, exam_ids: Sequence[str]) -> dict[str, str]:
    """Return the times of day of exams, ISO 8601, where they are stated."""
    found = {}
    for part in in_parts(exam_ids):
        rows = select(exams.c.exam_id, exams.c.exam).where(exams.c.exam_id.in_(part))
        for key, data in connection.execute(rows):
            found[key] = _study_decoder.decode(decompress(data)).study_time or ""
    return found


def _stored(connection: Connection, exam_ids: Sequence[str]) -> list[StoredExam]:
    columns = (exams.c.exam_id, exams.c.study_date, exams.c.mart_row, exams.c.exam)
    found = select(*columns).where(exams.c.exam_id.in_(exam_ids)).order_by(exams.c.study_date, exams.c.exam_id)
    return [StoredExam(key, day, _decode(row), unpack_exam(exam)) for key, day, row, exam in connection.execute(found)]


def _raised(connection: Connection, exam_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the highest threshold that each rule has raised, by exam."""
    highest = select(alerts.c.exam_id, alerts.c.rule, func.max(alerts.c.threshold))
    found: dict[str, dict[str, float]] = {}
    of_these = highest.where(alerts.c.exam_id.in_(exam_ids)).group_by(alerts.c.exam_id, alerts.c.rule)
    for exam_id, rule, threshold in connection.execute(of_these):
        found.setdefault(exam_id, {})[rule] = threshold
    return found


def _keep(connection: Connection, new: Sequence[NewAlert], now: dt.datetime) -> int:
    for one in new:
        connection.execute(
            insert(alerts).values(
                alert_id=one.alert_id,
                exam_id=one.exam_id,
                rule=one.rule,
                threshold=one.threshold,
                raised_at=_text(now),
                alert=one.alert,
            )
        )
        for recipient, channel, delivery_id in one.deliveries:
            connection.execute(
                insert(alert_deliveries).values(
                    delivery_id=delivery_id,
                    alert_id=one.alert_id,
                    recipient=recipient,
                    channel=channel,
                    attempts=0,
                    next_at=_text(now),
                )
            )
    return len(new)


def _decode(row: bytes) -> MartRow:
    return msgspec.json.decode(row, type=MartRow)


def _text(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds")


def studies_of(database: Database, exam_ids: Collection[str]) -> dict[str, str]:
    """Return the Study Instance UID of exams, where it is stated."""
    found: dict[str, str] = {}
    with database.reading() as connection:
        for part in in_parts(sorted(exam_ids)):
            for key, data in connection.execute(select(exams.c.exam_id, exams.c.exam).where(exams.c.exam_id.in_(part))):
                study = _study_decoder.decode(decompress(data)).study_instance_uid
                if study:
                    found[key] = study
    return found
