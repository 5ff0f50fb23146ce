"""Do the exams follow the settings that their dosimetry depends on? Those that a change touches are derived anew.

The setting is ``skin_dose_from_gy``: it decides which exams have a skin dose map. The database remembers the one that
its exams were derived with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from doseatlas.dosimetry import needs_skin_map
from doseatlas.settings import Settings
from doseatlas.store.derive import unpack_exam
from doseatlas.store.record import decisions_in_force, derive_again
from doseatlas.store.schema import exams, meta

if TYPE_CHECKING:
    from doseatlas.store.open_store import OpenStore

_NAME = "skin-dose-from-gy"
_READ, _TOGETHER = 500, 50  # exams held while they are looked through, and derived within one transaction


def follow_settings(store: OpenStore) -> int:
    """Derive anew the exams that a changed setting touches; returns how many. Interrupted, it begins again."""
    now = store.skin_dose_from_gy
    with store.database.reading() as connection:
        before = _remembered(connection)
        if before == now:
            return 0
        found = select(exams.c.exam_id, exams.c.exam).where(exams.c.kind == "projection")
        rows = connection.execute(found, execution_options={"yield_per": _READ})
        touched = [key for key, data in rows if _differs(data, before, now)]
    for start in range(0, len(touched), _TOGETHER):
        with store.database.writing() as connection:
            decisions, rules = decisions_in_force(connection), store.dose_rules(connection)
            derive_again(connection, touched[start : start + _TOGETHER], decisions, rules)
    remember_settings(store)
    return len(touched)


def remember_settings(store: OpenStore) -> None:
    """Note that the exams are derived with the settings of today."""
    with store.database.writing() as connection:
        connection.execute(delete(meta).where(meta.c.name == _NAME))
        connection.execute(insert(meta).values(name=_NAME, value=repr(store.skin_dose_from_gy)))


def _remembered(connection: Connection) -> float:
    """Return what the exams were derived with; a store that does not remember has kept to the default."""
    value = connection.execute(select(meta.c.value).where(meta.c.name == _NAME)).scalar()
    return Settings().skin_dose_from_gy if value is None else float(value)


def _differs(data: bytes, before: float, now: float) -> bool:
    exam = unpack_exam(data)
    return needs_skin_map(exam, before) != needs_skin_map(exam, now)
