"""Which reference level applies to a typical value? The rows of a DRL set, found by what they are for."""

# ruff: noqa: D102 (the properties of the protocols are the columns of the DRL table)

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from doseatlas.analysis.results import ReferenceLevel

Key = tuple[str, str, str]


class LevelRow(Protocol):
    """What this room needs of a row of ``reference.DrlSet``; ``None`` in the first three: the row is not mapped."""

    @property
    def procedure(self) -> str | None: ...
    @property
    def patient_group(self) -> str | None: ...
    @property
    def quantity(self) -> str | None: ...
    @property
    def value(self) -> float: ...
    @property
    def phantom_cm(self) -> int | None: ...
    @property
    def achievable(self) -> float | None: ...
    @property
    def exam(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def source(self) -> str: ...


class LevelSet(Protocol):
    """What this room needs of ``reference.DrlSet``."""

    @property
    def id(self) -> str: ...
    @property
    def authority(self) -> str: ...
    @property
    def country(self) -> str: ...
    @property
    def year(self) -> int: ...
    @property
    def level(self) -> str: ...
    @property
    def rows(self) -> Sequence[LevelRow]: ...


class ReferenceLevels:
    """The mapped rows of a DRL set (none: no levels) by procedure, patient group and quantity."""

    def __init__(self, drl_set: LevelSet | None) -> None:
        self._set_id = drl_set.id if drl_set else ""
        self._rows: dict[Key, list[LevelRow]] = defaultdict(list)
        for row in drl_set.rows if drl_set else ():
            if row.procedure is not None and row.patient_group is not None and row.quantity is not None:
                self._rows[row.procedure, row.patient_group, row.quantity].append(row)

    def find(self, procedure: str, patient_group: str, quantity: str, phantom_cm: int | None) -> ReferenceLevel | None:
        """Return the level for a typical value on ``phantom_cm`` (``None``: not stated, several, or no CT).

        A level that names its phantom is only for values on that phantom. Of several rows for one procedure (a set
        may split it by clinical question) the first as published is taken, and the level's note says so.
        """
        rows = [
            row
            for row in self._rows.get((procedure, patient_group, quantity), ())
            if row.phantom_cm is None or row.phantom_cm == phantom_cm
        ]
        if not rows:
            return None
        row = rows[0]
        note = None
        if len(rows) > 1:
            note = f"{len(rows)} rows of the set are for this procedure; taken is the first, '{row.exam}'"
        return ReferenceLevel(
            value=row.value,
            drl_set=self._set_id,
            level=row.level,
            source=row.source,
            achievable=row.achievable,
            note=note,
        )

    def other_phantom(self, procedure: str, patient_group: str, quantity: str, phantom_cm: int | None) -> int | None:
        """Return the phantom that the set's level is for, where that is why a typical value is not compared."""
        rows = self._rows.get((procedure, patient_group, quantity), ())
        if not rows or self.find(procedure, patient_group, quantity, phantom_cm) is not None:
            return None
        return rows[0].phantom_cm
