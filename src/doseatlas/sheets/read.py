"""What does a filled workbook hold, and which cells must be mended? Every problem names its cell and what to type.

A workbook comes from outside: its size and parts are checked before anything of it is parsed (``sheets.safety``), and
formulas, macros and links are never followed.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doseatlas.model import DoseAtlasError
from doseatlas.sheets.fields import Field, Form, Problem, Row, Sheet, Table, Value, WorkbookReading
from doseatlas.sheets.safety import checked_bytes, merged_ranges
from doseatlas.sheets.write import FIRST_FORM_ROW, FIRST_TABLE_ROW, LISTS_SHEET, TAGS_SHEET

MOST_ROWS = 100_000
COLUMNS_BESIDE = 20  # looked at for values that would be lost
MOST_PROBLEMS = 200
LONGEST_TEXT = 500

_DECIMAL_COMMA = re.compile(r"[+-]?\d{1,12},\d{1,12}")
# Of one group of three digits nobody can say whether it is thousands or decimals; more groups, spaces and apostrophes
# are thousands, and of two marks the last one is the decimal one. A leading 0 is no thousand.
_ONE_GROUP = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3}){2,4}|(?:\.\d{3}){2,4}|(?:[\s'’]\d{3}){1,4})")
_GROUPS_AND_DECIMALS = re.compile(
    r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3}){1,4}\.|(?:\.\d{3}){1,4},|(?:[\s'’]\d{3}){1,4}[.,])\d{1,12}"
)
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?([eE][+-]?\d{1,3})?")
_WITH_UNIT = re.compile(r"([+-]?\d{1,15}(?:[.,]\d{1,15})?)\s*([^\d\s].{0,40})")


class WorkbookRefused(DoseAtlasError):
    """The file as a whole cannot be taken as a filled workbook; the message says why and what to send instead."""

    code = "workbook-refused"


def read_workbook(path: str | Path, *, sheets: Sequence[Sheet], tags: Mapping[str, str]) -> WorkbookReading:
    """Read a filled workbook back.

    Args:
        path: the file.
        sheets: what was asked, as it was given to :func:`write_workbook`.
        tags: what the workbook must carry unchanged.

    Returns:
        Every filled row, and the problems of single cells, in the order of the sheets.

    Raises:
        WorkbookRefused: the file is too large, not XLSX, damaged, encrypted, carries macros, or is another survey's.

    """
    content = checked_bytes(Path(path), refused=WorkbookRefused)
    book = _open(content, Path(path).name)
    try:
        _check_tags(book, tags, Path(path).name)
        merged = merged_ranges(content, refused=WorkbookRefused)
        found = _Found()
        expected = {sheet.name for sheet in sheets}
        for name in book.sheetnames:
            if name not in expected | {"read me", LISTS_SHEET, TAGS_SHEET}:
                hidden = "hidden " if book[name].sheet_state != "visible" else ""
                found.problem(name, "", f"this {hidden}sheet is not part of the survey; move its data and delete it")
        rows = {}
        for sheet in sheets:
            if sheet.name not in book.sheetnames:
                found.problem(sheet.name, "", "the sheet is missing; start again from the workbook you were sent")
                continue
            page = book[sheet.name]
            if page.sheet_state != "visible":
                found.problem(sheet.name, "", "the sheet is hidden; unhide it, look at it, and send it again")
            for cells in merged.get(sheet.name, ()):
                found.problem(sheet.name, cells, "these cells are merged; unmerge them and fill each one")
            reading = _read_table if isinstance(sheet, Table) else _read_form
            rows[sheet.name] = reading(page, sheet, found)  # type: ignore[arg-type]
    except WorkbookRefused:
        raise
    except Exception as error:  # openpyxl raises whatever its parts meet in a damaged file
        raise WorkbookRefused(
            f"{Path(path).name}: the workbook is damaged ({type(error).__name__}: {str(error)[:200]}). Open it in a"
            " spreadsheet program, save it again as .xlsx, and send that."
        ) from error
    finally:
        book.close()
    return WorkbookReading(rows=rows, problems=tuple(found.problems), problem_count=found.count)


class _Found:
    """The problems so far; only the first are kept, so that a hopeless file stays small."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.count = 0

    def problem(self, sheet: str, cell: str, message: str) -> None:
        self.count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(sheet=sheet, cell=cell, message=message))


