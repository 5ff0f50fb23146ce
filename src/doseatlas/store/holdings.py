"""What does the store hold of studies? So that whoever fetches asks archives only for what is lacking."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple, get_args

from sqlalchemy import select

from doseatlas.model import Exam, Kind
from doseatlas.store.database import in_parts
from doseatlas.store.derive import key_of, unpack_exam
from doseatlas.store.schema import exams, objects

if TYPE_CHECKING:
    from doseatlas.store.open_store import OpenStore
    from doseatlas.store.store import Store


class Held(NamedTuple):
    """The dose objects of a study: their SOP Instance UIDs, and whether a dose report is among them."""

    instances: frozenset[str] = frozenset()
    has_report: bool = False


def held(store: Store, study_instance_uids: Collection[str]) -> dict[str, Held]:
    """Return what the store holds of each study; studies of which it holds nothing are left out.

    Raises:
        StoreError: the store cannot be read.

    """
    study_of = {key_of(kind, study): study for study in study_instance_uids for kind in get_args(Kind)}
    found: dict[str, Held] = {}
    with store.database.reading() as connection:
        for part in in_parts(list(study_of)):
            rows = select(objects.c.exam_id, objects.c.sop_instance_uid, objects.c.exam)
            for key, uid, exam in connection.execute(rows.where(objects.c.exam_id.in_(part))):
                study = study_of[key]
                before = found.get(study, Held())
                found[study] = Held(
                    before.instances | ({uid} if uid else set()),
                    before.has_report or _is_dose_report(unpack_exam(exam)),
                )
    return found


def exams_of_study(store: OpenStore, exam_key: str) -> dict[Kind, str]:
    """Return the other exams of an exam's study by their kind, such as the CT of a PET/CT; estimates are no exams.

    Raises:
        StoreError: the store cannot be read.

    """
    with store.database.reading() as connection:
        data = connection.execute(select(exams.c.exam).where(exams.c.exam_id == exam_key)).scalar()
        study = None if data is None else unpack_exam(data).study_instance_uid
        if not study:
            return {}
        keys: dict[str, Kind] = {key_of(kind, study): kind for kind in get_args(Kind)}
        found = connection.execute(select(exams.c.exam_id).where(exams.c.exam_id.in_(keys))).scalars().all()
    return {keys[key]: key for key in sorted(found) if key != exam_key and keys[key] != "estimate"}


def _is_dose_report(exam: Exam) -> bool:
    """Whether it is a report of the device: a report of estimated doses does not stand in for one."""
    return exam.source == "dose-report" and exam.kind != "estimate"
