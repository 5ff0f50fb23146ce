"""Which diagnostic reference levels were published, and what do they apply to?

Rows keep the wording, value and unit of the source. A row that fits no standard procedure or patient group stays,
with the reason in ``unmapped_reason``.
"""

from __future__ import annotations

from functools import cache
from math import isclose
from pathlib import Path

from doseatlas.model import Record, TableError
from doseatlas.reference.procedures import DATA, number, patient_groups, procedures, read_rows

DEFAULT_DRL_SET = "japan-2025"
COLUMNS = (
    "set",
    "authority",
    "country",
    "year",
    "level",
    "exam",
    "stated_quantity",
    "stated_value",
    "stated_unit",
    "procedure",
    "patient_group",
    "source",
)
OPTIONAL = (
    "population",
    "band",
    "quantity",
    "value",
    "achievable",
    "phantom_cm",
    "scope",
    "unmapped_reason",
    "note",
)


class DrlRow(Record, frozen=True, kw_only=True):
    """One published level. ``value`` is in the unit that ``quantity`` names, and as published where unmapped."""

    exam: str
    population: str
    band: str
    stated: str
    procedure: str | None = None
    patient_group: str | None = None
    quantity: str | None = None
    value: float
    achievable: float | None = None
    phantom_cm: int | None = None
    scope: str | None = None
    level: str
    unmapped_reason: str | None = None
    note: str | None = None
    source: str

    @property
    def is_mapped(self) -> bool:
        """Whether the row can be compared with typical values."""
        return self.procedure is not None and self.patient_group is not None and self.quantity is not None


class DrlSet(Record, frozen=True, kw_only=True):
    """The levels one authority published together."""

    id: str
    authority: str
    country: str
    year: int
    level: str
    rows: tuple[DrlRow, ...]


def load_drl_csv(path: Path) -> DrlSet:
    """Read one set from a CSV (format: ``docs/reference-levels.md``).

    Raises:
        TableError: the file does not fit; the message names line and column.

    """
    known = {
        "procedure": {procedure.id for procedure in procedures()},
        "patient_group": {group.id for group in patient_groups()},
    }
    rows: list[DrlRow] = []
    first: dict[str, str] = {}
    for line, row in read_rows(path, COLUMNS, OPTIONAL):
        first = first or row
        for column in ("set", "authority", "country", "year", "level"):
            if not row[column] or row[column] != first[column]:
                raise TableError(
                    f"{path}, line {line}, column {column}: {row[column]!r}; one file is one set, so every row must"
                    f" say {first[column]!r}."
                )
        rows.append(_row(path, line, row, known))
    if not rows:
        raise TableError(f"{path}: no rows. A set needs at least one.")
    if not first["year"].isdecimal():
        raise TableError(f"{path}, line 2, column year: {first['year']!r} is not a year.")
    return DrlSet(
        id=first["set"],
        authority=first["authority"],
        country=first["country"],
        year=int(first["year"]),
        level=first["level"],
        rows=tuple(rows),
    )


def _row(path: Path, line: int, row: dict[str, str], known: dict[str, set[str]]) -> DrlRow:
    for column, allowed in known.items():
        if row[column] and row[column] not in allowed:
            raise TableError(f"{path}, line {line}, column {column}: {row[column]!r} is not known.")
    if not row["source"] or not row["exam"]:
        raise TableError(f"{path}, line {line}: the columns exam and source must not be empty.")
    if row["phantom_cm"] not in ("", "16", "32"):
        raise TableError(f"{path}, line {line}, column phantom_cm: {row['phantom_cm']!r} is not 16, 32 or empty.")
    mapped = bool(row["procedure"] and row["patient_group"])
    if mapped == bool(row["unmapped_reason"]):
        raise TableError(f"{path}, line {line}, column unmapped_reason: give a reason exactly where a row is unmapped.")
    quantity, factor = _quantity(path, line, row) if mapped else (None, 1.0)
    stated = number(path, line, row, "stated_value")
    if stated == 0:
        raise TableError(f"{path}, line {line}, column stated_value: '0' is no level.")
    value = factor * stated
    achievable = number(path, line, row, "achievable") if row["achievable"] else None
    if achievable is not None and achievable > stated:
        raise TableError(
            f"{path}, line {line}, column achievable: {row['achievable']!r} is above the level of {stated:g}. Both are"
            " in the published unit."
        )
    if row["value"] and not isclose(number(path, line, row, "value"), value, rel_tol=1e-6):
        raise TableError(
            f"{path}, line {line}, column value: {row['value']!r} is not {row['stated_value']} {row['stated_unit']},"
            f" which is {value:g}. Leave it empty and it is worked out."
        )
    return DrlRow(
        exam=row["exam"],
        population=row["population"],
        band=row["band"],
        stated=f"{row['stated_quantity']} {row['stated_value']} {row['stated_unit']}",
        procedure=row["procedure"] or None,
        patient_group=row["patient_group"] or None,
        quantity=quantity,
        value=float(row["value"] or value),
        achievable=None if achievable is None else factor * achievable,
        phantom_cm=int(row["phantom_cm"]) if row["phantom_cm"] else None,
        scope=row["scope"] or None,
        level=row["level"],
        unmapped_reason=row["unmapped_reason"] or None,
        note=row["note"] or None,
        source=row["source"],
    )


def _quantity(path: Path, line: int, row: dict[str, str]) -> tuple[str, float]:
    """Return the quantity that a mapped row is compared as, and what its stated values are multiplied with."""
    found = _quantities().get((row["stated_quantity"], row["stated_unit"]))
    if found is None:
        known = ", ".join(f"{quantity} in {unit}" for quantity, unit in _quantities())
        raise TableError(
            f"{path}, line {line}, columns stated_quantity and stated_unit: {row['stated_quantity']!r} in"
            f" {row['stated_unit']!r} cannot be compared. Known: {known}."
        )
    if row["quantity"] not in ("", found[0]):
        raise TableError(f"{path}, line {line}, column quantity: {row['quantity']!r} is not {found[0]!r}.")
    return found


@cache
def _quantities() -> dict[tuple[str, str], tuple[str, float]]:
    """Return quantity and factor by published quantity and unit. CTDIw is not among them."""
    path = DATA / "drl_quantities.csv"
    names = ("stated_quantity", "stated_unit", "quantity", "factor", "source")
    return {
        (row["stated_quantity"], row["stated_unit"]): (row["quantity"], number(path, line, row, "factor"))
        for line, row in read_rows(path, names)
    }


@cache
def drl_sets() -> tuple[DrlSet, ...]:
    """Return the sets that ship."""
    return tuple(load_drl_csv(path) for path in sorted((DATA / "drl").glob("*.csv")))


def drl_set(name: str) -> DrlSet:
    """Return a shipped set by its id.

    Raises:
        TableError: there is none.

    """
    for one in drl_sets():
        if one.id == name:
            return one
    raise TableError(f"There is no DRL set {name!r}. Known: {', '.join(one.id for one in drl_sets())}.")