def _open(content: bytes, name: str) -> Any:
    import openpyxl

    try:
        with warnings.catch_warnings():
            # openpyxl warns about parts it leaves out (drawings, rules), none of which is read here.
            warnings.simplefilter("ignore")
            return openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=False, keep_links=False)
    except Exception as error:
        raise WorkbookRefused(
            f"{name}: this is no readable .xlsx workbook ({type(error).__name__}: {str(error)[:200]}). Send the"
            " workbook you were given, saved as .xlsx."
        ) from error


def _check_tags(book: Any, tags: Mapping[str, str], name: str) -> None:
    if TAGS_SHEET not in book.sheetnames:
        raise WorkbookRefused(f"{name}: this is not a workbook of this survey. Fill in the workbook you were sent.")
    stated = {
        str(row[0].value): str(row[1].value)
        for row in book[TAGS_SHEET].iter_rows(max_row=50, max_col=2)
        if len(row) == 2 and row[0].value is not None
    }
    for tag, value in tags.items():
        if stated.get(tag) != value:
            raise WorkbookRefused(
                f"{name}: the workbook's {tag} is {stated.get(tag)!r}; this survey's is {value!r}. Ask for a new"
                " workbook and move your data into it."
            )


def _read_table(page: Any, sheet: Table, found: _Found) -> tuple[Row, ...]:
    width = len(sheet.fields)
    lines = page.iter_rows(max_col=width + COLUMNS_BESIDE)
    heading = next(lines, ())
    if not _headings_fit(heading, sheet, found):
        return ()
    rows: list[Row] = []
    for line, all_cells in enumerate(lines, start=2):
        if line < FIRST_TABLE_ROW or all(_is_blank(cell.value) for cell in all_cells):
            continue
        cells = all_cells[:width]
        for column, cell in enumerate(all_cells[width:], start=width + 1):
            if not _is_blank(cell.value):
                found.problem(sheet.name, f"{_letters(column)}{line}", "this column is not asked for; it must be empty")
        if len(rows) == MOST_ROWS:
            found.problem(sheet.name, f"A{line}", f"more than {MOST_ROWS} rows; send them in several workbooks")
            break
        rows.append(Row(number=line, values=_values(sheet.name, sheet.fields, cells, line, found)))
    return tuple(rows)


def _headings_fit(heading: Sequence[Any], sheet: Table, found: _Found) -> bool:
    """Report headings that were moved or changed: values under a wrong heading would be read as something else."""
    stated = [cell.value for cell in heading] + [None] * len(sheet.fields)
    fits = True
    for column, (field, text) in enumerate(zip(sheet.fields, stated, strict=False), start=1):
        if text != field.title:
            fits = False
            found.problem(
                sheet.name,
                f"{_letters(column)}1",
                f"the heading must be {field.title!r}, not {str(text)[:60]!r}; columns must stay as they were",
            )
    return fits


def _values(sheet: str, fields: Sequence[Field], cells: Sequence[Any], line: int, found: _Found) -> dict[str, Value]:
    values: dict[str, Value] = {}
    padded = [*cells, *[None] * (len(fields) - len(cells))]
    for column, (field, cell) in enumerate(zip(fields, padded, strict=True), start=1):
        value = _value(field, cell, sheet, f"{_letters(column)}{line}", found)
        if value is not None:
            values[field.id] = value
    return values


def _read_form(page: Any, sheet: Form, found: _Found) -> tuple[Row, ...]:
    lines = list(page.iter_rows(min_row=FIRST_FORM_ROW, max_row=FIRST_FORM_ROW + len(sheet.fields) - 1, max_col=3))
    values: dict[str, Value] = {}
    for number, field in enumerate(sheet.fields):
        line = FIRST_FORM_ROW + number
        cells = lines[number] if number < len(lines) else ()
        if not cells or cells[0].value != field.title:
            found.problem(sheet.name, f"A{line}", f"must read {field.title!r}; rows must stay as they were")
            continue
        value = _value(field, cells[2] if len(cells) > 2 else None, sheet.name, f"C{line}", found)
        if value is not None:
            values[field.id] = value
    return (Row(number=0, values=values),)


