"""Survey workbooks: XLSX files made with drop-downs, units and limits in the sheet, read back cell by cell.

This room knows cells, not studies: what is asked is a list of :class:`Field` records, in the columns of a
:class:`Table` or the rows of a :class:`Form`.
"""

from __future__ import annotations

from doseatlas.sheets.fields import Field, Form, Problem, Row, Sheet, Table, WorkbookReading
from doseatlas.sheets.read import WorkbookRefused, read_workbook
from doseatlas.sheets.write import write_workbook

__all__ = [
    "Field",
    "Form",
    "Problem",
    "Row",
    "Sheet",
    "Table",
    "WorkbookReading",
    "WorkbookRefused",
    "read_workbook",
    "write_workbook",
]
