"""Which standard procedures, patient groups and plausible ranges are there?"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from doseatlas.model import Record, TableError

DATA = Path(__file__).parent / "data"
KINDS = ("ct", "projection", "mammography", "nuclear")


class Procedure(Record, frozen=True, kw_only=True):
    """A standard procedure. ``code`` is empty where no published code is verified."""

    id: str
    name: str
    kind: str
    region: str
    code: str | None = None
    code_scheme: str | None = None
    code_source: str | None = None
    source: str


class PatientGroup(Record, frozen=True, kw_only=True):
    """A band of age (years) or weight (kg), ``low`` included and ``high`` not."""

    id: str
    name: str
    parameter: str
    low: float
    high: float | None = None
    use: str
    source: str


class PlausibleRange(Record, frozen=True, kw_only=True):
    """The range of a quantity outside which a value is taken for an error."""

    quantity: str
    low: float
    high: float
    unit: str
    use: str
    source: str


def read_rows(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of a CSV; an ``optional`` column that it has not counts as empty.

    Raises:
        TableError: the file cannot be read, a column is missing or a row has too few or too many cells.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise TableError(f"{path}: missing columns {', '.join(missing)}. Add them to the first line.")
            for row in reader:
                if None in row or None in row.values():
                    raise TableError(f"{path}, line {reader.line_num}: the number of cells is not that of the header.")
                yield reader.line_num, dict.fromkeys(optional, "") | {name: text.strip() for name, text in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: cannot be read as a UTF-8 CSV ({error}).") from error


def number(path: Path, line: int, row: dict[str, str], column: str) -> float:
    """Return a finite cell that is not negative, else raise ``TableError`` naming the cell."""
    try:
        value = float(row[column])
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise TableError(f"{path}, line {line}, column {column}: {row[column]!r} is not a number of 0 or more.")
    return value


@cache
def procedures() -> tuple[Procedure, ...]:
    """Return the standard procedures."""
    path = DATA / "procedures.csv"
    names = ("id", "name", "kind", "region", "code", "code_scheme", "code_source", "source")
    found: dict[str, Procedure] = {}
    for line, row in read_rows(path, names):
        if row["id"] in found or row["kind"] not in KINDS or not row["source"]:
            raise TableError(f"{path}, line {line}: id {row['id']!r} repeats, or its kind or source is wrong.")
        found[row["id"]] = Procedure(
            id=row["id"],
            name=row["name"],
            kind=row["kind"],
            region=row["region"],
            code=row["code"] or None,
            code_scheme=row["code_scheme"] or None,
            code_source=row["code_source"] or None,
            source=row["source"],
        )
    return tuple(found.values())


def procedure(name: str) -> Procedure:
    """Return a standard procedure by its id.

    Raises:
        TableError: there is none.

    """
    for one in procedures():
        if one.id == name:
            return one
    raise TableError(f"There is no standard procedure {name!r}. See 'doseatlas mapping procedures'.")


@cache
def patient_groups() -> tuple[PatientGroup, ...]:
    """Return the patient groups."""
    path = DATA / "patient_groups.csv"
    names = ("id", "name", "parameter", "low", "high", "use", "source")
    return tuple(
        PatientGroup(
            id=row["id"],
            name=row["name"],
            parameter=row["parameter"],
            low=number(path, line, row, "low"),
            high=number(path, line, row, "high") if row["high"] else None,
            use=row["use"],
            source=row["source"],
        )
        for line, row in read_rows(path, names)
    )


def patient_group(name: str) -> PatientGroup:
    """Return a patient group by its id.

    Raises:
        TableError: there is none.

    """
    for one in patient_groups():
        if one.id == name:
            return one
    raise TableError(f"There is no patient group {name!r}. Known: {', '.join(one.id for one in patient_groups())}.")


@cache
def plausible_ranges() -> dict[str, PlausibleRange]:
    """Return the plausible range of each quantity."""
    path = DATA / "plausibility.csv"
    names = ("quantity", "low", "high", "unit", "use", "source")
    return {
        row["quantity"]: PlausibleRange(
            quantity=row["quantity"],
            low=number(path, line, row, "low"),
            high=number(path, line, row, "high"),
            unit=row["unit"],
            use=row["use"],
            source=row["source"],
        )
        for line, row in read_rows(path, names)
    }


@cache
def note_meanings() -> dict[str, str]:
    """Return what each code of a note or flag of an exam means."""
    return {row["code"]: row["meaning"] for _, row in read_rows(DATA / "note_codes.csv", ("code", "room", "meaning"))}