def _value(field: Field, cell: Any, sheet: str, place: str, found: _Found) -> Value | None:
    """Return what a cell holds, or report why it cannot be taken."""
    content: Any = None if cell is None else cell.value
    if cell is None or _is_blank(content):
        if field.required:
            found.problem(sheet, place, f"{field.heading} is missing")
        return None
    if cell.data_type == "f":
        message: str | None = "holds a formula; type its result as a value"
    elif cell.data_type == "e":
        message = f"holds the error {str(content)[:20]}; type the value"
    elif field.kind == "text":
        return str(content).strip()[:LONGEST_TEXT]
    elif field.kind == "choice":
        return _choice(field, content, sheet, place, found)
    elif field.choices and str(content).strip() in field.choices:
        return int(str(content))  # picked from the list, which some programs enter as text
    else:
        message = _number_problem(field, content)
    if message:
        found.problem(sheet, place, f"{field.heading} {message}")
        return None
    return int(content) if field.kind == "whole" else float(content)


def _choice(field: Field, content: object, sheet: str, place: str, found: _Found) -> str | None:
    if isinstance(content, dt.datetime | dt.date):
        content = f"{content:%Y-%m}"  # a month that a spreadsheet program made a date of
    text = str(content).strip().casefold()
    for choice in field.choices:
        if choice.casefold() == text:
            return choice
    allowed = ", ".join(field.choices[:12]) + (", ..." if len(field.choices) > 12 else "")
    found.problem(sheet, place, f"{field.heading} {str(content)[:60]!r} is none of: {allowed}; pick one from the list")
    return None


def _number_problem(field: Field, content: object) -> str | None:
    """Return what is wrong with a cell that must hold a number, ``None`` where nothing is."""
    if isinstance(content, str):
        return _text_for_number(field, content.strip())
    if isinstance(content, dt.datetime | dt.date | dt.time | dt.timedelta):
        return "has become a date; format the cell as a number and type the value again"
    if isinstance(content, bool) or not isinstance(content, int | float) or content != content:
        return f"{str(content)[:40]!r} is not a number"
    unit = f" {field.unit}" if field.unit else ""
    if field.kind == "whole" and content != int(content):
        return f"{content:g} is not a whole number"
    if field.choices and f"{content:g}" not in field.choices:
        return f"{content:g} is none of {', '.join(field.choices)}"
    if (field.low is not None and content < field.low) or (field.high is not None and content > field.high):
        return f"{content:g}{unit} is outside {field.low:g} to {field.high:g}{unit}; check the value and its unit"
    return None


def _text_for_number(field: Field, text: str) -> str:
    shown = repr(text[:60])
    if _ONE_GROUP.fullmatch(text):
        thousands, decimals = re.sub("[.,]", "", text), text.replace(",", ".").rstrip("0").rstrip(".")
        return (
            f"{shown} can mean {thousands} or {decimals}; type {thousands} or {decimals}, whichever it is, as a number"
        )
    if _GROUPS.fullmatch(text):
        return f"{shown} has marks between thousands; type '{re.sub('[^0-9+-]', '', text)}', as a number"
    if _GROUPS_AND_DECIMALS.fullmatch(text):
        whole, decimals = re.split("[.,](?=[0-9]+$)", text)
        return f"{shown} has marks between thousands; type '{re.sub('[^0-9+-]', '', whole)}.{decimals}', as a number"
    if _DECIMAL_COMMA.fullmatch(text):
        return f"{shown} has a comma; type {text.replace(',', '.')!r} with a decimal point, as a number"
    if _NUMBER.fullmatch(text):
        return f"{shown} is text; format the cell as a number and type it again"
    with_unit = _WITH_UNIT.fullmatch(text)
    if with_unit:
        unit = f" (it is {field.unit})" if field.unit else ""
        return f"{shown} has a unit or text in the cell; the unit stands in the heading{unit}, so type only the number"
    return f"{shown} is not a number"


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _letters(column: int) -> str:
    """Return the letters of a column counted from 1."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
