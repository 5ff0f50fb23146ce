"""How does a batch of objects get into the tables? In one transaction: objects, their merged exams, months to write.

Every function works on the connection of a write transaction and leaves nothing behind if that does not commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, insert, select, tuple_, update

from doseatlas.model import Exam
from doseatlas.standardise import merge
from doseatlas.store.archive import Original
from doseatlas.store.database import in_parts
from doseatlas.store.derive import ExamRow, derive, unpack_exam
from doseatlas.store.dose_rules import DoseRules
from doseatlas.store.estimates import estimates_beside, kept_keys, with_estimates
from doseatlas.store.filling import context_of, fill
from doseatlas.store.image_sizes import sizes_of
from doseatlas.store.prepare import DoseObject, Prepared
from doseatlas.store.schema import (
    ExamTables,
    exams,
    ignored,
    mapping_decisions,
    mart_months,
    packs,
    refused,
)

Month = tuple[str, str]  # facility and month


class Derivation(msgspec.Struct, frozen=True):
    """What exams are derived with, beyond the exams: the site's decisions, the facility that is set, dosimetry's rules.

    ``as_prepared``: whether objects were prepared with these very decisions and rules, so that what was derived then
    holds.
    """

    decisions: Mapping[str, str]
    facility: str | None
    dose: DoseRules
    as_prepared: bool


class Located(msgspec.Struct, frozen=True):
    """A dose object and where its original lies, if it is archived."""

    digest: bytes
    dose: DoseObject
    imported_at: str
    pack_id: int | None = None
    original: Original | None = None


def decisions_in_force(connection: Connection) -> dict[str, str]:
    """Return the site's mappings, key to procedure."""
    found = select(mapping_decisions.c.key, mapping_decisions.c.procedure).where(~mapping_decisions.c.superseded)
    return dict(connection.execute(found).all())


def add_pack(connection: Connection, name: str) -> int:
    """Record a pack of the archive; returns its id."""
    known = connection.execute(select(packs.c.id).where(packs.c.name == name)).scalar()
    if known is not None:
        return int(known)
    return int(connection.execute(insert(packs).values(name=name).returning(packs.c.id)).scalar_one())


def is_pack(connection: Connection, name: str) -> bool:
    """Return whether the database refers to a pack of the archive."""
    return connection.execute(select(packs.c.id).where(packs.c.name == name)).scalar() is not None


def add_objects(
    connection: Connection, tables: ExamTables, added: Sequence[Located], derivation: Derivation
) -> tuple[set[bytes], set[Month]]:
    """Insert objects and derive anew the exams they belong to.

    Returns:
        The digests of objects that state exactly what another object of the same instance UID states, and the months
        in which exams were added, changed or left.

    """
    if not added:
        return set(), set()
    groups: dict[str, list[Located]] = {}
    for one in added:
        groups.setdefault(one.dose.exam_id, []).append(one)
    beside = {one.dose.exam_id: one.dose.beside[0] for one in added if len(one.dose.beside) == 1}
    for report in (one.dose for one in added if len(one.dose.beside) > 1):  # estimates: their exams follow them
        for key in kept_keys(connection, tables.objects, report.beside):
            groups.setdefault(key, [])
            beside[key] = report.exam_id
    earlier = exams_of_objects(connection, tables.objects, groups)
    connection.execute(insert(tables.objects), [_object_row(one) for one in added])
    context = context_of(connection, tables.objects, groups)
    bound = _bound_facilities(connection, tables.objects, groups)
    estimates = estimates_beside(connection, tables.objects, beside)
    sizes = sizes_of(connection, groups)
    rows, same = [], set[bytes]()
    for key, group in groups.items():
        siblings = earlier.get(key, [])
        is_alone = not siblings and len(group) == 1 and derivation.as_prepared
        if is_alone and all(key not in known for known in (context, estimates, sizes)):
            rows.append(group[0].dose.alone)
            continue
        own = [unpack_exam(one.dose.alone.exam) for one in group]
        same |= _same(siblings, zip(group, own, strict=True))
        stated = [*siblings, *own]
        exam = with_estimates(fill(merge(stated), context.get(key, ())), stated, estimates.get(key, ()))
        facility = bound.get(key) or derivation.facility
        rows.append(derive(exam, key, derivation.decisions, facility, derivation.dose, sizes.get(key)))
    return same, replace_exams(connection, tables.exams, rows)


def replace_exams(connection: Connection, table: Table, rows: Sequence[ExamRow]) -> set[Month]:
    """Insert exams in place of those with the same id; returns the months that they left and came into."""
    touched = {(row.facility, row.month) for row in rows}
    for part in in_parts([row.exam_id for row in rows]):
        old = connection.execute(
            select(table.c.exam_id, table.c.facility, table.c.month).where(table.c.exam_id.in_(part))
        ).all()
        if old:
            touched |= {(facility, month) for _, facility, month in old}
            connection.execute(delete(table).where(table.c.exam_id.in_([key for key, _, _ in old])))
    connection.execute(insert(table), [msgspec.structs.asdict(row) for row in rows])
    return touched


