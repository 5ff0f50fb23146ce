"""What the store keeps of alerts, on both databases: exams that are due, alerts, deliveries that wait."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from doseatlas.model import StoreError
from doseatlas.store import Store, import_paths
from doseatlas.store.alerts import AlertTables, Batch, NewAlert, studies_of

NOW = dt.datetime(2024, 7, 1, tzinfo=dt.UTC)
EVER = dt.date(2000, 1, 1)
MINUTE = dt.timedelta(minutes=1)


def pause(attempts: int) -> dt.timedelta:
    """A minute for each attempt."""
    return attempts * MINUTE


def always(batch: Batch) -> list[NewAlert]:
    """Raise one alert for every exam, to be told to one recipient, once."""
    return [
        NewAlert(key[:12], key, "rule", 1.5, b"{}", (("Jane", "email", f"d{key[:12]}"),))
        for key in (exam.exam_id for exam in batch.exams)
        if not batch.raised.get(key)
    ]


def all_exams(tables: AlertTables) -> list[str]:
    batches = tables.between(EVER, dt.date(2030, 1, 1))
    return [exam.exam_id for batch in batches for exam in batch.exams]


def patients(store: Store, ids: list[str], across: bool = False) -> list[set[str]]:
    with store.database.reading() as connection:
        return [{one.exam_id for one in patient} for patient in Batch(connection, ids, across).patients()]


@pytest.fixture
def tables(store: Store, objects: Path) -> AlertTables:
    """The alerts of a store with some exams."""
    import_paths(store, sorted(objects.rglob("*.dcm"))[:12])
    return AlertTables(store.database)


def test_every_exam_that_came_is_judged_once(store: Store, tables: AlertTables, objects: Path) -> None:
    exams = store.counts().exams
    assert tables.judge_due(always, since=EVER, now=NOW) == exams
    assert tables.judge_due(always, since=EVER, now=NOW) == 0
    import_paths(store, sorted(objects.rglob("*.dcm"))[:16])
    more = tables.judge_due(always, since=EVER, now=NOW)
    assert more == store.counts().exams - exams
    assert len(tables.all()) == store.counts().exams


def test_a_judge_that_fails_leaves_all_as_it_was(store: Store, tables: AlertTables) -> None:
    def failing(batch: Batch) -> list[NewAlert]:
        found = always(batch)
        return [*found, found[0]]  # the second time it is there already

    with pytest.raises(StoreError):
        tables.judge_due(failing, since=EVER, now=NOW)
    assert tables.all() == []
    assert tables.judge_due(always, since=EVER, now=NOW) == store.counts().exams


def test_exams_of_the_past_are_passed_over(tables: AlertTables) -> None:
    assert tables.judge_due(always, since=dt.date(2030, 1, 1), now=NOW) == 0
    assert tables.judge_due(always, since=EVER, now=NOW) == 0


def test_the_other_exams_of_a_patient_are_found(store: Store, tables: AlertTables) -> None:
    ids = all_exams(tables)
    assert len(ids) == store.counts().exams
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE objects SET patient_id = 'one'")
    assert patients(store, ids[:1]) == [set(ids)]
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE objects SET patient_id = NULL")
    assert patients(store, ids) == [{one} for one in ids]


def test_an_id_is_of_one_facility_unless_it_is_said_to_be_of_all(store: Store, objects: Path) -> None:
    files = sorted(objects.rglob("*.dcm"))[:12]
    import_paths(store, files[:6], facility="North")
    import_paths(store, files[6:], facility="South")
    ids = all_exams(AlertTables(store.database))
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE objects SET patient_id = 'one'")
    apart = patients(store, ids)
    assert len(apart) == 2
    assert set.union(*apart) == set(ids)
    assert patients(store, ids, across=True) == [set(ids)]


def test_an_id_with_too_many_exams_is_no_patients(
    store: Store, tables: AlertTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = all_exams(tables)
    monkeypatch.setattr("doseatlas.store.alerts._MOST_OF_A_PATIENT", len(ids) - 1)
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE objects SET patient_id = 'anonymous'")
    assert patients(store, ids) == [{one} for one in ids]


def test_the_patients_of_hostile_length_are_taken(store: Store, tables: AlertTables) -> None:
    with store.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE objects SET patient_id = '{'x' * 100_000}'")
    ids = all_exams(tables)
    assert patients(store, ids[:1]) == [set(ids)]


def test_a_delivery_is_claimed_by_one_at_a_time_until_it_is_sent(tables: AlertTables) -> None:
    count = tables.judge_due(always, since=EVER, now=NOW)
    claimed = [tables.claim(NOW, pause) for _ in range(count)]
    assert len({one[0].delivery_id for one in claimed if one}) == count
    assert tables.claim(NOW, pause) is None
    first = claimed[0]
    assert first is not None
    tables.sent(first[0].delivery_id, NOW)
    again = [tables.claim(NOW + MINUTE, pause) for _ in range(count)]
    assert again[-1] is None
    assert {one[0].attempts for one in again if one} == {2}
    tables.failed(first[0].delivery_id, "why")
    assert [one.last_error for one in tables.deliveries() if one.delivery_id == first[0].delivery_id] == ["why"]


def test_an_alert_is_acknowledged_once_and_then_not_told_any_more(tables: AlertTables) -> None:
    tables.judge_due(always, since=EVER, now=NOW)
    for one in tables.all():
        tables.acknowledge(one.alert_id, by="Jane", comment="seen", at=NOW)
    assert tables.claim(NOW, pause) is None
    with pytest.raises(StoreError, match="was acknowledged by Jane"):
        tables.acknowledge(tables.all()[0].alert_id, by="Joe", comment="seen", at=NOW)


def test_the_studies_of_exams_are_found(store: Store, tables: AlertTables) -> None:
    stated = {exam.study_instance_uid for exam in store.exams()}
    assert set(studies_of(store.database, all_exams(tables)).values()) == stated
