"""Do the exams follow the settings that their dosimetry depends on? Those that a change touches are derived anew.

The settings are those of :data:`FOLLOWED`. The database remembers what its exams were derived with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from doseatlas.dosimetry import needs_skin_map
from doseatlas.model import Exam
from doseatlas.settings import Settings
from doseatlas.store.derive import unpack_exam
from doseatlas.store.record import decisions_in_force, derive_again
from doseatlas.store.schema import exams, meta

if TYPE_CHECKING:
    from doseatlas.store.open_store import OpenStore

_READ, _TOGETHER = 500, 50  # exams held while they are looked through, and derived within one transaction


class Followed(NamedTuple):
    """A setting: under which name the database remembers it, the kind of exams that it is for, and which of them."""

    remembered_as: str
    kind: str
    touches: Callable[[Exam, str, str], bool]
    """Whether an exam comes out otherwise with the second value than with the first."""


FOLLOWED: dict[str, Followed] = {
    "skin_dose_from_gy": Followed(
        "skin-dose-from-gy",
        "projection",
        lambda exam, before, now: needs_skin_map(exam, float(before)) != needs_skin_map(exam, float(now)),
    ),
    "ct_coefficients": Followed("ct-coefficients", "ct", lambda exam, *_: exam.totals.dlp_mgy_cm is not None),
    "activity_guideline": Followed(
        "activity-guideline", "nuclear", lambda exam, *_: exam.totals.administered_activity_mbq is not None
    ),
}
"""The settings of dosimetry, by their name, which is that of the store's attribute too."""


def follow_settings(store: OpenStore) -> int:
    """Derive anew the exams that changed settings touch; returns how many. Interrupted, it begins again."""
    now = _now(store)
    with store.database.reading() as connection:
        before = _remembered(connection)
        changed = [name for name in FOLLOWED if before[name] != now[name]]
        if not changed:
            return 0
        kinds = [FOLLOWED[name].kind for name in changed]
        found = select(exams.c.exam_id, exams.c.exam).where(exams.c.kind.in_(kinds))
        rows = connection.execute(found, execution_options={"yield_per": _READ})
        touched = [key for key, data in rows if _differs(unpack_exam(data), changed, before, now)]
    for start in range(0, len(touched), _TOGETHER):
        with store.database.writing() as connection:
            decisions, rules = decisions_in_force(connection), store.dose_rules(connection)
            derive_again(connection, touched[start : start + _TOGETHER], decisions, rules)
    remember_settings(store)
    return len(touched)


def remember_settings(store: OpenStore) -> None:
    """Note that the exams are derived with the settings of today."""
    now = _now(store)
    with store.database.writing() as connection:
        connection.execute(delete(meta).where(meta.c.name.in_([one.remembered_as for one in FOLLOWED.values()])))
        rows = [{"name": FOLLOWED[name].remembered_as, "value": value} for name, value in now.items()]
        connection.execute(insert(meta), rows)


def _now(store: OpenStore) -> dict[str, str]:
    return {name: str(getattr(store, name)) for name in FOLLOWED}


def _remembered(connection: Connection) -> dict[str, str]:
    """Return what the exams were derived with; a store that does not remember a setting has kept to the default."""
    known = {row.name: row.value for row in connection.execute(select(meta.c.name, meta.c.value))}
    defaults = Settings()
    return {name: known.get(one.remembered_as, str(getattr(defaults, name))) for name, one in FOLLOWED.items()}


def _differs(exam: Exam, changed: list[str], before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return any(
        FOLLOWED[name].kind == exam.kind and FOLLOWED[name].touches(exam, before[name], now[name]) for name in changed
    )
