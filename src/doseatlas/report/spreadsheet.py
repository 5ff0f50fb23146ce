"""How does the report become an XLSX file? One sheet a table, typed cells, and never a formula."""

from __future__ import annotations

import datetime as dt
import io
import os
from typing import TYPE_CHECKING, Any

from doseatlas.analysis import FacilityReport
from doseatlas.report import words
from doseatlas.report.atomic import written_whole
from doseatlas.report.printable import printable
from doseatlas.report.tables import Cell, Form, Table, tables

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook

WIDEST = 60
NARROWEST = 8
NUMBER_FORMATS: dict[Form, str] = {"count": "#,##0", "ratio": "0.00", "share": "0 %", "date": "yyyy-mm-dd"}


def write_xlsx(report: FacilityReport, path: str | os.PathLike[str]) -> None:
    """Write the tables of the report as one XLSX file; the file is there whole, or not at all.

    Raises:
        OSError: the file cannot be written.

    """
    from xlsxwriter import Workbook

    report = printable(report)
    # In memory first: the library turns a full disk into errors of its own, and would leave files in another folder.
    content = io.BytesIO()
    # Texts that look like formulas, links or numbers stay texts.
    plain = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    workbook = Workbook(content, plain)
    workbook.set_properties({"title": report.title, "created": report.generated_at.replace(tzinfo=None)})
    formats = _Formats(workbook)
    for table in tables(report):
        _write_sheet(workbook, table, formats)
    workbook.close()
    with written_whole(path) as file:
        file.write(content.getbuffer())


class _Formats:
    """The cell formats of a workbook, each made once."""

    def __init__(self, workbook: Workbook) -> None:
        self._workbook = workbook
        self._by_number_format: dict[str, Format] = {}
        self.heading = workbook.add_format({"bold": True, "text_wrap": True, "valign": "bottom", "bottom": 1})
        self.text = workbook.add_format({"valign": "top"})

    def of(self, form: Form, cell: Cell) -> Format:
        """Return the format of a cell; a dose shows as many decimals as on the page."""
        number_format = NUMBER_FORMATS.get(form, "@")
        if form == "dose" and isinstance(cell, (int, float)):
            decimals = words.dose_decimals(cell)
            number_format = "#,##0" + ("." + "0" * decimals if decimals else "")
        if number_format not in self._by_number_format:
            properties = {"num_format": number_format, "valign": "top"}
            self._by_number_format[number_format] = self._workbook.add_format(properties)
        return self._by_number_format[number_format]


def _write_sheet(workbook: Workbook, table: Table, formats: _Formats) -> None:
    sheet = workbook.add_worksheet(table.title)
    for number, column in enumerate(table.columns):
        sheet.write_string(0, number, column.heading, formats.heading)
        longest = max((len(str(row[number])) for row in table.rows if isinstance(row[number], str)), default=0)
        width = min(max(longest + 1, _longest_word(column.heading) + 3, NARROWEST), WIDEST)
        sheet.set_column(number, number, width)
        for place, row in enumerate(table.rows, start=1):
            _write_cell(sheet, place, number, row[number], column.form, formats)
    sheet.freeze_panes(1, 0)
    if table.rows:
        sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()))


def _write_cell(sheet: Any, row: int, column: int, cell: Cell, form: Form, formats: _Formats) -> None:
    match cell:
        case None:
            return
        case str():
            sheet.write_string(row, column, cell, formats.text)
        case dt.date():
            sheet.write_datetime(row, column, dt.datetime.combine(cell, dt.time()), formats.of(form, cell))
        case _:
            sheet.write_number(row, column, cell, formats.of(form, cell))
