"""Which exams does a report of estimated doses speak of? Those of its study that hold a dose report it was made from.

A Patient Radiation Dose SR is kept as an exam of its own (kind ``estimate``), which the mart has no row for. Its
estimates are part of the exams too that they were made from, in whatever order the objects came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, Table, select

from doseatlas.model import Exam, Kind, Note
from doseatlas.store.database import in_parts
from doseatlas.store.derive import key_of, unpack_exam

_ESTIMATED: tuple[Kind, ...] = ("ct", "projection", "mammography", "nuclear")


def keys_beside(exam: Exam) -> tuple[str, ...]:
    """Return the keys of the exams of the same study that bear on this one: its estimates, or what they estimate."""
    if not exam.study_instance_uid:
        return ()
    kinds: tuple[Kind, ...] = _ESTIMATED if exam.kind == "estimate" else ("estimate",)
    study = exam.study_instance_uid
    return tuple(key_of(kind, study) for kind in kinds)


def kept_keys(connection: Connection, objects: Table, keys: Iterable[str]) -> list[str]:
    """Return which of the keys are those of exams that the store has objects of."""
    found: list[str] = []
    for part in in_parts(sorted(set(keys))):
        stated = select(objects.c.exam_id).where(objects.c.exam_id.in_(part)).distinct()
        found += connection.execute(stated).scalars()
    return found


def estimates_beside(connection: Connection, objects: Table, keys: Mapping[str, str]) -> dict[str, list[Exam]]:
    """Return the reports of estimated doses by exam; ``keys`` are the exams' keys and those of their estimates."""
    by_key: dict[str, list[Exam]] = {}
    for part in in_parts(sorted(set(keys.values()))):
        stated = select(objects.c.exam_id, objects.c.exam).where(objects.c.exam_id.in_(part))
        for key, exam in connection.execute(stated):
            by_key.setdefault(key, []).append(unpack_exam(exam))
    return {exam: by_key[beside] for exam, beside in keys.items() if beside in by_key}


def with_estimates(exam: Exam, stated: Sequence[Exam], reports: Sequence[Exam]) -> Exam:
    """Return a merged exam with the estimates that were made from one of its objects (``stated``).

    A report that another replaces does not count, and the same report counts once.
    """
    own = {one.sop_instance_uid for one in stated}
    replaced = {uid for report in reports for uid in report.replaces}
    used = {
        report.sop_instance_uid: report
        for report in sorted(reports, key=lambda one: (one.content_at or "", one.path or ""))
        if report.sop_instance_uid not in replaced and own.intersection(report.estimated_from)
    }
    if not used:
        return exam
    estimates = tuple(estimate for report in used.values() for estimate in report.estimates)
    message = f"{len(estimates)} estimated doses come from {len(used)} report(s) of another program; see estimates."
    return msgspec.structs.replace(
        exam,
        estimates=exam.estimates + estimates,
        estimated_from=tuple(
            dict.fromkeys([*exam.estimated_from, *(u for r in used.values() for u in r.estimated_from)])
        ),
        notes=(*exam.notes, Note(code="estimates-attached", message=message)),
    )
