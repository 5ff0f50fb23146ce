"""What does the store hold of studies? So that whoever fetches asks archives only for what is lacking."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple, get_args

from sqlalchemy import select

from doseatlas.model import Exam, Kind
from doseatlas.store.database import in_parts
from doseatlas.store.derive import exam_id, unpack_exam
from doseatlas.store.schema import objects

if TYPE_CHECKING:
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
    study_of = {
        exam_id(Exam(kind=kind, study_instance_uid=study)): study
        for study in study_instance_uids
        for kind in get_args(Kind)
    }
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


def _is_dose_report(exam: Exam) -> bool:
    """Whether it is a report of the device: a report of estimated doses does not stand in for one."""
    return exam.source == "dose-report" and exam.kind != "estimate"
