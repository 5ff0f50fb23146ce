"""How often is each procedure done in a population? A national sheet of annual frequencies, read cell by cell.

Columns: ``docs/variation.md``, section "Population dose".
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from doseatlas.model import TableError

COLUMNS = ("procedure", "modality", "annual_number")
OPTIONAL = ("number_uncertainty_percent", "effective_dose_msv", "dose_uncertainty_percent", "source")


class Frequency(NamedTuple):
    """How often a procedure is done in a year, and its mean effective dose where the sheet says so.

    Uncertainties are relative standard uncertainties (k = 1), such as 0.1.
    """

    procedure: str
    modality: str
    annual_number: float
    number_uncertainty: float
    effective_dose_msv: float | None
    dose_uncertainty: float
    source: str


def load_frequencies(path: Path) -> tuple[Frequency, ...]:
    """Read a national frequency sheet: a UTF-8 CSV (columns: ``docs/variation.md``, section "Population dose").

    Raises:
        TableError: the file does not fit; the message names line and column.

    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as a UTF-8 CSV ({error}).") from error
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise TableError(f"{path}: missing columns {', '.join(missing)}. Add them to the first line.")
    found: dict[str, Frequency] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise TableError(f"{where}: the number of cells is not that of the header.")
        one = _frequency(where, dict.fromkeys(OPTIONAL, "") | {name: cell.strip() for name, cell in row.items()})
        if one.procedure in found:
            raise TableError(f"{where}, column procedure: {one.procedure!r} stands twice.")
        found[one.procedure] = one
    if not found:
        raise TableError(f"{path}: no rows. A sheet needs at least one procedure.")
    return tuple(found.values())


def _frequency(where: str, row: Mapping[str, str]) -> Frequency:
    def number(column: str) -> float:
        try:
            value = float(row[column])
        except ValueError:
            value = -1.0
        if not 0 <= value < math.inf:
            raise TableError(f"{where}, column {column}: {row[column]!r} is not a number of 0 or more.")
        return value

    for column in ("procedure", "modality"):
        if not row[column]:
            raise TableError(f"{where}, column {column}: must not be empty.")
    return Frequency(
        row["procedure"],
        row["modality"],
        number("annual_number"),
        number("number_uncertainty_percent") / 100 if row["number_uncertainty_percent"] else 0.0,
        number("effective_dose_msv") if row["effective_dose_msv"] else None,
        number("dose_uncertainty_percent") / 100 if row["dose_uncertainty_percent"] else 0.0,
        row["source"],
    )
