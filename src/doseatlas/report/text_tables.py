"""How does the report become CSV files? One a table: UTF-8, a header line, points as decimal marks, safe to open.

A spreadsheet program takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, also in a CSV file. Such
texts (and those that begin with an apostrophe) get an apostrophe before them; a program that reads the file takes one
leading apostrophe off. Figures are never changed.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
from contextlib import ExitStack
from pathlib import Path

from doseatlas.analysis import FacilityReport
from doseatlas.report.atomic import written_whole
from doseatlas.report.printable import printable
from doseatlas.report.tables import Cell, Table, tables

DANGEROUS = ("=", "+", "-", "@", "'", "＝", "＋", "－", "＠")


def write_csv(report: FacilityReport, folder: str | os.PathLike[str]) -> None:
    """Write the tables of the report as ``<table>.csv`` into a folder, which is made where it is missing.

    All files are written before the first takes its place.

    Raises:
        OSError: a file cannot be written.

    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for table in tables(printable(report)):
            file = stack.enter_context(written_whole(place / f"{table.name}.csv"))
            file.write(csv_text(table).encode())
            file.flush()


def csv_text(table: Table) -> str:
    """Return a table as CSV (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(column.name for column in table.columns)
    writer.writerows([_cell(cell) for cell in row] for row in table.rows)
    return text.getvalue()


def _cell(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return f"'{cell}" if cell.lstrip().startswith(DANGEROUS) else cell
        case float():
            return repr(float(f"{cell:.12g}"))
        case dt.date():
            return cell.isoformat()
    return str(cell)