def derive_again(
    connection: Connection, keys: Iterable[str], decisions: Mapping[str, str], dose_rules: DoseRules
) -> int:
    """Derive kept exams anew, as they are merged, and mark their months; returns how many there were."""
    count = 0
    for part in in_parts(sorted(keys)):
        found = select(exams.c.exam_id, exams.c.facility, exams.c.exam).where(exams.c.exam_id.in_(part))
        rows = connection.execute(found).all()
        sizes = sizes_of(connection, part)
        # The facility stays: it may be the one that the sender of the objects is bound to.
        derived = [
            derive(unpack_exam(exam), key, decisions, facility, dose_rules, sizes.get(key))
            for key, facility, exam in rows
        ]
        if derived:
            mark_months(connection, replace_exams(connection, exams, derived))
        count += len(derived)
    return count


def mark_months(connection: Connection, months: Iterable[Month]) -> None:
    """Note that the mart has to write these months anew."""
    facility, month = mart_months.c.facility, mart_months.c.month
    for part in in_parts(sorted(months)):
        listed = tuple_(facility, month).in_(part)
        known = {(row.facility, row.month) for row in connection.execute(select(facility, month).where(listed))}
        if known:
            connection.execute(update(mart_months).where(listed).values(dirty=True))
        new = [{"facility": place, "month": when, "dirty": True} for place, when in part if (place, when) not in known]
        if new:
            connection.execute(insert(mart_months), new)


def record_refusals(connection: Connection, found: Sequence[Prepared], now: str) -> None:
    """Keep what was refused, by path, and forget earlier refusals of paths that were read well this time."""
    by_digest = {path_digest(one.path): one for one in found}
    first_seen: dict[bytes, str] = {}
    for part in in_parts(list(by_digest)):
        rows = connection.execute(
            select(refused.c.path_digest, refused.c.first_seen).where(refused.c.path_digest.in_(part))
        ).all()
        if rows:
            first_seen |= dict(rows)
            connection.execute(delete(refused).where(refused.c.path_digest.in_([digest for digest, _ in rows])))
    new = [
        {
            "path_digest": digest,
            "path": one.path,
            "code": one.refusal.code,
            "message": one.refusal.message,
            "first_seen": first_seen.get(digest, now),
            "last_seen": now,
        }
        for digest, one in by_digest.items()
        if one.refusal is not None
    ]
    if new:
        connection.execute(insert(refused), new)


def record_ignored(connection: Connection, digests: Iterable[bytes]) -> None:
    """Remember objects without dose, so that they need not be read again until a rebuild follows new rules."""
    for part in in_parts(list(digests)):
        forget_ignored(connection, part)
        connection.execute(insert(ignored), [{"digest": digest, "stale": False} for digest in part])


def forget_ignored(connection: Connection, digests: Iterable[bytes]) -> None:
    """Forget that objects were without dose: they are not, by the rules of today."""
    for part in in_parts(list(digests)):
        connection.execute(delete(ignored).where(ignored.c.digest.in_(part)))


def path_digest(path: str) -> bytes:
    """Return what a path is found by."""
    return hashlib.sha256(path.encode()).digest()


def exams_of_objects(connection: Connection, objects: Table, keys: Iterable[str]) -> dict[str, list[Exam]]:
    """Return what the objects of exams state, by exam, in the order in which they came."""
    found: dict[str, list[Exam]] = {}
    for part in in_parts(list(keys)):
        rows = connection.execute(
            select(objects.c.exam_id, objects.c.exam).where(objects.c.exam_id.in_(part)).order_by(objects.c.id)
        )
        for key, exam in rows:
            found.setdefault(key, []).append(unpack_exam(exam))
    return found


def _bound_facilities(connection: Connection, objects: Table, keys: Iterable[str]) -> dict[str, str]:
    """Return the facility that the senders of an exam's objects are bound to, by exam, where any of them is.

    Should they be bound to several, it is the first by name: the same in whatever order the objects came.
    """
    found: dict[str, str] = {}
    for part in in_parts(list(keys)):
        stated = select(objects.c.exam_id, objects.c.facility).where(
            objects.c.exam_id.in_(part), objects.c.facility.is_not(None)
        )
        for key, facility in connection.execute(stated.distinct()):
            found[key] = min(found.get(key, facility), facility)
    return found


def _same(siblings: Sequence[Exam], added: Iterable[tuple[Located, Exam]]) -> set[bytes]:
    """Return which objects state nothing beyond an earlier one of the same instance UID."""
    stated = {msgspec.structs.replace(exam, path=None) for exam in siblings if exam.sop_instance_uid}
    same = set()
    for one, exam in added:
        bare = msgspec.structs.replace(exam, path=None)
        if bare in stated:
            same.add(one.digest)
        elif exam.sop_instance_uid:
            stated.add(bare)
    return same


def _object_row(one: Located) -> dict[str, Any]:
    dose, original = one.dose, one.original
    return {
        "digest": one.digest,
        "exam_id": dose.exam_id,
        "sop_instance_uid": dose.sop_instance_uid,
        "path": dose.path,
        "patient_id": dose.patient_id,
        "accession_number": dose.accession_number,
        "facility": dose.facility,
        "exam": dose.alone.exam,
        "pack_id": one.pack_id,
        "pack_offset": original and original.offset,
        "pack_length": original and original.length,
        "imported_at": one.imported_at,
    }
