"""What does a CSV state of exams? One row an exam, named by accession number or study UID; all rows or none are taken.

Columns: ``accession_number`` or ``study_instance_uid`` (or both); ``height_<unit>`` and ``weight_<unit>`` with a unit
of ``tables/units.csv``, such as ``height_cm`` or ``weight_lb``; ``procedure``; ``indication``. Others are not read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doseatlas.context.quantities import WrongValue, quantity, units
from doseatlas.model import DoseAtlasError
from doseatlas.store import ContextValues, Statement

_SEPARATORS = ",;\t"  # a spreadsheet may save with any of them
_MAX_BYTES = 64 * 2**20
_MAX_IDENTIFIER = 64
_MAX_CELL = 4_000
_NAMED_ERRORS = 10
_KEYS = ("accession_number", "study_instance_uid")


class SheetError(DoseAtlasError):
    """A sheet that is not taken; the message names the lines that are wrong."""

    code = "context-sheet"


def read_sheet(file: Path) -> list[Statement]:
    """Return the statements of a CSV; rows that state no value are left out.

    Raises:
        SheetError: the file cannot be read, or rows are wrong: which, and how. Nothing of it may be taken.

    """
    text = _text(file)
    header = text.split("\n", 1)[0]
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    statements: list[Statement] = []
    wrong: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    try:
        fields = _fields(file, reader.fieldnames or ())
        for row in reader:
            try:
                statement = _statement(row, fields)
                _check_once(row, seen, reader.line_num)
            except WrongValue as error:
                wrong.append(f"line {reader.line_num}: {error}")
                continue
            if statement.values != ContextValues():
                statements.append(statement)
    except csv.Error as error:
        raise SheetError(f"The file {file}, line {reader.line_num}, is not CSV: {error}. Nothing was taken.") from None
    if wrong:
        more = f"; and {len(wrong) - _NAMED_ERRORS} more lines" if len(wrong) > _NAMED_ERRORS else ""
        raise SheetError(f"The file {file} is wrong in {'; '.join(wrong[:_NAMED_ERRORS])}{more}. Nothing was taken.")
    return statements


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise SheetError(f"The file {file} is larger than {_MAX_BYTES >> 20} MiB; take it in parts.")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SheetError(f"The file {file} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise SheetError(f"The file {file} is not UTF-8 text. Save it as 'CSV UTF-8' and try again.") from None


def _fields(file: Path, columns: Any) -> dict[str, tuple[str, str]]:
    """Return for each column with a quantity its field and unit."""
    names = [str(column).strip() for column in columns]
    if not set(_KEYS) & set(names):
        raise SheetError(
            f"The file {file} needs a column 'accession_number' or 'study_instance_uid' in its first line."
        )
    found: dict[str, tuple[str, str]] = {}
    for column in columns:
        name, _, unit = str(column).strip().partition("_")
        field = {"height": "height_cm", "weight": "weight_kg"}.get(name)
        if field is None:
            continue
        if unit.lower() not in units()[field]:
            known = ", ".join(f"{name}_{one}" for one in units()[field] if one.isalpha())
            raise SheetError(f"The file {file} has a column {column!r} whose unit is not known; write one of {known}.")
        found[column] = field, unit
    if len({field for field, _ in found.values()}) != len(found):
        raise SheetError(f"The file {file} has two columns for height or for weight; leave one.")
    if not found and not {"procedure", "indication"} & set(names):
        raise SheetError(f"The file {file} has no column with a height, weight, procedure or indication.")
    return found


def _statement(row: Mapping[str, Any], fields: Mapping[str, tuple[str, str]]) -> Statement:
    if None in row or None in row.values():
        raise WrongValue("the number of columns is not that of the first line")
    cells = {str(name).strip(): " ".join(str(value).split()) for name, value in row.items()}
    if any(len(cell) > _MAX_CELL for cell in cells.values()):
        raise WrongValue(f"a cell has more than {_MAX_CELL} characters")
    accession, study = (cells.get(name) or None for name in _KEYS)
    if accession is None and study is None:
        raise WrongValue("it names no exam")
    if any(len(name or "") > _MAX_IDENTIFIER for name in (accession, study)):
        raise WrongValue(f"an identifier has more than {_MAX_IDENTIFIER} characters")
    if study is not None and not set(study) <= set("0123456789."):
        raise WrongValue("the study UID is none")
    measured = {
        field: quantity(field, text, unit)
        for column, (field, unit) in fields.items()
        if (text := cells[column.strip()])
    }
    return Statement(
        values=ContextValues(
            **measured, procedure=cells.get("procedure") or None, indication=cells.get("indication") or None
        ),
        accession_number=accession,
        study_instance_uid=study,
    )


def _check_once(row: Mapping[str, Any], seen: dict[tuple[str, str], int], line: int) -> None:
    key = tuple((row.get(name) or "").strip() for name in _KEYS)
    earlier = seen.setdefault((key[0], key[1]), line)
    if earlier != line:
        raise WrongValue(f"it names the same exam as line {earlier}")
