"""How is everything derived again by the rules of today? From the archive, beside the data in use, swapped at the end.

The archive's packs are read by all processors as in an import, but into tables of their own. The tables in use stay as
they are until one transaction replaces them; interrupted before that, nothing has changed. Packs that the database does
not know are taken in too, so that a lost database comes back. Decisions on names stay.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from doseatlas.model import Refusal, StoreError
from doseatlas.store.archive import Original, read_index, read_original
from doseatlas.store.database import Progress
from doseatlas.store.derive import DERIVATION, derive, unpack_exam
from doseatlas.store.estimates import keys_beside
from doseatlas.store.importing import settle
from doseatlas.store.open_store import OpenStore
from doseatlas.store.prepare import DoseObject, Prepared, Rules, prepare_again
from doseatlas.store.record import (
    Derivation,
    Located,
    add_objects,
    add_pack,
    decisions_in_force,
    mark_months,
    record_ignored,
    record_refusals,
)
from doseatlas.store.results import RebuildSummary
from doseatlas.store.schema import CURRENT, REBUILT, ignored, meta
from doseatlas.store.workers import Done, encoded, in_order

_BATCH_OBJECTS = 250
_DAMAGED = "archive-damaged"
_RUNNING = "rebuild"


class Archived(NamedTuple):
    """An original to be read again: its pack, and where in it."""

    pack: str
    file: Path
    original: Original


class _Left(NamedTuple):
    """Originals that gave no dose object this time."""

    refused: list[Prepared]
    ignored: set[bytes]
    damaged: set[bytes]


def rebuild(store: OpenStore, progress: Progress | None = None) -> RebuildSummary:
    """Derive every object and exam again.

    Raises:
        StoreError: the store or the archive failed, the archive holds identity in another form than the store, or
            another rebuild has begun meanwhile; the exams are then as they were.

    """
    began = time.monotonic()
    settle(store)
    run = secrets.token_hex(8)
    packs, total = _packs(store)
    with store.database.writing() as connection:
        _begin(connection, run)
        decisions, dose = decisions_in_force(connection), store.dose_rules(connection)
    rules = Rules(None, False, store.facility, store.limits, decisions, dose)
    left = _Left([], set(), set())
    done = 0
    for tasks, prepared in _with_tasks(_batches(store, packs), rules, store.jobs):
        with store.database.writing() as connection:
            _still(connection, run)
            _add(connection, store, tasks, prepared, left, rules)
        done += len(prepared)
        if progress is not None:
            progress(done, total)
    read_again = done - len(left.refused) - len(left.ignored) - len(left.damaged)
    kept = _keep_without_original(store, run, rules)
    with store.database.writing() as connection:
        _still(connection, run)
        gone = left.ignored | {one.digest for one in left.refused}
        kept += _keep(connection, store, rules, gone)
        exams = _swap(connection)
        record_ignored(connection, left.ignored)
        record_refusals(connection, left.refused, _now())
    return RebuildSummary(
        exams=exams,
        read_again=read_again,
        kept=kept,
        damaged=len(left.damaged),
        refused=len(left.refused),
        ignored=len(left.ignored),
        seconds=time.monotonic() - began,
    )


# ---- the archive, in workers ----


def _packs(store: OpenStore) -> tuple[list[str], int]:
    """Return the names of all packs, and how many originals they hold.

    Raises:
        StoreError: a pack is damaged, or would bring identity into the store that it must not hold.

    """
    names = store.archive.names()
    total = 0
    for name in names:
        file = store.archive.file(name)
        index = read_index(file)
        total += len(index.originals)
        if index.identity != store.identity_mark:
            raise StoreError(
                f"The pack {file} keeps identity in another form or under another key than this store. Move it out of "
                "the archive, or rebuild with the settings and the identity.key it was made with. Nothing was changed."
            )
    return names, total


def _batches(store: OpenStore, names: Sequence[str]) -> Iterator[list[Archived]]:
    for name in names:
        file = store.archive.file(name)
        originals = read_index(file).originals
        for start in range(0, len(originals), _BATCH_OBJECTS):
            yield [Archived(name, file, one) for one in originals[start : start + _BATCH_OBJECTS]]


def _with_tasks(
    batches: Iterator[list[Archived]], rules: Rules, jobs: int
) -> Iterator[tuple[list[Archived], list[Prepared]]]:
    """Give the results of the workers beside what they are the results of."""
    given: list[Archived] = []

    def remembered() -> Iterator[list[Archived]]:
        for batch in batches:
            given.extend(batch)
            yield batch

    for prepared in in_order(remembered(), _work, _start, (rules,), jobs):
        tasks, given[: len(prepared)] = given[: len(prepared)], []
        yield tasks, prepared


def _start(rules: Rules) -> AbstractContextManager[Rules]:
    return nullcontext(rules)


def _work(rules: Rules, batch: list[Archived]) -> Done:
    return encoded(_read_again(task.file, task.original, rules) for task in batch)


def _read_again(file: Path, original: Original, rules: Rules) -> Prepared:
    try:
        archived = read_original(file, original.offset, original.length)
    except (ValueError, OSError) as error:
        return Prepared(original.path, original.digest, "refused", Refusal(code=_DAMAGED, message=str(error)))
    return prepare_again(original, archived, rules)


# ---- the database ----


def _begin(connection: Connection, run: str) -> None:
    for table in REBUILT:
        connection.execute(delete(table))
    connection.execute(delete(meta).where(meta.c.name == _RUNNING))
    connection.execute(insert(meta).values(name=_RUNNING, value=run))


def _still(connection: Connection, run: str) -> None:
    if connection.execute(select(meta.c.value).where(meta.c.name == _RUNNING)).scalar() != run:
        raise StoreError("Another rebuild of this store has begun; this one gave up. The exams are as they were.")


def _add(
    connection: Connection,
    store: OpenStore,
    tasks: Sequence[Archived],
    prepared: Sequence[Prepared],
    left: _Left,
    rules: Rules,
) -> None:
    """Put what was read again into the tables beside."""
    digests = [one.digest for one in prepared]
    objects = CURRENT.objects
    dates = select(objects.c.digest, objects.c.imported_at).where(objects.c.digest.in_(digests))
    since = dict(connection.execute(dates).all())
    seen = set(
        connection.execute(select(REBUILT.objects.c.digest).where(REBUILT.objects.c.digest.in_(digests))).scalars()
    )
    located = []
    for task, one in zip(tasks, prepared, strict=True):
        if one.refusal is not None and one.refusal.code == _DAMAGED:
            left.damaged.add(one.digest)
        elif one.refusal is not None:
            left.refused.append(one)
        elif one.dose is None:
            left.ignored.add(one.digest)
        elif one.digest not in seen:
            seen.add(one.digest)
            pack = add_pack(connection, task.pack)
            located.append(Located(one.digest, one.dose, since.get(one.digest) or _now(), pack, task.original))
    add_objects(connection, REBUILT, located, _derivation(connection, store, rules))


def _keep_without_original(store: OpenStore, run: str, rules: Rules) -> int:
    """Derive again, from what was read of them before, objects that were never archived; returns how many."""
    objects = CURRENT.objects
    kept = after = 0
    while True:
        with store.database.writing() as connection:
            _still(connection, run)
            rows = connection.execute(
                select(objects)
                .where(objects.c.pack_id.is_(None), objects.c.id > after)
                .order_by(objects.c.id)
                .limit(_BATCH_OBJECTS)
            ).all()
            if not rows:
                return kept
            absent = _absent(connection, rows, rules)
            add_objects(connection, REBUILT, absent, _derivation(connection, store, rules))
        kept += len(absent)
        after = rows[-1].id


def _keep(connection: Connection, store: OpenStore, rules: Rules, gone: set[bytes]) -> int:
    """Take over objects that are not yet beside: damaged in the archive, or imported while this went on."""
    objects, rebuilt = CURRENT.objects, REBUILT.objects
    kept = after = 0
    derivation = _derivation(connection, store, rules)
    missing = select(objects).where(objects.c.digest.not_in(select(rebuilt.c.digest)))
    while rows := connection.execute(
        missing.where(objects.c.id > after).order_by(objects.c.id).limit(_BATCH_OBJECTS)
    ).all():
        located = [_located(row, rules) for row in rows if row.digest not in gone]
        add_objects(connection, REBUILT, located, derivation)
        kept += len(located)
        after = rows[-1].id
    return kept


def _absent(connection: Connection, rows: Sequence[Row[Any]], rules: Rules) -> list[Located]:
    """Return the objects of rows that are not beside yet; a lost and found pack may hold them after all."""
    rebuilt = REBUILT.objects
    digests = [row.digest for row in rows]
    there = set(connection.execute(select(rebuilt.c.digest).where(rebuilt.c.digest.in_(digests))).scalars())
    return [_located(row, rules) for row in rows if row.digest not in there]


def _located(row: Row[Any], rules: Rules) -> Located:
    """Return an object as the table holds it, its exam derived anew."""
    original = None
    if row.pack_id is not None:
        original = Original(row.digest, row.pack_offset, row.pack_length, row.path)
    exam = unpack_exam(row.exam)
    dose = DoseObject(
        exam_id=row.exam_id,
        sop_instance_uid=row.sop_instance_uid,
        path=row.path,
        patient_id=row.patient_id,
        accession_number=row.accession_number,
        facility=row.facility,
        frame=None,
        notes=(),
        alone=derive(exam, row.exam_id, rules.decisions, row.facility or rules.facility, rules.dose),
        beside=keys_beside(exam),
    )
    return Located(row.digest, dose, row.imported_at, row.pack_id, original)


def _derivation(connection: Connection, store: OpenStore, rules: Rules) -> Derivation:
    decisions: Mapping[str, str] = decisions_in_force(connection)
    dose = store.dose_rules(connection)
    return Derivation(decisions, rules.facility, dose, decisions == rules.decisions and dose == rules.dose)


def _swap(connection: Connection) -> int:
    """Put the tables beside in place of those in use; returns the number of exams."""
    months = set()
    for tables in (CURRENT, REBUILT):
        exams = tables.exams
        months |= {
            (row.facility, row.month) for row in connection.execute(select(exams.c.facility, exams.c.month).distinct())
        }
    mark_months(connection, months)
    for current, rebuilt in zip(CURRENT, REBUILT, strict=True):
        names = [column.name for column in current.columns if column.name != "id"]
        connection.execute(delete(current))
        order = rebuilt.c.id if "id" in rebuilt.c else rebuilt.c.exam_id
        connection.execute(insert(current).from_select(names, select(*(rebuilt.c[n] for n in names)).order_by(order)))
        connection.execute(delete(rebuilt))
    connection.execute(update(ignored).values(stale=True))
    connection.execute(delete(ignored).where(ignored.c.digest.in_(select(CURRENT.objects.c.digest))))
    connection.execute(delete(meta).where(meta.c.name.in_((_RUNNING, "derivation"))))
    connection.execute(insert(meta).values(name="derivation", value=DERIVATION))
    return int(connection.execute(select(func.count()).select_from(CURRENT.exams)).scalar_one())


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
