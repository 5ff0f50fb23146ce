"""What is asked in a workbook, and what was found in it? Fields, sheets, rows and problems, as plain records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from doseatlas.model import Record

FieldKind = Literal["number", "whole", "text", "choice"]
Value = float | int | str


class Field(Record, frozen=True, kw_only=True):
    """One thing asked: a column of a table or a row of a form.

    ``unit`` stands in the heading, never in a cell. A number must lie from ``low`` to ``high``, both included. A choice
    is one of ``choices``; a ``whole`` number may be limited to ``choices`` too. ``value`` is what the form is filled
    with beforehand.
    """

    id: str
    heading: str
    kind: FieldKind
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    help: str | None = None
    value: str | None = None

    @property
    def title(self) -> str:
        """The heading with its unit, as it stands in the sheet."""
        return f"{self.heading} ({self.unit})" if self.unit else self.heading

    @property
    def limits(self) -> str:
        """What a cell may hold, in words."""
        if self.choices:
            return "pick from the list"
        if self.kind == "text":
            return "text"
        kind = "whole number" if self.kind == "whole" else "number"
        if self.low is not None and self.high is not None:
            return f"{kind}, {self.low:g} to {self.high:g}"
        return kind


class Table(Record, frozen=True, kw_only=True, tag=True):
    """A sheet with a field a column: headings in the first row, what is allowed in the second, data from the third."""

    name: str
    fields: tuple[Field, ...]
    rows: int = 2000
    """For how many rows drop-downs and limits are laid out; more rows are read all the same."""


class Form(Record, frozen=True, kw_only=True, tag=True):
    """A sheet with a field a row: what is asked, what is allowed, and the answer beside it."""

    name: str
    fields: tuple[Field, ...]


Sheet = Table | Form


class Row(Record, frozen=True, kw_only=True):
    """The filled cells of one row of a table, by field, or all answers of a form (``number`` 0)."""

    number: int
    values: Mapping[str, Value]


class Problem(Record, frozen=True, kw_only=True):
    """What is wrong with one cell, and what to type instead; ``cell`` is empty where a whole sheet is meant."""

    sheet: str
    cell: str
    message: str

    def __str__(self) -> str:
        where = f"sheet '{self.sheet}', cell {self.cell}" if self.cell else f"sheet '{self.sheet}'"
        return f"{where}: {self.message}"


class WorkbookReading(Record, frozen=True, kw_only=True):
    """What a workbook holds: the rows of each sheet, and every problem found (the rows are complete only without)."""

    rows: Mapping[str, tuple[Row, ...]]
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    """How many problems there are in all; ``problems`` lists the first of them."""
